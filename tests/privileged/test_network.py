"""The default network, on a host of the test's own: a network namespace, in which minidock finds no
bridge, no rules, and whatever else a host may have. What containers reach, what others do to the
rules, and that nothing is left."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

SERVER = (
    "import socket, socketserver, sys\n"
    "class H(socketserver.BaseRequestHandler):\n"
    "    def handle(self): self.request.sendall(self.client_address[0].encode())\n"
    "class S(socketserver.ThreadingTCPServer):\n"
    "    address_family = socket.AF_INET6; allow_reuse_address = True\n"
    "server = S(('::', int(sys.argv[1])), H)\n"
    "print('ready', flush=True)\n"
    "server.serve_forever()\n"
)


def run(*words: str, check: bool = True) -> str:
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    assert not check or done.returncode == 0, f"{words}: {done.stderr}"
    return done.stdout


class Host:
    """A network namespace, connected to one that stands for the rest of the world, 198.51.100.2
    and 2001:db8::2, where somebody answers on port 9000 with the address he was asked from."""

    def __init__(self, minidock: Any, tag: str) -> None:
        self.name, self.world = f"h{tag}", f"w{tag}"
        self.minidock = minidock
        for name in (self.name, self.world):
            run("ip", "netns", "add", name)
            run("ip", "-n", name, "link", "set", "lo", "up")
        up = ("link", "add", "up0", "mtu", "1400", "type", "veth", "peer", "name", "up0")
        run("ip", "-n", self.name, *up, "mtu", "1400", "netns", self.world)
        for name, last in ((self.name, "1"), (self.world, "2")):
            run("ip", "-n", name, "addr", "add", f"198.51.100.{last}/24", "dev", "up0")
            run("ip", "-n", name, "addr", "add", f"2001:db8::{last}/64", "dev", "up0", "nodad")
            run("ip", "-n", name, "link", "set", "up0", "up")
        run("ip", "-n", self.name, "route", "add", "default", "via", "198.51.100.2")
        run("ip", "-n", self.name, "-6", "route", "add", "default", "via", "2001:db8::2")
        words = (*self.inside(self.world), sys.executable, "-c", SERVER, "9000")
        self.server = subprocess.Popen(words, stdout=subprocess.PIPE)
        assert self.server.stdout and self.server.stdout.readline() == b"ready\n"

    def inside(self, name: str) -> tuple[str, ...]:
        return ("nsenter", f"--net=/run/netns/{name}")

    def __call__(self, *words: str, check: bool = True) -> str:
        return run(*self.inside(self.name), *words, check=check)

    def close(self) -> None:
        self.server.kill()
        self.server.communicate()
        for name in (self.name, self.world):
            run("ip", "netns", "del", name, check=False)


@pytest.fixture
def host(minidock_home: Any, tmp_path: Path) -> Iterator[Host]:
    """Such a host, with a minidock of its own on it."""
    minidock = type(minidock_home)(tmp_path)
    found = Host(minidock, f"{os.getpid()}")
    minidock.argv = [*found.inside(found.name), *minidock.argv]
    image = tmp_path / "busybox.tar"
    minidock_home.ok("save", "-o", str(image), "busybox")
    minidock.ok("load", "-i", str(image))
    yield found
    minidock.remove_all()
    minidock.homes.remove(tmp_path)  # what it had of networks goes with the namespace
    found.close()


ASK = "printf '' | nc -w 3 198.51.100.2 9000"
ASK6 = "printf '' | nc -w 3 2001:db8::2 9000"


def test_out_and_among_each_other(host: Host) -> None:
    minidock = host.minidock
    minidock.ok("run", "-d", "--name", "one", "busybox", "sleep", "60")
    inside = lambda command: minidock("exec", "one", "sh", "-c", command).stdout  # noqa: E731
    assert inside(ASK) == "::ffff:198.51.100.1"  # the host's, not its own
    assert inside(ASK6) == "2001:db8::1"
    first = json.loads(minidock.ok("inspect", "one"))[0]["NetworkSettings"]
    assert inside("cat /sys/class/net/eth0/mtu") == "1400\n"  # the uplink's
    hosts = inside("cat /etc/hosts; hostname").split()
    assert hosts[-5:-1] == [first["IPAddress"], hosts[-1], first["GlobalIPv6Address"], hosts[-1]]
    for address, ping in ((first["IPAddress"], "ping"), (first["GlobalIPv6Address"], "ping6")):
        command = f"busybox {ping} -c 1 -W 2 {address}"
        assert "1 packets received" in minidock.ok("run", "--rm", "busybox", "sh", "-c", command)
    # Who routes to it directly, from outside, is not let in.
    run("ip", "-n", host.world, "route", "add", first["IPAddress"], "via", "198.51.100.1")
    ping = ("ping", "-c", "1", "-W", "1", first["IPAddress"])
    assert shutil.which("ping") is None or "1 received" not in run(
        *host.inside(host.world), *ping, check=False
    )


@pytest.mark.skipif(not shutil.which("iptables-nft"), reason="needs iptables-nft")
def test_where_another_tool_drops_what_is_forwarded(host: Host) -> None:
    for program in ("iptables-nft", "ip6tables-nft"):
        host(program, "-N", "DOCKER-USER")
        host(program, "-A", "FORWARD", "-j", "DOCKER-USER")
        host(program, "-P", "FORWARD", "DROP")
    before = host("iptables-nft", "-S")
    minidock = host.minidock
    minidock.ok("run", "-d", "--name", "one", "-p", "8080:80", "busybox", "sleep", "60")
    asked = minidock.ok("exec", "one", "sh", "-c", f"{ASK}; echo; {ASK6}")
    assert asked == "::ffff:198.51.100.1\n2001:db8::1"
    address = json.loads(minidock.ok("inspect", "one"))[0]["NetworkSettings"]["IPAddress"]
    command = f"busybox ping -c 1 -W 2 {address}"
    assert "1 packets received" in minidock.ok("run", "--rm", "busybox", "sh", "-c", command)
    after = host("iptables-nft", "-S").splitlines()
    ours = [line for line in after if line not in before.splitlines()]
    assert [line.split()[2] for line in ours] == ["-i", "-o"]
    assert [line for line in after if line not in ours] == before.splitlines()
    # A rule of theirs that drops still does.
    host("iptables-nft", "-I", "DOCKER-USER", "-d", "198.51.100.2", "-j", "DROP")
    assert minidock("exec", "one", "sh", "-c", ASK).stdout == ""


@pytest.mark.skipif(not shutil.which("nft"), reason="needs nft")
def test_the_rules_come_back_after_a_flush(host: Host) -> None:
    """Many a firewall begins with `nft flush ruleset`. Until the next container starts, what is
    asked of the host's ports is passed on by the monitor."""
    minidock = host.minidock
    serve = "while :; do echo hello | nc -l -p 80; done"
    minidock.ok("run", "-d", "--name", "web", "-p", "8080:80", "busybox", "sh", "-c", serve)
    before = host("nft", "list", "table", "inet", "minidock")
    fetch = "import socket; print(socket.create_connection(('127.0.0.1', 8080)).recv(9))"
    assert host(sys.executable, "-c", fetch) == "b'hello\\n'\n"
    host("nft", "flush", "ruleset")
    assert host(sys.executable, "-c", fetch) == "b'hello\\n'\n"
    minidock.ok("run", "--rm", "busybox", "true")
    assert host("nft", "list", "table", "inet", "minidock") == before
    assert minidock("exec", "web", "sh", "-c", ASK).stdout == "::ffff:198.51.100.1"


def test_addresses_that_the_host_uses_are_not_taken(host: Host) -> None:
    run("ip", "-n", host.name, "link", "add", "d0", "type", "bridge")
    run("ip", "-n", host.name, "link", "set", "d0", "up")
    run("ip", "-n", host.name, "addr", "add", "172.18.7.1/24", "dev", "d0")
    run("ip", "-n", host.name, "route", "add", "172.19.0.0/20", "dev", "d0")
    show = ("run", "--rm", "busybox", "sh", "-c", "ip -4 -o addr show eth0")
    assert "172.20.0.2/16" in host.minidock.ok(*show)
    # After a boot the bridge is gone, and the host may be on another network.
    (bridge,) = (n for n in json.loads(host("ip", "-j", "link")) if n["ifname"][:3] == "md-")
    run("ip", "-n", host.name, "link", "del", bridge["ifname"])
    run("ip", "-n", host.name, "addr", "add", "172.20.7.1/24", "dev", "d0")
    assert "172.21.0." in host.minidock.ok(*show)


def test_a_host_without_ipv6(host: Host) -> None:
    host("sh", "-c", "echo 1 >/proc/sys/net/ipv6/conf/all/disable_ipv6")
    minidock = host.minidock
    minidock.ok("run", "-d", "--name", "one", "-p", "8080:80", "busybox", "sleep", "60")
    assert minidock("exec", "one", "sh", "-c", ASK).stdout == "::ffff:198.51.100.1"
    assert minidock.ok("port", "one") == "80/tcp -> 0.0.0.0:8080\n"
    settings = json.loads(minidock.ok("inspect", "one"))[0]["NetworkSettings"]
    assert (settings["GlobalIPv6Address"], settings["IPAddress"] != "") == ("", True)


def test_a_bridge_that_is_half_made_is_made_whole(host: Host) -> None:
    minidock = host.minidock
    minidock.ok("run", "--rm", "busybox", "true")
    (bridge,) = (n for n in json.loads(host("ip", "-j", "link")) if n["ifname"][:3] == "md-")
    host("ip", "addr", "flush", "dev", bridge["ifname"])
    host("ip", "link", "set", bridge["ifname"], "down")
    assert minidock("run", "--rm", "busybox", "sh", "-c", ASK).stdout == "::ffff:198.51.100.1"


@pytest.mark.skipif(not shutil.which("setpriv"), reason="needs setpriv")
def test_without_the_right_to_make_a_network(host: Host) -> None:
    host.minidock.argv = ["setpriv", "--bounding-set=-net_admin", *host.minidock.argv[2:]]
    done = host.minidock("run", "--rm", "busybox", "true")
    assert done.returncode == 125
    assert "failed to set up container networking: network bridge: operation not permitted" in (
        done.stderr
    )


@pytest.mark.skipif(not shutil.which("setpriv"), reason="needs setpriv")
def test_what_would_be_is_told_to_anybody(minidock: Any) -> None:
    """Who may not look at the networks is told of one that is as usual."""
    minidock.ok("run", "--rm", "busybox", "true")
    words = "setpriv --reuid=65534 --regid=65534 --clear-groups --".split()
    argv = minidock.argv
    minidock.argv = [*words, *argv]
    try:
        told = minidock.ok("explain", "run", "--rm", "-p", "8080:80", "busybox", "true")
    finally:
        minidock.argv = argv
    assert not Path("/network.json").exists()
    assert "take ports on the host: 8080/tcp" in told
    assert "give eth0 the address 172.18.0.2" in told


# ── nothing is left ──


def left(host: Host) -> list[str]:
    """Links, leases, ports, run directories of containers, and namespaces."""
    minidock = host.minidock
    found = [n["ifname"] for n in json.loads(host("ip", "-j", "link", "show", "type", "veth"))]
    found.remove("up0")
    found += [str(path) for path in minidock.run_root.glob("networks/*/[!.]*")]
    found += [path.name for path in minidock.run_root.iterdir() if len(path.name) == 64]
    if shutil.which("nft"):
        for name in ("ports4", "ports6"):
            listed = host("nft", "list", "map", "inet", "minidock", name, check=False)
            found += ["an element"] if "elements" in listed else []
    return found


def wait_until_nothing_is_left(host: Host) -> None:
    for _ in range(100):
        if not left(host):
            return
        time.sleep(0.1)
    assert left(host) == []


def test_kills_in_the_middle(host: Host) -> None:
    """SIGKILL for a command and all that it started, at any moment of setting up the network. The
    next command finds what they left."""
    minidock = host.minidock
    minidock.ok("run", "--rm", "busybox", "true")
    seed = random.SystemRandom().randrange(1 << 32)
    chance = random.Random(seed)
    for number in range(40):
        words = ("run", "-d", "--rm", "-p", f"{8000 + number}:80", "busybox", "sleep", "60")
        command = minidock.popen(*words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(0.02 + chance.random() * 0.12)
        command.kill()
        for pid in monitors(str(minidock.root)):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        command.wait()
    minidock.ok("run", "--rm", "-p", "8000-8039:80-119", "busybox", "true")
    minidock.remove_all()
    minidock.ok("run", "--rm", "busybox", "true")
    try:
        wait_until_nothing_is_left(host)
    except AssertionError as error:
        error.add_note(f"seed {seed}")
        raise


def monitors(root: str) -> list[int]:
    """Monitors and launchers of containers below a state root."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if b"minidock.engine.spawn" in (process / "cmdline").read_bytes():
                fds = [os.readlink(fd) for fd in (process / "fd").iterdir()]
                if any(fd.startswith(root) for fd in fds):
                    found.append(int(process.name))
        except OSError:
            continue
    return found


@pytest.mark.slow
def test_five_hundred_times(host: Host) -> None:
    """No link, address, rule, lease or namespace is left after 500 containers, four at a time."""
    minidock = host.minidock
    minidock.ok("run", "--rm", "busybox", "true")
    wait_until_nothing_is_left(host)  # its cable has an address as well
    before = addresses(host)
    script = "for i in $(seq 125); do minidock run --rm -p $1:80 busybox true || echo failed; done"
    command = " ".join(minidock.argv)
    loops = [
        subprocess.Popen(
            ["sh", "-c", f'minidock() {{ {command} "$@"; }}; {script}', "sh", str(9000 + number)],
            env=minidock.env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        for number in range(4)
    ]
    for loop in loops:
        assert loop.communicate(timeout=300)[0] == b""
    wait_until_nothing_is_left(host)
    assert addresses(host) == before


def addresses(host: Host) -> list[str]:
    found = json.loads(host("ip", "-j", "addr"))
    return [f"{n['ifname']} {a['local']}" for n in found for a in n["addr_info"]]
