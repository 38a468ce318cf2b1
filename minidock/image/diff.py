"""What a container changed, as a list: A added, C changed, D deleted.

The upper directory of an overlay says what was touched, but `docker diff` tells more: whether a
file was there before (A or C), and it leaves out what was copied up without being altered. So each
name in upper is looked up in the layers below, as overlayfs would: from the top layer down, until
something is found that hides the rest (a file, a whiteout, an opaque directory).

The container may be running meanwhile: see pack.py for why the walk follows no symbolic link.

See: filesystems/overlayfs.rst; moby's pkg/archive/changes.go, whose answers these are
"""

from __future__ import annotations

import os
import stat

from minidock.errors import MinidockError
from minidock.image.pack import OPEN_DIRECTORY, list_directory
from minidock.image.pack import write_layer as write_layer
from minidock.image.tar_format import MAX_DEPTH, NANO, shown
from minidock.image.whiteout import is_opaque, is_whiteout
from minidock.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence


class Change(Record):
    """One line of `docker diff`: kind `A` added, `C` changed, `D` deleted; path with its slash."""

    kind: str
    path: str


def changes(upper: str, lowerdirs: Sequence[str]) -> list[Change]:
    """What `docker diff` prints, sorted, a directory before its content.

    `lowerdirs` are the directories of the image's layers, topmost first. As with Docker, a
    directory is `C` when something below it changed, a file only when its mode, owner, size,
    time, device or capabilities differ; deleting a directory is one line, making one is a line for
    each thing in it.
    """
    found: list[Change] = []
    fd = os.open(upper, OPEN_DIRECTORY)
    try:
        _compare(fd, b"", [os.fsencode(lower) for lower in lowerdirs], found, 0)
    finally:
        os.close(fd)
    return found


def _compare(
    directory: int, prefix: bytes, lowers: list[bytes], found: list[Change], depth: int
) -> None:
    """Compare an open directory of upper with what the layers have at the same place."""
    if depth > MAX_DEPTH:
        raise MinidockError(f"/{shown(prefix)}: more than {MAX_DEPTH} directories deep")
    present = dict(list_directory(directory))
    names = set(present)
    if lowers and is_opaque(directory):
        names |= _names(lowers)
    for base in sorted(names):
        path = prefix + b"/" + base
        if base not in present:
            found.append(Change("D", os.fsdecode(path)))
            continue
        try:
            _compare_entry(directory, base, path, lowers, found, depth)
        except (FileNotFoundError, NotADirectoryError):
            continue  # gone or replaced since it was listed: the container may be running


def _compare_entry(
    directory: int, base: bytes, path: bytes, lowers: list[bytes], found: list[Change], depth: int
) -> None:
    """One name of upper, and what is below it if it is a directory."""
    old_path, old, old_lowers = _look_up(lowers, base)
    new = os.stat(base, dir_fd=directory, follow_symlinks=False)
    if is_whiteout(new):
        if old is not None:
            found.append(Change("D", os.fsdecode(path)))
        return
    before = len(found)
    if old is None:
        found.append(Change("A", os.fsdecode(path)))
    elif _differs(old, new) or _capability(old_path) != _capability(
        b"/proc/self/fd/%d/%b" % (directory, base)
    ):
        found.append(Change("C", os.fsdecode(path)))
    if not stat.S_ISDIR(new.st_mode):
        return
    first = len(found)
    fd = os.open(base, OPEN_DIRECTORY, dir_fd=directory)
    try:
        _compare(fd, path, old_lowers, found, depth + 1)
    finally:
        os.close(fd)
    if len(found) > first == before:
        found.insert(before, Change("C", os.fsdecode(path)))


def _look_up(lowers: list[bytes], base: bytes) -> tuple[bytes, os.stat_result | None, list[bytes]]:
    """What the layers show under a name: its path, its status, and the directories it merges."""
    path, status = b"", None
    merged: list[bytes] = []
    for lower in lowers:
        candidate = lower + b"/" + base
        try:
            here = os.lstat(candidate)
        except FileNotFoundError:
            continue
        if is_whiteout(here):
            break
        is_directory = stat.S_ISDIR(here.st_mode)
        if status is None:
            path, status = candidate, here
        if not is_directory:
            break
        merged.append(candidate)
        if is_opaque(candidate):
            break
    return path, status, merged


def _names(lowers: list[bytes]) -> set[bytes]:
    """All names that merged directories show."""
    shown_names: dict[bytes, bool] = {}
    for lower in lowers:
        with os.scandir(lower) as entries:
            for entry in entries:
                if entry.name not in shown_names:
                    regular = entry.is_file(follow_symlinks=False)
                    gone = not regular and is_whiteout(entry.stat(follow_symlinks=False))
                    shown_names[entry.name] = not gone
    return {name for name, visible in shown_names.items() if visible}


def _differs(old: os.stat_result, new: os.stat_result) -> bool:
    if (old.st_mode, old.st_uid, old.st_gid, old.st_rdev) != (
        new.st_mode,
        new.st_uid,
        new.st_gid,
        new.st_rdev,
    ):
        return True
    # Size and time of a directory say nothing: they change with what is in it.
    if stat.S_ISDIR(new.st_mode):
        return False
    return old.st_size != new.st_size or not _same_time(old.st_mtime_ns, new.st_mtime_ns)


def _same_time(old: int, new: int) -> bool:
    # Archives without PAX times know only seconds, so a zero fraction says "not known" (moby).
    if old % NANO == 0 or new % NANO == 0:
        return old // NANO == new // NANO
    return old == new


def _capability(path: bytes) -> bytes:
    try:
        return os.getxattr(path, b"security.capability", follow_symlinks=False)
    except OSError:  # ENODATA, or a filesystem without extended attributes
        return b""
