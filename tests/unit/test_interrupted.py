"""Ctrl-C at the worst moment: 130, not a word about files, and no traceback.

Python raises KeyboardInterrupt when a system call returns, so also right after one that worked.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from minidock.image.blobs import Blobs, replace_file

ROOT = Path(__file__).parents[2]


@pytest.fixture
def interrupted_renames(monkeypatch: pytest.MonkeyPatch) -> None:
    rename = os.rename

    def rename_and_interrupt(old: str, new: str) -> None:
        rename(old, new)
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "rename", rename_and_interrupt)


@pytest.mark.usefixtures("interrupted_renames")
def test_after_a_file_got_its_name(tmp_path: Path) -> None:
    (tmp_path / "ingest").mkdir()
    with pytest.raises(KeyboardInterrupt):
        replace_file(str(tmp_path / "index.json"), b"{}", str(tmp_path / "ingest"), durable=True)
    assert (tmp_path / "index.json").read_bytes() == b"{}"
    assert not any((tmp_path / "ingest").iterdir())


@pytest.mark.usefixtures("interrupted_renames")
def test_after_a_blob_got_its_name(tmp_path: Path) -> None:
    blobs = Blobs(str(tmp_path))
    blobs.make()
    with pytest.raises(KeyboardInterrupt), blobs.writer() as blob:
        blob.write(b"content")
        blob.finish()
    assert [blobs.has(digest) for digest in blobs.all()] == [True]
    assert not os.listdir(blobs.ingest)


INTERRUPTING = """
import runpy, sys

class Interrupting:
    def find_spec(self, name, path=None, target=None):
        if name == "minidock.cli.parse":
            raise KeyboardInterrupt

sys.meta_path.insert(0, Interrupting())
runpy.run_path(sys.argv.pop(1), run_name="__main__")
"""


@pytest.mark.parametrize("installed", [False, True])
def test_while_the_program_is_still_being_imported(tmp_path: Path, installed: bool) -> None:
    program = ROOT / "minidock/__main__.py"
    if installed:
        making = [ROOT / ".ci/launcher", "minidock.cli.main", sys.executable, ROOT]
        program = tmp_path / "minidock"
        program.write_bytes(subprocess.run(making, check=True, capture_output=True).stdout)
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTING, program, "--help"], capture_output=True, cwd=ROOT
    )
    assert (done.returncode, done.stdout, done.stderr) == (130, b"", b"")
