"""What a container's own files say about names, and which of its networks leads out."""

from __future__ import annotations

from typing import Any

import pytest

from minidock.engine.gateways import families_out
from minidock.engine.naming import dns_names, extra_hosts, split_link
from minidock.engine.neighbours import host_servers
from minidock.engine.networks import Network
from minidock.network.names import resolv_conf

HOST = b"# by hand\nsearch lan\nnameserver 192.0.2.1\nnameserver 127.0.0.53\noptions edns0\n"


def lines(content: bytes) -> list[str]:
    return content.decode().splitlines()


def test_a_resolver_is_the_only_server_and_asked_for_short_names_as_they_are() -> None:
    found = lines(resolv_conf(HOST, resolver=True))
    assert found == [
        "# by hand",
        "search lan",
        "options edns0",
        "nameserver 127.0.0.11",
        "options ndots:0",
    ]
    asked = lines(resolv_conf(HOST, resolver=True, options=["ndots:2"], servers=["192.0.2.9"]))
    assert asked == ["# by hand", "search lan", "nameserver 127.0.0.11", "options ndots:2"]


def test_what_the_user_wants_takes_the_place_of_the_hosts() -> None:
    found = lines(resolv_conf(HOST, servers=["192.0.2.9", "::9"], search=["a", "b"]))
    assert found == [
        "# by hand",
        "options edns0",
        "nameserver 192.0.2.9",
        "nameserver ::9",
        "search a b",
    ]
    assert not [line for line in lines(resolv_conf(HOST, search=["."])) if "search" in line]


def test_on_the_hosts_network_its_loopback_is_the_same() -> None:
    assert resolv_conf(HOST, own_network=False) == HOST
    assert "nameserver 127.0.0.53" in lines(resolv_conf(HOST, search=["a"], own_network=False))


def test_the_hosts_servers(tmp_path: Any) -> None:
    file = tmp_path / "resolv.conf"
    file.write_bytes(HOST + b"nameserver\n nameserver fe80::1%eth0\n\xff\n")
    assert host_servers(str(file)) == ["192.0.2.1", "127.0.0.53", "fe80::1%eth0"]
    assert host_servers(str(tmp_path / "nosuch")) == []


@pytest.mark.parametrize(
    ("text", "pair"),
    [("db", ("db", "db")), ("db:pg", ("db", "pg")), ("/db:/web/pg", ("db", "pg"))],
)
def test_a_link(text: str, pair: tuple[str, str]) -> None:
    assert split_link(text) == pair


def test_the_host_as_seen_from_the_container() -> None:
    endpoints = [
        {"Gateway": "", "IPv6Gateway": "fd00::1"},
        {"Gateway": "10.0.0.1", "IPv6Gateway": ""},
    ]
    given = ["a:192.0.2.1", "b:fd00::5", "c:host-gateway"]
    assert extra_hosts(given, endpoints) == [
        ("a", "192.0.2.1"),
        ("b", "fd00::5"),
        ("c", "10.0.0.1"),
    ]
    assert extra_hosts(["c:host-gateway"], endpoints[:1]) == [("c", "fd00::1")]
    assert extra_hosts(["c:host-gateway"], []) == []


def test_what_a_container_is_called_without_saying_it_twice() -> None:
    document = {"Name": "web", "Id": "0123456789abcdef", "Config": {"Hostname": "0123456789ab"}}
    assert dns_names(document, ["www", "web"]) == ["web", "www", "0123456789ab"]


def network(name: str, *subnets: str, internal: bool = False) -> Network:
    config = [{"Subnet": subnet} for subnet in subnets]
    return Network({"Name": name, "Internal": internal, "IPAM": {"Config": config}})


def test_the_first_name_leads_out_unless_another_has_priority() -> None:
    beta = network("beta", "10.1.0.0/16", "fd01::/64")
    alpha = network("alpha", "10.2.0.0/16")
    vault = network("aaa", "10.3.0.0/16", internal=True)
    plain = [(beta, {}), (alpha, {}), (vault, {})]
    assert families_out(plain) == {"aaa": (), "alpha": (4,), "beta": (6,)}
    urgent = [(beta, {"GwPriority": 1}), (alpha, {}), (vault, {"GwPriority": 9})]
    assert families_out(urgent) == {"aaa": (), "alpha": (), "beta": (4, 6)}
    assert families_out([(vault, {})]) == {"aaa": ()}
