"""The tar format: what its reader and its writer must agree on.

An image layer is a tar archive, and tar is forty years of additions to one 512-byte block:

    offset  0    100  108  116  124  136   148       156       157       257  329   337   345
            name mode uid  gid  size mtime checksum  typeflag  linkname  …    major minor prefix

Behind the block stands the file's content, padded to whole blocks; two blocks of zeros end the
archive. Numbers are octal text; a name has 100 bytes, or 255 with the `prefix` of POSIX (ustar).
What does not fit goes one of two ways. GNU tar writes large numbers in base 256, marked by the
top bit, and puts a long name into an entry of its own before the real one (types `L` and `K`).
POSIX.1-2001 puts an entry of type `x` before the real one, holding records `"27 path=some/long/
name\\n"` that override the block: this "PAX" form also carries what the block has no place for,
nanoseconds (`mtime=1700000000.123456789`) and extended attributes (`SCHILY.xattr.NAME=…`).

See: tar(5) of libarchive, POSIX pax(1)
"""

from __future__ import annotations

from struct import Struct
from zlib import adler32

BLOCK_SIZE = 512
ZERO_BLOCK = bytes(BLOCK_SIZE)
# PAX records, long names and sparse maps are held in memory: 1 MiB each, as in Go's archive/tar.
MAX_METADATA = 1 << 20
MAX_INT64 = (1 << 63) - 1

REGULAR, HARD_LINK, SYMLINK, CHARACTER, BLOCK, DIRECTORY, FIFO = (b"%d" % n for n in range(7))
CONTIGUOUS, OLD_REGULAR, GNU_SPARSE = b"7", b"\0", b"S"
PAX, PAX_GLOBAL, GNU_LONG_NAME, GNU_LONG_LINK = b"x", b"g", b"L", b"K"

# name mode uid gid size mtime checksum typeflag linkname magic+owner names major minor prefix rest
FIELDS = Struct("100s8s8s8s12s12s8sc100s72s8s8s155s12s")
XATTR_PREFIX = b"SCHILY.xattr."
NANO = 1_000_000_000

# Real trees stay below 60 directories. Deeper ones break programs that hold one descriptor a
# level, ours too, and longer paths cannot be given to the kernel: path_resolution(7).
MAX_DEPTH = 256
MAX_PATH = 4095


def padding(size: int) -> int:
    """How many bytes are missing to a whole block."""
    return -size % BLOCK_SIZE


def byte_sum(block: bytes) -> int:
    """The sum of 512 bytes.

    The lower half of an Adler-32 is 1 + the sum of the bytes modulo 65521, and 256 bytes cannot
    reach that: 0.5 µs where `sum(block)` takes 3, and there are two headers to a file.
    """
    return (adler32(block[:256]) & 0xFFFF) + (adler32(block[256:]) & 0xFFFF) - 2


def shown(name: bytes) -> str:
    """A name out of an archive, fit for a terminal: no control characters, no endless length."""
    text = name[:200].decode("utf-8", "backslashreplace") + ("…" if len(name) > 200 else "")
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)
