"""system df: what takes how much room, and how much of it nobody uses.

Layers are shared, so the sizes of images do not add up: each layer is counted once. What an image
shares with another one and what it has alone is told separately.

See: docker/cli cli/command/formatter/disk_usage.go
"""

from __future__ import annotations

from minidock.engine.image_list import list_images
from minidock.engine.image_removal import image_uses
from minidock.engine.listing import list_containers, tree_size
from minidock.engine.prune import image_layers
from minidock.engine.volume_removal import volume_uses
from minidock.engine.volumes import Volumes
from minidock.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from minidock.engine.containers import Containers
    from minidock.engine.image_list import Listed
    from minidock.engine.listing import Listed as ListedContainer
    from minidock.engine.paths import Paths
    from minidock.image.store import ImageStore


class ImageUsage(Record):
    """Sizes in bytes; `containers` counts those made from it."""

    listed: Listed
    size: int
    shared: int
    containers: int


class ContainerUsage(Record):
    """`size` is what the container itself has written, in bytes."""

    row: ListedContainer
    size: int


class VolumeUsage(Record):
    """`links` counts the containers that use it. `size` is -1 where it was not measured: what is a
    filesystem of its own is not mounted here."""

    name: str
    links: int
    size: int


class DiskUsage(Record):
    """`layers` is the size of all layers, each counted once."""

    images: tuple[ImageUsage, ...]
    containers: tuple[ContainerUsage, ...]
    layers: int
    volumes: tuple[VolumeUsage, ...] = ()

    @property
    def reclaimable_layers(self) -> int:
        """What removing unused images could free: all but what used ones have for themselves."""
        used = sum(image.size - image.shared for image in self.images if image.containers)
        return self.layers - used

    @property
    def container_bytes(self) -> int:
        return sum(usage.size for usage in self.containers)

    @property
    def reclaimable_container_bytes(self) -> int:
        return sum(usage.size for usage in self.containers if not usage.row.state.active)

    @property
    def volume_bytes(self) -> int:
        return sum(max(usage.size, 0) for usage in self.volumes)

    @property
    def reclaimable_volume_bytes(self) -> int:
        return sum(max(usage.size, 0) for usage in self.volumes if not usage.links)


def disk_usage(paths: Paths, containers: Containers, images: ImageStore) -> DiskUsage:
    """Look at everything. Raises `StoreError`."""
    uses = [use.image for use in image_uses(containers)]
    listed = list_images(images, {})
    layers = [image_layers(images, item.image) for item in listed]
    count: dict[str, int] = {}
    for one in layers:
        for chain in one:
            count[chain] = count.get(chain, 0) + 1
    usage = tuple(
        ImageUsage(
            item,
            sum(one.values()),
            sum(size for chain, size in one.items() if count[chain] > 1),
            uses.count(item.image.id),
        )
        for item, one in zip(listed, layers, strict=True)
    )
    once = {chain: size for one in layers for chain, size in one.items()}
    rows = list_containers(containers, images, everything=True)
    own = tuple(ContainerUsage(row, tree_size(row.container.upper)) for row in rows)
    return DiskUsage(usage, own, sum(once.values()), _volumes(paths, containers))


def _volumes(paths: Paths, containers: Containers) -> tuple[VolumeUsage, ...]:
    uses = volume_uses(containers)
    return tuple(
        VolumeUsage(
            volume.name,
            len(uses.get(volume.name, ())),
            -1 if (volume.options or {}).get("type") else tree_size(volume.data),
        )
        for volume in Volumes(paths).all()
    )
