"""The ports of the host that a container has, and what comes in on them all the same.

The kernel sends what arrives for a published port straight to the container (network/nat.py), so
nothing should reach the sockets that hold these ports. Some does: what the host itself sends to
[::1], which cannot be translated; what arrives over IPv6 for a container that has only IPv4; and
everything, after somebody has flushed the host's rules. It is passed on here: a connection of TCP
to one inside, datagrams of UDP through a socket for each sender.

This is a part of the container's monitor, and imported there where a port is published.

See: ip(7), udp(7), socket(2)
"""

from __future__ import annotations

import _socket
import errno

from minidock.engine.loop import READ, WRITE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from minidock.engine.loop import Loop

    _Address = tuple[str | int, ...]

_CHUNK = 64 << 10
_QUIET = 60.0  # seconds without a datagram, after which a sender is forgotten
_MOST_SENDERS = 512
_NONBLOCKING = _socket.SOCK_NONBLOCK | _socket.SOCK_CLOEXEC
_NOFILE = 7  # RLIMIT_NOFILE
_PAUSE = 0.2  # seconds, until there may be room for one more
_TOO_MANY = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
_ERRORS_OF_ONE = (errno.EAGAIN, errno.ECONNABORTED, errno.EINTR)


class HostPorts:
    """Holds the sockets, until it is closed."""

    def __init__(self, loop: Loop) -> None:
        self._loop = loop
        self._listening: list[_socket.socket] = []
        self._relays: set[_Connection] = set()
        self._senders: dict[tuple[int, _Address], _Sender] = {}

    def take(self, text: str, fd: int) -> None:
        """One socket: `tcp 80 172.18.0.2 fd00::2` says what it stands for inside."""
        protocol, port, *addresses = text.split()
        if fd >= 900 or len(self._listening) % 500 == 499:
            _allow_more_files()
        sock = _socket.socket(fileno=fd)
        sock.setblocking(False)
        self._listening.append(sock)
        targets = [(address, int(port)) for address in addresses]
        if protocol == "tcp":
            self._listen(sock, targets)
        elif protocol == "udp":
            self._loop.watch(fd, READ, lambda _: self._receive(sock, targets[0]))

    def close(self) -> None:
        """Give the ports back, and drop what goes on through them."""
        for sock in self._listening:
            self._loop.forget(sock.fileno())
            sock.close()
        self._listening.clear()
        for relay in list(self._relays):
            relay.close()
        for sender in list(self._senders.values()):
            self._forget(sender)

    # ── TCP ──

    def _listen(self, sock: _socket.socket, targets: list[tuple[str, int]]) -> None:
        if sock.fileno() >= 0:
            self._loop.watch(sock.fileno(), READ, lambda _: self._accept(sock, targets))

    def _accept(self, listening: _socket.socket, targets: list[tuple[str, int]]) -> None:
        try:
            fd, _ = listening._accept()  # type: ignore[attr-defined]  # typeshed lacks it
        except OSError as error:
            if error.errno in _TOO_MANY:  # it would be called for ever
                self._loop.forget(listening.fileno())
                self._loop.after(_PAUSE, lambda: self._listen(listening, targets))
            elif error.errno not in _ERRORS_OF_ONE:
                raise
            return
        client = _socket.socket(fileno=fd)
        client.setblocking(False)
        relay = _Connection(self._loop, client, targets, self._relays)
        self._relays.add(relay)
        relay.connect()

    # ── UDP ──

    def _receive(self, listening: _socket.socket, target: tuple[str, int]) -> None:
        try:
            data, address = listening.recvfrom(1 << 16)
        except OSError:
            return
        key = (listening.fileno(), address)
        sender = self._senders.get(key)
        if sender is None:
            if len(self._senders) >= _MOST_SENDERS:
                return
            sender = _Sender(self, key, listening, address, target)
            self._senders[key] = sender
            self._loop.watch(sender.inside.fileno(), READ, sender.answer)
        sender.pass_on(data)
        self._keep(sender)

    def _keep(self, sender: _Sender) -> None:
        self._loop.cancel(sender.timer)
        sender.timer = self._loop.after(_QUIET, lambda: self._forget(sender))

    def _forget(self, sender: _Sender) -> None:
        self._loop.cancel(sender.timer)
        self._loop.forget(sender.inside.fileno())
        sender.inside.close()
        self._senders.pop(sender.key, None)


class _Sender:
    """One who sends datagrams, with a socket of its own towards the container."""

    def __init__(
        self,
        ports: HostPorts,
        key: tuple[int, _Address],
        outside: _socket.socket,
        address: _Address,
        target: tuple[str, int],
    ) -> None:
        self.key = key
        self.timer = 0
        self.inside = _socket.socket(_family(target[0]), _socket.SOCK_DGRAM | _NONBLOCKING)
        self.inside.connect(target)
        self._outside = outside
        self._address = address

    def pass_on(self, data: bytes) -> None:
        try:
            self.inside.send(data)
        except OSError:
            pass  # datagrams may be lost

    def answer(self, events: int) -> None:
        try:
            self._outside.sendto(self.inside.recv(1 << 16), self._address)
        except OSError:
            pass


class _Connection:
    """One connection of TCP, and the one to the container that it is passed on through."""

    def __init__(
        self,
        loop: Loop,
        client: _socket.socket,
        targets: list[tuple[str, int]],
        relays: set[_Connection],
    ) -> None:
        self._loop = loop
        self._client = client
        self._server = client
        self._targets = list(targets)
        self._relays = relays
        self._queued = {client: bytearray()}  # what is to be sent to each
        self._ended: set[_socket.socket] = set()  # who has said all
        self._shut: set[_socket.socket] = set()  # who has been told so

    def connect(self) -> None:
        """Try the next address of the container: its program may listen on one kind only."""
        if not self._targets:
            self.close()
            return
        target = self._targets.pop(0)
        self._server = _socket.socket(_family(target[0]), _socket.SOCK_STREAM | _NONBLOCKING)
        self._queued = {self._client: bytearray(), self._server: bytearray()}
        if self._server.connect_ex(target) not in (0, errno.EINPROGRESS):
            self._server.close()
            self.connect()
            return
        self._loop.watch(self._server.fileno(), WRITE, lambda _: self._connected())

    def _connected(self) -> None:
        self._loop.forget(self._server.fileno())
        if self._server.getsockopt(_socket.SOL_SOCKET, _socket.SO_ERROR):
            self._server.close()
            self.connect()
            return
        self._watch()

    def close(self) -> None:
        for sock in {self._client, self._server}:
            if sock.fileno() >= 0:
                self._loop.forget(sock.fileno())
                sock.close()
        self._relays.discard(self)

    def _other(self, sock: _socket.socket) -> _socket.socket:
        return self._server if sock is self._client else self._client

    def _watch(self) -> None:
        """Read from a side while what it said before has been passed on."""
        for sock in (self._client, self._server):
            events = WRITE if self._queued[sock] else 0
            if sock not in self._ended and len(self._queued[self._other(sock)]) < _CHUNK:
                events |= READ
            if events:
                self._loop.watch(sock.fileno(), events, lambda e, sock=sock: self._ready(sock, e))  # type: ignore[misc]
            else:
                self._loop.forget(sock.fileno())

    def _ready(self, sock: _socket.socket, events: int) -> None:
        try:
            if events & WRITE:
                self._flush(sock)
            if events & ~WRITE and sock not in self._ended:
                self._read(sock)
        except BlockingIOError:
            pass
        except OSError:
            self.close()
            return
        if self._shut == {self._client, self._server}:
            self.close()
        else:
            self._watch()

    def _read(self, sock: _socket.socket) -> None:
        data = sock.recv(_CHUNK)
        if not data:
            self._ended.add(sock)
        self._queued[self._other(sock)] += data
        self._flush(self._other(sock))

    def _flush(self, sock: _socket.socket) -> None:
        queued = self._queued[sock]
        while queued:
            del queued[: sock.send(queued, _socket.MSG_NOSIGNAL)]
        if self._other(sock) in self._ended and sock not in self._shut:
            self._shut.add(sock)
            sock.shutdown(_socket.SHUT_WR)


def _family(address: str) -> int:
    return _socket.AF_INET6 if ":" in address else _socket.AF_INET


def _allow_more_files() -> None:
    """As many as are allowed at all. What the container gets is said in its own limits."""
    import resource

    hard = resource.getrlimit(_NOFILE)[1]
    resource.setrlimit(_NOFILE, (hard, hard))
