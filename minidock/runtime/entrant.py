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
"""

from __future__ import annotations

import _socket
import os

from minidock.runtime.sync import PLAN, Channel

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

    from minidock.step import ContainerPlan

# Far from 3, from where on a caller's own descriptors lie that the program may inherit.
CHANNEL_FD = 250
MOST_PRESERVED = 200


class Entrant:
    """The command's side: the socket, and the PID to wait for. `preserved` descriptors from 3 on
    will stay open in it."""

    def __init__(self, channel: Channel, pid: int) -> None:
        self.channel = channel
        self.pid = pid
        self.preserved = 0

    def send_plan(self, plan: ContainerPlan) -> None:
        """Let it begin. Raises `OSError`."""
        from minidock.runtime.wire import encode

        fd = os.memfd_create("plan", os.MFD_CLOEXEC)
        try:
            os.write(fd, encode((plan.enter, plan.isolate, plan.confine)))
            self.channel.send(PLAN, number=self.preserved, fd=fd)
        finally:
            os.close(fd)


def spawn_entrant() -> Entrant:
    """Start one. Raises `OSError`, where the kernel refuses to seal for example."""
    from minidock.linux.seal import fork_sealed
    from minidock.runtime.sync import channel_pair

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
    # Whatever else the caller had open: it is nothing to a container.
    os.closerange(3 + preserved, CHANNEL_FD)
    os.closerange(CHANNEL_FD + 1, 1 << 16)
    plan = ContainerPlan((), enter, (), isolate, confine)
    intermediate(plan, Context(), channel, Unobserved())
