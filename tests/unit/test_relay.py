"""The relay behind published ports: connections in both directions to their ends, datagrams, and a
container whose program listens on one kind of address only."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest

from minidock.engine.loop import Loop
from minidock.engine.relay import HostPorts


@pytest.fixture
def relay() -> Iterator[HostPorts]:
    loop = Loop()
    ports = HostPorts(loop)
    stop = threading.Event()

    def turn() -> None:
        while not stop.is_set():
            loop.turn(0.02)

    thread = threading.Thread(target=turn)
    thread.start()
    yield ports
    stop.set()
    thread.join()
    ports.close()


def listen(kind: int = socket.SOCK_STREAM) -> socket.socket:
    sock = socket.socket(socket.AF_INET, kind)
    sock.bind(("127.0.0.1", 0))
    if kind == socket.SOCK_STREAM:
        sock.listen()
    return sock


def test_a_connection_with_its_ends(relay: HostPorts) -> None:
    outside, inside = listen(), listen()
    place = outside.getsockname()
    # The container has an address where nobody listens, too: the next one is tried.
    # (255.255.255.255 is refused at once, 127.0.0.7 when it was tried.)
    nowhere = "255.255.255.255 127.0.0.7"
    relay.take(f"tcp {inside.getsockname()[1]} {nowhere} 127.0.0.1", outside.detach())
    with socket.create_connection(place, timeout=5) as client:
        server, _ = inside.accept()
        sent = bytes(range(256)) * 8000
        threading.Thread(target=lambda: (client.sendall(sent), client.shutdown(1))).start()
        got = b""
        while data := server.recv(1 << 16):
            got += data
        assert got == sent
        server.sendall(b"and back")  # this side goes on after the other has ended
        server.close()
        assert client.recv(100) == b"and back"
        assert client.recv(100) == b""
    inside.close()


def test_nobody_listens(relay: HostPorts) -> None:
    outside, inside = listen(), listen()
    number = inside.getsockname()[1]
    inside.close()
    place = outside.getsockname()
    relay.take(f"tcp {number} 127.0.0.1", outside.detach())
    with socket.create_connection(place, timeout=5) as client:
        assert client.recv(100) == b""


def test_datagrams(relay: HostPorts) -> None:
    outside, inside = listen(socket.SOCK_DGRAM), listen(socket.SOCK_DGRAM)
    place = outside.getsockname()
    relay.take(f"udp {inside.getsockname()[1]} 127.0.0.1", outside.detach())
    clients = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(3)]
    for number, client in enumerate(clients):
        client.settimeout(5)
        client.sendto(b"%d" % number, place)
        data, who = inside.recvfrom(100)
        inside.sendto(b"answer to " + data, who)
    for number, client in enumerate(clients):
        assert client.recv(100) == b"answer to %d" % number
        client.close()
    inside.close()
