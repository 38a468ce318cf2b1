"""The new root: a mount of its own, in a tree of mounts that is the container's alone.

A mount namespace begins as a copy of its parent's mounts, and they may stay connected: what one
side mounts, the other sees (*shared subtrees*). So the first thing a container does is to cut that
connection. As a rule in the outward direction only: when the host unmounts a disk our copy of that
mount must go too, or the disk stays busy for as long as the container lives. `rootfsPropagation`
asks for another arrangement: `private` for no connection at all, `shared` to keep both directions,
so that a volume with `rshared` can show mounts made in the container to the host.

Then the root filesystem becomes a mount point, which pivot_root(2) asks for, below a mount that is
not shared, which it asks for as well; and is held open: every path in it is resolved from there.

See: mount_namespaces(7), mount(2), pivot_root(2),
https://docs.kernel.org/filesystems/sharedsubtree.html
"""

from __future__ import annotations

import errno
import os

from minidock.isolation.mount_options import PROPAGATION
from minidock.isolation.overlay import plan_root_overlay
from minidock.linux.flags import MountFlag
from minidock.step import Step

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import ClassVar

    from minidock.linux.kernel import Kernel
    from minidock.spec.runtime import Spec
    from minidock.step import Context

_SLAVE = MountFlag.MS_REC | MountFlag.MS_SLAVE
_WORDS = {
    MountFlag.MS_SLAVE: "let no mount made from here on reach the host "
    "(what the host unmounts still goes)",
    MountFlag.MS_PRIVATE: "cut every connection between the host's mounts and those made from here",
    MountFlag.MS_SHARED: "keep mounts connected with the host's, in both directions",
}


class SetPropagation(Step):
    """Stop mounts made here from appearing on the host."""

    flags: MountFlag = _SLAVE
    see: ClassVar[tuple[str, ...]] = ("mount_namespaces(7)", "mount(2)")

    def describe(self) -> str:
        return next(words for flag, words in _WORDS.items() if self.flags & flag)

    def apply(self, kernel: Kernel, ctx: Context) -> None:
        kernel.mount(None, "/", None, self.flags, None)


class CloseParent(Step):
    """With shared mounts: what is mounted on the root's directory would appear on the host, and
    pivot_root(2) refuses it. So the mount that this directory lies on becomes private."""

    path: str
    see: ClassVar[tuple[str, ...]] = ("mount_namespaces(7)", "pivot_root(2)")

    def describe(self) -> str:
        return f"cut the connection of the mount that holds {self.path}, where the root will be"

    def apply(self, kernel: Kernel, ctx: Context) -> None:
        path = os.path.realpath(self.path)
        while True:
            try:
                return kernel.mount(None, path, None, MountFlag.MS_PRIVATE, None)
            except OSError as error:
                if error.errno != errno.EINVAL or path == "/":  # EINVAL: is no mount point
                    raise
            path = os.path.dirname(path)


class BindRootfs(Step):
    """Make the root filesystem's directory a mount point, which pivot_root(2) asks for."""

    path: str
    see: ClassVar[tuple[str, ...]] = ("mount(2)", "pivot_root(2)")

    def describe(self) -> str:
        return f"mount {self.path} onto itself, since only a mount can become the root"

    def apply(self, kernel: Kernel, ctx: Context) -> None:
        kernel.mount(self.path, self.path, None, MountFlag.MS_BIND | MountFlag.MS_REC, None)


class OpenRootfs(Step):
    """Hold the new root by a descriptor; every path below it is resolved from there."""

    path: str
    see: ClassVar[tuple[str, ...]] = ("openat2(2)",)

    def describe(self) -> str:
        return f"hold {self.path} open: paths below are resolved as if it already were the root"

    def apply(self, kernel: Kernel, ctx: Context) -> None:
        ctx.root = kernel.open(self.path, os.O_PATH | os.O_DIRECTORY)


class SetRootPropagation(Step):
    """`rootfsPropagation`, for the root itself: after the pivot, when "/" is the container's."""

    flags: MountFlag
    see: ClassVar[tuple[str, ...]] = ("mount_namespaces(7)",)

    def describe(self) -> str:
        return "let mounts below the root be connected with copies of it, as rootfsPropagation says"

    def apply(self, kernel: Kernel, ctx: Context) -> None:
        kernel.mount(None, "/", None, self.flags, None)


def plan_rootfs(spec: Spec) -> list[Step]:
    """The root filesystem, mounted and held open: an overlay where the spec mounts one at "/",
    else a plain directory."""
    if not spec.makes_namespace("mount"):
        return [OpenRootfs(spec.root_path)]  # for chroot(2): nothing is mounted on the host
    flags = _propagation(spec)
    # What is unbindable cannot be shown in the container either: that is for the root alone.
    first = MountFlag.MS_PRIVATE if flags & MountFlag.MS_UNBINDABLE else flags
    steps: list[Step] = [SetPropagation(MountFlag(first | MountFlag.MS_REC))]
    if flags & MountFlag.MS_SHARED:
        steps.append(CloseParent(spec.root_path))
    overlay = plan_root_overlay(spec)
    return [*steps, overlay or BindRootfs(spec.root_path), OpenRootfs(spec.root_path)]


def plan_root_propagation(spec: Spec) -> list[Step]:
    """What remains to be said of the root's propagation once it is the root."""
    flags = _propagation(spec)
    if flags & (MountFlag.MS_SHARED | MountFlag.MS_UNBINDABLE):
        return [SetRootPropagation(flags)]
    return []  # slave or private it is by now


def keeps_connection(spec: Spec) -> bool:
    """Whether mounts that go when the old root is let go could take the host's along."""
    return bool(_propagation(spec) & MountFlag.MS_SHARED)


def _propagation(spec: Spec) -> MountFlag:
    return MountFlag(PROPAGATION[spec.rootfs_propagation or "rslave"])
