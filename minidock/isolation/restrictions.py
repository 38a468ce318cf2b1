"""What a container may not see, or not change, although it is mounted there.

Some files in /proc and /sys speak about the machine, not the container, and have no namespace. They
are *masked*, something empty is mounted over them, or made read-only, mounted over themselves. This
comes after all other mounts, since a mount could uncover what a mask hides, and while the process
still may mount.

What is mounted as a mask is the container's own /dev/null, and the image or a volume may have had a
say in what lies there: a link to /proc/sys/kernel/core_pattern, for instance, put there in the
moment between a look and the mount (CVE-2025-31133). So the copy to be mounted is taken first, and
it is the copy that is looked at, by its descriptor: what that is, it stays.

See: mount(2), open_tree(2), proc(5), mount_setattr(2)
"""

from __future__ import annotations

import os
import stat

from minidock.errors import StartFailed
from minidock.isolation.detached import DEEP, DETACHED, attach
from minidock.linux.flags import AT_FDCWD, AtFlag, MountAttr, MountFlag
from minidock.step import Step

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import ClassVar

    from minidock.linux.kernel import Kernel
    from minidock.spec.runtime import Spec
    from minidock.step import Context

_NULL = os.makedev(1, 3)
_NO_AT_FLAGS = AtFlag(0)


class MaskPath(Step):
    """Hide a file behind /dev/null, or a directory behind an empty read-only one."""

    path: str
    see: ClassVar[tuple[str, ...]] = ("open_tree(2)", "move_mount(2)", "proc(5)")

    def describe(self) -> str:
        return f"hide {self.path}: it speaks about the host"

    def apply(self, kernel: Kernel, ctx: Context) -> None:
        try:
            target = kernel.open(self.path, os.O_PATH)
        except (FileNotFoundError, NotADirectoryError):
            return  # a kernel without it has nothing to hide
        try:
            if stat.S_ISDIR(kernel.fstat(target).st_mode):
                flags, data = MountFlag.MS_RDONLY, "nr_blocks=1,nr_inodes=1"
                kernel.mount("tmpfs", self.path, "tmpfs", flags, data)
            else:
                _cover_with_null(kernel, target)
        finally:
            kernel.close(target)


def _cover_with_null(kernel: Kernel, target: int) -> None:
    flags = DETACHED | AtFlag.AT_SYMLINK_NOFOLLOW
    null = kernel.open_tree(AT_FDCWD, "/dev/null", flags)
    try:
        about = kernel.fstat(null)
        if not stat.S_ISCHR(about.st_mode) or about.st_rdev != _NULL:
            raise StartFailed("/dev/null is not the null device: refusing to mask with it")
        attach(kernel, null, target)
    finally:
        kernel.close(null)


class ReadonlyPath(Step):
    """Mount a path onto itself and make that mount read-only."""

    path: str
    see: ClassVar[tuple[str, ...]] = ("open_tree(2)", "mount_setattr(2)", "move_mount(2)")

    def describe(self) -> str:
        return f"make {self.path} read-only: writing there would change the host"

    def apply(self, kernel: Kernel, ctx: Context) -> None:
        try:
            target = kernel.open(self.path, os.O_PATH)
        except (FileNotFoundError, NotADirectoryError):
            return
        try:
            # A copy of what the descriptor is open on; its other attributes stay.
            tree = kernel.open_tree(target, "", DETACHED | DEEP)
            try:
                kernel.mount_setattr(tree, "", DEEP, MountAttr.MOUNT_ATTR_RDONLY)
                attach(kernel, tree, target)
            finally:
                kernel.close(tree)
        finally:
            kernel.close(target)


class RemountReadonly(Step):
    """A mount that was to be read-only, but not before all was made in it."""

    path: str
    see: ClassVar[tuple[str, ...]] = ("mount_setattr(2)",)

    def describe(self) -> str:
        return f"make the mount at {self.path} read-only, now that it is complete"

    def apply(self, kernel: Kernel, ctx: Context) -> None:
        _set_readonly(kernel, self.path)


class RemountRootReadonly(Step):
    """`--read-only`: the last mount change, since the ones before may have made mount points."""

    see: ClassVar[tuple[str, ...]] = ("mount_setattr(2)",)

    def describe(self) -> str:
        return "make the whole root filesystem read-only"

    def apply(self, kernel: Kernel, ctx: Context) -> None:
        _set_readonly(kernel, "/")


def _set_readonly(kernel: Kernel, path: str) -> None:
    """This one more, where mount(2) with MS_REMOUNT would set all attributes anew; a `nosuid` that
    came with a mount into a user namespace must not be taken away, and would make it fail."""
    kernel.mount_setattr(AT_FDCWD, path, _NO_AT_FLAGS, MountAttr.MOUNT_ATTR_RDONLY)


def plan_restrictions(spec: Spec) -> list[Step]:
    """Masked and read-only paths, and last of all a read-only root."""
    steps: list[Step] = [MaskPath(path) for path in spec.masked_paths]
    steps += [ReadonlyPath(path) for path in spec.readonly_paths]
    if spec.root_readonly:
        steps.append(RemountRootReadonly())
    return steps
