"""Which networks a new container is to be on, checked: names become what they mean.

container.json keeps the wish: `HostConfig.NetworkMode` the first network, and `Networks` how the
container is to be on each, in Docker's EndpointSettings. What it then is there, addresses and all,
is known when it runs, and stands in `network.json`.

See: moby's runconfig/hostconfig_unix.go (validateNetMode), daemon/container_operations.go
"""

from __future__ import annotations

from minidock.engine.networks import DEFAULT, HOST, NONE, PREDEFINED, Networks
from minidock.engine.paths import Paths
from minidock.errors import InvalidInput
from minidock.network.ipam import family_of, number_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from minidock.engine.host_config import Find
    from minidock.engine.networks import Network
    from minidock.engine.run import RunOptions

    Endpoints = dict[str, dict[str, Any]]

CONTAINER = "container:"


def check_networks(options: RunOptions, root: str, find: Find) -> tuple[RunOptions, Endpoints]:
    """The options with a network mode that is meant for good, and the endpoints by the names of
    their networks. Raises `InvalidInput`, `NotFound` in Docker's words."""
    mode = DEFAULT if options.network == "default" else options.network
    endpoints = {
        DEFAULT if name == "default" else name: dict(endpoint)
        for name, endpoint in (options.endpoints or {mode: {}}).items()
    }
    if mode.startswith(CONTAINER):
        _check_shared(options)
        other = find(mode.removeprefix(CONTAINER))
        mode = CONTAINER + other.id
        return options.but(network=mode, hostname=other.config["Hostname"]), {}
    if mode == HOST and options.host_config.get("Links"):
        raise InvalidInput(
            "conflicting options: host type networking can't be used with links. "
            "This would result in undefined behavior"
        )
    networks = Networks(Paths(root))
    found: Endpoints = {}
    for name, endpoint in endpoints.items():
        network = networks.known(name)
        check_endpoint(network, endpoint)
        if network.name in found:
            raise InvalidInput(f'network "{network.name}" is specified multiple times')
        found[network.name] = endpoint
    if mode in (HOST, NONE):
        return options, {}
    return options.but(network=networks.known(mode).name), found


def check_endpoint(network: Network, endpoint: dict[str, Any]) -> None:
    """Whether a container can be on that network so. Raises `InvalidInput`."""
    addresses = (endpoint.get("IPAMConfig") or {}).values()
    if network.predefined:
        if addresses:
            raise InvalidInput(
                "user specified IP address is supported on user defined networks only"
            )
        if endpoint.get("Aliases"):
            raise InvalidInput(
                "network-scoped alias is supported only for containers in user defined networks"
            )
    for address in addresses:
        number, family = number_of(address), family_of(address)
        pools = [pool for pool in network.pools if pool.subnet.family == family]
        if not any(number in pool.subnet for pool in pools):
            raise InvalidInput(f"no configured subnet contains IP address {address}")
        if any(address == taken for pool in pools for taken in pool.reserved):
            raise InvalidInput("Address already in use")


def _check_shared(options: RunOptions) -> None:
    """What belongs to the other container cannot be chosen again."""
    config = options.host_config
    conflicts = {
        "hostname and the network mode": options.hostname,
        "dns and the network mode": config.get("Dns"),
        "custom host-to-IP mapping and the network mode": config.get("ExtraHosts"),
        "port publishing and the container type network mode": config.get("PortBindings")
        or config.get("PublishAllPorts"),
        "port exposing and the container type network mode": options.exposed,
        "container type network can't be used with links. "
        "This would result in undefined behavior": config.get("Links"),
    }
    for what, given in conflicts.items():
        if given:
            raise InvalidInput(f"conflicting options: {what}")


def is_of_users(network: str) -> bool:
    """Whether a network mode names a network that a user made."""
    return network not in PREDEFINED and not network.startswith(CONTAINER)
