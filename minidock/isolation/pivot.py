"""pivot_root: another directory becomes "/", and the old one goes away.

chroot(2) only changes where a process starts to look up names; the old tree stays mounted, and a
process with enough rights climbs back out. pivot_root(2) exchanges the root *mount* of the mount
namespace, so that the old tree can be unmounted: afterwards no path whatever leads to the host's
files, because in this namespace they no longer exist.

The call wants a place inside the new root to put the old one. Given "." for both it stacks the old
root on top of the new one at the same spot, and unmounting "." takes it off again: no directory
needs to be made in the container's root, which may be read-only.

Two cases have to do without it. Where the machine runs from its initial ramfs, that root cannot be
exchanged (`--no-pivot`): the new root is moved on top of it. And a container without a mount
namespace of its own may not take the root away from those it shares it with: it is content with
chroot(2), and not much of a prison.

See: pivot_root(2), which describes this use under NOTES, chroot(2)
"""

from __future__ import annotations

import errno
import os

from minidock.errors import BadJSON
from minidock.isolation.rootfs import keeps_connection, plan_root_propagation
from minidock.linux.flags import MountFlag, UmountFlag
from minidock.step import Step

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import ClassVar

    from minidock.linux.kernel import Kernel
    from minidock.spec.runtime import Spec
    from minidock.step import Context


class PivotRoot(Step):
    """Make `new_root` the root of this mount namespace, and let go of the old root.

    `connected` says that the host would see the old root being unmounted, and lose it too.
    """

    new_root: str
    connected: bool = False
    see: ClassVar[tuple[str, ...]] = ("pivot_root(2)", "umount2(2)")

    def describe(self) -> str:
        return "make the container's filesystem the root, and unmount the host's"

    def apply(self, kernel: Kernel, ctx: Context) -> None:
        # By descriptor, not by name: this is the very mount that all others were made upon.
        kernel.fchdir(ctx.root)
        old_root = kernel.open("/", os.O_PATH | os.O_DIRECTORY) if self.connected else -1
        kernel.pivot_root(".", ".")
        if self.connected:
            kernel.fchdir(old_root)
            kernel.mount(None, ".", None, MountFlag.MS_SLAVE | MountFlag.MS_REC, None)
            kernel.close(old_root)
        # Lazily: the interpreter and its libraries are still mapped from the old root.
        kernel.umount2(".", UmountFlag.MNT_DETACH)
        kernel.chdir("/")
        kernel.close(ctx.root)


class MoveRoot(Step):
    """`--no-pivot`: move the new root on top of the old one, which stays below.

    A chroot can be climbed out of, and what would be found first are the host's /proc and /sys,
    without masks; so these go. The kernel also forbids a user namespace to mount a new procfs where
    none is fully visible, and this keeps to that.
    """

    new_root: str
    see: ClassVar[tuple[str, ...]] = ("mount(2)", "chroot(2)", "pivot_root(2)")

    def describe(self) -> str:
        return "move the container's filesystem over the host's root, which stays below it"

    def apply(self, kernel: Kernel, ctx: Context) -> None:
        points = _kernels_own(kernel, self.new_root)
        kernel.fchdir(ctx.root)
        for point in points:
            kernel.mount(None, point, None, MountFlag.MS_SLAVE | MountFlag.MS_REC, None)
            try:
                kernel.umount2(point, UmountFlag.MNT_DETACH)
            except OSError as error:
                if error.errno not in (errno.EINVAL, errno.EPERM):
                    raise
                # Locked to what is around it: covered, then. mount_namespaces(7)
                kernel.mount("tmpfs", point, "tmpfs", MountFlag.MS_RDONLY, None)
        kernel.mount(".", "/", None, MountFlag.MS_MOVE, None)
        kernel.chroot(".")
        kernel.chdir("/")
        kernel.close(ctx.root)


def _kernels_own(kernel: Kernel, new_root: str) -> list[str]:
    """Where procfs and sysfs are mounted outside the new root, the innermost first."""
    fd, text = kernel.open("/proc/self/mountinfo", os.O_RDONLY), b""
    try:
        while block := kernel.read(fd, 1 << 16):
            text += block
    finally:
        kernel.close(fd)
    points = []
    for line in os.fsdecode(text).splitlines():
        fields, _, filesystem = line.partition(" - ")
        point = fields.split(" ")[4]
        inside = point == new_root or point.startswith(new_root.rstrip("/") + "/")
        if filesystem.split(" ")[0] in ("proc", "sysfs") and not inside:
            points.append(point.replace("\\040", " "))
    return points[::-1]


class ChangeRoot(Step):
    """Without a mount namespace of one's own: begin to look up names at the new root."""

    see: ClassVar[tuple[str, ...]] = ("chroot(2)",)

    def describe(self) -> str:
        return "look up names from the container's directory on; the host's mounts stay its own"

    def apply(self, kernel: Kernel, ctx: Context) -> None:
        kernel.fchdir(ctx.root)
        kernel.chroot(".")
        kernel.chdir("/")
        kernel.close(ctx.root)


class HoldRootOf(Step):
    """For one more process of a container without a mount namespace of its own: the root that its
    init has changed to is init's alone, no namespace leads there."""

    init: int
    see: ClassVar[tuple[str, ...]] = ("proc_pid_root(5)", "chroot(2)")

    def describe(self) -> str:
        return f"hold the root directory of process {self.init} open, to change to it"

    def apply(self, kernel: Kernel, ctx: Context) -> None:
        ctx.root = kernel.open(f"/proc/{self.init}/root", os.O_PATH | os.O_DIRECTORY)


def plan_become_root(spec: Spec, *, pivot: bool = True) -> list[Step]:
    """The last step of building: the container's root becomes "/".

    Without `pivot` by moving it. Raises `BadJSON` where that would be a way out.
    """
    if not spec.makes_namespace("mount"):
        return [ChangeRoot()]
    if pivot:
        root: Step = PivotRoot(spec.root_path, keeps_connection(spec))
    elif spec.rootfs_propagation in ("private", "rprivate"):
        raise BadJSON(
            "config.json: linux.rootfsPropagation of [r]private is not safe without pivot_root"
        )
    else:
        root = MoveRoot(spec.root_path)
    return [root, *plan_root_propagation(spec)]
