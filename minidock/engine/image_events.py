"""What happens to images, told in Docker's words: see events.py.

Pulling and pushing speak of the name that was used, everything else of the image's id. The image's
labels are always among the attributes.

See: moby's daemon/images/image_events.go, daemon/images/image_delete.go
"""

from __future__ import annotations

from minidock.engine.events import emit
from minidock.errors import MinidockError
from minidock.spec.digest import chain_ids

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from minidock.image.store import ImageStore, StoredImage
    from minidock.spec.reference import Reference


def tell_image(run_root: str, action: str, image: StoredImage, name: str = "") -> None:
    """Of one image, by its id; `name` is the one that it got, by default the id again."""
    labels = {key: str(value) for key, value in (image.config.config.get("Labels") or {}).items()}
    emit(run_root, "image", action, str(image.id), {**labels, "name": name or str(image.id)})


def tell_travel(run_root: str, action: str, images: ImageStore, reference: Reference) -> None:
    """ "pull" or "push", by the name that was used."""
    labels: dict[str, str] = {}
    try:
        labels = dict(images.resolve(reference.canonical).config.config.get("Labels") or {})
    except MinidockError:
        pass  # removed again meanwhile
    about = {**labels, "name": reference.familiar_repository}
    emit(run_root, "image", action, reference.familiar, about)


def tell_new(run_root: str, action: str, image: StoredImage, reference: Reference | None) -> None:
    """That an image was made, by "import" for example, and what it was called."""
    if reference:
        tell_image(run_root, "tag", image, reference.familiar)
    tell_image(run_root, action, image)


def tell_removed(run_root: str, image: StoredImage, lines: Iterable[str]) -> None:
    """Of what `rmi` says it did with the `image` that it was asked to remove, or a name of it."""
    layers = set(map(str, chain_ids(image.diff_ids)))
    for line in lines:
        what, _, name = line.partition(": ")
        if what == "Untagged" and "@" not in name:
            tell_image(run_root, "untag", image)
        elif what == "Deleted" and name not in layers:
            emit(run_root, "image", "delete", name, {"name": name})


def tell_saved(run_root: str, images: ImageStore, wanted: Sequence[str]) -> None:
    """Each image once. A name without a tag means all images that have it with one."""
    told = set()
    for image in images.images():
        names = {*image.references, *(name.rpartition(":")[0] for name in image.references)}
        meant = any(text in names or _is_id(text, image) for text in wanted)
        if meant and image.id not in told:
            told.add(image.id)
            tell_image(run_root, "save", image)


def _is_id(text: str, image: StoredImage) -> bool:
    digits = text.removeprefix("sha256:")
    return len(digits) >= 4 and image.id.hex.startswith(digits)


def tell_pruned(run_root: str, kind: str, reclaimed: int) -> None:
    """That a `prune` of this kind is over. It has no actor."""
    emit(run_root, kind, "prune", "", {"reclaimed": str(reclaimed)})
