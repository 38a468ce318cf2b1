"""`network create`: what belongs to which subnet, and what cannot be."""

from __future__ import annotations

from typing import Any

import pytest

from minidock.engine.network_create import NetworkOptions, pools_of
from minidock.errors import InvalidInput


def pools(**wanted: Any) -> list[dict[str, Any]]:
    return pools_of(NetworkOptions("n", **wanted))


def test_nothing_given_means_nothing_chosen() -> None:
    assert pools() == []


def test_each_goes_to_the_subnet_it_lies_in() -> None:
    assert pools(
        subnets=("10.1.0.0/16", "fd00:1::/64"),
        ranges=("10.1.5.0/24",),
        gateways=("fd00:1::9", "10.1.0.9"),
        aux=(("printer", "10.1.5.1"), ("nas", "10.1.5.2")),
        ipv6=True,
    ) == [
        {
            "Subnet": "10.1.0.0/16",
            "IPRange": "10.1.5.0/24",
            "Gateway": "10.1.0.9",
            "AuxiliaryAddresses": {"printer": "10.1.5.1", "nas": "10.1.5.2"},
        },
        {"Subnet": "fd00:1::/64", "Gateway": "fd00:1::9"},
    ]


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        ({"gateways": ("10.1.0.1",)}, "every ip-range or gateway must have a corresponding subnet"),
        (
            {"subnets": ("10.1.0.0/16",), "gateways": ("10.2.0.1",)},
            "no matching subnet for gateway",
        ),
        ({"subnets": ("10.1.0.0/16",), "ranges": ("10.2.0.0/24",)}, "no matching subnet for range"),
        ({"subnets": ("10.1.0.0/24",), "ranges": ("10.1.0.0/16",)}, "larger than the subnet"),
        ({"subnets": ("10.1.0.0/16",), "aux": (("a", "10.2.0.1"),)}, "for aux-address 10.2.0.1"),
        ({"subnets": ("10.1.0.0/16", "10.1.5.0/24")}, "multiple overlapping subnet"),
        ({"subnets": ("10.1.0.0/16", "10.2.0.0/16")}, "only one IPv4 subnet"),
        ({"subnets": ("fd00::/64",)}, "IPv6 is not enabled"),
        ({"subnets": ("10.1.0.0/16",), "ipv4": False, "ipv6": True}, "IPv4 is not enabled"),
        ({"subnets": ("10.1.0.1/16",)}, "it should be 10.1.0.0/16"),
        ({"subnets": ("10.1.0.0",)}, "invalid CIDR address: 10.1.0.0"),
        ({"subnets": ("10.1.0.0/33",)}, "invalid CIDR address: 10.1.0.0/33"),
        ({"subnets": ("10.1.0.0/16",), "aux": (("a", "x"),)}, "invalid IP address: x"),
    ],
)
def test_what_cannot_be(wanted: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidInput, match=words):
        pools(**wanted)
