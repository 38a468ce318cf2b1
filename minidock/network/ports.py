"""Publishing a container's ports: taking them on the host, then opening them.

A packet for a published port never reaches a program of the host: the rules of nat.py send it on
before that. The port is taken all the same, by a socket bound to it. That is how it is found out at
once, and before anything starts, that somebody else has it; how nobody else can have it meanwhile;
and how the kernel chooses one where the user did not. The container's monitor holds these sockets,
and when it dies, however it does, the kernel drops them. What comes in on them all the same, from
the host's own [::1], it relays (engine/relay.py).

See: bind(2), listen(2), ip(7)
"""

from __future__ import annotations

import errno
import os

from minidock.errors import WRONG_REQUEST, StartFailed
from minidock.network import nft
from minidock.network.ipam import IPV6, family_of
from minidock.network.message import NETFILTER, SOCK_CLOEXEC, connect, converse
from minidock.network.nat import Port, publishing, withdrawing
from minidock.record import Record
from minidock.step import Step

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import ClassVar

    from minidock.linux.kernel import Kernel
    from minidock.step import Context

_AF = {4: 2, IPV6: 10}
_KINDS = {"tcp": (1, 6), "udp": (2, 17), "sctp": (1, 132)}  # type and protocol of a socket
_SOL_SOCKET, _SO_REUSEADDR = 1, 2
_SOL_IPV6, _IPV6_V6ONLY = 41, 26
_BACKLOG = 128
_TRIES = 32  # to find a number that is free for IPv4 and for IPv6


class Wish(Record):
    """A port of the container, and which ports of the host will do: from `first` to `last`, 0 for
    any. It is taken on every address in `host_ips`, with the same number."""

    protocol: str
    port: int
    host_ips: tuple[str, ...]
    first: int = 0
    last: int = 0


class Bound(Record):
    """A port that was taken: `fd` is -1 where this kernel has no sockets of that protocol."""

    protocol: str
    host_ip: str
    host_port: int
    port: int
    fd: int


class ReservePorts(Step):
    """Take ports on the host. `keep` gets each socket as soon as it is bound, `done` is told when
    all are. For an error, `what` names the container, and `is_ours` says whether it is one of ours
    that has a port."""

    wishes: tuple[Wish, ...]
    keep: Callable[[Bound], None]
    done: Callable[[], object]
    what: str
    is_ours: Callable[[str, int], bool]
    see: ClassVar[tuple[str, ...]] = ("bind(2)", "ip(7)")

    def describe(self) -> str:
        shown = ", ".join(_shown(wish) for wish in self.wishes[:4])
        more = len(self.wishes) - 4
        return f"take ports on the host: {shown}{f' and {more} more' if more > 0 else ''}"

    def apply(self, kernel: Kernel, ctx: Context) -> None:
        for wish in self.wishes:
            for bound in _reserve(kernel, wish, self):
                self.keep(bound)
                if bound.fd >= 0:
                    kernel.close(bound.fd)
        self.done()


def _shown(wish: Wish) -> str:
    number = str(wish.first) if wish.first == wish.last else f"{wish.first}-{wish.last}"
    return f"{number if wish.first else 'any'}/{wish.protocol}"


def _reserve(kernel: Kernel, wish: Wish, step: ReservePorts) -> list[Bound]:
    """Sockets on all addresses of a wish. Raises `StartFailed` in Docker's words."""
    number = wish.first
    for attempt in range(max(_TRIES, wish.last - wish.first + 1)):
        found: list[Bound] = []
        try:
            for host_ip in wish.host_ips:
                bound = _bind(kernel, wish, host_ip, found[0].host_port if found else number)
                found.append(bound)
            return found
        except OSError as error:
            for bound in found:
                if bound.fd >= 0:
                    kernel.close(bound.fd)
            last = not number and attempt == _TRIES - 1
            if error.errno != errno.EADDRINUSE or last or (number and number >= wish.last):
                raise _refusal(step, wish, host_ip, number, error) from error
        number = number + 1 if number else 0
    raise AssertionError("not reached")


def _bind(kernel: Kernel, wish: Wish, host_ip: str, number: int) -> Bound:
    family = _AF[family_of(host_ip)]
    kind, protocol = _KINDS[wish.protocol]
    try:
        fd = kernel.socket(family, kind | SOCK_CLOEXEC, protocol)
    except OSError as error:
        if wish.protocol == "sctp" and error.errno == errno.EPROTONOSUPPORT:
            return Bound(wish.protocol, host_ip, number or wish.port, wish.port, -1)
        raise
    try:
        if family == _AF[IPV6]:
            kernel.setsockopt(fd, _SOL_IPV6, _IPV6_V6ONLY, 1)
        if kind == 1:  # what an earlier conversation left behind is in nobody's way
            kernel.setsockopt(fd, _SOL_SOCKET, _SO_REUSEADDR, 1)
        kernel.bind(fd, family, host_ip, number)
        if kind == 1:
            kernel.listen(fd, _BACKLOG)
        return Bound(
            wish.protocol, host_ip, number or kernel.getsockname(fd, family), wish.port, fd
        )
    except OSError:
        kernel.close(fd)
        raise


def _refusal(
    step: ReservePorts, wish: Wish, host_ip: str, number: int, error: OSError
) -> StartFailed:
    where = f"[{host_ip}]:{number}" if ":" in host_ip else f"{host_ip}:{number}"
    why = (
        f"failed to bind host port {where}/{wish.protocol}: {os.strerror(error.errno or 0).lower()}"
    )
    if error.errno == errno.EADDRINUSE and step.is_ours(wish.protocol, number):
        why = f"Bind for {where} failed: port is already allocated"
    return StartFailed(
        "failed to set up container networking: driver failed programming external connectivity "
        f"on endpoint {step.what}: {why}",
        exit_code=WRONG_REQUEST,
    )


class PublishPorts(Step):
    """Open the ports that were taken. `ports` gives them, once they are known."""

    ports: Callable[[], list[Port]]
    see: ClassVar[tuple[str, ...]] = ("nft(8)",)

    def describe(self) -> str:
        return "send what arrives for them to the container: elements of maps in the table minidock"

    def apply(self, kernel: Kernel, ctx: Context) -> None:
        publish(kernel, self.ports())


class ForgetFlows(Step):
    """Make those who have been sending to a port of UDP reach the container from now on."""

    ports: Callable[[], list[Port]]
    see: ClassVar[tuple[str, ...]] = ("udp(7)",)

    def describe(self) -> str:
        return "forget the conversations over UDP that the kernel remembers for these ports"

    def apply(self, kernel: Kernel, ctx: Context) -> None:
        from minidock.network.conntrack import forget_udp

        forget_udp(kernel, {port.host_port for port in self.ports() if port.protocol == "udp"})


def publish(kernel: Kernel, ports: list[Port]) -> None:
    """Raises `OSError`. Where such an element is there already it is a dead container's: the port
    could not have been taken otherwise."""
    for batch in publishing(ports):
        try:
            nft.send(kernel, batch)
        except FileExistsError:
            for port in ports:
                _replace(kernel, port)
            return


def _replace(kernel: Kernel, port: Port) -> None:
    (new,), (old,) = publishing([port]), withdrawing([port])
    try:
        nft.send(kernel, new)
    except FileExistsError:
        nft.send(kernel, [*old, *new])


def withdraw(kernel: Kernel, ports: list[Port]) -> int:
    """Close ports, those that are still open. Returns a socket that is better closed late: the
    kernel then waits until nobody looks at what was removed, for 16 ms. Raises `OSError`."""
    fd = connect(kernel, NETFILTER)
    for messages in withdrawing(ports):
        try:
            converse(kernel, fd, nft.batch(messages))
        except FileNotFoundError:  # of one of them, and so of all
            for port in ports:
                _withdraw_one(kernel, port)
            break
    return fd


def _withdraw_one(kernel: Kernel, port: Port) -> None:
    (messages,) = withdrawing([port])
    try:
        nft.send(kernel, messages)
    except FileNotFoundError:
        pass


def hold_free(kernel: Kernel, ports: list[Port]) -> tuple[list[Port], list[int]]:
    """Those that nobody has taken since, and sockets that keep it so."""
    free, held = [], []
    for port in ports:
        wish = Wish(port.protocol, port.port, (port.host_ip,), port.host_port, port.host_port)
        try:
            held.append(_bind(kernel, wish, port.host_ip, port.host_port).fd)
        except OSError:
            continue
        free.append(port)
    return free, held
