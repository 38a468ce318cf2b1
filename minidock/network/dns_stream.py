"""DNS over TCP: each message with its length in front, in two bytes.

A stream has no messages, and does not always take what is to be sent: so what comes is kept until
it is whole, and what goes until there is room. Whoever says nothing for a while is dropped.

See: RFC 1035 (section 4.2.2), RFC 7766
"""

from __future__ import annotations

import _socket

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from minidock.network.resolver import Loop

_READ, _WRITE = 1, 4  # EPOLLIN, EPOLLOUT
_NO_SIGNAL = _socket.MSG_NOSIGNAL
_SILENCE = 10.0  # seconds
_MOST_QUEUED = 1 << 18


class Stream:
    """One connection. `hear` gets each message; `gone` is called when the other end, or silence,
    has ended it, and not by `close`."""

    def __init__(
        self,
        loop: Loop,
        sock: _socket.socket,
        hear: Callable[[bytes], None],
        gone: Callable[[Stream], None],
    ) -> None:
        self._loop = loop
        self._sock = sock
        self._hear = hear
        self._gone = gone
        self._in = bytearray()
        self._out = bytearray()
        self._closed = False
        self._timer = loop.after(_SILENCE, self._end)
        sock.setblocking(False)
        loop.watch(sock.fileno(), _READ, self._ready)

    def send(self, message: bytes) -> None:
        """Send one message, as soon as there is room. To one that is closed it is lost."""
        if self._closed:
            return
        self._out += len(message).to_bytes(2, "big") + message
        try:
            self._flush()
        except OSError:
            pass  # reading will tell
        if len(self._out) > _MOST_QUEUED:
            self._end()  # it asks, and does not read

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            self._loop.cancel(self._timer)
            self._loop.forget(self._sock.fileno())
            self._sock.close()

    def _end(self) -> None:
        if not self._closed:
            self.close()
            self._gone(self)

    def _ready(self, events: int) -> None:
        try:
            if events & _WRITE:
                self._flush()
            if events & ~_WRITE and not self._receive():
                return
        except BlockingIOError:
            return
        except OSError:
            self._end()

    def _flush(self) -> None:
        try:
            while self._out:
                del self._out[: self._sock.send(self._out, _NO_SIGNAL)]
        except BlockingIOError:
            pass
        self._loop.watch(self._sock.fileno(), _READ | (_WRITE if self._out else 0), self._ready)

    def _receive(self) -> bool:
        """False when it is over."""
        data = self._sock.recv(1 << 16)
        if not data:
            self._end()
            return False
        self._loop.cancel(self._timer)
        self._timer = self._loop.after(_SILENCE, self._end)
        self._in += data
        while len(self._in) >= 2 and not self._closed:
            size = int.from_bytes(self._in[:2], "big")
            if len(self._in) < 2 + size:
                break
            message = bytes(self._in[2 : 2 + size])
            del self._in[: 2 + size]
            self._hear(message)
        return True
