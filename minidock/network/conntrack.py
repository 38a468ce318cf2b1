"""Conversations that the kernel remembers, forgotten.

What was translated once is translated the same way for as long as the conversation goes on: the
kernel keeps an entry for each (*conntrack*). Of UDP it cannot know when one ends; somebody who
sends to the same port every few seconds keeps the entry alive. So when a container begins to
publish a port of UDP, what is remembered about that port is of an earlier container, or of the time
when there was none, and has to go: otherwise those packets would never arrive.

See: https://conntrack-tools.netfilter.org/manual.html, linux/netfilter/nfnetlink_conntrack.h
"""

from __future__ import annotations

from struct import pack

from minidock.network.message import (
    ACK,
    DUMP,
    NETFILTER,
    Message,
    attributes,
    exchange,
    nested,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection

    from minidock.linux.kernel import Kernel

_SUBSYSTEM = 1
_GET, _DELETE = 1, 2
_TUPLE_ORIG, _TUPLE_PROTO, _PROTO_NUM, _PROTO_DST_PORT = 1, 2, 1, 3
_UDP = 17
_FAMILIES = (2, 10)


def forget_udp(kernel: Kernel, ports: Collection[int]) -> None:
    """Drop all that is remembered of conversations over UDP to these ports. Raises `OSError`."""
    for family in _FAMILIES:
        head = pack(">BBH", family, 0, 0)
        for _, body in exchange(kernel, NETFILTER, [Message(_SUBSYSTEM << 8 | _GET, head, DUMP)]):
            original = attributes(body[4:]).get(_TUPLE_ORIG, b"")
            if _is_for(original, ports):
                which = head + nested(_TUPLE_ORIG, original)
                _delete(kernel, Message(_SUBSYSTEM << 8 | _DELETE, which, ACK))


def _is_for(original: bytes, ports: Collection[int]) -> bool:
    protocol = attributes(attributes(original).get(_TUPLE_PROTO, b""))
    port = int.from_bytes(protocol.get(_PROTO_DST_PORT, b""), "big")
    return protocol.get(_PROTO_NUM) == bytes([_UDP]) and port in ports


def _delete(kernel: Kernel, message: Message) -> None:
    try:
        exchange(kernel, NETFILTER, [message])
    except FileNotFoundError:
        pass  # it has just ended by itself
