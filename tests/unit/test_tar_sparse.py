"""Sparse files: the four dialects of GNU tar, and maps that lie."""

from __future__ import annotations

import io
import os
import shutil
import subprocess

import pytest

from minidock.errors import BadArchive
from minidock.image.tar_read import TarReader
from minidock.image.tar_sparse import check_map, write_map
from minidock.image.tar_write import END_OF_ARCHIVE, encode_header


def expand(archive: bytes) -> bytes:
    """The content of the first file of an archive, holes filled with zeros."""
    stream = io.BytesIO(archive)
    reader = TarReader(lambda: memoryview(stream.read(1 << 20)))
    header = reader.next()
    assert header is not None
    assert header.sparse is not None
    content = bytearray(header.size)
    for offset, length in header.sparse:
        part: list[bytes] = []
        reader.copy(length, lambda piece, part=part: part.append(bytes(piece)))
        content[offset : offset + length] = b"".join(part)
    assert reader.next() is None
    return bytes(content)


@pytest.mark.parametrize("parts", [1, 3, 40])
@pytest.mark.parametrize(
    "form", ["--format=gnu", "--sparse-version=0.0", "--sparse-version=0.1", "--sparse-version=1.0"]
)
def test_dialects_of_gnu_tar(tmp_path: os.PathLike[str], form: str, parts: int) -> None:
    if not shutil.which("tar"):
        pytest.skip("tar is not installed")
    path = os.path.join(tmp_path, "sparse")
    with open(path, "wb") as file:
        for part in range(parts):
            file.seek(part * 100_000)
            file.write(b"data %d" % part * 100)
        file.truncate(parts * 100_000 + 50_000)
    command = ["tar", "--sparse", form, "-C", os.fspath(tmp_path), "-cf", "-", "sparse"]
    if form != "--format=gnu":
        command.insert(1, "--format=posix")
    archive = subprocess.run(command, check=True, capture_output=True).stdout
    with open(path, "rb") as file:
        assert expand(archive) == file.read()


def sparse_archive(parts: tuple[tuple[int, int], ...], size: int, stored: int) -> bytes:
    map_ = write_map(parts)
    header = encode_header(b"f", b"0", mode=0o644, size=len(map_) + stored, real_size=size)
    return header + map_ + b"x" * stored + bytes(-stored % 512) + END_OF_ARCHIVE


def test_what_we_write_we_read() -> None:
    archive = sparse_archive(((4096, 3), (8192, 2)), 10000, 5)
    assert expand(archive) == bytes(4096) + b"xxx" + bytes(4093) + b"xx" + bytes(10000 - 8194)


@pytest.mark.parametrize(
    ("parts", "size", "stored"),
    [
        (((0, 10), (5, 10)), 100, 20),  # overlap
        (((50, 10), (0, 10)), 100, 20),  # backwards
        (((95, 10),), 100, 10),  # beyond the end
        (((0, 10),), 100, 20),  # less than is stored
        (((0, 20),), 100, 10),  # more than is stored
        (((0, 1 << 62), (1 << 62, 1 << 62)), 1 << 63, 0),
    ],
)
def test_maps_that_lie(parts: tuple[tuple[int, int], ...], size: int, stored: int) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        check_map(parts, size, stored)
    with pytest.raises(BadArchive, match="sparse map"):
        expand(sparse_archive(parts, size, stored))


def test_a_map_that_never_ends() -> None:
    header = encode_header(b"f", b"0", mode=0o644, size=4 << 20, real_size=10)
    with pytest.raises(BadArchive, match="too long"):
        expand(header + b"900000\n" + b"1" * (4 << 20))


def test_a_map_longer_than_the_data() -> None:
    header = encode_header(b"f", b"0", mode=0o644, size=512, real_size=10)
    with pytest.raises(BadArchive, match="sparse map"):
        expand(header + b"200\n".ljust(512, b"1") + END_OF_ARCHIVE)
