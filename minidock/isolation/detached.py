"""Mounts that are attached nowhere yet: copied, changed, and only then given a place.

open_tree(2) copies the mount at a path, with OPEN_TREE_CLONE into a tree of its own that no path
leads to; the descriptor is all there is of it. mount_setattr(2) changes it by that descriptor, and
move_mount(2) attaches it to what another descriptor is open on. No name is looked up twice on the
way, so what was looked at is what is mounted.

See: open_tree(2), mount_setattr(2), move_mount(2)
"""

from __future__ import annotations

from minidock.linux.flags import AT_FDCWD, AtFlag, MountFlag, MoveMountFlag

TYPE_CHECKING = False
if TYPE_CHECKING:
    from minidock.isolation.mount_options import Change
    from minidock.linux.kernel import Kernel

DETACHED = AtFlag.OPEN_TREE_CLONE | AtFlag.OPEN_TREE_CLOEXEC
DEEP = AtFlag.AT_EMPTY_PATH | AtFlag.AT_RECURSIVE  # the descriptor's mount and all below
_BOTH_ENDS = MoveMountFlag.MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlag.MOVE_MOUNT_T_EMPTY_PATH


def clone_tree(kernel: Kernel, source: str, *, recursive: bool) -> int:
    """A descriptor of a copy of the mount at `source`, from there on down, attached nowhere."""
    deep = AtFlag.AT_RECURSIVE if recursive else AtFlag(0)
    return kernel.open_tree(AT_FDCWD, source, DETACHED | deep)


def change_tree(
    kernel: Kernel,
    tree: int,
    change: Change,
    recursively: Change,
    propagation: tuple[MountFlag, ...],
) -> None:
    """Set the attributes of a mount that is attached nowhere yet, and how it is connected."""
    if change:
        kernel.mount_setattr(tree, "", AtFlag.AT_EMPTY_PATH, change.attr_set, change.attr_clr)
    if recursively:
        kernel.mount_setattr(tree, "", DEEP, recursively.attr_set, recursively.attr_clr)
    for flag in propagation:
        how = DEEP if flag & MountFlag.MS_REC else AtFlag.AT_EMPTY_PATH
        kernel.mount_setattr(tree, "", how, 0, 0, flag & ~MountFlag.MS_REC)


def attach(kernel: Kernel, tree: int, target: int) -> None:
    """Mount `tree` on what `target` is open on."""
    kernel.move_mount(tree, "", target, "", _BOTH_ENDS)
