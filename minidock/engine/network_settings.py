"""What `inspect` says of a container's networks: Docker's `NetworkSettings`.

See: https://docs.docker.com/reference/api/engine/version/v1.50/ (NetworkSettings, EndpointSettings)
"""

from __future__ import annotations

from minidock.engine.port_list import record_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from minidock.engine.containers import Container, State

    Document = dict[str, Any]

_NOTHING: Document = {
    "IPAMConfig": None,
    "Links": None,
    "Aliases": None,
    "MacAddress": "",
    "DriverOpts": None,
    "GwPriority": 0,
    "NetworkID": "",
    "EndpointID": "",
    "Gateway": "",
    "IPAddress": "",
    "IPPrefixLen": 0,
    "IPv6Gateway": "",
    "GlobalIPv6Address": "",
    "GlobalIPv6PrefixLen": 0,
    "DNSNames": None,
}


def network_settings(container: Container, state: State) -> Document:
    """What a container has on its networks; of one that does not run, what it was to have."""
    mode = str(container.document["HostConfig"]["NetworkMode"])
    own = state.running and mode != "host"
    record = record_of(container, state)
    networks = record.get("Networks") or _wanted(container, mode)
    # The address on the default network stands here, too, as it did before there were others.
    default = networks.get("bridge", _NOTHING)
    return {
        "Bridge": "",
        "SandboxID": "",
        # A path that `nsenter --net=` takes, as Docker's does.
        "SandboxKey": f"/proc/{state.pid}/ns/net" if own else "",
        "Ports": record.get("Ports") or {},
        "HairpinMode": False,
        "LinkLocalIPv6Address": "",
        "LinkLocalIPv6PrefixLen": 0,
        "SecondaryIPAddresses": None,
        "SecondaryIPv6Addresses": None,
        "EndpointID": default["EndpointID"],
        "Gateway": default["Gateway"],
        "GlobalIPv6Address": default["GlobalIPv6Address"],
        "GlobalIPv6PrefixLen": default["GlobalIPv6PrefixLen"],
        "IPAddress": default["IPAddress"],
        "IPPrefixLen": default["IPPrefixLen"],
        "IPv6Gateway": default["IPv6Gateway"],
        "MacAddress": default["MacAddress"],
        "Networks": networks,
    }


def _wanted(container: Container, mode: str) -> Document:
    if mode.startswith("container:"):
        return {}
    asked: Document = container.document.get("Networks") or {mode: {}}
    return {name: {**_NOTHING, **endpoint} for name, endpoint in asked.items()}
