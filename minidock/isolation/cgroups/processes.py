"""All processes of a container at once: stop them, let them go on, list them, kill them.

This is what a cgroup is for before it limits anything: a set that nothing leaves by forking. v1 has
the freezer, a hierarchy of its own; v2 has a file in every cgroup, and one more that kills.

See: cgroups(7), https://docs.kernel.org/admin-guide/cgroup-v1/freezer-subsystem.html
"""

from __future__ import annotations

import os
import time

from minidock.errors import Conflict
from minidock.isolation.cgroups import v1, v2
from minidock.isolation.cgroups.control_file import read_control
from minidock.linux import signals as signal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from minidock.isolation.cgroups.place import Cgroup


def freeze(cgroup: Cgroup, timeout: float = 10.0) -> None:
    """Stop every process of the container. Raises `Conflict` when one would not stop within
    `timeout` seconds (it waits for a disk or network filesystem); then none is stopped."""
    directory = cgroup.v1_directory("freezer")
    stopped = v1.freeze(directory, timeout) if directory else v2.freeze(cgroup.unified, timeout)
    if not stopped:
        raise Conflict("cannot pause the container: a process is in an uninterruptible wait")


def thaw(cgroup: Cgroup) -> None:
    """Let the container's processes go on. Raises `OSError` where the cgroup is gone."""
    directory = cgroup.v1_directory("freezer")
    if directory:
        v1.thaw(directory)
    else:
        v2.thaw(cgroup.unified)


def is_frozen(cgroup: Cgroup) -> bool:
    """Whether the container is stopped. Raises `OSError` where the cgroup is gone."""
    directory = cgroup.v1_directory("freezer")
    return v1.is_frozen(directory) if directory else v2.is_frozen(cgroup.unified)


def processes(cgroup: Cgroup) -> tuple[int, ...]:
    """PIDs, as this process sees them, of all that is in the cgroup or below; sorted."""
    pids: set[int] = set()
    for directory, _, _ in os.walk(cgroup.directories[0]):
        try:
            pids.update(map(int, read_control(f"{directory}/cgroup.procs").split()))
        except FileNotFoundError:
            continue  # removed since
    return tuple(sorted(pids))


def kill(cgroup: Cgroup, timeout: float = 10.0) -> bool:
    """Kill every process of the container; True when none is left.

    They are stopped first: what stands still cannot fork, nor end and leave its number to another.
    """
    if cgroup.unified and not cgroup.v1 and v2.kill(cgroup.unified):
        return _wait_until_empty(cgroup, timeout)
    deadline = time.monotonic() + timeout
    while processes(cgroup):
        if time.monotonic() > deadline:
            return False
        try:
            freeze(cgroup, timeout=1.0)
        except Conflict:
            pass  # what does not stop is not running either: it waits in the kernel
        for pid in processes(cgroup):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        thaw(cgroup)  # on v1 a stopped process dies only when it goes on
        _wait_until_empty(cgroup, 0.05)
    return True


def _wait_until_empty(cgroup: Cgroup, timeout: float) -> bool:
    deadline = time.monotonic() + timeout
    pause = 0.0002
    while processes(cgroup):
        if time.monotonic() > deadline:
            return False
        time.sleep(pause)
        pause = min(2 * pause, 0.02)
    return True
