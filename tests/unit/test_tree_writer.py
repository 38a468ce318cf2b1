"""A tar is written into a directory that has files: what is replaced, and what must not happen."""

from __future__ import annotations

import io
import os
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from minidock.engine.tree_writer import TreeWriter
from minidock.errors import MinidockError
from minidock.image.tar_read import TarReader


def archive(*entries: tuple[str, bytes, str]) -> bytes:
    """Name, type, and the content or the link's target."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, kind, text in entries:
            info = tarfile.TarInfo(name)
            info.type, info.mode = kind, 0o750 if kind == tarfile.DIRTYPE else 0o640
            data = text.encode() if kind == tarfile.REGTYPE else b""
            info.size, info.linkname = len(data), "" if data else text
            tar.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


FILE, DIR, LINK, HARD = tarfile.REGTYPE, tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE


def write(
    top: Path,
    data: bytes,
    *,
    follow: bool = False,
    before: Callable[[bytes], None] = lambda name: None,
) -> None:
    """`before` is called with the name of each entry that is about to be written."""
    stream = io.BytesIO(data)
    reader = TarReader(lambda: memoryview(stream.read(4096)))
    fd = os.open(top, os.O_PATH | os.O_DIRECTORY)
    try:
        writer = TreeWriter(
            reader,
            fd,
            "/top",
            follow=follow,
            owner=lambda header: None,
            path_of=lambda directory, base: b"/proc/self/fd/%d/%b" % (directory, base),
        )
        while header := reader.next():
            before(header.name)
            writer.add(header)
        writer.finish()
    finally:
        os.close(fd)


@pytest.fixture
def top(tmp_path: Path) -> Path:
    """With a file, a directory with a file, and a link to a directory outside."""
    (tmp_path / "outside").mkdir()
    (tmp_path / "top/dir").mkdir(parents=True)
    (tmp_path / "top/file").write_text("old")
    (tmp_path / "top/dir/kept").write_text("kept")
    (tmp_path / "top/link").symlink_to("../outside")
    return tmp_path / "top"


def test_new_files_come_to_those_that_are_there(top: Path) -> None:
    write(
        top,
        archive(
            ("./", DIR, ""),
            ("file", FILE, "new"),
            ("dir/", DIR, ""),
            ("dir/came", FILE, "came"),
            ("deep/down/file", FILE, "x"),
            ("dir/same", HARD, "file"),
            ("to", LINK, "../../anywhere"),
        ),
    )
    assert (top / "file").read_text() == "new"
    assert sorted(os.listdir(top / "dir")) == ["came", "kept", "same"]
    assert (top / "dir").stat().st_mode & 0o777 == 0o750
    assert (top / "dir/same").samefile(top / "file")
    assert (top / "deep/down/file").read_text() == "x"
    assert os.readlink(top / "to") == "../../anywhere"


def test_a_file_does_not_become_what_others_share(top: Path) -> None:
    os.link(top / "file", top / "other")
    write(top, archive(("file", FILE, "new")))
    assert (top / "other").read_text() == "old"


@pytest.mark.parametrize(
    ("entries", "words"),
    [
        ([("dir", FILE, "x")], 'cannot overwrite directory "/top/dir" with non-directory "/top"'),
        ([("file/", DIR, "")], 'cannot overwrite non-directory "/top/file" with directory "/top"'),
        ([("link/", DIR, "")], 'cannot overwrite non-directory "/top/link" with directory "/top"'),
        ([("../out", FILE, "x")], '"../out" is outside of "/top"'),
        ([("a/../../out", FILE, "x")], '"a/../../out" is outside of "/top"'),
        ([("hard", HARD, "../outside/x")], 'invalid hardlink "hard" -> "../outside/x"'),
        ([("hard", HARD, "")], 'invalid hardlink "hard" -> ""'),
    ],
)
def test_what_is_refused(top: Path, entries: list[tuple[str, bytes, str]], words: str) -> None:
    with pytest.raises(MinidockError) as refused:
        write(top, archive(*entries))
    assert refused.value.message == words
    assert os.listdir(top.parent / "outside") == []


def test_a_parent_that_is_a_link(top: Path) -> None:
    """Is followed where "/" is the container's, and nowhere else."""
    with pytest.raises(OSError, match="symbolic links"):
        write(top, archive(("link/file", FILE, "x")))
    with pytest.raises(OSError, match="symbolic links"):
        write(top, archive(("made", LINK, "../outside"), ("made/file", FILE, "x")))
    assert os.listdir(top.parent / "outside") == []
    write(top, archive(("link/file", FILE, "x")), follow=True)
    assert os.listdir(top.parent / "outside") == ["file"]


def test_a_directory_that_becomes_a_link_meanwhile(top: Path) -> None:
    def swap(name: bytes) -> None:
        if name == b"dir/came":
            (top / "dir").rename(top / "moved")
            (top / "dir").symlink_to("../outside")

    with pytest.raises(OSError, match="symbolic links"):
        write(top, archive(("dir/", DIR, ""), ("dir/came", FILE, "x")), before=swap)
    assert os.listdir(top.parent / "outside") == []


def test_an_open_directory_is_the_one_that_was_found(top: Path) -> None:
    """What is in it goes where it was, wherever that is now."""

    def swap(name: bytes) -> None:
        if name == b"dir/two":
            (top / "dir").rename(top / "moved")
            (top / "dir").symlink_to("../outside")

    write(top, archive(("dir/one", FILE, "1"), ("dir/two", FILE, "2")), before=swap)
    assert sorted(os.listdir(top / "moved")) == ["kept", "one", "two"]
    assert os.listdir(top.parent / "outside") == []
