"""Networks and who is on them: list, inspect, remove, prune.

See: moby's daemon/network.go, daemon/network/filter.go
"""

from __future__ import annotations

from minidock.engine.containers import Containers
from minidock.engine.disconnect import RECORD
from minidock.engine.events import emit
from minidock.engine.holding import is_held, lock_of
from minidock.engine.network_ground import take_down
from minidock.engine.networks import Network, Networks
from minidock.engine.statefile import read_json
from minidock.errors import Conflict, InvalidInput, NotFound
from minidock.network.ipam import Leases
from minidock.spec.timestamp import parse_time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any

    from minidock.engine.containers import Container
    from minidock.engine.paths import Paths
    from minidock.engine.prune import Wanted

    Endpoint = dict[str, Any]
    Filters = Mapping[str, Sequence[str]]
    Test = Callable[[Network], bool]

_WORDS = {"1": True, "true": True, "True": True, "0": False, "false": False, "False": False}


def endpoints_on(paths: Paths, network: Network) -> list[tuple[Container, Endpoint]]:
    """The containers that are on a network now, each with Docker's EndpointSettings; by name."""
    containers, found = Containers(paths), []
    for holder in _holders(paths, network):
        container = containers.load(holder)
        if container is None:
            continue
        record = read_json(f"{container.run_dir}/{RECORD}") or {}
        for endpoint in (record.get("Networks") or {}).values():
            if endpoint["NetworkID"] == network.id:
                found.append((container, endpoint))
    return sorted(found, key=lambda pair: pair[0].name)


def _holders(paths: Paths, network: Network) -> set[str]:
    """The ids of those that have an address on it and live; some may only be starting."""
    leases = Leases(Networks(paths).leases(network), lambda _: True)
    holders = set(leases.all().values())
    return {holder for holder in holders if is_held(lock_of(paths.container(holder)))}


# ── ls ──


def list_networks(paths: Paths, filters: Filters) -> list[Network]:
    """Those that pass all filters; several values of one are alternatives, of labels all count.
    Raises `InvalidInput` in Docker's words."""
    tests = [_test(paths, name, values) for name, values in filters.items() if values]
    return [n for n in Networks(paths).all() if all(test(n) for test in tests)]


def _test(paths: Paths, name: str, values: Sequence[str]) -> Test:
    if name == "dangling":
        wanted = [_word(value) for value in values]
        return lambda n: (not n.predefined and not endpoints_on(paths, n)) in wanted
    if name == "label":
        return lambda n: all(_has_label(n, value) for value in values)
    if name == "type":
        for value in values:
            if value not in ("builtin", "custom"):
                raise InvalidInput(f"invalid filter: 'type'='{value}'")
        return lambda n: ("builtin" if n.predefined else "custom") in values
    simple: Mapping[str, Test] = {
        "driver": lambda n: n.driver in values,
        "id": lambda n: any(n.id.startswith(value) for value in values),
        "name": lambda n: any(value in n.name for value in values),
        "scope": lambda n: "local" in values,
    }
    if name not in simple:
        raise InvalidInput(f"invalid filter '{name}'")
    return simple[name]


def _word(value: str) -> bool:
    if value not in _WORDS:
        raise InvalidInput(f"invalid filter 'dangling=[{value}]'")
    return _WORDS[value]


def _has_label(network: Network, wanted: str) -> bool:
    labels = network.document.get("Labels") or {}
    key, equals, value = wanted.partition("=")
    return key in labels and (not equals or labels[key] == value)


# ── inspect ──


def inspect_network(paths: Paths, name: str) -> dict[str, Any]:
    """The network's record with the containers that are on it now. Raises `NotFound`."""
    network = Networks(paths).find(name)
    on_it = {
        container.id: {
            "Name": container.name,
            "EndpointID": endpoint["EndpointID"],
            "MacAddress": endpoint["MacAddress"],
            "IPv4Address": _with_prefix(endpoint["IPAddress"], endpoint["IPPrefixLen"]),
            "IPv6Address": _with_prefix(
                endpoint["GlobalIPv6Address"], endpoint["GlobalIPv6PrefixLen"]
            ),
        }
        for container, endpoint in endpoints_on(paths, network)
    }
    return {**network.document, "Containers": on_it}


def _with_prefix(address: str, length: int) -> str:
    return f"{address}/{length}" if address else ""


# ── rm, prune ──


def remove_network(paths: Paths, name: str) -> Network:
    """Raises `NotFound`, and `Conflict` where a container is on it, in Docker's words."""
    networks = Networks(paths)
    network = networks.find(name)
    if network.predefined:
        raise Conflict(f"{network.name} is a pre-defined network and cannot be removed")
    users = endpoints_on(paths, network)
    if users or _holders(paths, network):
        shown = ", ".join(f'name:"{c.name}" id:"{e["EndpointID"][:12]}"' for c, e in users)
        raise Conflict(
            f"error while removing network: network {network.name} has active endpoints ({shown})"
        )
    take_down(paths, networks, network)
    networks.remove(network)
    emit_network(paths.run_root, "destroy", network)
    return network


def prune_networks(paths: Paths, wanted: Wanted) -> list[str]:
    """Remove those of users that no running container is on; their names."""
    gone = []
    for network in Networks(paths).all():
        labels = network.document.get("Labels") or {}
        created = parse_time(network.document["Created"])
        if network.predefined or not wanted.fits(created, labels):
            continue
        try:
            remove_network(paths, network.id)
        except (Conflict, NotFound):
            continue  # somebody is on it, or another command has removed it
        gone.append(network.name)
    return gone


def emit_network(run_root: str, action: str, network: Network, container: str = "") -> None:
    """An event of a network's, in Docker's words."""
    attributes = {"name": network.name, "type": network.driver}
    if container:
        attributes = {"container": container, **attributes}
    emit(run_root, "network", action, network.id, attributes)
