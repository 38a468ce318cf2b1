"""What a container sees of its cgroup, below /sys/fs/cgroup.

Programs read their limits there: how much memory a garbage collector may count on, how many threads
are worth starting. They need the container's own directory and nothing beside or above it, and
must not change it: who could write there could lift the limits.

See: cgroup_namespaces(7), cgroups(7), mount(2)
"""

from __future__ import annotations

import os

from minidock.isolation.cgroups.common import joined_cgroup
from minidock.isolation.cgroups.place import PARENT, find_cgroup, joined_part
from minidock.linux.flags import MountFlag

TYPE_CHECKING = False
if TYPE_CHECKING:
    from minidock.linux.cgroupfs import CgroupFacts
    from minidock.spec.runtime import Spec


def cgroup_mounts(
    facts: CgroupFacts,
    spec: Spec | None = None,
    target: str = "/sys/fs/cgroup",
    *,
    readonly: bool = True,
) -> list[tuple[str, str, str, int, str]]:
    """What to mount for a container to see its cgroup, and only that: (source, target, type, flags,
    data) of mount(2), in order.

    In a cgroup namespace of its own a mounted hierarchy begins with the container's cgroup; without
    one (no `spec` means with) its directory is bound instead, and v2 is shown whole, as runc does.
    On v1 only the joined hierarchies are shown: elsewhere the container stands where the host's
    process stood. One that serves several controllers is shown under each name.
    """
    private = spec is None or any(namespace.kind == "cgroup" for namespace in spec.namespaces)
    path = spec.cgroups_path if spec else f"{PARENT}/?"
    joined = joined_cgroup(spec, facts) if spec else joined_part(find_cgroup(path, facts), ())
    flags = MountFlag.MS_NOSUID | MountFlag.MS_NODEV | MountFlag.MS_NOEXEC
    readonly_flag = MountFlag.MS_RDONLY if readonly else MountFlag(0)
    again = MountFlag.MS_REMOUNT | MountFlag.MS_BIND | flags | readonly_flag
    if not joined.v1:
        return [("cgroup", target, "cgroup2", flags | readonly_flag, "")]
    shown: list[tuple[str, str, str, int, str]] = []
    for controller, directory in joined.v1:
        hierarchy = facts.hierarchy_of(controller)
        assert hierarchy
        for name in dict.fromkeys((os.path.basename(hierarchy.mount_point), controller)):
            where = f"{target}/{name}"
            if any(where == other for _, other, *_ in shown):
                continue
            if private:
                data = ",".join(hierarchy.controllers)
                shown.append(("cgroup", where, "cgroup", flags | readonly_flag, data))
            else:
                shown.append((directory, where, "", MountFlag.MS_BIND, ""))
                shown.append(("", where, "", again, ""))
    return [
        ("tmpfs", target, "tmpfs", flags, "mode=755,size=64k"),
        *shown,
        # Read-only once the mount points are made in it.
        *([("tmpfs", target, "", again, "")] if readonly else []),
    ]
