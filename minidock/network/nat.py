"""What goes out of a container's network, and what comes in.

Containers have private addresses that nobody outside can answer. So what leaves for elsewhere gets
the host's address on its way out (*masquerading*), and a published port of the host leads to a
container: what arrives for it gets the container's address (*DNAT*). The kernel remembers each
conversation and does the reverse to the answers.

All of it is one nftables table of our own, `minidock`, of a fixed handful of rules. What differs
from one day to the next lies in sets and maps, which the rules look things up in:

    bridges      the devices of our networks
    paths        (from, to): between which of these devices packets may pass
    closed       devices of internal networks
    inside4/6    addresses that are to be masqueraded
    ports4/6     (protocol, port)          → (address, port), on every address of the host
    at4/6        (address, protocol, port) → (address, port), on one address

`nft list table inet minidock` shows them. A port more is an element more, and takes as long with a
thousand there as with none. Nothing else of the host's rules is touched, but for what forward.py
tells. A loopback address of IPv6 is not translated: packets from ::1 never leave the host, so who
asks [::1] is answered by relay.py.

See: nft(8), RFC 3022, https://docs.kernel.org/networking/ip-sysctl.html (route_localnet)
"""

from __future__ import annotations

from struct import pack

from minidock.network import nft
from minidock.network.ipam import IPV4, IPV6, Subnet, family_of, packed
from minidock.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from minidock.linux.kernel import Kernel
    from minidock.network.message import Message

TABLE = "minidock"
PROTOCOLS = {"tcp": 6, "udp": 17, "sctp": 132}
_EVERY = {IPV4: "0.0.0.0", IPV6: "::"}
_IFNAME = 16
_PER_MESSAGE = 400  # elements; a message has to fit into a socket's buffer


class Port(Record):
    """One port of the host that leads to one of a container. `host_ip` may be 0.0.0.0 or `::`;
    `address` is the container's."""

    protocol: str
    host_ip: str
    host_port: int
    address: str
    port: int


class Gate(Record):
    """A network as the rules see it."""

    bridge: str
    subnets: tuple[Subnet, ...]  # to be masqueraded
    connects: bool = True
    internal: bool = False


# ── the table ──

_SETS: tuple[tuple[str, tuple[int, ...], tuple[int, ...], int], ...] = (
    ("bridges", (nft.NAME,), (), 0),
    ("paths", (nft.NAME, nft.NAME), (), 0),
    ("closed", (nft.NAME,), (), 0),
    ("inside4", (nft.IPV4_ADDR,), (), nft.INTERVAL),
    ("inside6", (nft.IPV6_ADDR,), (), nft.INTERVAL),
    ("ports4", (nft.PROTOCOL, nft.SERVICE), (nft.IPV4_ADDR, nft.SERVICE), 0),
    ("ports6", (nft.PROTOCOL, nft.SERVICE), (nft.IPV6_ADDR, nft.SERVICE), 0),
    ("at4", (nft.IPV4_ADDR, nft.PROTOCOL, nft.SERVICE), (nft.IPV4_ADDR, nft.SERVICE), 0),
    ("at6", (nft.IPV6_ADDR, nft.PROTOCOL, nft.SERVICE), (nft.IPV6_ADDR, nft.SERVICE), 0),
)
_CHAINS = (
    ("guard", "filter", nft.PREROUTING, nft.RAW),
    ("arriving", "nat", nft.PREROUTING, nft.DSTNAT),
    ("local", "nat", nft.OUTPUT, nft.DSTNAT),
    ("leaving", "nat", nft.POSTROUTING, nft.SRCNAT),
    ("forward", "filter", nft.FORWARD, nft.FILTER),
)
_DROP, _ACCEPT, _RETURN = (nft.verdict(code) for code in (nft.DROP, nft.ACCEPT, nft.RETURN))
_IPV4 = nft.meta(nft.NFPROTO, 1), nft.equals(1, bytes([nft.IPV4]))
_IPV6 = nft.meta(nft.NFPROTO, 1), nft.equals(1, bytes([nft.IPV6]))
_FROM4 = *_IPV4, nft.payload(nft.NETWORK, 12, 4, 1)
_FROM6 = *_IPV6, nft.payload(nft.NETWORK, 8, 16, 1)
_TO4 = *_IPV4, nft.payload(nft.NETWORK, 16, 4, 1)
_TO6 = *_IPV6, nft.payload(nft.NETWORK, 24, 16, 1)
_FROM_LOOPBACK = *_IPV4, nft.payload(nft.NETWORK, 12, 1, 1), nft.equals(1, b"\x7f")
_TO_LOOPBACK = *_IPV4, nft.payload(nft.NETWORK, 16, 1, 1), nft.equals(1, b"\x7f")
_TO_LOOPBACK6 = *_TO6, nft.equals(1, bytes(15) + b"\1")
_TO_HOST = nft.address_type(1), nft.equals(1, pack("=I", nft.LOCAL))
_ESTABLISHED = nft.ct(nft.CT_STATE, 1), *nft.any_bit(1, nft.ESTABLISHED_OR_RELATED)
_PUBLISHED = nft.ct(nft.CT_STATUS, 1), *nft.any_bit(1, nft.IS_DNATED)
_FROM_US = nft.meta(nft.IIFNAME, 1), nft.lookup("bridges", 1)
_TO_US = nft.meta(nft.OIFNAME, 1), nft.lookup("bridges", 1)
_NOT_TO_US = nft.meta(nft.OIFNAME, 1), nft.lookup("bridges", 1, absent=True)
_PATH = nft.meta(nft.IIFNAME, 1), nft.meta(nft.OIFNAME, 2), nft.lookup("paths", 1)


def _translate(name: str, family: int, first: int, address: Iterable[bytes] = ()) -> list[bytes]:
    """Look up protocol and port, and perhaps the address before them, and send it where that says.
    `first` is the register that the protocol goes to, `address` what fills those before."""
    words = 1 if family == nft.IPV4 else 4
    fields = nft.meta(nft.L4PROTO, first), nft.payload(nft.TRANSPORT, 2, 2, first + 1)
    return [*address, *fields, nft.lookup(name, 8, into=8), nft.dnat(family, 8, 8 + words)]


_RULES: tuple[tuple[str, Sequence[bytes]], ...] = (
    # The host's own loopback address, which DNAT makes routable to our bridges, is not for those
    # who sit there. (Answers to what was translated do not have that address at this point.)
    ("guard", (*_FROM_US, *_TO_LOOPBACK, _DROP)),
    # Nor for neighbours of the host, who could send packets there.
    ("arriving", (*_TO_LOOPBACK, _RETURN)),
    ("arriving", (*_TO_HOST, nft.verdict(nft.JUMP, "publish"))),
    ("local", (*_TO_LOOPBACK6, _RETURN)),
    ("local", (*_TO_HOST, nft.verdict(nft.JUMP, "publish"))),
    ("publish", _translate("at4", nft.IPV4, 9, (*_IPV4, nft.payload(nft.NETWORK, 16, 4, 8)))),
    ("publish", _translate("at6", nft.IPV6, 12, (*_IPV6, nft.payload(nft.NETWORK, 24, 16, 8)))),
    ("publish", (*_IPV4, *_translate("ports4", nft.IPV4, 8))),
    ("publish", (*_IPV6, *_translate("ports6", nft.IPV6, 8))),
    ("leaving", (*_FROM4, nft.lookup("inside4", 1), *_NOT_TO_US, nft.masquerade())),
    ("leaving", (*_FROM6, nft.lookup("inside6", 1), *_NOT_TO_US, nft.masquerade())),
    # From the host's loopback, or from a container, through a published port and back inside: who
    # is asked must answer to the host, which knows what was translated.
    ("leaving", (*_TO_US, *_FROM_LOOPBACK, nft.masquerade())),
    ("leaving", (*_TO_US, *_PUBLISHED, *_FROM4, nft.lookup("inside4", 1), nft.masquerade())),
    ("leaving", (*_TO_US, *_PUBLISHED, *_FROM6, nft.lookup("inside6", 1), nft.masquerade())),
    ("forward", (*_ESTABLISHED, _ACCEPT)),
    ("forward", (*_PUBLISHED, _ACCEPT)),
    ("forward", (*_PATH, _ACCEPT)),
    # From other networks, ours and others', nobody comes in but through a published port.
    ("forward", (*_TO_US, _DROP)),
    ("forward", (nft.meta(nft.IIFNAME, 1), nft.lookup("closed", 1), _DROP)),
)


def ensure_table(kernel: Kernel) -> bool:
    """Make the table, unless it is there; True if it was made. Raises `OSError`."""
    sets = (
        nft.new_set(TABLE, name, key, data, number, flags)
        for number, (name, key, data, flags) in enumerate(_SETS, 1)
    )
    chains = (nft.new_chain(TABLE, *chain) for chain in (*_CHAINS, ("publish",)))
    rules = (nft.new_rule(TABLE, chain, expressions) for chain, expressions in _RULES)
    try:
        nft.send(kernel, [nft.new_table(TABLE), *sets, *chains, *rules])
    except FileExistsError:
        return False  # another command's, made at once and whole
    return True


# ── networks ──


def open_gate(kernel: Kernel, gate: Gate) -> None:
    """Let a network through; what is there already may be there. Raises `OSError`."""
    nft.send(kernel, [nft.new_elements(TABLE, name, found) for name, found in _of_gate(gate)])


def is_open(kernel: Kernel, bridge: str) -> bool:
    """Whether the rules know the network of this bridge."""
    return nft.has_element(kernel, TABLE, "bridges", _device(bridge))


def close_gate(kernel: Kernel, gate: Gate) -> None:
    """The reverse, for what of it is there. Raises `OSError`."""
    for name, found in _of_gate(gate):
        try:
            nft.send(kernel, [nft.delete_elements(TABLE, name, found)])
        except FileNotFoundError:
            continue  # it never was, or the rules were flushed


def _of_gate(gate: Gate) -> Iterator[tuple[str, list[bytes]]]:
    name = _device(gate.bridge)
    yield "bridges", [nft.element(name)]
    if gate.connects:
        yield "paths", [nft.element(name + name)]
    if gate.internal:
        yield "closed", [nft.element(name)]
    for subnet in gate.subnets:
        length = 4 if subnet.family == IPV4 else 16
        ends = subnet.base, subnet.base + subnet.size
        first, behind = (number.to_bytes(length, "big") for number in ends)
        yield f"inside{subnet.family}", [nft.element(first), nft.element(behind, flags=1)]


def _device(name: str) -> bytes:
    return name.encode().ljust(_IFNAME, b"\0")


# ── ports ──


def publishing(ports: Sequence[Port]) -> list[list[Message]]:
    """The batches that publish `ports`."""
    return _in_batches(ports, nft.new_elements, with_data=True)


def withdrawing(ports: Sequence[Port]) -> list[list[Message]]:
    """The batches that take them back."""
    return _in_batches(ports, nft.delete_elements, with_data=False)


def _in_batches(ports: Sequence[Port], make: object, *, with_data: bool) -> list[list[Message]]:
    batches = []
    for start in range(0, len(ports), _PER_MESSAGE):
        by_map: dict[str, list[bytes]] = {}
        for port in ports[start : start + _PER_MESSAGE]:
            name, key, data = _entry(port)
            by_map.setdefault(name, []).append(nft.element(key, data if with_data else b""))
        batches.append([make(TABLE, name, found) for name, found in by_map.items()])  # type: ignore[operator]
    return batches


def _entry(port: Port) -> tuple[str, bytes, bytes]:
    """Which map, the key in it, and what it gives."""
    family = family_of(port.host_ip)
    key = bytes([PROTOCOLS[port.protocol], 0, 0, 0]) + _service(port.host_port)
    data = packed(port.address) + _service(port.port)
    if port.host_ip == _EVERY[family]:
        return f"ports{family}", key, data
    return f"at{family}", packed(port.host_ip) + key, data


def _service(number: int) -> bytes:
    return pack(">HH", number, 0)
