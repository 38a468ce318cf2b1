"""Port 53 of 127.0.0.11: who asks there reaches our sockets, and the port itself stays free."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: it makes a namespace")

PROGRAM = """
import socket, sys
from minidock.linux.flags import CloneFlag
from minidock.linux.kernel import LinuxKernel
from minidock.network.message import ROUTE, exchange
from minidock.network.redirect import listen
from minidock.network.veth import bring_up

kernel = LinuxKernel()
kernel.unshare(CloneFlag.CLONE_NEWNET)
exchange(kernel, ROUTE, [bring_up(1)])
udp, tcp = (socket.socket(fileno=fd) for fd in listen(kernel))
assert udp.getsockname()[1] != 53 != tcp.getsockname()[1]

client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
client.settimeout(5)
client.connect(("127.0.0.11", 53))
client.send(b"who?")
question, sender = udp.recvfrom(100)
udp.sendto(b"me", sender)
print(question, client.recv(100))

stream = socket.create_connection(("127.0.0.11", 53), timeout=5)
accepted, _ = tcp.accept()
stream.send(b"q" * 3000)
accepted.send(b"a" * 70000)
print(len(accepted.recv(5000)), stream.recv(1) == b"a", stream.getpeername())

for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
    own = socket.socket(socket.AF_INET, kind)
    own.bind(("0.0.0.0", 53))
    if kind == socket.SOCK_STREAM:
        own.listen()
print("port 53 is free")
"""


def test_who_asks_on_port_53_reaches_us_and_the_port_stays_free() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stdout.splitlines() == [
        "b'who?' b'me'",
        "3000 True ('127.0.0.11', 53)",
        "port 53 is free",
    ], done.stderr
