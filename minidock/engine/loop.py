"""An event loop of forty lines: descriptors, and what to do when they are ready.

asyncio would do, and costs 67 ms to import and most of the 5 MB that a monitor may keep.

See: epoll(7)
"""

from __future__ import annotations

import select

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

    def turn(self, timeout: float = -1) -> bool:
        """Wait for events and handle them. False when `timeout` seconds passed without any."""
        ready = self._epoll.poll(timeout)
        for fd, events in ready:
            handler = self._handlers.get(fd)  # an earlier handler may have forgotten it
            if handler:
                handler[1](events)
        return bool(ready)
