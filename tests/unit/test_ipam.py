"""Subnets and addresses: what overlaps, what is free, and that nobody gets what another has."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from minidock.errors import Conflict, InvalidInput
from minidock.network.ipam import (
    Leases,
    free_subnet,
    free_subnet6,
    local_prefix,
    number_of,
    packed,
    parse_subnet,
    text_of,
)


def test_subnets_are_read_and_written() -> None:
    assert str(parse_subnet("172.18.5.6/16")) == "172.18.0.0/16"
    assert str(parse_subnet("fd00:1::ff/64")) == "fd00:1::/64"
    assert parse_subnet("10.0.0.0/30").size == 4
    assert text_of(number_of("10.0.0.1"), 4) == "10.0.0.1"
    assert packed("172.18.0.2") == bytes((172, 18, 0, 2))
    for wrong in (
        "172.18.0.0",
        "172.18.0.0/33",
        "1.2.3/8",
        "fd00::/129",
        "/8",
        "a/8",
        "1.2.3.4/-1",
    ):
        with pytest.raises(InvalidInput):
            parse_subnet(wrong)


def test_a_free_subnet_overlaps_with_nothing() -> None:
    assert str(free_subnet([])) == "172.18.0.0/16"
    used = [parse_subnet("172.18.99.0/24"), parse_subnet("172.16.0.0/12")]
    assert str(free_subnet(used[:1])) == "172.19.0.0/16"
    assert str(free_subnet(used)) == "192.168.0.0/20"
    with pytest.raises(Conflict, match="fully subnetted"):
        free_subnet([parse_subnet("0.0.0.0/0")])
    prefix = local_prefix()
    assert str(prefix).startswith("fd") and prefix != local_prefix()
    first = free_subnet6(prefix, [])
    second = free_subnet6(prefix, [first])
    assert first.prefix == 64 and not first.overlaps(second)


ALL_LIVE = {"one", "two", "three"}


@pytest.fixture
def leases(tmp_path: Path) -> Leases:
    return Leases(str(tmp_path / "net"), ALL_LIVE.__contains__)


SUBNET = parse_subnet("10.7.0.0/29")


def test_addresses_are_given_in_turn(leases: Leases) -> None:
    taken = [leases.take("one", SUBNET, not_=["10.7.0.1"]) for _ in range(5)]
    assert taken == [f"10.7.0.{n}" for n in range(2, 7)]  # not .0, not .7
    with pytest.raises(Conflict, match="no available IPv4 addresses"):
        leases.take("one", SUBNET, not_=["10.7.0.1"])
    os.unlink(leases.path("10.7.0.3"))
    os.unlink(leases.path("10.7.0.6"))
    assert leases.take("two", SUBNET, not_=["10.7.0.1"]) == "10.7.0.3"
    assert leases.all()["10.7.0.3"] == "two"
    os.unlink(leases.path("10.7.0.2"))
    # The one that was given back last is not the one that is given out next.
    assert leases.take("two", SUBNET, not_=["10.7.0.1"]) == "10.7.0.6"


def test_only_a_part_of_a_subnet(leases: Leases) -> None:
    within = parse_subnet("10.7.0.4/31")
    assert leases.take("one", SUBNET, within=within) == "10.7.0.4"
    assert leases.take("one", SUBNET, within=within) == "10.7.0.5"
    with pytest.raises(Conflict):
        leases.take("one", SUBNET, within=within)


def test_the_address_of_a_holder_that_is_gone(leases: Leases) -> None:
    leases.claim("killed", "10.7.0.2")
    leases.claim("one", "10.7.0.3")
    leases.claim("two", "10.7.0.2")
    with pytest.raises(Conflict, match="already in use"):
        leases.claim("two", "10.7.0.3")
    leases.claim("killed", "10.7.0.5")
    leases.sweep()
    assert leases.all() == {"10.7.0.2": "two", "10.7.0.3": "one"}


def test_many_at_once_get_different_addresses(leases: Leases) -> None:
    big = parse_subnet("10.8.0.0/16")
    for n in range(2, 200, 3):
        leases.claim("killed", f"10.8.0.{n}")
    with ThreadPoolExecutor(8) as pool:
        taken = list(pool.map(lambda _: leases.take("one", big), range(200)))
    assert len(set(taken)) == 200


def test_ipv6_has_no_broadcast_address(leases: Leases) -> None:
    tiny = parse_subnet("fd00::/126")
    assert [leases.take("one", tiny) for _ in range(3)] == ["fd00::1", "fd00::2", "fd00::3"]
