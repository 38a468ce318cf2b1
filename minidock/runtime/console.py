"""Handing a container's terminal to whoever asked for it: `--console-socket`.

The terminal is made inside the container (isolation/terminal.py); its master side comes out to the
command. An engine that detaches listens on a Unix socket and gets the master there, as a descriptor
in a control message, as runc sends it.

See: unix(7), cmsg(3), https://github.com/opencontainers/runc/blob/main/docs/terminals.md
"""

from __future__ import annotations

import _socket
import os

from minidock.errors import StartFailed

_FD_BYTES = 4


class ConsoleSocket:
    """A connection to the engine. Raises `StartFailed` where nobody listens at `path`."""

    def __init__(self, path: str) -> None:
        self._socket = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM | _socket.SOCK_CLOEXEC)
        try:
            self._socket.connect(os.fsencode(path))
        except OSError as error:
            words = os.strerror(error.errno or 0).lower()
            raise StartFailed(f"console socket {path}: {words}") from error

    def take_terminal(self, master: int) -> None:
        """Send it. The text beside it is the name of the file that was opened."""
        rights = (_socket.SOL_SOCKET, _socket.SCM_RIGHTS, master.to_bytes(_FD_BYTES, "little"))
        try:
            self._socket.sendmsg([b"/dev/ptmx"], [rights], _socket.MSG_NOSIGNAL)
        except OSError as error:
            words = os.strerror(error.errno or 0).lower()
            raise StartFailed(f"console socket: {words}") from error
        self._socket.close()
