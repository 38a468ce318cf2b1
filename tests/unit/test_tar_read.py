"""Our reader of tar headers, against archives made by GNU tar, tarfile and by hand."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import tarfile

import pytest

from minidock.errors import BadArchive
from minidock.image.tar_format import MAX_METADATA
from minidock.image.tar_read import Header, TarReader


def block(name: bytes = b"f", kind: bytes = b"0", **fields: bytes) -> bytes:
    """A ustar header made by hand, with a right checksum whatever the fields say."""
    form = {"mode": 100, "uid": 108, "gid": 116, "size": 124, "mtime": 136, "linkname": 157}
    raw = bytearray(512)
    raw[:100] = name[:100].ljust(100, b"\0")
    raw[257:265] = b"ustar\00000"
    raw[156:157] = kind
    for field in ("mode", "uid", "gid"):
        raw[form[field] : form[field] + 8] = b"0000000\0"
    raw[124:136] = raw[136:148] = b"00000000000\0"
    for field, value in fields.items():
        start = form[field]
        raw[start : start + len(value)] = value
    raw[148:156] = b" " * 8
    raw[148:156] = b"%06o\0 " % sum(raw)
    return bytes(raw)


def pax(*records: bytes) -> bytes:
    data = b"".join(records)
    head = block(b"PaxHeaders/f", b"x", size=b"%011o\0" % len(data))
    return head + data + bytes(-len(data) % 512)


def record(key: bytes, value: bytes) -> bytes:
    rest = length = len(key) + len(value) + 3
    while length != rest + len(b"%d" % length):
        length = rest + len(b"%d" % length)
    return b"%d %b=%b\n" % (length, key, value)


def read(archive: bytes, *, piece: int = 1 << 20) -> list[tuple[Header, bytes]]:
    stream = io.BytesIO(archive)
    reader = TarReader(lambda: memoryview(stream.read(piece)))
    found = []
    while header := reader.next():
        data: list[bytes] = []
        reader.copy(header.stored, lambda part, data=data: data.append(bytes(part)))
        found.append((header, b"".join(data)))
    reader.drain()
    return found


def headers(archive: bytes) -> list[Header]:
    return [header for header, _ in read(archive)]


END = bytes(1024)


@pytest.mark.parametrize("piece", [1, 511, 513, 4096])
def test_a_stream_may_come_in_pieces_of_any_size(piece: int) -> None:
    archive = block(b"one", size=b"00000001000\0") + b"a" * 512 + block(b"two") + END
    assert [(h.name, data) for h, data in read(archive, piece=piece)] == [
        (b"one", b"a" * 512),
        (b"two", b""),
    ]


def test_pax_overrides_the_block() -> None:
    long = b"d/" * 200 + b"f"
    archive = (
        pax(
            record(b"path", long),
            record(b"mtime", b"1700000000.123456789"),
            record(b"uid", b"3000000"),
            record(b"SCHILY.xattr.user.x", b"1\0=\n2"),
            record(b"comment", b"nothing to us"),
        )
        + block()
        + END
    )
    (header,) = headers(archive)
    assert header.name == long
    assert header.mtime == 1_700_000_000_123_456_789
    assert header.uid == 3_000_000
    assert header.xattrs == {b"user.x": b"1\0=\n2"}


@pytest.mark.parametrize(
    ("text", "nanoseconds"),
    [
        (b"1.5", 1_500_000_000),
        (b"-1.5", -1_500_000_000),
        (b"0.0000000019", 1),
        (b"7", 7_000_000_000),
    ],
)
def test_pax_times(text: bytes, nanoseconds: int) -> None:
    assert headers(pax(record(b"mtime", text)) + block() + END)[0].mtime == nanoseconds


def test_gnu_long_names_win_over_pax() -> None:
    # Go's order; what Docker shows for such an archive.
    name = b"n" * 300
    long = block(b"././@LongLink", b"L", size=b"%011o\0" % 301) + name + bytes(212)
    (header,) = headers(pax(record(b"path", b"other")) + long + block() + END)
    assert header.name == name


def test_global_records_are_ignored_as_docker_does() -> None:
    data = record(b"path", b"everything")
    glob = block(b"g", b"g", size=b"%011o\0" % len(data)) + data.ljust(512, b"\0")
    assert headers(glob + block(b"f") + END)[0].name == b"f"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        (b"0000755\0", 0o755),
        (b"   755 \0", 0o755),
        (b"\0\0\0\0\0\0\0\0", 0),
        (b"\x80\0\0\0\x00\x2d\xc6\xc0", 3_000_000),
    ],
)
def test_numbers(field: bytes, value: int) -> None:
    assert headers(block(uid=field) + END)[0].uid == value


def test_negative_base_256_times() -> None:
    # A file from 1969, as GNU tar writes it.
    assert headers(block(mtime=b"\xff" * 12) + END)[0].mtime == -1_000_000_000


def test_signed_checksums_of_old_tars() -> None:
    raw = bytearray(block(b"\xff\xfe"))
    signed = sum(byte - 256 if byte > 127 else byte for byte in raw[:148] + raw[156:]) + 256
    raw[148:156] = b"%06o\0 " % signed
    assert headers(bytes(raw) + END)[0].name == b"\xff\xfe"


def test_an_old_directory_is_known_by_its_slash() -> None:
    assert headers(block(b"d/", b"\0") + END)[0].type == b"5"
    assert headers(block(b"d/", b"0") + END)[0].type == b"0"


def test_a_size_on_a_directory_means_nothing() -> None:
    archive = block(b"d", b"5", size=b"00000001000\0") + block(b"f") + END
    assert [h.name for h in headers(archive)] == [b"d", b"f"]


def test_an_archive_may_end_without_zero_blocks_and_with_garbage_after_them() -> None:
    assert len(headers(block())) == 1
    assert headers(b"") == []
    assert len(headers(block() + END + b"garbage" * 1000)) == 1
    assert len(headers(block() + END + block())) == 1, "no concatenated archives, as in Go"


HOSTILE = {
    "checksum": block()[:148] + b"000000\0 " + block()[156:],
    "no tar at all": b"#!/bin/sh\necho hello\n" * 100,
    "half a header": block()[:300],
    "truncated data": block(size=b"00000001000\0") + b"a" * 100,
    "truncated padding": block(size=b"00000000001\0") + b"a",
    "pax without entry": pax(record(b"path", b"x")),
    "pax then end": pax(record(b"path", b"x")) + END,
    "negative size": block(size=b"\xff" * 12) + END,
    "huge size": block(size=b"\x80" + b"\x7f" * 11) + END,
    "size with underscore": block(size=b"1_000\0") + END,
    "size with sign": block(size=b"-1000\0") + END,
    "size not octal": block(size=b"00000000009\0") + END,
    "pax size negative": pax(record(b"size", b"-1")) + block() + END,
    "pax size with sign": pax(record(b"size", b"+1")) + block() + END,
    "pax size of digits": pax(record(b"size", b"9" * 5000)) + block() + END,
    "pax size too large": pax(record(b"size", b"2000")) + block() + END,
    "pax time": pax(record(b"mtime", b"1.x")) + block() + END,
    "pax path with NUL": pax(record(b"path", b"a\0b")) + block() + END,
    "pax length zero": pax(b"0 path=x\n") + block() + END,
    "pax length too small": pax(b"3 path=x\n") + block() + END,
    "pax length too large": pax(b"99 path=x\n") + block() + END,
    "pax length missing": pax(b"path=x\n") + block() + END,
    "pax without newline": pax(b"9 path=xy") + block() + END,
    "pax without key": pax(b"6 =xy\n") + block() + END,
    "pax too large": block(b"p", b"x", size=b"%011o\0" % (MAX_METADATA + 1)) + END,
    "long name too large": block(b"p", b"L", size=b"%011o\0" % (MAX_METADATA + 1)) + END,
    "unknown type": block(b"v", b"V") + END,
    "one zero block": block() + bytes(512) + block() + END,
}


@pytest.mark.parametrize("case", HOSTILE)
def test_broken_archives_are_refused(case: str) -> None:
    with pytest.raises(BadArchive) as caught:
        read(HOSTILE[case])
    assert caught.value.message.startswith("invalid tar archive: ")
    assert "\n" not in caught.value.message


def test_names_are_shown_without_control_characters() -> None:
    with pytest.raises(BadArchive) as caught:
        read(block(b"\x1b[2Jevil\xff\n", b"V") + END)
    assert caught.value.message.isprintable()


@pytest.mark.parametrize("form", ["v7", "oldgnu", "gnu", "ustar", "posix"])
def test_every_format_of_gnu_tar(tmp_path: os.PathLike[str], form: str) -> None:
    if not shutil.which("tar"):
        pytest.skip("tar is not installed")
    root = os.path.join(tmp_path, "root")
    os.makedirs(os.path.join(root, "dir"))
    with open(os.path.join(root, "dir", "file"), "wb") as file:
        file.write(b"content" * 1000)
    os.symlink("file", os.path.join(root, "dir", "link"))
    os.link(os.path.join(root, "dir", "file"), os.path.join(root, "dir", "second"))
    if form in ("gnu", "posix"):
        with open(os.path.join(root, "dir", "n" * 200), "wb") as file:
            file.write(b"x")
    command = ["tar", f"--format={form}", "--sort=name", "-C", root, "-cf", "-", "dir"]
    archive = subprocess.run(command, check=True, capture_output=True).stdout
    with tarfile.open(fileobj=io.BytesIO(archive)) as judge:
        wanted = [
            (os.fsencode(m.name), m.mode, m.uid, m.size, os.fsencode(m.linkname))
            for m in judge.getmembers()
        ]
    found = [(h.name.rstrip(b"/"), h.mode, h.uid, h.size, h.linkname) for h in headers(archive)]
    assert found == wanted
