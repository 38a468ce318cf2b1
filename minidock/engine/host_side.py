"""What one container has on the host that the kernel does not clean up by itself.

Most of a container goes with its last process: its mounts, its devices, its end of the network. The
rest is little enough to be listed, and its monitor holds all of it:

    lock          of container.json's directory: this container has a monitor
    run_dir       /run/minidock/<id>, with the socket at which clients ask for the monitor
    cgroups       directories, one per hierarchy
    networks      leases of addresses, and elements of the maps of published ports
    ports         the sockets that keep those ports of the host from others
    names         the two sockets of its resolver
    exited.json   how it ended

`clean_up` takes it back. Whatever a monitor that was killed leaves, sweep.py finds.

The process of an `exec` has a lock and a request file instead of a directory, and nothing else.
"""

from __future__ import annotations

import _socket
import os

from minidock.engine.aftermath import oom_kills, remove_cgroup
from minidock.engine.holding import lock_of, take
from minidock.engine.loop import READ
from minidock.engine.sockets import with_directory
from minidock.linux.files import remove_file

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from minidock.engine.loop import Loop
    from minidock.engine.monitor_order import Order
    from minidock.engine.name_service import NameService
    from minidock.engine.oom_watch import OomWatch
    from minidock.engine.relay import HostPorts


class HostSide:
    """Raises `BlockingIOError` where the container has a monitor already."""

    def __init__(self, loop: Loop, order: Order) -> None:
        self._loop = loop
        self.order = order
        self.cgroups: list[str] = []
        self._names: NameService | None = None
        self._ports: HostPorts | None = None
        self._ooms: OomWatch | None = None
        self._listener: _socket.socket | None = None
        self._lock = take(order.run_dir if "x" in order else lock_of(order.directory))
        if "x" not in order:
            self._listen(order.run_dir)

    def _listen(self, run_dir: str) -> None:
        from minidock.engine.removal import remove_run_dir

        remove_run_dir(run_dir)  # a monitor that was killed left its socket
        os.makedirs(run_dir, mode=0o700)
        listener = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM | _socket.SOCK_CLOEXEC)
        with_directory(run_dir, listener.bind)
        listener.listen(64)
        self._listener = listener  # who connects now waits until `accept`

    def accept(self, add_client: Callable[[_socket.socket], object]) -> None:
        """From now on whoever connects, or did before, is made a client."""
        listener = self._listener

        def connected(_: int) -> None:
            assert listener
            fd, _address = listener._accept()  # type: ignore[attr-defined]  # typeshed lacks it
            add_client(_socket.socket(fileno=fd))

        if listener:
            self._loop.watch(listener.fileno(), READ, connected)

    @property
    def names(self) -> NameService:
        """The resolver; there is one from when it is first asked for."""
        from minidock.engine.name_service import NameService

        self._names = self._names or NameService(self._loop, self.order)
        return self._names

    @property
    def ports(self) -> HostPorts:
        """The published ports' sockets; the same."""
        from minidock.engine.relay import HostPorts

        self._ports = self._ports or HostPorts(self._loop)
        return self._ports

    def watch_memory(self) -> None:
        """Tell when the kernel kills a process for want of it."""
        from minidock.engine.obituary import tell_of_kill
        from minidock.engine.oom_watch import OomWatch

        self._ooms = OomWatch(self._loop, self.cgroups, lambda: tell_of_kill(self.order))

    # ── the end ──

    def stop_watching(self) -> bool:
        """Whether such a kill was told."""
        ooms, self._ooms = self._ooms, None
        return bool(ooms and ooms.stop())

    def close_names(self) -> None:
        """Nobody is left who could ask."""
        if self._names:
            self._names.close()
            self._names = None

    def was_oom_killed(self, code: int) -> bool:
        """Whether the kernel killed one of its processes for want of memory. Not asked of an
        `exec`, nor of what has ended well and goes."""
        ask = "x" not in self.order and ("r" not in self.order or code != 0)
        return ask and any(map(oom_kills, self.cgroups))

    def write_end(self, record: dict[str, object]) -> None:
        """The launcher has kept room for it, on a disk that may be full now. Should it fail all the
        same, `ps` will say 255; who is attached gets the code, and the container is cleaned up."""
        from minidock.engine.statefile import write_json

        try:
            write_json(f"{self.order.directory}/exited.json", record)
        except OSError:
            pass

    def rest_between_lives(self) -> None:
        """It is to be started again: only lock and socket stay, for whoever waits on it."""
        self._remove_cgroups()
        self._disconnect()

    def clean_up(self) -> None:
        """Take all of it back; with `--rm` the container's files, too."""
        clean = self._remove_cgroups() and self._disconnect()
        if "x" in self.order:
            remove_file(self.order.run_dir)  # (gone where the container has ended, too)
            return
        from minidock.engine.removal import remove_run_dir

        if self._listener:
            self._loop.forget(self._listener.fileno())
            self._listener.close()
        if clean:  # else it stays, as a sign that there is something left to sweep
            remove_run_dir(self.order.run_dir)
        if "r" in self.order:
            from minidock.engine.obituary import remove_files

            remove_files(self.order)
        os.close(self._lock)  # who is told of the end may start it anew

    def _remove_cgroups(self) -> bool:
        """False where one cannot be removed."""
        removed = [remove_cgroup(path) for path in self.cgroups]
        self.cgroups = []
        return all(removed)

    def _disconnect(self) -> bool:
        """False where something cannot be taken back."""
        if "n" not in self.order:
            return True
        from minidock.engine.disconnect import disconnect

        try:
            disconnect(self.order.run_dir)
        except OSError:
            return False
        if self._ports:  # not before: who takes one must find it closed
            self._ports.close()
            self._ports = None
        return True
