"""Networks of the user's: containers find each other by name, and nobody else finds them."""

from __future__ import annotations

import json
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


def run(minidock, name: str, network: str, *flags: str) -> str:
    """A container that sleeps; its address on the network."""
    argv = ("run", "-d", "--name", name, "--network", network, *flags, "busybox", "sleep", "1000")
    minidock.ok(*argv)
    return address(minidock, name, network)


def address(minidock, name: str, network: str) -> str:
    on_it = json.loads(minidock.ok("network", "inspect", network))[0]["Containers"].values()
    return str({c["Name"]: c["IPv4Address"] for c in on_it}[name].partition("/")[0])


def sh(minidock, name: str, script: str) -> tuple[int, str]:
    done = minidock("exec", name, "sh", "-c", script)
    return done.returncode, done.stdout + done.stderr


def asks(minidock, name: str, other: str) -> str:
    """The address that `name` is told for `other`, which answers it too; "" where there is none."""
    code, text = sh(minidock, name, f"busybox ping -c 1 -W 1 {other}")
    return text.partition("(")[2].partition(")")[0] if code == 0 else ""


def wait_until(true: Callable[[], bool], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it does not come true"
        time.sleep(0.05)


def test_containers_find_each_other_by_name_alias_id_and_host_name(minidock) -> None:
    minidock.ok("network", "create", "shop")
    web = run(minidock, "web", "shop", "--network-alias", "www", "--hostname", "frontend")
    run(minidock, "client", "shop")
    container_id = minidock.ok("inspect", "-f", "{{.Id}}", "web")[:12]
    for name in ("web", "WEB", "www", "frontend", container_id, "web.shop", "www.shop"):
        assert asks(minidock, "client", name) == web, name
    assert asks(minidock, "client", "nobody") == ""
    code, text = sh(minidock, "client", f"busybox nslookup {web}")
    assert (code, "web.shop" in text) == (0, True)
    assert sh(minidock, "client", "cat /etc/resolv.conf")[1].count("nameserver 127.0.0.11") == 1
    names = "{{json .NetworkSettings.Networks.shop.DNSNames}}"
    names = json.loads(minidock.ok("inspect", "-f", names, "web"))
    assert names == ["web", "www", container_id, "frontend"]
    config = "{{range .IPAM.Config}}{{.Subnet}}{{.IPRange}}{{end}} {{len .Containers}}"
    subnet = _config(minidock, "shop")["Subnet"]
    assert minidock.ok("network", "inspect", "-f", config, "shop") == f"{subnet} 2\n"


def test_a_name_follows_its_container(minidock) -> None:
    minidock.ok("network", "create", "shop")
    run(minidock, "web", "shop")
    run(minidock, "client", "shop")
    minidock.ok("kill", "web")
    assert asks(minidock, "client", "web") == ""
    run(minidock, "other", "shop")  # which takes the next address
    minidock.ok("start", "web")
    assert asks(minidock, "client", "web") == address(minidock, "web", "shop")
    minidock.ok("rename", "web", "site")
    assert asks(minidock, "client", "site") == address(minidock, "site", "shop")
    assert asks(minidock, "client", "web") == ""


def test_an_alias_may_be_that_of_several(minidock) -> None:
    minidock.ok("network", "create", "shop")
    all_ = {run(minidock, f"web{n}", "shop", "--network-alias", "web") for n in range(3)}
    run(minidock, "client", "shop")
    text = sh(minidock, "client", "busybox nslookup web")[1]
    assert all(one in text for one in all_)


def test_networks_are_apart(minidock) -> None:
    for name in ("red", "blue"):
        minidock.ok("network", "create", name)
    red = run(minidock, "in-red", "red")
    run(minidock, "in-blue", "blue")
    minidock.ok("run", "-d", "--name", "outside", "busybox", "sleep", "1000")
    for other in ("in-blue", "outside"):
        assert asks(minidock, other, "in-red") == ""
        assert asks(minidock, other, red) == ""
    run(minidock, "in-both", "red", "--network", "blue")
    assert asks(minidock, "in-both", "in-red") == red
    assert asks(minidock, "in-both", "in-blue") == address(minidock, "in-blue", "blue")
    assert asks(minidock, "in-red", "in-both") == address(minidock, "in-both", "red")


def test_a_network_whose_containers_do_not_reach_each_other(minidock) -> None:
    icc = "com.docker.network.bridge.enable_icc=false"
    minidock.ok("network", "create", "-o", icc, "cells")
    cell = run(minidock, "one", "cells")
    run(minidock, "two", "cells")
    minidock.ok("run", "-d", "--name", "three", "busybox", "sleep", "1000")
    minidock.ok("network", "connect", "cells", "three")
    for other in ("two", "three"):
        assert cell in sh(minidock, other, "busybox nslookup one")[1]
        assert asks(minidock, other, "one") == ""
    assert asks(minidock, "two", _gateway(minidock, "cells")) != ""
    bridge = f"md-{minidock.ok('network', 'inspect', '-f', '{{.Id}}', 'cells')[:12]}"
    marks = Path("/sys/class/net", bridge, "brif").glob("*/isolated")
    assert [mark.read_text() for mark in marks] == ["1\n"] * 3


def test_an_internal_network_leads_nowhere(minidock) -> None:
    minidock.ok("network", "create", "--internal", "vault")
    safe = run(minidock, "safe", "vault")
    run(minidock, "peer", "vault")
    assert asks(minidock, "peer", "safe") == safe
    assert "default" not in sh(minidock, "peer", "busybox ip route")[1]
    text = sh(minidock, "peer", "busybox nslookup example.org")[1]
    assert "SERVFAIL" in text or "server can't find" in text


def test_connected_and_disconnected_while_it_runs(minidock) -> None:
    minidock.ok("network", "create", "shop")
    web = run(minidock, "web", "shop")
    minidock.ok("run", "-d", "--name", "late", "busybox", "sleep", "1000")
    before = sh(minidock, "late", "cat /etc/resolv.conf")[1]
    assert asks(minidock, "late", "web") == ""
    minidock.ok("network", "connect", "--alias", "latecomer", "shop", "late")
    assert asks(minidock, "late", "web") == web
    assert asks(minidock, "web", "latecomer") == address(minidock, "late", "shop")
    assert "nameserver 127.0.0.11" in sh(minidock, "late", "cat /etc/resolv.conf")[1] != before
    assert address(minidock, "late", "shop") in sh(minidock, "late", "cat /etc/hosts")[1]
    done = minidock("network", "connect", "shop", "late")
    assert "endpoint with name late already exists in network shop" in done.stderr
    done = minidock("network", "rm", "shop")
    assert 'network shop has active endpoints (name:"late" id:"' in done.stderr
    old = address(minidock, "late", "shop")
    minidock.ok("network", "disconnect", "shop", "late")
    assert asks(minidock, "late", "web") == ""
    assert asks(minidock, "web", "latecomer") == ""
    assert old not in sh(minidock, "late", "cat /etc/hosts")[1]
    minidock.ok("network", "disconnect", "bridge", "late")
    assert sh(minidock, "late", "ls /sys/class/net")[1].split() == ["lo"]
    done = minidock("network", "disconnect", "bridge", "late")
    assert "is not connected to network bridge" in done.stderr
    minidock.ok("restart", "-t", "0", "late")  # what was changed is what it has
    assert sh(minidock, "late", "ls /sys/class/net")[1].split() == ["lo"]


def test_connected_while_it_does_not_run(minidock) -> None:
    for name in ("red", "blue"):
        minidock.ok("network", "create", name)
    minidock.ok("create", "--name", "two", "--network", "red", "busybox", "sleep", "1000")
    minidock.ok("network", "connect", "--ip", _within(minidock, "blue", 77), "blue", "two")
    minidock.ok("start", "two")
    assert address(minidock, "two", "blue") == _within(minidock, "blue", 77)
    minidock.ok("stop", "-t", "0", "two")
    minidock.ok("network", "disconnect", "red", "two")
    minidock.ok("start", "two")
    assert sh(minidock, "two", "ls /sys/class/net")[1].split() == ["eth0", "lo"]
    assert minidock.ok("ps", "--format", "{{.Networks}}") == "blue\n"


def test_the_way_out_is_where_the_priority_says(minidock) -> None:
    for name in ("alpha", "beta"):
        minidock.ok("network", "create", name)

    def way_out(name: str) -> str:
        route = sh(minidock, name, "busybox ip route show default")[1].split()
        return {_gateway(minidock, n): n for n in ("alpha", "beta")}[route[2]]

    run(minidock, "one", "beta", "--network", "alpha")
    assert way_out("one") == "alpha"  # of equals, the first by name
    run(minidock, "two", "alpha", "--network", "name=beta,gw-priority=1")
    assert way_out("two") == "beta"
    minidock.ok("network", "disconnect", "beta", "two")
    assert way_out("two") == "alpha"
    minidock.ok("network", "connect", "--gw-priority", "5", "beta", "two")
    assert way_out("two") == "beta"


def test_addresses_of_ones_own(minidock) -> None:
    minidock.ok("network", "create", "--subnet", "10.213.7.0/24", "--ipv6", "lab")
    run(minidock, "host", "lab", "--ip", "10.213.7.99", "--mac-address", "02:42:0a:d5:07:63")
    assert address(minidock, "host", "lab") == "10.213.7.99"
    text = sh(minidock, "host", "busybox ip addr show eth0")[1]
    assert "10.213.7.99/24" in text and "02:42:0a:d5:07:63" in text and "inet6 fd" in text
    for flags, words in (
        (["--ip", "10.213.7.99"], "Address already in use"),
        (["--ip", "10.213.7.1"], "Address already in use"),
        (["--ip", "10.9.9.9"], "no configured subnet contains IP address 10.9.9.9"),
        (["--ip6", "fd99::1"], "no configured subnet contains IP address fd99::1"),
    ):
        done = minidock("run", "--rm", "--network", "lab", *flags, "busybox", "true")
        assert (done.returncode, words in done.stderr) == (125, True), done.stderr


def test_names_that_the_user_adds(minidock) -> None:
    minidock.ok("network", "create", "shop")
    flags = ("--add-host", "printer:192.0.2.9", "--add-host", "me=host-gateway")
    for network in ("shop", "bridge"):
        argv = ("run", "--rm", "--network", network, *flags, "busybox", "cat", "/etc/hosts")
        hosts = minidock.ok(*argv)
        assert "192.0.2.9\tprinter\n" in hosts
        assert f"{_gateway(minidock, network)}\tme\n" in hosts
    argv = ("run", "--rm", "--network", "none", "--add-host", "a:192.0.2.9", "busybox")
    assert "192.0.2.9\ta\n" in minidock.ok(*argv, "cat", "/etc/hosts")


@pytest.mark.parametrize("network", ["none", "bridge", "host"])
def test_name_servers_of_ones_own(minidock, network: str) -> None:
    argv = ("--dns", "192.0.2.53", "--dns-search", "example.com", "--dns-option", "timeout:1")
    text = minidock.ok("run", "--rm", "--network", network, *argv, "busybox", "cat",
                       "/etc/resolv.conf")  # fmt: skip
    assert "nameserver 192.0.2.53\n" in text and text.count("nameserver") == 1
    assert "search example.com\n" in text and "options timeout:1" in text


@contextmanager
def name_server(host: str) -> Iterator[list[bytes]]:
    """A server that says 192.0.2.7 to everything; what it was asked."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind((host, 53))
    asked: list[bytes] = []

    def serve() -> None:
        while True:
            data, who = sock.recvfrom(4096)
            if data == b"stop":
                return
            asked.append(data)
            answer = b"\xc0\x0c\0\1\0\1\0\0\0\x3c\0\4\xc0\0\2\7"
            end = data.index(b"\0", 12) + 5
            head = data[:2] + b"\x81\x80\0\1\0\1\0\0\0\0"
            sock.sendto(head + data[12:end] + (answer if data[end - 3] == 1 else b""), who)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield asked
    finally:
        sock.sendto(b"stop", sock.getsockname())
        thread.join()
        sock.close()


def test_other_names_are_asked_of_the_users_servers(minidock) -> None:
    minidock.ok("network", "create", "shop")
    gateway = _gateway(minidock, "shop")
    run(minidock, "client", "shop", "--dns", gateway)
    with name_server(gateway) as asked:
        text = sh(minidock, "client", "busybox nslookup elsewhere.example")[1]
        assert "192.0.2.7" in text
        assert asks(minidock, "client", "client") == address(minidock, "client", "shop")
    assert all(b"elsewhere" in question for question in asked)


def test_a_link_is_a_name_for_one_container_alone(minidock) -> None:
    minidock.ok("network", "create", "shop")
    db = run(minidock, "db", "shop")
    run(minidock, "app", "shop", "--link", "db:postgres")
    run(minidock, "other", "shop")
    assert asks(minidock, "app", "postgres") == db
    assert asks(minidock, "other", "postgres") == ""


def test_a_link_on_the_default_network_is_a_line_in_hosts(minidock) -> None:
    minidock.ok("run", "-d", "--name", "db", "busybox", "sleep", "1000")
    db = address(minidock, "db", "bridge")
    argv = ("run", "--rm", "--link", "db:postgres", "busybox", "cat", "/etc/hosts")
    assert f"{db}\tpostgres " in minidock.ok(*argv)
    minidock.ok("kill", "db")
    done = minidock(*argv)
    assert "Cannot link to a non running container: /db AS" in done.stderr


def test_what_was_killed_is_found_by_nobody(minidock) -> None:
    minidock.ok("network", "create", "shop")
    run(minidock, "web", "shop")
    run(minidock, "client", "shop")
    started = json.loads((minidock.directory(_id(minidock, "web")) / "started.json").read_text())
    os.kill(started["MonitorPid"], 9)
    wait_until(lambda: minidock.ok("inspect", "-f", "{{.State.Running}}", "web") == "false\n")
    assert asks(minidock, "client", "web") == ""
    on_it = json.loads(minidock.ok("network", "inspect", "shop"))[0]["Containers"]
    assert [c["Name"] for c in on_it.values()] == ["client"]
    minidock.ok("start", "web")
    assert asks(minidock, "client", "web") == address(minidock, "web", "shop")
    minidock.ok("rm", "-f", "web", "client")
    minidock.ok("network", "rm", "shop")


def test_lists_know_who_is_on_a_network(minidock) -> None:
    for name in ("red", "blue"):
        minidock.ok("network", "create", name)
    run(minidock, "one", "red", "--network", "blue")
    run(minidock, "two", "blue")

    def on(network: str) -> list[str]:
        words = ("ps", "--filter", f"network={network}", "--format", "{{.Names}}")
        return sorted(minidock.ok(*words).split())

    assert (on("red"), on("blue"), on("bridge")) == (["one"], ["one", "two"], [])
    assert on(minidock.ok("network", "inspect", "-f", "{{.Id}}", "red").strip()) == ["one"]
    listed = minidock.ok("ps", "--format", "{{.Names}}: {{.Networks}}")
    assert sorted(listed.splitlines()) == ["one: blue,red", "two: blue"]
    on_blue = json.loads(minidock.ok("network", "inspect", "blue"))[0]["Containers"]
    assert sorted(c["Name"] for c in on_blue.values()) == ["one", "two"]
    minidock.ok("kill", "one")
    assert minidock.ok("network", "prune", "-f") == "Deleted Networks:\nred\n\n"


def test_fifty_on_one_network(minidock) -> None:
    minidock.ok("network", "create", "crowd")
    for n in range(50):
        name = ("--name", f"c{n}", "--network", "crowd")
        minidock.ok("run", "-d", *name, "busybox", "sleep", "1000")
    on_it = json.loads(minidock.ok("network", "inspect", "crowd"))[0]["Containers"].values()
    assert len({container["IPv4Address"] for container in on_it}) == 50
    script = "for n in $(seq 0 49); do busybox ping -c 1 -W 1 c$n >/dev/null || echo no $n; done"
    assert sh(minidock, "c49", script) == (0, "")


def _id(minidock, name: str) -> str:
    return str(minidock.ok("inspect", "-f", "{{.Id}}", name)).strip()


def _config(minidock, network: str) -> dict[str, str]:
    config = minidock.ok("network", "inspect", "-f", "{{json .IPAM.Config}}", network)
    return dict(json.loads(config)[0])


def _gateway(minidock, network: str) -> str:
    return _config(minidock, network)["Gateway"]


def _within(minidock, network: str, number: int) -> str:
    return _config(minidock, network)["Subnet"].rpartition(".")[0] + f".{number}"
