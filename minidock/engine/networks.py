"""Networks on disk: their records, and finding them.

A network is one file, `networks/<64 hex>.json`, in the shape of Docker's `network inspect`, and a
link with its name that points there: `networks/names/web -> ../<id>.json`. As with containers
symlink(2) is the check that a name is there once. What the kernel has of a network (the bridge, its
addresses, rules) is made when the first container needs it, and made again after a boot; nothing
here says whether it is there. Who is connected is not written here either: each running container
says so itself, in `network.json` in its run directory (see connection.py).

Three are always there: `bridge`, which a container is on that names none; `host`, which is no
network but the lack of one; and `none`.

See: https://docs.docker.com/reference/api/engine/version/v1.50/ (NetworkInspect)
"""

from __future__ import annotations

import fcntl
import os

from minidock.engine.paths import Paths
from minidock.engine.statefile import read_json, sync_directory, write_json
from minidock.errors import Conflict, InvalidInput, NotFound
from minidock.linux.private import make_private
from minidock.network.ipam import Subnet, free_subnet, free_subnet6, local_prefix, parse_subnet
from minidock.record import Record
from minidock.spec.timestamp import now

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from typing import Any

    Document = dict[str, Any]

DEFAULT, HOST, NONE = "bridge", "host", "none"
PREDEFINED = {DEFAULT: "bridge", HOST: "host", NONE: "null"}
"""Name → driver of the networks that are always there."""
DEFAULT_BRIDGE = "minidock0"
"""The device of the network `bridge`; of one below another root than the usual, which must not get
in its way, it has the name that any network's has."""
BRIDGE_NAME = "com.docker.network.bridge.name"
MTU = "com.docker.network.driver.mtu"
_ICC = "com.docker.network.bridge.enable_icc"
_MASQUERADE = "com.docker.network.bridge.enable_ip_masquerade"
_DEFAULT_OPTIONS = {
    "com.docker.network.bridge.default_bridge": "true",
    _ICC: "true",
    _MASQUERADE: "true",
    "com.docker.network.bridge.host_binding_ipv4": "0.0.0.0",
}


class Pool(Record):
    """One subnet of a network. `within` is the part that addresses are handed out of, `reserved`
    what is never handed out (the gateway, and what the user keeps for others)."""

    subnet: Subnet
    gateway: str
    within: Subnet | None = None
    reserved: tuple[str, ...] = ()


class Network(Record):
    """One network. `document` is its record, in the shape of Docker's inspect."""

    document: Document

    @property
    def id(self) -> str:
        return str(self.document["Id"])

    @property
    def name(self) -> str:
        return str(self.document["Name"])

    @property
    def driver(self) -> str:
        """bridge, host or null."""
        return str(self.document["Driver"])

    @property
    def internal(self) -> bool:
        """Nothing goes out, and nothing comes in."""
        return bool(self.document["Internal"])

    @property
    def options(self) -> Mapping[str, str]:
        return self.document.get("Options") or {}

    @property
    def predefined(self) -> bool:
        return self.name in PREDEFINED

    @property
    def bridge(self) -> str:
        """The name of its device, at most 15 characters."""
        return self.options.get(BRIDGE_NAME) or f"md-{self.id[:12]}"

    @property
    def mtu(self) -> int:
        """0 where the uplink's is to be taken."""
        return int(self.options.get(MTU, 0))

    @property
    def masquerades(self) -> bool:
        return not self.internal and self.options.get(_MASQUERADE, "true").lower() != "false"

    @property
    def connects(self) -> bool:
        """Whether containers on it reach each other."""
        return self.options.get(_ICC, "true").lower() != "false"

    @property
    def pools(self) -> tuple[Pool, ...]:
        """Its subnets: one of IPv4, one of IPv6, or either."""
        return tuple(map(_pool, self.document["IPAM"]["Config"] or ()))


def _pool(config: Mapping[str, Any]) -> Pool:
    gateway = str(config.get("Gateway") or "").partition("/")[0]
    others = (config.get("AuxiliaryAddresses") or {}).values()
    within = config.get("IPRange")
    return Pool(
        parse_subnet(config["Subnet"]),
        gateway,
        parse_subnet(within) if within else None,
        tuple(address for address in (gateway, *others) if address),
    )


class Networks:
    """All networks below one root."""

    def __init__(self, paths: Paths) -> None:
        self._directory = f"{paths.root}/networks"
        self._leases = f"{paths.run_root}/networks"
        self._usual = paths.root == Paths().root

    def leases(self, network: Network) -> str:
        """The directory of the network's leases; see network/ipam.py."""
        return f"{self._leases}/{network.id}"

    def record(self, network: Network) -> str:
        """The path of its record."""
        return f"{self._directory}/{network.id}.json"

    def all(self) -> list[Network]:
        """Every network, by name, the three that are always there among them."""
        self.default()
        found = [self._load(f"{self._directory}/{name}") for name in self._files()]
        return sorted((n for n in found if n), key=lambda n: (n.name, n.id))

    def find(self, reference: str) -> Network:
        """By id, name, or the beginning of an id. Raises `NotFound` in Docker's words."""
        if reference in PREDEFINED:
            self.default()
        found = self._by_name(reference)
        if found is None:
            matches = [n for n in self.all() if n.id.startswith(reference)] if reference else []
            if len(matches) > 1:
                raise InvalidInput(
                    f"network {reference} is ambiguous ({len(matches)} matches found)"
                )
            found = matches[0] if matches else None
        if found is None:
            raise NotFound(f"network {reference} not found")
        return found

    def default(self) -> Network:
        """The network `bridge`. With it, when it is first asked for, come `host` and `none`."""
        found = self._by_name(DEFAULT)
        if found:
            return found
        options = {**_DEFAULT_OPTIONS, **({BRIDGE_NAME: DEFAULT_BRIDGE} if self._usual else {})}
        for name in (HOST, NONE, DEFAULT):
            given = options if name == DEFAULT else {}
            try:
                self.create(name, driver=PREDEFINED[name], ipv6=has_ipv6(), options=given)
            except Conflict:
                pass  # another command made it, or an earlier one that was killed in between
        found = self._by_name(DEFAULT)
        assert found
        return found

    def known(self, reference: str) -> Network:
        """The network that `find` would find, or, where this user may not look, or `bridge` is not
        there yet, what it would be like. Raises `NotFound`."""
        try:
            found = self._by_name(reference)
            if found or reference != DEFAULT:
                return found or self.find(reference)
        except PermissionError:
            pass
        config = [{"Subnet": "172.18.0.0/16", "Gateway": "172.18.0.1"}]
        if has_ipv6():
            config.append({"Subnet": "fd00::/64", "Gateway": "fd00::1"})
        options = {BRIDGE_NAME: DEFAULT_BRIDGE} if reference == DEFAULT else {}
        about = {"Name": reference, "Id": "0" * 64, "Driver": "bridge", "Internal": False}
        return Network({**about, "IPAM": {"Config": config}, "Options": options})

    def create(
        self,
        name: str,
        *,
        driver: str = "bridge",
        pools: Sequence[Document] = (),
        ipv4: bool = True,
        ipv6: bool = False,
        internal: bool = False,
        attachable: bool = False,
        options: Mapping[str, str] | None = None,
        labels: Mapping[str, str] | None = None,
        ipam_options: Mapping[str, str] | None = None,
    ) -> Network:
        """Write down a new network. `pools` are the entries of IPAM.Config that the user gave
        (checked by the caller: Subnet, perhaps Gateway, IPRange, AuxiliaryAddresses); what is
        missing of IPv4, and with `ipv6` of IPv6, is chosen here.

        Raises `Conflict` where the name is taken, or a subnet.
        """
        make_private(self._directory)
        make_private(f"{self._directory}/names")
        lock = self._lock()
        try:
            if self._by_name(name):
                raise Conflict(f"network with name {name} already exists")
            config = list(pools)
            if driver == "bridge":
                config = self._complete(config, ipv4=ipv4, ipv6=ipv6)
            document: Document = {
                "Name": name,
                "Id": os.urandom(32).hex(),
                "Created": now(),
                "Scope": "local",
                "Driver": driver,
                "EnableIPv4": ipv4,
                "EnableIPv6": driver == "bridge" and ipv6,
                "IPAM": {
                    "Driver": "default",
                    "Options": dict(ipam_options) if ipam_options is not None else None,
                    "Config": config or None,
                },
                "Internal": internal,
                "Attachable": attachable,
                "Ingress": False,
                "ConfigFrom": {"Network": ""},
                "ConfigOnly": False,
                "Containers": {},
                "Options": dict(options or {}),
                "Labels": dict(labels or {}),
            }
            self.write(document)
            _link(f"../{document['Id']}.json", f"{self._directory}/names/{name}")
            sync_directory(f"{self._directory}/names")
        finally:
            os.close(lock)
        return Network(document)

    def renumbered(self, network: Network) -> Network:
        """The default network with other addresses, if since it was made the host has come to use
        those itself: a machine may be in another place after each boot."""
        from minidock.network.netlink import subnets_of_host

        used = subnets_of_host()
        if not any(pool.subnet.overlaps(other) for pool in network.pools for other in used):
            return network
        lock = self._lock()
        try:
            ipam = {**network.document["IPAM"], "Config": None}
            ipv6 = bool(network.document["EnableIPv6"])
            self.write({**network.document, "IPAM": ipam})
            config = self._complete([], ipv4=True, ipv6=ipv6)
            self.write({**network.document, "IPAM": {**ipam, "Config": config}})
        finally:
            os.close(lock)
        return self.default()

    def write(self, document: Document) -> None:
        """Replace a network's record."""
        write_json(f"{self._directory}/{document['Id']}.json", document)

    def remove(self, network: Network) -> None:
        """Forget a network that nobody uses. (bridge.py takes down what the kernel has of it.)"""
        lock = self._lock()
        try:
            for path in (f"names/{network.name}", f"{network.id}.json"):
                try:
                    os.unlink(f"{self._directory}/{path}")
                except FileNotFoundError:
                    pass
            sync_directory(self._directory)
        finally:
            os.close(lock)

    def subnets(self) -> Iterator[Subnet]:
        """Those of all our networks."""
        for name in self._files():
            network = self._load(f"{self._directory}/{name}")
            for pool in network.pools if network else ():
                yield pool.subnet

    def _complete(self, config: list[Document], *, ipv4: bool, ipv6: bool) -> list[Document]:
        """The pools of a new network, with what the user left open filled in."""
        from minidock.network.netlink import subnets_of_host

        given = [parse_subnet(entry["Subnet"]) for entry in config]
        ours = list(self.subnets())
        for subnet in given:
            if any(map(subnet.overlaps, ours)):
                raise Conflict(
                    "Pool overlaps with other one on this address space",
                    hint=f"{subnet} overlaps with a network that is there already.",
                )
        used = [*ours, *given, *subnets_of_host()]
        if ipv4 and not any(subnet.family == 4 for subnet in given):
            config = [{"Subnet": str(free_subnet(used))}, *config]
        if ipv6 and not any(subnet.family == 6 for subnet in given):
            config = [*config, {"Subnet": str(free_subnet6(self._prefix(), used))}]
        return [_with_gateway(entry) for entry in config]

    def _prefix(self) -> Subnet:
        """This machine's own range of IPv6 addresses, chosen once."""
        path = f"{self._directory}/prefix.json"
        known = read_json(path)
        if known:
            return parse_subnet(known["Prefix"])
        prefix = local_prefix()
        write_json(path, {"Prefix": str(prefix)})
        return prefix

    def _lock(self) -> int:
        fd = os.open(self._directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        fcntl.flock(fd, fcntl.LOCK_EX)
        return fd

    def _files(self) -> Iterable[str]:
        try:
            names = os.listdir(self._directory)
        except FileNotFoundError:
            return ()
        return (name for name in names if len(name) == 69 and name.endswith(".json"))

    def _by_name(self, name: str) -> Network | None:
        if not name or "/" in name or name.startswith("."):
            return None
        return self._load(f"{self._directory}/names/{name}")

    def _load(self, path: str) -> Network | None:
        document = read_json(path)
        return Network(document) if document and "IPAM" in document else None


def _link(target: str, path: str) -> None:
    """Under the lock, so a link that leads nowhere is one of a command that was killed."""
    try:
        os.symlink(target, path)
    except FileExistsError:
        os.unlink(path)
        os.symlink(target, path)


def _with_gateway(entry: Document) -> Document:
    """The host's own address in the subnet: the first there is, or of the part that is used."""
    if entry.get("Gateway"):
        return entry
    subnet = parse_subnet(entry.get("IPRange") or entry["Subnet"])
    offset = 0 if subnet.base != parse_subnet(entry["Subnet"]).base else 1
    return {**entry, "Gateway": subnet.address(offset)}


def has_ipv6() -> bool:
    """Whether this kernel speaks IPv6, and is allowed to."""
    try:
        with open("/proc/sys/net/ipv6/conf/all/disable_ipv6", encoding="ascii") as file:
            return file.read().strip() == "0"
    except OSError:
        return False
