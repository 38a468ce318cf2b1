"""Mount points as entries of config.json.

A volume is a directory of ours, and mounted like any other of the host's: as a bind. One that was
made with options (`-o type=nfs -o device=:/export -o o=addr=…`) is a filesystem of its own. Docker
mounts that on the host, counts its users, and unmounts it after the last; here it is mounted in
each container's own namespace, and the kernel does the rest. (So one of type tmpfs, which is not
something that is mounted but begins with the mount, is each container's own.)

A bind takes along what is mounted below its source. If it is to be read-only, all of that is,
unless it was asked for otherwise. How it is connected with the host's mounts is its *propagation*:
`rprivate`, not at all; `rslave`, what the host mounts and unmounts below happens in the container
too; `rshared`, also the other way round, which works only where the host's own mount is shared, and
where the whole tree of the container is not cut off from the host's.

See: mount_namespaces(7), moby's daemon/oci_linux.go (withMounts)
"""

from __future__ import annotations

from minidock.engine.tmpfs import tmpfs_options
from minidock.errors import InvalidInput
from minidock.spec.overlay import escape

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from minidock.engine.mount_point import MountPoint

_PAGE = 4096  # mount(2) copies one page of options and no more
SHARED, SLAVE = ("shared", "rshared"), ("slave", "rslave")


def mount_entries(points: Sequence[MountPoint], *, own_users: bool) -> list[dict[str, Any]]:
    """Entries of `mounts`, in no order. With `own_users` what the container's users own of a volume
    is written as what the image calls them; directories of the host's stay as they are."""
    return [_entry(point, own_users) for point in points]


def _entry(point: MountPoint, own_users: bool) -> dict[str, Any]:
    if point.kind == "tmpfs":
        return _mount(point, "tmpfs", "tmpfs", tmpfs_options(point.tmpfs))
    if point.kind == "image":
        return _image(point, own_users)
    words = ["bind" if point.recursion == "disabled" else "rbind", point.propagation or "rprivate"]
    if not point.writable:
        words.append("ro" if point.recursion == "writable" else "rro")
    if point.kind == "volume":
        words += ["idmap"] if own_users else []
        if point.options and point.options.get("type"):
            return _filesystem(point, words, own_users)
    entry = _mount(point, "bind", point.source, words)
    return {**entry, "subpath": point.subpath} if point.subpath else entry


def _mount(point: MountPoint, kind: str, source: str, options: list[str]) -> dict[str, Any]:
    path = point.destination
    return {"destination": path, "type": kind, "source": source, "options": options}


def _image(point: MountPoint, own_users: bool) -> dict[str, Any]:
    """An image's layers, stacked without a writable one on top. overlayfs takes no single layer.
    (What an overlay's source is says nothing to the kernel; where a part of it is to be shown, the
    whole is mounted there first.)"""
    if own_users:
        raise InvalidInput(f"image {point.name}: minidock cannot mount it with --userns auto")
    part = {"subpath": point.subpath} if point.subpath else {}
    if len(point.layers) == 1:
        return {**_mount(point, "bind", point.layers[0], ["bind", "rprivate", "rro"]), **part}
    stack = "lowerdir=" + ":".join(escape(layer) for layer in point.layers)
    if len(stack) >= _PAGE:
        raise InvalidInput(f"image {point.name} has more layers than one mount can have")
    return {**_mount(point, "overlay", point.source, [stack]), **part}


def _filesystem(point: MountPoint, bind: list[str], own_users: bool) -> dict[str, Any]:
    """A volume that is a mount of its own: of a directory, or of what `type` says."""
    options = point.options or {}
    words = [word for word in options.get("o", "").split(",") if word]
    if "bind" in words or "rbind" in words:
        others = [word for word in words if word not in ("bind", "rbind")]
        entry = _mount(point, "bind", options["device"], [*bind, *others])
        return {**entry, "subpath": point.subpath} if point.subpath else entry
    for refused, what in ((point.subpath, "a part of it"), (own_users, "with --userns auto")):
        if refused:
            raise InvalidInput(
                f"volume {point.name} is a filesystem of its own: minidock cannot mount {what}"
            )
    if not point.writable:
        words.append("rro")  # this mount alone: others may write to the same filesystem
    entry = _mount(point, options["type"], options["device"], words)
    return {**entry, "fromHost": options["type"] != "tmpfs"}


def root_propagation(points: Sequence[MountPoint]) -> str:
    """`linux.rootfsPropagation`: "shared" where a bind has to be connected in both directions."""
    return "shared" if any(point.propagation in SHARED for point in points) else ""
