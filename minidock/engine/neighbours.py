"""Who is on the same networks as a container, by name: what its resolver answers from.

Nothing keeps a list of names that could be wrong. The leases of a network (network/ipam.py) say who
has an address on it, and each of those says in its own `network.json` what it is called there; a
holder that was killed does not hold its lock any more, and is nobody. What was read is kept until
the directory of leases changes.

See: network/resolver.py, moby's libnetwork/sandbox.go (ResolveName, ResolveIP)
"""

from __future__ import annotations

import _socket
import os
import time

from minidock.engine.holding import is_held, lock_of
from minidock.engine.statefile import read_json
from minidock.network.resolver import Server

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any, TypeVar

    T = TypeVar("T")
    Endpoint = dict[str, Any]

RECORD = "network.json"
_HOST_SERVERS = "/etc/resolv.conf"
_FRESH = 20_000_000  # ns; the kernel's clock for files ticks a few ms at a time
_DEFAULT_NETWORK = "bridge"
_CLONE_NEWNET = 0x40000000


class Table:
    """The names and addresses on one network, as they were when it was read."""

    def __init__(self) -> None:
        self.addresses: dict[str, list[tuple[str, str]]] = {}  # name → (holder, address)
        self.names: dict[str, tuple[str, str]] = {}  # address → (holder, its first name)


class Neighbours:
    """The answers for the container `container_id`. `root` and `run_root` are minidock's; `init`
    gives the PID of its init, for what must be asked from its own network namespace."""

    def __init__(
        self, root: str, run_root: str, container_id: str, init: Callable[[], int]
    ) -> None:
        self._root = root
        self._run_root = run_root
        self._id = container_id
        self._init = init
        self._tables: dict[str, tuple[int, int, Table]] = {}

    # ── Names, of network/resolver.py ──

    def addresses(self, name: str) -> Sequence[str] | None:
        networks = self._networks()
        for network, endpoint in networks.items():
            linked = _links(endpoint).get(name)
            found = self._on(endpoint["NetworkID"], linked or name)
            if not found and name.endswith(f".{network.lower()}"):
                found = self._on(endpoint["NetworkID"], name[: -len(network) - 1])
            if found:
                shift = time.monotonic_ns() % len(found)  # whoever takes the first takes turns
                return found[shift:] + found[:shift]
        return None

    def name_of(self, address: str) -> str:
        for network, endpoint in self._networks().items():
            holder, name = self._table(endpoint["NetworkID"]).names.get(address, ("", ""))
            if holder and self._lives(holder):
                return f"{name}.{network}"
        return ""

    def servers(self) -> Sequence[Server]:
        if all(map(self._is_internal, self._record().get("Networks", {}).values())):
            return ()  # a question can carry anything out
        document = read_json(f"{self._root}/containers/{self._id}/container.json") or {}
        given = document.get("HostConfig", {}).get("Dns") or ()
        if given:
            return [Server(address, inside=True) for address in given]
        return [Server(address) for address in host_servers()]

    def make_socket(self, server: Server, kind: int) -> _socket.socket:
        if not server.inside:
            return _socket.socket(server.family, kind | _socket.SOCK_CLOEXEC)
        flags = kind | _socket.SOCK_CLOEXEC
        return inside(self._init(), lambda: _socket.socket(server.family, flags))

    # ── files ──

    def _record(self) -> dict[str, Any]:
        return read_json(f"{self._run_root}/{self._id}/{RECORD}") or {}

    def _networks(self) -> dict[str, Endpoint]:
        """Those of users that the container is on, in the order of its record."""
        networks = self._record().get("Networks") or {}
        return {name: e for name, e in networks.items() if name != _DEFAULT_NETWORK}

    def _is_internal(self, endpoint: Endpoint) -> bool:
        network = read_json(f"{self._root}/networks/{endpoint['NetworkID']}.json") or {}
        return bool(network.get("Internal"))

    def _on(self, network: str, name: str) -> list[str]:
        found = self._table(network).addresses.get(name, ())
        return [address for holder, address in found if self._lives(holder)]

    def _lives(self, holder: str) -> bool:
        return is_held(lock_of(f"{self._root}/containers/{holder}"))

    def _table(self, network: str) -> Table:
        directory = f"{self._run_root}/networks/{network}"
        try:
            changed = os.stat(directory).st_mtime_ns
        except FileNotFoundError:
            return Table()
        known = self._tables.get(network)
        if known and known[0] == changed and known[1] - changed > _FRESH:
            return known[2]
        now, table = time.time_ns(), Table()
        whole = self._read(directory, network, table)
        if whole:
            self._tables[network] = (changed, now, table)
        return table

    def _read(self, directory: str, network: str, table: Table) -> bool:
        """False where somebody has an address and has not said yet what it is called."""
        whole = True
        endpoints: dict[str, Endpoint] = {}
        for address in sorted(os.listdir(directory)):
            if address.startswith("."):
                continue
            try:
                holder = os.readlink(f"{directory}/{address}")
            except OSError:
                continue  # given back meanwhile
            if holder not in endpoints:
                endpoints[holder] = self._endpoint_of(holder, network)
            endpoint = endpoints[holder]
            names = endpoint.get("DNSNames") or ()
            whole = whole and bool(names)
            if names and address in (endpoint["IPAddress"], endpoint["GlobalIPv6Address"]):
                for name in names:  # (else it is of an earlier life, that was killed)
                    table.addresses.setdefault(name.lower(), []).append((holder, address))
                table.names[address] = holder, names[0]
        return whole

    def _endpoint_of(self, holder: str, network: str) -> Endpoint:
        record = read_json(f"{self._run_root}/{holder}/{RECORD}") or {}
        endpoints = (record.get("Networks") or {}).values()
        return next((dict(e) for e in endpoints if e["NetworkID"] == network), {})


def _links(endpoint: Endpoint) -> dict[str, str]:
    """`--link db:postgres` → postgres is db, for this container alone."""
    pairs = (text.partition(":") for text in endpoint.get("Links") or ())
    return {(alias or name).lower(): name.lower() for name, _, alias in pairs}


def host_servers(path: str = _HOST_SERVERS) -> list[str]:
    """The name servers that this host asks."""
    try:
        with open(path, "rb") as file:
            lines = file.read(1 << 16).decode("utf-8", "replace").splitlines()
    except OSError:
        return []
    words = (line.split() for line in lines)
    return [parts[1] for parts in words if len(parts) > 1 and parts[0] == "nameserver"]


def inside(pid: int, call: Callable[[], T]) -> T:
    """Do something in the network namespace of a process, and come back. Raises `OSError`."""
    theirs = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        return in_namespace(theirs, call)
    finally:
        os.close(theirs)


def in_namespace(namespace: int, call: Callable[[], T]) -> T:
    """The same for the network namespace behind a descriptor."""
    from minidock.linux.syscalls import setns

    ours = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        setns(namespace, _CLONE_NEWNET)
        try:
            return call()
        finally:
            setns(ours, _CLONE_NEWNET)
    finally:
        os.close(ours)
