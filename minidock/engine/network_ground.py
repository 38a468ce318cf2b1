"""What the kernel has of a network, made where it is missing: the ground that a start stands on.

Usually all is there, and it takes four small files and three questions to the kernel to see that.
After a boot nothing is; after `nft flush ruleset`, which many a firewall's start-up script begins
with, the bridges are there and the rules are not. Then the rules come back with the next container:
those of all networks, and the published ports of all containers that run.

See: network/bridge.py, network/nat.py, network/forward.py
"""

from __future__ import annotations

import fcntl
import os

from minidock.engine.disconnect import RECORD, ports_of
from minidock.engine.holding import is_held, lock_of
from minidock.engine.networks import DEFAULT
from minidock.engine.statefile import read_json
from minidock.errors import WRONG_REQUEST, StartFailed
from minidock.linux.kernel import LinuxKernel
from minidock.network import bridge as bridges
from minidock.network.forward import admit, expel
from minidock.network.ipam import Leases
from minidock.network.nat import Gate, close_gate, ensure_table, is_open, open_gate

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from minidock.engine.networks import Network, Networks
    from minidock.engine.paths import Paths
    from minidock.network.bridge import Bridge
    from minidock.network.nat import Port


def stand_on(paths: Paths, networks: Networks, network: Network) -> tuple[Network, Bridge]:
    """The network with its bridge, and all that belongs to it there. Raises `StartFailed`."""
    try:
        return _stand_on(paths, networks, network)
    except OSError as error:
        why = os.strerror(error.errno or 0).lower()
        raise StartFailed(
            f"failed to set up container networking: network {network.name}: {why}",
            exit_code=WRONG_REQUEST,
            hint="minidock needs CAP_NET_ADMIN, and a kernel with bridges, veth and nf_tables.",
        ) from error


def _stand_on(paths: Paths, networks: Networks, network: Network) -> tuple[Network, Bridge]:
    kernel = LinuxKernel()
    bridge = bridges.look(network.bridge)
    if bridge is None:
        with _Alone(paths):
            _remove_orphans(kernel)
            network = networks.find(network.id)
            if network.name == DEFAULT and not bridges.exists(network.bridge):
                network = networks.renumbered(network)
            bridge = bridges.look(network.bridge) or _make(networks, network)
    if not is_open(kernel, network.bridge):
        with _Alone(paths):
            restore(paths, networks)
    admit(kernel, network.bridge)
    return network, bridge


def _make(networks: Networks, network: Network) -> Bridge:
    ensure_table(LinuxKernel())
    open_gate(LinuxKernel(), gate_of(network))
    gateways = [(pool.gateway, pool.subnet) for pool in network.pools]
    bridges.make(network.bridge, network.mtu, gateways, networks.record(network))
    bridge = bridges.look(network.bridge)
    if bridge is None:
        raise StartFailed(f"network {network.name}: {network.bridge} does not come up")
    return bridge


def _remove_orphans(kernel: LinuxKernel) -> None:
    """Whoever removes a state root by hand leaves its bridges behind, and they would hold their
    addresses for ever."""
    from minidock.network import netlink

    for name, subnets in netlink.orphans():
        close_gate(kernel, Gate(name, tuple(subnets)))
        netlink.remove_link(name)


def gate_of(network: Network) -> Gate:
    """What the rules must know of a network."""
    subnets = tuple(pool.subnet for pool in network.pools) if network.masquerades else ()
    return Gate(network.bridge, subnets, network.connects, network.internal)


def restore(paths: Paths, networks: Networks) -> None:
    """Put back what was in the table, after somebody has flushed it."""
    from minidock.network.ports import publish

    kernel = LinuxKernel()
    ensure_table(kernel)
    for network in networks.all():
        if network.driver == "bridge" and bridges.look(network.bridge):
            open_gate(kernel, gate_of(network))
    for _, ports in published(paths):
        publish(kernel, ports)


def published(paths: Paths) -> Iterator[tuple[str, list[Port]]]:
    """(container's id, its ports) of all that run and have any."""
    try:
        names = os.listdir(paths.run_root)
    except FileNotFoundError:
        return
    for name in names:
        if len(name) == 64 and is_held(lock_of(paths.container(name))):
            ports = ports_of(read_json(f"{paths.run_dir(name)}/{RECORD}") or {})
            if ports:
                yield name, ports


def take_down(paths: Paths, networks: Networks, network: Network) -> None:
    """The reverse of `stand_on`, for a network that nobody is on. Raises `OSError`."""
    from minidock.network.netlink import remove_link

    kernel = LinuxKernel()
    with _Alone(paths):
        close_gate(kernel, gate_of(network))
        expel(kernel, network.bridge)
        remove_link(network.bridge)
        directory = networks.leases(network)
        Leases(directory, lambda holder: is_held(lock_of(paths.container(holder)))).remove()


class _Alone:
    """One at a time changes what the kernel has of the networks below one root."""

    def __init__(self, paths: Paths) -> None:
        self._path = f"{paths.run_root}/networks"
        self._fd = -1

    def __enter__(self) -> None:
        os.makedirs(self._path, mode=0o700, exist_ok=True)
        self._fd = os.open(self._path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        fcntl.flock(self._fd, fcntl.LOCK_EX)

    def __exit__(self, *_: object) -> None:
        os.close(self._fd)
