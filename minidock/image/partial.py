"""Blobs that arrive from elsewhere and may stop half-way: what has come is kept for the next try.

    images/ingest/partial-<64 hex>     the first bytes of the blob that should have this digest

Other than what minidock makes itself (blobs.py), a download knows its name before its content. So
the half-written file can be named for what it will be, and whoever wants the same blob later, after
Ctrl-C or a broken line, goes on where it ends. It gets its final name only when all of it has the
right size and digest. One that nobody took up for a day is removed.

See: distribution-spec, "Pulling blobs" (Range)
"""

from __future__ import annotations

import fcntl
import os
import time

from minidock.errors import BadData
from minidock.image.blobs import write_all
from minidock.linux.files import remove_file

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType
    from typing import Self

    from minidock.image.blobs import Blobs
    from minidock.spec.image import Descriptor

PREFIX = "partial-"
_KEEP = 24 * 3600.0  # seconds
_PIECE = 1 << 20
_SYNC_EVERY = 16 << 20


class PartialBlob:
    """For `with`. Two commands that want the same blob at once: the second waits for the first, and
    then finds it `done`."""

    def __init__(self, blobs: Blobs, descriptor: Descriptor) -> None:
        from hashlib import sha256

        self.size = 0
        self.descriptor = descriptor
        self.done = False
        self._blobs = blobs
        self._hash = sha256()
        self._unsynced = 0
        self._fd = -1

    @property
    def _path(self) -> str:
        return f"{self._blobs.ingest}/{PREFIX}{self.descriptor.digest.hex}"

    def __enter__(self) -> Self:
        while True:
            fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            fcntl.flock(fd, fcntl.LOCK_EX)
            if _is_still(fd, self._path):
                break
            os.close(fd)  # who had it before us finished it, or threw it away
        self._fd = fd
        self.done = self._blobs.has(self.descriptor.digest)
        return self

    def kept(self) -> Iterator[bytes]:
        """What an earlier try left, to be hashed and unpacked like the rest. Call it first."""
        while data := os.read(self._fd, _PIECE):
            self._take(data)
            yield data

    def append(self, data: bytes) -> None:
        """The next bytes. Raises `BadData` when they are more than there should be, `OSError`."""
        write_all(self._fd, data)
        self._take(data)
        self._unsynced += len(data)
        if self._unsynced >= _SYNC_EVERY:
            os.fdatasync(self._fd)
            self._unsynced = 0

    def _take(self, data: bytes) -> None:
        self._hash.update(data)
        self.size += len(data)
        if self.size > self.descriptor.size:
            self.discard()
            raise BadData(
                f"{self.descriptor.digest} is longer than the {self.descriptor.size} bytes it "
                f"should have"
            )

    def discard(self) -> None:
        """It is not what it should be, or no longer wanted: begin anew next time."""
        remove_file(self._path)

    def finish(self) -> None:
        """Verify and name it. Raises `BadData` if it is not the blob that was asked for."""
        if self.size != self.descriptor.size:
            raise BadData(
                f"{self.descriptor.digest} has {self.size} bytes instead of {self.descriptor.size}"
            )
        if self._hash.hexdigest() != self.descriptor.digest.hex:
            self.discard()
            raise BadData(
                f"filesystem layer verification failed for digest {self.descriptor.digest}"
            )
        os.fsync(self._fd)
        os.rename(self._path, self._blobs.path(self.descriptor.digest))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        fd, self._fd = self._fd, -1
        if self.done or not os.fstat(fd).st_size:
            self.discard()
        os.close(fd)


def _is_still(fd: int, path: str) -> bool:
    try:
        return os.path.samestat(os.fstat(fd), os.stat(path))
    except FileNotFoundError:
        return False


def is_kept(ingest: str, name: str, now: float | None = None) -> bool:
    """Whether a file in `ingest` is a download that somebody may yet go on with."""
    if not name.startswith(PREFIX):
        return False
    try:
        age = (time.time() if now is None else now) - os.stat(f"{ingest}/{name}").st_mtime
    except FileNotFoundError:
        return False
    return age < _KEEP
