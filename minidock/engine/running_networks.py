"""The networks of a container that runs, changed from outside.

What its start does is done once more for one network: a cable into its network namespace, addresses
and routes, the record in `network.json`, and what its own /etc/hosts and /etc/resolv.conf say.
Published ports follow the way out. When a container comes to a network of the user's for the first
time, its monitor becomes its name server.

See: connection.py (the start), network/veth.py, setns(2)
"""

from __future__ import annotations

import _socket
import os

from minidock.engine import frames
from minidock.engine.connection import wanted
from minidock.engine.disconnect import RECORD, ports_of, release, tell_of
from minidock.engine.endpoint import own_addresses, take_endpoint
from minidock.engine.gateways import families_out
from minidock.engine.naming import dns_names, servers_file
from minidock.engine.neighbours import in_namespace
from minidock.engine.network_wishes import is_of_users
from minidock.engine.networks import Networks
from minidock.engine.statefile import read_json, write_json
from minidock.errors import Conflict
from minidock.linux.host import start_time
from minidock.linux.kernel import LinuxKernel
from minidock.network.ipam import IPV4, IPV6
from minidock.network.message import CREATE, ROUTE, exchange
from minidock.network.names import host_file
from minidock.network.nat import Port
from minidock.network.ports import publish, withdraw
from minidock.network.veth import configure, delete_link, new_default_route, new_pair, set_port

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from minidock.engine.containers import Container, State
    from minidock.engine.networks import Network
    from minidock.engine.paths import Paths

    Document = dict[str, Any]

_REPLACE = 0x100  # NLM_F_REPLACE
_GATEWAYS = {IPV4: "Gateway", IPV6: "IPv6Gateway"}
_ADDRESSES = {IPV4: "IPAddress", IPV6: "GlobalIPv6Address"}


class RunningNetworks:
    """Whoever uses it holds the lock of network_connect.py, and closes `namespace` in the end: the
    descriptor of the container's network namespace.

    What is about to be made, or to be taken away, is written down first, as "Pending": should we be
    killed in between, whoever comes next finishes taking it away.
    """

    def __init__(
        self, paths: Paths, container: Container, state: State, document: Document
    ) -> None:
        self._paths = paths
        self._networks = Networks(paths)
        self._container = container
        self._document = document
        self._kernel = LinuxKernel()
        self._record = read_json(f"{container.run_dir}/{RECORD}") or {}
        self._record.setdefault("Networks", {})
        self._record.setdefault("Devices", {})
        self._record.setdefault("Ports", {})
        self.namespace = os.open(f"/proc/{state.pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        if start_time(state.pid) != state.start_time:
            raise Conflict(f"container {container.id} is not running")
        for host_end, addresses in self._record.pop("Pending", []):
            self._clear_away(host_end, addresses)

    @property
    def networks(self) -> tuple[str, ...]:
        """The names of those that it is on."""
        return tuple(self._record["Networks"])

    def connect(self, network: Network, asked: Document) -> None:
        endpoint = take_endpoint(
            self._paths,
            self._networks,
            network,
            self._container.id,
            asked,
            self._free_device(),
            families=(),
        )
        settings = endpoint.settings
        if is_of_users(network.name):
            settings["DNSNames"] = dns_names(self._document, asked.get("Aliases") or ())
        before = list(self._record["Networks"])
        self._pend(endpoint.host_end, settings)
        try:
            where = endpoint.bridge.index, endpoint.bridge.mtu, endpoint.end
            cable = new_pair(endpoint.host_end, *where, fd=self.namespace)
            port = set_port(
                endpoint.host_end,
                hairpin=any(self._record["Ports"].values()),
                isolated=not network.connects,
            )
            exchange(self._kernel, ROUTE, [cable, *port])
            in_namespace(self.namespace, lambda: configure(self._kernel, endpoint.end))
            self._record["Networks"][network.name] = settings
            self._record["Devices"][network.name] = [endpoint.host_end, endpoint.end.name]
            self._lead_out()
            self._aim_ports()
            self._know(before, own_addresses([settings]))
            del self._record["Pending"]
            self._write_record()
        except BaseException:
            self._take_back(network.name, settings, endpoint.host_end)
            raise
        tell_of(self._container.run_dir, self._record, network.name, "connect")

    def disconnect(self, network: Network) -> None:
        settings = self._record["Networks"][network.name]
        tell_of(self._container.run_dir, self._record, network.name, "disconnect")
        self._take_back(network.name, settings, self._record["Devices"][network.name][0])

    def _take_back(self, name: str, settings: Document, host_end: str) -> None:
        self._record["Networks"].pop(name, None)
        self._record["Devices"].pop(name, None)
        self._pend(host_end, settings)
        del self._record["Pending"]
        self._clear_away(host_end, own_addresses([settings]))

    def _pend(self, host_end: str, settings: Document) -> None:
        self._record["Pending"] = [[host_end, own_addresses([settings])]]
        self._write_record()

    def _clear_away(self, host_end: str, addresses: list[str]) -> None:
        try:
            exchange(self._kernel, ROUTE, [delete_link(host_end)])
        except OSError:
            pass  # it was not made, or went with the namespace
        self._lead_out()
        self._aim_ports()
        self._forget(addresses)
        for address in addresses:
            try:
                release(self._container.run_dir, address)
            except FileNotFoundError:
                pass  # it is given back already
        self._write_record()

    def _free_device(self) -> str:
        taken = {name for _, name in in_namespace(self.namespace, _socket.if_nameindex)}
        number = 0
        while f"eth{number}" in taken:
            number += 1
        return f"eth{number}"

    def _write_record(self) -> None:
        write_json(f"{self._container.run_dir}/{RECORD}", self._record, durable=False)

    # ── which way out ──

    def _ways(self) -> dict[int, Document]:
        """The endpoint, by family, that the default route leads to."""
        known = wanted(self._document)
        pairs = [
            (self._networks.find(settings["NetworkID"]), known.get(name) or settings)
            for name, settings in self._record["Networks"].items()
        ]
        found = {}
        for name, families in families_out(pairs).items():
            for family in families:
                found[family] = {**self._record["Networks"][name], "Name": name}
        return found

    def _lead_out(self) -> None:
        for family, way in self._ways().items():
            device, gateway = self._record["Devices"][way["Name"]][1], way[_GATEWAYS[family]]
            if gateway:
                self._route(device, gateway)

    def _route(self, device: str, gateway: str) -> None:
        def replace() -> None:
            route = new_default_route(_socket.if_nametoindex(device), gateway)
            exchange(self._kernel, ROUTE, [route.but(flags=CREATE | _REPLACE)])

        in_namespace(self.namespace, replace)

    def _aim_ports(self) -> None:
        """Let published ports lead to where the way out is now."""
        ways, old = self._ways(), ports_of(self._record)
        new = []
        for name, bindings in self._record.get("Ports", {}).items():
            number, _, protocol = name.partition("/")
            for binding in bindings or ():
                host_ip = str(binding["HostIp"])
                family = IPV6 if ":" in host_ip else IPV4
                address = ways.get(family, {}).get(_ADDRESSES[family])
                if address and host_ip != "::1":
                    ports = int(binding["HostPort"]), address, int(number)
                    new.append(Port(protocol, host_ip, *ports))
        gone = [port for port in old if port not in new]
        if gone:
            withdraw(self._kernel, gone)
        fresh = [port for port in new if port not in old]
        if fresh:
            publish(self._kernel, fresh)
        self._record["Translated"] = [
            [port.protocol, port.host_ip, port.host_port, port.address, port.port] for port in new
        ]

    # ── names ──

    def _know(self, before: list[str], addresses: list[str]) -> None:
        """The container's own files, written in place, since they are mounted."""
        directory = self._container.directory
        hostname = self._container.config["Hostname"]
        lines = "".join(f"{address}\t{hostname}\n" for address in addresses).encode()
        known = host_file(f"{directory}/hosts")
        if known and not known.endswith(b"\n"):
            known += b"\n"
        _rewrite(f"{directory}/hosts", known + lines)
        after = list(self._record["Networks"])
        if any(map(is_of_users, before)) or not any(map(is_of_users, after)):
            return
        host_config = self._container.host_config
        path = f"{directory}/resolv.conf"
        if host_file(path) == servers_file(host_config, before):  # else it was edited
            _rewrite(path, servers_file(host_config, after))
        self._serve_names()

    def _serve_names(self) -> None:
        from minidock.engine.client import MonitorConnection

        connection = MonitorConnection.connect(self._container.socket_path)
        try:
            connection.send(frames.SERVE_NAMES)
            for kind, payload in connection.receive():
                if kind == frames.FAILED:
                    raise OSError(payload[1:].decode("utf-8", "replace"))
        finally:
            connection.close()

    def _forget(self, addresses: list[str]) -> None:
        path = f"{self._container.directory}/hosts"
        lines = host_file(path).splitlines(keepends=True)
        gone = [[address.encode()] for address in addresses]
        kept = [line for line in lines if line.split()[:1] not in gone]
        if kept != lines:
            _rewrite(path, b"".join(kept))


def _rewrite(path: str, content: bytes) -> None:
    """A file that is mounted must stay the same file. It is never empty meanwhile."""
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.pwrite(fd, content, 0)
        os.ftruncate(fd, len(content))
    finally:
        os.close(fd)
