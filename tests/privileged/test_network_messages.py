"""What our own netlink messages did, as a library reads it back, in a network namespace of the
test's own: links, addresses, routes; tables, maps and the two rules among somebody else's."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: it makes namespaces")


def in_namespace(tmp_path: Path, code: str) -> str:
    """Run a program in a new network namespace; what it prints."""
    script = tmp_path / "script.py"
    script.write_text(
        "import os, subprocess, sys\n"
        "from minidock.linux.kernel import LinuxKernel\n"
        "kernel = LinuxKernel()\n"
        "kernel.unshare(0x40000000)\n" + code
    )
    done = subprocess.run(
        [sys.executable, str(script)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


CABLE = """
import time
from pyroute2.iproute.linux import IPRoute
from minidock.network.veth import ConfigureEnd, ConnectVeth, End, mac_for
ipr = IPRoute()
ipr.link("add", ifname="br", kind="bridge")
bridge = ipr.link_lookup(ifname="br")[0]
ipr.link("set", index=bridge, state="up")
told, ready = os.pipe()
child = os.fork()
if child == 0:
    kernel.unshare(0x40000000)
    os.write(ready, b"1")
    time.sleep(50)
    os._exit(0)
os.read(told, 1)
end = End("eth0", (("172.18.0.5", 16), ("fd11::5", 64)), ("172.18.0.1", "fd11::1"),
          mac_for("172.18.0.5"))
class Ctx:
    init = child
ConnectVeth("mdtest", "br", bridge, 1400, end, True).apply(kernel, Ctx)
(host,) = ipr.get_links(ifname="mdtest")
print(host.get_attr("IFLA_MTU"), host.get_attr("IFLA_MASTER") == bridge, host["flags"] & 1)
port = host.get_attr("IFLA_LINKINFO").get_attr("IFLA_INFO_SLAVE_DATA")
print(port.get_attr("IFLA_BRPORT_MODE"))
kernel.setns(os.open(f"/proc/{child}/ns/net", os.O_RDONLY), 0x40000000)
ConfigureEnd(end).apply(kernel, Ctx)
ipr = IPRoute()
(eth0,) = ipr.get_links(ifname="eth0")
print(eth0.get_attr("IFLA_ADDRESS"), eth0.get_attr("IFLA_MTU"), eth0["flags"] & 1)
for a in ipr.get_addr(index=eth0["index"]):
    if a["scope"] == 0:
        print(a.get_attr("IFA_ADDRESS"), a["prefixlen"], a.get_attr("IFA_BROADCAST"),
              a.get_attr("IFA_FLAGS") & 0x40)
for r in ipr.get_default_routes():
    print(r.get_attr("RTA_GATEWAY"), r.get_attr("RTA_OIF") == eth0["index"])
for wrong in (lambda: ConfigureEnd(end.but(name="eth7")), lambda: ConfigureEnd(end)):
    try:
        wrong().apply(kernel, Ctx)
    except OSError as error:
        print(error)
os.kill(child, 9)
"""


def test_a_cable_with_addresses_and_routes(tmp_path: Path) -> None:
    lines = in_namespace(tmp_path, CABLE).split("\n")
    assert lines[0] == "1400 True 1"
    assert lines[1] == "1"
    assert lines[-8:-1] == [
        "02:42:ac:12:00:05 1400 1",
        "172.18.0.5 16 172.18.255.255 0",
        "fd11::5 64 None 0",  # not tentative: it counts at once
        "172.18.0.1 True",
        "fd11::1 True",
        "[Errno 19] No such device",
        "[Errno 17] File exists",
    ]


TABLE = """
from minidock.network import nat, nft
from minidock.network.ipam import parse_subnet
print(nat.ensure_table(kernel), nat.ensure_table(kernel))
gate = nat.Gate("md-0123456789ab", (parse_subnet("172.18.0.0/16"), parse_subnet("fd11::/64")))
nat.open_gate(kernel, gate)
nat.open_gate(kernel, gate)
ports = [
    nat.Port("tcp", "0.0.0.0", 8080, "172.18.0.2", 80),
    nat.Port("udp", "::", 8080, "fd11::2", 80),
    nat.Port("tcp", "127.0.0.1", 81, "172.18.0.2", 80),
]
ports += [nat.Port("tcp", "0.0.0.0", number, "172.18.0.2", 80) for number in range(10000, 11000)]
for batch in nat.publishing(ports):
    nft.send(kernel, batch)
print(subprocess.run(["nft", "list", "ruleset"], capture_output=True, text=True).stdout)
for batch in nat.withdrawing(ports):
    nft.send(kernel, batch)
nat.close_gate(kernel, gate)
print("---")
print(subprocess.run(["nft", "list", "ruleset"], capture_output=True, text=True).stdout)
"""


@pytest.mark.skipif(not shutil.which("nft"), reason="needs nft (Debian package nftables)")
def test_the_table_is_what_nft_reads(tmp_path: Path) -> None:
    before, _, after = in_namespace(tmp_path, TABLE).partition("---")
    assert before.startswith("True False\n")
    for line in (
        "tcp . 8080 : 172.18.0.2 . 80",
        "udp . 8080 : fd11::2 . 80",
        "127.0.0.1 . tcp . 81 : 172.18.0.2 . 80",
        'elements = { "md-0123456789ab" }',
        "172.18.0.0/16",
        "fd11::/64",
        "ip saddr @inside4 oifname != @bridges masquerade",
        "iifname . oifname @paths accept",
        "oifname @bridges drop",
        "dnat ip to ip daddr . meta l4proto . th dport map @at4",
    ):
        assert line in before
    assert before.count(" : 172.18.0.2 . 80") == 1002
    assert "elements" not in after and "chain forward" in after


FORWARD = """
from minidock.network import forward
def show():
    for program in ("iptables-nft", "ip6tables-nft"):
        print(subprocess.run([program, "-S", "FORWARD"], capture_output=True, text=True).stdout)
print(forward.admit(kernel, "md-1"))
for program in ("iptables-nft", "ip6tables-nft"):
    subprocess.run([program, "-A", "FORWARD", "-i", "eth9", "-j", "ACCEPT"], check=True)
print(forward.admit(kernel, "md-1"))
for program in ("iptables-nft", "ip6tables-nft"):
    subprocess.run([program, "-P", "FORWARD", "DROP"], check=True)
print(forward.admit(kernel, "md-1"), forward.admit(kernel, "md-1"), forward.admit(kernel, "md-2"))
show()
print("---")
forward.expel(kernel, "md-1")
forward.expel(kernel, "md-1")
show()
"""


@pytest.mark.skipif(not shutil.which("iptables-nft"), reason="needs iptables-nft")
def test_the_rules_where_others_drop(tmp_path: Path) -> None:
    text = in_namespace(tmp_path, FORWARD)
    before, _, after = text.partition("---")
    assert before.startswith("False\nFalse\nTrue False True\n")
    rules = [f"-A FORWARD -{side} md-{n} -j ACCEPT" for n in (1, 2) for side in "io"]
    expected = ["-P FORWARD DROP", "-A FORWARD -i eth9 -j ACCEPT", *rules]
    assert [line for line in before.splitlines()[3:] if line] == expected * 2
    assert [line for line in after.splitlines() if line] == [*expected[:2], *rules[2:]] * 2


FLOWS = """
import socket, time
from minidock.network import nat
from minidock.network.conntrack import forget_udp
from minidock.network.message import DUMP, NETFILTER, Message, exchange
nat.ensure_table(kernel)  # rules that ask for it make the kernel remember
subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
for address, family in (("127.0.0.1", socket.AF_INET), ("::1", socket.AF_INET6)):
    for kind, port in ((socket.SOCK_DGRAM, 5000), (socket.SOCK_DGRAM, 5001)):
        socket.socket(family, kind).sendto(b"x", (address, port))
    try:
        socket.create_connection((address, 5000))
    except ConnectionRefusedError:
        pass
def known():
    return [sum(port in body for f in (2, 10) for _, body in exchange(
        kernel, NETFILTER, [Message(1 << 8 | 1, bytes([f, 0, 0, 0]), DUMP)]))
        for port in ((5000).to_bytes(2, "big"), (5001).to_bytes(2, "big"))]
print(known())
forget_udp(kernel, {5000, 5002})
print(known())
"""


def test_what_is_remembered_of_udp_is_forgotten_by_port(tmp_path: Path) -> None:
    before, after = in_namespace(tmp_path, FLOWS).splitlines()
    assert before in ("[4, 2]", "[2, 2]")  # a refused connection is soon forgotten, too
    assert after == str([int(before[1]) - 2, 2])
