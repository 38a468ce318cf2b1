"""What a file's content was when it was last read, so that it need not be read again.

A build must know whether any of its inputs changed, and reading fifty thousand files to find that
none did takes longer than the rest. The kernel says it for less: a file with the same inode number,
size, modification time and change time (which nobody can set back) has the same content. So the
SHA-256 of each is remembered together with these five numbers.

One trap is known from git: a clock ticks some hundred times a second, and a file can be written
twice within a tick. So what was changed just before it was read is not remembered.

Whether a file has extended attributes stands in the record too: setting one changes the change
time.

The file on disk is a heading, a checksum (after a power cut it may be anything), and a record of
fixed length for each file: no parser, and fifty thousand are loaded in 20 ms.

See: stat(2), git's Documentation/technical/racy-git
"""

from __future__ import annotations

import os
import struct
import time
from hashlib import sha256
from zlib import crc32

from minidock.image.blobs import unique_name
from minidock.linux.private import make_private

TYPE_CHECKING = False
if TYPE_CHECKING:
    from minidock.image.stack import Node, Tree

_HEADING = b"minidock hashes 2\n"
_NUMBERS = struct.Struct("<QQQqq")  # device, inode, size, mtime, ctime
_KEY = _NUMBERS.size
_EACH = _KEY + 33  # and the digest, and whether there are extended attributes
_TICK = 100_000_000  # nanoseconds, and some more than any tick has
_PIECE = 1 << 20
_SMALL = 1 << 16  # bytes; of files up to here the content is handed over
_SPARE = 10_000  # records of other Dockerfiles' files that are kept beside


class Hashes:
    """The remembered digests of one directory tree, in the file at `path`."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._known: dict[bytes, bytes] | None = None
        self._seen: dict[bytes, bytes] = {}
        self._new = 0
        self.read = 0  # how many files had to be read

    def digest(self, tree: Tree, file: Node) -> tuple[bytes, bool, bytes | None]:
        """The SHA-256 of a regular file, whether it has extended attributes, and its content where
        that was read and is small.

        Raises `OSError`, and `InterruptedError` if it changes while it is read.
        """
        if self._known is None:
            self._known = _load(self._path)
        s = file.status
        key = _NUMBERS.pack(s.st_dev, s.st_ino, s.st_size, s.st_mtime_ns, s.st_ctime_ns)
        digest = self._seen.get(key) or self._known.get(key)
        if digest:
            self._seen[key] = digest
            return digest[:32], digest[32] == 1, None
        digest, content = _read(tree, file)
        self.read += 1
        if max(s.st_mtime_ns, s.st_ctime_ns) < time.time_ns() - _TICK:
            self._seen[key] = digest
            self._new += 1
        return digest[:32], digest[32] == 1, content

    def save(self) -> None:
        """Remember what was learnt. A full disk makes the next build slower, and is no error."""
        if not self._new:
            return
        records = self._seen
        known = self._known or {}
        if len(known) <= 2 * len(records) + _SPARE:
            records = {**known, **records}
        body = b"".join([key + digest for key, digest in records.items()])
        temporary = f"{self._path}.{unique_name()}"
        try:
            make_private(os.path.dirname(self._path))
            with open(temporary, "wb") as out:
                out.write(_HEADING + struct.pack("<I", crc32(body)) + body)
            os.rename(temporary, self._path)
        except OSError:
            try:
                os.unlink(temporary)
            except OSError:
                pass
        self._new = 0


def _load(path: str) -> dict[bytes, bytes]:
    try:
        with open(path, "rb") as file:
            data = file.read()
    except OSError:
        return {}
    start = len(_HEADING) + 4
    body = data[start:]
    sound = data.startswith(_HEADING) and len(body) % _EACH == 0
    if not sound or struct.pack("<I", crc32(body)) != data[start - 4 : start]:
        return {}
    return {body[i : i + _KEY]: body[i + _KEY : i + _EACH] for i in range(0, len(body), _EACH)}


def _read(tree: Tree, file: Node) -> tuple[bytes, bytes | None]:
    fd = tree.open(file)
    try:
        if not same_file(os.fstat(fd), file.status):
            raise changed(file)
        attributes = b"\1" if _listxattr(fd) else b"\0"
        if file.status.st_size <= _SMALL:
            content = os.read(fd, _SMALL + 1)
            if len(content) != file.status.st_size:
                raise changed(file)
            return sha256(content).digest() + attributes, content
        total = sha256()
        while piece := os.read(fd, _PIECE):
            total.update(piece)
        if not same_file(os.fstat(fd), file.status):
            raise changed(file)
        return total.digest() + attributes, None
    finally:
        os.close(fd)


def _listxattr(fd: int) -> list[str]:
    try:
        return os.listxattr(fd)
    except OSError:
        return []  # a filesystem without


def same_file(now: os.stat_result, before: os.stat_result) -> bool:
    """Whether a file is still the one that was looked at, with the same content."""
    return (
        now.st_ino == before.st_ino
        and now.st_ctime_ns == before.st_ctime_ns
        and now.st_size == before.st_size
        and now.st_dev == before.st_dev
    )


def changed(file: Node) -> InterruptedError:
    """The error where it is not."""
    return InterruptedError(0, "changed while it was being read", f"/{file.path}")
