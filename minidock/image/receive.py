"""An image that arrives in parts, from a registry or an archive: layers first, its name last.

    layer ─► partial blob (file + sha256 = Digest) ─► decompress ─► sha256 = DiffID ─► unpack
    layer ─► …        several at once; each must be what the manifest and the config say it is
    then      adopt the directories in order, write config and manifest, set the tags

Until the tags are set all of it is garbage that nobody points to, and the store's lock, held from
the first layer on, keeps it from being swept. Whatever fails, half-filled directories go; blobs
that came completely stay for the next try.

See: image-spec manifest.md, config.md (rootfs.diff_ids)
"""

from __future__ import annotations

import os
from hashlib import sha256

from minidock.errors import BadData
from minidock.image.compression import Peek, Tee, as_source, compression_of, decompressed
from minidock.image.layout import Entry, retag
from minidock.image.overlap import Ahead
from minidock.image.partial import PartialBlob
from minidock.image.snapshots import remove_tree
from minidock.image.unpack import unpack_layer
from minidock.record import Record
from minidock.spec.digest import ChainID, DiffID, Digest, chain_ids
from minidock.spec.image import LAYER, Descriptor, parse_image_config, parse_manifest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import TracebackType
    from typing import Self

    from minidock.image.compression import Source
    from minidock.image.gc import Writing
    from minidock.image.layout import Layout
    from minidock.image.snapshots import Snapshots
    from minidock.spec.image import ImageConfig, Manifest
    from minidock.spec.reference import Reference

_PIECE = 1 << 20
# A layer may be this large in any case; above, only if its packed form is in proportion.
_FREE_SIZE = 1 << 30
_MOST_EXPANSION = 250


class Part(Record):
    """One layer on its way: what the manifest says of the blob, what the config says of the tar
    inside, and where in the stack it lies."""

    descriptor: Descriptor
    diff_id: DiffID
    chain: ChainID


class Receiver:
    """For `with`: takes the parts of one image. `layer` may be called by several threads."""

    def __init__(
        self, layout: Layout, snapshots: Snapshots, hold: Writing, config: bytes, manifest: bytes
    ) -> None:
        self._layout = layout
        self._snapshots = snapshots
        self._hold = hold
        self._config = config
        self._manifest = manifest
        self.manifest: Manifest = parse_manifest(manifest)
        self.image: ImageConfig = parse_image_config(config)
        self.parts = self._match()
        self._filled: dict[ChainID, tuple[str, int]] = {}

    def _match(self) -> tuple[Part, ...]:
        layers, diff_ids = self.manifest.layers, self.image.diff_ids
        if len(layers) != len(diff_ids):
            raise BadData(f"the image has {len(layers)} layers but names {len(diff_ids)} DiffIDs")
        return tuple(map(Part, layers, diff_ids, chain_ids(diff_ids)))

    def __enter__(self) -> Self:
        self._hold.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            for directory, _ in self._filled.values():
                remove_tree(directory)
        finally:
            self._hold.__exit__(kind, error, trace)

    # ── layers ───────────────────────────────────────────────────────────────────────────────

    def prefer_own(self) -> None:
        """Take the layers that are here as plain tars from here, however they would come packed:
        a tar's DiffID is the digest of its blob. The manifest then names those. (What the others
        were called is not remembered: that they hold the same is only somebody's word.)"""
        blobs, layers = self._layout.blobs, list[Descriptor]()
        for part in self.parts:
            own, layer = Digest(part.diff_id), part.descriptor
            if blobs.has(own) and not blobs.has(layer.digest):
                layer = Descriptor(LAYER, own, os.stat(blobs.path(own)).st_size)
            layers.append(layer)
        if tuple(layers) != self.manifest.layers:
            self.manifest = self.manifest.but(layers=tuple(layers))
            self._manifest = self.manifest.to_json()
            self.parts = self._match()

    def descriptor(self, media_type: str) -> Descriptor:
        """Of the manifest as it will be stored."""
        digest = Digest.from_hex(sha256(self._manifest).hexdigest())
        return Descriptor(media_type, digest, len(self._manifest))

    def is_here(self, part: Part) -> bool:
        """Whether nothing of a layer has to be fetched."""
        return self._layout.blobs.has(part.descriptor.digest)

    def layer(
        self, part: Part, source: Callable[[PartialBlob], Source], unpacking: Callable[[int], None]
    ) -> None:
        """Take one layer. `source(blob)` gives the bytes that `blob` does not have yet; `unpacking`
        hears how many packed bytes were unpacked by now. Raises `BadData` for a layer that is not
        what the image says, `OSError`."""
        with PartialBlob(self._layout.blobs, part.descriptor) as blob:
            if blob.done:
                return
            packed = _Arriving(blob, source(blob))
            try:
                if self._snapshots.unpacked(part.chain) or part.chain in self._filled:
                    while packed.read(_PIECE):
                        pass
                else:
                    self._unpack(part, packed, unpacking)
                blob.finish()
            except BadData:
                blob.discard()  # what is wrong now will be no better the next time
                raise

    def filled(self, part: Part, directory: str, size: int) -> bool:
        """Take a directory into which a layer was unpacked already. False if it is not needed,
        and so still the caller's."""
        if part.chain in self._filled or self._snapshots.unpacked(part.chain):
            return False
        self._filled[part.chain] = directory, size
        return True

    def stored(self, part: Part) -> None:
        """Unpack a layer whose blob is in the store already, and was verified. Raises as `layer`
        does."""
        if part.chain in self._filled or self._snapshots.unpacked(part.chain):
            return
        fd = self._layout.blobs.open(part.descriptor.digest, f"layer {part.descriptor.digest}")
        try:
            if compression_of(os.pread(fd, 8, 0)):
                self._unpack(part, as_source(fd), lambda done: None)
                return
            if part.descriptor.digest.hex != part.diff_id.hex:
                raise BadData(f"layer {part.descriptor.digest} is not {part.diff_id}")
            directory = self._snapshots.new()
            try:
                size = unpack_layer(fd, directory)  # the child reads the file by itself
            except BaseException:
                remove_tree(directory)
                raise
            self._filled[part.chain] = directory, size
        finally:
            os.close(fd)

    def _unpack(self, part: Part, packed: Source, unpacking: Callable[[int], None]) -> None:
        plain = sha256()
        directory = self._snapshots.new()
        try:
            with Ahead(packed) as stored:
                counted = _Counted(stored, unpacking)
                head = Peek(counted)
                tar = decompressed(head, compression_of(head.peek(8)))
                bounded = _Bounded(Tee(tar, plain.update), counted)
                size = unpack_layer(bounded, directory)
            if plain.hexdigest() != part.diff_id.hex:
                raise BadData(f"layer {part.descriptor.digest} is not {part.diff_id} when unpacked")
        except BaseException:
            remove_tree(directory)
            raise
        self._filled[part.chain] = directory, size

    # ── the end ──────────────────────────────────────────────────────────────────────────────

    def finish(self, references: Sequence[Reference], entry: Descriptor) -> None:
        """All layers are here: make the image one of the store's, under all `references`. `entry`
        is the line of index.json that points to its manifest."""
        for part in self.parts:
            if part.chain in self._filled:
                directory, size = self._filled.pop(part.chain)
                self._snapshots.adopt(directory, part.chain, part.diff_id, size)
        blobs = self._layout.blobs
        blobs.put(self._config)
        blobs.put(self._manifest)
        blobs.sync()

        def change(entries: list[Entry]) -> list[Entry]:
            for reference in references or (None,):
                entries = retag(entries, Entry(entry), reference)
            return entries

        self._layout.update(change)


class _Arriving:
    """What is kept of a blob, then what arrives, which is kept in its turn."""

    def __init__(self, blob: PartialBlob, source: Source) -> None:
        self._blob = blob
        self._kept = blob.kept()
        self._source = source

    def read(self, size: int) -> bytes:
        data = next(self._kept, b"")
        if not data:
            data = self._source.read(size)
            if data:
                self._blob.append(data)
        return data


class _Counted:
    """Tells how much was read."""

    def __init__(self, source: Source, tell: Callable[[int], None]) -> None:
        self.total = 0
        self._source = source
        self._tell = tell

    def read(self, size: int) -> bytes:
        data = self._source.read(size)
        self.total += len(data)
        self._tell(self.total)
        return data


class _Bounded:
    """Ends a "bomb": a few KiB that unpack to terabytes would fill the disk."""

    def __init__(self, source: Source, packed: _Counted) -> None:
        self._source = source
        self._packed = packed
        self._total = 0

    def read(self, size: int) -> bytes:
        data = self._source.read(size)
        self._total += len(data)
        if self._total > _FREE_SIZE and self._total > self._packed.total * _MOST_EXPANSION:
            raise BadData(
                f"the layer is a bomb: {self._packed.total} bytes became more than {self._total}"
            )
        return data
