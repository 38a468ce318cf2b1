"""The cable between a container and its network.

A network namespace is an empty room: its own devices, addresses, routes and ports, and none of the
host's. A *veth* is a pair of devices that are connected as by a cable: what is sent into one comes
out of the other. One end is plugged into the network's bridge on the host, the other lies in the
container's namespace, where it is called `eth0`.

    host                                    container
    minidock0 (bridge) ── md3f9a81c0e2d5 ══╪══ eth0   172.18.0.2/16, default via 172.18.0.1

Both ends, the namespace of the second and the bridge of the first are one message to the kernel.
It is sent by main, on the host, when the container's init exists but waits. What lies inside can be
configured from inside only: init does that, with a handful of messages in another send.

Nobody ever removes the pair. It goes when the namespace does, with the container's last process,
however that ended.

See: veth(4), rtnetlink(7), network_namespaces(7), https://docs.kernel.org/networking/bridge.html
"""

from __future__ import annotations

from struct import pack, unpack_from

from minidock.network.ipam import IPV4, IPV6, family_of, packed
from minidock.network.message import (
    CREATE,
    EXCLUSIVE,
    ROUTE,
    Message,
    ask,
    attribute,
    connect,
    converse,
    exchange,
    nested,
    text,
    u32,
)
from minidock.record import Record
from minidock.step import Step

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import ClassVar

    from minidock.linux.kernel import Kernel
    from minidock.step import Context

# rtnetlink.h, if_link.h, if_addr.h, veth.h
_NEWLINK, _DELLINK, _GETLINK, _NEWADDR, _NEWROUTE = 16, 17, 18, 20, 24
_IFLA_ADDRESS, _IFLA_IFNAME, _IFLA_MTU, _IFLA_MASTER, _IFLA_LINKINFO = 1, 3, 4, 10, 18
_IFLA_NET_NS_PID, _IFLA_NET_NS_FD = 19, 28
_INFO_KIND, _INFO_DATA, _INFO_SLAVE_KIND, _INFO_SLAVE_DATA = 1, 2, 4, 5
_VETH_INFO_PEER = 1
_BRPORT_MODE, _BRPORT_ISOLATED = 4, 33
_IFA_ADDRESS, _IFA_LOCAL, _IFA_BROADCAST, _IFA_F_NODAD = 1, 2, 4, 2
_RTA_OIF, _RTA_GATEWAY = 4, 5
_MAIN_TABLE, _PROTOCOL_BOOT, _UNICAST = 254, 3, 1
_IFF_UP = 1
_AF = {IPV4: 2, IPV6: 10}


class End(Record):
    """The container's end of a cable. `addresses` are (text, length of the prefix) each; an empty
    gateway means that no default route leads this way."""

    name: str
    addresses: tuple[tuple[str, int], ...]
    gateways: tuple[str, ...] = ()
    mac: str = ""


def link(flags: int = 0, change: int = 0, *attributes: bytes, index: int = 0) -> bytes:
    """What messages about links begin with (struct ifinfomsg), and their attributes."""
    return pack("=BxHiII", 0, 0, index, flags, change) + b"".join(attributes)


def new_pair(name: str, bridge: int, mtu: int, end: End, *, pid: int = 0, fd: int = -1) -> Message:
    """Make a cable between the bridge with that index and a namespace: that of the process `pid`,
    or the one that the descriptor `fd` stands for."""
    where = u32(_IFLA_NET_NS_FD, fd) if fd >= 0 else u32(_IFLA_NET_NS_PID, pid)
    mac = [attribute(_IFLA_ADDRESS, bytes.fromhex(end.mac.replace(":", "")))] if end.mac else []
    inside = (text(_IFLA_IFNAME, end.name), u32(_IFLA_MTU, mtu), where, *mac)
    peer = attribute(_VETH_INFO_PEER | 0x8000, link(0, 0, *inside))
    body = link(
        _IFF_UP,
        _IFF_UP,
        text(_IFLA_IFNAME, name),
        u32(_IFLA_MTU, mtu),
        u32(_IFLA_MASTER, bridge),
        nested(_IFLA_LINKINFO, text(_INFO_KIND, "veth"), nested(_INFO_DATA, peer)),
    )
    return Message(_NEWLINK, body, CREATE | EXCLUSIVE)


def set_port(name: str, *, hairpin: bool, isolated: bool) -> list[Message]:
    """What is special about a port of a bridge. `hairpin`: a packet may go back to the port that it
    came from; a container may ask for its own published port, and be answered by itself.
    `isolated`: nothing passes between it and other isolated ports, whatever the rules say; they
    do not see what stays on one bridge unless br_netfilter shows it to them."""
    marks = [attribute(_BRPORT_MODE, b"\1")] if hairpin else []
    marks += [attribute(_BRPORT_ISOLATED, b"\1")] if isolated else []
    about = text(_INFO_SLAVE_KIND, "bridge"), nested(_INFO_SLAVE_DATA, *marks)
    body = link(0, 0, text(_IFLA_IFNAME, name), nested(_IFLA_LINKINFO, *about))
    return [Message(_NEWLINK, body)] if marks else []


def bring_up(index: int) -> Message:
    return Message(_NEWLINK, link(_IFF_UP, _IFF_UP, index=index))


def new_address(index: int, address: str, prefix: int) -> Message:
    family, value = family_of(address), packed(address)
    attributes = attribute(_IFA_LOCAL, value) + attribute(_IFA_ADDRESS, value)
    flags = 0
    if family == IPV4:
        number, host_bits = int.from_bytes(value, "big"), (1 << (32 - prefix)) - 1
        attributes += attribute(_IFA_BROADCAST, (number | host_bits).to_bytes(4, "big"))
    else:
        flags = _IFA_F_NODAD  # nobody else has it, so nobody is asked; else it waits for a second
    body = pack("=BBBBI", _AF[family], prefix, flags, 0, index) + attributes
    return Message(_NEWADDR, body, CREATE | EXCLUSIVE)


def new_default_route(index: int, gateway: str) -> Message:
    how = (_AF[family_of(gateway)], 0, 0, 0, _MAIN_TABLE, _PROTOCOL_BOOT, 0, _UNICAST, 0)
    attributes = u32(_RTA_OIF, index) + attribute(_RTA_GATEWAY, packed(gateway))
    return Message(_NEWROUTE, pack("=8BI", *how) + attributes, CREATE | EXCLUSIVE)


def get_link(name: str) -> Message:
    return Message(_GETLINK, link(0, 0, text(_IFLA_IFNAME, name)))


def delete_link(name: str) -> Message:
    """For a cable whose namespace goes on without its container. It takes 14 ms."""
    return Message(_DELLINK, link(0, 0, text(_IFLA_IFNAME, name)))


class ConnectVeth(Step):
    """Lay a cable from a bridge into the network namespace of init."""

    name: str
    bridge: str
    bridge_index: int
    mtu: int
    end: End
    hairpin: bool = False
    isolated: bool = False
    see: ClassVar[tuple[str, ...]] = ("veth(4)", "rtnetlink(7)")

    def describe(self) -> str:
        return (
            f"lay a cable from the bridge {self.bridge} into the container's network namespace, "
            f"where its end is called {self.end.name}"
        )

    def apply(self, kernel: Kernel, ctx: Context) -> None:
        made = new_pair(self.name, self.bridge_index, self.mtu, self.end, pid=ctx.init)
        port = set_port(self.name, hairpin=self.hairpin, isolated=self.isolated)
        exchange(kernel, ROUTE, [made, *port])


class ConfigureEnd(Step):
    """Give the container's end its addresses and routes, in the namespace of the caller."""

    end: End
    see: ClassVar[tuple[str, ...]] = ("rtnetlink(7)", "network_namespaces(7)")

    def describe(self) -> str:
        addresses = " and ".join(address for address, _ in self.end.addresses)
        route = f", and send what is for others to {' or '.join(self.end.gateways)}"
        return f"give {self.end.name} the address {addresses}{route if self.end.gateways else ''}"

    def apply(self, kernel: Kernel, ctx: Context) -> None:
        configure(kernel, self.end)


def configure(kernel: Kernel, end: End) -> None:
    """Bring up a device of the caller's namespace. Raises `OSError`."""
    fd = connect(kernel, ROUTE)
    try:
        answer = ask(kernel, fd, get_link(end.name))
        # The number of the link; the one that is usual beside `lo` where nobody answers.
        index = unpack_from("=i", answer, 4)[0] if answer else 2
        messages = [
            bring_up(index),
            *(new_address(index, address, prefix) for address, prefix in end.addresses),
            *(new_default_route(index, gateway) for gateway in end.gateways),
        ]
        converse(kernel, fd, messages)
    finally:
        kernel.close(fd)


def mac_for(address: str) -> str:
    """A locally administered Ethernet address for who has an IPv4 address. Whoever gets that
    address after it has the same one, so nobody's memory of it is wrong."""
    return ":".join(f"{byte:02x}" for byte in b"\x02\x42" + packed(address)[-4:])
