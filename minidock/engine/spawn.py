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
"""

from __future__ import annotations

import _socket
import os
import sys

COMMAND_FD = 3


def spawn_monitor(errand: str) -> _socket.socket:
    """Start a monitor for "run" or "exec"; the socket on which it waits for its order. Raises
    `OSError`."""
    from minidock.linux.seal import spawn_sealed

    kind = _socket.SOCK_STREAM | _socket.SOCK_CLOEXEC
    ours, theirs = _socket.socketpair(_socket.AF_UNIX, kind, 0)
    spawn_sealed("minidock.engine.spawn", (errand,), (theirs.fileno(),))
    theirs.close()
    return ours


def main() -> None:
    """In the new interpreter; descriptor 3 leads to the command."""
    from minidock.runtime.sync import channel_pair

    to_launcher, channel = channel_pair()
    launcher = os.fork()
    if launcher == 0:
        to_launcher.close()
        os.close(COMMAND_FD)
        from minidock.engine.launcher import serve

        serve(channel, sys.argv[1])
    channel.close()
    from minidock.engine.monitor import Monitor

    Monitor(_socket.socket(fileno=COMMAND_FD), to_launcher, launcher).run()
