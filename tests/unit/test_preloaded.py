"""Modules in one file: the same modules, and no harm where the file is missing or another's."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import minidock
from minidock import preloaded

PACKAGE = Path(minidock.__file__).parent


def after_use(path: Path, code: str) -> str:
    """What a fresh interpreter prints that was told to use the file at `path`."""
    program = f"import sys; sys.path.insert(0, {str(PACKAGE.parent)!r})\n"
    program += f"from minidock import preloaded; preloaded.use({str(path)!r})\n{code}\n"
    done = subprocess.run(
        [sys.executable, "-IS", "-c", program], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("preloaded") / "modules"
    code = f"preloaded.write({str(path)!r}, ['minidock.runtime', 'minidock.isolation'])"
    after_use(Path("/nonexistent"), code)
    return path


def test_a_module_comes_from_the_file(written: Path) -> None:
    code = """
import minidock.runtime.plan as plan, minidock.isolation.mounts, minidock.spec
print(type(plan.__spec__.loader).__name__, plan.__file__, callable(plan.plan_container))
print(plan.__doc__, type(minidock.isolation.__spec__.loader).__name__)
"""
    file = PACKAGE / "runtime" / "plan.py"
    assert after_use(written, code) == f"Preloaded {file} True\nNone Preloaded\n"


def test_what_is_not_in_there_is_imported_as_ever(written: Path) -> None:
    code = "import minidock.cli.table as t; print(type(t.__spec__.loader).__name__)"
    assert after_use(written, code) == "SourceFileLoader\n"


def test_a_module_of_a_package_that_is_in_there_need_not_be(tmp_path: Path) -> None:
    path = tmp_path / "modules"
    after_use(path, f"preloaded.write({str(path)!r}, ['minidock.spec', 'minidock.cli.oci'])")
    code = """
import minidock.cli.oci as a, minidock.cli.table as b, minidock.spec.runtime as c
print(*(type(m.__spec__.loader).__name__ for m in (a, b, c)))
"""
    assert after_use(path, code) == "Preloaded SourceFileLoader Preloaded\n"


@pytest.mark.parametrize("content", [b"", b"junk", preloaded.MAGIC_NUMBER, b"\0\0\r\n" + b"x" * 99])
def test_a_file_that_is_no_use_is_left_alone(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "modules"
    path.write_bytes(content)
    code = "import minidock.runtime.plan as p; print(type(p.__spec__.loader).__name__)"
    assert after_use(path, code) == "SourceFileLoader\n"
