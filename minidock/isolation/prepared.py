"""A new filesystem that is finished before anybody sees it.

mount(2) makes a filesystem and attaches it at once. Where more has to be done with it, fill it with
what it is about to cover (`tmpcopyup`), connect it (`shared`), or set attributes that this old call
does not know, the way is longer: fsopen(2) begins to describe it, fsconfig(2) adds one option after
another, fsmount(2) gives a mount that is attached nowhere, and move_mount(2) puts it in its place.

So it can also be made long before there is a place for it. A disk may be opened by nobody in the
container's cgroup, and a server may be reached from nowhere in its network: such a filesystem is
made by main, on the host, and the descriptor is carried inside.

See: fsopen(2), fsconfig(2), fsmount(2), move_mount(2)
"""

from __future__ import annotations

from minidock.isolation.copy_up import copy_up
from minidock.isolation.detached import attach, change_tree
from minidock.isolation.mount_options import NO_CHANGE, NO_FLAGS, Change
from minidock.isolation.mounts import ARTICLE, MountStep, open_with_mode
from minidock.linux.flags import FsconfigCommand, FsmountFlag, FsopenFlag, MountFlag

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import ClassVar

    from minidock.linux.kernel import Kernel
    from minidock.step import Context

# Options of a filesystem that mount(2) takes as flags, as fsconfig(2) names them.
_FILESYSTEM_WORDS = (
    (MountFlag.MS_RDONLY, "ro"),
    (MountFlag.MS_SYNCHRONOUS, "sync"),
    (MountFlag.MS_DIRSYNC, "dirsync"),
    (MountFlag.MS_MANDLOCK, "mand"),
    (MountFlag.MS_LAZYTIME, "lazytime"),
)


class MountPrepared(MountStep):
    """Make a filesystem, change it while nobody sees it, and attach it."""

    kind: str
    flags: MountFlag = NO_FLAGS
    attributes: Change = NO_CHANGE
    recursively: Change = NO_CHANGE
    propagation: tuple[MountFlag, ...] = ()
    copy_up: bool = False
    words: tuple[str, ...] = ()
    see: ClassVar[tuple[str, ...]] = ("fsopen(2)", "fsconfig(2)", "fsmount(2)", "move_mount(2)")

    def describe(self) -> str:
        what = ARTICLE.get(self.kind, self.kind)
        how = ", filled with what was there" if self.copy_up else ""
        return f"mount {what} at {self.destination}{how}"

    def mount(self, kernel: Kernel, ctx: Context) -> None:
        target, mode = open_with_mode(kernel, ctx.root, self.destination, self.kind, self.words)
        try:
            tree = self.make(kernel, mode)
            try:
                change_tree(kernel, tree, NO_CHANGE, self.recursively, self.propagation)
                if self.copy_up:
                    copy_up(kernel, target, tree)
                attach(kernel, tree, target)
            finally:
                kernel.close(tree)
        finally:
            kernel.close(target)

    def make(self, kernel: Kernel, mode: tuple[str, ...]) -> int:
        context = kernel.fsopen(self.kind, FsopenFlag.FSOPEN_CLOEXEC)
        try:
            words = [word for flag, word in _FILESYSTEM_WORDS if self.flags & flag]
            for word in (f"source={self.source}", *words, *mode, *self.words):
                key, equals, value = word.partition("=")
                if equals:
                    kernel.fsconfig(context, FsconfigCommand.FSCONFIG_SET_STRING, key, value, 0)
                else:
                    kernel.fsconfig(context, FsconfigCommand.FSCONFIG_SET_FLAG, key, None, 0)
            kernel.fsconfig(context, FsconfigCommand.FSCONFIG_CMD_CREATE, None, None, 0)
            return kernel.fsmount(context, FsmountFlag.FSMOUNT_CLOEXEC, self.attributes.attr_set)
        finally:
            kernel.close(context)


class MakeOnHost(MountPrepared):
    """Make a filesystem on the host, and keep it; `number` is its place among what is kept."""

    number: int = 0
    see: ClassVar[tuple[str, ...]] = ("fsopen(2)", "fsconfig(2)", "fsmount(2)")

    def describe(self) -> str:
        what = ARTICLE.get(self.kind, self.kind)
        return f"mount {what} of {self.source} nowhere yet, with the host's rights and network"

    def mount(self, kernel: Kernel, ctx: Context) -> None:
        tree = self.make(kernel, ())
        change_tree(kernel, tree, NO_CHANGE, self.recursively, self.propagation)
        ctx.trees[self.number] = tree
