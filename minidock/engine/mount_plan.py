"""Which mount points a container gets, from all that image and user say.

They come from four places, and are looked at in this order; of two for the same path the later one
counts, unless both were asked for by name, which is an error:

    --volumes-from   what another container has, under the same paths
    -v               `/host:/path` (a bind), `data:/path` (a volume), with a mode: mount_spec.py
    --mount          the same in other words, and tmpfs, and other images
    VOLUME           paths that the image, or `-v /path`, wants to have outside of the container's
                     own files: each gets an anonymous volume, unless something else is there

What comes out is written into container.json as `MountPoints`, shown by `inspect` as `Mounts`, and
turned into config.json (mount_entries.py).

Planning does nothing, so that `minidock explain` can do it too. Then `make_volumes` makes the
volumes that are not there yet, and keeps all of them from being removed until container.json is
written. Before it makes anonymous ones it writes their names into the container's directory: should
it be killed, they go with what else is left (volume_removal.py).

See: moby's daemon/volumes.go (registerMountPoints), daemon/create_unix.go
"""

from __future__ import annotations

import os

from minidock.engine.events import emit
from minidock.engine.mount_point import MountPoint, mount_points
from minidock.engine.mount_sources import lies_in
from minidock.engine.mount_spec import parse_bind, parse_mount, parse_volumes_from
from minidock.engine.removal import ANONYMOUS_VOLUMES
from minidock.engine.volumes import ANONYMOUS, DRIVER, Volumes, check_driver, check_volume
from minidock.errors import Conflict, InvalidInput, NotFound

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from minidock.engine.containers import Container
    from minidock.engine.paths import Paths
    from minidock.engine.volumes import Volume
    from minidock.image.store import ImageStore

    Find = Callable[[str], Container]
    Config = Mapping[str, Any]


def plan_mount_points(
    config: Config, host_config: Config, root: str, find: Find
) -> list[MountPoint]:
    """All of them, with the sources that they will have below the state root. Does nothing.

    Raises `InvalidInput`, `NotFound` in Docker's words.
    """
    found: dict[str, MountPoint] = {}
    for text in host_config.get("VolumesFrom") or ():
        for point in _from_container(text, find):
            found[point.destination] = point
    driver, asked = host_config.get("VolumeDriver", ""), set(host_config.get("Tmpfs") or ())
    given = [parse_bind(text, driver) for text in host_config.get("Binds") or ()]
    tmpfs = {os.path.normpath(path) for path in asked}
    for point in given:
        if point.destination in tmpfs:
            raise InvalidInput(f"Duplicate mount point: {point.destination}")
    given += [parse_mount(mount) for mount in host_config.get("Mounts") or ()]
    taken = set()
    for point in given:
        if point.destination in taken:
            raise InvalidInput(f"Duplicate mount point: {point.destination}")
        taken.add(point.destination)
        found[point.destination] = _near_root(point, root)
    for path in config.get("Volumes") or ():
        destination = _volume_path(path)
        if destination not in found and destination not in tmpfs:
            check_driver("", driver)
            found[destination] = MountPoint("volume", destination, anonymous=True, copy=True)
    return [_named(point, root) for point in found.values()]


def _from_container(text: str, find: Find) -> list[MountPoint]:
    """`--volumes-from NAME[:ro]`. They keep their own propagation and are not filled again."""
    name, writable = parse_volumes_from(text)
    return [
        point.but(writable=point.writable and writable, mode="", copy=False, options=None)
        for point in mount_points(find(name).document)
    ]


def _volume_path(path: str) -> str:
    destination = os.path.normpath("/" + path.lstrip("/"))
    if destination == "/":
        raise InvalidInput("invalid specification: destination can't be '/'")
    return destination


def _near_root(point: MountPoint, root: str) -> MountPoint:
    """A bind of a directory that holds our own state, such as `/`, or lies in it, has to let go
    what the host unmounts below. moby's daemon/volumes.go (validateBindDaemonRoot)"""
    if point.kind != "bind":
        return point
    source = os.path.realpath(point.source)
    near = lies_in(root, source) or lies_in(source, root)
    if not near or point.propagation in ("rslave", "rshared"):
        return point
    if point.propagation:
        from minidock.spec.quoting import quote

        raise InvalidInput(
            'invalid mount config: must use either propagation mode "rslave" or "rshared" when '
            f"mount source is within the daemon root, daemon root: {quote(root)}, bind mount "
            f"source: {quote(point.source)}, propagation: {quote(point.propagation)}"
        )
    return point.but(propagation="rslave")


def _named(point: MountPoint, root: str) -> MountPoint:
    """With what follows from the rest: a volume's name and place, a bind's propagation."""
    if point.kind == "bind":
        return point.but(propagation=point.propagation or "rprivate")
    if point.kind != "volume" or point.source:
        return point
    name = point.name
    if name:
        check_volume(name, point.options)
    else:
        from minidock.engine.containers import new_id

        name = new_id()
    return point.but(name=name, driver=DRIVER, source=f"{root}/volumes/{name}/_data")


def make_volumes(
    paths: Paths, directory: str, document: dict[str, Any], images: ImageStore
) -> list[int]:
    """Make the volumes that are not there, of the container in `directory`, and hold all of them:
    the descriptors do, until they are closed.

    In `document`, which will be container.json, the options are filled in of those that were there
    already, and where images lie. Raises `MinidockError`, `OSError`.
    """
    points = mount_points(document)
    anonymous = [point.name for point in points if point.kind == "volume" and point.anonymous]
    if anonymous:
        from minidock.engine.statefile import write_file

        text = "".join(f"{name}\n" for name in anonymous)
        write_file(f"{directory}/{ANONYMOUS_VOLUMES}", text.encode(), durable=False)
    volumes, held = Volumes(paths), []
    found: list[dict[str, Any]] = []
    volumes.sweep()
    try:
        for point in points:
            if point.kind == "volume":
                volume, fd = _held_volume(paths, volumes, point)
                held.append(fd)
                point = point.but(options=volume.options)
            elif point.kind == "image" and not point.image:
                point = _unpacked(point, images, f"{directory}/image{len(found)}")
            found.append(point.document())
    except BaseException:
        for fd in held:
            os.close(fd)
        raise
    document["MountPoints"] = found
    return held


def _unpacked(point: MountPoint, images: ImageStore, place: str) -> MountPoint:
    """With the image's layers; `place` is an empty directory of the container's, to be mounted on
    where only a part is to be shown."""
    try:
        image = images.resolve(point.name)
    except NotFound as error:  # said otherwise, lest the container's own image be pulled
        raise InvalidInput(error.message, hint=f"It can be had by `pull {point.name}`.") from error
    layers = images.lowerdirs(image)
    if not layers:
        raise InvalidInput(f"image {point.name} has no layers: there is nothing to be mounted")
    os.mkdir(place, 0o700)
    return point.but(image=str(image.id), layers=layers, source=place)


_TRIES = 10


def _held_volume(paths: Paths, volumes: Volumes, point: MountPoint) -> tuple[Volume, int]:
    labels = {**(point.labels or {}), ANONYMOUS: ""} if point.anonymous else point.labels
    for _ in range(_TRIES):
        volume, made = volumes.create(point.name, labels, point.options)
        try:
            fd = volumes.hold(point.name)
        except NotFound:
            continue  # removed in between
        if made:
            emit(paths.run_root, "volume", "create", point.name, {"driver": DRIVER})
        return volume, fd
    raise Conflict(f"create {point.name}: the volume is being removed all the time")
