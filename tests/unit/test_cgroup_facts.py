"""Which hierarchies there are is what /proc/self/mountinfo says, and nothing else."""

from pathlib import Path

import pytest

from minidock.linux.cgroupfs import (
    CgroupFacts,
    Hierarchy,
    parse_cgroup_facts,
    read_unified_controllers,
)

ROOT = "23 1 8:1 / / rw - ext4 /dev/sda1 rw\n"
SYS = "24 23 0:22 / /sys rw,relatime - sysfs sysfs rw\n"
V2 = SYS + "30 24 0:24 / /sys/fs/cgroup rw,relatime shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"
TMPFS = "31 24 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755\n"
CPU = "32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw shared:9 - cgroup cgroup rw,cpu,cpuacct\n"
DEVICES = "36 31 0:33 / /sys/fs/cgroup/devices rw,relatime - cgroup cgroup rw,devices\n"
NAMED = (
    "40 31 0:37 / /sys/fs/cgroup/systemd rw - cgroup cgroup "
    "rw,xattr,release_agent=/lib/systemd/systemd-cgroups-agent,name=systemd\n"
)
UNIFIED = "41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n"


def test_v2() -> None:
    assert parse_cgroup_facts(ROOT + V2) == CgroupFacts((), "/sys/fs/cgroup")


def test_hybrid_has_both_kinds() -> None:
    facts = parse_cgroup_facts(ROOT + SYS + TMPFS + CPU + DEVICES + NAMED + UNIFIED)
    assert facts == CgroupFacts(
        (
            Hierarchy("/sys/fs/cgroup/cpu,cpuacct", ("cpu", "cpuacct")),
            Hierarchy("/sys/fs/cgroup/devices", ("devices",)),
            Hierarchy("/sys/fs/cgroup/systemd", ("name=systemd",)),
        ),
        "/sys/fs/cgroup/unified",
    )


def test_a_controller_is_found_where_it_is_mounted_together_with_another() -> None:
    facts = parse_cgroup_facts(CPU)
    assert facts.hierarchy_of("cpuacct") == Hierarchy(
        "/sys/fs/cgroup/cpu,cpuacct", ("cpu", "cpuacct")
    )
    assert facts.hierarchy_of("memory") is None


@pytest.mark.parametrize("cover", ["/sys/fs/cgroup", "/sys/fs/cgroup/devices", "/sys", "/"])
def test_a_hierarchy_that_something_was_mounted_over_cannot_be_reached(cover: str) -> None:
    over = f"50 24 0:40 / {cover} rw - tmpfs tmpfs rw\n"
    assert parse_cgroup_facts(SYS + TMPFS + DEVICES + over) == CgroupFacts()


def test_a_mount_beside_covers_nothing() -> None:
    beside = "50 31 0:40 / /sys/fs/cgroup/dev rw - tmpfs tmpfs rw\n"
    assert parse_cgroup_facts(TMPFS + DEVICES + beside).hierarchy_of("devices")


def test_odd_characters_in_a_mount_point_are_decoded() -> None:
    line = r"36 31 0:33 / /mnt/a\040b\134040c rw - cgroup2 cgroup2 rw" + "\n"
    assert parse_cgroup_facts(line).unified == r"/mnt/a b\040c"


def test_no_cgroups_at_all() -> None:
    assert parse_cgroup_facts(ROOT + SYS) == CgroupFacts()


@pytest.mark.parametrize(
    ("files", "usable"),
    [
        ({}, ("cpu", "memory", "pids")),  # the real root has no type
        ({"type": "domain\n", "procs": ""}, ("cpu", "memory", "pids")),
        ({"type": "domain\n", "procs": "1\n77\n"}, ("memory",)),
    ],
    ids=["root of the machine", "root of a namespace, empty", "with processes"],
)
def test_what_a_cgroup_below_the_root_of_v2_can_be_given(
    tmp_path: Path, files: dict[str, str], usable: tuple[str, ...]
) -> None:
    there = {"controllers": "cpu memory pids\n", "subtree_control": "memory\n", **files}
    for name, text in there.items():
        (tmp_path / f"cgroup.{name}").write_text(text)
    assert read_unified_controllers(str(tmp_path)) == usable
