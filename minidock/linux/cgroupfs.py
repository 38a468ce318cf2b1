"""Where the cgroup hierarchies of this host are mounted.

A cgroup is made with mkdir(2) and steered by writing to files, so the first question is: below
which directory? There are three answers in use.

    v1        several hierarchies, each with one or a few controllers:
              /sys/fs/cgroup/devices, /sys/fs/cgroup/freezer, /sys/fs/cgroup/cpu,cpuacct …
    v2        one hierarchy with all of them, at /sys/fs/cgroup; also called *unified*
    hybrid    v1, and beside it a unified one with what v1 left over, at /sys/fs/cgroup/unified

The kernel tells in /proc/self/mountinfo. Listing /sys/fs/cgroup would tell something else: on v1 it
is a tmpfs, in which somebody may have left plain directories named after controllers, and a
process "limited" by files in there is not limited at all.

/proc/self/cgroup, where a process stands in each hierarchy, is not asked: paths below a mount point
are all that is needed, and they also hold inside a container, where "/" is not the real root.

On v2 a controller must be handed down, from each cgroup to its children, by a line in its
`cgroup.subtree_control`. The real root may always do that; any other cgroup only while no process
is in it ("no internal processes"). The cgroup that a container or a service sees as its root is
such another one, and it is usually full: then what was handed down already is all there will be.

See: cgroups(7), cgroup_namespaces(7), proc_pid_mountinfo(5)
"""

from __future__ import annotations

import os

from minidock.record import Record

# Words among a v1 mount's options that are controllers; the others are options (rw, xattr …).
_V1_CONTROLLERS = frozenset((
    "cpuset", "cpu", "cpuacct", "blkio", "memory", "devices", "freezer", "net_cls", "perf_event",
    "net_prio", "hugetlb", "pids", "rdma", "misc",
))  # fmt: skip


class Hierarchy(Record):
    """One mounted v1 hierarchy."""

    mount_point: str
    controllers: tuple[str, ...]  # ("cpu", "cpuacct"); a named one such as ("name=systemd",)


class CgroupFacts(Record):
    """Every hierarchy that can be reached; `unified` is the mount point of v2, "" without it, and
    `unified_controllers` are those that a cgroup directly below it can have. `clone_into` says
    whether a process may be born in a cgroup of v2; see isolation/cgroups/v2.py."""

    v1: tuple[Hierarchy, ...] = ()
    unified: str = ""
    unified_controllers: tuple[str, ...] = ()
    clone_into: bool = False

    def hierarchy_of(self, controller: str) -> Hierarchy | None:
        """The v1 hierarchy that has this controller."""
        return next((h for h in self.v1 if controller in h.controllers), None)


def parse_cgroup_facts(mountinfo: str) -> CgroupFacts:
    """Read the text of /proc/self/mountinfo.

    36 31 0:33 / /sys/fs/cgroup/devices rw,relatime - cgroup cgroup rw,devices
             root└ mount point           optional └ type, source, options of the filesystem
    """
    v1: dict[str, Hierarchy] = {}  # by mount point
    unified: list[str] = []
    for line in mountinfo.splitlines():
        fields, _, filesystem = line.partition(" - ")
        mount_point = _unescape(fields.split(" ")[4])
        # A later mount covers what was mounted at or below the same place before.
        v1 = {point: h for point, h in v1.items() if not _covers(mount_point, point)}
        unified = [point for point in unified if not _covers(mount_point, point)]
        kind, _, rest = filesystem.partition(" ")
        if kind == "cgroup2":
            unified.append(mount_point)
        elif kind == "cgroup":
            options = rest.rpartition(" ")[2].split(",")
            found = [o for o in options if o in _V1_CONTROLLERS or o.startswith("name=")]
            v1[mount_point] = Hierarchy(mount_point, tuple(found))
    return CgroupFacts(tuple(v1.values()), unified[0] if unified else "")


def read_cgroup_facts() -> CgroupFacts:
    """Ask the kernel. Raises `OSError` where /proc is not mounted."""
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
        facts = parse_cgroup_facts(file.read())
    if not facts.unified:
        return facts
    return facts.but(unified_controllers=read_unified_controllers(facts.unified))


def read_unified_controllers(root: str) -> tuple[str, ...]:
    """What a new cgroup directly below `root`, a v2 hierarchy's mount point, can be given."""
    # The real root has neither a type nor the rule about processes.
    free = not os.path.exists(f"{root}/cgroup.type") or not _read(f"{root}/cgroup.procs")
    return tuple(_read(f"{root}/cgroup.{'controllers' if free else 'subtree_control'}").split())


def _read(path: str) -> str:
    with open(path, encoding="utf-8") as file:
        return file.read()


def _covers(upper: str, lower: str) -> bool:
    return upper == lower or lower.startswith(upper.rstrip("/") + "/")


def _unescape(path: str) -> str:
    """Space, tab, newline and backslash are written as octal numbers: `\\040`."""
    if "\\" not in path:
        return path
    for octal, char in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        path = path.replace(octal, char)
    return path
