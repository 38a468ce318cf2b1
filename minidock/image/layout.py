"""The OCI image layout: a directory that other programs read as it is.

    images/oci-layout          {"imageLayoutVersion": "1.0.0"}
    images/index.json          the images: a descriptor of each manifest; its annotation
                               org.opencontainers.image.ref.name is the tag
    images/blobs/sha256/…      what the descriptors point to (blobs.py)

So `skopeo copy oci:/var/lib/minidock/images:ubuntu:latest …` and `umoci unpack --image …` work
without asking minidock. A tag is not a file but a line in index.json: an image with two tags
has two descriptors there, and one whose tag went to another image has one without annotation
(Docker calls that dangling). Two more annotations are ours:

    io.minidock.image.parent         the id of the image that this one was committed from
    io.minidock.image.repo-digests   what registries call it: `<repository>@<digest>`, by spaces

index.json is the only file that changes. It is replaced under a lock by a whole new one, and always
as the last step: until then an import or commit is nothing but blobs that no one points to.

See: image-spec image-layout.md, annotations.md
"""

from __future__ import annotations

import os

from minidock.errors import BadJSON, MinidockError, StoreError
from minidock.image.blobs import Blobs, replace_file
from minidock.image.locks import exclusive
from minidock.record import Record
from minidock.spec.digest import Digest
from minidock.spec.fields import MAX_JSON
from minidock.spec.image import REF_NAME, Descriptor, Index, parse_index
from minidock.spec.reference import parse_reference

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from minidock.spec.reference import Reference

LAYOUT_VERSION = b'{"imageLayoutVersion":"1.0.0"}'
PARENT = "io.minidock.image.parent"
REPO_DIGESTS = "io.minidock.image.repo-digests"
_MAX_INDEX = 16 * MAX_JSON  # ours to write, so as long as it gets


class Entry(Record):
    """One line of index.json: a manifest (or an index of them), and at most one tag."""

    descriptor: Descriptor

    @property
    def reference(self) -> Reference | None:
        """The tag, in whatever form the program that wrote it liked; None for a dangling image."""
        name = self.descriptor.annotations.get(REF_NAME)
        if not name:
            return None
        try:
            return parse_reference(name)
        except MinidockError:
            return None  # skopeo and umoci accept names that Docker does not

    @property
    def parent(self) -> str:
        return self.descriptor.annotations.get(PARENT, "")

    @property
    def repo_digests(self) -> tuple[str, ...]:
        """`docker.io/library/ubuntu@sha256:…`, for each repository it was pulled from or pushed
        to."""
        return tuple(self.descriptor.annotations.get(REPO_DIGESTS, "").split())

    def with_repo_digests(self, names: Iterable[str]) -> Entry:
        """The same line, with these and no others."""
        notes = {k: v for k, v in self.descriptor.annotations.items() if k != REPO_DIGESTS}
        joined = " ".join(sorted(set(names)))
        if joined:
            notes[REPO_DIGESTS] = joined
        return Entry(self.descriptor.but(annotations=notes))

    def tagged(self, reference: Reference | None) -> Entry:
        """The same image under another name, or under none."""
        notes = {k: v for k, v in self.descriptor.annotations.items() if k != REF_NAME}
        if reference:
            notes[REF_NAME] = reference.familiar
        return Entry(self.descriptor.but(annotations=notes))


class Layout:
    """index.json: which images there are, and what they are called."""

    def __init__(self, images: str) -> None:
        self.directory = images
        self.blobs = Blobs(images)
        self.lock_path = f"{images}/lock"
        self._index = f"{images}/index.json"

    def make(self) -> None:
        """Create an empty layout where there is none. Raises `OSError`."""
        self.blobs.make()
        if os.path.exists(f"{self.directory}/oci-layout"):
            return
        if not os.path.exists(self._index):
            with exclusive(f"{self.directory}/index.lock"):
                if not os.path.exists(self._index):
                    replace_file(self._index, Index().to_json(), self.blobs.ingest, durable=True)
        # Last: with this file there, the directory is a complete layout.
        path = f"{self.directory}/oci-layout"
        replace_file(path, LAYOUT_VERSION, self.blobs.ingest, durable=True)

    def read(self) -> bytes:
        """index.json as it is now; empty if there is no layout yet. Raises `StoreError`."""
        try:
            with open(self._index, "rb") as file:
                data = file.read(_MAX_INDEX + 1)
        except FileNotFoundError:
            return b""
        if len(data) > _MAX_INDEX:
            raise StoreError(f"{self._index} is larger than {_MAX_INDEX} bytes")
        return data

    def entries(self, data: bytes | None = None) -> list[Entry]:
        """The lines of index.json, as on disk or as read before. Raises `StoreError`."""
        return [Entry(d) for d in self._parse(self.read() if data is None else data).manifests]

    def _parse(self, data: bytes) -> Index:
        if not data:
            return Index()
        try:
            return parse_index(data, self._index)
        except BadJSON as error:
            raise StoreError(error.message) from None

    def update(self, change: Callable[[list[Entry]], list[Entry]]) -> None:
        """Replace the lines by what `change` makes of them, under the lock. It may raise."""
        with exclusive(f"{self.directory}/index.lock"):
            index = self._parse(self.read())
            old = [Entry(d) for d in index.manifests]
            new = change(old)
            if new != old:
                manifests = tuple(entry.descriptor for entry in new)
                data = index.but(manifests=manifests).to_json()
                replace_file(self._index, data, self.blobs.ingest, durable=True)


def retag(entries: list[Entry], entry: Entry, reference: Reference | None) -> list[Entry]:
    """Add an image under a name; whoever had the name keeps existing, without it.

    A dangling line of an image disappears as soon as the image has a name again, and an image that
    is there is not added a second time.
    """
    kept = []
    for old in entries:
        if reference and old.reference == reference:
            old = old.tagged(None)
        kept.append(old)
    return _share_digests(tidy([*kept, entry.tagged(reference)]), [*entries, entry])


def _share_digests(entries: list[Entry], known: list[Entry]) -> list[Entry]:
    """Every line of one manifest has all names that registries have for it."""
    names: dict[Digest, set[str]] = {}
    for entry in known:
        names.setdefault(entry.descriptor.digest, set()).update(entry.repo_digests)
    return [entry.with_repo_digests(names.get(entry.descriptor.digest, ())) for entry in entries]


def tidy(entries: list[Entry]) -> list[Entry]:
    """Drop lines without a name for images that have one, and repeated lines."""
    named = {e.descriptor.digest for e in entries if REF_NAME in e.descriptor.annotations}
    seen: set[tuple[Digest, str]] = set()
    kept = []
    for entry in entries:
        name = entry.descriptor.annotations.get(REF_NAME, "")
        digest = entry.descriptor.digest
        if (digest, name) in seen or (not name and digest in named):
            continue
        seen.add((digest, name))
        kept.append(entry)
    return kept
