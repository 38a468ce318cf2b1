"""Names in an archive, and links among its directories."""

from __future__ import annotations

import os

import pytest

from minidock.image.names import clean, follow, prefix_ends


@pytest.mark.parametrize(
    ("name", "cleaned"),
    [
        (b"etc/motd", b"etc/motd"),
        (b"./etc/motd", b"etc/motd"),
        (b"/etc//motd", b"etc/motd"),
        (b"etc/", b"etc"),
        (b"etc/./x/..", b"etc"),
        (b"...", b"..."),
        (b"a/.hidden", b"a/.hidden"),
        (b"./", b""),
        (b"/", b""),
        (b"a/..", b""),
    ],
)
def test_clean(name: bytes, cleaned: bytes) -> None:
    assert clean(name) == cleaned


@pytest.mark.parametrize("name", [b"..", b"../x", b"a/../../x", b"/../x", b"./../x"])
def test_nothing_climbs_above_the_root(name: bytes) -> None:
    with pytest.raises(ValueError, match="out of"):
        clean(name)


def test_prefixes() -> None:
    assert [b"a/bc/d"[:end] for end in prefix_ends(b"a/bc/d")] == [b"a", b"a/bc", b"a/bc/d"]
    assert prefix_ends(b"") == []


@pytest.fixture
def tree(tmp_path: os.PathLike[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    os.makedirs("usr/lib/x")
    os.symlink("usr/lib", "lib")
    os.symlink("../../lib/./x", "usr/lib/again")


def test_links_that_stay_inside(tree: None) -> None:
    assert follow(b"lib") == b"usr/lib"
    assert follow(b"usr/lib/again") == b"usr/lib/x"


@pytest.mark.parametrize(
    ("target", "reason"),
    [
        ("/usr", "absolute"),
        ("..", "out of"),
        ("usr/../../x", "out of"),
        ("nowhere", "nothing"),
        ("link", "not lead to a directory"),
        ("file", "not lead to a directory"),
    ],
)
def test_links_that_do_not(tree: None, target: str, reason: str) -> None:
    open("file", "w").close()
    os.symlink(target, "link")
    with pytest.raises(ValueError, match=reason):
        follow(b"link")
