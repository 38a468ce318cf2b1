"""A container's files as its own processes see them, for a process of ours that copies them.

Where a path leads is up to the container: its root filesystem is a stack of layers, volumes are
mounted on it, and its links are absolute or not, as they like. To follow all that from outside is
the kernel's work done badly, and a container that changes a directory into a link at the right
moment would lead us to the host's files (CVE-2018-15664, `docker cp`). So a child of ours goes
where the files are, and "/" is the container's root for it; then no path leads out.

    runs             into its mount namespace, and its user namespace if it has its own
    does not run     into a new mount namespace, where its root is put together again

Four things more are done, since this child is the host's root and its files are a stranger's:

- the kernel's own filesystems, /proc, /sys and /dev, are taken away. So they are not copied, as in
  Docker, and with /proc go its links to other processes' roots;
- no device can be opened (MOUNT_ATTR_NODEV): a file may be changed for a device node between two
  calls, and some devices do things just by being opened;
- no link of the kernel's is followed (RESOLVE_NO_MAGICLINKS), should there be another /proc;
- programs of the container cannot trace the child (it is not dumpable), if they see it at all.

A container that does not run is put together from its config.json. If only to be read, what changes
the container's own directory goes to memory and is forgotten (a mount needs a directory to be made,
for instance). If to be written, it must not be started meanwhile: two mounts of one writable
directory would not know of each other. So the lock is held that its monitor would hold.

See: setns(2), mount_setattr(2), openat2(2), mount_namespaces(7)
"""

from __future__ import annotations

import os

from minidock.engine.holding import lock_of, take
from minidock.engine.lifecycle import open_init
from minidock.engine.mount_point import mount_points
from minidock.engine.mount_sources import prepare_sources, with_addresses
from minidock.engine.statefile import read_json
from minidock.errors import Conflict, NotFound
from minidock.isolation.idmap import BecomeRootInside
from minidock.isolation.mounts import plan_mounts
from minidock.isolation.namespaces import BecomeUndumpable
from minidock.isolation.overlay import plan_overlay, plan_root_overlay
from minidock.isolation.rootfs import OpenRootfs, SetPropagation
from minidock.linux.flags import AT_FDCWD, AtFlag, CloneFlag, MountAttr, MountFlag, UmountFlag
from minidock.linux.host import read_facts
from minidock.linux.kernel import LinuxKernel
from minidock.spec.runtime import parse_spec
from minidock.step import Context, execute

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from minidock.engine.containers import Container
    from minidock.engine.mount_point import MountPoint

_KERNELS_OWN = ("/proc", "/sys", "/dev")
_PRIVATE = MountFlag.MS_REC | MountFlag.MS_PRIVATE
_BIND_WORDS = ("bind", "rbind")
_MAPPINGS = ("uidMappings", "gidMappings")
_NOT_NOW = ("idmap", "ridmap", "volatile")  # words that are for the container's processes only


class View:
    """What is needed to go there, found out before the fork. For `with`, so that it is let go."""

    def __init__(self, container: Container, *, writable: bool) -> None:
        """Raises `Conflict` where it does not run and has a monitor nonetheless."""
        self._directory = container.directory
        self._writable = writable
        self._own_users = container.host_config.get("UsernsMode") == "auto"
        self._lock = -1
        self._points = mount_points(container.document)
        self._kernel = LinuxKernel()
        state = container.state()
        if state.status == "restarting" and writable:
            wait = "is restarting, wait until the container is running"
            raise Conflict(f"Container {container.id} {wait}")
        self._init = open_init(state) if state.running else -1
        if self._init < 0:
            self._prepare()

    def _prepare(self) -> None:
        """For a container that does not run."""
        root = os.path.dirname(os.path.dirname(self._directory))
        prepare_sources(self._points, root)
        if self._writable:
            short = os.path.basename(self._directory)
            try:
                self._lock = take(lock_of(self._directory))
            except BlockingIOError:
                raise Conflict(f"container {short} is just starting or ending") from None
            except FileNotFoundError:
                raise NotFound(f"No such container: {short}") from None

    def __enter__(self) -> View:
        return self

    def __exit__(self, *_: object) -> None:
        for fd in (self._init, self._lock):
            if fd >= 0:
                os.close(fd)

    def enter(self) -> None:
        """In the child: from here on "/" is the container's root, and nothing may be imported.
        Raises `OSError`, `MinidockError`."""
        BecomeUndumpable().apply(self._kernel, Context())
        try:
            if self._init >= 0:
                self._join()
        except ProcessLookupError:  # it has just ended
            self._init = -1
            self._prepare()
        if self._init < 0:
            self._put_together()
        everything = AtFlag.AT_RECURSIVE
        self._kernel.mount_setattr(AT_FDCWD, "/", everything, MountAttr.MOUNT_ATTR_NODEV)
        os.umask(0)

    def _join(self) -> None:
        kernel, users = self._kernel, CloneFlag.CLONE_NEWUSER if self._own_users else 0
        kernel.setns(self._init, CloneFlag.CLONE_NEWNS | users)
        if users:
            BecomeRootInside().apply(kernel, Context())
        kernel.unshare(CloneFlag.CLONE_NEWNS)  # a copy, of which we may take away what we like
        SetPropagation(_PRIVATE).apply(kernel, Context())
        for place in _KERNELS_OWN:
            try:
                kernel.umount2(place, UmountFlag.MNT_DETACH | UmountFlag.UMOUNT_NOFOLLOW)
            except OSError:
                pass  # it has none there

    def _put_together(self) -> None:
        kernel, ctx = self._kernel, Context()
        document = read_json(f"{self._directory}/config.json")
        if document is None:
            raise NotFound("the container has been removed meanwhile")
        spec = parse_spec(_files_only(document, self._points), self._directory)
        mounts = plan_mounts(spec, read_facts().cgroups)
        overlay = plan_root_overlay(spec)
        assert overlay
        kernel.unshare(CloneFlag.CLONE_NEWNS)
        SetPropagation().apply(kernel, ctx)
        if not self._writable:
            target = overlay.target
            kernel.mount("tmpfs", target, "tmpfs", MountFlag(0), "mode=700")
            for name in ("changes", "work", "root"):
                os.mkdir(f"{target}/{name}", 0o700)
            top = os.stat(overlay.upperdir)
            os.chmod(f"{target}/changes", top.st_mode & 0o7777)
            os.chown(f"{target}/changes", top.st_uid, top.st_gid)
            layers = (overlay.upperdir, *overlay.lowerdirs)
            where = (f"{target}/root", layers, f"{target}/changes", f"{target}/work")
            overlay = plan_overlay(*where, overlay.flags, overlay.extra)
        execute([*mounts.sources, overlay, OpenRootfs(overlay.target), *mounts.mounts], kernel, ctx)
        kernel.fchdir(ctx.root)
        kernel.chroot(".")
        kernel.chdir("/")


def _files_only(document: dict[str, Any], points: Sequence[MountPoint]) -> dict[str, Any]:
    """A config.json with nothing in it but the root filesystem, volumes, and parts of the host's
    tree, all with the owners that they have on disk."""
    volumes = {point.destination for point in points if point.kind != "tmpfs"}
    kept = []
    for mount in with_addresses(document["mounts"]):
        options = [word for word in mount.get("options", ()) if word not in _NOT_NOW]
        is_bind = mount.get("type") == "bind" or any(word in options for word in _BIND_WORDS)
        place = mount["destination"]
        if is_bind and f"{place}/".startswith(tuple(f"{own}/" for own in _KERNELS_OWN)):
            continue
        if place.startswith("/etc/") and place not in volumes:
            # The names of hosts, another container's perhaps, which may be gone.
            is_bind = os.path.exists(mount["source"])
        if is_bind or place == "/" or place in volumes:
            about = {key: mount[key] for key in mount if key not in _MAPPINGS}
            kept.append({**about, "options": options})
    return {
        "ociVersion": document["ociVersion"],
        "process": document["process"],
        "root": document["root"],
        "mounts": kept,
        "linux": {"namespaces": [{"type": "mount"}]},
    }
