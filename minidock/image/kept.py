"""Layers that no image has and that are wanted all the same: what builds made, to be used again.

    images/kept/<64 hex>      the name is a ChainID; in the file stand the digest of the blob and
                              the bytes of its files

A build makes layers one after the other, and the next build of the same Dockerfile wants them
again, though only the last stage's became an image. So each has a file here, and the sweeper
(gc.py) takes such a layer for needed. When `builder prune` takes the file away, the layer goes with
the next sweep. The time of the file is when it was used last.
"""

from __future__ import annotations

import os

from minidock.errors import BadData
from minidock.linux.private import make_private
from minidock.record import Record
from minidock.spec.digest import ChainID, Digest
from minidock.spec.reference import is_identifier

TYPE_CHECKING = False
if TYPE_CHECKING:
    from minidock.image.layout import Layout


class KeptLayer(Record):
    """`size` in bytes of file content; `used` in nanoseconds since 1970."""

    chain: ChainID
    digest: Digest
    size: int
    used: int


def _home(layout: Layout) -> str:
    return f"{layout.directory}/kept"


def keep(layout: Layout, chain: ChainID, digest: Digest, size: int) -> None:
    """Let the sweeper leave this layer; or say that it is still of use. Raises `OSError`."""
    path = f"{_home(layout)}/{chain.hex}"
    try:
        os.utime(path)
    except FileNotFoundError:
        make_private(_home(layout))
        temporary = f"{layout.blobs.ingest}/{os.getpid()}-{os.urandom(8).hex()}"
        with open(temporary, "wb") as file:
            file.write(f"{digest} {size}\n".encode())
        os.rename(temporary, path)


def let_go(layout: Layout, chain: ChainID) -> None:
    """The next sweep may take it."""
    try:
        os.unlink(f"{_home(layout)}/{chain.hex}")
    except FileNotFoundError:
        pass


def kept_layers(layout: Layout) -> list[KeptLayer]:
    """All of them. What a power cut spoiled is none."""
    try:
        names = os.listdir(_home(layout))
    except FileNotFoundError:
        return []
    found = []
    for name in names:
        path = f"{_home(layout)}/{name}"
        try:
            with open(path, "rb") as file:
                digest, size = file.read(200).decode().split()
            used = os.stat(path).st_mtime_ns
            if is_identifier(name):
                found.append(KeptLayer(ChainID.from_hex(name), Digest(digest), int(size), used))
        except (OSError, ValueError, BadData):
            continue
    return found
