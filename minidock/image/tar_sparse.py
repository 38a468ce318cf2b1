"""Files with holes, in the four ways GNU tar has written them.

A sparse file is one whose blocks of zeros take no room on disk: /var/log/lastlog of a system
with high user ids claims 300 GB and occupies 12 kB. An archive that stored the zeros would be as
large as the claim, so it stores a map of the parts that hold data, then those parts end to end:

| dialect | where the map stands | where the real size stands |
|---|---|---|
| old GNU, type `S` | in the header block and the blocks after it | the same block |
| PAX 0.0 | records `GNU.sparse.offset` and `.numbytes`, one pair a part | `GNU.sparse.size` |
| PAX 0.1 | one record `GNU.sparse.map`, numbers between commas | `GNU.sparse.size` |
| PAX 1.0 | before the data, a number a line, padded to a whole block | `GNU.sparse.realsize` |

A map is a claim like every other: parts that overlap, run backwards or end behind the end of the
file, or whose sum is not what is stored, are refused, as Go's archive/tar refuses them.

Layers of other tools, and most of ours, store all zeros of a sparse file after all (pack.py says
why). `hole_writer` finds them again, as `cp --sparse=always` does.

Functions here raise `ValueError` with the reason; the reader of headers adds the name.

See: GNU tar manual, "Storing Sparse Files"; lseek(2), SEEK_HOLE
"""

from __future__ import annotations

import os

from minidock.image.tar_format import BLOCK_SIZE, MAX_INT64, MAX_METADATA, padding

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    Map = tuple[tuple[int, int], ...]
    Records = list[tuple[bytes, bytes]]

HOLE = 4096  # a block of most filesystems; smaller holes do not exist
_ZEROS = bytes(HOLE)


def check_map(parts: Map, size: int, stored: int) -> Map:
    """`parts` if it fits a file of `size` bytes of which `stored` are in the archive."""
    end = total = 0
    for offset, length in parts:
        if offset < end or length < 0:
            raise ValueError("its parts overlap or run backwards")
        end = offset + length
        total += length
    if not 0 <= end <= size <= MAX_INT64:
        raise ValueError("it reaches beyond the end of the file")
    if total != stored:
        raise ValueError(f"it speaks of {total} bytes where {stored} are stored")
    return parts


def read_old_gnu_map(
    block: bytes, stored: int, next_block: Callable[[], bytes], number: Callable[[bytes], int]
) -> tuple[Map, int]:
    """The map of an entry of type `S`: 4 parts in the header, 21 in each block that follows."""
    parts: list[tuple[int, int]] = []

    def add(area: bytes) -> None:
        for start in range(0, len(area), 24):
            offset, length = area[start : start + 12], area[start + 12 : start + 24]
            if not offset.strip(b"\0"):
                break
            parts.append((number(offset), number(length)))

    size = number(block[483:495])
    add(block[386:482])
    extended = block[482]
    blocks = 0
    while extended:
        blocks += 1
        if blocks * BLOCK_SIZE > MAX_METADATA:
            raise ValueError("it is too long")
        more = next_block()
        add(more[:504])
        extended = more[504]
    return check_map(tuple(parts), size, stored), size


def is_sparse_pax(records: Records) -> bool:
    """Whether these `GNU.sparse.*` records announce a sparse file, in a version we know of."""
    values = dict(records)
    version = values.get(b"GNU.sparse.major"), values.get(b"GNU.sparse.minor")
    return version in ((b"1", b"0"), (b"0", b"0"), (b"0", b"1")) or (
        version == (None, None)
        and (b"GNU.sparse.map" in values or b"GNU.sparse.numblocks" in values)
    )


def read_pax_map(
    records: Records, stored: int, next_block: Callable[[], bytes]
) -> tuple[Map, int, int]:
    """The map, the size of the file, and how many bytes of the data the map itself took."""
    values = dict(records)
    size = _decimal(values.get(b"GNU.sparse.realsize") or values.get(b"GNU.sparse.size") or b"")
    used = 0
    if values.get(b"GNU.sparse.major") == b"1":
        numbers, used = _read_map_in_data(next_block)
    elif b"GNU.sparse.map" in values:
        text = values[b"GNU.sparse.map"]
        numbers = [_decimal(item) for item in text.split(b",")] if text else []
    else:
        pair = (b"GNU.sparse.offset", b"GNU.sparse.numbytes")
        wanted = [record for record in records if record[0] in pair]
        if any(key != pair[index % 2] for index, (key, _) in enumerate(wanted)):
            raise ValueError("offsets and lengths do not alternate")
        numbers = [_decimal(value) for _, value in wanted]
    if len(numbers) % 2:
        raise ValueError("an offset has no length")
    blocks = values.get(b"GNU.sparse.numblocks")
    if blocks is not None and _decimal(blocks) != len(numbers) // 2:
        raise ValueError("it has not as many parts as it says")
    parts = tuple(zip(numbers[::2], numbers[1::2], strict=True))
    return check_map(parts, size, stored - used), size, used


def _read_map_in_data(next_block: Callable[[], bytes]) -> tuple[list[int], int]:
    text = bytearray()
    lines = 0
    wanted = None  # one line says how many parts there are, two lines are a part
    while wanted is None or lines < wanted:
        if len(text) >= MAX_METADATA:
            raise ValueError("it is too long")
        block = next_block()
        lines += block.count(b"\n")
        text += block
        if wanted is None and lines:
            wanted = 1 + 2 * _decimal(bytes(text).partition(b"\n")[0])
    return [_decimal(line) for line in bytes(text).split(b"\n", wanted)[1:wanted]], len(text)


def write_map(parts: Map) -> bytes:
    """A map in the form of PAX 1.0, to stand before the data."""
    lines = [b"%d" % len(parts), *(b"%d\n%d" % part for part in parts), b""]
    text = b"\n".join(lines)
    return text + bytes(padding(len(text)))


def _decimal(text: bytes) -> int:
    if not text.isdigit() or len(text) > 19:
        raise ValueError("a number is missing or malformed")
    return int(text)


def hole_writer(fd: int) -> Callable[[memoryview], None]:
    """A function that writes a file piece by piece, skipping blocks of zeros.

    The caller sets the length at the end: what is skipped last leaves no trace. A block that
    lies in two pieces is judged in two parts, which is just as right.
    """
    position = 0

    def write(piece: memoryview) -> None:
        nonlocal position
        # One byte of each block, fetched in one go, tells which can be zeros at all.
        first = -position % HOLE or HOLE
        suspects = piece[:1].tobytes() + piece[first::HOLE].tobytes()
        start = 0  # of what is still to write
        index = suspects.find(0)
        while index >= 0:
            at = first + (index - 1) * HOLE if index else 0
            end = min(at + HOLE if index else first, len(piece))
            if piece[at:end].tobytes() == _ZEROS[: end - at]:
                _write_at(fd, piece[start:at], position + start)
                start = end
            index = suspects.find(0, index + 1)
        _write_at(fd, piece[start:], position + start)
        position += len(piece)

    return write


def _write_at(fd: int, data: memoryview, position: int) -> None:
    while data:
        written = os.pwrite(fd, data, position)
        data = data[written:]
        position += written
