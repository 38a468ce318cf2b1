"""nf_tables, spoken by ourselves: tables, chains, rules, sets and their elements.

The kernel looks at every packet at certain places, its *hooks*. A *chain* hangs on a hook, and is a
row of *rules*. A rule is a little program for a machine with registers: load a field of the packet,
compare it, look it up in a set, and end with what is to become of the packet. `nft --debug=netlink`
shows any rule so, and the functions here have the same words, in the same order:

    [ meta load iifname => reg 1 ]            meta(IIFNAME, 1)
    [ lookup reg 1 set bridges ]              lookup("bridges", 1)
    [ immediate reg 0 drop ]                  verdict(DROP)

A *set* holds values, a *map* gives each of them another: so one rule can serve a thousand ports,
and one port more is an element more. All of a change comes in one *batch*, of which everything
happens or nothing.

Registers 1 to 4 have 16 bytes each; 8 to 23 are the same room in pieces of 4. What is longer than a
register runs into the next: that is how a key of several fields is put together.

See: nft(8), https://wiki.nftables.org, linux/netfilter/nf_tables.h
"""

from __future__ import annotations

from struct import pack

from minidock.network.message import (
    ACK,
    APPEND,
    CREATE,
    DUMP,
    EXCLUSIVE,
    NETFILTER,
    Message,
    attribute,
    attributes,
    be32,
    each,
    exchange,
    nested,
    text,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from minidock.linux.kernel import Kernel

INET, IPV4, IPV6 = 1, 2, 10  # families; a table of the first sees the packets of both others
_SUBSYSTEM = 10
_BATCH_BEGIN, _BATCH_END = 0x10, 0x11
_NEWTABLE, _DELTABLE, _NEWCHAIN, _GETCHAIN = 0, 2, 3, 4
_NEWRULE, _GETRULE, _DELRULE, _NEWSET, _NEWSETELEM, _GETSETELEM, _DELSETELEM = (
    6, 7, 8, 9, 12, 13, 14)  # fmt: skip

# Where chains can hang, and in which order those on one hook are asked.
PREROUTING, INPUT, FORWARD, OUTPUT, POSTROUTING = range(5)
RAW, DSTNAT, FILTER, SRCNAT = -300, -100, 0, 100

# What a rule can load.
IIFNAME, OIFNAME, NFPROTO, L4PROTO = 6, 7, 15, 16  # of `meta`
NETWORK, TRANSPORT = 1, 2  # headers, of `payload`
CT_STATE, CT_STATUS = 0, 2  # of `ct`
ESTABLISHED_OR_RELATED, IS_DNATED = 0x6, 0x20
LOCAL = 2  # an address of this host, of `fib`

DROP, ACCEPT, RETURN, JUMP = 0, 1, -5, -3

# Types of values, as nft(8) numbers them; of several fields, six bits each.
IPV4_ADDR, IPV6_ADDR, PROTOCOL, SERVICE, NAME = 7, 8, 12, 13, 41
_SIZES = {IPV4_ADDR: 4, IPV6_ADDR: 16, PROTOCOL: 4, SERVICE: 4, NAME: 16}  # padded to 4
INTERVAL, MAP = 4, 8
_HOST_ORDER = bytes((0, 4)) + pack("=I", 1)  # a note for nft(8), without which it shows no names


# ── the expressions of a rule ──


def _expression(name: str, *parts: bytes) -> bytes:
    return nested(1, text(1, name), nested(2, *parts))


def _value(data: bytes) -> bytes:
    return attribute(1, data)


def meta(key: int, register: int) -> bytes:
    return _expression("meta", be32(2, key), be32(1, register))


def payload(header: int, offset: int, length: int, register: int) -> bytes:
    where = be32(2, header), be32(3, offset), be32(4, length)
    return _expression("payload", be32(1, register), *where)


def ct(key: int, register: int) -> bytes:
    return _expression("ct", be32(2, key), be32(1, register))


def address_type(register: int) -> bytes:
    """Of the destination: this host's, somebody else's, everybody's."""
    return _expression("fib", be32(3, 2), be32(2, 3), be32(1, register))


def equals(register: int, data: bytes) -> bytes:
    return _expression("cmp", be32(1, register), be32(2, 0), nested(3, _value(data)))


def differs(register: int, data: bytes) -> bytes:
    return _expression("cmp", be32(1, register), be32(2, 1), nested(3, _value(data)))


def any_bit(register: int, mask: int) -> tuple[bytes, bytes]:
    """Whether a register has one of these bits."""
    cut = nested(4, _value(pack("=I", mask))), nested(5, _value(bytes(4)))
    both = be32(1, register), be32(2, register), be32(3, 4)
    return _expression("bitwise", *both, *cut), differs(register, bytes(4))


def lookup(name: str, register: int, *, into: int = -1, absent: bool = False) -> bytes:
    """Go on if the register's value is in the set (or is not); from a map, load what it gives."""
    more = [be32(3, into)] if into >= 0 else []
    more += [be32(5, 1)] if absent else []
    return _expression("lookup", text(1, name), be32(2, register), *more)


def dnat(family: int, address: int, port: int) -> bytes:
    """Send the packet, and those that follow it, to the address and port in these registers."""
    return _expression("nat", be32(1, 1), be32(2, family), be32(3, address), be32(5, port))


def masquerade() -> bytes:
    """Give the packet the address of the device that it leaves by; answers find their way back."""
    return _expression("masq")


def immediate(register: int, data: bytes) -> bytes:
    return _expression("immediate", be32(1, register), nested(2, _value(data)))


def write(header: int, offset: int, length: int, register: int, checksum_at: int) -> bytes:
    """The register into the packet; the checksum at that offset is made right again."""
    where = be32(2, header), be32(3, offset), be32(4, length)
    return _expression("payload", be32(5, register), *where, be32(6, 1), be32(7, checksum_at))


def verdict(code: int, chain: str = "") -> bytes:
    to = [text(2, chain)] if chain else []
    code_and_chain = attribute(1, pack(">i", code)), *to
    return _expression("immediate", be32(1, 0), nested(2, nested(2, *code_and_chain)))


def counter() -> bytes:
    """Count what comes by. iptables has one in every rule."""
    return _expression("counter")


# ── messages ──


def _message(kind: int, *parts: bytes, family: int = INET, flags: int = 0) -> Message:
    head = pack(">BBH", family, 0, 0)
    return Message(_SUBSYSTEM << 8 | kind, head + b"".join(parts), flags)


def new_table(name: str) -> Message:
    """Fails where there is one."""
    return _message(_NEWTABLE, text(1, name), flags=CREATE | EXCLUSIVE)


def delete_table(name: str) -> Message:
    return _message(_DELTABLE, text(1, name))


def new_set(
    table: str, name: str, key: Sequence[int], data: Sequence[int], number: int, flags: int
) -> Message:
    given = be32(6, _kind(data)), be32(7, sum(_SIZES[kind] for kind in data))
    return _message(
        _NEWSET,
        text(1, table),
        text(2, name),
        be32(3, flags | (MAP if data else 0)),
        be32(4, _kind(key)),
        be32(5, sum(_SIZES[kind] for kind in key)),
        *(given if data else ()),
        be32(10, number),
        attribute(13, _HOST_ORDER) if key == (NAME,) else b"",
        flags=CREATE,
    )  # fmt: skip


def _kind(fields: Sequence[int]) -> int:
    number = 0
    for field in fields:
        number = number << 6 | field
    return number


def new_chain(table: str, name: str, kind: str = "", hook: int = -1, priority: int = 0) -> Message:
    """With a hook, where packets come in; without, one to jump to."""
    names = text(1, table), text(3, name)
    if not kind:
        return _message(_NEWCHAIN, *names, flags=CREATE)
    where = nested(4, be32(1, hook), attribute(2, pack(">i", priority)))
    return _message(_NEWCHAIN, *names, where, text(7, kind), flags=CREATE)


def new_rule(table: str, chain: str, expressions: Iterable[bytes], family: int = INET) -> Message:
    """At the end of the chain."""
    body = text(1, table), text(2, chain), nested(4, *expressions)
    return _message(_NEWRULE, *body, family=family, flags=CREATE | APPEND)


def delete_rule(table: str, chain: str, handle: int, family: int) -> Message:
    body = text(1, table), text(2, chain), attribute(3, pack(">Q", handle))
    return _message(_DELRULE, *body, family=family)


def element(key: bytes, data: bytes = b"", flags: int = 0) -> bytes:
    given = [nested(2, _value(data))] if data else []
    marks = [be32(3, flags)] if flags else []
    return nested(1, nested(1, _value(key)), *given, *marks)


def new_elements(table: str, name: str, elements: Iterable[bytes]) -> Message:
    return _message(_NEWSETELEM, text(1, table), text(2, name), nested(3, *elements), flags=CREATE)


def delete_elements(table: str, name: str, elements: Iterable[bytes]) -> Message:
    return _message(_DELSETELEM, text(1, table), text(2, name), nested(3, *elements))


def batch(messages: Sequence[Message]) -> list[Message]:
    """Messages that are obeyed all, or none."""
    frame = pack(">BBH", 0, 0, _SUBSYSTEM)
    *others, last = messages  # the end itself is not answered
    asking = last.but(flags=last.flags | ACK)
    return [Message(_BATCH_BEGIN, frame), *others, asking, Message(_BATCH_END, frame)]


def send(kernel: Kernel, messages: Sequence[Message]) -> None:
    """Send a batch. Raises `OSError`; nothing has changed then."""
    exchange(kernel, NETFILTER, batch(messages))


def has_element(kernel: Kernel, table: str, name: str, key: bytes) -> bool:
    """Whether a set has this key. False where there is no such set or table."""
    asked = _message(_GETSETELEM, text(1, table), text(2, name), nested(3, element(key)))
    try:
        exchange(kernel, NETFILTER, [asked])
    except FileNotFoundError:
        return False
    return True


def policy(kernel: Kernel, table: str, chain: str, family: int) -> int | None:
    """What becomes of packets that no rule of a chain decides about; None where it is not there."""
    asked = _message(_GETCHAIN, text(1, table), text(3, chain), family=family)
    try:
        answers = exchange(kernel, NETFILTER, [asked])
    except FileNotFoundError:
        return None
    for _, body in answers:
        value = attributes(body[4:]).get(5)
        if value:
            return int.from_bytes(value, "big")
    return None


def rules(kernel: Kernel, table: str, chain: str, family: int) -> Iterator[tuple[int, bytes]]:
    """(handle, expressions) of each rule of a chain; none where it is not there."""
    asked = _message(_GETRULE, text(1, table), text(2, chain), family=family, flags=DUMP)
    try:
        answers = exchange(kernel, NETFILTER, [asked])
    except FileNotFoundError:
        return
    for _, body in answers:
        found = attributes(body[4:])
        if found.get(1) == table.encode() + b"\0" and found.get(2) == chain.encode() + b"\0":
            yield int.from_bytes(found[3], "big"), found.get(4, b"")


def elements(kernel: Kernel, table: str, name: str) -> list[tuple[bytes, bytes]]:
    """(key, value) of each element of a set or map; none where it is not there."""
    asked = _message(_GETSETELEM, text(1, table), text(2, name), flags=DUMP)
    try:
        answers = exchange(kernel, NETFILTER, [asked])
    except FileNotFoundError:
        return []
    found = []
    for _, body in answers:
        for element_ in each(attributes(body[4:]).get(3, b"")):
            parts = attributes(element_)
            key = attributes(parts[1])[1]
            found.append((key, attributes(parts[2])[1] if 2 in parts else b""))
    return found
