"""From a line of index.json to an image: its manifest, its config, and whether they agree.

`minidock images` reads two small files per image and nothing else: no layer is opened, no tree is
walked. What is read here is believed afterwards, so the three claims that later code builds on are
checked: the documents parse, there are as many layers as DiffIDs, and a list of manifests for
several platforms has one for this machine.

See: image-spec manifest.md, image-index.md (platforms)
"""

from __future__ import annotations

import os

from minidock.errors import BadJSON, NotFound, StoreError
from minidock.record import Record
from minidock.spec.digest import DiffID, Digest, is_hex
from minidock.spec.image import (
    CONFIGS,
    INDEXES,
    MANIFESTS,
    Descriptor,
    ImageConfig,
    Platform,
    parse_image_config,
    parse_index,
    parse_manifest,
)
from minidock.spec.reference import is_identifier, parse_reference

TYPE_CHECKING = False
if TYPE_CHECKING:
    from minidock.image.blobs import Blobs
    from minidock.image.layout import Entry
    from minidock.spec.reference import Reference

# What uname(2) calls a processor, and what Go and so OCI calls it.
_ARCHITECTURES = {
    "x86_64": "amd64",
    "i686": "386",
    "i386": "386",
    "aarch64": "arm64",
    "armv7l": "arm",
    "armv6l": "arm",
    "loongarch64": "loong64",
}


class StoredImage(Record):
    """An image in the store.

    `id` is the digest of its config, which Docker calls the image id. `references` are its
    familiar names, sorted; empty for a dangling image. `layers` and `diff_ids` belong together,
    lowest first. `parent` is the id of the image it was committed from, or empty. `repo_digests`
    are what registries call it, `ubuntu@sha256:…`, sorted.
    """

    id: Digest
    manifest: Digest
    config: ImageConfig
    references: tuple[str, ...]
    layers: tuple[Descriptor, ...]
    diff_ids: tuple[DiffID, ...]
    parent: str = ""
    repo_digests: tuple[str, ...] = ()


def host_platform() -> Platform:
    """What images made on this machine are for."""
    machine = os.uname().machine
    return Platform("linux", _ARCHITECTURES.get(machine, machine))


def label(entry: Entry) -> str:
    """How errors name an image: its tag, or its manifest."""
    return f"image {entry.reference or entry.descriptor.digest.short}"


def load(blobs: Blobs, entry: Entry) -> StoredImage | None:
    """The image of one line; None for what is no image, or none for this machine.

    `references` has that line's name only. Raises `StoreError` if a blob is missing or spoiled.
    """
    what = label(entry)
    try:
        return _load(blobs, entry, what)
    except BadJSON as error:
        raise StoreError(error.message, hint=_remedy(entry)) from None
    except StoreError as error:
        error.hint = _remedy(entry)
        raise


def _remedy(entry: Entry) -> str:
    return f"`minidock rmi {entry.reference or entry.descriptor.digest.short}` removes the image."


def _load(blobs: Blobs, entry: Entry, what: str) -> StoredImage | None:
    descriptor = _for_host(blobs, entry.descriptor, what)
    if descriptor is None:
        return None
    manifest = parse_manifest(blobs.read(descriptor, what), f"{what}: manifest")
    if manifest.config.media_type not in CONFIGS:
        return None
    config = parse_image_config(blobs.read(manifest.config, what), f"{what}: config")
    if len(manifest.layers) != len(config.diff_ids):
        raise StoreError(
            f"{what}: {len(manifest.layers)} layers but {len(config.diff_ids)} DiffIDs"
        )
    reference = entry.reference
    return StoredImage(
        manifest.config.digest,
        descriptor.digest,
        config,
        (reference.familiar,) if reference else (),
        manifest.layers,
        config.diff_ids,
        entry.parent,
        tuple(parse_reference(name).familiar for name in entry.repo_digests),
    )


def for_host(blobs: Blobs, entry: Entry) -> Descriptor:
    """The manifest behind a line of index.json that `load` found to be an image."""
    descriptor = _for_host(blobs, entry.descriptor, label(entry))
    if descriptor is None:
        raise StoreError(f"{label(entry)} is none for this machine")
    return descriptor


def _for_host(blobs: Blobs, descriptor: Descriptor, what: str) -> Descriptor | None:
    """The manifest for this machine, through up to two lists of manifests."""
    host = host_platform()
    for _ in range(3):
        if descriptor.media_type in MANIFESTS:
            return descriptor
        if descriptor.media_type not in INDEXES:
            return None
        index = parse_index(blobs.read(descriptor, what), f"{what}: index")
        for candidate in index.manifests:
            platform = candidate.platform
            if platform is None or (platform.os, platform.architecture) == (
                host.os,
                host.architecture,
            ):
                descriptor = candidate
                break
        else:
            return None
    raise StoreError(f"{what}: lists of manifests inside each other")


def load_all(blobs: Blobs, entries: list[Entry]) -> list[StoredImage]:
    """Every image once, with all its names. Raises `StoreError` for the first that is spoiled."""
    by_manifest: dict[Digest, StoredImage | None] = {}
    by_id: dict[Digest, StoredImage] = {}
    for entry in entries:
        digest = entry.descriptor.digest
        if digest not in by_manifest:
            by_manifest[digest] = load(blobs, entry)
        image = by_manifest[digest]
        if image is None:
            continue
        # Two manifests with one config are one image: packed differently, the same when run.
        known = by_id.setdefault(image.id, image.but(references=()))
        names = {*known.references, *((entry.reference.familiar,) if entry.reference else ())}
        by_id[image.id] = known.but(
            references=tuple(sorted(names)),
            parent=known.parent or entry.parent,
            repo_digests=tuple(sorted({*known.repo_digests, *image.repo_digests})),
        )
    return list(by_id.values())


def find(blobs: Blobs, entries: list[Entry], name: str) -> StoredImage:
    """The image a user means: by reference, id, or the beginning of an id.

    Raises `InvalidInput` and `NotFound` in Docker's words, `StoreError`.
    """
    wanted = f"sha256:{name}" if is_identifier(name) else name
    shown = wanted
    if not is_identifier(wanted.removeprefix("sha256:")):
        reference = parse_reference(name)
        shown = reference.familiar
        image = find_reference(blobs, entries, reference)
        if image:
            return image
    prefix = wanted.removeprefix("sha256:")
    if is_hex(prefix):
        images = load_all(blobs, entries)
        found = [image for image in images if image.id.hex.startswith(prefix)]
        if len(found) == 1:  # of an ambiguous prefix Docker says the same as of an unknown one
            return found[0]
    raise NotFound(f"No such image: {shown}")


def find_reference(blobs: Blobs, entries: list[Entry], reference: Reference) -> StoredImage | None:
    """The image with this name or, for `name@digest`, one of that repository's manifests."""
    wanted = f"{reference.repository}@{reference.digest}"
    for entry in entries:
        known = entry.reference
        if reference.digest:
            here = f"{known.repository}@{entry.descriptor.digest}" if known else ""
            hit = wanted == here or wanted in entry.repo_digests
        else:
            hit = known == reference
        image = load(blobs, entry) if hit else None
        if image:
            return image.but(references=_names(entries, entry.descriptor.digest))
    return None


def _names(entries: list[Entry], digest: Digest) -> tuple[str, ...]:
    """All names of one manifest."""
    same = (e.reference for e in entries if e.descriptor.digest == digest)
    return tuple(sorted({reference.familiar for reference in same if reference}))
