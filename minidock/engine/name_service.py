"""The resolver beside a container, as a part of its monitor.

Imported by monitors of containers on a network of the user's only. The two sockets come from init,
which makes them in its own namespace before it becomes the program; where a container is connected
to its first such network while it runs, the monitor makes them itself, in there.

See: network/redirect.py, network/resolver.py, neighbours.py
"""

from __future__ import annotations

import _socket
import os

from minidock.engine.neighbours import Neighbours, inside
from minidock.engine.statefile import read_json
from minidock.network.resolver import Resolver

TYPE_CHECKING = False
if TYPE_CHECKING:
    from minidock.engine.loop import Loop
    from minidock.engine.monitor_order import Order
    from minidock.engine.session import Client


class NameService:
    """Answers questions about names from when both sockets are there until it is closed."""

    def __init__(self, loop: Loop, order: Order) -> None:
        self._loop = loop
        self._order = order
        self._sockets: list[_socket.socket] = []
        self._resolver: Resolver | None = None

    def take(self, fd: int) -> None:
        """One of the two sockets, that of UDP first."""
        self._sockets.append(_socket.socket(fileno=fd))
        if len(self._sockets) == 2:
            directory, run_dir = self._order.directory, self._order.run_dir
            names = Neighbours(
                os.path.dirname(os.path.dirname(directory)),
                os.path.dirname(run_dir),
                os.path.basename(directory),
                self._init,
            )
            self._resolver = Resolver(self._loop, names, *self._sockets)

    def make(self, pid: int, client: Client) -> None:
        """Make the sockets in the namespace of a process of ours, if they are not there yet, and
        tell the client."""
        from minidock.engine import frames
        from minidock.linux.kernel import LinuxKernel
        from minidock.network.redirect import listen

        try:
            if pid and not self._sockets:
                for fd in inside(pid, lambda: listen(LinuxKernel())):
                    self.take(fd)
        except OSError as error:
            client.send(frames.FAILED, b"\x80" + str(error).encode("utf-8", "replace"))
        else:
            client.send(frames.READY)

    def close(self) -> None:
        if self._resolver:
            self._resolver.close()
        for sock in self._sockets:
            sock.close()

    def _init(self) -> int:
        """The container's first process. It is a child that this process has not waited for, or
        its number would be nobody's, and then there would be nobody to ask."""
        started = read_json(f"{self._order.directory}/started.json") or {}
        return int(started.get("Pid", 0))
