"""State files: replaced whole, with room kept for those that must not fail."""

from __future__ import annotations

from pathlib import Path

import pytest

from minidock.engine.statefile import keep_room, read_json, write_json


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def test_the_room_kept_for_a_file_becomes_the_file(tmp_path: Path) -> None:
    path = tmp_path / "exited.json"
    keep_room(str(path))
    room = tmp_path / "exited.json.room"
    inode, size = room.stat().st_ino, room.stat().st_size
    assert size == 4096
    assert read_json(str(path)) is None
    write_json(str(path), {"ExitCode": 3})
    assert path.stat().st_ino == inode  # those very blocks
    assert path.read_bytes() == b'{"ExitCode":3}'
    assert names(tmp_path) == ["exited.json"]


def test_what_the_new_file_makes_untrue_goes_with_it(tmp_path: Path) -> None:
    old, new = tmp_path / "exited.json", tmp_path / "started.json"
    write_json(str(old), {"ExitCode": 3})
    write_json(str(new), {"Pid": 7}, instead_of=str(old))
    assert names(tmp_path) == ["started.json"]
    write_json(str(new), {"Pid": 8}, instead_of=str(old))  # not there: all the better


def test_what_cannot_be_written_changes_nothing(tmp_path: Path) -> None:
    old = tmp_path / "exited.json"
    write_json(str(old), {"ExitCode": 3})
    with pytest.raises(FileNotFoundError, match="started"):
        write_json(str(tmp_path / "no" / "started.json"), {"Pid": 7}, instead_of=str(old))
    assert names(tmp_path) == ["exited.json"]
