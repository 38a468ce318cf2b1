"""The resolver, on loopback: what it knows, what it passes on, and servers that are of no help."""

from __future__ import annotations

import _socket
import socket
import struct
import time
from collections.abc import Callable, Iterator, Sequence

import pytest

from minidock.engine.loop import Loop
from minidock.network import dns, resolver
from minidock.network.resolver import Resolver, Server


def question(name: str, kind: int = dns.A, number: int = 7) -> bytes:
    labels = b"".join(bytes((len(part),)) + part.encode() for part in name.split("."))
    header = struct.pack(">6H", number, 0x0100, 1, 0, 0, 0)
    return header + labels + b"\0" + struct.pack(">HH", kind, dns.IN)


class Names:
    """A network with two containers on it."""

    def __init__(self) -> None:
        self.upstream: list[Server] = []

    def addresses(self, name: str) -> Sequence[str] | None:
        return {"web": ["10.9.0.2", "fd00::2"], "db": ["10.9.0.3"]}.get(name)

    def name_of(self, address: str) -> str:
        return "web.shop" if address == "10.9.0.2" else ""

    def servers(self) -> Sequence[Server]:
        return self.upstream

    def make_socket(self, server: Server, kind: int) -> _socket.socket:
        return _socket.socket(server.family, kind)


class Desk:
    """A resolver and somebody who asks it."""

    def __init__(self) -> None:
        self.loop, self.names = Loop(), Names()
        self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.tcp = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        for sock in (self.udp, self.tcp):
            sock.bind(("127.0.0.1", 0))
        self.tcp.listen()
        self.place, self.stream_place = self.udp.getsockname(), self.tcp.getsockname()
        self.resolver = Resolver(self.loop, self.names, self.udp, self.tcp)
        self.client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.client.setblocking(False)
        self.open: list[socket.socket] = [self.client]

    def server(self, kind: int = socket.SOCK_DGRAM) -> tuple[socket.socket, Server]:
        """An upstream server that does nothing by itself."""
        sock = socket.socket(socket.AF_INET, kind)
        sock.bind(("127.0.0.1", 0))
        self.open.append(sock)
        return sock, Server("127.0.0.1", port=sock.getsockname()[1])

    def turn_until(self, ready: Callable[[], bytes | None], seconds: float = 5) -> bytes:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            self.loop.turn(0.01)
            try:
                data = ready()
            except BlockingIOError:
                continue
            if data is not None:
                return data
        raise AssertionError("nothing came")

    def ask(self, message: bytes) -> bytes:
        self.client.sendto(message, self.place)
        return self.turn_until(lambda: self.client.recv(65535))


@pytest.fixture
def desk() -> Iterator[Desk]:
    found = Desk()
    yield found
    found.resolver.close()
    for sock in found.open:
        sock.close()


def code(reply: bytes) -> int:
    return reply[3] & 15


def count(reply: bytes) -> int:
    return int.from_bytes(reply[6:8], "big")


def test_containers_are_known(desk: Desk) -> None:
    reply = desk.ask(question("WEB"))
    assert code(reply) == 0 and count(reply) == 1 and reply.endswith(bytes((10, 9, 0, 2)))
    assert desk.ask(question("web", dns.AAAA))[-16:].hex() == "fd" + "00" * 14 + "02"


def test_a_name_without_an_address_of_that_family_is_known_all_the_same(desk: Desk) -> None:
    for kind in (dns.AAAA, dns.MX):  # passed on, it would be NXDOMAIN, and musl would believe it
        reply = desk.ask(question("db", kind))
        assert (code(reply), count(reply)) == (0, 0)


def test_an_address_has_a_name(desk: Desk) -> None:
    assert desk.ask(question("2.0.9.10.in-addr.arpa", dns.PTR)).endswith(b"\3web\4shop\0")


def test_what_cannot_be_read_or_done_is_said(desk: Desk) -> None:
    assert code(desk.ask(question("web")[:-2])) == dns.FORMAT_ERROR
    notify = bytearray(question("web"))
    notify[2] = 0x20
    assert code(desk.ask(bytes(notify))) == dns.NOT_IMPLEMENTED


def test_other_names_are_passed_on_under_another_number(desk: Desk) -> None:
    upstream, server = desk.server()
    upstream.setblocking(False)
    desk.names.upstream = [server]
    asked = question("example.org", dns.A, 7)
    desk.client.sendto(asked, desk.place)
    seen: list[tuple[bytes, tuple[str, int]]] = []

    def came() -> bytes:
        seen.append(upstream.recvfrom(65535))
        return seen[0][0]

    passed = desk.turn_until(came)
    assert passed[2:] == asked[2:]
    where = seen[0][1]
    upstream.sendto(b"\0\7" + passed[2:], where)  # a guess, of one who has not seen the question
    right = passed[:2] + b"\x81\x80" + passed[4:]
    upstream.sendto(right, where)
    reply = desk.turn_until(lambda: desk.client.recv(65535))
    assert reply == asked[:2] + right[2:]


def test_a_server_that_is_silent_or_not_there_is_followed_by_the_next(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resolver, "PATIENCE", 0.05)
    gone, not_there = desk.server()
    gone.close()
    _, silent = desk.server()
    upstream, server = desk.server()
    upstream.setblocking(False)
    desk.names.upstream = [not_there, silent, server]
    desk.client.sendto(question("example.org"), desk.place)

    def came() -> bytes:
        data, sender = upstream.recvfrom(65535)
        upstream.sendto(data[:2] + b"\x81\x83" + data[4:], sender)
        return data

    desk.turn_until(came)
    assert code(desk.turn_until(lambda: desk.client.recv(65535))) == dns.NO_SUCH_NAME


def test_without_anybody_to_ask_it_fails_at_once(desk: Desk) -> None:
    assert code(desk.ask(question("example.org"))) == dns.SERVER_FAILURE


def test_over_tcp_and_passed_on_over_tcp(desk: Desk) -> None:
    upstream, server = desk.server(socket.SOCK_STREAM)
    upstream.listen()
    upstream.setblocking(False)
    desk.names.upstream = [server]
    client = socket.create_connection(desk.stream_place)
    client.setblocking(False)
    desk.open.append(client)

    def framed(message: bytes) -> bytes:
        return len(message).to_bytes(2, "big") + message

    both = framed(question("web", number=1)) + framed(question("example.org", number=2))
    client.send(both[:5])
    desk.loop.turn(0.05)
    client.send(both[5:])
    first = desk.turn_until(lambda: client.recv(65535))
    assert first[2:4] == b"\0\1" and first.endswith(bytes((10, 9, 0, 2)))
    accepted: list[socket.socket] = []

    def accept() -> bytes:
        accepted.append(upstream.accept()[0])
        return b""

    desk.turn_until(accept)
    desk.open.append(accepted[0])
    accepted[0].setblocking(False)
    passed = desk.turn_until(lambda: accepted[0].recv(65535))
    accepted[0].send(framed(passed[2:4] + b"\x81\x80" + passed[6:]))
    assert desk.turn_until(lambda: client.recv(65535))[2:6] == b"\0\2\x81\x80"


def test_who_asks_for_too_much_is_refused(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resolver, "MOST_WAITING", 3)
    _, silent = desk.server()
    desk.names.upstream = [silent]
    for number in range(3):
        desk.client.sendto(question("example.org", number=number), desk.place)
    assert code(desk.ask(question("example.org", number=3))) == dns.REFUSED
    assert count(desk.ask(question("web"))) == 1
