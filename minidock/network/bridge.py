"""The switch that a network's containers are plugged into.

A *bridge* is a device of the host that does what a switch does: frames that come in at one port go
out at the one where their receiver is. The host itself sits at it with an address, the network's
gateway, and passes on (*forwards*) what is for elsewhere; that it forwards at all is a setting.

The device is made when a container first needs it, and again after a boot. It is brought up last:
one that is up is complete, and one that is not is half made by somebody who was killed, and is made
whole. It stays when the last container goes, since making it takes a while.

See: https://docs.kernel.org/networking/bridge.html, ip-sysctl.html
"""

from __future__ import annotations

import _socket
import errno
import fcntl
import os
import sys

from minidock.network.ipam import IPV6
from minidock.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from minidock.network.ipam import Subnet

_IFF_UP = 1
_IFREQ = 40  # bytes of a struct ifreq: the name, then what is asked for
_SIOCGIFFLAGS, _SIOCGIFMTU, _SIOCGIFINDEX = 0x8913, 0x8921, 0x8933
_IPV4_SETTINGS = "/proc/sys/net/ipv4"
_IPV6_SETTINGS = "/proc/sys/net/ipv6/conf"


class Bridge(Record):
    """One that is there and up. `ipv6` says whether addresses of IPv6 count on it."""

    name: str
    index: int
    mtu: int
    ipv6: bool


def exists(name: str) -> bool:
    """Whether there is a device of this name, complete or not."""
    return _ask(name, _SIOCGIFINDEX) is not None


def look(name: str) -> Bridge | None:
    """The bridge of this name, if it is there and complete."""
    # Not from /sys: what that shows is the network namespace of who mounted it.
    flags = _ask(name, _SIOCGIFFLAGS)
    if flags is None or not flags & _IFF_UP:
        return None
    index, mtu = _ask(name, _SIOCGIFINDEX), _ask(name, _SIOCGIFMTU)
    if index is None or mtu is None:
        return None  # removed this moment
    return Bridge(name, index, mtu, _setting(f"{_IPV6_SETTINGS}/{name}/disable_ipv6") == "0")


def _ask(name: str, request: int) -> int | None:
    """A number about a device; None where there is no such device. netdevice(7)"""
    sock = _socket.socket(_socket.AF_INET, _socket.SOCK_DGRAM | _socket.SOCK_CLOEXEC)
    try:
        answer = fcntl.ioctl(sock.fileno(), request, name.encode().ljust(_IFREQ, b"\0"))
    except OSError as error:
        if error.errno != errno.ENODEV:
            raise
        return None
    finally:
        sock.close()
    width = 2 if request == _SIOCGIFFLAGS else 4
    return int.from_bytes(answer[16 : 16 + width], sys.byteorder)


def make(name: str, mtu: int, gateways: Sequence[tuple[str, Subnet]], record: str) -> None:
    """Make the bridge whole; `mtu` 0 is the uplink's, `record` the path of the network's record.
    Raises `OSError`."""
    from minidock.network import netlink

    prefixes = [(address, subnet.prefix) for address, subnet in gateways]
    netlink.make_bridge(name, mtu or netlink.uplink_mtu(), prefixes, record)
    # What the host's loopback sends to a published port may leave by this device, and only by it.
    _write(f"{_IPV4_SETTINGS}/conf/{name}/route_localnet", "1")
    _write(f"{_IPV4_SETTINGS}/ip_forward", "1")
    if any(subnet.family == IPV6 for _, subnet in gateways):
        # A container could tell the host where its router is. CVE-2020-13401
        _write(f"{_IPV6_SETTINGS}/{name}/accept_ra", "0")
        _forward_ipv6()
    netlink.set_up(name)


def _forward_ipv6() -> None:
    """A host that forwards is a router, and does not listen to other routers any more, unless it
    is told to on that device: it would lose its way out."""
    if _setting(f"{_IPV6_SETTINGS}/all/forwarding") != "0":
        return
    for name in os.listdir(_IPV6_SETTINGS):
        path = f"{_IPV6_SETTINGS}/{name}/accept_ra"
        if name != "all" and _setting(path) == "1":
            _write(path, "2")
    _write(f"{_IPV6_SETTINGS}/all/forwarding", "1")


def _read(path: str) -> str:
    with open(path, encoding="ascii") as file:
        return file.read().strip()


def _setting(path: str) -> str:
    """ "" where there is no such setting."""
    try:
        return _read(path)
    except OSError:
        return ""


def _write(path: str, value: str) -> None:
    """One that has the value is left alone: it may be somebody else's to change."""
    if _setting(path) not in ("", value):
        with open(path, "w", encoding="ascii") as file:
            file.write(value)
