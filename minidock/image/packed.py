"""Layers that leave packed: what a plain tar of the store is called in registries.

    images/packed.json      {"<digest of the tar>": {"digest": "<digest of the gzip>", "size": …}}

minidock keeps the layers that it makes as they are: nothing to unpack when they are used, nothing
to pack when they are made. Over a line they go as gzip, as everybody's do, packed while they are
sent and kept nowhere. Only what the result was called is written down, so that the next push can
ask whether it is there. The file is a memory of work done: without it, a layer is packed again.

See: image-spec layer.md "+gzip Media Types"
"""

from __future__ import annotations

from minidock.errors import BadData
from minidock.image.blobs import replace_file
from minidock.image.locks import exclusive
from minidock.spec.digest import Digest
from minidock.spec.image import LAYER, LAYER_GZIP, Descriptor
from minidock.spec.lean_json import dumps, loads

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any

    from minidock.image.layout import Layout

_LEVEL = 1  # of isal's 0 to 3: a fifth larger than zlib's usual, ten times as fast
_GZIP = 31  # "window bits" that mean: with gzip's header, whose time is 0
_MOST = 4 << 20


def find_packed(layout: Layout, plain: Digest) -> Descriptor | None:
    """What a layer was called when it was sent before. None if it never was."""
    entry: Any = _read(layout).get(str(plain))
    try:
        return Descriptor(LAYER_GZIP, Digest(entry["digest"]), int(entry["size"]))
    except (TypeError, KeyError, ValueError, BadData):
        return None


def note_packed(layout: Layout, plain: Digest, packed: Descriptor) -> None:
    """Remember it; forget the layers that are gone."""
    with exclusive(f"{layout.directory}/index.lock"):
        here = {str(digest) for digest in layout.blobs.all()}
        known = {k: v for k, v in _read(layout).items() if k in here}
        known[str(plain)] = {"digest": str(packed.digest), "size": packed.size}
        replace_file(_path(layout), dumps(known).encode(), layout.blobs.ingest, durable=False)


def _path(layout: Layout) -> str:
    return f"{layout.directory}/packed.json"


def _read(layout: Layout) -> dict[str, Any]:
    """The file; empty if it is missing or spoiled: nothing is lost but time."""
    try:
        with open(_path(layout), "rb") as file:
            known = loads(file.read(_MOST))
    except (FileNotFoundError, ValueError):
        return {}
    return known if isinstance(known, dict) else {}


def is_plain(layer: Descriptor) -> bool:
    """Whether a layer is kept as a mere tar."""
    return layer.media_type == LAYER


class Packer:
    """gzip of a stream, and what its blob is called; to be read once, to its end."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        from hashlib import sha256

        self._pieces = pieces
        self._hash = sha256()
        self._size = 0

    def __iter__(self) -> Iterator[bytes]:
        from isal import isal_zlib

        packer = isal_zlib.compressobj(_LEVEL, wbits=_GZIP)
        for data in self._pieces:
            yield from self._count(packer.compress(data))
        yield from self._count(packer.flush())

    def _count(self, packed: bytes) -> Iterator[bytes]:
        if packed:  # an empty piece would mean the end
            self._hash.update(packed)
            self._size += len(packed)
            yield packed

    @property
    def blob(self) -> Descriptor:
        return Descriptor(LAYER_GZIP, Digest.from_hex(self._hash.hexdigest()), self._size)
