"""The ports of a container, as `ps`, `port` and `inspect` tell of them.

A container that runs says in its `network.json` which ports of the host lead to which of its own;
those that it merely has (EXPOSE) lead nowhere. One that does not run has none.

See: docker/cli cli/command/formatter/container.go (DisplayablePorts)
"""

from __future__ import annotations

from minidock.engine.statefile import read_json

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from minidock.engine.containers import Container, State

    Ports = dict[str, list[dict[str, str]] | None]

_RECORD = "network.json"


def record_of(container: Container, state: State) -> dict[str, Any]:
    """What a container has on its networks now, see connection.py; empty where it has nothing."""
    return (state.running and read_json(f"{container.run_dir}/{_RECORD}")) or {}


def ports_of(container: Container, state: State) -> Ports:
    """`80/tcp` → where it is on the host, None where nowhere: Docker's NetworkSettings.Ports."""
    found: Ports = record_of(container, state).get("Ports") or {}
    return found


def shown_ports(ports: Ports) -> str:
    """`0.0.0.0:8080->80/tcp, [::]:8080->80/tcp, 443/tcp`, neighbours as one range."""
    groups: dict[str, list[int]] = {}
    shown: list[str] = []
    mapped: list[str] = []
    for number, host_ip, host_port, protocol in sorted(_each(ports)):
        place = ""
        if host_port:
            place = f"[{host_ip}]" if ":" in host_ip else host_ip
            if host_port != number:
                mapped.append(f"{place}:{host_port}->{number}/{protocol}")
                continue
        key = f"{place}/{protocol}"
        group = groups.get(key)
        if group and number == group[1] + 1:
            group[1] = number
            continue
        if group:
            shown.append(_group(key, *group))
            del groups[key]
        groups[key] = [number, number]
    shown += [_group(key, *group) for key, group in groups.items()]
    return ", ".join(shown + mapped)


def _each(ports: Ports) -> list[tuple[int, str, int, str]]:
    found = []
    for port, places in ports.items():
        number, _, protocol = port.partition("/")
        for place in places or ({},):
            host_port = int(place.get("HostPort") or 0)
            found.append((int(number), place.get("HostIp", ""), host_port, protocol))
    return found


def _group(key: str, first: int, last: int) -> str:
    place, _, protocol = key.partition("/")
    numbers = str(first) if first == last else f"{first}-{last}"
    return f"{place}:{numbers}->{numbers}/{protocol}" if place else f"{numbers}/{protocol}"
