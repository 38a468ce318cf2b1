"""The records of networks: made, found, removed; what is chosen where the user chose nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from minidock.engine import networks
from minidock.engine.networks import Networks
from minidock.engine.paths import Paths
from minidock.errors import Conflict, NotFound
from minidock.network import netlink
from minidock.network.ipam import parse_subnet


@pytest.fixture
def paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Paths:
    host = [parse_subnet("172.18.3.0/24"), parse_subnet("127.0.0.0/8")]
    monkeypatch.setattr(netlink, "subnets_of_host", lambda: host)
    monkeypatch.setattr(networks, "has_ipv6", lambda: True)
    return Paths(str(tmp_path / "root"), str(tmp_path / "run"))


def test_three_are_always_there(paths: Paths) -> None:
    found = Networks(paths).all()
    assert [(n.name, n.driver) for n in found] == [
        ("bridge", "bridge"), ("host", "host"), ("none", "null")]  # fmt: skip
    bridge = found[0]
    four, six = bridge.pools
    assert (str(four.subnet), four.gateway) == ("172.19.0.0/16", "172.19.0.1")  # .18 is the host's
    assert six.gateway.startswith("fd") and six.gateway.endswith("::1")
    assert bridge.predefined and bridge.masquerades and bridge.connects and not bridge.internal
    assert Networks(paths).default() == bridge
    assert found[1].pools == ()


def test_the_device_is_named_minidock0_below_the_usual_root_only(paths: Paths) -> None:
    bridge = Networks(paths).default()
    assert bridge.bridge == f"md-{bridge.id[:12]}"
    assert len(bridge.bridge) == 15  # IFNAMSIZ - 1


def test_one_name_one_network(paths: Paths) -> None:
    them = Networks(paths)
    made = them.create("web", ipv6=True, labels={"a": "b"}, options={networks.MTU: "1400"})
    assert (made.mtu, made.document["Labels"]) == (1400, {"a": "b"})
    assert len({pool.subnet for n in them.all() for pool in n.pools}) == 4
    with pytest.raises(Conflict, match="network with name web already exists"):
        them.create("web")
    assert them.find("web") == them.find(made.id) == them.find(made.id[:9]) == made
    them.remove(made)
    with pytest.raises(NotFound, match="network web not found"):
        them.find("web")
    assert them.create("web").id != made.id


def test_what_the_user_gave_stands(paths: Paths) -> None:
    them = Networks(paths)
    pool = {"Subnet": "10.9.0.0/16", "IPRange": "10.9.4.0/24"}
    (found,) = them.create("a", pools=[pool]).pools
    assert (found.gateway, str(found.within), found.reserved) == (
        "10.9.4.0", "10.9.4.0/24", ("10.9.4.0",))  # fmt: skip
    with pytest.raises(Conflict, match="Pool overlaps with other one on this address space"):
        them.create("b", pools=[{"Subnet": "10.9.128.0/24"}])


def test_a_create_that_was_killed_is_in_nobodys_way(paths: Paths) -> None:
    them = Networks(paths)
    them.default()
    (Path(paths.root) / "networks/names/web").symlink_to("../" + "a" * 64 + ".json")
    assert them.create("web").name == "web"


def test_where_one_may_not_look_a_network_is_as_it_usually_is(
    paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert Networks(paths).known("bridge").predefined
    assert not Path(paths.root).exists()  # nothing was made of it

    def refuse(path: str) -> None:
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr(networks, "read_json", refuse)
    shop = Networks(paths).known("shop")
    assert (shop.name, shop.predefined, len(shop.pools)) == ("shop", False, 2)
