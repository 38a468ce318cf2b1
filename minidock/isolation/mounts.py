"""Mounts: the tree of files that a container sees, below its root.

On the root filesystem lie the kernel's own filesystems, each with the least rights it works with
(`nodev` where no device node has business, `nosuid` where no program gains rights, `noexec` where
none should run), and files and directories of the host.

There are two ways to mount. mount(2) makes a filesystem, sets its options and attaches it, all in
one call; what it cannot do is one thing more before anybody sees the result. The newer calls take
it apart: fsopen(2) and fsmount(2) give a descriptor of a mount attached nowhere, open_tree(2) one
of a copy of the host's, and only move_mount(2) attaches it. In between it can be changed: made
read-only with all that is mounted below it, connected, filled. So at its place it appears complete;
and since no path is resolved twice, nobody can bring another file into that place meanwhile.

What the words in `options` mean: mount_options.py. Where a mount may go: mount_target.py. What is
hidden or made read-only afterwards: restrictions.py. New filesystems that mount(2) alone cannot
make: prepared.py. Mounts whose owners are shifted, or that only the host's root may reach:
idmapped.py.

See: mount(2), fsopen(2), fsmount(2), open_tree(2), move_mount(2), mount_setattr(2)
"""

from __future__ import annotations

import errno
import os
import stat

from minidock.errors import BadJSON, StartFailed
from minidock.isolation.detached import attach, change_tree, clone_tree
from minidock.isolation.mount_options import NO_CHANGE, NO_FLAGS, Change, parse_options
from minidock.isolation.mount_target import (
    check_destination,
    kind_of_bind,
    open_existing,
    open_target,
    plain_path,
)
from minidock.isolation.restrictions import RemountReadonly
from minidock.isolation.rootfs import OpenRootfs
from minidock.linux.flags import MountFlag
from minidock.step import Step

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import ClassVar

    from minidock.isolation.mount_options import MountOptions
    from minidock.linux.cgroupfs import CgroupFacts
    from minidock.linux.kernel import Kernel
    from minidock.spec.runtime import Mount as SpecMount
    from minidock.spec.runtime import Spec
    from minidock.step import Context

_NOT_FOUND = 127  # the exit code that Docker gives when a message says "no such file or directory"
_PASSED_ON = MountFlag.MS_SHARED | MountFlag.MS_UNBINDABLE  # what a new mount is not anyway


class MountStep(Step):
    """What all mounts have in common: they come from somewhere, go somewhere, and may fail."""

    source: str
    destination: str

    def apply(self, kernel: Kernel, ctx: Context) -> None:
        try:
            self.mount(kernel, ctx)
        except OSError as error:
            raise mount_failed(self.source, self.destination, error) from error

    def mount(self, kernel: Kernel, ctx: Context) -> None:
        raise NotImplementedError(type(self).__name__)


def mount_failed(source: str, destination: str, error: OSError) -> StartFailed:
    """The error, in the words of runc."""
    why = os.strerror(error.errno or 0).lower()
    if error.errno == errno.ENOENT and error.filename == source:
        why = f"stat {source}: {why}"
    code = _NOT_FOUND if error.errno in (errno.ENOENT, errno.ENOTDIR) else 128
    message = f'error mounting "{source}" to rootfs at "{destination}": {why}'
    return StartFailed(message, exit_code=code)


class Mount(MountStep):
    """Mount one of the kernel's filesystems below the new root."""

    kind: str
    flags: MountFlag = NO_FLAGS
    data: str = ""
    see: ClassVar[tuple[str, ...]] = ("mount(2)",)

    def describe(self) -> str:
        if self.flags & MountFlag.MS_REMOUNT:
            return f"change the options of the mount at {self.destination}"
        return f"mount {ARTICLE.get(self.kind, self.kind)} at {self.destination}"

    def mount(self, kernel: Kernel, ctx: Context) -> None:
        words = tuple(self.data.split(","))
        target, mode = open_with_mode(kernel, ctx.root, self.destination, self.kind, words)
        data = ",".join(filter(None, (*mode, self.data)))
        try:
            # Through the descriptor: the name could lead elsewhere by now, the descriptor cannot.
            path = f"/proc/self/fd/{target}"
            kernel.mount(self.source, path, self.kind or None, self.flags, data or None)
        finally:
            kernel.close(target)


ARTICLE = {
    "proc": "the process table of the new PID namespace",
    "sysfs": "the kernel's device tree, as the new network namespace sees it,",
    "tmpfs": "an empty filesystem in memory",
    "devpts": "terminals of the container's own",
    "mqueue": "the message queues of the new IPC namespace",
    "cgroup": "the container's part of a cgroup hierarchy",
    "cgroup2": "the container's part of the cgroup tree",
}


def open_with_mode(
    kernel: Kernel, root: int, destination: str, kind: str, words: tuple[str, ...]
) -> tuple[int, tuple[str, ...]]:
    """Open the place, and say which option is missing: a tmpfs has the mode of the directory that
    it covers, if that is there and no other is asked for. So /tmp stays everybody's, /root root's.
    """
    mode: tuple[str, ...] = ()
    if kind == "tmpfs" and not any(word.startswith("mode=") for word in words):
        there = open_existing(kernel, root, destination)
        if there is not None:
            mode = (f"mode={stat.S_IMODE(kernel.fstat(there).st_mode):04o}",)
            kernel.close(there)
    return open_target(kernel, root, destination, kind), mode


class BindMount(MountStep):
    """Show a file or directory of the host at a path of the container."""

    attributes: Change = NO_CHANGE
    recursively: Change = NO_CHANGE
    propagation: tuple[MountFlag, ...] = ()
    recursive: bool = False
    subpath: str = ""
    see: ClassVar[tuple[str, ...]] = ("open_tree(2)", "move_mount(2)", "mount_setattr(2)")

    def describe(self) -> str:
        part = f"{self.subpath}, looked up inside of " if self.subpath else ""
        return f"show {part}the host's {self.source} at {self.destination}"

    def mount(self, kernel: Kernel, ctx: Context) -> None:
        tree = clone_tree(kernel, self.source, recursive=self.recursive, subpath=self.subpath)
        try:
            change_tree(kernel, tree, self.attributes, self.recursively, self.propagation)
            attach_tree(kernel, ctx.root, tree, self.destination)
        finally:
            kernel.close(tree)


def attach_tree(kernel: Kernel, root: int, tree: int, destination: str) -> None:
    """Mount `tree` at its place, made as a file or a directory, as the tree is one."""
    is_directory = stat.S_ISDIR(kernel.fstat(tree).st_mode)
    kind = kind_of_bind(kernel, tree, destination)
    target = open_target(kernel, root, destination, kind, is_directory=is_directory)
    try:
        if not is_directory and stat.S_ISDIR(kernel.fstat(target).st_mode):
            raise OSError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))  # move_mount says EINVAL
        attach(kernel, tree, target)
    finally:
        kernel.close(target)


# ── planning ──


class MountsPlan:
    """Steps for four moments of a start."""

    def __init__(self) -> None:
        self.prepared: list[Step] = []  # by main, before there is any other process
        self.sources: list[Step] = []  # still on the host, before its namespaces are left
        self.mounts: list[Step] = []  # below the new root, before it is the root
        self.readonly: list[Step] = []  # in the container, when nothing more is made in them

    @property
    def carried(self) -> int:
        """How many mounts are carried from the host: the number of the next one."""
        return len(self.prepared) + len(self.sources)


def plan_mounts(spec: Spec, cgroups: CgroupFacts) -> MountsPlan:
    """Everything below the root, in the spec's order: what is mounted later may lie on earlier.

    Raises `BadJSON` for what cannot be meant.
    """
    plan = MountsPlan()
    if not spec.makes_namespace("mount"):
        _refuse_without_namespace(spec)
        return plan
    for number, mount in enumerate(spec.mounts):
        where = f"config.json: mounts[{number}]"
        if number == 0 and mount.destination == "/" and mount.kind == "overlay":
            continue  # the root itself, see rootfs.py
        if mount.kind == "cgroup":
            from minidock.isolation.cgroup_mounts import plan_cgroup_mount

            plan_cgroup_mount(plan, spec, mount, cgroups)
        else:
            _plan_mount(plan, spec, mount, where)
    return plan


def _refuse_without_namespace(spec: Spec) -> None:
    """The specification allows a container in the host's mount namespace, or in that of another
    container. runc 1.1 mounts there, for all to see, and pivots the root away under the others."""
    if spec.masked_paths or spec.readonly_paths:
        raise BadJSON("config.json: unable to restrict sys entries without a private MNT namespace")
    if spec.mounts:
        raise BadJSON("config.json: mounts: without a new mount namespace they are others', too")
    if spec.root_readonly:
        raise BadJSON("config.json: root.readonly needs a new mount namespace")


def _plan_mount(plan: MountsPlan, spec: Spec, mount: SpecMount, where: str) -> None:
    options = parse_options(mount.options)
    is_bind = mount.kind == "bind" or bool(options.flags & MountFlag.MS_BIND)
    problem = check_destination(mount.destination, "bind" if is_bind else mount.kind)
    if problem:
        raise BadJSON(f"{where}: {problem}")
    if is_bind and options.data:
        words = ",".join(options.data)
        raise BadJSON(
            f"{where}.options: bind mounts cannot have any filesystem-specific options: {words}"
        )
    if options.copy_up and (is_bind or mount.kind != "tmpfs"):
        raise BadJSON(f"{where}.options: tmpcopyup is for a tmpfs only")
    mapped = bool(options.idmap or mount.uid_mappings or mount.gid_mappings)
    if mapped and not is_bind:
        raise BadJSON(f"{where}: id-mapped mounts are only supported for bind-mounts")
    if mapped or (is_bind and spec.has_namespace("user")):
        from minidock.isolation.idmapped import plan_from_host

        source, attach = plan_from_host(spec, mount, options, plan.carried, where)
        plan.sources.append(source)
        plan.mounts.append(attach)
    elif is_bind:
        plan.mounts.append(
            BindMount(
                mount.source,
                mount.destination,
                options.change,
                options.recursively,
                options.propagation,
                recursive=bool(options.flags & MountFlag.MS_REC),
                subpath=mount.subpath,
            )
        )
    elif mount.kind == "overlay" and mount.subpath:
        _plan_part_of_overlay(plan, mount, where)
    else:
        _plan_filesystem(plan, mount, options, spec.mount_label)
    if plain_path(mount.destination) == "/":
        plan.mounts.append(OpenRootfs(spec.root_path))  # this covers what was the root so far


def _plan_part_of_overlay(plan: MountsPlan, mount: SpecMount, where: str) -> None:
    """The whole at its `source`, a directory of the host's, which nobody else sees; then the part,
    with what a bind can say of itself: nothing of it is to be written."""
    from minidock.isolation.overlay import plan_overlay
    from minidock.spec.overlay import split_layers

    lower = next((o[9:] for o in mount.options if o.startswith("lowerdir=")), "")
    if not lower:
        raise BadJSON(f"{where}.options lacks lowerdir")
    plan.mounts.append(plan_overlay(mount.source, split_layers(lower), "", ""))
    readonly = parse_options(("rbind", "ro")).change
    private = (MountFlag.MS_PRIVATE,)
    about = mount.source, mount.destination, readonly, NO_CHANGE, private
    plan.mounts.append(BindMount(*about, subpath=mount.subpath))


def _plan_filesystem(plan: MountsPlan, mount: SpecMount, options: MountOptions, label: str) -> None:
    flags, words, data = options.flags, options.data, ",".join(options.data)
    if label and mount.kind not in ("proc", "sysfs"):  # these two have labels of their own
        words = (*words, f"context={label}")
        data = ",".join((*options.data, f'context="{label}"'))  # there may be commas in it
    source = mount.source or mount.kind
    is_late = mount.kind == "tmpfs" or plain_path(mount.destination) == "/dev"
    if flags & MountFlag.MS_RDONLY and is_late and not flags & MountFlag.MS_REMOUNT:
        # What lies on it has to be made first: device nodes, other mounts' places.
        plan.readonly.append(RemountReadonly(mount.destination))
        flags = MountFlag(flags & ~MountFlag.MS_RDONLY)
    connected = tuple(flag for flag in options.propagation if flag & _PASSED_ON)
    if mount.from_host:
        from minidock.isolation.idmapped import AttachFromHost
        from minidock.isolation.prepared import MakeOnHost

        number, destination = plan.carried, mount.destination
        plan.prepared.append(
            MakeOnHost(
                source,
                destination,
                mount.kind,
                flags,
                options.but(flags=flags).change,
                options.recursively,
                options.propagation,
                words=words,
                number=number,
            )
        )
        plan.mounts.append(AttachFromHost(source, destination, number))
        return
    if not (connected or options.recursively or options.copy_up):
        plan.mounts.append(Mount(source, mount.destination, mount.kind, flags, data))
        return
    from minidock.isolation.prepared import MountPrepared

    plan.mounts.append(
        MountPrepared(
            source,
            mount.destination,
            mount.kind,
            flags,
            options.but(flags=flags).change,
            options.recursively,
            options.propagation,
            options.copy_up,
            words,
        )
    )
