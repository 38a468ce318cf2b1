"""Telling of it when the kernel kills a process of a container for want of memory.

A container may live on when one of its processes is killed so, and then nothing but a message from
the kernel tells. Both versions of cgroups give one: on v2 the file `memory.events` becomes ready in
epoll(7) when it changes; on v1 an eventfd is written to `cgroup.event_control`, and counts.

A monitor watches only where the container has a limit of memory. Otherwise such a kill is told with
the container's end.

See: https://docs.kernel.org/admin-guide/cgroup-v2.html (memory.events),
https://docs.kernel.org/admin-guide/cgroup-v1/memory.html (10. OOM Control), eventfd(2)
"""

from __future__ import annotations

import os
import select

from minidock.engine.aftermath import oom_kills
from minidock.engine.loop import READ

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from minidock.engine.loop import Loop

_OPEN = os.O_RDONLY | os.O_CLOEXEC


class OomWatch:
    """Watches the cgroups of one life of a container. `tell` is called for each kill."""

    def __init__(self, loop: Loop, cgroups: Iterable[str], tell: Callable[[], object]) -> None:
        self._loop = loop
        self._tell = tell
        self._watched: list[tuple[int, Callable[[], None]]] = []
        self._told = 0
        for path in cgroups:
            self._watch_v2(path) or self._watch_v1(path)

    def stop(self) -> int:
        """To be called while the cgroups are there: removing one of v1 counts as well. How often
        something was told."""
        for fd, look in self._watched:
            look()
            self._loop.forget(fd)
            os.close(fd)
        self._watched.clear()
        return self._told

    def _watch_v2(self, path: str) -> bool:
        try:
            fd = os.open(f"{path}/memory.events", _OPEN)
        except OSError:
            return False
        known = oom_kills(path)

        def look() -> None:
            nonlocal known
            os.pread(fd, 4096, 0)  # so that it is not ready any more
            now = oom_kills(path)
            self._tell_of(now - known)
            known = now

        self._watch(fd, select.EPOLLPRI, look)
        return True

    def _watch_v1(self, path: str) -> bool:
        try:
            control = os.open(f"{path}/memory.oom_control", _OPEN)
        except OSError:
            return False
        fd = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        try:
            with open(f"{path}/cgroup.event_control", "w", encoding="ascii") as file:
                file.write(f"{fd} {control}")
        except OSError:
            os.close(fd)
            return False
        finally:
            os.close(control)

        def look() -> None:
            try:
                self._tell_of(os.eventfd_read(fd))
            except BlockingIOError:
                pass  # nothing new

        self._watch(fd, READ, look)
        return True

    def _watch(self, fd: int, events: int, look: Callable[[], None]) -> None:
        self._watched.append((fd, look))
        self._loop.watch(fd, events, lambda _: look())

    def _tell_of(self, count: int) -> None:
        for _ in range(count):
            self._tell()
            self._told += 1
