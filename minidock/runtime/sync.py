"""What the three processes of a start say to each other. This is all of it.

    main                 intermediate                init
     │ fork ─────────────────►│                        :
     │                        │ enter: cgroup, …       :
     │◄─────────────── GRANT ─┤ with a user namespace  :
     │ grant: uid_map, …      │ (waits)                :
     ├────────── PROCEED ────►│                        :
     │                        │ enter: … unshare       :
     │                        │ fork ─────────────────►│
     │◄────────── INIT_PID ───┤                        │ (waits)
     │ attach                 ▪ exits                  │
     ├────────────────────────────────── PROCEED ─────►│
     │                                                 │ isolate
     │◄────────────────────────────────── MOUNTED ─────┤ with hooks: before it pivots
     │ meet                                            │ (waits)
     ├────────────────────────────────── PROCEED ─────►│
     │                                                 │ confine
     │◄───────────────────────────────── TERMINAL ─────┤ with `-t`: the master comes along
     │◄──────────────────────────────────── READY ─────┤ `oci create`: it waits for `oci start`
     │                                                 :
     │◄────────────────────────── (end of file) ───────┤ execve closed the socket: it runs
     │                                                 ▪
     │◄─────────────────────────────────── FAILED ─────┤ or a step failed, in any of them

Where intermediate is no fork of main but an interpreter of its own (entrant.py), main sends it the
PLAN first. READY is the last that main waits for; what fails later, init says on its stderr.

One socket pair of type SOCK_SEQPACKET, so that a message is a message; the child's end is held by
intermediate and init, close-on-exec. A message is a tuple (kind, text, number) in Python's own
marshal format: both ends are the same program, and init may load no module any more.

See: unix(7), socketpair(2), cmsg(3)
"""

from __future__ import annotations

import _socket
import marshal
import os

from minidock.errors import StartFailed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

INIT_PID = 1
PROCEED = 2
TERMINAL = 3
FAILED = 4
PLAN = 5
MOUNTED = 6
READY = 7
GRANT = 8
CGROUPS = 9  # from the launcher to the monitor only: what it is about to make
PORT = 11  # from the launcher to the monitor: a socket that holds a port of the host
NAMES = 10  # from init to the monitor: a socket, twice; see network/redirect.py

_MAX_MESSAGE = 1 << 16
_FD_BYTES = 4


def encode(kind: int, text: str = "", number: int = 0) -> bytes:
    """A message as it is sent."""
    return marshal.dumps((kind, text[: _MAX_MESSAGE // 8], number))


class Channel:
    """One end of the socket pair."""

    def __init__(self, sock: _socket.socket) -> None:
        self._sock = sock

    def send(self, kind: int, text: str = "", number: int = 0, fd: int = -1) -> None:
        """Send one message, with a descriptor if `fd` is given. `BrokenPipeError` if nobody is
        there."""
        data = encode(kind, text, number)
        rights = []
        if fd >= 0:
            rights = [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, fd.to_bytes(_FD_BYTES, "little"))]
        self._sock.sendmsg([data], rights, _socket.MSG_NOSIGNAL)

    def receive(self, *, wait: bool = True) -> tuple[int, str, int, int]:
        """The next (kind, text, number, fd); (0, "", 0, -1) when the other end is closed, or,
        without `wait`, when nothing has come."""
        room = _socket.CMSG_SPACE(_FD_BYTES)
        flags = _socket.MSG_CMSG_CLOEXEC | (0 if wait else _socket.MSG_DONTWAIT)
        try:
            data, rights, _, _ = self._sock.recvmsg(_MAX_MESSAGE, room, flags)
        except BlockingIOError:
            return 0, "", 0, -1
        fd = int.from_bytes(rights[0][2][:_FD_BYTES], "little") if rights else -1
        if not data:
            return 0, "", 0, -1
        kind, text, number = marshal.loads(data)
        return kind, text, number, fd

    def fileno(self) -> int:
        return self._sock.fileno()

    def close(self) -> None:
        self._sock.close()

    def report(self, error: BaseException) -> None:
        """Tell the other end why it ends here. Where nobody listens any more, which is so after
        READY, standard error is told, as execve's caller would do it."""
        try:
            self.send(FAILED, describe_error(error), getattr(error, "exit_code", 128))
        except OSError:
            try:
                os.write(2, describe_error(error).encode("utf-8", "replace") + b"\n")
            except OSError:
                pass


def channel_pair() -> tuple[Channel, Channel]:
    """Two connected ends."""
    ours, theirs = _socket.socketpair(
        _socket.AF_UNIX, _socket.SOCK_SEQPACKET | _socket.SOCK_CLOEXEC, 0
    )
    return Channel(ours), Channel(theirs)


def describe_error(error: BaseException) -> str:
    """One line for a person: what was being done, and what the kernel said."""
    if isinstance(error, StartFailed):
        return error.message
    notes = getattr(error, "__notes__", [])
    doing = f"{notes[0]}: " if notes else ""
    if isinstance(error, OSError):
        about = f"{error.filename}: " if error.filename else ""
        return f"{doing}{about}{os.strerror(error.errno or 0).lower()}"
    return f"{doing}{error}"


def wait_for_execve(
    channel: Channel, take_terminal: Callable[[int], None], meet: Callable[[], None]
) -> None:
    """Main's last wait: returns when init has become the program, or waits for `start`. `meet` is
    called while init waits before it pivots. Raises `StartFailed` where a step of init failed."""
    while True:
        kind, text, number, fd = channel.receive()
        if kind in (0, READY):
            return
        if kind == TERMINAL:
            take_terminal(fd)
            os.close(fd)
        elif kind == MOUNTED:
            meet()
            channel.send(PROCEED)
        elif kind == FAILED:
            raise StartFailed(text, exit_code=number)
