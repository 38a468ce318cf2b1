"""A context, and builds of it, for the tests of `minidock build`."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any


class Builder:
    """A context, and builds of it."""

    def __init__(self, minidock: Any, home: Path) -> None:
        self.minidock = minidock
        self.home = home
        home.mkdir()

    def file(self, name: str, content: str = "", mode: int = 0o644) -> Path:
        path = self.home / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
        path.chmod(mode)
        return path

    def __call__(
        self, dockerfile: str, *flags: str, stdin: bytes = b""
    ) -> subprocess.CompletedProcess[str]:
        (self.home.parent / "Dockerfile").write_text(dockerfile)
        file = ("-f", str(self.home.parent / "Dockerfile")) if "-f" not in flags else ()
        return self.minidock("build", *file, *flags, str(self.home), stdin=stdin)

    def ok(self, dockerfile: str, *flags: str) -> str:
        """What it said. The image is `built`."""
        done = self(dockerfile, "-t", "built", *flags)
        assert done.returncode == 0, done.stderr
        return done.stderr

    def id(self, dockerfile: str, *flags: str) -> str:
        done = self(dockerfile, "-q", *flags)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def run(self, *words: str) -> str:
        return self.minidock.ok("run", "--rm", "built", *words)

    def config(self) -> Any:
        return json.loads(self.minidock.ok("image", "inspect", "built"))[0]

    def left(self) -> list[str]:
        """What a build may not leave."""
        root, run_root = self.minidock.root, self.minidock.run_root
        new = [str(path) for path in (root / "layers/new").glob("*")]
        return new + [str(path) for path in run_root.glob("build-*")]
