"""The two forms of a whiteout."""

from __future__ import annotations

import os

import pytest

from minidock.image.whiteout import is_opaque, is_whiteout, whiteout_target


def test_a_mark_names_what_it_deletes() -> None:
    assert whiteout_target(b".wh.motd") == b"motd"
    assert whiteout_target(b".wh..hidden") == b".hidden"
    assert whiteout_target(b".wh....") == b"..."


@pytest.mark.parametrize("name", [b".wh.", b".wh..", b".wh..."])
def test_a_mark_cannot_delete_its_directory(name: bytes) -> None:
    with pytest.raises(ValueError, match="its own directory"):
        whiteout_target(name)


def test_no_other_device_is_a_whiteout() -> None:
    assert not is_whiteout(os.stat("/dev/null"))
    assert not is_whiteout(os.stat("/"))


def test_a_plain_directory_is_not_opaque(tmp_path: os.PathLike[str]) -> None:
    assert not is_opaque(os.fspath(tmp_path))
