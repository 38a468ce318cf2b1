"""A process's input and output, and those who are attached to it.

The monitor holds the other end of a container's pipes, or the master of its terminal. What the
process writes goes to the log and to every attached client; what a client that may speak types goes
to the process. Nobody is allowed to fill the memory: while a client does not read, the process's
output is left in its pipe, and the process waits as it would for a slow terminal; while the process
does not read, the clients wait.
"""

from __future__ import annotations

import _socket
import errno
import fcntl
import os
import time

from minidock.engine import frames
from minidock.engine.loop import READ, WRITE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from minidock.engine.jsonlog import JsonLog
    from minidock.engine.loop import Loop

CHUNK = 32 << 10
MAX_QUEUED = 256 << 10
_TIOCGWINSZ = 0x5413
_TIOCSWINSZ = 0x5414
_TO_BE_SEEN = 0.02  # seconds


class Client:
    """One connection. `attached` gets output; every client gets the end."""

    def __init__(
        self, sock: _socket.socket, loop: Loop, handle: Callable[[Client, int, bytes], None]
    ) -> None:
        self.attached = False
        self.gone = False
        self.when_drained: Callable[[], None] = lambda: None
        self._sock = sock
        self._loop = loop
        self._handle = handle
        self._parser = frames.Parser()
        self._out = bytearray()
        self._listening = True
        sock.setblocking(False)
        loop.watch(sock.fileno(), READ, self._ready)

    @property
    def queued(self) -> int:
        return len(self._out)

    def send(self, kind: int, payload: bytes = b"") -> None:
        """Queue a frame and send what the socket takes."""
        if not self.gone:
            self._out += frames.frame(kind, payload)
            self._flush()

    def listen(self, wanted: bool) -> None:
        """Stop or go on reading what this client says."""
        self._listening = wanted
        self._watch()

    def close(self) -> None:
        """Drop the connection."""
        if not self.gone:
            self.gone = True
            self._loop.forget(self._sock.fileno())
            self._sock.close()

    def fileno(self) -> int:
        return self._sock.fileno()

    def drain(self) -> None:
        """At the end: deliver what is queued, however long the client takes."""
        if self.gone:
            return
        self._sock.setblocking(True)
        try:
            self._sock.sendall(self._out)
        except OSError:
            pass
        self.close()

    def _watch(self) -> None:
        if not self.gone:
            events = (READ if self._listening else 0) | (WRITE if self._out else 0)
            self._loop.watch(self._sock.fileno(), events, self._ready)

    def _ready(self, events: int) -> None:
        if events & WRITE:
            self._flush()
        if events & ~WRITE and not self.gone:
            self._receive()

    def _flush(self) -> None:
        try:
            while self._out:
                sent = self._sock.send(self._out, _socket.MSG_NOSIGNAL)
                del self._out[:sent]
        except BlockingIOError:
            pass
        except OSError:
            self._lost()
            return
        self._watch()
        if len(self._out) < MAX_QUEUED:
            self.when_drained()

    def _receive(self) -> None:
        try:
            data = self._sock.recv(CHUNK)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._lost()
            return
        try:
            for kind, payload in self._parser.feed(data):
                self._handle(self, kind, payload)
        except ValueError:
            self._lost()

    def _lost(self) -> None:
        self.close()
        self._handle(self, 0, b"")
        self.when_drained()


class Streams:
    """The container's side: where to write its input, where its output comes from.

    `outputs` maps a descriptor to the stream it carries; with a terminal there is one, "stdout".
    """

    def __init__(
        self, loop: Loop, stdin: int, outputs: dict[int, str], log: JsonLog | None
    ) -> None:
        self.clients: list[Client] = []
        self._loop = loop
        self._stdin = stdin
        self._outputs = outputs
        self._log = log
        self._input = bytearray()
        self._end_of_input = False
        self._paused = False
        for fd in {stdin, *outputs} - {-1}:
            os.set_blocking(fd, False)
        self._listen()

    @property
    def open(self) -> bool:
        """Whether output may still come."""
        return bool(self._outputs)

    def attach(self, client: Client) -> None:
        client.attached = True
        client.when_drained = self._listen
        self.clients.append(client)

    def detach(self, client: Client) -> None:
        if client in self.clients:
            self.clients.remove(client)
            self._listen()

    def type(self, data: bytes) -> None:
        """Queue input for the process."""
        if self._stdin >= 0 and not self._end_of_input:
            self._input += data
            self._write_input()

    def end_input(self) -> None:
        """Close the process's standard input once everything queued has gone."""
        self._end_of_input = True
        self._write_input()

    def resize(self, payload: bytes, *, redraw: bool = False) -> None:
        """Tell the terminal its size; the kernel sends SIGWINCH to who is in the foreground.

        It does so only where the size changes. To `redraw` for somebody who has just attached, and
        would see no prompt and no screen before a key is pressed, it is another size for a moment:
        long enough for the program to ask for it, since readline draws nothing for no change.
        """
        if self._stdin not in self._outputs or len(payload) != 4:
            return
        rows, columns = payload[0:2][::-1], payload[2:4][::-1]
        size = rows + columns
        if redraw and fcntl.ioctl(self._stdin, _TIOCGWINSZ, bytes(8))[:4] == size:
            other = (int.from_bytes(rows, "little") ^ 1).to_bytes(2, "little")
            fcntl.ioctl(self._stdin, _TIOCSWINSZ, other + columns + bytes(4))
            time.sleep(_TO_BE_SEEN)
        fcntl.ioctl(self._stdin, _TIOCSWINSZ, size + bytes(4))

    def finish(self) -> None:
        """The process is gone: take what its pipes still hold, without waiting for more."""
        for fd in list(self._outputs):
            while fd in self._outputs and self._read(fd):
                pass
        if self._log:
            self._log.close()
            self._log = None

    def close(self) -> None:
        """Let go of everything; clients stay connected, to hear of the end."""
        for fd in {self._stdin, *self._outputs} - {-1}:
            self._loop.forget(fd)
            os.close(fd)
        self._stdin = -1
        self._outputs.clear()
        for client in self.clients:
            client.attached = False
            client.when_drained = lambda: None
        self.clients.clear()

    def _listen(self) -> None:
        """Watch the outputs, unless some client is too far behind."""
        behind = any(client.queued > MAX_QUEUED for client in self.clients)
        for fd in self._outputs:
            events = 0 if behind else READ
            if fd == self._stdin and self._input:
                events |= WRITE
            self._watch(fd, events)

    def _watch(self, fd: int, events: int) -> None:
        self._loop.watch(fd, events, lambda seen: self._ready(fd, seen))

    def _ready(self, fd: int, events: int) -> None:
        if events & WRITE:
            self._write_input()
        if events & ~WRITE and fd in self._outputs:
            self._read(fd)

    def _read(self, fd: int) -> bool:
        """Pass one chunk on. False when there is none."""
        try:
            data = os.read(fd, CHUNK)
        except BlockingIOError:
            return False
        except OSError as error:
            if error.errno != errno.EIO:  # a terminal that nobody has open any more
                raise
            data = b""
        if not data:
            self._close_output(fd)
            return False
        stream = self._outputs[fd]
        if self._log:
            self._log.write(stream, data)
        kind = frames.STDOUT if stream == "stdout" else frames.STDERR
        for client in list(self.clients):
            client.send(kind, data)
        if any(client.queued > MAX_QUEUED for client in self.clients):
            self._listen()
        return True

    def _close_output(self, fd: int) -> None:
        del self._outputs[fd]
        self._loop.forget(fd)
        if fd == self._stdin:
            self._stdin = -1
        os.close(fd)

    def _write_input(self) -> None:
        if self._stdin < 0:
            return
        try:
            while self._input:
                del self._input[: os.write(self._stdin, self._input[:CHUNK])]
        except BlockingIOError:
            pass
        except OSError:  # the process closed its end
            self._input.clear()
            self._end_of_input = True
        self._after_input()

    def _after_input(self) -> None:
        full = len(self._input) > MAX_QUEUED
        if full != self._paused:
            self._paused = full
            for client in self.clients:
                client.listen(not full)
        if self._stdin in self._outputs:
            self._listen()
        elif self._input:
            self._loop.watch(self._stdin, WRITE, lambda _: self._write_input())
        else:
            self._loop.forget(self._stdin)
            if self._end_of_input:
                os.close(self._stdin)
                self._stdin = -1


class Pipes:
    """The pipes of a process without a terminal: the three ends it gets, and ours."""

    def __init__(self, *, terminal: bool, stdin: bool) -> None:
        self.theirs: list[int] = []
        self.stdin = -1
        self.outputs: dict[int, str] = {}
        if terminal:
            null = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
            self.theirs = [null]
            return
        if stdin:
            theirs, self.stdin = os.pipe2(os.O_CLOEXEC)
        else:
            theirs = os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC)
        self.theirs.append(theirs)
        for stream in ("stdout", "stderr"):
            ours, theirs = os.pipe2(os.O_CLOEXEC)
            self.outputs[ours] = stream
            self.theirs.append(theirs)
