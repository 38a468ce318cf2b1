"""Digest, DiffID and ChainID: three sums that must not be mixed up, and what is no sum at all."""

from __future__ import annotations

from hashlib import sha256

import pytest

from minidock.errors import BadData
from minidock.spec.digest import EMPTY_LAYER, ChainID, DiffID, Digest, chain_ids, is_hex

A, B, C = (DiffID.from_hex(letter * 64) for letter in "abc")


def test_a_digest_is_text_with_parts() -> None:
    digest = Digest("sha256:" + "0123456789abcdef" * 4)
    assert digest == "sha256:" + digest.hex
    assert digest.short == "0123456789ab"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "sha256:",
        "a" * 64,
        "sha256:" + "a" * 63,
        "sha256:" + "a" * 65,
        "sha256:" + "A" * 64,
        "sha256:" + "a" * 63 + "\n",
        "sha512:" + "a" * 64,
        "sha256:../../../../../etc/passwd".ljust(71, "a"),
    ],
)
def test_what_could_be_a_path_is_no_digest(text: str) -> None:
    with pytest.raises(BadData):
        Digest(text)


def test_one_layer_is_its_own_chain() -> None:
    assert chain_ids([A]) == (ChainID(A),)
    assert chain_ids([]) == ()


def test_a_chain_depends_on_everything_below() -> None:
    first = A
    second = "sha256:" + sha256(f"{first} {B}".encode()).hexdigest()
    third = "sha256:" + sha256(f"{second} {C}".encode()).hexdigest()
    assert chain_ids([A, B, C]) == (first, second, third)
    assert chain_ids([B, A, C])[-1] != third


def test_the_empty_layer_is_two_blocks_of_zeros() -> None:
    assert sha256(bytes(1024)).hexdigest() == EMPTY_LAYER.hex


def test_is_hex() -> None:
    assert is_hex("00ff")
    assert not is_hex("")
    assert not is_hex("0xff")
    assert not is_hex("FF")
