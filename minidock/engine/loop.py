"""An event loop of sixty lines: descriptors, and what to do when they are ready; moments, and what
to do when they have come.

asyncio would do, and costs 67 ms to import and most of the 5 MB that a monitor may keep.

See: epoll(7), clock_gettime(2) on CLOCK_MONOTONIC
"""

from __future__ import annotations

import select
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

READ = select.EPOLLIN
WRITE = select.EPOLLOUT


class Loop:
    """Calls back with the events (EPOLLIN, EPOLLOUT, EPOLLHUP …) of each watched descriptor."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._handlers: dict[int, tuple[int, Callable[[int], None]]] = {}
        self._timers: dict[int, tuple[float, Callable[[], None]]] = {}
        self._last_timer = 0

    def watch(self, fd: int, events: int, handler: Callable[[int], None]) -> None:
        """Watch `fd`, or change what it is watched for. Events of 0 mean: only its hang-up."""
        if fd in self._handlers:
            if self._handlers[fd][0] != events:
                self._epoll.modify(fd, events)
        else:
            self._epoll.register(fd, events)
        self._handlers[fd] = (events, handler)

    def forget(self, fd: int) -> None:
        """Stop watching; call before closing."""
        if self._handlers.pop(fd, None):
            self._epoll.unregister(fd)

    def after(self, seconds: float, call: Callable[[], None]) -> int:
        """Call once, in so many seconds. The number is for `cancel`."""
        self._last_timer += 1
        self._timers[self._last_timer] = (time.monotonic() + seconds, call)
        return self._last_timer

    def cancel(self, timer: int) -> None:
        """One that was called already, or cancelled, is fine."""
        self._timers.pop(timer, None)

    def fileno(self) -> int:
        """The descriptor of its epoll(7)."""
        return self._epoll.fileno()

    def idle_for(self) -> float:
        """Seconds until the first moment has come; -1 where none is waited for."""
        if not self._timers:
            return -1.0
        return max(0.0, min(when for when, _ in self._timers.values()) - time.monotonic())

    def turn(self, timeout: float = -1) -> bool:
        """Wait for events and handle them. False when `timeout` seconds passed without any."""
        first = self.idle_for()
        if first >= 0:
            timeout = first if timeout < 0 else min(timeout, first)
        ready = self._epoll.poll(timeout)
        for fd, events in ready:
            handler = self._handlers.get(fd)  # an earlier handler may have forgotten it
            if handler:
                handler[1](events)
        return self._call_due() or bool(ready)

    def _call_due(self) -> bool:
        now = time.monotonic()
        due = [number for number, (when, _) in self._timers.items() if when <= now]
        for number in due:
            timer = self._timers.pop(number, None)  # an earlier one may have cancelled it
            if timer:
                timer[1]()
        return bool(due)
