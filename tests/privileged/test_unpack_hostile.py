"""Hostile layers: nothing outside the target, and one clear line."""

from __future__ import annotations

import io
import os

import pytest

from minidock.errors import BadArchive
from minidock.image.tar_write import END_OF_ARCHIVE, encode_header
from minidock.image.unpack import unpack_layer

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="unpacking needs root: chroot, mknod")

FILE, HARD, LINK, CHARACTER, DIRECTORY = b"0", b"1", b"2", b"3", b"5"


def entry(name: bytes, kind: bytes = FILE, linkname: bytes = b"", **more: object) -> bytes:
    return encode_header(name, kind, mode=0o644, linkname=linkname, **more)  # type: ignore[arg-type]


CASES = {
    "dot dot": entry(b"../outside/f"),
    "dot dot in the middle": entry(b"a/../../outside/f"),
    "dot dot alone": entry(b"..", DIRECTORY),
    "absolute link as parent": entry(b"d", LINK, b"OUTSIDE") + entry(b"d/f"),
    "relative link as parent": entry(b"d", LINK, b"../outside") + entry(b"d/f"),
    "far link as parent": entry(b"d", LINK, b"../" * 40 + b"etc") + entry(b"d/f"),
    "link through a link": entry(b"e", LINK, b"/") + entry(b"d", LINK, b"e/etc") + entry(b"d/f"),
    "link that climbs inside": entry(b"a/b", DIRECTORY)
    + entry(b"a/b/up", LINK, b"../../..")
    + entry(b"a/b/up/outside/f"),
    "link that replaces a used parent": entry(b"d", DIRECTORY)
    + entry(b"d/first")
    + entry(b"d", LINK, b"OUTSIDE")
    + entry(b"d/f"),
    "link loop": entry(b"a", LINK, b"b") + entry(b"b", LINK, b"a") + entry(b"a/f"),
    "link to itself": entry(b"a", LINK, b"a") + entry(b"a/f"),
    "link to nothing": entry(b"a", LINK, b"nowhere") + entry(b"a/f"),
    "link to a file": entry(b"f") + entry(b"a", LINK, b"f") + entry(b"a/f"),
    "empty link": entry(b"a", LINK),
    "file as parent": entry(b"f") + entry(b"f/x"),
    "fifo as parent": entry(b"f", b"6") + entry(b"f/x"),
    "hard link outside": entry(b"h", HARD, b"OUTSIDE/secret"),
    "hard link dot dot": entry(b"h", HARD, b"../outside/secret"),
    "hard link through a link": entry(b"d", LINK, b"OUTSIDE") + entry(b"h", HARD, b"d/secret"),
    "hard link to a link as parent": entry(b"d", LINK, b"OUTSIDE")
    + entry(b"h", HARD, b"d")
    + entry(b"h/f"),
    "hard link to a directory": entry(b"d", DIRECTORY) + entry(b"h", HARD, b"d"),
    "hard link to the root": entry(b"h", HARD, b"/"),
    "hard link to nothing": entry(b"h", HARD, b"missing"),
    "hard link to itself": entry(b"h") + entry(b"h", HARD, b"h"),
    "hard link to its own inside": entry(b"d/x") + entry(b"d", HARD, b"d/x"),
    "whiteout of the directory": entry(b"d/.wh."),
    "whiteout of dot": entry(b"d/.wh.."),
    "whiteout of the parent": entry(b"d/.wh..."),
    "whiteout through a link": entry(b"d", LINK, b"OUTSIDE") + entry(b"d/.wh.secret"),
    "opaque through a link": entry(b"d", LINK, b"OUTSIDE") + entry(b"d/.wh..wh..opq"),
    "whiteout of an impossible name": entry(b"d/.wh." + b"n" * 300),
    "whiteout as directory": entry(b".wh.d/f"),
    "root as link": entry(b".", LINK, b"OUTSIDE") + entry(b"f"),
    "root as file": entry(b"./"),
    "root as hard link": entry(b"/", HARD, b"x"),
    "empty name": entry(b""),
    "name too long": entry(b"n" * 256),
    "path too long": entry((b"d" * 200 + b"/") * 30 + b"f"),
    "too deep": entry(b"d/" * 300 + b"f"),
    "owner -1": entry(b"f", uid=(1 << 32) - 1),
    "owner huge": entry(b"f", gid=1 << 40),
    "device huge": entry(b"f", CHARACTER, major=4096),
    "attribute nobody knows": entry(b"f", xattrs={b"security.capability": b"short"}),
    "attribute without name": entry(b"f", xattrs={b"": b"x"}),
    "truncated": entry(b"f", size=5000),
    "truncated after a good file": entry(b"good") + entry(b"f", size=1 << 60),
}


@pytest.fixture
def place(tmp_path: os.PathLike[str]) -> str:
    os.makedirs(os.path.join(tmp_path, "target"))
    os.makedirs(os.path.join(tmp_path, "outside"))
    with open(os.path.join(tmp_path, "outside", "secret"), "w") as secret:
        secret.write("secret")
    return os.fspath(tmp_path)


def attack(place: str, body: bytes, end: bytes = END_OF_ARCHIVE) -> None:
    unpack_layer(io.BytesIO(body + end), f"{place}/target")


@pytest.mark.parametrize("case", CASES)
def test_nothing_outside_and_one_clear_line(place: str, case: str) -> None:
    outside = os.path.join(place, "outside").encode()
    body = CASES[case]
    if b"OUTSIDE" in body:  # the path is longer than the word, so such entries are made anew
        body = _with_outside(body, outside)
    with pytest.raises(BadArchive) as caught:
        attack(place, body, b"" if case.startswith("truncated") else END_OF_ARCHIVE)
    message = caught.value.message
    assert message.startswith("invalid tar archive: ")
    assert message.isprintable()
    assert os.listdir(outside) == [b"secret"]
    assert os.stat(outside + b"/secret").st_nlink == 1
    assert sorted(os.listdir(place)) == ["outside", "target"]


def _with_outside(body: bytes, outside: bytes) -> bytes:
    """The same blocks, link targets that begin with OUTSIDE replaced."""
    blocks = []
    for start in range(0, len(body), 512):
        block = body[start : start + 512]
        target = block[157:257].rstrip(b"\0")
        if target.startswith(b"OUTSIDE"):
            name, kind = block[:100].rstrip(b"\0"), block[156:157]
            block = entry(name, kind, target.replace(b"OUTSIDE", outside))
        blocks.append(block)
    return b"".join(blocks)


def test_overlay_attributes_are_never_set(place: str) -> None:
    attributes = {
        b"trusted.overlay.redirect": b"/../..",
        b"trusted.overlay.opaque": b"y",
        b"trusted.overlay.metacopy": b"",
        b"security.selinux": b"host_t",
        b"trusted.kept": b"1",
    }
    attack(place, entry(b"f", xattrs=attributes) + entry(b"d", DIRECTORY, xattrs=attributes))
    for name in ("f", "d"):
        assert os.listxattr(f"{place}/target/{name}") == ["trusted.kept"]


def test_links_themselves_may_point_anywhere(place: str) -> None:
    # Every image has such links; they mean something only inside the container.
    attack(place, entry(b"mtab", LINK, b"/proc/mounts") + entry(b"up", LINK, b"../../../x"))
    assert os.readlink(f"{place}/target/mtab") == "/proc/mounts"


def test_a_file_does_not_go_through_a_link_of_its_own_name(place: str) -> None:
    link = entry(b"f", LINK, os.path.join(place, "outside/secret").encode())
    attack(place, link + entry(b"f", size=3) + b"own" + bytes(509))
    assert not os.path.islink(f"{place}/target/f")
    with open(f"{place}/outside/secret") as secret:
        assert secret.read() == "secret"


def test_a_fifo_or_device_is_replaced_not_opened(place: str) -> None:
    body = entry(b"p", b"6") + entry(b"p", size=3) + b"own" + bytes(509)
    body += entry(b"n", CHARACTER, major=1, minor=3) + entry(b"n", size=3) + b"own" + bytes(509)
    attack(place, body)
    for name in ("p", "n"):
        assert os.path.getsize(f"{place}/target/{name}") == 3


def test_attributes_of_a_replaced_directory_go_nowhere(place: str) -> None:
    # The mode of a directory is set at the end; by then the name is another one's.
    body = entry(b"victim", DIRECTORY, mtime=5 * 10**9)
    body += entry(b"d/victim", DIRECTORY, mtime=6 * 10**9) + entry(b"d", LINK, b".")
    attack(place, body)
    assert os.stat(f"{place}/target/victim").st_mtime_ns == 5 * 10**9


def test_deep_trees_are_replaced_without_recursion(place: str) -> None:
    attack(place, entry(b"d/" * 200 + b"f") + entry(b"d"))
    assert os.listdir(f"{place}/target") == ["d"]


def test_directories_cost_bounded_memory(place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # The child is a copy of this process, so it sees the smaller limits.
    monkeypatch.setattr("minidock.image.extract.MAX_HELD", 100_000)
    with pytest.raises(BadArchive, match="too many directories"):
        attack(place, b"".join(entry(b"%d" % n, DIRECTORY) for n in range(1000)))
    many = {b"trusted.a": b"x" * 60_000, b"trusted.b": b"x" * 60_000}
    _empty(f"{place}/target")
    with pytest.raises(BadArchive, match="too many directories"):
        attack(place, entry(b"d", DIRECTORY, xattrs=many))


def _empty(target: str) -> None:
    os.rename(target, f"{target}-used")
    os.mkdir(target)


def test_entries_are_counted(place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("minidock.image.extract.MAX_ENTRIES", 100)
    with pytest.raises(BadArchive, match="more than 100 entries"):
        attack(place, entry(b"f") * 101)


def test_names_cost_no_memory(place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # Two links to here make 2^100 names of one directory. They are remembered only so far.
    monkeypatch.setattr("minidock.image.extract.MAX_CACHED", 1000)
    body = entry(b"a", LINK, b".") + entry(b"b", LINK, b".")
    for number in range(300):
        path = "/".join("ab"[number >> bit & 1] for bit in range(100))
        body += entry(path.encode() + b"/f")
    attack(place, body)
    assert sorted(os.listdir(f"{place}/target")) == ["a", "b", "f"]
