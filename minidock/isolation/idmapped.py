"""Binds that have to be taken from the host while we still are its root.

A process that has entered a user namespace is nobody outside: it cannot reach a directory that only
the host's root may enter, and it cannot shift owners. So such a mount is made in two steps. On the
host, before the namespaces are left, the tree is copied, changed, and kept as a descriptor; later,
inside, it is attached.

*Id-mapped mounts*. A file on disk belongs to a number, say 0. In a container whose user namespace
maps 0 to 100000, it belongs to nobody who exists there. `chown -R` would change the files
themselves, for everybody. Instead the one mount can say: whoever is 0 on disk is 100000 for those
who come this way, and what they make as 100000 is written as 0. The kernel takes the mapping from a
user namespace; one that nobody lives in is made for it, by a child that is gone at once.

See: mount_setattr(2), user_namespaces(7), open_tree(2),
https://docs.kernel.org/filesystems/idmappings.html
"""

from __future__ import annotations

import errno
import os

from minidock.errors import BadJSON, StartFailed
from minidock.isolation.detached import DEEP, change_tree, clone_tree
from minidock.isolation.mount_options import NO_CHANGE, Change
from minidock.isolation.mounts import MountStep, attach_tree
from minidock.isolation.rootfs import keeps_connection
from minidock.linux.flags import AtFlag, CloneFlag, MountAttr, MountFlag

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import ClassVar

    from minidock.isolation.mount_options import MountOptions
    from minidock.linux.kernel import Kernel
    from minidock.spec.runtime import IDMapping, Spec
    from minidock.spec.runtime import Mount as SpecMount
    from minidock.step import Context, Step

_SIGKILL = 9
_SLAVE = MountFlag(MountFlag.MS_SLAVE | MountFlag.MS_REC)


class TakeFromHost(MountStep):
    """Copy a tree of the host's, and shift its owners if asked to. `number` is its place among
    these. `user_namespace` is a path to one whose mapping counts; else the mappings do."""

    number: int
    attributes: Change = NO_CHANGE
    recursively: Change = NO_CHANGE
    propagation: tuple[MountFlag, ...] = ()
    recursive: bool = False
    uid_mappings: tuple[IDMapping, ...] = ()
    gid_mappings: tuple[IDMapping, ...] = ()
    user_namespace: str = ""
    map_recursively: bool = False
    subpath: str = ""
    see: ClassVar[tuple[str, ...]] = ("open_tree(2)", "mount_setattr(2)", "user_namespaces(7)")

    def describe(self) -> str:
        shifted = ""
        if self.uid_mappings or self.user_namespace:
            shifted = ", and shift who owns what in it"
        return f"take hold of the host's {self.source}, while we are the host's root{shifted}"

    def mount(self, kernel: Kernel, ctx: Context) -> None:
        tree = clone_tree(kernel, self.source, recursive=self.recursive, subpath=self.subpath)
        change_tree(kernel, tree, self.attributes, self.recursively, self.propagation)
        if self.uid_mappings or self.user_namespace:
            how = DEEP if self.map_recursively else AtFlag.AT_EMPTY_PATH
            namespace = self._open_namespace(kernel)
            try:
                kernel.mount_setattr(tree, "", how, MountAttr.MOUNT_ATTR_IDMAP, 0, 0, namespace)
            except OSError as error:
                if error.errno != errno.EINVAL:
                    raise
                why = "its filesystem, or one below, knows no id-mapped mounts"
                raise StartFailed(f"cannot shift who owns what in {self.source}: {why}") from error
            finally:
                kernel.close(namespace)
        ctx.trees[self.number] = tree

    def _open_namespace(self, kernel: Kernel) -> int:
        if self.user_namespace:
            return kernel.open(self.user_namespace, os.O_RDONLY)
        return make_user_namespace(kernel, self.uid_mappings, self.gid_mappings)


class AttachFromHost(MountStep):
    """Attach what `TakeFromHost` took."""

    number: int
    see: ClassVar[tuple[str, ...]] = ("move_mount(2)",)

    def describe(self) -> str:
        return f"show the host's {self.source} at {self.destination}"

    def mount(self, kernel: Kernel, ctx: Context) -> None:
        tree = ctx.trees.pop(self.number)
        try:
            attach_tree(kernel, ctx.root, tree, self.destination)
        finally:
            kernel.close(tree)


def make_user_namespace(
    kernel: Kernel, uid_mappings: tuple[IDMapping, ...], gid_mappings: tuple[IDMapping, ...]
) -> int:
    """A descriptor of a new user namespace with these mappings, and with nobody in it."""
    pid = kernel.clone(CloneFlag.CLONE_NEWUSER)
    try:
        for name, mappings in (("uid_map", uid_mappings), ("gid_map", gid_mappings)):
            lines = [f"{m.container_id} {m.host_id} {m.size}\n" for m in mappings]
            file = kernel.open(f"/proc/{pid}/{name}", os.O_WRONLY)
            try:
                kernel.write(file, "".join(lines).encode())
            finally:
                kernel.close(file)
        return kernel.open(f"/proc/{pid}/ns/user", os.O_RDONLY)
    finally:
        kernel.kill(pid, _SIGKILL)
        kernel.wait4(pid)


def plan_from_host(
    spec: Spec, mount: SpecMount, options: MountOptions, number: int, where: str
) -> tuple[Step, Step]:
    """Both steps of one mount. Raises `BadJSON` where the mapping is not complete."""
    uids, gids, path = mount.uid_mappings, mount.gid_mappings, ""
    mapped = bool(options.idmap or uids or gids)
    if options.idmap and not uids and not gids:  # then the container's own
        path = next((ns.path for ns in spec.namespaces if ns.kind == "user"), "")
        uids, gids = ((), ()) if path else (spec.uid_mappings, spec.gid_mappings)
    if mapped and not path and not (uids and gids):
        raise BadJSON(f"{where}: id-mapped mounts must have both uid and gid mappings specified")
    # It is copied from the host's namespace, where nothing has been cut yet. rootfs.py
    cut = () if keeps_connection(spec) else (_SLAVE,)
    take = TakeFromHost(
        mount.source,
        mount.destination,
        number,
        options.change,
        options.recursively,
        (*cut, *options.propagation),
        bool(options.flags & MountFlag.MS_REC),
        uids,
        gids,
        path,
        map_recursively=options.idmap == "ridmap",
        subpath=mount.subpath,
    )
    return take, AttachFromHost(mount.source, mount.destination, number)
