"""Names and numbers in a container's passwd and group files."""

from __future__ import annotations

import pytest

from minidock.errors import StartFailed
from minidock.isolation.user import find_identity

PASSWD = b"root:x:0:0:root:/root:/bin/sh\nwww:x:33:33::/var/www:/bin/sh\nbroken\nx:y\n"
GROUP = b"root:x:0:\nwww:x:33:\nstaff:x:50:www,root\nextra:x:51:www\nbad:x:nan:www\n"


@pytest.mark.parametrize(
    ("wanted", "uid", "gid", "groups", "home"),
    [
        ("", 0, 0, (0, 50), "/root"),
        ("root", 0, 0, (0, 50), "/root"),
        ("www", 33, 33, (33, 50, 51), "/var/www"),
        ("33", 33, 33, (33, 50, 51), "/var/www"),
        ("1000", 1000, 0, (0,), "/"),
        ("1000:50", 1000, 50, (50,), "/"),
        ("1000:staff", 1000, 50, (50,), "/"),
        ("www:0", 33, 0, (0,), "/var/www"),
        (":staff", 0, 50, (50,), "/root"),
        ("2147483647", 2147483647, 0, (0,), "/"),
    ],
)
def test_who_is_meant(wanted: str, uid: int, gid: int, groups: tuple[int, ...], home: str) -> None:
    found = find_identity(wanted, PASSWD, GROUP)
    assert (found.uid, found.gid, found.groups, found.home) == (uid, gid, groups, home)


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        ("nobody", "unable to find user nobody: no matching entries in passwd file"),
        ("www:nogroup", "unable to find group nogroup: no matching entries in group file"),
        ("4294967296", "uids and gids must be in range 0-2147483647"),
        ("2147483648", "uids and gids must be in range 0-2147483647"),
        ("-1", "uids and gids must be in range 0-2147483647"),
        ("0:4294967296", "uids and gids must be in range 0-2147483647"),
        ("9" * 5000, "uids and gids must be in range 0-2147483647"),
    ],
)
def test_what_is_refused(wanted: str, words: str) -> None:
    with pytest.raises(StartFailed) as caught:
        find_identity(wanted, PASSWD, GROUP)
    assert caught.value.message == words
    assert caught.value.exit_code == 125


@pytest.mark.parametrize("passwd", [b"", b"www:x:33:33::/var/www:/bin/sh\n"])
def test_root_needs_no_entry(passwd: bytes) -> None:
    for nobody_said in ("", "0"):
        found = find_identity(nobody_said, passwd, b"")
        assert (found.uid, found.gid, found.groups, found.home) == (0, 0, (0,), "/")


def test_entries_out_of_range_are_no_entries() -> None:
    passwd = b"evil:x:4294967296:0::/:/bin/sh\n"
    with pytest.raises(StartFailed):
        find_identity("evil", passwd, b"")


def test_files_that_are_not_utf8() -> None:
    assert find_identity("www", b"\xff\xfe:x:1:1::/:\n" + PASSWD, GROUP).uid == 33
