"""save: images in one tar file that every engine reads.

Two formats are in use, and one file can be both at once, since each has its own table of contents
and both may point to the same files:

    oci-layout, index.json                 an OCI image layout, as a tar
    manifest.json                          what `docker load` and `podman load` look for
    blobs/sha256/<64 hex>                  configs, manifests, layers, as they are stored

Nothing is packed or unpacked: the kernel copies the layers from file to file or pipe.

See: image-spec image-layout.md; moby image/tarexport; sendfile(2)
"""

from __future__ import annotations

import os

from minidock.errors import NotFound, StoreError
from minidock.image import catalog
from minidock.image.layout import LAYOUT_VERSION
from minidock.image.tar_format import DIRECTORY, REGULAR, padding
from minidock.image.tar_write import END_OF_ARCHIVE, encode_header
from minidock.record import Record
from minidock.spec.fields import dump
from minidock.spec.image import REF_NAME, Descriptor, Index
from minidock.spec.reference import is_default_tag, is_identifier, parse_reference
from minidock.spec.timestamp import parse_time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from minidock.image.catalog import StoredImage
    from minidock.image.layout import Entry, Layout
    from minidock.spec.digest import Digest

CONTAINERD_NAME = "io.containerd.image.name"  # the whole name; OCI's annotation is often a tag only
_MOST_AT_ONCE = 1 << 30


class Chosen(Record):
    """An image to save: where its manifest is, and under which names it goes."""

    image: StoredImage
    manifest: Descriptor
    names: tuple[str, ...]


def save_images(layout: Layout, wanted: Sequence[str], out: int) -> None:
    """Write `wanted` (names, ids) as a tar to the descriptor `out`. A name without a tag means all
    tags of that repository, an id the image without a name. Raises `NotFound` before anything is
    written, `StoreError`, `OSError`."""
    chosen = choose(layout, wanted)
    writer = _Writer(out, max((_seconds(c.image) for c in chosen), default=0))
    writer.directory(b"blobs")
    writer.directory(b"blobs/sha256")
    done: set[Digest] = set()
    for item in chosen:
        config = Descriptor("", item.image.id, os.stat(layout.blobs.path(item.image.id)).st_size)
        for blob in (*item.image.layers, config, item.manifest):
            if blob.digest not in done:
                done.add(blob.digest)
                writer.blob(layout, blob)
    writer.file(b"index.json", index_document(chosen).to_json())
    writer.file(b"manifest.json", dump([_docker_entry(item) for item in chosen]))
    writer.file(b"oci-layout", LAYOUT_VERSION)
    writer.finish()


def choose(layout: Layout, wanted: Sequence[str]) -> list[Chosen]:
    """Each image once, with the names under which it was asked for."""
    entries = layout.entries()
    found: dict[Digest, Chosen] = {}
    for text in wanted:
        for entry, name in _matching(layout, entries, text):
            image = catalog.load(layout.blobs, entry)
            if image is None:
                continue
            manifest = catalog.for_host(layout.blobs, entry)
            known = found.get(image.id, Chosen(image, manifest, ()))
            names = (*known.names, *((name,) if name and name not in known.names else ()))
            found[image.id] = known.but(names=names)
    return list(found.values())


def _matching(layout: Layout, entries: list[Entry], text: str) -> list[tuple[Entry, str]]:
    """The lines of index.json that are meant, each with the name to save it under, or ""."""
    bare = text.removeprefix("sha256:")
    if not is_identifier(bare):
        reference = parse_reference(text)
        every = is_default_tag(text)
        hits = [
            (entry, known.familiar)
            for entry in entries
            if (known := entry.reference)
            and known.tag
            and (known.repository == reference.repository if every else known == reference)
        ]
        if hits:
            return hits
        if not every:
            raise NotFound("reference does not exist")
    try:
        image = catalog.find(layout.blobs, entries, text)
    except NotFound:
        raise NotFound(f"No such image: {text}") from None
    return [(entry, "") for entry in entries if _is(layout, entry, image)][:1]


def _is(layout: Layout, entry: Entry, image: StoredImage) -> bool:
    try:
        found = catalog.load(layout.blobs, entry)
    except StoreError:
        return False
    return found is not None and found.id == image.id


def index_document(chosen: Sequence[Chosen]) -> Index:
    """index.json: a line for each name, and one without for an image that has none."""
    lines = []
    for item in chosen:
        for name in item.names or ("",):
            notes = {}
            if name:
                reference = parse_reference(name)
                notes = {CONTAINERD_NAME: reference.canonical, REF_NAME: reference.familiar}
            lines.append(item.manifest.but(annotations=notes))
    return Index(tuple(lines))


def _docker_entry(item: Chosen) -> dict[str, object]:
    return {
        "Config": f"blobs/sha256/{item.image.id.hex}",
        "RepoTags": list(item.names) or None,
        "Layers": [f"blobs/sha256/{layer.digest.hex}" for layer in item.image.layers],
    }


def _seconds(image: StoredImage) -> int:
    """When an image was made, in seconds since 1970: the date of the files in the archive, so
    that the same image gives the same archive."""
    try:
        return max(0, parse_time(image.config.created) // 1_000_000_000)
    except ValueError:
        return 0


class _Writer:
    def __init__(self, out: int, seconds: int) -> None:
        self._out = out
        self._mtime = seconds * 1_000_000_000

    def directory(self, name: bytes) -> None:
        self._put(encode_header(name, DIRECTORY, mode=0o755, mtime=self._mtime))

    def file(self, name: bytes, data: bytes) -> None:
        self._header(name, len(data))
        self._put(data + bytes(padding(len(data))))

    def blob(self, layout: Layout, blob: Descriptor) -> None:
        self._header(f"blobs/sha256/{blob.digest.hex}".encode(), blob.size)
        fd = layout.blobs.open(blob.digest, f"blob {blob.digest.short}")
        try:
            if os.fstat(fd).st_size != blob.size:
                raise StoreError(f"blob {blob.digest} is damaged: it has not {blob.size} bytes")
            offset = 0
            while offset < blob.size:
                sent = os.sendfile(self._out, fd, offset, min(blob.size - offset, _MOST_AT_ONCE))
                if not sent:
                    raise StoreError(f"blob {blob.digest} became shorter while it was read")
                offset += sent
        finally:
            os.close(fd)
        self._put(bytes(padding(blob.size)))

    def finish(self) -> None:
        self._put(END_OF_ARCHIVE)

    def _header(self, name: bytes, size: int) -> None:
        self._put(encode_header(name, REGULAR, mode=0o644, size=size, mtime=self._mtime))

    def _put(self, data: bytes) -> None:
        while data:
            data = data[os.write(self._out, data) :]
