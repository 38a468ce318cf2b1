"""The name server of one container: other containers by name, everything else by asking on.

On a network of the user's, containers find each other by name. A program asks as it always does,
the server that /etc/resolv.conf names: 127.0.0.11, which is the loopback of its own network
namespace. Behind that address is not a program of the container but a pair of sockets that were
made in its namespace and belong to the container's monitor: a socket stays in the namespace it was
made in, whoever reads from it. (redirect.py leads port 53 there, so that the port stays free.)

    program ──► 127.0.0.11:53 ──► Resolver ──► find(name)            a container: answered here
                                     └───────► upstream servers      anything else

So there is no server that all containers depend on: who asks a container's resolver is that
container alone, it ends with it, and one that asks too much keeps only its own waiting.

A question over UDP is passed on over UDP, over TCP by TCP; as it came, but under another number and
from a port of its own, so that nobody can answer who has not seen it. A server that does not answer
in time, or says that it cannot, is followed by the next.

See: RFC 1035, RFC 7766 (TCP), RFC 5452 (forged answers), moby's libnetwork/resolver.go
"""

from __future__ import annotations

import _socket
import os

from minidock.network import dns
from minidock.network.dns_stream import Stream
from minidock.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Protocol

    class Loop(Protocol):
        """What is needed of an event loop."""

        def watch(self, fd: int, events: int, handler: Callable[[int], None]) -> None: ...
        def forget(self, fd: int) -> None: ...
        def after(self, seconds: float, call: Callable[[], None]) -> int: ...
        def cancel(self, timer: int) -> None: ...

    class Names(Protocol):
        """Who knows the containers."""

        def addresses(self, name: str) -> Sequence[str] | None:
            """Of both families, in the order to be told; None where nobody has that name."""

        def name_of(self, address: str) -> str:
            """ "" where it is not the address of a container on a common network."""

        def servers(self) -> Sequence[Server]:
            """Who is asked for everything else."""

        def make_socket(self, server: Server, kind: int) -> _socket.socket:
            """One from which this server can be reached. Raises `OSError`."""


READ = 1  # EPOLLIN
PATIENCE = 2.0  # seconds for each server; the C library's own are 5
MOST_WAITING = 256  # questions passed on at the same time
MOST_STREAMS = 32
MOST_SERVERS = 3
_LARGEST = 65535


class Server(Record):
    """A name server elsewhere. `inside`: to be asked from the container's own network namespace."""

    address: str
    inside: bool = False
    port: int = 53

    @property
    def family(self) -> int:
        return _socket.AF_INET6 if ":" in self.address else _socket.AF_INET

    @property
    def place(self) -> tuple[str, int] | tuple[str, int, int, int]:
        """For connect(2); `fe80::1%eth0` is a place on one link only. Raises `OSError`."""
        address, _, link = self.address.partition("%")
        if not link:
            return address, self.port
        return address, self.port, 0, int(link) if link.isdigit() else _socket.if_nametoindex(link)


class Resolver:
    """Serves the two sockets until it is closed. `udp` is bound, `tcp` listens."""

    def __init__(self, loop: Loop, names: Names, udp: _socket.socket, tcp: _socket.socket) -> None:
        self._loop = loop
        self._names = names
        self._udp = udp
        self._tcp = tcp
        self._streams: set[Stream] = set()
        self._waiting: set[_Forwarding] = set()
        for sock, handler in ((udp, self._hear), (tcp, self._accept)):
            sock.setblocking(False)
            loop.watch(sock.fileno(), READ, handler)

    def close(self) -> None:
        """Let go of everything, unanswered questions included."""
        for sock in (self._udp, self._tcp):
            self._loop.forget(sock.fileno())
            sock.close()
        for forwarding in list(self._waiting):
            forwarding.give_up()
        for stream in list(self._streams):
            stream.close()

    def _hear(self, _: int) -> None:
        try:
            message, sender = self._udp.recvfrom(_LARGEST)
        except OSError:
            return  # nothing after all, or the kernel tells that an earlier answer found nobody

        def reply(data: bytes) -> None:
            try:
                self._udp.sendto(data, sender)
            except OSError:
                pass  # it will ask again

        self._take(message, reply, _socket.SOCK_DGRAM)

    def _accept(self, _: int) -> None:
        try:
            fd = self._tcp._accept()[0]  # type: ignore[attr-defined]  # typeshed has it not
        except OSError:
            return
        sock = _socket.socket(fileno=fd)
        if len(self._streams) >= MOST_STREAMS:
            sock.close()
            return

        def hear(message: bytes) -> None:
            self._take(message, stream.send, _socket.SOCK_STREAM)

        stream = Stream(self._loop, sock, hear, self._streams.discard)
        self._streams.add(stream)

    def _take(self, message: bytes, reply: Callable[[bytes], None], kind: int) -> None:
        """Answer one question, or pass it on."""
        try:
            query = dns.parse_query(message)
        except ValueError:
            refusal = dns.error(message, dns.FORMAT_ERROR)
            if refusal:
                reply(refusal)
            return None
        room = _LARGEST if kind == _socket.SOCK_STREAM else 0
        if not dns.is_standard(query):
            return reply(dns.answer(query, code=dns.NOT_IMPLEMENTED))
        try:
            records = self._known(query)
            servers = self._names.servers()[:MOST_SERVERS] if records is None else ()
        except OSError:  # as when this process has too many files open
            return reply(dns.answer(query, code=dns.SERVER_FAILURE))
        if records is not None:
            return reply(dns.answer(query, records, room=room))
        if len(self._waiting) >= MOST_WAITING:
            return reply(dns.answer(query, code=dns.REFUSED))

        def done(answer: bytes) -> None:
            reply(answer or dns.answer(query, code=dns.SERVER_FAILURE))

        forwarding = _Forwarding(self._loop, message, kind, done, self._waiting)
        forwarding.ask(servers, self._names.make_socket)
        return None

    def _known(self, query: dns.Query) -> list[bytes] | None:
        """What is known here; None where others must be asked. That a container has no address of
        the wanted family, or no mail server, is known, too."""
        if query.kind == dns.PTR:
            address = dns.asked_address(query.name)
            name = self._names.name_of(address) if address else ""
            return [dns.name_record(name)] if name else None
        if query.kind not in (dns.A, dns.AAAA, dns.MX):
            return None
        addresses = self._names.addresses(query.name)
        if addresses is None:
            return None
        wanted = {dns.A: False, dns.AAAA: True}.get(query.kind)
        return [dns.address_record(text) for text in addresses if (":" in text) is wanted]


class _Forwarding:
    """One question that others are asked, until one of them answers. `done` gets the answer with
    the number of the question, b"" where there is none."""

    def __init__(
        self,
        loop: Loop,
        message: bytes,
        kind: int,
        done: Callable[[bytes], None],
        everybody: set[_Forwarding],
    ) -> None:
        self._loop = loop
        self._identity = message[:2]
        self._message = os.urandom(2) + message[2:]
        self._kind = kind
        self._done = done
        self._everybody = everybody
        self._servers: list[Server] = []
        self._best = b""
        self._sock: _socket.socket | None = None
        self._stream: Stream | None = None
        self._timer = 0
        everybody.add(self)

    def ask(
        self,
        servers: Sequence[Server],
        make_socket: Callable[[Server, int], _socket.socket],
    ) -> None:
        """Ask the first; the others follow if need be."""
        self._servers = list(servers)
        self._make_socket = make_socket
        self._next()

    def give_up(self) -> None:
        """Stop, without an answer."""
        self._everybody.discard(self)
        self._drop()

    def _next(self) -> None:
        self._drop()
        while self._servers:
            server = self._servers.pop(0)
            try:
                self._open(server)
            except OSError:
                self._drop()
                continue
            self._timer = self._loop.after(PATIENCE, self._next)
            return
        self._finish(self._best)

    def _open(self, server: Server) -> None:
        sock = self._make_socket(server, self._kind)
        sock.setblocking(False)
        try:
            sock.connect(server.place)
        except BlockingIOError:
            pass  # TCP: it will be writable when it is connected
        except OSError:
            sock.close()
            raise
        if self._kind == _socket.SOCK_STREAM:
            self._stream = Stream(self._loop, sock, self._answered, lambda _: self._lost())
            self._stream.send(self._message)
        else:
            self._sock = sock
            self._loop.watch(sock.fileno(), READ, self._hear)
            sock.send(self._message)

    def _hear(self, _: int) -> None:
        assert self._sock
        try:
            reply = self._sock.recv(_LARGEST)
        except BlockingIOError:
            return
        except OSError:
            self._next()  # nobody serves that port
        else:
            self._answered(reply)

    def _answered(self, reply: bytes) -> None:
        if not dns.answers(reply, self._message):
            return
        reply = self._identity + reply[2:]
        if self._servers and dns.code_of(reply) in (dns.SERVER_FAILURE, dns.REFUSED):
            self._best = reply  # what we say if nobody knows better
            self._next()
        else:
            self._finish(reply)

    def _lost(self) -> None:
        """The TCP connection ended without an answer."""
        self._stream = None
        self._next()

    def _finish(self, reply: bytes) -> None:
        self.give_up()
        self._done(reply)

    def _drop(self) -> None:
        self._loop.cancel(self._timer)
        if self._sock:
            self._loop.forget(self._sock.fileno())
            self._sock.close()
            self._sock = None
        if self._stream:
            stream, self._stream = self._stream, None
            stream.close()
