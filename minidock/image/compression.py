"""Compressed streams: what form a tarball has, and reading it as if it were plain.

A layer may come as a plain tar, or packed by gzip, zstd, xz or bzip2. Names and media types lie, so
the first bytes decide. Each format allows several members (frames, streams) behind each other,
which unpack as if they were one: `cat a.gz b.gz`, and what parallel packers such as pigz make.

Unpacking is bounded per step, not in total: a "bomb" of a few KiB that unpacks to gigabytes fills
the disk at worst, never the memory.

gzip goes through isal (Intel's library, which also has code for ARM): 236 ms for 180 MB where zlib
takes 510, and nearly every image is gzip.

See: RFC 1952 (gzip), RFC 8878 (zstd), the .xz file format; Docker's pkg/archive/compression
"""

from __future__ import annotations

import os

from minidock.errors import BadArchive

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, BinaryIO, Protocol

    class Source(Protocol):
        """Something to read from: `read` gives at most so many bytes, and b"" at the end only."""

        def read(self, size: int, /) -> bytes: ...

    class Decompressor(Protocol):
        """One member of a compressed stream; the standard library's interface (see `bz2`)."""

        @property
        def eof(self) -> bool: ...
        @property
        def needs_input(self) -> bool: ...
        @property
        def unused_data(self) -> bytes: ...
        def decompress(self, data: bytes, max_length: int = -1) -> bytes: ...


PIECE = 1 << 20  # bytes that a reader asks for at a time
_INPUT = 1 << 18  # bytes of packed data per step
_OUTPUT = 1 << 18  # bytes of plain data per step, which are still in the cache when they are hashed

_MAGIC = (
    ("gzip", b"\x1f\x8b\x08"),
    ("zstd", b"\x28\xb5\x2f\xfd"),
    ("xz", b"\xfd7zXZ\0"),
    ("bzip2", b"BZh"),
)
_SKIPPABLE = b"\x2a\x4d\x18"  # a zstd frame without data: 0x50 to 0x5f, then this


class Descriptor:
    """A file descriptor as a source."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def read(self, size: int) -> bytes:
        return os.read(self._fd, size)


class Peek:
    """A source whose first bytes can be looked at before they are read."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._head = b""

    def peek(self, size: int) -> bytes:
        """The first `size` bytes, fewer only if there are no more."""
        while len(self._head) < size:
            data = self._source.read(_INPUT)
            if not data:
                break
            self._head += data
        return self._head[:size]

    def read(self, size: int) -> bytes:
        if not self._head:
            return self._source.read(size)
        data, self._head = self._head[:size], self._head[size:]
        return data


class Tee:
    """A source that shows everything that is read to somebody else, a hash or a file, and says when
    the end is reached."""

    def __init__(
        self,
        source: Source,
        sink: Callable[[bytes], object],
        at_end: Callable[[], object] = lambda: None,
    ) -> None:
        self._source = source
        self._sink = sink
        self._at_end = at_end

    def read(self, size: int) -> bytes:
        data = self._source.read(size)
        if data:
            self._sink(data)
        else:
            self._at_end()
        return data


def compression_of(head: bytes) -> str:
    """`gzip`, `zstd`, `xz`, `bzip2`, or an empty string: from the first 8 bytes."""
    for name, magic in _MAGIC:
        if head.startswith(magic):
            return name
    return "zstd" if head[1:4] == _SKIPPABLE and head[0] >> 4 == 5 else ""


def decompressed(source: Source, compression: str) -> Source:
    """The plain data behind `source`; `compression` as `compression_of` says."""
    if not compression:
        return source
    new, error = _decompressor(compression)
    return Decompressed(source, compression, new, error)


def _decompressor(compression: str) -> tuple[Callable[[], Decompressor], type[Exception]]:
    """How to begin a member, and what it raises when the data is wrong."""
    if compression == "gzip":
        from isal import igzip_lib

        def begin_gzip() -> Any:
            return igzip_lib.IgzipDecompressor(flag=igzip_lib.DECOMP_GZIP)

        error: Any = igzip_lib.error
        return begin_gzip, error
    if compression == "zstd":
        zstd = _zstd()
        return zstd.ZstdDecompressor, zstd.ZstdError
    if compression == "xz":
        import lzma

        def begin_xz() -> Decompressor:
            # xz -9 needs 65 MB to unpack; a header can ask for 4 GB.
            return lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=256 << 20)

        return begin_xz, lzma.LZMAError
    import bz2

    return bz2.BZ2Decompressor, OSError


def _zstd() -> Any:
    try:
        from compression import zstd  # type: ignore[import-not-found,unused-ignore]
    except ImportError:  # Python before 3.14
        from backports import zstd
    return zstd


class Decompressed:
    """The plain data of a packed source. `read` raises `BadArchive` if it is damaged."""

    def __init__(
        self,
        source: Source,
        compression: str,
        new: Callable[[], Decompressor],
        error: type[Exception],
    ) -> None:
        self._source = source
        self._compression = compression
        self._new = new
        self._error = error
        self._member = new()
        self._rest = b""  # read from the source and not yet given to a member

    def read(self, size: int) -> bytes:
        """Up to `size` bytes; the last ones only after the source was read to its end."""
        while not self._member.eof or self._next_member():
            data = b""
            if self._member.needs_input:
                data = self._rest or self._source.read(_INPUT)
                self._rest = b""
                if not data:
                    raise BadArchive(f"invalid {self._compression} data: it ends too early")
            try:
                plain = self._member.decompress(data, min(size, _OUTPUT))
            except self._error as error:
                raise BadArchive(f"invalid {self._compression} data: {error}") from None
            if plain:
                return plain
        return b""

    def _next_member(self) -> bool:
        """Whether another member follows. Zeros behind the last one are padding."""
        rest = self._member.unused_data
        while not rest.strip(b"\0"):
            rest = self._source.read(_INPUT)
            if not rest:
                return False
        rest = rest.lstrip(b"\0")
        while len(rest) < 8 and (more := self._source.read(_INPUT)):
            rest += more
        if compression_of(rest[:8]) != self._compression:
            raise BadArchive(f"invalid {self._compression} data: garbage behind its end")
        self._rest = rest
        self._member = self._new()
        return True


def as_source(stream: int | BinaryIO) -> Source:
    """A descriptor or a binary file object."""
    return Descriptor(stream) if isinstance(stream, int) else stream
