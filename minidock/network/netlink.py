"""Networks of the host, seen and changed through a library that speaks netlink.

Netlink is how programs talk to the kernel about networking: a socket on which requests such as
"make a link of this kind" are sent, and answers come back (message.py shows what they look like).
Here it is left to pyroute2, which knows all of it, and takes 200 ms to be imported. So nothing of
this is called when a container starts, but only when a network is made: once in its life for the
addresses, and once after each boot for what the kernel keeps of it.

This is the only file that imports pyroute2.

See: netlink(7), rtnetlink(7)
"""

from __future__ import annotations

import os

from minidock.network.ipam import IPV6, Subnet, family_of, parse_subnet

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

_ALIAS = "minidock "
_MAIN_TABLE = 254
_LOCAL_TABLE = 255
_IFA_F_NODAD = 2


class _Connection:
    """A socket of the library's, for a `with`; what the kernel refuses is an `OSError`."""

    def __enter__(self) -> Any:
        # What `from pyroute2 import IPRoute` would import besides takes as long again.
        from pyroute2.iproute.linux import IPRoute

        self._ipr = IPRoute()
        return self._ipr

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        from pyroute2.netlink.exceptions import NetlinkError

        self._ipr.close()
        if isinstance(error, NetlinkError):
            raise OSError(error.code, os.strerror(error.code)) from error


def subnets_of_host() -> list[Subnet]:
    """All that this host has an address in, or a route to, but for default routes: a network of
    ours must not lie there."""
    found = []
    with _Connection() as ipr:
        for address in ipr.get_addr():
            text = address.get_attr("IFA_ADDRESS") or address.get_attr("IFA_LOCAL")
            found.append(parse_subnet(f"{text}/{address['prefixlen']}"))
        for route in ipr.get_routes():
            if route["dst_len"] and route.get_attr("RTA_TABLE") != _LOCAL_TABLE:
                found.append(parse_subnet(f"{route.get_attr('RTA_DST')}/{route['dst_len']}"))
    return found


def uplink_mtu() -> int:
    """How long a packet may be that leaves by a default route; the smallest of several. 1500 where
    there is none."""
    with _Connection() as ipr:
        routes = ipr.get_default_routes(table=_MAIN_TABLE)
        links = {route.get_attr("RTA_OIF") for route in routes} - {None}
        sizes = [ipr.get_links(link)[0].get_attr("IFLA_MTU") for link in links]
    return min(sizes, default=1500)


def make_bridge(name: str, mtu: int, addresses: Sequence[tuple[str, int]], record: str) -> None:
    """Make the bridge `name`, or go on with one that is half made, and give it its `addresses`
    (text and length of the prefix). It stays down: see `set_up`. `record` is the path of the
    network's, and is written on the device, so that `orphans` can find those without one.

    Raises `OSError`.
    """
    with _Connection() as ipr:
        found = ipr.link_lookup(ifname=name)
        if not found:
            # With an address of its own: otherwise it takes that of the port with the lowest, and
            # changes it when that goes, and who talks to it has to find it again.
            mac = ":".join(f"{byte:02x}" for byte in b"\x02\x42" + os.urandom(4))
            ipr.link("add", ifname=name, kind="bridge", address=mac)
            found = ipr.link_lookup(ifname=name)
        ipr.link("set", index=found[0], ifalias=f"{_ALIAS}{record}")
        # Not while it is made: only one that was set later outlasts the coming and going of ports.
        ipr.link("set", index=found[0], mtu=mtu)
        for address, prefix in addresses:
            _add_address(ipr, found[0], address, prefix)


def orphans() -> list[tuple[str, list[Subnet]]]:
    """The bridges of networks whose records are gone, because somebody removed the directory they
    lay in; each with the subnets that it has addresses in."""
    found = []
    with _Connection() as ipr:
        for link in ipr.get_links():
            alias = link.get_attr("IFLA_IFALIAS") or ""
            if alias.startswith(_ALIAS) and not os.path.exists(alias.removeprefix(_ALIAS)):
                addresses = [a for a in ipr.get_addr(index=link["index"]) if not a["scope"]]
                subnets = [
                    parse_subnet(f"{address.get_attr('IFA_ADDRESS')}/{address['prefixlen']}")
                    for address in addresses
                ]
                found.append((link.get_attr("IFLA_IFNAME"), subnets))
    return found


def _add_address(ipr: Any, link: int, address: str, prefix: int) -> None:
    if any(known.get_attr("IFA_ADDRESS") == address for known in ipr.get_addr(index=link)):
        return
    # Nobody else has it, so nobody has to be asked: an address counts for a second as tentative
    # while that is done. RFC 4862, 5.4
    how = {"flags": _IFA_F_NODAD} if family_of(address) == IPV6 else {}
    ipr.addr("add", index=link, address=address, prefixlen=prefix, **how)


def set_up(name: str) -> None:
    """Bring a device up: the last thing done to a bridge, so one that is up is complete."""
    with _Connection() as ipr:
        ipr.link("set", index=ipr.link_lookup(ifname=name)[0], state="up")


def remove_link(name: str) -> None:
    """Remove a device; one that is not there is removed already."""
    with _Connection() as ipr:
        for index in ipr.link_lookup(ifname=name):
            ipr.link("del", index=index)
