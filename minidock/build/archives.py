"""ADD unpacks archives: which files are some, and how that is done.

The first bytes decide, not the name: a tar, plain or packed by gzip, bzip2, xz or zstd. It is
unpacked into an empty directory by the child that unpacks layers, with that directory as its root;
then what is there is copied as any directory would be. So an archive can say `../../etc/passwd` or
hide a link in the way of a file as much as it likes.

See: unpack.py; moby pkg/archive IsArchivePath
"""

from __future__ import annotations

import os

from minidock.errors import BadArchive
from minidock.image.compression import Descriptor, Peek, compression_of, decompressed
from minidock.image.unpack import unpack_layer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from minidock.image.stack import Node, Tree

_BLOCK = 512
_CHECKSUM = slice(148, 156)


def is_archive(tree: Tree, file: Node) -> bool:
    """Whether a file is a tar, packed or not."""
    fd = tree.open(file)
    try:
        packed = Peek(Descriptor(fd))
        kind = compression_of(packed.peek(8))
        plain = decompressed(packed, kind)
        head = b""
        while len(head) < _BLOCK and (piece := plain.read(_BLOCK - len(head))):
            head += piece
        return _is_header(head)
    except BadArchive:
        return False  # packed, and no tar; or it only begins like that
    finally:
        os.close(fd)


def _is_header(block: bytes) -> bool:
    """By its checksum: old tars have no magic word."""
    if len(block) < _BLOCK:
        return False
    if not block.strip(b"\0"):
        return True  # an empty archive
    try:
        said = int(block[_CHECKSUM].strip(b" \0") or b"0", 8)
    except ValueError:
        return False
    blank = block[:148] + b" " * 8 + block[156:]
    return said == sum(blank)


def unpack_archive(tree: Tree, file: Node, directory: str) -> None:
    """Into an empty directory. Raises `BadArchive`, `OSError`."""
    fd = tree.open(file)
    try:
        packed = Peek(Descriptor(fd))
        kind = compression_of(packed.peek(8))
        unpack_layer(decompressed(packed, kind), directory, overlay_whiteouts=False)
    finally:
        os.close(fd)
