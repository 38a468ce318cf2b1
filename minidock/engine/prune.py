"""prune: remove what nobody uses, and say how much room that made.

A container is unused when it does not run; an image when no container was made from it, and by
default only those without a name count. How much room: files of a removed container's own
directory, and of layers that no image has any more; what is shared stays and is not counted.

See: moby daemon/prune.go, daemon/images/image_prune.go
"""

from __future__ import annotations

from minidock.engine.image_list import created as image_created
from minidock.engine.image_removal import image_uses, remove_image
from minidock.engine.lifecycle import remove as remove_container
from minidock.engine.listing import tree_size
from minidock.errors import Conflict, InvalidInput, NotFound
from minidock.record import Record
from minidock.spec.digest import chain_ids
from minidock.spec.timestamp import parse_time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from minidock.engine.containers import Containers
    from minidock.engine.paths import Paths
    from minidock.image.store import ImageStore, StoredImage

CONTAINER_FILTERS = ("until", "label", "label!")
IMAGE_FILTERS = ("dangling", "until", "label", "label!")


class Pruned(Record):
    """What went, a line each, and the bytes that are free now."""

    lines: tuple[str, ...] = ()
    reclaimed: int = 0


class Wanted(Record):
    """Which of the unused: made before `until` (ns since 1970), with all of `labels` (`k` or
    `k=v`), with none of `without`."""

    until: int | None = None
    labels: tuple[str, ...] = ()
    without: tuple[str, ...] = ()

    def fits(self, created: int, labels: Mapping[str, str]) -> bool:
        if self.until is not None and created >= self.until:
            return False
        has = [_has_label(labels, wanted) for wanted in self.labels]
        return all(has) and not any(_has_label(labels, other) for other in self.without)


def _has_label(labels: Mapping[str, str], wanted: str) -> bool:
    key, equals, value = wanted.partition("=")
    return key in labels and (not equals or labels[key] == value)


def check_filters(filters: Mapping[str, Sequence[str]], known: Sequence[str]) -> None:
    """Raises `InvalidInput` in Docker's words."""
    for name in filters:
        if name not in known:
            raise InvalidInput(f"invalid filter '{name}'")


def prune_containers(containers: Containers, wanted: Wanted) -> Pruned:
    """Remove every container that does not run."""
    removed, room = [], 0
    for container in containers.all():
        labels = container.config.get("Labels") or {}
        if container.state().active or not wanted.fits(
            parse_time(container.document["Created"]), labels
        ):
            continue
        size = tree_size(container.upper)
        try:
            remove_container(container, force=False)
        except (Conflict, NotFound):
            continue  # started, or removed, by somebody else meanwhile
        removed.append(container.id)
        room += size
    return Pruned(tuple(removed), room)


def prune_images(
    paths: Paths, containers: Containers, images: ImageStore, wanted: Wanted, *, everything: bool
) -> Pruned:
    """Remove images without a name, or with `everything` all that no container was made from."""
    before = layer_sizes(images)
    lines: list[str] = []
    used = {use.image for use in image_uses(containers)}
    known = images.images()
    parents = {image.parent for image in known}
    for image in known:
        labels = image.config.config.get("Labels") or {}
        if image.id in used or not wanted.fits(image_created(image), labels):
            continue
        named = (*image.references, *image.repo_digests)
        if not everything and (named or image.id in parents):
            continue
        for name in image.references or (str(image.id),):
            try:
                gone = remove_image(paths, containers, images, name, force=False, prune=True)
            except (Conflict, NotFound):
                continue  # others were built on it, or it went with another
            lines += [line[0].lower() + line[1:] for line in gone]
    images.sweep(lambda: image_uses(containers))  # also what others were kept from sweeping
    after = layer_sizes(images)
    return Pruned(tuple(lines), sum(before.values()) - sum(after.values()))


def layer_sizes(images: ImageStore) -> dict[str, int]:
    """Bytes of file content in each layer that an image has, by ChainID."""
    found: dict[str, int] = {}
    for image in images.images():
        found.update(image_layers(images, image))
    return found


def image_layers(images: ImageStore, image: StoredImage) -> dict[str, int]:
    """The layers of one image, by ChainID."""
    chains = map(str, chain_ids(image.diff_ids))
    return dict(zip(chains, images.layer_sizes(image), strict=True))
