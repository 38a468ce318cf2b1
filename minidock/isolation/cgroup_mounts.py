"""The mount of type "cgroup": the container's own part of the cgroup tree.

One entry in the spec stands for what this host's kind of cgroups needs: a single filesystem on v2,
on v1 a tmpfs with one hierarchy per directory in it.

See: cgroups(7), cgroup_namespaces(7)
"""

from __future__ import annotations

from minidock.isolation.cgroups.common import cgroup_mounts
from minidock.isolation.mounts import Mount
from minidock.linux.flags import MountFlag

TYPE_CHECKING = False
if TYPE_CHECKING:
    from minidock.isolation.mounts import MountsPlan
    from minidock.linux.cgroupfs import CgroupFacts
    from minidock.spec.runtime import Mount as SpecMount
    from minidock.spec.runtime import Spec


def plan_cgroup_mount(plan: MountsPlan, spec: Spec, mount: SpecMount, cgroups: CgroupFacts) -> None:
    """Add what shows the container its cgroup."""
    plan.mounts += [
        Mount(source, target, kind, MountFlag(flags), data)
        for source, target, kind, flags, data in cgroup_mounts(
            cgroups, spec, mount.destination, readonly="ro" in mount.options
        )
    ]
