"""Removing volumes, when nobody uses them.

A container uses a volume for as long as the container is there, running or not. While one is being
made nobody can ask it, but its maker holds the volume; so who removes one locks it first, and asks
then (volumes.py).

Anonymous volumes go with their container: always if it was run with `--rm`, and by `rm -v`. A file
in the container's directory names them, so that whoever finishes an interrupted removal knows them
too (removal.py).

See: moby's daemon/mounts.go (removeMountPoints), daemon/prune.go
"""

from __future__ import annotations

import os
import time

from minidock.engine.events import emit
from minidock.engine.mount_sources import host_mounts, lies_in
from minidock.engine.volumes import DRIVER, Volumes
from minidock.errors import Conflict, InvalidInput, NotFound

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from minidock.engine.containers import Containers
    from minidock.engine.paths import Paths
    from minidock.engine.prune import Pruned, Wanted

_AT_ONCE = 200  # each is a descriptor
_TRIES = 20


def volume_uses(containers: Containers) -> dict[str, list[str]]:
    """The ids of the containers that use each volume, by its name."""
    found: dict[str, list[str]] = {}
    for container in containers.all():
        points = container.document.get("MountPoints", ())
        for name in {point["Name"] for point in points if point["Type"] == "volume"}:
            found.setdefault(name, []).append(container.id)
    return found


def remove_volume(paths: Paths, containers: Containers, name: str) -> None:
    """Raises `NotFound`, and `Conflict` while a container uses it."""
    volumes = Volumes(paths)
    volumes.sweep()
    place = _mounted_in(volumes.find(name).directory)
    if place:
        raise Conflict(f"remove {name}: something is mounted at {place}: unmount it first")
    if not _remove_unused(paths, containers, [name], wait=True):
        volumes.find(name)  # or somebody else has just removed it
        users = ", ".join(volume_uses(containers).get(name, ()))
        raise Conflict(f"remove {name}: volume is in use - [{users}]")


def _remove_unused(
    paths: Paths, containers: Containers, names: Sequence[str], *, wait: bool = False
) -> list[str]:
    """Remove those that nobody uses, and return them. In use is also what a container that is being
    made may have, unless there is time to `wait` until it is."""
    volumes, removed = Volumes(paths), []
    for start in range(0, len(names), _AT_ONCE):
        locks: dict[str, int] = {}
        try:
            for name in names[start : start + _AT_ONCE]:
                try:
                    locks[name] = volumes.lock(name, wait=wait)
                except (BlockingIOError, NotFound):
                    continue
            used = volume_uses(containers)  # of all of them at once: that takes time
            for name in locks:
                if name not in used and not _mounted_in(f"{volumes.home}/{name}"):
                    volumes.discard(name)
                    emit(paths.run_root, "volume", "destroy", name, {"driver": DRIVER})
                    removed.append(name)
        finally:
            for fd in locks.values():
                os.close(fd)
    return removed


def _mounted_in(directory: str) -> str:
    """Where in a volume the host has something mounted, which is not ours to empty; "" for not."""
    home = os.path.realpath(directory)
    return next((place for place, _ in host_mounts() if lies_in(place, home)), "")


# ── with a container ──


def remove_doomed(root: str, run_root: str, path: str) -> None:
    """Remove the volumes whose names stand in a file, unless another container uses them."""
    from minidock.engine.containers import Containers
    from minidock.engine.paths import Paths

    try:
        with open(path, encoding="ascii") as file:
            names = file.read().split()
    except FileNotFoundError:
        return  # another command does the same
    paths = Paths(root, run_root)
    volumes, containers = Volumes(paths), Containers(paths)
    for _ in range(_TRIES):
        _remove_unused(paths, containers, names)
        used = volume_uses(containers)
        names = [name for name in names if name not in used and volumes.load(name)]
        if not names:
            return
        time.sleep(0.01)  # somebody who was killed with us may still be going


# ── prune ──


def prune_volumes(
    paths: Paths, containers: Containers, wanted: Wanted, *, everything: bool
) -> Pruned:
    """Remove the volumes that no container uses: anonymous ones, or with `everything` all."""
    from minidock.engine.listing import tree_size
    from minidock.engine.prune import Pruned

    volumes, sizes = Volumes(paths), {}
    volumes.sweep()
    used = volume_uses(containers)
    for volume in volumes.all():
        if volume.name in used or not (everything or volume.anonymous):
            continue
        if wanted.fits(0, volume.labels or {}):
            own = (volume.options or {}).get("type")  # a filesystem, which is not mounted here
            sizes[volume.name] = 0 if own else tree_size(volume.data)
    removed = _remove_unused(paths, containers, list(sizes))
    return Pruned(tuple(removed), sum(sizes[name] for name in removed))


def wants_all(filters: Mapping[str, Sequence[str]]) -> bool:
    """The filter `all`. Raises `InvalidInput` in Docker's words."""
    found = False
    for value in filters.get("all", ()):
        if value not in ("1", "true", "0", "false"):
            raise InvalidInput(f"invalid filter 'all=[{value}]'")
        found = found or value in ("1", "true")
    return found
