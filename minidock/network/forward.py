"""Where another tool drops whatever is forwarded.

Any chain may drop a packet, and no other chain can overrule that. Docker, ufw and others set the
policy of the chain FORWARD of iptables to DROP: what none of its rules accepts is lost, and so
would be all that our containers send. So there, and nowhere else, two rules are put at the *end* of
that chain, after all that others have said; for each bridge one for what comes from it and one for
what goes to it. What may really pass is decided in our own table, which sees the same packets.

The rules are as iptables would write them, so that it can show them:

    -A FORWARD -i minidock0 -j ACCEPT
    -A FORWARD -o minidock0 -j ACCEPT

This is about iptables on top of nf_tables, which is what distributions have. The older kind
(`iptables-legacy`) keeps its rules elsewhere: who uses that has to add these two by hand.

See: iptables(8), xtables-nft(8)
"""

from __future__ import annotations

from minidock.network import nft
from minidock.network.message import attributes, each

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from minidock.linux.kernel import Kernel

_TABLE, _CHAIN = "filter", "FORWARD"
_FAMILIES = (nft.IPV4, nft.IPV6)


def admit(kernel: Kernel, bridge: str) -> bool:
    """Let what comes from a bridge, and goes to it, pass where all else is dropped. True if rules
    had to be added. Raises `OSError`."""
    added = False
    for family in _FAMILIES:
        if nft.policy(kernel, _TABLE, _CHAIN, family) != nft.DROP:
            continue
        there = {rule for _, rule in _ours(kernel, bridge, family)}
        for rule in _rules(bridge):
            if _shape(b"".join(rule)) not in there:
                nft.send(kernel, [nft.new_rule(_TABLE, _CHAIN, rule, family)])
                added = True
    return added


def expel(kernel: Kernel, bridge: str) -> None:
    """Take those rules back, wherever there are any. Raises `OSError`."""
    for family in _FAMILIES:
        for handle, _ in _ours(kernel, bridge, family):
            nft.send(kernel, [nft.delete_rule(_TABLE, _CHAIN, handle, family)])


def _rules(bridge: str) -> Iterator[tuple[bytes, ...]]:
    for side in (nft.IIFNAME, nft.OIFNAME):
        name = nft.equals(1, bridge.encode() + b"\0")
        yield nft.meta(side, 1), name, nft.counter(), nft.verdict(nft.ACCEPT)


def _ours(kernel: Kernel, bridge: str, family: int) -> Iterator[tuple[int, bytes]]:
    """(handle, shape) of each of these rules that is there."""
    shapes = {_shape(b"".join(rule)) for rule in _rules(bridge)}
    for handle, expressions in nft.rules(kernel, _TABLE, _CHAIN, family):
        shape = _shape(expressions)
        if shape in shapes:
            yield handle, shape


def _shape(expressions: bytes) -> bytes:
    """Expressions without what differs from one moment to the next: the numbers of a counter, and
    zeros that the kernel writes for what was not said."""
    found = []
    for expression in each(expressions):
        parts = attributes(expression)
        name = parts[1].rstrip(b"\0")
        if name == b"meta":
            found.append(attributes(parts[2])[2])
        elif name == b"cmp":
            found.append(attributes(attributes(parts[2])[3])[1].rstrip(b"\0"))
        elif name == b"immediate":
            found.append(attributes(attributes(attributes(parts[2])[2])[2])[1])
        elif name != b"counter":
            found.append(b"?")
    return b" ".join(found)
