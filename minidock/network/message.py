"""Netlink, spoken by ourselves: what its messages look like, and how they are sent.

A netlink socket is a socket to the kernel. What goes over it is a row of messages:

    ┌────────┬──────┬───────┬──────────┬─────┐
    │ length │ kind │ flags │ sequence │ pid │  16 bytes; then a fixed part, which belongs to the
    └────────┴──────┴───────┴──────────┴─────┘  kind; then attributes

    ┌────────┬──────┬───────────┐
    │ length │ kind │ value …   │               4 bytes and a value, padded to a multiple of 4;
    └────────┴──────┴───────────┘               the value may be a row of attributes again

That is all of it: "make a veth whose other end is called eth0 and lies in that namespace" is one
message with attributes three deep. The kernel takes several messages from one send(2), one after
the other, and answers each that fails, and each that asks for it, with the number of an error, 0
for none. So only the last one has to ask.

netlink.py has a library for this. What a start waits for is said from here: two sends.

See: netlink(7), rtnetlink(7), https://docs.kernel.org/userspace-api/netlink/intro.html
"""

from __future__ import annotations

import os
from struct import pack, unpack_from

from minidock.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from minidock.linux.kernel import Kernel

AF_NETLINK, SOCK_RAW, SOCK_CLOEXEC = 16, 3, 0o2000000
ROUTE, NETFILTER = 0, 12  # the protocols: links, addresses and routes; rules and their sets
REQUEST, ACK = 0x001, 0x004
DUMP, EXCLUSIVE, CREATE, APPEND = 0x300, 0x200, 0x400, 0x800
ERROR, DONE = 2, 3
_NESTED = 0x8000
_HEADER = 16
_ROOM = 8192  # bytes read at once; an answer is never longer


class Message(Record):
    """One request: its kind, what it is about, and how it is meant."""

    kind: int
    body: bytes = b""
    flags: int = 0

    def encode(self, sequence: int, flags: int = 0) -> bytes:
        flags |= self.flags | REQUEST
        return pack("=IHHII", _HEADER + len(self.body), self.kind, flags, sequence, 0) + self.body


def attribute(kind: int, value: bytes) -> bytes:
    """One attribute with a plain value."""
    size = 4 + len(value)
    return pack("=HH", size, kind) + value + bytes(-size % 4)


def nested(kind: int, *attributes: bytes) -> bytes:
    """One attribute whose value is a row of attributes."""
    return attribute(kind | _NESTED, b"".join(attributes))


def text(kind: int, value: str) -> bytes:
    """An attribute that is a C string."""
    return attribute(kind, value.encode() + b"\0")


def u32(kind: int, value: int) -> bytes:
    return attribute(kind, pack("=I", value))


def be32(kind: int, value: int) -> bytes:
    """A number as it stands in packets, most significant byte first. nf_tables has them all so."""
    return attribute(kind, pack(">I", value))


def attributes(data: bytes) -> dict[int, bytes]:
    """The reverse: the value of each attribute in a row of them; of several alike, the last."""
    found = {}
    while len(data) >= 4:
        size, kind = unpack_from("=HH", data)
        found[kind & ~_NESTED] = data[4:size]
        data = data[max(size + -size % 4, 4) :]
    return found


def each(row: bytes) -> Iterator[bytes]:
    """The values of attributes that are all of one kind."""
    while len(row) >= 4:
        (size,) = unpack_from("=H", row)
        yield row[4:size]
        row = row[max(size + -size % 4, 4) :]


def connect(kernel: Kernel, protocol: int) -> int:
    """A socket to the kernel."""
    return kernel.socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, protocol)


def exchange(kernel: Kernel, protocol: int, messages: Sequence[Message]) -> list[tuple[int, bytes]]:
    """Send messages in one go and return what the kernel has to say: (kind, body) of each answer.

    Raises the `OSError` of the first message that failed. (Where a kernel is only imagined it says
    nothing, which is taken for success.)
    """
    fd = connect(kernel, protocol)
    try:
        return converse(kernel, fd, messages)
    finally:
        kernel.close(fd)


def converse(kernel: Kernel, fd: int, messages: Sequence[Message]) -> list[tuple[int, bytes]]:
    """The same, on a socket that is there already."""
    kernel.send(fd, encode(messages))
    return _answers(kernel, fd, dump=bool(messages[-1].flags & DUMP == DUMP))


def ask(kernel: Kernel, fd: int, question: Message) -> bytes:
    """What the kernel answers a question that has one answer; b"" where it is only imagined.
    Raises `OSError`."""
    kernel.send(fd, question.encode(1))
    data = kernel.read(fd, _ROOM)
    for kind, body in parse(data):
        if kind == ERROR:
            number = -unpack_from("=i", body)[0]
            raise OSError(number, os.strerror(number))
        return body
    return b""


def encode(messages: Sequence[Message]) -> bytes:
    """Messages as they are sent, numbered from 1; the last asks for an answer, unless another
    does."""
    last = -1 if any(message.flags & ACK for message in messages) else len(messages) - 1
    return b"".join(
        message.encode(1 + number, ACK if number == last else 0)
        for number, message in enumerate(messages)
    )


def _answers(kernel: Kernel, fd: int, *, dump: bool) -> list[tuple[int, bytes]]:
    found: list[tuple[int, bytes]] = []
    while True:
        data = kernel.read(fd, _ROOM)
        if not data:
            return found
        for kind, body in parse(data):
            if kind == ERROR:
                number = -unpack_from("=i", body)[0]
                if number:
                    raise OSError(number, os.strerror(number))
            if kind == DONE or (kind == ERROR and not dump):
                return found
            found.append((kind, body))


def parse(data: bytes) -> Iterator[tuple[int, bytes]]:
    """(kind, body) of each message in what was read."""
    while len(data) >= _HEADER:
        length, kind = unpack_from("=IH", data)
        yield kind, data[_HEADER:length]
        data = data[max(length + -length % 4, _HEADER) :]
