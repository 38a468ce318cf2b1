"""An image on its way out: its documents byte for byte, and which blobs go with them.

What was pulled is sent as it came, so that its digest is the same everywhere.
"""

from __future__ import annotations

from minidock.errors import MinidockError, NotFound
from minidock.image import catalog
from minidock.record import Record
from minidock.spec.image import parse_manifest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from minidock.image.layout import Entry, Layout
    from minidock.spec.digest import Digest
    from minidock.spec.image import Descriptor
    from minidock.spec.reference import Reference


class Outgoing(Record):
    """`descriptor` points to the manifest, whose bytes are `manifest`. All blobs are stored."""

    descriptor: Descriptor
    manifest: bytes
    config: Descriptor
    layers: tuple[Descriptor, ...]


def find_outgoing(layout: Layout, reference: Reference) -> Outgoing:
    """The image with this very name. Raises `NotFound` in Docker's words, `StoreError`."""
    for entry in layout.entries():
        if entry.reference != reference:
            continue
        image = catalog.load(layout.blobs, entry)
        if image is None:
            continue
        descriptor = catalog.for_host(layout.blobs, entry)
        manifest = layout.blobs.read(descriptor, f"image {reference.familiar}")
        parsed = parse_manifest(manifest)
        return Outgoing(descriptor, manifest, parsed.config, parsed.layers)
    raise NotFound(f"An image does not exist locally with the tag: {reference.familiar_repository}")


def repositories_of(layout: Layout, digest: Digest, domain: str) -> list[str]:
    """Repositories (paths) of one registry from which or to which images with this blob went."""
    found: dict[str, None] = {}
    for entry in layout.entries():
        paths = [
            path
            for name in entry.repo_digests
            for host, _, path in (name.partition("@")[0].partition("/"),)
            if host == domain
        ]
        if paths and digest in _blobs_of(layout, entry):
            found.update(dict.fromkeys(paths))
    return list(found)


def _blobs_of(layout: Layout, entry: Entry) -> set[Digest]:
    try:
        image = catalog.load(layout.blobs, entry)
    except MinidockError:
        return set()
    return {image.id, *(layer.digest for layer in image.layers)} if image else set()
