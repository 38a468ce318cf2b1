"""load: images out of a tar file, whichever engine wrote it.

    manifest.json       `docker save`: which file is whose config, which are its layers, its tags
    index.json          an OCI layout as a tar: manifests by digest

The table of contents may be the last file, and the tar may come through a pipe. So it is read once
from front to back. Small files are kept. A large one becomes a blob of the store; what it will be
is not known yet, but nearly always it is a layer, so it is unpacked on the way as if it were one,
while it is hashed and stored. Then the tables say which layer belongs where.

Names in the archive are looked up in a dictionary and never in a filesystem, so that none can lead
anywhere.

See: image-spec image-layout.md; moby image/tarexport; docker-archive:, oci-archive: in
containers-transports(5)
"""

from __future__ import annotations

import os

from minidock.errors import BadArchive, BadData, BadJSON
from minidock.image.compression import PIECE, Peek, Tee, as_source, compression_of, decompressed
from minidock.image.overlap import Ahead
from minidock.image.receive import Receiver
from minidock.image.snapshots import remove_tree
from minidock.image.tar_format import HARD_LINK, REGULAR, SYMLINK, shown
from minidock.image.tar_read import TarReader
from minidock.image.unpack import unpack_layer
from minidock.record import Record
from minidock.spec.digest import DiffID, Digest
from minidock.spec.fields import MAX_JSON, Fields
from minidock.spec.image import (
    CONFIG,
    INDEXES,
    LAYER,
    LAYER_GZIP,
    LAYER_ZSTD,
    MANIFEST,
    MANIFESTS,
    REF_NAME,
    Descriptor,
    Manifest,
    Platform,
    parse_image_config,
    parse_index,
)
from minidock.spec.lean_json import loads
from minidock.spec.reference import parse_reference

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import BinaryIO

    from minidock.image.layout import Layout
    from minidock.image.snapshots import Snapshots
    from minidock.spec.reference import Reference

CONTAINERD_NAME = "io.containerd.image.name"
_KEPT_IN_MEMORY = 64 << 20  # bytes of small files
_SMALL = 1 << 20
_MOST_ENTRIES = 50_000
_MOST_LINKS = 40
_MEDIA_TYPES = {"": LAYER, "gzip": LAYER_GZIP, "zstd": LAYER_ZSTD}


class Loaded(Record):
    """One image that came in. `replaced` are (name, id of the image that had it before)."""

    id: Digest
    names: tuple[str, ...]


class Incoming(Record):
    """An image found in the archive."""

    config: bytes
    manifest: bytes
    media_type: str
    references: tuple[Reference, ...]


def load_images(
    layout: Layout,
    snapshots: Snapshots,
    stream: int | BinaryIO,
    fits: Callable[[Platform], bool],
    receive: Callable[[bytes, bytes], Receiver],
) -> list[Loaded]:
    """Take in every image of the archive. `fits` says which platforms are wanted.

    Raises `BadData` for an archive that is damaged, hostile or none; then nothing is left.
    """
    archive = Archive(layout, snapshots)
    try:
        archive.read(stream)
        images = find_images(archive, fits)
        return [_take(archive, receive, image) for image in images]
    finally:
        archive.forget()


def _take(archive: Archive, receive: Callable[[bytes, bytes], Receiver], image: Incoming) -> Loaded:
    with receive(image.config, image.manifest) as receiver:
        for part in receiver.parts:
            unpacked = archive.unpacked.get(part.descriptor.digest)
            if unpacked and unpacked.diff_id == part.diff_id:
                if receiver.filled(part, unpacked.directory, unpacked.size):
                    del archive.unpacked[part.descriptor.digest]
            else:
                receiver.stored(part)
        config = receiver.image
        entry = Descriptor(
            image.media_type,
            digest_of(image.manifest),
            len(image.manifest),
            {},
            Platform(config.os, config.architecture, config.variant),
        )
        receiver.finish(image.references, entry)
    names = tuple(reference.familiar for reference in image.references)
    return Loaded(digest_of(image.config), names)


def digest_of(data: bytes) -> Digest:
    from hashlib import sha256

    return Digest.from_hex(sha256(data).hexdigest())


# ── what is in the archive ───────────────────────────────────────────────────────────────────────


class Unpacked(Record):
    """A layer that was unpacked before it was known to be one."""

    diff_id: DiffID
    directory: str
    size: int


class Archive:
    """The files of an archive by name: small ones in memory, large ones as blobs of the store.
    `unpacked` are those that looked like layers, by the digest of their blob."""

    def __init__(self, layout: Layout, snapshots: Snapshots) -> None:
        self.unpacked: dict[Digest, Unpacked] = {}
        self._layout = layout
        self._snapshots = snapshots
        self._small: dict[str, bytes] = {}
        self._large: dict[str, Descriptor] = {}
        self._links: dict[str, str] = {}
        self._kept = 0

    def read(self, stream: int | BinaryIO) -> None:
        """Walk through the archive, plain or packed, to its end. Raises `BadArchive`, `BadData`."""
        packed = Peek(as_source(stream))
        head = packed.peek(8)
        if not head:
            raise BadArchive("the archive is empty")
        plain = decompressed(packed, compression_of(head))
        reader = TarReader(lambda: memoryview(plain.read(PIECE)))
        count = 0
        while header := reader.next():
            count += 1
            if count > _MOST_ENTRIES:
                raise BadArchive(f"the archive has more than {_MOST_ENTRIES} files")
            name = _tidy(header.name)
            if header.type == REGULAR and header.sparse is None:
                self._take(reader, name, header.size)
            elif header.type in (SYMLINK, HARD_LINK):
                base = name.rpartition("/")[0] if header.type == SYMLINK else ""
                self._links[name] = _tidy(header.linkname, base)

    def _take(self, reader: TarReader, name: str, size: int) -> None:
        """One file. What is named for its digest must have it."""
        if size <= _SMALL and self._kept + size <= _KEPT_IN_MEMORY:
            pieces: list[bytes] = []
            reader.copy(size, lambda piece: pieces.append(bytes(piece)))
            self._small[name] = b"".join(pieces)
            self._kept += size
            digest = digest_of(self._small[name])
        else:
            digest = self._store(_EntryData(reader, size))
            self._large[name] = Descriptor("", digest, size)
        if name.startswith("blobs/sha256/") and name != f"blobs/sha256/{digest.hex}":
            raise BadData(f"{name} in the archive has another digest: {digest}")

    def _store(self, data: _EntryData) -> Digest:
        """A large file as a blob, and unpacked if it is a tar."""
        from hashlib import sha256

        plain = sha256()
        directory = self._snapshots.new()
        unpacked = -1
        try:
            with self._layout.blobs.writer() as blob:
                stored = Peek(Tee(data, blob.write))
                compression = compression_of(stored.peek(8))
                with Ahead(stored) as ahead:
                    tar = decompressed(ahead, compression)
                    try:
                        unpacked = unpack_layer(
                            Tee(tar, plain.update) if compression else tar, directory
                        )
                    except BadArchive:
                        while ahead.read(PIECE):
                            pass  # no layer, or a bad one: the table of contents will tell
                digest = blob.finish()
        except BaseException:
            remove_tree(directory)
            raise
        if unpacked < 0 or digest in self.unpacked:
            remove_tree(directory)
        else:
            diff_id = DiffID.from_hex(plain.hexdigest() if compression else digest.hex)
            self.unpacked[digest] = Unpacked(diff_id, directory, unpacked)
        return digest

    def _resolve(self, name: str) -> str:
        """Follow links, inside the archive."""
        for _ in range(_MOST_LINKS):
            if name not in self._links:
                return name
            name = self._links[name]
        raise BadArchive(f"{name} in the archive is a link to itself")

    def has(self, name: str) -> bool:
        name = self._resolve(_tidy(name.encode()))
        return name in self._small or name in self._large

    def document(self, name: str) -> bytes:
        """A small file. Raises `BadData` if it is missing or too large."""
        name = self._resolve(_tidy(name.encode()))
        if name in self._large:
            blob = self._large[name]
            if blob.size > MAX_JSON:
                raise BadJSON(f"{name}: larger than {MAX_JSON} bytes")
            return self._layout.blobs.read(blob, name)
        if name not in self._small:
            raise BadData(f"{name} is missing from the archive")
        return self._small[name]

    def layer(self, name: str) -> Descriptor:
        """A file as a blob of the store, of a media type that says how it is packed."""
        name = self._resolve(_tidy(name.encode()))
        blob = self._large.get(name)
        if blob is None:
            data = self.document(name)
            blob = Descriptor("", self._layout.blobs.put(data), len(data))
            self._large[name] = blob
        if not blob.media_type:
            blob = self._typed(blob)
            self._large[name] = blob
        return blob

    def _typed(self, blob: Descriptor) -> Descriptor:
        fd = self._layout.blobs.open(blob.digest, "layer")
        try:
            compression = compression_of(os.pread(fd, 8, 0))
            if compression in _MEDIA_TYPES:
                return blob.but(media_type=_MEDIA_TYPES[compression])
            # xz and bzip2 are no media types of OCI's: such a layer is stored as plain tar.
            plain = decompressed(as_source(fd), compression)
            with self._layout.blobs.writer() as writer:
                while data := plain.read(PIECE):
                    writer.write(data)
                return Descriptor(LAYER, writer.finish(), writer.size)
        finally:
            os.close(fd)

    def forget(self) -> None:
        """Free what no image took. Blobs are left to the next sweep."""
        self._small.clear()
        for unpacked in self.unpacked.values():
            remove_tree(unpacked.directory)
        self.unpacked.clear()


class _EntryData:
    """The bytes of one entry of the outer archive, as a source."""

    def __init__(self, reader: TarReader, size: int) -> None:
        self._reader = reader
        self._left = size

    def read(self, size: int) -> bytes:
        count = min(size, self._left)
        pieces: list[bytes] = []
        self._reader.copy(count, lambda piece: pieces.append(bytes(piece)))
        self._left -= count
        return b"".join(pieces)


def _tidy(name: bytes, base: str = "") -> str:
    """`./a//b` and `../b` seen from `base` as a key: no dots, no slashes in front."""
    text = shown(name) if not name.isascii() else name.decode("ascii")
    parts: list[str] = [] if text.startswith("/") else [p for p in base.split("/") if p]
    for part in text.split("/"):
        if part == "..":
            parts[-1:] = []
        elif part not in ("", "."):
            parts.append(part)
    return "/".join(parts)


# ── which images they make ───────────────────────────────────────────────────────────────────────


def find_images(archive: Archive, fits: Callable[[Platform], bool]) -> list[Incoming]:
    """Read the table of contents. Raises `BadData`."""
    if archive.has("manifest.json"):
        return _docker_images(archive)
    if archive.has("index.json"):
        found: dict[bytes, Incoming] = {}
        for image in _oci_images(archive, archive.document("index.json"), (), fits, depth=0):
            known = found.get(image.manifest, image)
            both = dict.fromkeys((*known.references, *image.references))
            found[image.manifest] = known.but(references=tuple(both))
        return list(found.values())
    raise BadData("the archive holds no image: neither manifest.json nor index.json is in it")


def _docker_images(archive: Archive) -> list[Incoming]:
    what = "manifest.json"
    try:
        rows = loads(archive.document(what))
    except (ValueError, RecursionError):
        raise BadJSON(f"{what}: not valid JSON") from None
    if not isinstance(rows, list):
        raise BadJSON(f"{what}: not a list")
    images = []
    for number, row in enumerate(rows):
        fields = Fields(row, what, f"[{number}]")
        config = archive.document(fields.text("Config", None))
        parse_image_config(config, fields.text("Config"))
        layers = tuple(archive.layer(name) for name in fields.texts("Layers"))
        manifest = Manifest(Descriptor(CONFIG, digest_of(config), len(config)), layers).to_json()
        names = tuple(parse_reference(name) for name in fields.texts("RepoTags"))
        images.append(Incoming(config, manifest, MANIFEST, names))
    return images


def _oci_images(
    archive: Archive,
    index: bytes,
    names: tuple[Reference, ...],
    fits: Callable[[Platform], bool],
    *,
    depth: int,
) -> list[Incoming]:
    if depth > 3:
        raise BadData("lists of manifests inside each other")
    images: list[Incoming] = []
    for line in parse_index(index).manifests:
        path = f"blobs/sha256/{line.digest.hex}"
        own = _names(line) or names
        if line.media_type in INDEXES:
            images += _oci_images(archive, archive.document(path), own, fits, depth=depth + 1)
        elif line.media_type in MANIFESTS and _wanted(line, fits, depth) and archive.has(path):
            images.append(_oci_image(archive, archive.document(path), line.media_type, own))
    return images


def _wanted(line: Descriptor, fits: Callable[[Platform], bool], depth: int) -> bool:
    """At the top an image is wanted whatever it is for; in a list only the one that fits."""
    return not depth or line.platform is None or fits(line.platform)


def _oci_image(
    archive: Archive, data: bytes, media_type: str, names: tuple[Reference, ...]
) -> Incoming:
    from minidock.spec.image import parse_manifest

    manifest = parse_manifest(data)
    for layer in manifest.layers:
        blob = archive.layer(f"blobs/sha256/{layer.digest.hex}")
        if blob.size != layer.size:
            raise BadData(f"layer {layer.digest} has {blob.size} bytes instead of {layer.size}")
    config = archive.document(f"blobs/sha256/{manifest.config.digest.hex}")
    return Incoming(config, data, media_type, names)


def _names(line: Descriptor) -> tuple[Reference, ...]:
    """What a line of index.json calls its image. A mere tag is the name of nothing."""
    for text in (line.annotations.get(CONTAINERD_NAME, ""), line.annotations.get(REF_NAME, "")):
        if ":" in text or "/" in text:
            return (parse_reference(text),)
    return ()
