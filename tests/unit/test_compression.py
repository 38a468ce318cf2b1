"""Packed streams: every form read as if it were plain, and what is damaged said so."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import sys
from collections.abc import Callable

import pytest

from minidock.errors import BadArchive
from minidock.image.compression import (
    PIECE,
    Peek,
    Tee,
    as_source,
    compression_of,
    decompressed,
)

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

DATA = os.urandom(3000) + b"hello world " * 200_000
PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "xz": lzma.compress,
    "zstd": zstd.compress,
    "bzip2": bz2.compress,
}
ALL = pytest.mark.parametrize("name", PACKERS)


class Drip:
    """A source that gives one byte at a time, as a slow pipe might."""

    def __init__(self, data: bytes) -> None:
        self._file = io.BytesIO(data)

    def read(self, size: int) -> bytes:
        return self._file.read(min(size, 1))


def unpack(data: bytes, *, drip: bool = False) -> tuple[str, bytes]:
    source = Peek(Drip(data) if drip else io.BytesIO(data))
    name = compression_of(source.peek(8))
    plain = decompressed(source, name)
    out = b""
    while piece := plain.read(PIECE):
        assert len(piece) <= PIECE
        out += piece
    assert plain.read(PIECE) == b""
    return name, out


@ALL
def test_the_first_bytes_tell_the_form(name: str) -> None:
    assert unpack(PACKERS[name](DATA)) == (name, DATA)
    assert unpack(PACKERS[name](DATA[:5000]), drip=True) == (name, DATA[:5000])


@pytest.mark.parametrize("data", [b"", b"x", DATA, bytes(1024)])
def test_anything_else_is_plain(data: bytes) -> None:
    assert unpack(data) == ("", data)


@ALL
def test_members_behind_each_other_are_one_stream(name: str) -> None:
    pack = PACKERS[name]
    assert unpack(pack(DATA) + pack(b"") + pack(b"more"))[1] == DATA + b"more"
    assert unpack(pack(b"a") + pack(b"b"), drip=True)[1] == b"ab"


@ALL
def test_zeros_behind_the_end_are_padding(name: str) -> None:
    pack = PACKERS[name]
    assert unpack(pack(DATA) + bytes(1_000_000))[1] == DATA
    assert unpack(pack(b"a") + bytes(512) + pack(b"b"))[1] == b"ab"


@ALL
def test_a_stream_that_ends_too_early_is_an_error(name: str) -> None:
    packed = PACKERS[name](DATA)
    for length in (len(packed) - 1, len(packed) // 2, 12):
        with pytest.raises(BadArchive, match=f"^invalid {name} data: "):
            unpack(packed[:length])


@ALL
def test_garbage_behind_the_end_is_an_error(name: str) -> None:
    with pytest.raises(BadArchive, match=f"^invalid {name} data: garbage behind its end$"):
        unpack(PACKERS[name](DATA) + b"garbage")


@ALL
def test_a_flipped_bit_is_an_error(name: str) -> None:
    packed = bytearray(PACKERS[name](os.urandom(100_000)))
    if name == "zstd":
        packed = bytearray(
            zstd.compress(b"x" * 99, options={zstd.CompressionParameter.checksum_flag: 1})
        )
        packed[-1] ^= 1
    else:
        packed[len(packed) // 2] ^= 1
    with pytest.raises(BadArchive):
        unpack(bytes(packed))


def test_a_bomb_comes_out_in_small_pieces() -> None:
    bomb = gzip.compress(bytes(64 << 20), 6)
    assert len(bomb) < 100_000
    source = decompressed(Peek(io.BytesIO(bomb)), "gzip")
    total = 0
    while piece := source.read(PIECE):
        assert len(piece) <= PIECE
        total += len(piece)
    assert total == 64 << 20


def test_xz_may_not_ask_for_any_amount_of_memory() -> None:
    packed = lzma.compress(b"x", filters=[{"id": lzma.FILTER_LZMA2, "dict_size": 1 << 30}])
    with pytest.raises(BadArchive, match=r"[Mm]emory"):
        unpack(packed)


def test_a_tee_shows_what_was_read() -> None:
    seen: list[bytes] = []
    tee = Tee(io.BytesIO(b"abcdef"), seen.append, at_end=lambda: seen.append(b"end"))
    assert (tee.read(4), tee.read(4), tee.read(4)) == (b"abcd", b"ef", b"")
    assert seen == [b"abcd", b"ef", b"end"]


def test_a_descriptor_is_a_source() -> None:
    read_end, write_end = os.pipe()
    os.write(write_end, b"abc")
    os.close(write_end)
    source = as_source(read_end)
    assert (source.read(10), source.read(10)) == (b"abc", b"")
    os.close(read_end)
