"""Whether the kernel killed a process of the container for want of memory.

A process that is killed by the OOM killer ends by SIGKILL like any other, and its exit code does
not tell why. The memory cgroup counts such kills, so whoever records a container's end reads the
number once the last process is gone and before the cgroup is removed. `docker inspect` shows it as
`OOMKilled`, and like there any process of the container counts, not only the first.

It is known only for what is in a memory cgroup; every container is in one where the host has the
controller at all. A kill because the *host* had no memory left counts as well.

`OOMNotifier` tells at the time it happens, which `events` is for. v1: an eventfd, given to the
kernel by writing its number to cgroup.event_control. v2: poll(2) on memory.events.

See: https://docs.kernel.org/admin-guide/cgroup-v1/memory.html#oom-control, eventfd(2),
https://docs.kernel.org/admin-guide/cgroup-v2.html#memory-interface-files
"""

from __future__ import annotations

import os

from minidock.isolation.cgroups.control_file import read_control, write_control

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from minidock.isolation.cgroups.place import Cgroup


def oom_kills(cgroup: Cgroup) -> int:
    """How many processes in the cgroup, or below it, were killed since it was made; 0 where the
    host does not count."""
    if directory := cgroup.v2_directory("memory"):
        return _count(f"{directory}/memory.events")  # with those below
    directory = cgroup.v1_directory("memory")
    if not directory:
        return 0
    # v1 counts each cgroup by itself, and a container may have made some below its own.
    return sum(_count(f"{below}/memory.oom_control") for below, _, _ in os.walk(directory))


def _count(path: str) -> int:
    try:
        lines = read_control(path).splitlines()
    except FileNotFoundError:
        return 0  # not joined, or removed
    return next((int(line.split()[1]) for line in lines if line.startswith("oom_kill ")), 0)


class OOMNotifier:
    """`with OOMNotifier(cgroup) as notifier:` poll `notifier.fileno()` for `notifier.event`; then
    `acknowledge` says how many were killed meanwhile. Raises `OSError` where the cgroup is gone or
    the host does not count."""

    def __init__(self, cgroup: Cgroup) -> None:
        import select

        self._cgroup = cgroup
        directory = cgroup.v2_directory("memory")
        self._eventfd = not directory
        if directory:
            self._fd = os.open(f"{directory}/memory.events", os.O_RDONLY | os.O_CLOEXEC)
            self.event = select.POLLPRI
            os.pread(self._fd, 4096, 0)  # what changes from now on is news
        else:
            self._fd = _register_eventfd(cgroup.v1_directory("memory"))
            self.event = select.POLLIN
        self._seen = oom_kills(cgroup)

    def fileno(self) -> int:
        return self._fd

    def acknowledge(self) -> int:
        """Be ready for the next event. 0 kills is possible: other things are reported too, among
        them, on v1, that the cgroup was removed."""
        if self._eventfd:
            os.read(self._fd, 8)
        else:
            os.pread(self._fd, 4096, 0)
        before, self._seen = self._seen, oom_kills(self._cgroup)
        return max(self._seen - before, 0)

    def close(self) -> None:
        os.close(self._fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        self.close()


def _register_eventfd(directory: str) -> int:
    eventfd = os.eventfd(0, os.EFD_CLOEXEC)
    try:
        control = os.open(f"{directory}/memory.oom_control", os.O_RDONLY | os.O_CLOEXEC)
        try:
            write_control(f"{directory}/cgroup.event_control", f"{eventfd} {control}")
        finally:
            os.close(control)
    except OSError:
        os.close(eventfd)
        raise
    return eventfd
