"""The command's side of a monitor's socket: one terminal here, one process there.

While a command is attached, this loop carries what is typed to the monitor and what the process
prints back. With a container's terminal the local one is put into *raw* mode: Ctrl-C, Ctrl-Z and
line editing then belong to the terminal inside, which turns them into signals there. However the
loop ends, by the process's end, by the detach keys or by an exception, the terminal gets its former
mode back.

See: termios(3), tty_ioctl(4), signal(7)
"""

from __future__ import annotations

import _socket
import os
import select

from minidock.engine import frames
from minidock.engine.output import write_all
from minidock.engine.sockets import with_directory
from minidock.linux import signals as signal
from minidock.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

DETACH_KEYS = b"\x10\x11"  # ctrl-p, ctrl-q
_CHUNK = 32 << 10
# Sent on to the process; SIGWINCH becomes a new window size, and 3 SIGINTs without effect end us.
_FORWARDED = ("SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2", "SIGCONT")
_PATIENCE = 3


class Outcome(Record):
    """How an attachment ended. `kind` is "exited", "failed", "detached" or "lost"."""

    kind: str
    code: int = 0
    message: str = ""


class MonitorConnection:
    """A connected socket, seen as frames. Methods raise `OSError`."""

    def __init__(self, sock: _socket.socket) -> None:
        self._sock = sock
        self._parser = frames.Parser()
        self._waiting: list[tuple[int, bytes]] = []

    @classmethod
    def connect(cls, path: str) -> MonitorConnection:
        """To a running container's monitor. `FileNotFoundError`, `ConnectionRefusedError`."""
        sock = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM | _socket.SOCK_CLOEXEC)
        with_directory(os.path.dirname(path), sock.connect)
        return cls(sock)

    def fileno(self) -> int:
        return self._sock.fileno()

    def send(self, kind: int, payload: bytes = b"") -> None:
        self._sock.sendall(frames.frame(kind, payload), _socket.MSG_NOSIGNAL)

    def order(self, text: bytes) -> None:
        """Give a monitor its order. One that has died gets none, and `wait_started` says so."""
        try:
            self.send(frames.ORDER, text)
        except (BrokenPipeError, ConnectionResetError):
            pass

    def receive(self) -> list[tuple[int, bytes]]:
        """Wait for frames; an empty list means that the monitor is gone."""
        while True:
            try:
                data = self._sock.recv(_CHUNK * 4)
            except ConnectionResetError:
                return []
            if not data:
                return []
            found = list(self._parser.feed(data))
            if found:
                return found

    def wait_ready(self) -> None:
        """Until the fork that will monitor an `exec` can take its order. `ConnectionError` if the
        container's monitor is gone."""
        if frames.READY not in (kind for kind, _ in self.receive()):
            raise ConnectionResetError("the container's monitor has ended")

    def wait_started(self, narrate: Any = None) -> Outcome:
        """Wait until the program runs. Frames that follow stay for `next_frames`."""
        while True:
            batch = self.receive()
            if not batch:
                return Outcome("lost", 125, "the container's monitor died")
            for position, (kind, payload) in enumerate(batch):
                if kind == frames.NARRATION and narrate:
                    narrate(payload)
                elif kind == frames.STARTED:
                    self._waiting = batch[position + 1 :]
                    return Outcome("started", int(payload))
                elif kind == frames.FAILED:
                    return Outcome("failed", payload[0], payload[1:].decode("utf-8", "replace"))

    def next_frames(self) -> list[tuple[int, bytes]]:
        waiting, self._waiting = self._waiting, []
        return waiting or self.receive()

    @property
    def has_frames(self) -> bool:
        return bool(self._waiting)

    def wait_exited(self) -> Outcome:
        """Only wait for the end."""
        while True:
            batch = self.next_frames()
            if not batch:
                return Outcome("lost", 255)
            for kind, payload in batch:
                if kind == frames.EXITED:
                    return Outcome("exited", payload[0])

    def close(self) -> None:
        self._sock.close()


class Attachment:
    """The loop. `stdin` is -1 when nothing is to be sent; `signals`: those that we get
    are passed on. `told` hears what we did to the container (events.py)."""

    def __init__(
        self,
        connection: MonitorConnection,
        *,
        stdin: int,
        stdout: int,
        stderr: int,
        terminal: bool,
        signals: bool = False,
        told: Callable[..., None] | None = None,
    ) -> None:
        self._connection = connection
        self._stdin = stdin
        self._outputs = {frames.STDOUT: stdout, frames.STDERR: stderr}
        self._terminal = terminal
        self._raw = terminal and stdin >= 0 and os.isatty(stdin)
        self._signals = signals
        self._told = told or (lambda *_, **__: None)
        self._interrupts = 0
        self._held = b""  # the first of the detach keys, until we know what follows

    def run(self) -> Outcome:
        """Relay until the process ends, the user detaches, or the monitor is gone."""
        handlers = self._catch_signals()
        restore = self._make_raw() if self._raw else None
        try:
            if self._terminal:
                self._send_size()
            return self._relay()
        finally:
            if restore:
                restore()
            self._restore_signals(handlers)

    def _make_raw(self) -> Callable[[], None]:
        """Pass every key on as it is; returns what gives the terminal its former mode back."""
        import termios
        import tty

        fd, saved = self._stdin, termios.tcgetattr(self._stdin)
        tty.setraw(fd, termios.TCSANOW)
        return lambda: termios.tcsetattr(fd, termios.TCSADRAIN, saved)

    def _relay(self) -> Outcome:
        poll = select.poll()
        poll.register(self._connection.fileno(), select.POLLIN)
        poll.register(self._wakeup_r, select.POLLIN)
        if self._stdin >= 0:
            poll.register(self._stdin, select.POLLIN)
        while True:
            ready = {} if self._connection.has_frames else dict(poll.poll())
            if self._connection.has_frames or self._connection.fileno() in ready:
                outcome = self._take_frames()
                if outcome:
                    return outcome
            if self._wakeup_r in ready and self._take_signals():
                return Outcome("lost", 1)
            if self._stdin in ready and self._stdin >= 0:
                outcome = self._take_input(poll)
                if outcome:
                    return outcome

    def _take_frames(self) -> Outcome | None:
        batch = self._connection.next_frames()
        if not batch:
            return Outcome("lost", 255)
        for kind, payload in batch:
            if kind in self._outputs:
                write_all(self._outputs[kind], payload)
            elif kind == frames.EXITED:
                return Outcome("exited", payload[0])
        return None

    def _take_input(self, poll: select.poll) -> Outcome | None:
        try:
            data = os.read(self._stdin, _CHUNK)
        except OSError:  # the terminal was closed, or we are in the background
            data = b""
        if not data:
            poll.unregister(self._stdin)
            self._stdin = -1
            self._say(frames.STDIN_EOF)
            return None
        if self._terminal:
            data = self._held + data
            at = data.find(DETACH_KEYS)
            if at >= 0:
                self._say(frames.STDIN, data[:at])
                self._told("detach")
                return Outcome("detached")
            cut = len(data) - 1 if data.endswith(DETACH_KEYS[:1]) else len(data)
            data, self._held = data[:cut], data[cut:]
        self._say(frames.STDIN, data)
        return None

    def _say(self, kind: int, payload: bytes = b"") -> None:
        """Send; a monitor that is just closing says EXITED on its own."""
        try:
            self._connection.send(kind, payload)
        except (BrokenPipeError, ConnectionResetError):
            pass

    # ── signals ──

    def _catch_signals(self) -> list[tuple[int, Any]]:
        self._wakeup_r, self._wakeup_w = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        signal.set_wakeup_fd(self._wakeup_w, warn_on_full_buffer=False)
        names = [*_FORWARDED, "SIGWINCH"] if self._signals else ["SIGWINCH"]
        numbers = [getattr(signal, name) for name in names]
        return [(number, signal.signal(number, lambda *_: None)) for number in numbers]

    def _restore_signals(self, handlers: list[tuple[int, Any]]) -> None:
        for number, handler in handlers:
            signal.signal(number, handler)
        signal.set_wakeup_fd(-1)
        os.close(self._wakeup_r)
        os.close(self._wakeup_w)

    def _take_signals(self) -> bool:
        """Handle what was caught. True when the user has lost patience."""
        for number in os.read(self._wakeup_r, 64):
            if number == signal.SIGWINCH:
                if self._terminal:
                    self._send_size()
                continue
            if number in (signal.SIGINT, signal.SIGTERM):
                self._interrupts += 1
                if self._interrupts >= _PATIENCE:
                    return True
            self._told("kill", signal=str(number))
            self._say(frames.SIGNAL, bytes((number,)))
        return False

    def _send_size(self) -> None:
        for fd in (0, 1, 2):
            try:
                size = os.get_terminal_size(fd)
            except OSError:
                continue
            if size.lines and size.columns:
                payload = size.lines.to_bytes(2, "big") + size.columns.to_bytes(2, "big")
                self._say(frames.RESIZE, payload)
                self._told("resize", height=str(size.lines), width=str(size.columns))
            return
