"""Published ports: who reaches them, from where, and what is left when the container has gone."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

SERVER = """
import socket, socketserver, sys, threading
class Tcp(socketserver.BaseRequestHandler):
    def handle(self):
        self.request.recv(100)
        self.request.sendall(b"hello")
class Udp(socketserver.BaseRequestHandler):
    def handle(self):
        self.request[1].sendto(self.request[0], self.client_address)
for host in sys.argv[1:]:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    for kind, handler, port in (("TCP", Tcp, 80), ("UDP", Udp, 90)):
        base = getattr(socketserver, f"Threading{kind}Server")
        cls = type("Server", (base,), {"address_family": family, "allow_reuse_address": True,
                                       "daemon_threads": True, "request_queue_size": 50})
        server = cls((host, port), handler)
        threading.Thread(target=server.serve_forever).start()
print("ready", flush=True)
"""
CLIENT = """
import socket, sys
for place in sys.argv[1:]:
    kind, host, port = place.split(",")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, getattr(socket, "SOCK_" + kind)) as sock:
        sock.settimeout(3)
        try:
            sock.connect((host, int(port)))
            sock.sendall(b"GET / HTTP/1.0\\r\\n\\r\\n" if kind == "STREAM" else b"hello\\n")
            data = b""
            while b"hello" not in data:
                more = sock.recv(4096)
                if not more:
                    break
                data += more
            print(place, "ok" if b"hello" in data else "nothing")
        except OSError as error:
            print(place, type(error).__name__)
"""


def ask(*places: str, inside: str = "") -> list[str]:
    """Ask for `hello`, over TCP and UDP, from the host or from a network namespace; the places
    where nobody gave it."""
    words = ["ip", "netns", "exec", inside] if inside else []
    done = subprocess.run(
        [*words, sys.executable, "-c", CLIENT, *places],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return [line for line in done.stdout.splitlines() if not line.endswith(" ok")]


def free_port() -> int:
    """One that nobody has, over TCP and UDP."""
    with socket.create_server(("", 0)) as sock:
        return int(sock.getsockname()[1])


Serve = Callable[..., None]


@pytest.fixture
def serve(minidock: Any) -> Iterator[Serve]:
    """Has somebody say hello in a container, on ports 80 (TCP) and 90 (UDP)."""
    running = []

    def start(name: str, host: str = "::") -> None:
        key = json.loads(minidock.ok("inspect", name))[0]["NetworkSettings"]["SandboxKey"]
        words = ["nsenter", f"--net={key}", sys.executable, "-c", SERVER, host]
        server = subprocess.Popen(words, stdout=subprocess.PIPE)
        running.append(server)
        assert server.stdout and server.stdout.readline() == b"ready\n"

    yield start
    for server in running:
        server.kill()
        server.communicate()


@pytest.fixture
def outside() -> Iterator[str]:
    """Another host, on a cable to this one: 10.213.97.2 and fd00:97::2; this one is .1"""
    name, near, far = f"t{os.getpid()}", f"t{os.getpid()}a", f"t{os.getpid()}b"
    with open("/proc/sys/net/ipv6/conf/all/forwarding") as file:
        assert file.read()
    commands = [
        f"ip netns add {name}",
        f"ip link add {near} type veth peer name {far} netns {name}",
        f"ip addr add 10.213.97.1/24 dev {near}",
        f"ip addr add fd00:97::1/64 dev {near} nodad",
        f"ip link set {near} up",
        f"ip -n {name} addr add 10.213.97.2/24 dev {far}",
        f"ip -n {name} addr add fd00:97::2/64 dev {far} nodad",
        f"ip -n {name} link set {far} up",
        f"ip -n {name} link set lo up",
        f"ip -n {name} route add default via 10.213.97.1",
    ]
    try:
        for command in commands:
            subprocess.run(command.split(), check=True, timeout=20)
        yield name
    finally:
        subprocess.run(["ip", "netns", "del", name], check=False, timeout=20)
        subprocess.run(
            ["ip", "link", "del", near], check=False, timeout=20, stderr=subprocess.DEVNULL
        )


def address_of(minidock: Any, name: str) -> tuple[str, str]:
    bridge = json.loads(minidock.ok("inspect", name))[0]["NetworkSettings"]["Networks"]["bridge"]
    return bridge["IPAddress"], bridge["GlobalIPv6Address"]


def test_from_everywhere(minidock: Any, serve: Serve, outside: str) -> None:
    number = free_port()
    ports = ["-p", f"{number}:80", "-p", f"{number}:90/udp"]
    minidock.ok("run", "-d", "--name", "web", *ports, "busybox", "sleep", "60")
    serve("web")
    own = ["127.0.0.1", "::1", "10.213.97.1", "fd00:97::1"]
    assert ask(*(f"STREAM,{host},{number}" for host in own)) == []
    assert ask(*(f"DGRAM,{host},{number}" for host in ("127.0.0.1", "::1", "10.213.97.1"))) == []
    near = [f"STREAM,10.213.97.1,{number}", f"STREAM,fd00:97::1,{number}"]
    assert ask(*near, f"DGRAM,10.213.97.1,{number}", inside=outside) == []
    # From other containers through the host, and from itself; nc of busybox speaks no IPv6 here.
    fetch = f'printf "GET / HTTP/1.0\\r\\n\\r\\n" | nc -w 5 10.213.97.1 {number}'
    assert "hello" in minidock.ok("run", "--rm", "busybox", "sh", "-c", fetch)
    assert "hello" in minidock.ok("exec", "web", "sh", "-c", fetch)
    # But not to its own address from outside, where nothing is published, nor to what is not.
    inside = address_of(minidock, "web")[0]
    assert ask(f"STREAM,{inside},80", inside=outside) == [f"STREAM,{inside},80 TimeoutError"]
    assert ask(f"STREAM,{inside},80") == []
    minidock.ok("rm", "-f", "web")
    refused = ask(f"STREAM,127.0.0.1,{number}", f"STREAM,::1,{number}")
    assert [line.split()[1] for line in refused] == ["ConnectionRefusedError"] * 2


def test_on_one_address_only(minidock: Any, serve: Serve, outside: str) -> None:
    number = free_port()
    ports = ["-p", f"127.0.0.1:{number}:80", "-p", f"[::1]:{number}:80"]
    minidock.ok("run", "-d", "--name", "web", *ports, "busybox", "sleep", "60")
    serve("web")
    assert ask(f"STREAM,::1,{number}") == []
    elsewhere = [f"STREAM,10.213.97.1,{number}", f"STREAM,fd00:97::1,{number}"]
    assert len(ask(*elsewhere)) == 2
    # A neighbour sends what is for 127.0.0.1 to this host, and so does a container.
    subprocess.run(
        ["ip", "-n", outside, "route", "add", "127.0.0.1", "via", "10.213.97.1", "table", "main"],
        check=False,
        timeout=20,
        stderr=subprocess.DEVNULL,
    )
    subprocess.run(["ip", "-n", outside, "addr", "del", "127.0.0.1/8", "dev", "lo"], check=False)
    assert len(ask(*elsewhere, f"STREAM,127.0.0.1,{number}", inside=outside)) == 3
    gateway = json.loads(minidock.ok("inspect", "web"))[0]["NetworkSettings"]["Gateway"]
    fetch = f"printf 'GET / HTTP/1.0\\r\\n\\r\\n' | nc -w 2 {gateway} {number}"
    assert "hello" not in minidock("run", "--rm", "busybox", "sh", "-c", fetch).stdout


def test_a_program_that_knows_only_ipv4_is_reached_at_the_name_localhost(
    minidock: Any, serve: Serve
) -> None:
    number = free_port()
    run = ("run", "-d", "--name", "web", "-p", f"{number}:80", "busybox", "sleep", "60")
    minidock.ok(*run)
    serve("web", "0.0.0.0")
    assert ask(f"STREAM,::1,{number}", f"STREAM,::1,{number}") == []


def test_a_busy_port_is_an_error_before_anything_starts(minidock: Any) -> None:
    with socket.create_server(("", 0)) as taken:
        number = taken.getsockname()[1]
        done = minidock("run", "--name", "late", "-p", f"{number}:80", "busybox", "true")
    assert done.returncode == 125
    assert done.stderr.startswith(
        "minidock: Error response from daemon: failed to set up container networking: driver "
        "failed programming external connectivity on endpoint late ("
    )
    assert f"failed to bind host port 0.0.0.0:{number}/tcp: address already in use" in done.stderr
    state = json.loads(minidock.ok("inspect", "late"))[0]["State"]
    assert (state["Status"], state["ExitCode"]) == ("created", 128)
    minidock.ok("run", "-d", "-p", f"{number}:80", "busybox", "sleep", "60")
    done = minidock("run", "-d", "-p", f"{number}:81", "busybox", "true")
    assert f"Bind for 0.0.0.0:{number} failed: port is already allocated" in done.stderr
    minidock.ok("run", "--rm", "-p", f"{number}:80/udp", "busybox", "true")
    minidock.ok("run", "--rm", "-p", f"{number}-{number + 9}:80", "busybox", "true")


def test_what_is_shown(minidock: Any) -> None:
    a, b = free_port(), free_port()
    flags = ["-p", f"{a}:80", "-p", "443", "-p", f"127.0.0.1:{b}:53/udp", "--expose", "90-92"]
    minidock.ok("run", "-d", "--name", "web", *flags, "busybox", "sleep", "60")
    listed = minidock.ok("port", "web").splitlines()
    assert listed[0] == f"53/udp -> 127.0.0.1:{b}"
    assert listed[1:3] == [f"80/tcp -> 0.0.0.0:{a}", f"80/tcp -> [::]:{a}"]
    number = listed[3].rpartition(":")[2]
    assert listed[3:] == [f"443/tcp -> 0.0.0.0:{number}", f"443/tcp -> [::]:{number}"]
    assert minidock.ok("port", "web", "80/tcp") == f"0.0.0.0:{a}\n[::]:{a}\n"
    done = minidock("port", "web", "81")
    assert (done.returncode, done.stderr) == (1, "Error: No public port '81' published for web\n")
    shown = minidock.ok("ps", "--format", "{{.Ports}}").strip()
    assert shown == (
        f"90-92/tcp, 127.0.0.1:{b}->53/udp, 0.0.0.0:{a}->80/tcp, [::]:{a}->80/tcp, "
        f"0.0.0.0:{number}->443/tcp, [::]:{number}->443/tcp"
    )
    assert minidock.ok("ps", "-q", "--filter", "publish=80") != ""
    assert minidock.ok("ps", "-q", "--filter", "publish=80/udp") == ""
    document = json.loads(minidock.ok("inspect", "web"))[0]
    settings = document["NetworkSettings"]
    assert settings["Ports"]["90/tcp"] is None
    assert settings["Ports"]["53/udp"] == [{"HostIp": "127.0.0.1", "HostPort": str(b)}]
    assert document["HostConfig"]["PortBindings"]["443/tcp"] == [{"HostIp": "", "HostPort": ""}]
    assert settings["IPAddress"] == settings["Networks"]["bridge"]["IPAddress"] != ""
    minidock.ok("stop", "-t", "0", "web")
    assert minidock.ok("port", "web") == ""
    settings = json.loads(minidock.ok("inspect", "web"))[0]["NetworkSettings"]
    assert (settings["Ports"], settings["IPAddress"]) == ({}, "")
    minidock.ok("start", "web")
    assert f"0.0.0.0:{a}->80/tcp" in minidock.ok("ps")


def test_all_that_the_image_exposes(minidock: Any) -> None:
    run = ("run", "-d", "-P", "--name", "web", "--expose", "81", "--expose", "82/udp", "busybox")
    minidock.ok(*run, "sleep", "60")
    listed = minidock.ok("port", "web").splitlines()
    assert [line.split()[0] for line in listed] == ["81/tcp"] * 2 + ["82/udp"] * 2
    assert listed[0].rpartition(":")[2] == listed[1].rpartition(":")[2]  # the same for both


def test_restarted_by_its_monitor(minidock: Any, serve: Serve) -> None:
    number = free_port()
    script = "test -e /again || { touch /again; exit 1; }; sleep 60"
    run = ("run", "-d", "--name", "web", "--restart", "on-failure", "-p", f"{number}:80")
    minidock.ok(*run, "busybox", "sh", "-c", script)
    for _ in range(100):
        document = json.loads(minidock.ok("inspect", "web"))[0]
        if (document["State"]["Status"], document["RestartCount"]) == ("running", 1):
            break
        time.sleep(0.05)
    assert document["RestartCount"] == 1
    serve("web")
    assert ask(f"STREAM,127.0.0.1,{number}", f"STREAM,::1,{number}") == []


def test_a_killed_monitor_leaves_no_port_taken(minidock: Any, serve: Serve) -> None:
    number = free_port()
    name = minidock.ok(
        *("run", "-d", "--name", "web", "-p", f"{number}:80", "busybox", "sleep", "60")
    ).strip()
    started = json.loads((Path(minidock.directory(name)) / "started.json").read_text())
    os.kill(started["MonitorPid"], 9)
    time.sleep(0.3)
    # Another one can have it at once, though the dead one's rule is still there ...
    minidock.ok(*("run", "-d", "--name", "next", "-p", f"{number}:80", "busybox", "sleep", "60"))
    serve("next")
    assert ask(f"STREAM,127.0.0.1,{number}") == []
    minidock.ok("rm", "-f", "web")  # ... and taking that back does not take away the other's
    assert ask(f"STREAM,127.0.0.1,{number}") == []


def test_a_thousand_ports(minidock: Any, serve: Serve) -> None:
    minidock.ok(
        "run", "-d", "--name", "many", "-p", "20000-20999:1000-1999", "busybox", "sleep", "60"
    )
    shown = minidock.ok("ps", "--format", "{{.Ports}}").strip()
    assert shown.count("->") == 2000
    started = time.monotonic()
    minidock.ok("run", "-d", "--name", "one", "-p", "21000:80", "busybox", "sleep", "60")
    assert time.monotonic() - started < 2
    serve("one")
    assert ask("STREAM,127.0.0.1,21000", "STREAM,::1,21000") == []
    limits = minidock.ok("exec", "many", "sh", "-c", "ulimit -n").strip()
    assert limits == minidock.ok("exec", "one", "sh", "-c", "ulimit -n").strip()


def test_a_shared_network_outlives_neither_its_addresses_nor_its_ports(minidock: Any) -> None:
    """Who shares a network with a container that has ended keeps the namespace alive; the cable,
    with an address that is somebody else's soon, goes all the same."""
    minidock.ok("run", "-d", "--name", "first", "busybox", "sleep", "60")
    minidock.ok(
        "run", "-d", "--name", "second", "--network", "container:first", "busybox", "sleep", "60"
    )
    assert "eth0" in minidock.ok("exec", "second", "ls", "/sys/class/net")
    minidock.ok("rm", "-f", "first")
    for _ in range(50):
        if "eth0" not in minidock.ok("exec", "second", "ls", "/sys/class/net"):
            break
        time.sleep(0.05)
    assert minidock.ok("exec", "second", "ls", "/sys/class/net") == "lo\n"
