"""Which of a container's networks leads out.

A container on several networks has one default route for IPv4 and one for IPv6. As in Docker it is
that of the network with the highest `gw-priority`; of several alike, of the one whose name comes
first. A network that is internal leads nowhere.

See: moby's libnetwork/endpoint.go (epHeap, Less)
"""

from __future__ import annotations

from minidock.network.ipam import IPV4, IPV6

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any

    from minidock.engine.networks import Network


def families_out(
    networks: Iterable[tuple[Network, Mapping[str, Any]]],
) -> dict[str, tuple[int, ...]]:
    """For each network, by its name, of which families the default route leads there. `networks`
    come with what was asked for on each."""
    pairs = sorted(networks, key=lambda pair: (-int(pair[1].get("GwPriority") or 0), pair[0].name))
    found: dict[str, tuple[int, ...]] = {network.name: () for network, _ in pairs}
    for family in (IPV4, IPV6):
        for network, _ in pairs:
            has = any(pool.subnet.family == family for pool in network.pools)
            if has and not network.internal:
                found[network.name] += (family,)
                break
    return found
