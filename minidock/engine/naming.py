"""What a container's own /etc/hosts and /etc/resolv.conf say, at each of its starts.

On the network `bridge` a container asks the host's name servers, and knows others only by what the
user adds. On a network of the user's it asks its resolver (network/resolver.py), which knows them.

See: hosts(5), resolv.conf(5), moby's libnetwork/internal/resolvconf
"""

from __future__ import annotations

import os

from minidock.engine.containers import Containers
from minidock.engine.disconnect import RECORD
from minidock.engine.endpoint import own_addresses
from minidock.engine.network_wishes import is_of_users
from minidock.engine.networks import DEFAULT, HOST, Networks
from minidock.engine.paths import Paths
from minidock.engine.statefile import read_json, write_file, write_json
from minidock.errors import Conflict
from minidock.network.names import host_file, hosts_file, resolv_conf

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from typing import Any

    from minidock.engine.containers import Container
    from minidock.engine.endpoint import Endpoint

    Document = dict[str, Any]
    Load = Callable[[str], Container]

HOST_GATEWAY = "host-gateway"
RESOLV_CONF = "/etc/resolv.conf"


def name_endpoints(
    paths: Paths, directory: str, document: Document, endpoints: Sequence[Endpoint]
) -> None:
    """Give a container its names: in the settings of its endpoints, and in its two files, for the
    addresses it has this time.

    Raises `Conflict`, `NotFound` for a link to a container that is not there or does not run.
    """
    for endpoint in endpoints:
        if not endpoint.network.predefined:
            aliases = endpoint.settings["Aliases"] or ()
            endpoint.settings["DNSNames"] = dns_names(document, aliases)
    settings = {endpoint.network.name: endpoint.settings for endpoint in endpoints}
    _write_files(directory, document, settings, Containers(paths).find)


def _write_files(
    directory: str, document: Document, endpoints: Mapping[str, Document], find: Load
) -> None:
    config, host_config = document["Config"], document["HostConfig"]
    extra = extra_hosts(host_config.get("ExtraHosts") or (), endpoints.values())
    extra += linked_hosts(document, find)
    hosts = hosts_file(
        own_addresses(endpoints.values()), config["Hostname"], config.get("Domainname", ""), extra
    )
    write_content(directory, "hosts", hosts)
    write_content(directory, "resolv.conf", servers_file(host_config, endpoints))


def name_without_network(directory: str, document: Document) -> None:
    """The same for a container that is on the host's network, or on none: what the user adds."""
    host_config = document["HostConfig"]
    shares = host_config["NetworkMode"] == HOST
    default = Networks(Paths(os.path.dirname(os.path.dirname(directory)))).known(DEFAULT)
    gateway = {"Gateway": default.pools[0].gateway, "IPv6Gateway": ""}
    extra = extra_hosts(host_config.get("ExtraHosts") or (), [gateway])
    lines = "".join(f"{address}\t{name}\n" for name, address in extra)
    known = host_file("/etc/hosts") if shares else hosts_file()
    write_content(directory, "hosts", known + lines.encode())
    write_content(directory, "resolv.conf", servers_file(host_config, (), own_network=False))


def write_content(directory: str, name: str, content: bytes) -> None:
    """Replace a file before it is mounted. (After that it must be written in place.)"""
    path = f"{directory}/{name}"
    write_file(path, content, durable=False)
    os.chmod(path, 0o644)  # everybody in the container may read it


def servers_file(
    host_config: Document, networks: Iterable[str], *, own_network: bool = True
) -> bytes:
    """resolv.conf of a container on these networks."""
    return resolv_conf(
        host_file(RESOLV_CONF),
        servers=host_config.get("Dns") or (),
        search=host_config.get("DnsSearch") or (),
        options=host_config.get("DnsOptions") or (),
        resolver=any(map(is_of_users, networks)),
        own_network=own_network,
    )


def extra_hosts(given: Sequence[str], endpoints: Iterable[Document]) -> list[tuple[str, str]]:
    """`--add-host`: (name, address). `host-gateway` is the host as seen from the container."""
    found = []
    for text in given:
        name, _, address = text.partition(":")
        found += [(name, one) for one in _gateways(endpoints, address)]
    return found


def _gateways(endpoints: Iterable[Document], address: str) -> list[str]:
    if address != HOST_GATEWAY:
        return [address]
    endpoints = list(endpoints)
    for key in ("Gateway", "IPv6Gateway"):
        for endpoint in endpoints:
            if endpoint[key]:
                return [str(endpoint[key])]
    return []


def linked_hosts(document: Document, find: Load) -> list[tuple[str, str]]:
    """`--link` on the network `bridge`: the other's address by its alias, name and id."""
    found: list[tuple[str, str]] = []
    for text in document["HostConfig"].get("Links") or ():
        name, alias = split_link(text)
        other = find(name)
        record = read_json(f"{other.run_dir}/{RECORD}") or {}
        if not other.state().running:
            raise Conflict(f"Cannot link to a non running container: /{name} AS {alias}")
        address = ((record.get("Networks") or {}).get("bridge") or {}).get("IPAddress")
        if address:
            called = dict.fromkeys((alias, other.config["Hostname"], other.name))
            found.append((" ".join(called), address))
    return found


def split_link(text: str) -> tuple[str, str]:
    """`db:postgres`, `db`, or what `inspect` shows, `/db:/web/postgres` → the other, its alias."""
    name, _, alias = text.partition(":")
    name = name.removeprefix("/")
    return name, alias.rpartition("/")[2] or name


def dns_names(document: Document, aliases: Sequence[str]) -> list[str]:
    """What a container is called on a network of the user's, as Docker: its name, its aliases,
    the beginning of its id, its host name."""
    own = (document["Name"], *aliases, document["Id"][:12], document["Config"]["Hostname"])
    return list(dict.fromkeys(name for name in own if name))


def rename_endpoints(container: Container, new: str) -> None:
    """A container that runs is called otherwise from now on, on its networks, too."""
    path = f"{container.run_dir}/{RECORD}"
    record = read_json(path) or {}
    for endpoint in (record.get("Networks") or {}).values():
        names = endpoint["DNSNames"] or ()
        if names:
            renamed = (new if name == container.name else name for name in names)
            endpoint["DNSNames"] = list(dict.fromkeys(renamed))
    write_json(path, record, durable=False)
    for endpoint in (record.get("Networks") or {}).values():
        os.utime(f"{os.path.dirname(container.run_dir)}/networks/{endpoint['NetworkID']}")
