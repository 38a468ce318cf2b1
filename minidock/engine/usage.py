"""What a container uses right now, as `stats` shows it.

The cgroup counts processor time, memory, processes and disk (isolation/cgroups/stats.py); the
network namespace counts what its devices carried. A percentage of processor time needs two readings
and the time between them: 100% is one processor, so on a machine with four it may be 400%.

See: proc_pid_net(5), docker/cli cli/command/container/stats_helpers.go
"""

from __future__ import annotations

import time

from minidock.engine.cgroup import cgroup_of
from minidock.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from minidock.engine.containers import Container, State

_RX_BYTES, _TX_BYTES = 0, 8  # columns of /proc/net/dev


class Usage(Record):
    """Of a container that does not run all is 0. `cpu` is in nanoseconds since it started, as `at`
    is since some moment; the others are in bytes and processes."""

    at: int = 0
    cpu: int = 0
    memory: int = 0
    memory_limit: int = 0
    received: int = 0
    sent: int = 0
    read: int = 0
    written: int = 0
    processes: int = 0

    @property
    def memory_percent(self) -> float:
        return 100.0 * self.memory / self.memory_limit if self.memory_limit else 0.0

    def cpu_percent(self, before: Usage) -> float:
        """Since the reading `before`, which may be of an earlier life of the container."""
        took, used = self.at - before.at, self.cpu - before.cpu
        return 100.0 * used / took if took > 0 and used > 0 and before.at else 0.0


def usage_of(container: Container, machine_memory: int) -> Usage:
    """A reading. `machine_memory` is the limit of those that have none."""
    from minidock.isolation.cgroups.stats import stats

    state = container.state()
    if not state.running:
        return Usage()
    try:
        found = stats(cgroup_of(container))
    except FileNotFoundError:
        return Usage()  # it has just ended
    memory, devices = found.memory, found.block_io or ()
    received, sent = _network(container, state)
    return Usage(
        at=time.monotonic_ns(),
        cpu=found.cpu.total if found.cpu else 0,
        memory=memory.used if memory else 0,
        memory_limit=min((memory and memory.limit) or machine_memory, machine_memory),
        received=received,
        sent=sent,
        read=sum(device.read_bytes for device in devices),
        written=sum(device.write_bytes for device in devices),
        processes=found.pids.current if found.pids else 0,
    )


def _network(container: Container, state: State) -> tuple[int, int]:
    """Bytes in and out. The host's network is everybody's, so nothing of it is the container's."""
    if container.host_config.get("NetworkMode") == "host":
        return 0, 0
    try:
        with open(f"/proc/{state.pid}/net/dev", encoding="ascii", errors="replace") as file:
            lines = file.read().splitlines()[2:]
    except OSError:
        return 0, 0
    received = sent = 0
    for line in lines:
        name, _, numbers = line.partition(":")
        if name.strip() != "lo":
            columns = numbers.split()
            received += int(columns[_RX_BYTES])
            sent += int(columns[_TX_BYTES])
    return received, sent


def machine_memory() -> int:
    """Bytes of memory of this machine. proc_meminfo(5)"""
    with open("/proc/meminfo", encoding="ascii") as file:
        for line in file:
            if line.startswith("MemTotal:"):
                return int(line.split()[1]) * 1024
    return 0
