"""The mount of type "cgroup": the container's own part of the cgroup tree.

One entry in the spec stands for what this host's kind of cgroups needs: a single filesystem on v2,
on v1 a tmpfs with one hierarchy per directory in it (cgroups/common.py says which). In a cgroup
namespace of its own a container mounts them anew, and sees its cgroup as their root. Without one
the same would show the whole host's, so the container's own directories are bound instead.

See: cgroups(7), cgroup_namespaces(7)
"""

from __future__ import annotations

from minidock.isolation.cgroups.mounts import cgroup_mounts
from minidock.isolation.mount_options import MountOptions, parse_options
from minidock.isolation.mounts import BindMount, Mount
from minidock.isolation.restrictions import RemountReadonly
from minidock.linux.flags import MountFlag

TYPE_CHECKING = False
if TYPE_CHECKING:
    from minidock.isolation.mounts import MountsPlan
    from minidock.linux.cgroupfs import CgroupFacts
    from minidock.spec.runtime import Mount as SpecMount
    from minidock.spec.runtime import Spec

_SAFE = MountFlag.MS_NOSUID | MountFlag.MS_NODEV | MountFlag.MS_NOEXEC


def plan_cgroup_mount(plan: MountsPlan, spec: Spec, mount: SpecMount, cgroups: CgroupFacts) -> None:
    """Add what shows the container its cgroup; writable only where no option says `ro`."""
    target = mount.destination
    options = parse_options(mount.options)
    readonly = bool(options.flags & MountFlag.MS_RDONLY)
    change = MountOptions(flags=MountFlag(_SAFE | options.flags & MountFlag.MS_RDONLY)).change
    for source, where, kind, flags, data in cgroup_mounts(cgroups, spec, target, readonly=readonly):
        if flags & MountFlag.MS_REMOUNT:
            continue  # the change of a bind, or of the tmpfs: made here in other ways
        if flags & MountFlag.MS_BIND:
            plan.mounts.append(BindMount(source, where, change))
        elif kind == "cgroup2" and not _may_mount(spec):
            plan.mounts.append(BindMount(cgroups.unified, where, change, recursive=True))
        else:
            plan.mounts.append(Mount(source, where, kind, MountFlag(flags), data))
            if kind == "tmpfs" and readonly:
                plan.readonly.append(RemountReadonly(where))


def _may_mount(spec: Spec) -> bool:
    """The kernel lets the root of a user namespace mount cgroup2 only with a cgroup namespace."""
    return spec.has_namespace("cgroup") or not spec.has_namespace("user")
