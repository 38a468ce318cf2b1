"""Layers made in place: what a build needs of the store.

`commit` has the directory of a container, packs it, and the layer is unpacked when it is first
used. A build uses each layer at once, for the next instruction. So the directory that a RUN or COPY
has filled *is* the unpacked layer: it is filled in `layers/new`, packed into a blob, and renamed to
the ChainID's name. Nothing is unpacked, and nothing written twice.

A build holds the store's lock for as long as it works (`ImageStore.hold`): what it makes belongs to
no image until its end. If it is killed, the half-made things go with the next writer.
"""

from __future__ import annotations

import os

from minidock.errors import NotFound
from minidock.image import catalog
from minidock.image.catalog import StoredImage
from minidock.image.kept import KeptLayer, keep, kept_layers, let_go
from minidock.image.layout import Entry, retag
from minidock.image.mutate import NewLayer
from minidock.image.overlap import Behind
from minidock.image.snapshots import Layer, remove_tree
from minidock.image.tar_write import END_OF_ARCHIVE
from minidock.spec.digest import DiffID, chain_ids
from minidock.spec.image import CONFIG, LAYER, MANIFEST, Descriptor, Manifest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from minidock.image.layout import Layout
    from minidock.image.snapshots import Snapshots
    from minidock.spec.digest import ChainID, Digest
    from minidock.spec.image import ImageConfig
    from minidock.spec.reference import Reference

    Write = Callable[[Callable[[bytes], object]], int]


class Workshop:
    """Makes layers and images. Only while `ImageStore.hold` is held."""

    def __init__(self, layout: Layout, snapshots: Snapshots) -> None:
        self._layout = layout
        self._snapshots = snapshots

    def directory(self) -> str:
        """An empty directory that can become a layer. Removed by the next writer if we die."""
        return self._snapshots.new()

    def discard(self, directory: str) -> None:
        """Remove one that will not."""
        remove_tree(directory)

    def adopt(self, below: Sequence[DiffID], directory: str, write: Write) -> NewLayer | None:
        """Make a layer of `directory`, on top of the layers `below`; None if nothing is in it.

        `write(out)` writes its tarball and returns the bytes of file content; it may fill the
        directory while it does. Raises what that raises, `OSError`; the directory is gone then.
        """
        try:
            with self._layout.blobs.writer() as blob:
                with Behind(blob.write) as out:
                    size = write(out)
                if blob.size <= len(END_OF_ARCHIVE):
                    remove_tree(directory)
                    return None
                digest = blob.finish()
            diff_id = DiffID(digest)
            chain = chain_ids((*below, diff_id))[-1]
            self._snapshots.adopt(directory, chain, diff_id, size)
            keep(self._layout, chain, digest, size)
        except BaseException:
            remove_tree(directory)
            raise
        return NewLayer(Descriptor(LAYER, digest, blob.size), diff_id, size)

    def find(self, below: Sequence[DiffID], layer: Descriptor, diff_id: DiffID, size: int) -> bool:
        """Whether a layer that was made before is still here, now to lie on top of `below`; it is
        of use again. `size` is the bytes of its files."""
        if not self._layout.blobs.has(layer.digest):
            return False
        chain = chain_ids((*below, diff_id))[-1]
        self._snapshots.note(chain, Layer(diff_id, size))
        keep(self._layout, chain, layer.digest, size)
        return True

    def add_image(
        self, config: ImageConfig, layers: tuple[Descriptor, ...], references: Sequence[Reference]
    ) -> StoredImage:
        """Write the documents of an image whose layers are stored, and only then its names."""
        blobs = self._layout.blobs
        for layer in layers:
            if not blobs.has(layer.digest):
                raise NotFound(f"a layer of the image was removed meanwhile: {layer.digest}")
        data = config.to_json()
        image_id = _put(self._layout, data)
        manifest = Manifest(Descriptor(CONFIG, image_id, len(data)), layers)
        data = manifest.to_json()
        digest = _put(self._layout, data)
        entry = Entry(Descriptor(MANIFEST, digest, len(data), {}, catalog.host_platform()))

        def change(entries: list[Entry]) -> list[Entry]:
            for reference in references or (None,):
                entries = retag(entries, entry, reference)
            return entries

        known = [e for e in self._layout.entries() if e.descriptor.digest == digest]
        names = {e.reference for e in known}
        if not known or not set(references) <= names:
            blobs.sync()
            self._layout.update(change)
        familiar = tuple(sorted(r.familiar for r in references))
        return StoredImage(image_id, digest, config, familiar, layers, config.diff_ids)

    # ── what is kept for the next build ──

    def kept(self) -> list[KeptLayer]:
        """The layers that builds made, in images or not."""
        return kept_layers(self._layout)

    def let_go(self, chain: ChainID) -> None:
        """Keep a layer no longer, unless an image has it."""
        let_go(self._layout, chain)


def _put(layout: Layout, data: bytes) -> Digest:
    """A document, which is often there already: then nothing is written."""
    from hashlib import sha256

    from minidock.spec.digest import Digest

    digest = Digest.from_hex(sha256(data).hexdigest())
    try:
        if os.stat(layout.blobs.path(digest)).st_size == len(data):
            return digest
    except FileNotFoundError:
        pass
    return layout.blobs.put(data)
