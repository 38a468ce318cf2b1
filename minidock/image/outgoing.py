"""An image on its way out: its documents byte for byte, and which blobs go with them.

What came from a registry is sent as it came, so that its digest is the same everywhere. Of what was
made here the plain layers are packed on the way (packed.py), so the manifest that is sent is
another one than the store's; the config, and with it the image id, stays.
"""

from __future__ import annotations

from hashlib import sha256

from minidock.errors import MinidockError, NotFound
from minidock.image import catalog
from minidock.record import Record
from minidock.spec.digest import Digest
from minidock.spec.image import parse_manifest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from minidock.image.layout import Entry, Layout
    from minidock.spec.image import Descriptor
    from minidock.spec.reference import Reference


class Outgoing(Record):
    """`descriptor` points to the manifest, whose bytes are `manifest`; `entry` is the digest in
    the line of index.json that leads to it. All blobs are stored. `as_is`: nothing is packed."""

    descriptor: Descriptor
    manifest: bytes
    config: Descriptor
    layers: tuple[Descriptor, ...]
    entry: Digest
    as_is: bool

    def sent_as(self, packed: Mapping[Digest, Descriptor]) -> Outgoing:
        """The same image with other blobs for some of its layers."""
        if not packed:
            return self
        layers = tuple(packed.get(layer.digest, layer) for layer in self.layers)
        manifest = parse_manifest(self.manifest).but(layers=layers).to_json()
        digest = Digest.from_hex(sha256(manifest).hexdigest())
        descriptor = self.descriptor.but(digest=digest, size=len(manifest))
        return self.but(descriptor=descriptor, manifest=manifest, layers=layers)


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
        known = entry.descriptor.digest
        as_is = any(name.endswith(f"@{known}") for name in entry.repo_digests)
        return Outgoing(descriptor, manifest, parsed.config, parsed.layers, known, as_is)
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
