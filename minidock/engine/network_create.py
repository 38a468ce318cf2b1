"""`network create`: what may be asked of a new network, and what of it Docker would refuse.

What a user gives are lists that belong together by value, not by place: `--subnet A --subnet B
--gateway g` gives the gateway to the subnet it lies in.

See: docker/cli cli/command/network/create.go, moby's api/types/network/ipam.go
"""

from __future__ import annotations

from minidock.engine.events import emit
from minidock.engine.networks import BRIDGE_NAME, MTU, PREDEFINED, Networks
from minidock.errors import Conflict, InvalidInput
from minidock.network.ipam import IPV4, IPV6, Subnet, family_of, number_of, parse_subnet
from minidock.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from minidock.engine.networks import Network
    from minidock.engine.paths import Paths

_NAME_CHARS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-")
_BRIDGE = "com.docker.network.bridge."
_YES_OR_NO = tuple(_BRIDGE + name for name in ("enable_icc", "enable_ip_masquerade"))
_KNOWN = (*_YES_OR_NO, BRIDGE_NAME, MTU, "com.docker.network.mtu")
_MOST_IN_NAME = 15  # of a device: IFNAMSIZ, with its NUL


class Mismatch(InvalidInput):
    """What was given does not belong together, whatever there is on this machine."""


class NetworkOptions(Record):
    """What `network create` was told. `aux` are addresses, each with a name, that are not to be
    handed out."""

    name: str
    driver: str = "bridge"
    subnets: tuple[str, ...] = ()
    ranges: tuple[str, ...] = ()
    gateways: tuple[str, ...] = ()
    aux: tuple[tuple[str, str], ...] = ()
    internal: bool = False
    attachable: bool = False
    ipv4: bool = True
    ipv6: bool = False
    options: tuple[tuple[str, str], ...] = ()
    labels: tuple[tuple[str, str], ...] = ()
    ipam_options: tuple[tuple[str, str], ...] = ()


def create_network(paths: Paths, wanted: NetworkOptions) -> Network:
    """Raises `MinidockError` in Docker's words; nothing is made then."""
    networks = Networks(paths)
    _check_name(wanted.name)
    if wanted.driver in ("host", "null"):
        raise Conflict(f'only one instance of "{wanted.driver}" network is allowed')
    if wanted.driver != "bridge":
        raise InvalidInput(
            f"could not find plugin {wanted.driver} in v2 plugin registry: not found",
            hint='There is one driver, "bridge".',
        )
    options = dict(wanted.options)
    _check_options(networks, options)
    pools = pools_of(wanted)
    if not wanted.ipv4 and not wanted.ipv6:
        raise InvalidInput("IPv4 or IPv6 must be enabled")
    network = networks.create(
        wanted.name,
        pools=pools,
        ipv4=wanted.ipv4,
        ipv6=wanted.ipv6,
        internal=wanted.internal,
        attachable=wanted.attachable,
        options=options,
        labels=dict(wanted.labels),
        ipam_options=dict(wanted.ipam_options),
    )
    attributes = {"name": network.name, "type": network.driver}
    emit(paths.run_root, "network", "create", network.id, attributes)
    return network


def _check_name(name: str) -> None:
    if name in (*PREDEFINED, "default", "container") or name.startswith("container:"):
        raise Conflict(f"operation is not permitted on predefined {name} network")
    if not name or name[0] in "_.-" or not set(name) <= _NAME_CHARS:
        allowed = "only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed"
        raise InvalidInput(f"invalid network name ({name}), {allowed}")


def _check_options(networks: Networks, options: dict[str, str]) -> None:
    """Driver options. What has no meaning here is refused, labels of others' tools are kept."""
    short = options.pop("com.docker.network.mtu", None)
    if short is not None:
        options[MTU] = short
    for key, value in options.items():
        if key in _YES_OR_NO and value.lower() not in ("true", "false", "1", "0"):
            raise InvalidInput(f"failed to parse {key} value: {value} is not true or false")
        if key.startswith(_BRIDGE) and key not in _KNOWN:
            raise InvalidInput(f"network option {key} is not supported")
    for key in _YES_OR_NO:
        if options.get(key) in ("1", "0"):
            options[key] = "true" if options[key] == "1" else "false"
    mtu = options.get(MTU, "1500")
    if not (mtu.isascii() and mtu.isdigit()) or not 68 <= int(mtu) <= 65535:
        raise InvalidInput(f"invalid MTU: {mtu}")
    device = options.get(BRIDGE_NAME)
    if device is not None:
        if not 0 < len(device) <= _MOST_IN_NAME or not set(device) <= _NAME_CHARS:
            raise InvalidInput(f"invalid bridge name: {device}")
        for other in networks.all():
            if other.driver == "bridge" and other.bridge == device:
                raise Conflict(
                    f"conflicts with network {other.id} ({other.name}): same bridge name"
                )


# ── addresses ──


def pools_of(wanted: NetworkOptions) -> list[dict[str, Any]]:
    """The entries of IPAM.Config that follow from what was given. Raises `InvalidInput`."""
    if len(wanted.subnets) < max(len(wanted.ranges), len(wanted.gateways)):
        raise Mismatch("every ip-range or gateway must have a corresponding subnet")
    pools: list[dict[str, Any]] = []
    subnets: list[Subnet] = []
    for text in wanted.subnets:
        subnet = _subnet(text, "subnet")
        if any(map(subnet.overlaps, subnets)):
            raise Mismatch("multiple overlapping subnet configuration is not supported")
        if any(other.family == subnet.family for other in subnets):
            raise InvalidInput(f"only one IPv{subnet.family} subnet is supported per network")
        subnets.append(subnet)
        pools.append({"Subnet": text})
    for on, family in ((wanted.ipv4, IPV4), (wanted.ipv6, IPV6)):
        if not on and any(subnet.family == family for subnet in subnets):
            raise InvalidInput(f"IPv{family} is not enabled, and has a subnet (--ipv{family})")
    for text in wanted.ranges:
        within = _subnet(text, "ip-range")
        _put(pools, subnets, within.base, text, "IPRange", "range")
        subnet = next(s for s in subnets if within.base in s and s.family == within.family)
        if within.prefix < subnet.prefix:
            raise InvalidInput(f"invalid ip-range {text}: it is larger than the subnet {subnet}")
    for text in wanted.gateways:
        _put(pools, subnets, number_of(text), text, "Gateway", "gateway")
    for name, address in wanted.aux:
        number = number_of(address)
        index = _index(subnets, number, family_of(address))
        if index is None:
            raise Mismatch(f"no matching subnet for aux-address {address}")
        pools[index].setdefault("AuxiliaryAddresses", {})[name] = address
    return pools


def _subnet(text: str, what: str) -> Subnet:
    subnet = parse_subnet(text)
    if str(subnet) != text.lower() and number_of(text.partition("/")[0]) != subnet.base:
        raise InvalidInput(f"invalid {what} {text}: it should be {subnet}")
    return subnet


def _put(
    pools: list[dict[str, Any]],
    subnets: Sequence[Subnet],
    number: int,
    text: str,
    key: str,
    what: str,
) -> None:
    index = _index(subnets, number, family_of(text))
    if index is None:
        raise Mismatch(f"no matching subnet for {what} {text}")
    if key in pools[index]:
        many = {"range": "ranges", "gateway": "gateways"}[what]
        first, subnet = pools[index][key], pools[index]["Subnet"]
        raise Mismatch(
            f"cannot configure multiple {many} ({text}, {first}) on the same subnet ({subnet})"
        )
    pools[index][key] = text


def _index(subnets: Sequence[Subnet], number: int, family: int) -> int | None:
    for index, subnet in enumerate(subnets):
        if subnet.family == family and number in subnet:
            return index
    return None
