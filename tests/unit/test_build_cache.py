"""What makes a cache key, and how a miss is explained."""

from __future__ import annotations

import os
import time
from pathlib import Path

from minidock.build.cache import (
    ABOVE,
    INPUTS,
    INSTRUCTION,
    Cache,
    Entry,
    Made,
    first_change,
    key_of,
    why_different,
    why_found,
)
from minidock.build.directory import Directory
from minidock.build.hashes import Hashes
from minidock.image.stack import resolve

MADE = Made("2026-01-01T00:00:00Z")


def entry(parent: str = "p", **parts: str) -> Entry:
    return Entry(parent, parts, MADE)


def why(before: Entry | None, **parts: str) -> str:
    return why_different(before, "p", parts, [], [])


def test_a_key_depends_on_everything() -> None:
    keys = {
        key_of("a", {"x": "1"}),
        key_of("b", {"x": "1"}),
        key_of("a", {"x": "2"}),
        key_of("a", {"y": "1"}),
        key_of("a", {}),
    }
    assert len(keys) == 5
    assert key_of("a", {"x": "\udcff"})  # a name that is no UTF-8


def test_what_is_put_is_found(tmp_path: Path) -> None:
    cache = Cache(str(tmp_path))
    assert cache.find("k" * 64) is None
    cache.put("k" * 64, entry(instruction="RUN x"), ["a\0b"])
    assert cache.find("k" * 64) == MADE
    assert cache.inputs("k" * 64) == ["a\0b"]
    assert [key for key, _ in cache.known()] == ["k" * 64]
    cache.forget("k" * 64)
    assert cache.find("k" * 64) is None


def test_what_a_power_cut_spoiled_is_not_found(tmp_path: Path) -> None:
    cache = Cache(str(tmp_path))
    cache.put("k", entry())
    path = tmp_path / "build/cache/k.json"
    for content in (b"", b"{", b"[]", b"{}", b'{"Created": 1}', path.read_bytes()[:-3]):
        path.write_bytes(content)
        assert cache.find("k") is None


def test_the_first_difference_is_told() -> None:
    assert why(None) == "it was not built before"
    assert why(entry(**{INSTRUCTION: "RUN a"}), **{INSTRUCTION: "RUN b"}) == (
        "the instruction was: RUN a"
    )
    assert why(entry(**{"ARG V": "1"}), **{"ARG V": "2"}) == "ARG V was 1 and is 2"
    assert why(entry(), **{"ARG V": "2"}) == "ARG V is new: 2"
    assert why(entry(**{"ARG V": "1"})) == "ARG V is gone, it was 1"
    above = why(entry(**{ABOVE: "ENV A=1\nUSER x"}), **{ABOVE: "ENV A=2\nUSER x"})
    assert above == "above it, ENV A=2 was ENV A=1"
    assert why(entry(**{ABOVE: "ENV A=1"}), **{ABOVE: ""}) == "above it, ENV A=1 is gone"
    assert why(entry(parent="other")) == "what it is built on is new"
    assert why(entry()) == "its layer is not there any more"


def test_of_inputs_the_first_change_is_told() -> None:
    before = ["a\0f644\0\0x\0", "b\0f644\0\0y\0", "c\0f644\0\0z\0"]
    now = ["a\0f644\0\0x\0", "b\0f755\0\0y\0", "d\0f644\0\0z\0"]
    assert first_change(before, now) == "b has another kind or mode, and 2 more changed"
    assert first_change(["a\0f644\0\0x\0"], ["a\0f644\0\0y\0"]) == "a has another content"
    assert first_change([], ["\0d755\0\0\0"]) == ". is new"
    old = Entry("p", {INPUTS: "1"}, MADE)
    assert why_different(old, "p", {INPUTS: "2"}, before, before[1:]) == "a is gone"


def test_a_hit_says_how_old_it_is() -> None:
    begun = 1_767_225_600_000_000_000  # 2026-01-01
    assert why_found(MADE, begun + 90 * 10**9).endswith("made, 1 minute ago")
    assert why_found(MADE, begun).endswith("0 seconds ago")


# ── remembered hashes ──


def write_old(path: Path, content: str) -> None:
    """A file that was changed some time ago, as far as anybody can see."""
    path.write_text(content)
    time.sleep(0.12)


def digest_of(home: Path, hashes: Hashes, name: str) -> bytes:
    with Directory(str(home)) as tree:
        node = resolve(tree, name)
        assert node
        return hashes.digest(tree, node)[0]


def test_a_file_is_not_read_twice(tmp_path: Path) -> None:
    home, store = tmp_path / "context", str(tmp_path / "hashes/x")
    home.mkdir()
    write_old(home / "a", "one")
    first = Hashes(store)
    digest = digest_of(home, first, "a")
    assert first.read == 1
    first.save()
    again = Hashes(store)
    assert digest_of(home, again, "a") == digest
    assert again.read == 0


def test_a_changed_file_is_read_again(tmp_path: Path) -> None:
    home, store = tmp_path / "context", str(tmp_path / "hashes/x")
    home.mkdir()
    write_old(home / "a", "one")
    first = Hashes(store)
    before = digest_of(home, first, "a")
    first.save()
    times = (home / "a").stat()
    (home / "a").write_text("two")  # the same size, and the same time:
    os.utime(home / "a", ns=(times.st_atime_ns, times.st_mtime_ns))
    again = Hashes(store)
    assert digest_of(home, again, "a") != before
    assert again.read == 1


def test_what_has_just_changed_is_not_remembered(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("one")
    hashes = Hashes(str(tmp_path / "store"))
    digest_of(tmp_path, hashes, "a")
    hashes.save()
    assert not (tmp_path / "store").exists()


def test_a_spoiled_file_of_hashes_is_nothing(tmp_path: Path) -> None:
    home, store = tmp_path / "context", tmp_path / "x"
    home.mkdir()
    write_old(home / "a", "one")
    first = Hashes(str(store))
    digest = digest_of(home, first, "a")
    first.save()
    sound = store.read_bytes()
    for content in (b"", sound[:-1], sound[:30] + b"\xff" + sound[31:], b"other" + sound):
        store.write_bytes(content)
        hashes = Hashes(str(store))
        assert digest_of(home, hashes, "a") == digest
        assert hashes.read == 1
