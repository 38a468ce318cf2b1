"""What `-p` and `--expose` say: which ports of the host lead to which of the container.

    -p 80                   any port of the host, on all its addresses, to 80 of the container
    -p 8080:80              that one
    -p 127.0.0.1:8080:80    that one on that address; 127.0.0.1::80 any one there
    -p 8000-8002:80-82/udp  the first to the first, and so on
    -p 8000-8010:80         whichever of these is free
    -p target=80,published=8080,protocol=tcp

What comes out is Docker's `PortBindings` and `ExposedPorts`.

See: docker/go-connections nat/nat.go (ParsePortSpec), docker/cli opts/port.go
"""

from __future__ import annotations

import _socket

from minidock.cli.command import ClientError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    Bindings = dict[str, list[dict[str, str]]]

PROTOCOLS = ("tcp", "udp", "sctp")
_MOST = 65535


def bindings(texts: Iterable[str]) -> Bindings:
    """The bindings by port of the container, `80/tcp`. Raises `ClientError` in Docker's words."""
    found: Bindings = {}
    for text in texts:
        for port, binding in _binding(_standard(text)):
            found.setdefault(port, []).append(binding)
    return found


def exposed(texts: Iterable[str]) -> tuple[str, ...]:
    """The ports of `--expose`, `80` or `8000-8002/udp`, one by one."""
    found: dict[str, None] = {}
    for text in texts:
        if ":" in text:
            raise ClientError(f"invalid port format for --expose: {text}")
        numbers, _, protocol = text.partition("/")
        protocol = protocol.lower() or "tcp"
        if protocol not in PROTOCOLS:
            raise ClientError(f"invalid proto: {protocol}")
        for number in _exposed_range(text, numbers):
            found[f"{number}/{protocol}"] = None
    return tuple(found)


def _standard(text: str) -> str:
    """The long form as the short one."""
    if "=" not in text:
        return text
    given = {}
    for field in text.split(","):
        key, _, value = field.partition("=")
        given[key.strip().lower()] = value.strip()
    ports = f"{given.get('published', '')}:{given.get('target', '')}"
    return f"{ports}/{given.get('protocol', 'tcp')}"


def _binding(text: str) -> list[tuple[str, dict[str, str]]]:
    rest, _, protocol = text.partition("/")
    *before, inside = rest.split(":")
    outside = before.pop() if before else ""
    host_ip = ":".join(before)
    if not inside:
        raise ClientError(f"no port specified: {text}<empty>")
    if host_ip:
        host_ip = _address(host_ip)
    first, last = _range(inside, f"invalid containerPort: {inside}")
    begin, end = _range(outside, f"invalid hostPort: {outside}") if outside else (0, 0)
    protocol = protocol.lower() or "tcp"
    if protocol not in PROTOCOLS:
        raise ClientError(f"invalid proto: {protocol}")
    several = outside and end - begin != last - first
    if several and first != last:
        raise ClientError(
            f"invalid ranges specified for container and host Ports: {inside} and {outside}"
        )
    found = []
    for number in range(first, last + 1):
        host_port = ""
        if outside:
            host_port = outside if several else str(begin + number - first)
        found.append((f"{number}/{protocol}", {"HostIp": host_ip, "HostPort": host_port}))
    return found


def _address(text: str) -> str:
    """As the kernel writes it, without the brackets."""
    plain = text[1:-1] if text[:1] == "[" and text[-1:] == "]" else text
    family = _socket.AF_INET6 if ":" in plain else _socket.AF_INET
    try:
        return _socket.inet_ntop(family, _socket.inet_pton(family, plain))
    except (OSError, ValueError):
        raise ClientError(f"invalid IP address: {plain}") from None


def _range(text: str, wrong: str) -> tuple[int, int]:
    first, _, last = text.partition("-")
    numbers = []
    for part in (first, last or first):
        if not (part.isascii() and part.isdigit()) or int(part) > _MOST:
            raise ClientError(wrong)
        numbers.append(int(part))
    if numbers[1] < numbers[0]:
        raise ClientError(wrong)
    return numbers[0], numbers[1]


def _exposed_range(text: str, numbers: str) -> range:
    wrong = f"invalid range format for --expose: {text}, error: "
    if not numbers:
        raise ClientError(wrong + "empty string specified for ports")
    first, _, last = numbers.partition("-")
    for part in (first, last or first):
        digits = part.isascii() and part.isdigit()
        if not digits or int(part) > _MOST:
            why = "value out of range" if digits else "invalid syntax"
            raise ClientError(f'{wrong}strconv.ParseUint: parsing "{part}": {why}')
    if int(last or first) < int(first):
        raise ClientError(f"{wrong}invalid range specified for port: {numbers}")
    return range(int(first), int(last or first) + 1)
