"""The two sockets behind 127.0.0.11, and how port 53 leads to them.

A name server is asked on port 53. Were its sockets bound there, no program of the container could
have that port on all addresses, and there are containers that are name servers themselves. So they
are bound to 127.0.0.11 and to ports that the kernel chooses, and packets are changed on their way:

    a program                                             the resolver
    to 127.0.0.11:53    ──► to becomes   :40156 ──►       bound to 127.0.0.11:40156
    from 127.0.0.11:53  ◄── from becomes :53    ◄──       answers from there

Four rules in the container's own namespace do that, one for each direction and protocol, each a
little program for the kernel's packet filter: is it this protocol, this address, this port? Then
another port is written into its place, and into the checksum. Nothing is remembered about
connections. The rules end with the namespace, as the sockets do when nobody holds them any more.

See: nft(8), https://wiki.nftables.org, linux/netfilter/nf_tables.h
"""

from __future__ import annotations

from struct import pack

from minidock.network.message import NETFILTER, Message, exchange
from minidock.network.nft import (
    IPV4,
    L4PROTO,
    NETWORK,
    NFPROTO,
    OUTPUT,
    TRANSPORT,
    batch,
    equals,
    immediate,
    meta,
    new_chain,
    new_rule,
    new_table,
    payload,
    write,
)
from minidock.step import Step

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import ClassVar

    from minidock.linux.kernel import Kernel
    from minidock.step import Context

ADDRESS, PORT = "127.0.0.11", 53
TABLE = "minidock_names"
_PACKED = bytes((127, 0, 0, 11))
_AF_INET, _SOCK_STREAM, _SOCK_DGRAM, _SOCK_CLOEXEC = 2, 1, 2, 0o2000000
_BACKLOG = 64
_MANGLE = -150  # the priority of those who change packets
_UDP, _TCP = 17, 6
_CHECKSUM_AT = {_UDP: 6, _TCP: 16}  # bytes into the header of each
_SOURCE_AT, _DESTINATION_AT = 12, 16  # in that of IPv4
_SOURCE_PORT_AT, _DESTINATION_PORT_AT = 0, 2


class ServeNames(Step):
    """Make the sockets, in the namespace of the caller, and hand them to the monitor. `lo` must be
    up: before that 127.0.0.11 is nobody's address.

    `monitor` is the descriptor that leads there, `words` what is said with each of them.
    """

    monitor: int
    words: bytes
    see: ClassVar[tuple[str, ...]] = ("ip(7)", "nft(8)", "unix(7)")

    def describe(self) -> str:
        return (
            f"listen on {ADDRESS} for questions about names, led there from port {PORT}, "
            "and hand the sockets to the monitor, which will answer"
        )

    def apply(self, kernel: Kernel, ctx: Context) -> None:
        for fd in listen(kernel):
            kernel.sendmsg(self.monitor, self.words, (fd,))
            kernel.close(fd)


def listen(kernel: Kernel) -> tuple[int, int]:
    """The two sockets, of UDP and of TCP, with the rules that lead to them. Raises `OSError`."""
    udp = kernel.socket(_AF_INET, _SOCK_DGRAM | _SOCK_CLOEXEC, 0)
    kernel.bind(udp, _AF_INET, ADDRESS, 0)
    tcp = kernel.socket(_AF_INET, _SOCK_STREAM | _SOCK_CLOEXEC, 0)
    kernel.bind(tcp, _AF_INET, ADDRESS, 0)
    kernel.listen(tcp, _BACKLOG)
    ports = [kernel.getsockname(fd, _AF_INET) for fd in (udp, tcp)]
    exchange(kernel, NETFILTER, redirection(*ports))
    return udp, tcp


def redirection(udp: int, tcp: int) -> list[Message]:
    """The messages that make the rules, for the ports of the two sockets."""
    rules = [
        _rule(protocol, *change)
        for protocol, port in ((_UDP, udp), (_TCP, tcp))
        for change in (
            (_DESTINATION_AT, _DESTINATION_PORT_AT, PORT, port),
            (_SOURCE_AT, _SOURCE_PORT_AT, port, PORT),
        )
    ]
    chain = new_chain(TABLE, "output", "filter", OUTPUT, _MANGLE)
    return batch([new_table(TABLE), chain, *rules])


def _rule(protocol: int, address_at: int, port_at: int, old: int, new: int) -> Message:
    """`ip daddr 127.0.0.11 udp dport 53 udp dport set 40156`, or the reverse with saddr, sport."""
    program = (
        meta(NFPROTO, 1),
        equals(1, bytes((IPV4,))),
        meta(L4PROTO, 1),
        equals(1, bytes((protocol,))),
        payload(NETWORK, address_at, 4, 1),
        equals(1, _PACKED),
        payload(TRANSPORT, port_at, 2, 1),
        equals(1, pack(">H", old)),
        immediate(1, pack(">H", new)),
        write(TRANSPORT, port_at, 2, 1, _CHECKSUM_AT[protocol]),
    )
    return new_rule(TABLE, "output", program)
