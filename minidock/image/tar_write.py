"""Write tar headers: the plain POSIX block, and a PAX entry before it for what does not fit.

A layer's digest is its identity, so the same directory must give the same bytes every time:
nothing random, no clock, no user names (which depend on the host's /etc/passwd), records in
sorted order, numbers in the one shortest form.

Bytes that are no UTF-8 are written as they are, into a PAX path too. The standard wants UTF-8
there, but Linux names are bytes, and GNU tar, Go and Python all give back what was put in.

See: tar_format.py; POSIX pax(1), "pax Extended Header"
"""

from __future__ import annotations

from minidock.errors import MinidockError
from minidock.image.tar_format import (
    DIRECTORY,
    FIELDS,
    MAX_METADATA,
    NANO,
    PAX,
    XATTR_PREFIX,
    byte_sum,
    padding,
    shown,
)

END_OF_ARCHIVE = bytes(1024)
_NAME_SIZE = 100
_MAX_OCTAL_7 = 0o7777777
_MAX_OCTAL_11 = 0o77777777777
_MAGIC = b"ustar\00000"


def encode_header(
    name: bytes,
    kind: bytes,
    *,
    mode: int,
    uid: int = 0,
    gid: int = 0,
    size: int = 0,
    mtime: int = 0,
    linkname: bytes = b"",
    major: int = 0,
    minor: int = 0,
    xattrs: dict[bytes, bytes] | None = None,
    real_size: int | None = None,
) -> bytes:
    """The header of one entry: 512 bytes, or some blocks more where it needs PAX records.

    `mtime` is in nanoseconds since 1970. `size` is what follows in the archive; for a sparse
    file that is its map and its parts, and `real_size` is the length of the file. Raises
    `MinidockError` where the records are more than readers take.
    """
    records: dict[bytes, bytes] = {}
    block_name = name + b"/" if kind == DIRECTORY else name
    if real_size is not None:
        records[b"GNU.sparse.major"] = b"1"
        records[b"GNU.sparse.minor"] = b"0"
        records[b"GNU.sparse.name"] = block_name
        records[b"GNU.sparse.realsize"] = b"%d" % real_size
        # What a program shows that does not know of sparse files, as GNU tar names it.
        block_name = b"GNUSparseFile.0/" + name.rpartition(b"/")[2]
    if len(block_name) > _NAME_SIZE:
        records[b"path"] = block_name
    if len(linkname) > _NAME_SIZE:
        records[b"linkpath"] = linkname
    seconds, nanoseconds = divmod(mtime, NANO)
    if nanoseconds or not 0 <= seconds <= _MAX_OCTAL_11:
        records[b"mtime"] = _time(mtime)
        seconds = seconds if 0 <= seconds <= _MAX_OCTAL_11 else 0
    if uid > _MAX_OCTAL_7:
        records[b"uid"], uid = b"%d" % uid, 0
    if gid > _MAX_OCTAL_7:
        records[b"gid"], gid = b"%d" % gid, 0
    block_size = size
    if size > _MAX_OCTAL_11:
        records[b"size"], block_size = b"%d" % size, 0
    for key, value in (xattrs or {}).items():
        records[XATTR_PREFIX + key] = value
    block = _block(block_name, kind, mode, uid, gid, block_size, seconds, linkname, major, minor)
    return _pax(name, records) + block if records else block


def _block(
    name: bytes,
    kind: bytes,
    mode: int,
    uid: int,
    gid: int,
    size: int,
    seconds: int,
    linkname: bytes,
    major: int,
    minor: int,
) -> bytes:
    numbers = (b"%07o\0" % mode, b"%07o\0" % uid, b"%07o\0" % gid, b"%011o\0" % size)
    # Owner names stay empty; device numbers are zeros for what is no device, as Go writes them.
    devices = (b"%07o\0" % major, b"%07o\0" % minor)
    block = FIELDS.pack(
        name,
        *numbers,
        b"%011o\0" % seconds,
        b" " * 8,
        kind,
        linkname,
        _MAGIC,
        *devices,
        b"",
        b"",
    )
    return b"%b%06o\0 %b" % (block[:148], byte_sum(block), block[156:])


def _pax(name: bytes, records: dict[bytes, bytes]) -> bytes:
    """An entry of type `x` with these records."""
    data = b"".join(_record(key, records[key]) for key in sorted(records))
    if len(data) > MAX_METADATA:
        raise MinidockError(f"{shown(name)}: its extended attributes are too large for a layer")
    title = b"PaxHeaders.0/" + name.rpartition(b"/")[2]
    block = _block(title[:_NAME_SIZE], PAX, 0o644, 0, 0, len(data), 0, b"", 0, 0)
    return block + data + bytes(padding(len(data)))


def _record(key: bytes, value: bytes) -> bytes:
    """`"LENGTH key=value\\n"`, where the length counts its own digits."""
    rest = len(key) + len(value) + 3
    length = rest + len(str(rest))
    if len(str(length)) > len(str(rest)):
        length += 1
    return b"%d %b=%b\n" % (length, key, value)


def _time(nanoseconds: int) -> bytes:
    sign = b"-" if nanoseconds < 0 else b""
    whole, fraction = divmod(abs(nanoseconds), NANO)
    text = b"%b%d.%09d" % (sign, whole, fraction)
    return text.rstrip(b"0").rstrip(b".")
