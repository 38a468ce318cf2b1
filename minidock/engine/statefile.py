"""Small JSON files that are either the old version or the new one, never half of it.

A rename replaces a name at once, but the kernel may write it to disk before the file's content:
after a power cut the file would be there and empty. So: write beside, fsync, rename, fsync the
directory. What would be removed at the container's end anyway (`--rm`) goes without the fsyncs.

See: rename(2), fsync(2)
"""

from __future__ import annotations

import os
from _thread import get_native_id

from minidock.linux.files import remove_file
from minidock.spec.lean_json import dumps, loads

_ROOM = ".room"  # of the file that is kept for another
_ROOM_SIZE = 4096

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def write_json(
    path: str, document: dict[str, Any], *, durable: bool = True, instead_of: str = ""
) -> None:
    """Replace the file at `path`. Raises `OSError`; the old file stays then."""
    write_file(path, dumps(document).encode(), durable=durable, instead_of=instead_of)


def write_file(path: str, content: bytes, *, durable: bool = True, instead_of: str = "") -> None:
    """Replace the file at `path` with `content`, mode 0600. What lies at `instead_of`, which the
    new file makes untrue, goes once that is safely written. Raises `OSError`."""
    temporary = f"{path}.{get_native_id()}.tmp"  # a build has threads
    try:
        _take(f"{path}{_ROOM}", temporary)
        _write(temporary, content, durable)
        if instead_of:
            remove_file(instead_of)
        os.rename(temporary, path)
    except OSError as error:
        remove_file(temporary)
        error.filename = (
            error.filename or path
        )  # write(2) knows none, and "No space left" says little
        raise
    if durable:
        sync_directory(os.path.dirname(path))


def keep_room(path: str) -> None:
    """Take now the space that the file at `path` will need: when it is time to write it, the disk
    may be full. Raises `OSError`."""
    room = path + _ROOM
    try:
        _write(room, b" " * _ROOM_SIZE, durable=False)
    except OSError:
        remove_file(room)
        raise


def _take(room: str, temporary: str) -> None:
    try:
        os.rename(room, temporary)
    except FileNotFoundError:
        pass  # the usual case: none was kept


def _write(path: str, content: bytes, durable: bool) -> None:
    """Over what the file has, not into an empty one: its blocks are there already."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        size = len(content)
        while content:  # the last free block of a disk takes a part, without an error
            content = content[os.write(fd, content) :]
        if os.fstat(fd).st_size > size:
            os.ftruncate(fd, size)
        if durable:
            os.fsync(fd)
    finally:
        os.close(fd)


def sync_directory(path: str) -> None:
    """Make the names in a directory as durable as its files."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def read_json(path: str) -> dict[str, Any] | None:
    """The document at `path`; None where there is none, or only what a power cut left of it."""
    try:
        with open(path, "rb") as file:
            document = loads(file.read())
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return None
    return document if isinstance(document, dict) else None
