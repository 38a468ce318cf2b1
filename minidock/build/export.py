"""`-o`: the files of a stage, not as an image but as they are.

Into a directory they are put beside what is there already. What is there may be the work of an
earlier build, of anybody's image: so a symbolic link in the way of a file is removed and never
followed, and every directory is entered by a call that refuses links.

See: openat2(2) RESOLVE_NO_SYMLINKS; buildkit exporter/local, exporter/tar
"""

from __future__ import annotations

import os
import stat

from minidock.build.copy import Destination, Owner, write_items
from minidock.build.sources import select
from minidock.engine.output import write_all
from minidock.errors import MinidockError
from minidock.image.stack import Stack

TYPE_CHECKING = False
if TYPE_CHECKING:
    from minidock.build.builder import Build
    from minidock.build.sources import Item
    from minidock.build.state import State

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_PIECE = 1 << 20


def _items(build: Build, state: State) -> list[Item]:
    """Everything, a directory before its content."""
    stack = Stack(build.images.lowerdirs(state.image()))
    items = select(stack, ("/",)).items
    for item in items:
        if not item.node.is_link:
            item.xattrs = item.tree.xattrs(item.node)
    return items


def to_tar(build: Build, state: State, out: int) -> None:
    """Write a tar to a descriptor. Raises `OSError`."""
    selection = select(Stack(()), ())
    items = _items(build, state)
    place = build.workshop.directory()  # the layer that is made beside it, and thrown away
    try:
        write_items(
            place,
            lambda data: write_all(out, data),
            items,
            Destination(Stack(()), "/", selection, link=True),
            Owner("", Stack(())),
            keep_owners=True,
            latest=build.options.epoch,
        )
    finally:
        build.workshop.discard(place)


def to_directory(build: Build, state: State, dest: str) -> None:
    """Put everything into a directory, made where it is missing. Raises `MinidockError`."""
    os.makedirs(dest, exist_ok=True)
    root = os.open(dest, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        directories = []
        for item in _items(build, state):
            if not item.place:
                continue
            parent, _, name = item.place.rpartition("/")
            fd = _enter(root, parent)
            try:
                _put(fd, name, item, build.options.epoch)
            finally:
                os.close(fd)
            if item.node.is_directory:
                directories.append(item)
        for item in reversed(directories):
            fd = _enter(root, item.place)
            _dress(fd, item, build.options.epoch)
            os.close(fd)
    except OSError as error:
        raise MinidockError(f"cannot write to {dest}: {error.filename or ''} {error}") from error
    finally:
        os.close(root)


def _enter(root: int, path: str) -> int:
    from minidock.build.directory import RESOLVE_BENEATH, RESOLVE_NO_SYMLINKS
    from minidock.linux.syscalls import openat2

    if not path:
        return os.dup(root)
    return openat2(root, path, _DIRECTORY, 0, RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS)


def _put(directory: int, name: str, item: Item, latest: int | None) -> None:
    """Make one thing, in place of another that is not a directory like it."""
    try:
        there = os.stat(name, dir_fd=directory, follow_symlinks=False)
    except FileNotFoundError:
        there = None
    if there and not (stat.S_ISDIR(there.st_mode) and item.node.is_directory):
        os.unlink(name, dir_fd=directory)  # fails for a directory where a file should be
        there = None
    if item.node.is_directory:
        if there is None:
            os.mkdir(name, 0o700, dir_fd=directory)
    elif item.node.is_file:
        _copy(directory, name, item, latest)
    else:
        s = item.node.status
        if item.node.is_link:
            os.symlink(item.tree.target(item.node), name, dir_fd=directory)
        else:
            os.mknod(name, s.st_mode, s.st_rdev, dir_fd=directory)
            os.chmod(name, stat.S_IMODE(s.st_mode), dir_fd=directory)
        os.chown(name, s.st_uid, s.st_gid, dir_fd=directory, follow_symlinks=False)
        when = _time(item, latest)
        os.utime(name, ns=(when, when), dir_fd=directory, follow_symlinks=False)


def _copy(directory: int, name: str, item: Item, latest: int | None) -> None:
    source = item.tree.open(item.node)
    try:
        target = os.open(name, _CREATE, 0o600, dir_fd=directory)
        try:
            while piece := os.read(source, _PIECE):
                write_all(target, piece)
            _dress(target, item, latest)
        finally:
            os.close(target)
    finally:
        os.close(source)


def _dress(fd: int, item: Item, latest: int | None) -> None:
    s = item.node.status
    os.fchown(fd, s.st_uid, s.st_gid)
    os.fchmod(fd, stat.S_IMODE(s.st_mode))
    for key, value in item.xattrs.items():
        os.setxattr(fd, key, value)
    when = _time(item, latest)
    os.utime(fd, ns=(when, when))


def _time(item: Item, latest: int | None) -> int:
    when = item.node.status.st_mtime_ns
    return when if latest is None else min(when, latest * 1_000_000_000)
