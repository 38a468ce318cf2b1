"""check: recompute every claim that the image store makes.

    index.json    every line can be read, its blobs are there
    blobs/        each has the size and the digest it is named for; a config and its manifest agree
    layers        each blob, unpacked, has the DiffID that its config names
    layers/       each directory belongs to an image or a container, has the size it had, one link
    ingest/, new/ nothing half-made, unless somebody is making it now

A problem says what is wrong, and what the remedy is. `repair` removes only what can be had again:
garbage, half-made things, an unpacked layer (it is unpacked anew from its blob), and a damaged blob
of an image whose registry is known (the next pull fetches it).

See: image-spec image-layout.md, descriptor.md (digests)
"""

from __future__ import annotations

import os
from functools import partial

from minidock.errors import BadArchive, BadJSON, MinidockError, StoreError
from minidock.image import catalog
from minidock.image.compression import Peek, as_source, compression_of, decompressed
from minidock.image.gc import clear_leftovers, is_left_over, mark
from minidock.image.kept import kept_layers
from minidock.image.layout import LAYOUT_VERSION
from minidock.image.locks import alone
from minidock.image.snapshots import content_size
from minidock.record import Record
from minidock.spec.digest import ChainID, Digest, chain_ids

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from minidock.image.catalog import StoredImage
    from minidock.image.layout import Entry, Layout
    from minidock.image.snapshots import Snapshots

_PIECE = 1 << 20


class Problem(Record):
    """What is wrong with what. `remedy` is what repairs it; `repair` does it, where it can be done
    without losing anything."""

    what: str
    remedy: str
    repair: Callable[[], object] | None = None


def check_images(
    layout: Layout, snapshots: Snapshots, used_lowerdirs: Iterable[str]
) -> Iterator[Problem]:
    """Look at everything, the cheap things first. Nothing is changed. Raises `StoreError` only
    where index.json itself cannot be read."""
    if not os.path.isdir(layout.directory):
        return
    yield from _check_layout(layout)
    images: list[StoredImage] = []
    entries = layout.entries()
    for entry in entries:
        yield from _check_entry(layout, entry, images)
    damaged: set[Digest] = set()
    yield from _check_blobs(layout, images, damaged)
    yield from _check_layer_contents(layout, images, damaged)
    yield from _check_snapshots(layout, snapshots, images, used_lowerdirs)
    yield from _check_half_made(layout, snapshots)


def _check_layout(layout: Layout) -> Iterator[Problem]:
    path = f"{layout.directory}/oci-layout"
    try:
        with open(path, "rb") as file:
            content = file.read(1024)
    except FileNotFoundError:
        content = b""
    if b"imageLayoutVersion" not in content:
        yield Problem(
            f"{path} does not say that this is an OCI layout",
            "write it again",
            lambda: _write(path, LAYOUT_VERSION),
        )


def _write(path: str, data: bytes) -> None:
    with open(path, "wb") as file:
        file.write(data)


def _check_entry(layout: Layout, entry: Entry, images: list[StoredImage]) -> Iterator[Problem]:
    try:
        image = catalog.load(layout.blobs, entry)
    except StoreError as error:
        yield Problem(error.message, error.hint or "remove the image")
        return
    if image:
        images.append(image)


def _check_blobs(
    layout: Layout, images: list[StoredImage], damaged: set[Digest]
) -> Iterator[Problem]:
    """Sizes and digests of everything in blobs/; collects the `damaged` ones."""
    sizes = {layer.digest: layer.size for image in images for layer in image.layers}
    for image in images:
        for layer in image.layers:
            if not layout.blobs.has(layer.digest):
                yield Problem(
                    f"layer {layer.digest} of {_name(image)} is missing", _fetch_again(image)
                )
    try:
        needed = mark(layout).blobs
    except StoreError as error:
        yield Problem(error.message, "remove the image it belongs to")
        return
    for digest in layout.blobs.all():
        if digest not in needed:
            yield Problem(
                f"blob {digest} belongs to no image",
                "remove it",
                partial(_remove_orphan, layout, digest),
            )
            continue
        found, size = _digest_of(layout, digest)
        if found == digest and sizes.get(digest, size) == size:
            continue
        damaged.add(digest)
        owner = next((i for i in images if digest in _blobs_of(i)), None)
        again = bool(owner and owner.repo_digests)
        yield Problem(
            f"blob {digest} is damaged: its content has the digest {found}",
            _fetch_again(owner) if owner else "remove the image it belongs to",
            partial(layout.blobs.remove, digest) if again else None,
        )


def _remove_orphan(layout: Layout, digest: Digest) -> None:
    """Unless an image came meanwhile that has it: nobody was kept from working by the check."""
    if digest not in mark(layout).blobs:
        layout.blobs.remove(digest)


def _blobs_of(image: StoredImage) -> set[Digest]:
    return {image.id, image.manifest, *(layer.digest for layer in image.layers)}


def _name(image: StoredImage) -> str:
    return image.references[0] if image.references else image.id.short


def _fetch_again(image: StoredImage) -> str:
    if image.repo_digests:
        return f"remove it, then fetch it again: minidock pull {image.repo_digests[0]}"
    return f"nothing has it but you: remove the image, minidock rmi {_name(image)}"


def _digest_of(layout: Layout, digest: Digest) -> tuple[Digest, int]:
    """What a blob's content really is, and how long."""
    from hashlib import sha256

    total, size = sha256(), 0
    with open(layout.blobs.open(digest, "blob"), "rb", buffering=0) as file:
        while data := file.read(_PIECE):
            total.update(data)
            size += len(data)
    return Digest.from_hex(total.hexdigest()), size


def _check_layer_contents(
    layout: Layout, images: list[StoredImage], damaged: set[Digest]
) -> Iterator[Problem]:
    """Whether each layer's blob holds the tar that the config names."""
    from hashlib import sha256

    done = set()
    for image in images:
        for layer, diff_id in zip(image.layers, image.diff_ids, strict=True):
            if (layer.digest, diff_id) in done or layer.digest in damaged:
                continue
            if not layout.blobs.has(layer.digest):
                continue
            done.add((layer.digest, diff_id))
            total = sha256()
            with open(layout.blobs.open(layer.digest, "layer"), "rb", buffering=0) as file:
                packed = Peek(as_source(file.fileno()))
                try:
                    plain = decompressed(packed, compression_of(packed.peek(8)))
                    while data := plain.read(_PIECE):
                        total.update(data)
                except BadArchive as error:
                    yield Problem(f"layer {layer.digest}: {error.message}", _fetch_again(image))
                    continue
            if total.hexdigest() != diff_id.hex:
                yield Problem(
                    f"layer {layer.digest} of {_name(image)} is not {diff_id} when unpacked",
                    _fetch_again(image),
                )


def _check_snapshots(
    layout: Layout,
    snapshots: Snapshots,
    images: list[StoredImage],
    used_lowerdirs: Iterable[str],
) -> Iterator[Problem]:
    """The unpacked layers."""
    of_images = {chain for image in images for chain in chain_ids(image.diff_ids)}
    of_images |= {layer.chain for layer in kept_layers(layout)}
    of_containers = {chain for path in used_lowerdirs if (chain := snapshots.chain_of(path))}
    links = snapshots.links()
    for name, chain in links.items():
        known = snapshots.known(chain) if chain else None
        if known is None or known.link != name:
            yield Problem(
                f"layers/l/{name} leads to no layer",
                "remove it",
                partial(snapshots.unlink, name),
            )
    for chain in snapshots.all():
        discard = _discarder(snapshots, chain, chain in of_containers)
        known = snapshots.known(chain)
        if chain not in of_images and chain not in of_containers:
            yield Problem(
                f"layer {chain} belongs to no image and no container",
                "remove it",
                partial(_discard_orphan, layout, chain, discard),
            )
        elif known is None:
            yield Problem(f"layer {chain} was not unpacked to its end", "unpack it anew", discard)
        elif known.link and not os.path.isdir(snapshots.path(chain)):
            yield Problem(f"layer {chain} is not there", "unpack it anew", discard)
        elif known.link and content_size(snapshots.path(chain)) != known.size:
            yield Problem(
                f"layer {chain} has not the size it had when it was unpacked",
                "unpack it anew" if discard else "remove the containers that use it first",
                discard,
            )


def _discarder(snapshots: Snapshots, chain: ChainID, in_use: bool) -> Callable[[], object] | None:
    """What takes a layer away; not below the feet of a container."""
    if in_use:
        return None

    def discard() -> None:
        known = snapshots.known(chain)
        snapshots.discard(chain)
        if known and known.link:
            snapshots.unlink(known.link)

    return discard


def _discard_orphan(layout: Layout, chain: ChainID, discard: Callable[[], object] | None) -> None:
    """As `_remove_orphan`."""
    if discard and chain not in mark(layout).chains:
        discard()


def _check_half_made(layout: Layout, snapshots: Snapshots) -> Iterator[Problem]:
    """What a killed writer left. Only when none lives: its things look the same."""
    with alone(layout.lock_path) as lock:
        if not lock.held:
            return
        ingest = layout.blobs.ingest
        try:
            left = [n for n in os.listdir(ingest) if is_left_over(layout.blobs, n)]
        except FileNotFoundError:
            left = []
        new = snapshots.half_made()
    for path in (*(f"{ingest}/{name}" for name in left), *new):
        yield Problem(
            f"{path} is half-made, by a command that was killed",
            "remove it",
            lambda: clear_leftovers(layout.blobs, snapshots),
        )


def repair(layout: Layout, problems: Iterable[Problem]) -> list[Problem]:
    """Do what can be done, with nobody else at work; those that remain. Raises `StoreError` where
    somebody is."""
    if not os.path.isdir(layout.directory):
        return [problem for problem in problems if not _repaired(problem)]
    with alone(layout.lock_path) as lock:
        if not lock.held:
            raise StoreError("somebody is writing to the store: try again when they are done")
        return [problem for problem in problems if not _repaired(problem)]


def _repaired(problem: Problem) -> bool:
    if problem.repair is None:
        return False
    try:
        problem.repair()
    except (OSError, MinidockError, BadJSON):
        return False
    return True
