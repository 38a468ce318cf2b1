"""The root filesystem of a container with users of its own: built outside, carried inside.

Who is in a user namespace is nobody outside. No directory that only the host's root may enter can
be reached from there, so neither can the container's root, nor an image's layers; and what the
layers hold belongs to users that do not exist inside. So intermediate builds the root while it
still is the host's root, on a *stage*: a mount namespace that nobody else sees and that is gone
soon. There it goes to stand in the finished root. unshare(2) then makes the container's own mount
namespace, owned by the new users, as a copy of the stage, and moves the working directory along:
init stands in the copy, without a name having been looked up.

What came from the stage is locked together there: nobody inside may take it apart, or uncover what
a mount hides. Nor may such a mount become the root, so it is bound onto itself once more.

Where the root is an overlay with mappings, each layer is shown through an id-mapped mount
(idmapped.py) first. On disk the layers belong to the users that the image has, and so does what the
container writes: they are shared with all other containers, and `commit` sees no difference.

See: user_namespaces(7), mount_namespaces(7) on locked mounts,
https://docs.kernel.org/filesystems/idmappings.html
"""

from __future__ import annotations

import os

from minidock.isolation.detached import DETACHED, attach, clone_tree
from minidock.isolation.idmap import to_host
from minidock.isolation.idmapped import make_user_namespace
from minidock.isolation.namespaces import Unshare
from minidock.isolation.overlay import MountOverlay, plan_root_overlay
from minidock.isolation.rootfs import SetPropagation
from minidock.linux.flags import AT_FDCWD, AtFlag, CloneFlag, MountAttr, MountFlag, Prctl
from minidock.record import Record
from minidock.step import Step

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import ClassVar

    from minidock.linux.kernel import Kernel
    from minidock.spec.runtime import IDMapping, Spec
    from minidock.step import Context

_NO_SETUID_FIXUP = 1 << 2  # SECBIT_NO_SETUID_FIXUP
_WRITABLE = "rw"  # on the stage: the directory that holds upperdir and workdir


class ShiftLayers(Step):
    """Show directories below `target` as if their files belonged to the container's users."""

    target: str
    directories: tuple[tuple[str, str], ...]  # source, name below the target
    uid_mappings: tuple[IDMapping, ...]
    gid_mappings: tuple[IDMapping, ...]
    see: ClassVar[tuple[str, ...]] = ("mount_setattr(2)", "open_tree(2)", "user_namespaces(7)")

    def describe(self) -> str:
        count = len(self.directories)
        return f"show {count} directories of layers as if the container's users owned their files"

    def apply(self, kernel: Kernel, ctx: Context) -> None:
        kernel.mount("tmpfs", self.target, "tmpfs", MountFlag(0), "mode=755")
        users = make_user_namespace(kernel, self.uid_mappings, self.gid_mappings)
        try:
            for source, name in self.directories:
                place = f"{self.target}/{name}"
                kernel.mkdir(place, 0o755)
                tree = clone_tree(kernel, source, recursive=False)
                how = AtFlag.AT_EMPTY_PATH
                kernel.mount_setattr(tree, "", how, MountAttr.MOUNT_ATTR_IDMAP, 0, 0, users)
                target = kernel.open(place, os.O_PATH | os.O_DIRECTORY)
                attach(kernel, tree, target)
                kernel.close(target)
                kernel.close(tree)
        finally:
            kernel.close(users)


class StackShifted(Step):
    """Stack id-mapped layers, as the user that root is inside.

    overlayfs does its own work, such as making a directory in `workdir`, with the rights of whoever
    mounted it. On an id-mapped mount the host's root is nobody: nothing could be made as nobody,
    and the overlay would be read-only. So for the moment of the mount the process is who root is
    inside; with SECBIT_NO_SETUID_FIXUP it keeps the rights it has.
    """

    overlay: MountOverlay
    uid: int
    gid: int
    see: ClassVar[tuple[str, ...]] = ("mount(2)", "setresuid(2)", "capabilities(7)")

    def describe(self) -> str:
        return f"{self.overlay.describe()}, as user {self.uid}, the container's root"

    def apply(self, kernel: Kernel, ctx: Context) -> None:
        kernel.prctl(Prctl.PR_SET_SECUREBITS, _NO_SETUID_FIXUP)
        kernel.setresgid(-1, self.gid, -1)
        kernel.setresuid(-1, self.uid, -1)
        self.overlay.apply(kernel, ctx)
        kernel.setresuid(-1, 0, -1)
        kernel.setresgid(-1, 0, -1)
        kernel.prctl(Prctl.PR_SET_SECUREBITS, 0)


class StandInRoot(Step):
    """Go to the finished root: it is carried along by the next unshare."""

    path: str
    see: ClassVar[tuple[str, ...]] = ("chdir(2)", "unshare(2)")

    def describe(self) -> str:
        return f"stand in {self.path}, which cannot be reached by its name from inside"

    def apply(self, kernel: Kernel, ctx: Context) -> None:
        kernel.chdir(self.path)


class BindCarriedRoot(Step):
    """Mount the root that was carried in onto itself, and hold it open."""

    see: ClassVar[tuple[str, ...]] = ("open_tree(2)", "move_mount(2)", "mount_namespaces(7)")

    def describe(self) -> str:
        return "mount the root that was carried in onto itself: what came from outside is locked"

    def apply(self, kernel: Kernel, ctx: Context) -> None:
        here = kernel.open(".", os.O_PATH | os.O_DIRECTORY)
        tree = kernel.open_tree(AT_FDCWD, ".", DETACHED | AtFlag.AT_RECURSIVE)
        attach(kernel, tree, here)
        kernel.close(here)
        ctx.root = tree


class StagedRoot(Record):
    """Steps for intermediate, before it leaves the host's namespaces, and for init, inside."""

    outside: tuple[Step, ...] = ()
    inside: tuple[Step, ...] = ()


def plan_staged_root(spec: Spec) -> StagedRoot:
    """The root of a container that makes a mount namespace in a user namespace."""
    overlay = plan_root_overlay(spec)
    build: tuple[Step, ...] = ()
    if overlay:
        root = spec.mounts[0]
        build = (overlay,)
        if root.uid_mappings:
            build = _shift(overlay, root.uid_mappings, root.gid_mappings)
    # "shared" means slave here: so the kernel makes it for a mount namespace of other users.
    private = spec.rootfs_propagation.removeprefix("r") in ("private", "unbindable")
    how = MountFlag.MS_PRIVATE if private else MountFlag.MS_SLAVE
    return StagedRoot(
        outside=(
            Unshare(CloneFlag.CLONE_NEWNS),
            SetPropagation(MountFlag(MountFlag.MS_REC | how)),
            *build,
            StandInRoot(spec.root_path),
        ),
        inside=(BindCarriedRoot(),),
    )


def _shift(
    overlay: MountOverlay, uids: tuple[IDMapping, ...], gids: tuple[IDMapping, ...]
) -> tuple[Step, ...]:
    """The overlay over id-mapped copies of its layers. upperdir and workdir have to lie on one
    mount, so it is their parent that is copied."""
    target, parent = overlay.target, os.path.dirname(overlay.upperdir)
    lower = [(source, str(number)) for number, source in enumerate(overlay.lowerdirs)]
    shifted = overlay.but(
        lowerdirs=tuple(f"{target}/{name}" for _, name in lower),
        upperdir=f"{target}/{_WRITABLE}/{os.path.basename(overlay.upperdir)}",
        workdir=f"{target}/{_WRITABLE}/{os.path.relpath(overlay.workdir, parent)}",
        stand_in=target,
    )
    uid, gid = (_root_or_first(mappings) for mappings in (uids, gids))
    return (
        ShiftLayers(target, (*lower, (parent, _WRITABLE)), uids, gids),
        StackShifted(shifted, uid, gid),
    )


def _root_or_first(mappings: tuple[IDMapping, ...]) -> int:
    """The host's id of root; where nobody is root inside, of somebody who exists there."""
    root = to_host(mappings, 0)
    return mappings[0].host_id if root is None else root
