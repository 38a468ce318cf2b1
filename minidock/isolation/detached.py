"""Mounts that are attached nowhere yet: copied, changed, and only then given a place.

open_tree(2) copies the mount at a path, with OPEN_TREE_CLONE into a tree of its own that no path
leads to; the descriptor is all there is of it. mount_setattr(2) changes it by that descriptor, and
move_mount(2) attaches it to what another descriptor is open on. No name is looked up twice on the
way, so what was looked at is what is mounted.

See: open_tree(2), mount_setattr(2), move_mount(2)
"""

from __future__ import annotations

import os

from minidock.linux.flags import AT_FDCWD, AtFlag, MountFlag, MoveMountFlag
from minidock.linux.inroot import open_in_root

TYPE_CHECKING = False
if TYPE_CHECKING:
    from minidock.isolation.mount_options import Change
    from minidock.linux.kernel import Kernel

DETACHED = AtFlag.OPEN_TREE_CLONE | AtFlag.OPEN_TREE_CLOEXEC
DEEP = AtFlag.AT_EMPTY_PATH | AtFlag.AT_RECURSIVE  # the descriptor's mount and all below
_BOTH_ENDS = MoveMountFlag.MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlag.MOVE_MOUNT_T_EMPTY_PATH


def clone_tree(kernel: Kernel, source: str, *, recursive: bool, subpath: str = "") -> int:
    """A descriptor of a copy of the mount at `source`, from there on down, attached nowhere.

    A `subpath` of it is resolved as if the source were the root: what is in there is a container's,
    and may be a link to anywhere.
    """
    deep = AtFlag.AT_RECURSIVE if recursive else AtFlag(0)
    if not subpath:
        return kernel.open_tree(AT_FDCWD, source, DETACHED | deep)
    top = kernel.open(source, os.O_PATH | os.O_DIRECTORY)
    try:
        part = open_in_root(kernel, top, subpath, os.O_PATH)
    finally:
        kernel.close(top)
    try:
        return kernel.open_tree(part, "", DETACHED | AtFlag.AT_EMPTY_PATH | deep)
    finally:
        kernel.close(part)


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
