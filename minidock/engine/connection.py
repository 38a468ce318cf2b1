"""Connecting a container to its networks, at each of its starts.

The launcher does this, before it plans. What is only kept in files is done at once: addresses are
leased, /etc/hosts and /etc/resolv.conf are written. What the kernel is to do becomes Steps, which
the plan gets through its `Manner`; the runtime knows no networks.

    take ports on the host                 prepare   main; the sockets go to the monitor
    open them                              prepare   main
    lay a cable into the namespace         attach    main, when init exists and waits
    give its end addresses and routes      isolate   init

What came of it stands in the run directory: `network.json`, and links to the leases. The monitor
takes it back when the container ends (disconnect.py), and whoever finds it dead, if it was killed.
"""

from __future__ import annotations

import os

from minidock.engine.disconnect import RECORD, tell_of
from minidock.engine.endpoint import describe, own_addresses, take_endpoint
from minidock.engine.gateways import families_out
from minidock.engine.network_ground import published
from minidock.engine.networks import Networks, has_ipv6
from minidock.engine.paths import Paths
from minidock.engine.statefile import write_file, write_json
from minidock.network.bridge import Bridge
from minidock.network.bridge import look as look_at_bridge
from minidock.network.ipam import IPV6, Leases
from minidock.network.names import host_file, hosts_file, resolv_conf
from minidock.network.nat import Port
from minidock.network.ports import Bound, ForgetFlows, PublishPorts, ReservePorts, Wish
from minidock.network.veth import mac_for
from minidock.record import Record
from minidock.runtime.sync import NAMES, encode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from minidock.engine.endpoint import Endpoint
    from minidock.step import Step

    Document = dict[str, Any]
    Keep = Callable[[str, int], object]


_RESOLV_CONF = "/etc/resolv.conf"
_ABOUT_NAMES = ("Dns", "DnsOptions", "DnsSearch", "ExtraHosts", "Links")
MONITOR_FD = 3  # where the launcher, and what it forks, finds its monitor: spawn.py


GROUND = (
    "see that the network's bridge and rules are there, lease an address, write /etc/hosts",
    "netlink(7)",
    "symlink(2)",
    "hosts(5)",
)
"""What `connect` does itself, in the words of `--explain`."""


class Connection(Record):
    """The Steps of a start that are about networks; where they stand is said above."""

    prepare: tuple[Step, ...]
    attach: tuple[Step, ...]
    inside: tuple[Step, ...]


def wanted(document: Document) -> dict[str, Document]:
    """The networks that a container is to be on, by name, with what was asked for on each."""
    if "Networks" in document:
        return dict(document["Networks"])
    return {document["HostConfig"]["NetworkMode"]: {}}


def connect(directory: str, run_dir: str, document: Document, keep: Keep) -> Connection:
    """Connect the container in `directory`, whose lock is held. `keep` gets, for each port that is
    taken on the host, a line about it and the socket.

    Raises `MinidockError` in Docker's words, `OSError`.
    """
    paths = Paths(os.path.dirname(os.path.dirname(directory)), os.path.dirname(run_dir))
    networks = Networks(paths)
    container_id = os.path.basename(directory)
    given = [(networks.find(name), asked) for name, asked in wanted(document).items()]
    out = families_out(given)
    endpoints = [
        take_endpoint(
            paths,
            networks,
            network,
            container_id,
            asked,
            f"eth{number}",
            families=out[network.name],
        )
        for number, (network, asked) in enumerate(given)
    ]
    write_names(paths, directory, document, endpoints)
    publication = Publication(paths, run_dir, document, _way_out_first(endpoints), keep)
    record = publication.write_record()
    for endpoint in endpoints:
        tell_of(run_dir, record, endpoint.network.name, "connect")
    return _steps(endpoints, publication)


def _way_out_first(endpoints: list[Endpoint]) -> list[Endpoint]:
    """What comes in through a published port comes in where the container's packets go out."""
    return sorted(endpoints, key=lambda endpoint: -len(endpoint.end.gateways))


def _steps(endpoints: list[Endpoint], publication: Publication) -> Connection:
    wishes = publication.wishes()
    return Connection(
        publication.steps(wishes) if wishes else (),
        tuple(endpoint.lay(hairpin=bool(wishes)) for endpoint in endpoints),
        (*(endpoint.configure() for endpoint in endpoints), *_resolver(endpoints)),
    )


def _resolver(endpoints: list[Endpoint]) -> tuple[Step, ...]:
    """On a network of the user's a container has a name server of its own: the monitor."""
    if all(endpoint.network.predefined for endpoint in endpoints):
        return ()
    from minidock.network.redirect import ServeNames

    return (ServeNames(MONITOR_FD, encode(NAMES)),)


def write_names(
    paths: Paths, directory: str, document: Document, endpoints: list[Endpoint]
) -> None:
    """The container's hosts and resolv.conf, for the addresses it has this time."""
    config, host_config = document["Config"], document["HostConfig"]
    if any(map(host_config.get, _ABOUT_NAMES)) or not all(e.network.predefined for e in endpoints):
        from minidock.engine.naming import name_endpoints

        return name_endpoints(paths, directory, document, endpoints)
    own = own_addresses(endpoint.settings for endpoint in endpoints)
    hosts = hosts_file(own, config["Hostname"], config.get("Domainname", ""))
    for name, content in (("hosts", hosts), ("resolv.conf", resolv_conf(host_file(_RESOLV_CONF)))):
        path = f"{directory}/{name}"
        write_file(path, content, durable=False)
        os.chmod(path, 0o644)  # everybody in the container may read it
    return None


class Publication:
    """The ports of one start: what is wished for, what was taken, and the record of it."""

    def __init__(
        self,
        paths: Paths,
        run_dir: str,
        document: Document,
        endpoints: list[Endpoint],
        keep: Keep,
    ) -> None:
        self._paths = paths
        self._run_dir = run_dir
        self._document = document
        self._endpoints = endpoints
        self._keep = keep
        self._bound: list[Bound] = []

    def steps(self, wishes: tuple[Wish, ...]) -> tuple[Step, ...]:
        what = f"{self._document['Name']} ({self._endpoints[0].settings['EndpointID']})"
        taken = ReservePorts(wishes, self._take, self.write_record, what, self._is_ours)
        opened = PublishPorts(self._translated)
        if all(wish.protocol != "udp" for wish in wishes):
            return taken, opened
        return taken, opened, ForgetFlows(self._translated)

    def wishes(self) -> tuple[Wish, ...]:
        """What of the host is asked for. Nothing where no network leads out."""
        if not self._endpoints or self._endpoints[0].network.internal:
            return ()
        every = ("0.0.0.0", "::") if has_ipv6() else ("0.0.0.0",)
        found = []
        for port, bindings in bindings_of(self._document).items():
            number, _, protocol = port.partition("/")
            for binding in bindings:
                first, _, last = str(binding.get("HostPort") or "0").partition("-")
                host_ip = str(binding.get("HostIp") or "")
                addresses = every if host_ip == "" else (host_ip,)
                found.append(Wish(protocol, int(number), addresses, int(first), int(last or first)))
        return tuple(found)

    def _take(self, bound: Bound) -> None:
        self._bound.append(bound)
        if bound.fd >= 0:
            settings = self._endpoints[0].settings
            addresses = [settings[key] for key in ("IPAddress", "GlobalIPv6Address")]
            words = (bound.protocol, str(bound.port), *(a for a in addresses if a))
            self._keep(" ".join(words), bound.fd)

    def _translated(self) -> list[Port]:
        """What the rules are to do: for IPv6 nothing if the container has only IPv4; then, as from
        the host's [::1], the monitor passes on what arrives."""
        if not self._endpoints:
            return []
        settings = self._endpoints[0].settings
        found = []
        for b in self._bound:
            inside = settings["GlobalIPv6Address" if ":" in b.host_ip else "IPAddress"]
            if inside and b.host_ip != "::1":
                found.append(Port(b.protocol, b.host_ip, b.host_port, inside, b.port))
        return found

    def _is_ours(self, protocol: str, number: int) -> bool:
        return any(
            (port.protocol, port.host_port) == (protocol, number)
            for _, ports in published(self._paths)
            for port in ports
        )

    def write_record(self) -> Document:
        """Before anything is opened: should we be killed then, somebody knows what to close."""
        ports: dict[str, list[Document] | None] = dict.fromkeys(exposed(self._document))
        for bound in self._bound:
            entry = {"HostIp": bound.host_ip, "HostPort": str(bound.host_port)}
            key = f"{bound.port}/{bound.protocol}"
            ports[key] = [*(ports.get(key) or []), entry]
        record = {
            "Networks": {e.network.name: e.settings for e in self._endpoints},
            "Devices": {e.network.name: [e.host_end, e.end.name] for e in self._endpoints},
            "Ports": ports,
            "Translated": [
                [p.protocol, p.host_ip, p.host_port, p.address, p.port] for p in self._translated()
            ],
        }
        if self._run_dir:  # there is none where a start is only imagined
            write_json(f"{self._run_dir}/{RECORD}", record, durable=False)
        return record


def exposed(document: Document) -> list[str]:
    """The ports that a container says it has, `80/tcp`, published or not."""
    ports = document["Config"].get("ExposedPorts") or ()
    return [port if "/" in port else f"{port}/tcp" for port in ports]


def bindings_of(document: Document) -> dict[str, list[Document]]:
    """The bindings of each port that is published; with `-P` any port of the host for the rest."""
    host_config = document["HostConfig"]
    found = {
        port: bindings or [{}] for port, bindings in (host_config.get("PortBindings") or {}).items()
    }
    if host_config.get("PublishAllPorts"):
        for port in exposed(document):
            found.setdefault(port, [{}])
    return found


# ── what would be ──


def imagine(paths: Paths, document: Document) -> Connection:
    """The Steps for a container that is not there; does nothing. What cannot be known, because it
    is not there or this user may not look, is as it usually is."""
    networks = Networks(paths)
    endpoints = []
    given = [(networks.known(name), asked) for name, asked in wanted(document).items()]
    out = families_out(given)
    for number, (network, asked) in enumerate(given):
        found = {}
        for pool in network.pools:
            if pool.subnet.family == IPV6 and not has_ipv6():
                continue
            leases = Leases(networks.leases(network), lambda holder: True)
            try:
                address = leases.peek(pool.subnet, within=pool.within, not_=pool.reserved)
            except PermissionError:
                address = pool.subnet.address(2)
            found[pool.subnet.family] = address, pool
        bridge = look_at_bridge(network.bridge) or Bridge(network.bridge, 0, 1500, has_ipv6())
        mac = mac_for(found[min(found)][0])
        about = network, bridge, found, mac, asked, f"eth{number}"
        endpoints.append(describe(*about, families=out[network.name]))
    document = {**document, "Name": document["Name"] or "?"}
    first = _way_out_first(endpoints)
    return _steps(endpoints, Publication(paths, "", document, first, lambda text, fd: None))
