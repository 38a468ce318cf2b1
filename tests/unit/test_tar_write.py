"""Our tar headers, judged by the standard library's tarfile."""

from __future__ import annotations

import io
import tarfile

import pytest

from minidock.errors import MinidockError
from minidock.image.tar_format import DIRECTORY, REGULAR, SYMLINK, byte_sum
from minidock.image.tar_write import END_OF_ARCHIVE, encode_header


def judge(header: bytes, data: bytes = b"") -> tarfile.TarInfo:
    archive = header + data + bytes(-len(data) % 512) + END_OF_ARCHIVE
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        (member,) = tar.getmembers()
        return member


def test_what_fits_takes_one_block() -> None:
    header = encode_header(b"etc/motd", REGULAR, mode=0o4755, uid=1, gid=2, mtime=7 * 10**9)
    assert len(header) == 512
    member = judge(header)
    assert (member.name, member.mode, member.uid, member.gid) == ("etc/motd", 0o4755, 1, 2)
    assert (member.mtime, member.uname, member.gname) == (7, "", "")


@pytest.mark.parametrize("length", [99, 100, 101, 255, 256, 300, 4000])
def test_long_names_and_targets(length: int) -> None:
    name, target = b"n" * length, b"t" * length
    member = judge(encode_header(name, SYMLINK, mode=0o777, linkname=target))
    assert (member.name.encode(), member.linkname.encode()) == (name, target)


def test_names_that_are_not_utf8() -> None:
    for length in (1, 200):
        name = b"\xff\xfe" * length
        member = judge(encode_header(name, REGULAR, mode=0o644))
        assert member.name.encode("utf-8", "surrogateescape") == name


def test_large_numbers() -> None:
    member = judge(encode_header(b"f", DIRECTORY, mode=0o755, uid=2**32 - 2, gid=2**31))
    assert (member.uid, member.gid) == (2**32 - 2, 2**31)
    # 9 GB do not fit into the octal field.
    raw = encode_header(b"f", REGULAR, mode=0o644, size=9 * 10**9)
    with tarfile.open(fileobj=io.BytesIO(raw)) as tar:
        member = tar.next()  # type: ignore[assignment]
    assert member.size == 9 * 10**9


@pytest.mark.parametrize(
    ("nanoseconds", "text"),
    [
        (1_700_000_000_123_456_789, "1700000000.123456789"),
        (1_500_000_000, "1.5"),
        (-1_500_000_000, "-1.5"),
        (-(10**9), "-1"),
        (10**20, "100000000000"),
    ],
)
def test_times(nanoseconds: int, text: str) -> None:
    member = judge(encode_header(b"f", REGULAR, mode=0o644, mtime=nanoseconds))
    assert member.pax_headers["mtime"] == text


def test_attributes_are_sorted() -> None:
    one = encode_header(b"f", REGULAR, mode=0, xattrs={b"user.a": b"\0\n", b"user.b": b"2"})
    two = encode_header(b"f", REGULAR, mode=0, xattrs={b"user.b": b"2", b"user.a": b"\0\n"})
    assert one == two
    assert judge(one).pax_headers["SCHILY.xattr.user.a"] == "\0\n"


@pytest.mark.parametrize("size", range(80, 110))
def test_record_lengths_count_themselves(size: int) -> None:
    member = judge(encode_header(b"f", REGULAR, mode=0, xattrs={b"user.a": b"x" * size}))
    assert member.pax_headers["SCHILY.xattr.user.a"] == "x" * size


def test_more_than_a_reader_takes_is_refused() -> None:
    with pytest.raises(MinidockError, match="too large"):
        encode_header(b"f", REGULAR, mode=0, xattrs={b"user.a": bytes(1 << 20)})


@pytest.mark.parametrize("block", [bytes(512), b"\xff" * 512, bytes(range(256)) * 2])
def test_byte_sum_is_a_sum(block: bytes) -> None:
    assert byte_sum(block) == sum(block)
