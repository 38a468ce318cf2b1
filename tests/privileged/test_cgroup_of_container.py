"""A container in its cgroup, from `run` to `rm`, on whatever cgroups this machine has."""

from __future__ import annotations

import os
from pathlib import Path

from minidock.isolation.cgroups.place import Cgroup, find_cgroup
from minidock.isolation.cgroups.processes import processes
from minidock.isolation.cgroups.stats import stats
from minidock.linux.cgroupfs import read_cgroup_facts

# In a cgroup namespace v1 shows each joined hierarchy, v2 its one, and the container is their root.
LOOK = """
cat /proc/self/cgroup
cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/memory/memory.limit_in_bytes 2>/dev/null
cat /sys/fs/cgroup/pids.max /sys/fs/cgroup/pids/pids.max 2>/dev/null
mkdir /sys/fs/cgroup/below /sys/fs/cgroup/memory/below 2>/dev/null && echo writable
"""


def cgroup_of(container_id: str) -> Cgroup:
    return find_cgroup(f"/minidock/{container_id}", read_cgroup_facts())


def test_it_sees_its_limits_and_nothing_above(minidock) -> None:
    flags = ("-m", "32m", "--pids-limit", "99")
    said = minidock("run", "--rm", *flags, "busybox", "sh", "-c", LOOK).stdout.splitlines()
    places = [line.split(":", 2) for line in said if line.count(":") == 2]
    assert all(where == "/" for _, _, where in places), places
    assert said[len(places) :] == [str(32 << 20), "99"]


def test_what_is_executed_in_it_is_counted_and_what_ends_leaves_nothing(minidock) -> None:
    container = minidock.ok("run", "-d", "busybox", "sleep", "1000").strip()
    cgroup = cgroup_of(container)
    assert any(map(os.path.isdir, cgroup.directories))
    first = processes(cgroup)
    minidock.ok("exec", "-d", container, "sleep", "1001")
    both = processes(cgroup)
    assert len(first) == 1 and len(both) == 2
    for pid in both:
        lines = Path(f"/proc/{pid}/cgroup").read_text().splitlines()
        mine = {f"/minidock/{container}"} & {line.split(":", 2)[2] for line in lines}
        assert mine, lines
    found = stats(cgroup)
    assert found.pids and found.pids.current == 2
    assert found.memory and found.memory.usage > 0
    minidock.ok("rm", "-f", container)
    assert not any(map(os.path.isdir, cgroup.directories))


def test_killed_for_want_of_memory(minidock) -> None:
    script = "x=0123456789abcdef; while :; do x=$x$x; done"
    done = minidock("run", "--name", "greedy", "-m", "16m", "busybox", "sh", "-c", script)
    assert done.returncode == 137
    assert minidock.ok("inspect", "-f", "{{.State.OOMKilled}}", "greedy") == "true\n"
    minidock.ok("rm", "greedy")
