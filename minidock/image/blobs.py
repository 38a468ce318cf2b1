"""Blobs: files that are named by the SHA-256 of what is in them.

    images/blobs/sha256/<64 hex>      a layer tarball, a config, a manifest
    images/ingest/<name>              one that is still being written

A name that follows from the content gives three things at once: two images with the same layer
share it, a file that was damaged can be told, and nothing is ever written twice or changed. So the
only delicate moment is the first writing. It goes: a file of its own in `ingest`, hashing on the
way, fsync, rename to the final name. Interrupted anywhere before the rename it leaves garbage in
`ingest`, which the next writer sweeps; without the fsync a power cut would leave the right name on
an empty file.

See: image-spec image-layout.md, rename(2), fsync(2)
"""

from __future__ import annotations

import os

from minidock.errors import StoreError
from minidock.linux.files import remove_file
from minidock.linux.private import make_private
from minidock.spec.digest import Digest
from minidock.spec.fields import MAX_JSON
from minidock.spec.reference import is_identifier

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from minidock.spec.image import Descriptor

_CREATE = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC

# A large blob goes to disk while the rest of it is still being made: less to wait for at the end.
_SYNC_EVERY = 16 << 20


class MissingBlob(StoreError):
    """A blob that something points to is not there."""


class Blobs:
    """The blobs of one image layout."""

    def __init__(self, images: str) -> None:
        self._directory = f"{images}/blobs/sha256"
        self.ingest = f"{images}/ingest"

    def make(self) -> None:
        """Create the directories. Raises `OSError`."""
        for path in (self.ingest, self._directory):
            make_private(path)

    def path(self, digest: Digest) -> str:
        return f"{self._directory}/{digest.hex}"

    def writer(self) -> BlobWriter:
        """For `with`: a new blob, which exists once `finish` was called."""
        return BlobWriter(self)

    def put(self, data: bytes) -> Digest:
        """Store a small blob, a JSON document. Durable after `sync`."""
        with self.writer() as blob:
            blob.write(data)
            return blob.finish()

    def sync(self) -> None:
        """Make the names of all finished blobs durable. Before anything points to them."""
        sync_directory(self._directory)

    def read(self, descriptor: Descriptor, what: str) -> bytes:
        """A JSON document. Raises `StoreError` if it is missing or not as long as it should be.

        Its digest is not computed again, on every command, for documents that minidock wrote or
        verified itself; a file that a power cut or a full disk spoiled has another size.
        """
        if descriptor.size > MAX_JSON:
            raise StoreError(f"{what}: {descriptor.size} bytes are too many for a JSON document")
        with open(self.open(descriptor.digest, what), "rb") as file:
            data = file.read(descriptor.size + 1)
        if len(data) != descriptor.size:
            raise StoreError(
                f"{what}: blob {descriptor.digest} is damaged: "
                f"its size is not {descriptor.size} bytes"
            )
        return data

    def has(self, digest: Digest) -> bool:
        return os.path.exists(self.path(digest))

    def open(self, digest: Digest, what: str) -> int:
        """A descriptor to read a blob from. Raises `MissingBlob`, `OSError`."""
        try:
            return os.open(self.path(digest), os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            raise MissingBlob(f"{what}: blob {digest} is missing from the store") from None

    def all(self) -> list[Digest]:
        """Every blob there is."""
        try:
            names = os.listdir(self._directory)
        except FileNotFoundError:
            return []
        return [Digest.from_hex(n) for n in names if is_identifier(n)]

    def remove(self, digest: Digest) -> None:
        remove_file(self.path(digest))


class BlobWriter:
    """A blob being written. Leaving the `with` without `finish` leaves nothing."""

    def __init__(self, blobs: Blobs) -> None:
        from hashlib import sha256

        self.size = 0
        self._unsynced = 0  # bytes of which the disk may not know yet
        self._is_safe = False  # also that they are the file's
        self._blobs = blobs
        self._hash = sha256()
        self._path = f"{blobs.ingest}/{unique_name()}"
        self._fd = -1

    def __enter__(self) -> Self:
        self._fd = os.open(self._path, _CREATE, 0o600)
        return self

    def write(self, data: bytes) -> None:
        self._hash.update(data)
        write_all(self._fd, data)
        self.size += len(data)
        self._unsynced += len(data)
        self._is_safe = False
        if self._unsynced >= _SYNC_EVERY:
            os.fdatasync(self._fd)
            self._unsynced = 0

    def fileno(self) -> int:
        """Its descriptor, to read again what was written."""
        return self._fd

    def sync(self) -> None:
        """Write to disk what is there, while there is something else to wait for."""
        if not self._is_safe:
            os.fsync(self._fd)
            self._is_safe = True

    def finish(self) -> Digest:
        """Give the blob its name. Raises `OSError`, for instance if the disk is full."""
        digest = Digest.from_hex(self._hash.hexdigest())
        self.sync()
        os.rename(self._path, self._blobs.path(digest))
        self._path = ""
        return digest

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        fd, self._fd = self._fd, -1  # a thread that still writes must not meet another file
        os.close(fd)
        if self._path:
            remove_file(self._path)


def unique_name() -> str:
    """A name that no other writer uses at the same time."""
    return f"{os.getpid()}-{os.urandom(8).hex()}"


def write_all(fd: int, data: bytes) -> None:
    """write(2) may take less than it was given, on a disk that is filling up for instance."""
    written = os.write(fd, data)
    while written < len(data):
        written += os.write(fd, memoryview(data)[written:])


def replace_file(path: str, data: bytes, ingest: str, *, durable: bool) -> None:
    """Give the file at `path` new content: all of it or, after an interruption, none.

    Written in `ingest`, a directory on the same filesystem. `durable`: also after a power cut.
    """
    temporary = f"{ingest}/{unique_name()}"
    fd = os.open(temporary, _CREATE, 0o600)
    try:
        write_all(fd, data)
        if durable:
            os.fsync(fd)
        os.rename(temporary, path)
    except BaseException:
        remove_file(temporary)
        raise
    finally:
        os.close(fd)
    if durable:
        sync_directory(os.path.dirname(path))


def sync_directory(path: str) -> None:
    """Make the names in a directory durable."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
