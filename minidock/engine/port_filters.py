"""`ps --filter publish=80` and `expose=8000-8010/udp`: containers by their ports.

A number is the container's, not the host's; without a protocol it is TCP's. What is published is
what was asked for, whether the container runs or not.

See: moby's daemon/list.go (portOp), nat.ParsePortRange
"""

from __future__ import annotations

from minidock.errors import InvalidInput

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from typing import Any

    from minidock.engine.containers import Container, State

    Test = Callable[[Container, State], bool]
    Document = Mapping[str, Any]


def by_published_port(values: Sequence[str]) -> Test:
    return _by_port("publish", values, _published)


def by_exposed_port(values: Sequence[str]) -> Test:
    return _by_port("expose", values, lambda document: document["Config"].get("ExposedPorts") or ())


def _published(document: Document) -> Iterable[str]:
    host_config = document["HostConfig"]
    found = list(host_config.get("PortBindings") or ())
    if host_config.get("PublishAllPorts"):
        found += document["Config"].get("ExposedPorts") or ()
    return found


def _by_port(
    name: str, values: Sequence[str], ports_of: Callable[[Document], Iterable[str]]
) -> Test:
    """Containers that have one of the ports; their own are written `80/tcp`."""
    wanted = [_parse(name, value) for value in values]

    def test(container: Container, _: State) -> bool:
        pairs = [port.partition("/") for port in ports_of(container.document)]
        return any(
            number.isdigit() and int(number) in ports and (protocol or "tcp") == wanted_protocol
            for ports, wanted_protocol in wanted
            for number, _, protocol in pairs
        )

    return test


def _parse(name: str, value: str) -> tuple[range, str]:
    """`80`, `80/udp`, `8000-8010/tcp` → the ports and the protocol. Raises `InvalidInput`."""
    if ":" in value:
        raise InvalidInput(f"filter for '{name}' should not contain ':': {value}")
    numbers, _, protocol = value.partition("/")
    first, _, last = numbers.partition("-")
    last = last or first
    why = "" if numbers else "empty string specified for ports"
    for text in (first, last):
        digits = text.isascii() and text.isdigit()
        if not why and not (digits and int(text) < 1 << 16):
            problem = "value out of range" if digits else "invalid syntax"
            why = f'strconv.ParseUint: parsing "{text}": {problem}'
    if not why and int(last) < int(first):
        why = f"invalid range specified for port: {numbers}"
    if why:
        raise InvalidInput(f"error while looking up for {name} {value}: {why}")
    return range(int(first), int(last) + 1), protocol.lower() or "tcp"
