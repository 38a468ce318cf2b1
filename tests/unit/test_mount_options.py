"""The words of `options`: each has a meaning, and of two that contradict each other the later."""

from __future__ import annotations

import pytest

from minidock.isolation.mount_options import known_options, parse_options
from minidock.isolation.mount_target import check_destination

# What runc 1.2 lists under `runc features`, mountOptions.
RUNC = (
    "async atime bind defaults dev diratime dirsync exec idmap iversion lazytime loud mand noatime "
    "nodev nodiratime noexec noiversion nolazytime nomand norelatime nostrictatime nosuid "
    "nosymfollow private ratime rbind rdev rdiratime relatime remount rexec ridmap rnoatime rnodev "
    "rnodiratime rnoexec rnorelatime rnostrictatime rnosuid rnosymfollow ro rprivate rrelatime rro "
    "rrw rshared rslave rstrictatime rsuid rsymfollow runbindable rw shared silent slave "
    "strictatime suid symfollow sync tmpcopyup unbindable"
).split()


def test_every_word_of_runcs_is_known() -> None:
    assert known_options() == sorted(RUNC)


def test_every_known_word_is_kept_from_the_filesystem() -> None:
    assert parse_options(tuple(known_options())).data == ()


def test_what_is_not_known_is_the_filesystems_own() -> None:
    options = parse_options(("ro", "size=1k", "x-mount.mkdir", "", "mode=755"))
    assert options.data == ("size=1k", "x-mount.mkdir", "mode=755")


@pytest.mark.parametrize(
    ("words", "change"),
    [
        ("rbind rprivate", (0, 0)),
        ("ro nosuid nodev noexec", (0xF, 0)),
        ("rw suid dev exec", (0, 0xF)),
        ("rw ro", (0x1, 0)),
        ("ro rw", (0, 0x1)),
        ("noatime", (0x10, 0x70)),
        ("strictatime", (0x20, 0x70)),
        ("relatime", (0, 0x70)),
        ("noatime relatime", (0, 0x70)),
        ("relatime noatime", (0x10, 0x70)),
        ("atime", (0, 0x70)),
        ("norelatime", (0, 0)),
        ("sync lazytime silent iversion mand dirsync", (0, 0)),
        ("nodiratime nosymfollow", (0x200080, 0)),
    ],
)
def test_what_becomes_of_a_mount_that_exists(words: str, change: tuple[int, int]) -> None:
    found = parse_options(tuple(words.split())).change
    assert (int(found.attr_set), int(found.attr_clr)) == change


@pytest.mark.parametrize(
    ("words", "change"),
    [
        ("rro rnosuid", (0x3, 0)),
        ("rro rrw", (0, 0x1)),
        ("rrw rro", (0x1, 0)),
        ("rnoatime rstrictatime", (0x20, 0x70)),
        ("rstrictatime rrelatime", (0, 0x70)),
        ("rnorelatime", (0, 0)),
    ],
)
def test_what_becomes_of_all_below(words: str, change: tuple[int, int]) -> None:
    found = parse_options(tuple(words.split())).recursively
    assert (int(found.attr_set), int(found.attr_clr)) == change


@pytest.mark.parametrize(
    ("destination", "kind", "fine"),
    [
        ("/proc", "proc", True),
        ("/proc/", "tmpfs", False),
        ("/./proc", "sysfs", False),
        ("/proc", "bind", True),  # of a procfs; what it is, is seen later
        ("/proc/cpuinfo", "bind", True),
        ("/proc//uptime", "bind", True),
        ("/proc/self/environ", "bind", False),
        ("/proc/../proc/sys", "bind", False),
        ("/proc/sys/kernel", "tmpfs", False),
        ("/process", "tmpfs", True),
        ("/", "tmpfs", True),
    ],
)
def test_what_may_not_be_mounted_whatever_is_there(destination: str, kind: str, fine: bool) -> None:
    assert (check_destination(destination, kind) == "") is fine
