"""Mounts: the tree of files that a container sees.

A mount namespace begins as a copy of its parent's mounts, and they may stay connected: what one
side mounts, the other sees (shared subtrees). So the first thing a container does is to cut that
connection in the outward direction. Then its own tree is put together below one directory: the root
filesystem, and on top of it the kernel's own filesystems, each with the least rights it works with.
`nodev` where no device node has business, `nosuid` where no program gains rights, `noexec` where
none should run.

Some files in /proc and /sys speak about the machine, not the container, and have no namespace. They
are *masked* (something empty is mounted over them) or made read-only (mounted over themselves).

See: mount(2), mount_namespaces(7), proc(5), mount_setattr(2)
"""

from __future__ import annotations

import os
import stat

from minidock.errors import StartFailed
from minidock.isolation.cgroups.common import cgroup_mounts
from minidock.linux.flags import AtFlag, MountAttr, MountFlag, MoveMountFlag
from minidock.linux.inroot import make_directory, make_file
from minidock.step import Step

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import ClassVar

    from minidock.linux.cgroupfs import CgroupFacts
    from minidock.linux.kernel import Kernel
    from minidock.spec.runtime import Mount as SpecMount
    from minidock.spec.runtime import Spec
    from minidock.step import Context

AT_FDCWD = -100

_MOUNT_OPTIONS = {
    "ro": MountFlag.MS_RDONLY,
    "nosuid": MountFlag.MS_NOSUID,
    "nodev": MountFlag.MS_NODEV,
    "noexec": MountFlag.MS_NOEXEC,
    "sync": MountFlag.MS_SYNCHRONOUS,
    "dirsync": MountFlag.MS_DIRSYNC,
    "noatime": MountFlag.MS_NOATIME,
    "nodiratime": MountFlag.MS_NODIRATIME,
    "relatime": MountFlag.MS_RELATIME,
    "strictatime": MountFlag.MS_STRICTATIME,
}
_NO_FLAG = {"rw", "suid", "dev", "exec", "defaults", "async", "atime", "private", "rprivate"}
_BIND_ATTRIBUTES = {
    "ro": MountAttr.MOUNT_ATTR_RDONLY,
    "nosuid": MountAttr.MOUNT_ATTR_NOSUID,
    "nodev": MountAttr.MOUNT_ATTR_NODEV,
    "noexec": MountAttr.MOUNT_ATTR_NOEXEC,
}


class SetPropagation(Step):
    """Stop mounts made here from appearing on the host."""

    see: ClassVar[tuple[str, ...]] = ("mount_namespaces(7)", "mount(2)")

    def describe(self) -> str:
        return "let no mount made from here on reach the host (what the host unmounts still goes)"

    def apply(self, kernel: Kernel, ctx: Context) -> None:
        # slave, not private: when the host unmounts a disk, our copy of that mount must go too,
        # or the disk stays busy for as long as the container lives. mount_namespaces(7)
        kernel.mount(None, "/", None, MountFlag.MS_REC | MountFlag.MS_SLAVE, None)


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


class Mount(Step):
    """Mount one of the kernel's filesystems below the new root."""

    source: str
    destination: str
    kind: str
    flags: MountFlag
    data: str = ""
    see: ClassVar[tuple[str, ...]] = ("mount(2)",)

    def describe(self) -> str:
        if self.flags & MountFlag.MS_REMOUNT:
            return f"make the mount at {self.destination} read-only, now that it is complete"
        return f"mount {_ARTICLE.get(self.kind, self.kind)} at {self.destination}"

    def apply(self, kernel: Kernel, ctx: Context) -> None:
        target = make_directory(kernel, ctx.root, self.destination)
        try:
            # Through the descriptor: the name could lead elsewhere by now, the descriptor cannot.
            path = f"/proc/self/fd/{target}"
            kernel.mount(self.source, path, self.kind or None, self.flags, self.data or None)
        finally:
            kernel.close(target)


_ARTICLE = {
    "proc": "the process table of the new PID namespace",
    "sysfs": "the kernel's device tree, as the new network namespace sees it,",
    "tmpfs": "an empty filesystem in memory",
    "devpts": "terminals of the container's own",
    "mqueue": "the message queues of the new IPC namespace",
    "cgroup": "the container's part of a cgroup hierarchy",
    "cgroup2": "the container's part of the cgroup tree",
}


class BindMount(Step):
    """Show a file or directory of the host at a path of the container."""

    source: str
    destination: str
    attributes: MountAttr = MountAttr(0)
    recursive: bool = False
    see: ClassVar[tuple[str, ...]] = ("open_tree(2)", "move_mount(2)", "mount_setattr(2)")

    def describe(self) -> str:
        return f"show the host's {self.source} at {self.destination}"

    def apply(self, kernel: Kernel, ctx: Context) -> None:
        deep = AtFlag.AT_RECURSIVE if self.recursive else AtFlag(0)
        tree = kernel.open_tree(
            AT_FDCWD, self.source, AtFlag.OPEN_TREE_CLONE | AtFlag.OPEN_TREE_CLOEXEC | deep
        )
        try:
            if self.attributes:
                kernel.mount_setattr(tree, "", AtFlag.AT_EMPTY_PATH | deep, self.attributes)
            is_directory = stat.S_ISDIR(kernel.fstat(tree).st_mode)
            make = make_directory if is_directory else make_file
            target = make(kernel, ctx.root, self.destination)
            try:
                both = MoveMountFlag.MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlag.MOVE_MOUNT_T_EMPTY_PATH
                kernel.move_mount(tree, "", target, "", both)
            finally:
                kernel.close(target)
        finally:
            kernel.close(tree)


class MaskPath(Step):
    """Hide a file behind /dev/null, or a directory behind an empty read-only one."""

    path: str
    see: ClassVar[tuple[str, ...]] = ("mount(2)", "proc(5)")

    def describe(self) -> str:
        return f"hide {self.path}: it speaks about the host"

    def apply(self, kernel: Kernel, ctx: Context) -> None:
        try:
            is_directory = stat.S_ISDIR(kernel.stat(self.path).st_mode)
        except (FileNotFoundError, NotADirectoryError):
            return  # a kernel without it has nothing to hide
        if is_directory:
            kernel.mount(
                "tmpfs", self.path, "tmpfs", MountFlag.MS_RDONLY, "nr_blocks=1,nr_inodes=1"
            )
            return
        null = kernel.stat("/dev/null")
        if not stat.S_ISCHR(null.st_mode) or null.st_rdev != os.makedev(1, 3):
            raise StartFailed("/dev/null is not the null device: refusing to mask with it")
        kernel.mount("/dev/null", self.path, None, MountFlag.MS_BIND, None)


class ReadonlyPath(Step):
    """Mount a path onto itself and make that mount read-only."""

    path: str
    see: ClassVar[tuple[str, ...]] = ("mount(2)",)

    def describe(self) -> str:
        return f"make {self.path} read-only: writing there would change the host"

    def apply(self, kernel: Kernel, ctx: Context) -> None:
        try:
            kernel.mount(self.path, self.path, None, MountFlag.MS_BIND | MountFlag.MS_REC, None)
        except FileNotFoundError:
            return
        # The flags of /proc are repeated: a remount sets all of them anew.
        flags = (
            MountFlag.MS_BIND
            | MountFlag.MS_REMOUNT
            | MountFlag.MS_RDONLY
            | MountFlag.MS_NOSUID
            | MountFlag.MS_NODEV
            | MountFlag.MS_NOEXEC
        )
        kernel.mount(None, self.path, None, flags, None)


class RemountRootReadonly(Step):
    """`--read-only`: the last mount change, since the ones before may have made mount points."""

    see: ClassVar[tuple[str, ...]] = ("mount(2)",)

    def describe(self) -> str:
        return "make the whole root filesystem read-only"

    def apply(self, kernel: Kernel, ctx: Context) -> None:
        flags = MountFlag.MS_BIND | MountFlag.MS_REMOUNT | MountFlag.MS_RDONLY
        kernel.mount(None, "/", None, flags, None)


def plan_mounts(spec: Spec, cgroups: CgroupFacts) -> list[Step]:
    """Everything below the root, in the spec's order: what is mounted later may lie on earlier.

    The one mount of type "cgroup" stands for what this host's kind of cgroups needs.
    """
    steps: list[Step] = []
    for mount in spec.mounts:
        if mount.kind == "cgroup":
            steps += [
                Mount(source, target, kind, MountFlag(flags), data)
                for source, target, kind, flags, data in cgroup_mounts(cgroups)
            ]
        elif mount.destination != "/":
            steps.append(_plan_mount(mount))
    return steps


def _plan_mount(mount: SpecMount) -> Step:
    if mount.kind == "bind" or {"bind", "rbind"} & set(mount.options):
        attributes = MountAttr(0)
        for option in mount.options:
            attributes |= _BIND_ATTRIBUTES.get(option, MountAttr(0))
        return BindMount(
            mount.source, mount.destination, attributes, recursive="rbind" in mount.options
        )
    flags, data = parse_options(mount.options)
    return Mount(mount.source or mount.kind, mount.destination, mount.kind, flags, data)


def parse_options(options: tuple[str, ...]) -> tuple[MountFlag, str]:
    """Split fstab-like options into mount(2)'s flags and the data the filesystem itself reads."""
    flags, data = MountFlag(0), []
    for option in options:
        if option in _MOUNT_OPTIONS:
            flags |= _MOUNT_OPTIONS[option]
        elif option not in _NO_FLAG:
            data.append(option)
    return flags, ",".join(data)


def plan_restrictions(spec: Spec) -> list[Step]:
    """Masked and read-only paths, and last of all a read-only root."""
    steps: list[Step] = [MaskPath(path) for path in spec.masked_paths]
    steps += [ReadonlyPath(path) for path in spec.readonly_paths]
    if spec.root_readonly:
        steps.append(RemountRootReadonly())
    return steps
