"""The launchers that an installation puts on everybody's PATH (.ci/launcher)."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[2]


@pytest.fixture
def interpreters(tmp_path: Path) -> tuple[Path, Path]:
    """A Python, and a copy of it that an installation has made."""
    found = []
    for name in ("original", "copy"):
        found.append(tmp_path / name)
        shutil.copy(os.path.realpath(sys.executable), found[-1])
        works = subprocess.run([str(found[-1]), "-IS", "-c", "import os"], check=False)
        if works.returncode:
            pytest.skip("this Python does not run from another place")
    return found[0], found[1]


def launcher(directory: Path, python: Path, **env: str) -> Path:
    """One that says which interpreter runs it."""
    (directory / "shown.py").write_text(
        "import sys\ndef entry(): print(sys.executable, *sys.argv[1:])\n"
    )
    words = ["sh", str(CHECKOUT / ".ci" / "launcher"), "shown", str(python), str(directory)]
    environment = {**os.environ, **env}
    text = subprocess.run(words, env=environment, capture_output=True, text=True, check=True)
    path = directory / "launcher"
    path.write_text(text.stdout)
    path.chmod(0o755)
    return path


def said(path: Path, *words: str) -> list[str]:
    done = subprocess.run([str(path), *words], capture_output=True, text=True, check=True)
    return done.stdout.split()


def test_it_runs_on_the_python_it_was_made_for(
    tmp_path: Path, interpreters: tuple[Path, Path]
) -> None:
    path = launcher(tmp_path, interpreters[0])
    assert said(path, "a", "b") == [str(interpreters[0]), "a", "b"]


def test_it_runs_on_the_copy_until_the_original_was_updated(
    tmp_path: Path, interpreters: tuple[Path, Path]
) -> None:
    original, copy = interpreters
    path = launcher(tmp_path, original, COPY=str(copy))
    assert said(path, "a") == [str(copy), "a"]
    os.utime(original, (1, 1))
    assert said(path, "a", "b") == [str(original), "a", "b"]


def test_it_uses_a_file_of_modules_if_it_can(
    tmp_path: Path, interpreters: tuple[Path, Path]
) -> None:
    modules = tmp_path / "modules"
    path = launcher(tmp_path, interpreters[0], MODULES=str(modules))
    assert f"preloaded.use('{modules}')" in path.read_text()
    more = f"import sys; sys.path.append({str(CHECKOUT)!r})"
    path.write_text(path.read_text().replace("import sys", more, 1))
    assert said(path) == [str(interpreters[0])], "the file is not there"
