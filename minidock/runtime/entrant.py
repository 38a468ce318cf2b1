"""The process that enters a container on behalf of the OCI runtime.

`minidock run` has a monitor, and that one is sealed (linux/seal.py), so that its forks may enter a
container. The OCI runtime has none: who calls it (conmon, containerd's shim) holds the container's
streams and waits for it. So its command starts this sealed interpreter before it does anything
else, and both get ready at the same time:

    command                             entrant: sealed, with the command's streams
      │ spawn ─────────────────────────────► main() below
      │ reads argv and bundle, plans,         │ imports what Steps are made of
      │ makes the cgroup                      │ waits
      ├──────────────── PLAN ────────────────►│
      │                                       ▼
      ▼                                       is intermediate, of runtime/launch.py
     is main

A command that fails before it has a plan closes the socket, and the entrant ends.

Where the interpreter that runs the command is sealed already (`is_sealed`), all this is not needed:
then a fork of the command enters, which has everything imported, and half the time is saved.
"""

from __future__ import annotations

import _socket
import os

from minidock.runtime.sync import PLAN, Channel, channel_pair

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import NoReturn

    from minidock.spec.runtime import Process
    from minidock.step import ContainerPlan

# Far from 3, from where on a caller's own descriptors lie that the program may inherit.
CHANNEL_FD = 250
MOST_PRESERVED = 200


class Entrant:
    """The command's side: the socket, and the PID to wait for. `preserved` descriptors from 3 on
    will stay open in it."""

    def __init__(self, channel: Channel, pid: int) -> None:
        self.preserved = 0
        self._channel = channel
        self._pid = pid

    def begin(self, plan: ContainerPlan) -> tuple[Channel, int]:
        """Let it begin; the channel to it, and its PID. Raises `OSError`."""
        from minidock.runtime.wire import encode

        fd = os.memfd_create("plan", os.MFD_CLOEXEC)
        try:
            os.write(fd, encode((plan.enter, plan.isolate, plan.confine)))
            self._channel.send(PLAN, number=self.preserved, fd=fd)
        finally:
            os.close(fd)
        return self._channel, self._pid


class Fork:
    """The same, done by a fork of this process, which must be sealed."""

    def __init__(self) -> None:
        self.preserved = 0

    def begin(self, plan: ContainerPlan) -> tuple[Channel, int]:
        from minidock.linux import signals as signal
        from minidock.runtime.launch import Unobserved, intermediate
        from minidock.step import Context

        ours, theirs = channel_pair()
        pid = os.fork()
        if pid == 0:
            signal.set_wakeup_fd(-1)
            os.dup2(theirs.fileno(), CHANNEL_FD, inheritable=False)
            _close_others(self.preserved)
            channel = Channel(_socket.socket(fileno=CHANNEL_FD))
            intermediate(plan, Context(), channel, Unobserved())
        theirs.close()
        return ours, pid


def _close_others(preserved: int) -> None:
    """Whatever else there is, our lock and what the caller had open: it is nothing to a container,
    and a lock would be held for as long as init waits."""
    os.closerange(3 + preserved, CHANNEL_FD)
    os.closerange(CHANNEL_FD + 1, 1 << 16)


def may_fork(processes: Sequence[Process]) -> bool:
    """Whether a fork of this process may enter a container with such processes in it."""
    from minidock.linux.seal import is_sealed

    sets = [process.capabilities for process in processes]
    held = {name for each in sets for name in (*each.bounding, *each.permitted)}
    return "CAP_LINUX_IMMUTABLE" not in held and is_sealed()


def spawn_entrant() -> Entrant:
    """Start one. Raises `OSError`, where the kernel refuses to seal for example."""
    from minidock.linux.seal import fork_sealed

    ours, theirs = channel_pair()
    pid = fork_sealed("minidock.runtime.entrant", theirs.fileno(), CHANNEL_FD)
    theirs.close()
    return Entrant(ours, pid)


def main() -> NoReturn:
    """In the new interpreter."""
    channel = Channel(_socket.socket(fileno=CHANNEL_FD))
    import minidock.runtime.exec
    import minidock.runtime.plan  # noqa: F401 (both: for the Steps)
    from minidock.runtime.launch import Unobserved, intermediate
    from minidock.runtime.wire import decode
    from minidock.step import ContainerPlan, Context

    kind, _, preserved, fd = channel.receive()
    if kind != PLAN:
        os._exit(0)  # the command ended before it had a plan
    with open(fd, "rb") as file:
        file.seek(0)
        enter, isolate, confine = decode(file.read())
    _close_others(preserved)
    plan = ContainerPlan((), enter, (), isolate, confine)
    intermediate(plan, Context(), channel, Unobserved())
