"""Starting a monitor, before anything else is done.

An interpreter takes 10 ms to start and the launcher's modules 25 to import; the command has about
as much to do before it can say what should be started. So commands that will need a monitor spawn
one first, and the two get ready at the same time.

    command          new interpreter, sealed (linux/seal.py)
      │ spawn ─────────► main() below
      │ reads argv,       ├─ fork ─► launcher: imports the runtime, waits
      │ finds image …     │          (engine/launcher.py)
      │                   ▼
      ├── ORDER ───► monitor, waits (engine/monitor.py)

A command that fails before it has an order just closes the socket, and both end.

An `exec` finds a monitor running already, the container's own: a fork of that one is ready at once,
sealed like it and without an interpreter to start.
"""

from __future__ import annotations

import _socket
import os

COMMAND_FD = 3
_SPARE_FD = 1000
_PR_SET_CHILD_SUBREAPER = 36

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

    from minidock.runtime.sync import Channel


def spawn_monitor() -> _socket.socket:
    """Start a monitor; the socket on which it waits for its order. Raises `OSError`."""
    from minidock.linux.seal import spawn_sealed

    kind = _socket.SOCK_STREAM | _socket.SOCK_CLOEXEC
    ours, theirs = _socket.socketpair(_socket.AF_UNIX, kind, 0)
    spawn_sealed("minidock.engine.spawn", (), (theirs.fileno(),))
    theirs.close()
    return ours


def main() -> None:
    """In the new interpreter; descriptor 3 leads to the command."""
    serve_command("run")
    os._exit(0)  # the interpreter would tidy up for 10 ms, and nothing is left to be tidied


def become_monitor(command: int) -> NoReturn:
    """In a fork of a container's monitor: serve the `exec` at the other end of `command`."""
    try:
        _keep_only(command)
        serve_command("exec", forked=True)
    finally:
        os._exit(0)


def fork_launcher(errand: str) -> Channel:
    """A launcher that waits for its order: our end of the channel to it. It keeps no other
    descriptor of ours."""
    from minidock.runtime.sync import Channel, channel_pair

    ours, theirs = channel_pair()
    if os.fork():
        theirs.close()
        return ours
    try:
        _keep_only(theirs.fileno())
        from minidock.engine.launcher import serve

        serve(Channel(_socket.socket(fileno=COMMAND_FD)), errand)
    finally:
        os._exit(0)


def _keep_only(fd: int) -> None:
    """In a fork: `fd` becomes number 3 and all others above 2 are closed. The objects that held
    them are never touched again."""
    from minidock.engine.children import forget_children

    forget_children()
    os.dup2(fd, _SPARE_FD)
    os.closerange(COMMAND_FD, _SPARE_FD)
    os.closerange(_SPARE_FD + 1, 1 << 16)
    os.dup2(_SPARE_FD, COMMAND_FD, inheritable=False)
    os.close(_SPARE_FD)


def serve_command(errand: str, *, forked: bool = False) -> None:
    """Fork the launcher, be the monitor. Returns when all is over."""
    to_launcher = fork_launcher(errand)
    from minidock.engine.monitor import Monitor

    if forked:
        from minidock.engine import frames
        from minidock.linux.syscalls import prctl

        prctl(_PR_SET_CHILD_SUBREAPER, 1)  # a fork does not inherit it
        os.write(COMMAND_FD, frames.frame(frames.READY))
    Monitor(_socket.socket(fileno=COMMAND_FD), to_launcher).run()
