"""Tarballs into the store.

`import` takes a flat root filesystem and makes an image of one layer. Everything happens in one
pass over the input, which may be a pipe:

    input ─► blob (file + sha256 = Digest) ─► decompress ─► sha256 = DiffID ─► unpack (child)

The process reads, hashes and decompresses while the child that unpacks writes files, so two
processors are busy. gzip is stored as it came, because OCI knows it and packing again would
cost more than everything else; everything else is stored as plain tar (see `STORED_AS_IT_CAME`).

See: unpack.py; image-spec layer.md
"""

from __future__ import annotations

import os

from minidock.errors import BadArchive, StoreError
from minidock.image.compression import Peek, Tee, as_source, compression_of, decompressed
from minidock.image.mutate import NewLayer
from minidock.image.overlap import Ahead, Behind
from minidock.image.snapshots import remove_tree
from minidock.image.unpack import unpack_layer
from minidock.spec.digest import ChainID, DiffID
from minidock.spec.image import LAYER, LAYER_GZIP, Descriptor

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import BinaryIO

    from minidock.image.blobs import Blobs
    from minidock.image.catalog import StoredImage
    from minidock.image.snapshots import Snapshots


# zstd is an OCI media type too, but umoci 0.4 and older Dockers do not read it.
STORED_AS_IT_CAME = {"gzip": LAYER_GZIP, "": LAYER}


def import_layer(blobs: Blobs, snapshots: Snapshots, stream: int | BinaryIO) -> NewLayer:
    """Store and unpack a tarball as the first layer of an image.

    Raises `BadArchive` if it is damaged or hostile, `OSError`; then nothing is left.
    """
    from hashlib import sha256

    temporary = snapshots.new()
    try:
        with blobs.writer() as blob:
            packed = Peek(as_source(stream))
            compression = compression_of(packed.peek(8))
            media_type = STORED_AS_IT_CAME.get(compression, LAYER)
            if media_type == LAYER:
                tar = Tee(decompressed(packed, compression), blob.write, at_end=blob.sync)
                with Ahead(tar) as ahead:
                    size = unpack_layer(ahead, temporary, stored=blob.fileno())
                digest = blob.finish()
                diff_id = DiffID(digest)
            else:
                plain = sha256()
                with Ahead(Tee(packed, blob.write, at_end=blob.sync)) as stored:
                    tar = Tee(decompressed(stored, compression), plain.update)
                    size = unpack_layer(tar, temporary)
                digest = blob.finish()
                diff_id = DiffID.from_hex(plain.hexdigest())
        # The ChainID of a single layer is its DiffID.
        snapshots.adopt(temporary, ChainID(diff_id), diff_id, size)
    except BaseException:
        remove_tree(temporary)
        raise
    return NewLayer(Descriptor(media_type, digest, blob.size), diff_id, size)


def pack_layer(blobs: Blobs, upper: str) -> NewLayer:
    """Store an overlay directory as a layer. The same directory always gives the same blob.

    Raises `MinidockError` for what no layer can hold, `OSError`; then nothing is left.
    """
    from minidock.image.pack import write_layer

    with blobs.writer() as blob:
        with Behind(blob.write) as out:
            size = write_layer(upper, out)
        digest = blob.finish()
    return NewLayer(Descriptor(LAYER, digest, blob.size), DiffID(digest), size)


def unpack_image_layer(blobs: Blobs, image: StoredImage, number: int, target: str) -> int:
    """Unpack one stored layer of an image, and make sure that it is the one its config names.

    Returns the size of its files. Raises `StoreError` if the blob is missing or damaged, `OSError`.
    """
    from hashlib import sha256

    descriptor, diff_id = image.layers[number], image.diff_ids[number]
    what = f"layer {diff_id.short} of image {image.id.short}"
    fd = blobs.open(descriptor.digest, what)
    try:
        plain = sha256()
        packed = Peek(as_source(fd))
        tar = decompressed(packed, compression_of(packed.peek(8)))
        size = unpack_layer(Tee(tar, plain.update), target)
    except BadArchive as error:
        raise StoreError(f"{what}: {error.message}") from None
    finally:
        os.close(fd)
    if plain.hexdigest() != diff_id.hex:
        raise StoreError(f"{what}: blob {descriptor.digest} is damaged, its DiffID is another")
    return size
