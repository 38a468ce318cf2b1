"""A tree and its copy are the same, whatever is in it, and whatever waits where the copy goes."""

from __future__ import annotations

import os
import socket
import stat
from pathlib import Path
from typing import Any

import pytest

from minidock.engine.copy_tree import copy_tree

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: it gives files away")


def copied(source: Path, target: Path) -> None:
    fds = [os.open(path, os.O_RDONLY | os.O_DIRECTORY) for path in (source, target)]
    try:
        copy_tree(*fds)
    finally:
        for fd in fds:
            os.close(fd)


def about(top: Path) -> dict[str, Any]:
    found = {}
    for path in (top, *top.rglob("*")):
        status = path.lstat()
        same = status.st_mode, status.st_uid, status.st_gid, status.st_mtime_ns, status.st_nlink
        content: Any = ""
        if path.is_symlink():
            content = os.readlink(path)
        elif path.is_file():
            content = path.read_bytes(), status.st_size
        elif stat.S_ISCHR(status.st_mode):
            content = status.st_rdev
        names = {n: os.getxattr(path, n, follow_symlinks=False)
                 for n in os.listxattr(path, follow_symlinks=False)}  # fmt: skip
        found[str(path.relative_to(top))] = (*same, content, names)
    return found


def test_everything(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    (source / "a" / "b" / "c").mkdir(parents=True)
    target.mkdir()
    (source / "a" / "file").write_bytes(os.urandom(100_000))
    os.link(source / "a" / "file", source / "a" / "b" / "again")
    (source / "empty").touch()
    (source / "link").symlink_to("/etc/passwd")
    os.link(source / "link", source / "same link", follow_symlinks=False)
    os.mkfifo(source / "fifo")
    os.link(source / "fifo", source / "fifo2")
    os.mknod(source / "null", stat.S_IFCHR | 0o620, os.makedev(1, 3))
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(source / "socket"))
    with (source / "holes").open("wb") as file:
        file.seek(5 << 20)
        file.write(b"x" * 5000)
        file.truncate(9 << 20)
    os.setxattr(source / "a", "user.note", b"of a directory")
    os.setxattr(source / "empty", "user.note", b"\0\1")
    capability = bytes.fromhex("0100000200040000000000000000000000000000")
    os.setxattr(source / "a" / "file", "security.capability", capability)
    os.chown(source / "empty", 33, 44)
    os.chmod(source / "empty", 0o6755)
    os.chown(source / "a" / "b", 5, 6)
    os.chmod(source / "a" / "b", 0o3770)
    os.chown(source / "link", 7, 8, follow_symlinks=False)
    for name in ("empty", "a/b/c", "a", "fifo", "."):
        os.utime(source / name, ns=(1, 981173106_123456789))
    copied(source, target)
    assert about(target) == about(source)
    assert (target / "holes").stat().st_blocks * 512 < 1 << 20


def test_what_overlayfs_keeps_for_itself_stays_behind(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    source.mkdir()
    target.mkdir()
    (source / "opaque").mkdir()
    os.setxattr(source / "opaque", "trusted.overlay.opaque", b"y")
    os.mknod(source / "gone", stat.S_IFCHR, os.makedev(0, 0))
    copied(source, target)
    assert os.listdir(target) == ["opaque"]
    assert os.listxattr(target / "opaque") == []


@pytest.mark.parametrize("name", ["file", "directory", "link", "fifo"])
def test_what_waits_in_the_way_is_not_touched(tmp_path: Path, name: str) -> None:
    """Somebody who has the volume puts a link to the host's where a file is about to be made."""
    source, target, canary = (tmp_path / word for word in ("source", "target", "canary"))
    for path in (source, target, canary, source / "directory"):
        path.mkdir()
    (source / "directory" / "inner").write_text("new")
    (source / "file").write_text("new")
    (source / "link").symlink_to("x")
    os.mkfifo(source / "fifo")
    (canary / "file").write_text("of the host")
    (target / name).symlink_to(canary / ("file" if name != "directory" else ""))
    before = about(canary)
    with pytest.raises(FileExistsError):
        copied(source, target)
    assert about(canary) == before
