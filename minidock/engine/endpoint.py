"""One container's place on one network: its addresses there, and the cable that leads to them.

What it has is told in the shape of Docker's `EndpointSettings`, and lies in the container's run
directory, in `network.json`; beside it is a link to each of its leases, `lease-172.18.0.2`, for
whoever cleans up.

See: https://docs.docker.com/reference/api/engine/version/v1.50/ (EndpointSettings)
"""

from __future__ import annotations

import os

from minidock.engine.disconnect import LEASE
from minidock.engine.holding import is_held, lock_of
from minidock.engine.network_ground import stand_on
from minidock.network.bridge import Bridge
from minidock.network.ipam import IPV4, IPV6, Leases
from minidock.network.veth import ConfigureEnd, ConnectVeth, End, mac_for
from minidock.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from typing import Any

    from minidock.engine.networks import Network, Networks, Pool
    from minidock.engine.paths import Paths

    Settings = dict[str, Any]


class Endpoint(Record):
    """`settings` are Docker's. `host_end` is the name of the cable's end on the host."""

    network: Network
    bridge: Bridge
    settings: Settings
    host_end: str
    end: End

    def lay(self, *, hairpin: bool) -> ConnectVeth:
        """The Step that connects it, to be done by main."""
        about = self.bridge.name, self.bridge.index, self.bridge.mtu
        return ConnectVeth(self.host_end, *about, self.end, hairpin, not self.network.connects)

    def configure(self) -> ConfigureEnd:
        """The Step that configures it, to be done inside."""
        return ConfigureEnd(self.end)


def take_endpoint(
    paths: Paths,
    networks: Networks,
    network: Network,
    container_id: str,
    asked: Mapping[str, Any],
    device: str,
    *,
    families: Sequence[int],
) -> Endpoint:
    """Lease addresses on a network for a container whose lock is held. `asked` is what the user
    said of this endpoint, as EndpointSettings; `device` what it is called inside; `families` those
    whose default route leads there.

    Raises `Conflict` where an address is taken, or none is left.
    """
    network, bridge = stand_on(paths, networks, network)
    run_dir = paths.run_dir(container_id)

    def alive(holder: str) -> bool:
        # What is its own is of an earlier life, of which nobody has cleaned up.
        return holder != container_id and is_held(lock_of(paths.container(holder)))

    directory = networks.leases(network)

    def announce(address: str) -> None:
        _link(f"{directory}/{address}", f"{run_dir}/{LEASE}{address}")

    leases = Leases(directory, alive, announce)
    wanted = asked.get("IPAMConfig") or {}
    found: dict[int, tuple[str, Pool]] = {}
    for pool in network.pools:
        family = pool.subnet.family
        if family == IPV6 and not bridge.ipv6:
            continue
        address = str(wanted.get("IPv4Address" if family == IPV4 else "IPv6Address") or "")
        if address:
            leases.claim(container_id, address)
        else:
            address = leases.take(container_id, pool.subnet, within=pool.within, not_=pool.reserved)
        found[family] = address, pool
    mac = str(asked.get("MacAddress") or "") or mac_for(found[min(found)][0])
    return describe(network, bridge, found, mac, asked, device, families=families)


def describe(
    network: Network,
    bridge: Bridge,
    found: Mapping[int, tuple[str, Pool]],
    mac: str,
    asked: Mapping[str, Any],
    device: str,
    *,
    families: Sequence[int],
) -> Endpoint:
    """The endpoint with these addresses, by family."""
    endpoint_id = os.urandom(32).hex()
    four, six = found.get(IPV4), found.get(IPV6)
    settings: Settings = {
        "IPAMConfig": asked.get("IPAMConfig"),
        "Links": asked.get("Links"),
        "Aliases": asked.get("Aliases"),
        "MacAddress": mac,
        "DriverOpts": asked.get("DriverOpts"),
        "GwPriority": asked.get("GwPriority", 0),
        "NetworkID": network.id,
        "EndpointID": endpoint_id,
        "Gateway": _gateway(network, four),
        "IPAddress": four[0] if four else "",
        "IPPrefixLen": four[1].subnet.prefix if four else 0,
        "IPv6Gateway": _gateway(network, six),
        "GlobalIPv6Address": six[0] if six else "",
        "GlobalIPv6PrefixLen": six[1].subnet.prefix if six else 0,
        "DNSNames": None,
    }
    end = End(
        device,
        tuple((address, pool.subnet.prefix) for address, pool in found.values()),
        tuple(pool.gateway for family, (_, pool) in found.items() if family in families),
        mac,
    )
    return Endpoint(network, bridge, settings, f"md{endpoint_id[:12]}", end)


def own_addresses(settings: Iterable[Mapping[str, Any]]) -> list[str]:
    """Of all endpoints, IPv4 before IPv6 on each."""
    keys = ("IPAddress", "GlobalIPv6Address")
    return [str(given[key]) for given in settings for key in keys if given[key]]


def _link(target: str, path: str) -> None:
    try:
        os.symlink(target, path)
    except FileExistsError:
        pass  # from an earlier life, and to the same


def _gateway(network: Network, found: tuple[str, Pool] | None) -> str:
    return found[1].gateway if found and not network.internal else ""
