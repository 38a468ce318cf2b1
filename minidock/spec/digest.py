"""Three kinds of SHA-256 sums that look alike and must never be mixed up.

A layer is a tarball, and the same tarball has several names:

    Digest    of the bytes as stored or sent: usually compressed. Names a blob.
    DiffID    of the uncompressed tar. Stays the same however a registry packs it.
    ChainID   of a layer *together with all layers below it*: a directory on disk holds what one
              stack of layers gives, and the same tarball on two bases is two different things.

        ChainID(L0)        = DiffID(L0)
        ChainID(L0 … Ln)   = sha256(ChainID(L0 … Ln-1) + " " + DiffID(Ln))

All three are text, "sha256:" and 64 hex digits. As three types of text a type checker finds the
place where one was taken for another; otherwise nothing would, until an image cannot be found.

See: image-spec descriptor.md (digests), config.md (layer ChainID)
"""

from __future__ import annotations

from minidock.errors import BadData

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Self

_PREFIX = "sha256:"
_HEX = frozenset("0123456789abcdef")


def is_hex(text: str) -> bool:
    """Lower-case hexadecimal digits only, at least one."""
    return bool(text) and _HEX.issuperset(text)


class _Sha256(str):
    """Text of the form `sha256:<64 hex>`; anything else raises `BadData`.

    The strictness is a wall: digests become file names, and one of another form could be a path.
    """

    __slots__ = ()

    def __new__(cls, text: str) -> Self:
        if len(text) != 71 or not text.startswith(_PREFIX) or not is_hex(text[7:]):
            raise BadData(f"not a sha256 digest: {text[:80]!r}")
        return super().__new__(cls, text)

    @classmethod
    def from_hex(cls, digits: str) -> Self:
        return cls(_PREFIX + digits)

    @property
    def hex(self) -> str:
        """The 64 digits."""
        return self[7:]

    @property
    def short(self) -> str:
        """The 12 digits that tables show."""
        return self[7:19]


class Digest(_Sha256):
    """Of a blob as stored. The digest of an image's config is the image's id."""

    __slots__ = ()


class DiffID(_Sha256):
    """Of an uncompressed layer tarball."""

    __slots__ = ()


class ChainID(_Sha256):
    """Of a stack of layers."""

    __slots__ = ()


# Two blocks of zeros: the tarball of a layer that changes nothing.
EMPTY_LAYER = DiffID("sha256:5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef")


def chain_ids(diff_ids: Sequence[DiffID]) -> tuple[ChainID, ...]:
    """The ChainID at each layer, lowest layer first. See: image-spec config.md"""
    if not diff_ids:
        return ()
    chain = [ChainID(diff_ids[0])]
    if len(diff_ids) > 1:
        from hashlib import sha256  # 3 ms, and most images that start have one layer

        for diff_id in diff_ids[1:]:
            chain.append(ChainID.from_hex(sha256(f"{chain[-1]} {diff_id}".encode()).hexdigest()))
    return tuple(chain)
