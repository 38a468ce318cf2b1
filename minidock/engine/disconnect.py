"""Taking back what a container had on its networks, when it has ended.

Its cables are gone with its namespace. What is left is the host's: its published ports, which are
elements of maps, and the leases of its addresses. The monitor comes here at the end of its
container, and so does whoever finds a monitor that was killed.

See: connection.py, network/ports.py
"""

from __future__ import annotations

import os

from minidock.engine.events import emit
from minidock.engine.statefile import read_json

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from minidock.network.nat import Port

RECORD = "network.json"
LEASE = "lease-"  # what the names of the links to leases begin with
JOINED = "joined-"  # and of those that say who else uses the network namespace


def disconnect(run_dir: str, *, dead: bool = False) -> None:
    """Close the ports of a container that has ended, and give back its addresses. Raises `OSError`.

    Its monitor holds its ports on the host meanwhile. Where that is `dead`, another container may
    have one by now: then it is that one's.
    """
    path = f"{run_dir}/{RECORD}"
    record = read_json(path) or {}
    ports = ports_of(record)
    if ports:
        from minidock.linux.kernel import LinuxKernel
        from minidock.network.ports import hold_free, withdraw

        held: list[int] = []
        if dead:
            ports, held = hold_free(LinuxKernel(), ports)
        withdraw(LinuxKernel(), ports)
        for fd in held:
            os.close(fd)
    _remove_cables(run_dir, record)
    for name in os.listdir(run_dir):
        if name.startswith(LEASE):
            release(run_dir, name.removeprefix(LEASE))
    if record:
        os.unlink(path)
        for name in record["Networks"]:
            tell_of(run_dir, record, name, "disconnect")


def tell_of(run_dir: str, record: dict[str, Any], name: str, action: str) -> None:
    """An event of a network's: that a container connects, or does not any more."""
    run_root, container_id = os.path.split(run_dir)
    attributes = {"container": container_id, "name": name, "type": "bridge"}
    emit(run_root, "network", action, record["Networks"][name]["NetworkID"], attributes)


def ports_of(record: dict[str, Any]) -> list[Port]:
    """The translations that a container's record tells of."""
    listed = record.get("Translated")
    if not listed:
        return []
    from minidock.network.nat import Port

    return [Port(*entry) for entry in listed]


def release(run_dir: str, address: str) -> None:
    """Give one address back, if it was leased at all."""
    link = f"{run_dir}/{LEASE}{address}"
    lease = os.readlink(link)
    try:
        if os.readlink(lease) == os.path.basename(run_dir):
            os.unlink(lease)
    except FileNotFoundError:
        pass
    os.unlink(link)


def _remove_cables(run_dir: str, record: dict[str, Any]) -> None:
    """Where other containers use the same namespace it lives on, and with it the cables: their
    addresses, which are somebody else's soon, must not."""
    if not any(name.startswith(JOINED) for name in os.listdir(run_dir)):
        return
    from minidock.linux.kernel import LinuxKernel
    from minidock.network.message import ROUTE, exchange
    from minidock.network.veth import delete_link

    for host_end, _ in record.get("Devices", {}).values():
        try:
            exchange(LinuxKernel(), ROUTE, [delete_link(host_end)])
        except OSError:
            continue  # it is gone
