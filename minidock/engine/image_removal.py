"""rmi: what containers need of images, and the thin layers that nobody needs any more.

The image store knows which image is built on which; who runs on one, only the engine knows. A
container needs its image to be committed, and the directories that its root filesystem stacks to
be started: those stand in its config.json.

Beside each image that was ever run lies a layer of mount points (mountpoints.py). It goes when
neither an image nor a container stacks on the same layers.
"""

from __future__ import annotations

import os

from minidock.engine.statefile import read_json
from minidock.errors import StoreError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from minidock.engine.containers import Container, Containers
    from minidock.engine.paths import Paths
    from minidock.image.removal import ImageUse
    from minidock.image.store import ImageStore


def remove_image(
    paths: Paths, containers: Containers, images: ImageStore, name: str, *, force: bool, prune: bool
) -> list[str]:
    """Remove a name or an image; the lines `Untagged: …` and `Deleted: …`. Without `prune` the
    parents stay that have no name. Raises `NotFound`, `Conflict`; then nothing has changed."""
    from minidock.engine.image_events import tell_removed

    try:
        image = images.resolve(name)
    except StoreError:
        image = None  # damaged, but it can be removed
    lines = images.remove(name, force=force, prune=prune, used_by=lambda: image_uses(containers))
    sweep_mountpoints(paths, containers, images)
    if image:
        tell_removed(paths.run_root, image, lines)
    return lines


def image_uses(containers: Containers) -> list[ImageUse]:
    """What every container claims: of its image, and of those that are mounted into it."""
    from minidock.image.removal import ImageUse

    found = []
    for container in containers.all():
        active, document = container.state().active, container.document
        found.append(ImageUse(container.id, str(document["Image"]), active, lowerdirs(container)))
        for point in document.get("MountPoints", ()):
            if point["Type"] == "image":
                layers = tuple(point["Layers"])
                found.append(ImageUse(container.id, point["Image"], active, layers))
    return found


def lowerdirs(container: Container) -> tuple[str, ...]:
    """The directories below a container's own, topmost first: what overlayfs is told of them."""
    from minidock.spec.overlay import split_layers

    spec = read_json(f"{container.directory}/config.json") or {}
    for mount in spec.get("mounts", ())[:1]:
        for option in mount.get("options", ()):
            key, _, value = option.partition("=")
            if key == "lowerdir":
                return split_layers(value)
    return ()


def sweep_mountpoints(paths: Paths, containers: Containers, images: ImageStore) -> None:
    """Remove the layers of mount points that no image and no container can use any more.

    Not while somebody makes an image or a container: the next removal will do it.
    """
    from minidock.engine.removal import remove_tree
    from minidock.image.locks import alone
    from minidock.spec.digest import chain_ids

    home = f"{paths.root}/mountpoints"
    try:
        entries = os.listdir(home)
    except FileNotFoundError:
        return
    with alone(f"{paths.root}/images/lock") as lock:
        if not lock.held:
            return
        keep = {chain_ids(i.diff_ids)[-1].hex for i in images.images() if i.diff_ids}
        keep |= _stacked(home, containers.all())
        for entry in entries:
            if entry not in keep:
                remove_tree(f"{home}/{entry.removesuffix('.removing')}")


def _stacked(home: str, containers: Sequence[Container]) -> set[str]:
    """The layers of mount points that containers stack."""
    found = set()
    for container in containers:
        for directory in lowerdirs(container):
            layer = os.path.dirname(directory)
            if os.path.dirname(layer) == home:
                found.add(os.path.basename(layer))
    return found
