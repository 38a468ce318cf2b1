"""The container that a `run` would make, without making it: its spec, its plan, its image's files.

Nothing is written, nothing unpacked. Where the image is not here, or this user may not read it, a
placeholder stands in for it: an image that has everything and says nothing, so that the explanation
still is that of the options typed.
"""

from __future__ import annotations

import os

from minidock.engine import bundle
from minidock.engine.connection import imagine as imagine_connection
from minidock.engine.containers import Containers, new_id
from minidock.engine.host_config import has_own_networks
from minidock.engine.id_ranges import free_range, mappings
from minidock.engine.mount_point import mount_points
from minidock.engine.mountpoints import DIRECTORIES, FILES
from minidock.engine.paths import Paths
from minidock.engine.run import describe
from minidock.engine.settle import settle_for
from minidock.errors import MinidockError
from minidock.image.snapshots import Snapshots
from minidock.image.store import ImageStore, StoredImage
from minidock.linux.host import read_facts
from minidock.record import Record
from minidock.runtime.manner import MONITORED
from minidock.runtime.plan import plan_container
from minidock.spec.digest import Digest, chain_ids
from minidock.spec.image import ImageConfig
from minidock.spec.runtime import Spec, parse_spec
from minidock.step import ContainerPlan
from minidock.study.layers import ImageView
from minidock.study.rehearse import STDIO

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from minidock.engine.host_config import Warn
    from minidock.engine.mount_point import MountPoint
    from minidock.engine.run import RunOptions

_NOTHING = Digest("sha256:" + "0" * 64)


class Imagined(Record):
    """`image` is None where its files cannot be seen; `note` then says why, in one line."""

    spec: Spec
    plan: ContainerPlan
    image: ImageView | None
    host_config: dict[str, Any]
    note: str = ""


def imagine(paths: Paths, options: RunOptions, warn: Warn) -> Imagined:
    """Plan the container. Raises `MinidockError` for what `run` would refuse at once."""
    root = paths.root
    image, lowerdirs, note = _image(root, options.image)
    container_id = new_id()
    directory = f"{root}/containers/{container_id}"
    containers = Containers(paths)
    document, args = describe(options, image, container_id, containers.find, warn, root)
    config, host_config = document["Config"], document["HostConfig"]
    if host_config["UsernsMode"] == "auto":
        host_config["IDMappings"] = mappings(free_range(root))
    layers = lowerdirs or (f"{root}/layers/l/0",)
    about = (container_id, directory, layers, config, host_config, args)
    points = [
        _with_layers(point, root, f"{directory}/image{number}")
        for number, point in enumerate(mount_points(document))
    ]
    made = bundle.make_spec(*about, image.config.architecture, points)
    manner = MONITORED
    if bundle.known_late(host_config, document.get("MountPoints", ())):
        made, manner = settle_for(made, host_config, containers.load)
    if has_own_networks(host_config):
        found = imagine_connection(paths, document)
        manner = manner.but(prepare=found.prepare, attach=found.attach, inside=found.inside)
    spec = parse_spec(made, directory)
    facts = read_facts()
    # As root, whoever asks; and nothing is kept of what is only imagined.
    facts = facts.but(filter_cache="", rights=facts.capabilities)
    plan = plan_container(container_id, spec, facts, STDIO, manner)
    view = ImageView(lowerdirs) if lowerdirs else None
    return Imagined(spec, plan, view, host_config, note)


def _with_layers(point: MountPoint, root: str, place: str) -> MountPoint:
    if point.kind != "image":
        return point
    found = _image(root, point.name)[1] or (f"{root}/layers/l/0",)
    layers = (layer for layer in found if not layer.startswith(f"{root}/mountpoints/"))
    return point.but(layers=tuple(layers), source=place)


def _image(root: str, name: str) -> tuple[StoredImage, tuple[str, ...], str]:
    """The image, its layers from the top, and why they are not known."""
    try:
        image = ImageStore(root).resolve(name)
    except (MinidockError, OSError) as error:
        why = error.strerror if isinstance(error, OSError) else str(error)
        note = f"{name}: {why}: a placeholder stands in for the image"
        return _placeholder(), (), note
    snapshots = Snapshots(root)
    chains = chain_ids(image.diff_ids)
    layers = [snapshots.known(chain) for chain in reversed(chains)]
    found = tuple(snapshots.link_path(layer) for layer in layers if layer and layer.link)
    if len(found) < len(layers) or not all(map(os.path.isdir, found)):
        return image, (), f"{name} is not unpacked yet: its files are not known"
    return image, (*_mountpoints(root, chains[-1].hex, found), *found), ""


def _mountpoints(root: str, chain: str, lowerdirs: tuple[str, ...]) -> tuple[str, ...]:
    """The thin layer with places to mount upon, if the image needs one: engine/mountpoints.py"""
    layer = f"{root}/mountpoints/{chain}/fs"
    if os.path.isdir(layer):
        return (layer,) if os.listdir(layer) else ()
    view = ImageView(lowerdirs)
    for path in (*DIRECTORIES, *FILES):
        try:
            view.stat(path)
        except OSError:
            return (layer,)
    return ()


def _placeholder() -> StoredImage:
    """An image that names no program but a shell."""
    config = ImageConfig("", "linux", config={"Cmd": ["/bin/sh"]})
    return StoredImage(_NOTHING, _NOTHING, config, (), (), ())
