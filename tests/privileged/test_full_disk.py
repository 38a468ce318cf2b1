"""A full disk takes nothing that was there, and is named as the reason."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

FILL = "dd if=/dev/zero of=/big bs=64k 2>/dev/null; exit 3"


@pytest.fixture
def small(minidock, root_tarball, tmp_path):
    """A minidock whose state lies on 12 MB, with the image `busybox`."""
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=12m", "none", str(disk)], check=True)
    small = type(minidock)(disk)
    small.run_root = tmp_path / "run"
    small.env["MINIDOCK_RUN_ROOT"] = str(small.run_root)
    try:
        small.ok("import", "-", "busybox", stdin=root_tarball)
        yield small
        small.remove_all()
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)


def temporaries(root: Path) -> list[Path]:
    return [p for p in (root / "containers").rglob("*") if p.suffix in (".tmp", ".room")]


def test_the_exit_code_reaches_who_is_attached(small) -> None:
    done = small("run", "--name", "full", "busybox", "sh", "-c", FILL)
    assert done.returncode == 3, done.stderr
    told = small.ok("ps", "-a", "--format", "{{.Names}} {{.Status}}")
    assert told.startswith("full Exited (3) "), told  # room for that was kept
    assert temporaries(small.root) == []
    left = {path.name for path in small.run_root.iterdir()}
    # The monitor cleaned up; what happened is still known, and which address was the last.
    assert left == {"events", "networks"}
    small.ok("rm", "full")
    assert small.ok("run", "--rm", "busybox", "echo", "room again") == "room again\n"


def test_what_cannot_be_written_is_said(small) -> None:
    small("run", "--name", "full", "busybox", "sh", "-c", FILL)
    for words in (("start", "full"), ("rename", "full", "other"), ("run", "busybox", "true")):
        done = small(*words)
        assert done.returncode != 0
        assert "no space left on device" in done.stderr.lower(), (words, done.stderr)
    assert temporaries(small.root) == []
    told = small.ok("ps", "-a", "--format", "{{.Names}} {{.Status}}")
    assert told.startswith("full Exited (3) "), told
    assert "No such container: other" in small("start", "other").stderr
    assert small.ok("inspect", "-f", "{{.Name}}", "full") == "/full\n"
