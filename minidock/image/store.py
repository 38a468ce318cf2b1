"""The image store: what the rest of minidock sees of images.

    images/     an OCI image layout: documents, layer tarballs, tags      layout.py, blobs.py
    layers/     the same layers unpacked, for overlayfs to stack          snapshots.py

Reading goes catalog.py → StoredImage. Writing always has the same order, so that an interruption
leaves garbage and never a wrong store: blobs, then directories synced, then index.json. Removing
takes lines out of index.json (removal.py) and then sweeps what they alone led to (gc.py).
"""

from __future__ import annotations

import os

from minidock.errors import InvalidInput, NotFound, StoreError
from minidock.image import catalog
from minidock.image.blobs import MissingBlob
from minidock.image.catalog import StoredImage as StoredImage
from minidock.image.layout import PARENT, Entry, Layout, retag
from minidock.image.snapshots import Layer, Snapshots
from minidock.record import Record
from minidock.spec.digest import Digest, chain_ids
from minidock.spec.image import MANIFEST, Descriptor, History, ImageConfig, Manifest
from minidock.spec.timestamp import now

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from typing import Any, BinaryIO, TypeVar

    from minidock.image.check import Problem
    from minidock.image.gc import Writing
    from minidock.image.load import Loaded
    from minidock.image.mutate import NewLayer
    from minidock.image.outgoing import Outgoing
    from minidock.image.receive import Receiver
    from minidock.image.removal import ImageUse
    from minidock.image.workshop import Workshop
    from minidock.spec.image import Platform
    from minidock.spec.reference import Reference

    T = TypeVar("T")


class HistoryRow(Record):
    """One line of `history`. `id` is the image that ended with this step, or `<missing>`."""

    id: str
    created: str
    created_by: str
    size: int
    comment: str
    references: tuple[str, ...] = ()


class ImageStore:
    """The images below one root, such as /var/lib/minidock. Nothing is created before something is
    written."""

    def __init__(self, root: str) -> None:
        root = os.path.abspath(root)
        self._layout = Layout(f"{root}/images")
        self._snapshots = Snapshots(root)

    # ── finding ──────────────────────────────────────────────────────────────────────────────

    def images(self) -> list[StoredImage]:
        """All images, newest first: dangling ones and parents of others too.

        Raises `StoreError` for one that is spoiled.
        """
        found = self._reading(lambda entries: catalog.load_all(self._layout.blobs, entries))
        return sorted(found, key=lambda image: (image.config.created, image.id), reverse=True)

    def resolve(self, name: str) -> StoredImage:
        """The image a user means: by reference, id, or the beginning of an id.

        Raises `InvalidInput` and `NotFound` in Docker's words, `StoreError`.
        """
        return self._reading(lambda entries: catalog.find(self._layout.blobs, entries, name))

    def _reading(self, read: Callable[[list[Entry]], T]) -> T:
        """Read while others write: what was removed after index.json was read is no damage."""
        data = self._layout.read()
        while True:
            try:
                return read(self._layout.entries(data))
            except MissingBlob:
                before, data = data, self._layout.read()
                if data == before:
                    raise

    # ── layers ───────────────────────────────────────────────────────────────────────────────

    def hold(self) -> Writing:
        """`with store.hold():` no layer disappears. For the time between asking for lowerdirs and
        having written down, where `used_by` finds it, that a container needs them."""
        from minidock.image.gc import Writing

        return Writing(self._layout, self._snapshots)

    def lowerdirs(self, image: StoredImage) -> tuple[str, ...]:
        """The directories of the image's layers, topmost first as overlayfs wants them. Layers that
        are not unpacked yet are. Raises `StoreError`, `BadArchive`, `OSError`."""
        layers = self._unpacked(image)
        return tuple(self._snapshots.link_path(layer) for layer in reversed(layers))

    def layer_sizes(self, image: StoredImage) -> tuple[int, ...]:
        """Bytes of file content in each layer, lowest first."""
        known = [self._snapshots.known(chain) for chain in chain_ids(image.diff_ids)]
        if None in known:  # copied in by another program, and never used
            return tuple(layer.size for layer in self._unpacked(image))
        return tuple(layer.size for layer in known if layer)

    def size(self, image: StoredImage) -> int:
        """What `images` shows as SIZE: bytes of file content, all layers."""
        return sum(self.layer_sizes(image))

    def _unpacked(self, image: StoredImage) -> list[Layer]:
        chains = chain_ids(image.diff_ids)
        found = [self._snapshots.unpacked(chain) for chain in chains]
        if None not in found:
            return [layer for layer in found if layer]
        from minidock.image.archive import unpack_image_layer

        layers = []
        with self.hold():
            for number, chain in enumerate(chains):

                def unpack(target: str, number: int = number) -> int:
                    return unpack_image_layer(self._layout.blobs, image, number, target)

                diff_id = image.diff_ids[number]
                layers.append(self._snapshots.ensure(chain, diff_id, unpack))
        return layers

    def workshop(self) -> Workshop:
        """For builds, which make layers one by one. Use it while `hold` is held."""
        from minidock.image.workshop import Workshop

        return Workshop(self._layout, self._snapshots)

    # ── what images say about themselves ─────────────────────────────────────────────────────

    def history(self, image: StoredImage) -> list[HistoryRow]:
        """The steps that made an image, newest first."""
        by_id = {str(other.id): other for other in self.images()}
        sizes = list(self.layer_sizes(image))
        ancestor: StoredImage | None = image
        rows = []
        for step in reversed(image.config.history):
            size = 0 if step.empty_layer or not sizes else sizes.pop()
            rows.append(
                HistoryRow(
                    str(ancestor.id) if ancestor else "<missing>",
                    step.created,
                    step.created_by,
                    size,
                    step.comment,
                    ancestor.references if ancestor else (),
                )
            )
            ancestor = by_id.get(ancestor.parent) if ancestor else None
        return rows

    # ── adding ───────────────────────────────────────────────────────────────────────────────

    def import_tarball(
        self,
        stream: int | BinaryIO,
        reference: Reference | None,
        *,
        changes: Sequence[str] = (),
        message: str = "",
    ) -> StoredImage:
        """Make an image of a root filesystem in a tarball, plain or packed (`docker import`).

        Raises `InvalidInput` for changes that cannot be, `BadArchive` for a tarball that is
        damaged or hostile; then nothing stays.
        """
        from minidock.image.archive import import_layer
        from minidock.image.changes import apply_changes
        from minidock.image.mutate import first_image

        if reference:
            check_taggable(reference, "cannot import digest reference")
        config = apply_changes({}, changes)
        with self.hold():
            layer = import_layer(self._layout.blobs, self._snapshots, stream)
            history = History(created=now(), comment=message or "Imported from -")
            parts = first_image(catalog.host_platform(), layer, config, history)
            return self._add(*parts, reference, parent="")

    def receive(self, config: bytes, manifest: bytes) -> Receiver:
        """For `with`: take in an image whose documents came from elsewhere. Raises `BadData`."""
        from minidock.image.receive import Receiver

        return Receiver(self._layout, self._snapshots, self.hold(), config, manifest)

    def load(self, stream: int | BinaryIO, fits: Callable[[Platform], bool]) -> list[Loaded]:
        """Take in the images of an archive that `save` or another engine wrote; of an image for
        several platforms the one that `fits`. Raises `BadData`; then nothing stays."""
        from minidock.image.load import load_images

        with self.hold():
            return load_images(self._layout, self._snapshots, stream, fits, self.receive)

    def save(self, wanted: Sequence[str], out: int) -> None:
        """Write images to a descriptor as a tar that `load` and other engines read. Raises
        `NotFound`, `StoreError`, `OSError`."""
        from minidock.image.save import save_images

        with self.hold():
            save_images(self._layout, wanted, out)

    def is_named(self, reference: Reference, manifest: Digest, repo_digest: str) -> bool:
        """Whether this very manifest already has this name, and comes from there."""
        return any(
            entry.descriptor.digest == manifest
            and repo_digest in entry.repo_digests
            and (bool(reference.digest) or entry.reference == reference)
            and self._is_whole(entry)
            for entry in self._layout.entries()
        )

    def _is_whole(self, entry: Entry) -> bool:
        """Whether nothing of an image is missing."""
        try:
            image = catalog.load(self._layout.blobs, entry)
        except StoreError:
            return False
        return image is not None and all(self._layout.blobs.has(b.digest) for b in image.layers)

    def outgoing(self, reference: Reference) -> Outgoing:
        """The parts of an image that is to be sent elsewhere, as they are stored. Raises
        `NotFound`, `StoreError`."""
        from minidock.image.outgoing import find_outgoing

        return find_outgoing(self._layout, reference)

    def open_blob(self, digest: Digest) -> int:
        """A descriptor to read a blob from, as stored. Raises `StoreError`."""
        return self._layout.blobs.open(digest, f"blob {digest.short}")

    def repositories_of(self, digest: Digest, domain: str) -> list[str]:
        """Repositories of a registry that should have this blob, since an image with it was pulled
        from there or pushed to it."""
        from minidock.image.outgoing import repositories_of

        return repositories_of(self._layout, digest, domain)

    def find_packed(self, plain: Digest) -> Descriptor | None:
        """What a plain layer was called when it was last sent somewhere."""
        from minidock.image.packed import find_packed

        return find_packed(self._layout, plain)

    def note_packed(self, plain: Digest, packed: Descriptor) -> None:
        """Remember what a plain layer is called when it is packed."""
        from minidock.image.packed import note_packed

        note_packed(self._layout, plain, packed)

    def keep(
        self,
        image_id: Digest,
        reference: Reference,
        repo_digest: str,
        check: Callable[[ImageConfig], object],
    ) -> bool | None:
        """Name an image that a registry has and that is here already, perhaps with its layers
        packed otherwise; `check` may raise. Whether that changed anything; None if it is not
        here."""
        changed: bool | None = None

        def change(entries: list[Entry]) -> list[Entry]:
            nonlocal changed
            for entry in entries:
                if not self._is_whole(entry):
                    continue
                known = catalog.load(self._layout.blobs, entry)
                if known and known.id == image_id:
                    check(known.config)
                    named = entry.with_repo_digests((*entry.repo_digests, repo_digest))
                    same = [e for e in entries if e.descriptor.digest == entry.descriptor.digest]
                    changed = not (reference.digest or reference in [e.reference for e in same])
                    return retag(entries, named, None if reference.digest else reference)
            return entries

        with self.hold():
            self._layout.update(change)
        return changed

    def note_repo_digest(self, reference: Reference, entry: Digest, manifest: Digest) -> None:
        """Remember what a registry calls the image in that line of index.json."""
        known, name = entry, f"{reference.repository}@{manifest}"

        def change(entries: list[Entry]) -> list[Entry]:
            return [
                entry.with_repo_digests((*entry.repo_digests, name))
                if entry.descriptor.digest == known
                else entry
                for entry in entries
            ]

        self._layout.update(change)

    def add_layer(
        self,
        parent: StoredImage,
        upper: str,
        *,
        config: Mapping[str, Any],
        author: str = "",
        comment: str = "",
        created_by: str = "",
        reference: Reference | None = None,
    ) -> StoredImage:
        """Make an image of `parent` and the overlay directory `upper` (`docker commit`).

        `config` is the whole new container config. The layer is unpacked when the image is first
        used. Raises `MinidockError`, `OSError`; then nothing stays.
        """
        from minidock.image.archive import pack_layer
        from minidock.image.mutate import append_layer

        if reference:
            check_taggable(reference, "cannot commit to digest reference")
        with self.hold():
            for stored in parent.layers:  # from here on nobody can remove them
                if not self._layout.blobs.has(stored.digest):
                    raise NotFound(f"No such image: {parent.id}")
            layer = pack_layer(self._layout.blobs, upper)
            history = History(now(), created_by, author, comment)
            new, layers = append_layer(parent.config, parent.layers, layer, config, history)
            self._note(new, layer)
            return self._add(new, layers, reference, parent=parent.id)

    def _note(self, image: ImageConfig, layer: NewLayer) -> None:
        """Remember how large the topmost layer is."""
        if image.diff_ids and image.diff_ids[-1] == layer.diff_id:
            chain = chain_ids(image.diff_ids)[-1]
            self._snapshots.note(chain, Layer(layer.diff_id, layer.size))

    def _add(
        self,
        config: ImageConfig,
        layers: tuple[Descriptor, ...],
        reference: Reference | None,
        *,
        parent: str,
    ) -> StoredImage:
        """Write the documents of an image whose layers are stored, and only then its tag."""
        from minidock.spec.image import CONFIG

        blobs = self._layout.blobs
        data = config.to_json()
        image_id = blobs.put(data)
        manifest = Manifest(Descriptor(CONFIG, image_id, len(data)), layers)
        data = manifest.to_json()
        digest = blobs.put(data)
        blobs.sync()
        notes = {PARENT: parent} if parent else {}
        entry = Entry(Descriptor(MANIFEST, digest, len(data), notes, catalog.host_platform()))
        self._layout.update(lambda entries: retag(entries, entry, reference))
        names = (reference.familiar,) if reference else ()
        return StoredImage(image_id, digest, config, names, layers, config.diff_ids, parent)

    def tag(self, image: StoredImage, reference: Reference) -> None:
        """Give an image one more name; it leaves the image that had it. Raises `InvalidInput`,
        and `NotFound` if the image was removed meanwhile."""
        check_taggable(reference, "refusing to create a tag with a digest reference")

        def change(entries: list[Entry]) -> list[Entry]:
            for entry in entries:
                if (known := catalog.load(self._layout.blobs, entry)) and known.id == image.id:
                    return retag(entries, entry, reference)
            raise NotFound(f"No such image: {image.id}")

        self._layout.update(change)

    # ── removing ─────────────────────────────────────────────────────────────────────────────

    def remove(
        self,
        name: str,
        *,
        force: bool = False,
        prune: bool = True,
        used_by: Callable[[], Sequence[ImageUse]],
    ) -> list[str]:
        """Take away a name, or an image: the lines `Untagged: …` and `Deleted: …` of `rmi`.

        `used_by()` gives what all containers need. `prune` takes parents without a name along.
        Raises `NotFound`, `Conflict` in Docker's words; then nothing has changed.
        """
        from minidock.image.removal import remove_image

        return remove_image(self._layout, self._snapshots, name, used_by, force=force, prune=prune)

    def check(self, used_lowerdirs: Iterable[str]) -> Iterator[Problem]:
        """What is wrong with the store, see check.py. `used_lowerdirs` are those of containers."""
        from minidock.image.check import check_images

        return check_images(self._layout, self._snapshots, used_lowerdirs)

    def repair(self, problems: Iterable[Problem]) -> list[Problem]:
        """Mend what can be mended; the problems that remain. Raises `StoreError`."""
        from minidock.image.check import repair

        return repair(self._layout, problems)

    def sweep(self, used_by: Callable[[], Sequence[ImageUse]]) -> bool:
        """Remove what neither images nor containers need. False if somebody is writing."""
        from minidock.image.gc import sweep

        if not os.path.isdir(self._layout.directory):
            return True  # nothing was ever written

        def lowerdirs() -> list[str]:
            return [path for use in used_by() for path in use.lowerdirs]

        return sweep(self._layout, self._snapshots, lowerdirs)


def check_taggable(reference: Reference, digest_message: str) -> None:
    """Raise `InvalidInput` for what may not become a tag."""
    if reference.digest:
        raise InvalidInput(digest_message)
    if reference.familiar_repository == "sha256":
        raise InvalidInput("refusing to create an ambiguous tag using digest algorithm as name")
