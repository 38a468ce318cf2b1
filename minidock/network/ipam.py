"""Who has which address: subnets for networks, addresses for containers.

A *subnet* is taken from a list of private ranges, the first that overlaps with nothing this host
uses already: a route to it would be hidden by ours.

An *address* is leased to a container for as long as that runs. A lease is a symbolic link, named
for the address and pointing to the holder's id:

    /run/minidock/networks/<network>/172.18.0.2 -> 8c1f…

symlink(2) fails where the name exists, so nobody ever hands out an address twice; `ls -l` shows
them all; and after a boot there are none, as it should be. A holder that was killed leaves its
lease behind. Whoever comes across that while looking for an address asks whether the holder is
still alive, and takes it over if not. So that two do not take over the same one, both hold a lock
on the directory meanwhile, and the kernel drops it with them.

Addresses are handed out in turn, and not the lowest first: that of a container which has just ended
may still be answered for by its dying network namespace.

Addresses are numbers in here. (The standard library's `ipaddress` would do, at 7 ms.)

See: RFC 1918, RFC 4193 (unique local IPv6 addresses), symlink(2), flock(2)
"""

from __future__ import annotations

import _socket
import errno
import fcntl
import os

from minidock.errors import Conflict, InvalidInput
from minidock.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

IPV4, IPV6 = 4, 6
BITS = {IPV4: 32, IPV6: 128}
_FAMILIES = {IPV4: _socket.AF_INET, IPV6: _socket.AF_INET6}


class Subnet(Record):
    """A range of addresses: those whose first `prefix` bits are those of `base`."""

    family: int
    base: int
    prefix: int

    @property
    def size(self) -> int:
        return 1 << (BITS[self.family] - self.prefix)

    def __contains__(self, number: int) -> bool:
        return self.base <= number < self.base + self.size

    def overlaps(self, other: Subnet) -> bool:
        return self.family == other.family and (
            self.base < other.base + other.size and other.base < self.base + self.size
        )

    def address(self, offset: int) -> str:
        """The address that is `offset` above the first."""
        return text_of(self.base + offset, self.family)

    def __str__(self) -> str:
        return f"{text_of(self.base, self.family)}/{self.prefix}"


def number_of(address: str) -> int:
    """`172.18.0.2` → 2886860802. Raises `InvalidInput` for what is no address."""
    family = _FAMILIES[family_of(address)]
    try:
        return int.from_bytes(_socket.inet_pton(family, address), "big")
    except (OSError, ValueError):
        raise InvalidInput(f"invalid IP address: {address}") from None


def text_of(number: int, family: int) -> str:
    """The reverse of `number_of`."""
    return _socket.inet_ntop(_FAMILIES[family], number.to_bytes(BITS[family] // 8, "big"))


def family_of(address: str) -> int:
    return IPV6 if ":" in address else IPV4


def packed(address: str) -> bytes:
    """An address as it stands in a packet."""
    return number_of(address).to_bytes(BITS[family_of(address)] // 8, "big")


def parse_subnet(text: str) -> Subnet:
    """`172.18.0.0/16`; bits below the prefix are dropped. Raises `InvalidInput`."""
    address, _, length = text.partition("/")
    family = family_of(address)
    if not (length.isascii() and length.isdigit()) or int(length) > BITS[family]:
        raise InvalidInput(f"invalid CIDR address: {text}")
    low = BITS[family] - int(length)
    return Subnet(family, number_of(address) >> low << low, int(length))


# ── subnets ──

# Docker's, but for 172.17.0.0/16, which its default bridge likes to have.
_POOLS = (
    *(f"172.{n}.0.0/16" for n in range(18, 32)),
    *(f"192.168.{n}.0/20" for n in range(0, 256, 16)),
)


def free_subnet(used: Iterable[Subnet]) -> Subnet:
    """The first IPv4 range for a network that overlaps with none of `used`. Raises `Conflict`."""
    taken = tuple(used)
    for text in _POOLS:
        pool = parse_subnet(text)
        if not any(map(pool.overlaps, taken)):
            return pool
    raise Conflict("all predefined address pools have been fully subnetted")


def free_subnet6(prefix: Subnet, used: Iterable[Subnet]) -> Subnet:
    """The first /64 of this machine's own IPv6 `prefix` that overlaps with none of `used`."""
    taken = tuple(used)
    step = 1 << 64
    for base in range(prefix.base, prefix.base + prefix.size, step):
        pool = Subnet(IPV6, base, 64)
        if not any(map(pool.overlaps, taken)):
            return pool
    raise Conflict("all predefined address pools have been fully subnetted")


def local_prefix() -> Subnet:
    """A new /48 of unique local addresses: random, so that two machines do not choose the same.
    RFC 4193, 3.2"""
    return Subnet(IPV6, int.from_bytes(b"\xfd" + os.urandom(5) + bytes(10), "big"), 48)


# ── leases ──


class Leases:
    """The addresses of one network that are taken. `alive` says of a holder's id whether it still
    lives; `announce` is told which one is about to be leased, so that whoever is killed then has
    said what he might have left behind."""

    def __init__(
        self,
        directory: str,
        alive: Callable[[str], bool],
        announce: Callable[[str], object] = lambda address: None,
    ) -> None:
        self._directory = directory
        self._alive = alive
        self._announce = announce

    def path(self, address: str) -> str:
        """Where the lease of an address lies: whoever unlinks that gives it back."""
        return f"{self._directory}/{address}"

    def take(
        self, holder: str, subnet: Subnet, *, within: Subnet | None = None, not_: Sequence[str] = ()
    ) -> str:
        """Lease the next free address of `subnet`, out of the part `within` if there is one; never
        one of `not_`. Raises `Conflict` where there is none left."""
        reserved = {number_of(address) for address in not_}
        os.makedirs(self._directory, mode=0o700, exist_ok=True)
        lock = self._lock()
        try:
            for number in self._in_turn(subnet, within or subnet):
                if number in reserved:
                    continue
                address = text_of(number, subnet.family)
                if self._try(address, holder):
                    self._remember(address)
                    return address
        finally:
            os.close(lock)
        kind = f"IPv{subnet.family}"
        raise Conflict(f"no available {kind} addresses on this network's address pools")

    def claim(self, holder: str, address: str) -> None:
        """Lease one certain address. Raises `Conflict` where another has it."""
        os.makedirs(self._directory, mode=0o700, exist_ok=True)
        lock = self._lock()
        try:
            if not self._try(address, holder):
                raise Conflict("Address already in use")
        finally:
            os.close(lock)

    def all(self) -> dict[str, str]:
        """Holders by address, those that are gone too."""
        found = {}
        try:
            names = os.listdir(self._directory)
        except FileNotFoundError:
            return {}
        for name in names:
            if not name.startswith("."):
                holder = self._holder(name)
                if holder:
                    found[name] = holder
        return found

    def sweep(self) -> None:
        """Drop the leases of those that are gone."""
        if not os.path.isdir(self._directory):
            return
        lock = self._lock()
        try:
            for address, holder in self.all().items():
                if not self._alive(holder):
                    os.unlink(self.path(address))
        except FileNotFoundError:
            pass  # given back meanwhile
        finally:
            os.close(lock)

    def remove(self) -> None:
        """Forget all of them: the network goes."""
        try:
            for name in os.listdir(self._directory):
                os.unlink(self.path(name))
            os.rmdir(self._directory)
        except FileNotFoundError:
            pass

    def peek(
        self, subnet: Subnet, *, within: Subnet | None = None, not_: Sequence[str] = ()
    ) -> str:
        """The address that `take` would give now."""
        reserved = {number_of(address) for address in not_}
        for number in self._in_turn(subnet, within or subnet):
            address = text_of(number, subnet.family)
            holder = self._holder(address)
            if number not in reserved and not (holder and self._alive(holder)):
                return address
        return subnet.address(2)

    def _lock(self) -> int:
        fd = os.open(self._directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        fcntl.flock(fd, fcntl.LOCK_EX)
        return fd

    def _try(self, address: str, holder: str) -> bool:
        path = self.path(address)
        for _ in range(3):
            other = self._holder(address)
            if other and self._alive(other):
                return False
            try:
                if not other:
                    self._announce(address)
                    os.symlink(holder, path)
                    return True
            except FileExistsError:
                continue
            try:
                os.unlink(path)
            except FileNotFoundError:
                pass  # given back this moment
        return False

    def _holder(self, address: str) -> str:
        try:
            return os.readlink(self.path(address))
        except OSError as error:
            # (Whoever may not even look only explains a start.)
            if error.errno not in (errno.ENOENT, errno.EINVAL, errno.EACCES):
                raise
            return ""

    def _in_turn(self, subnet: Subnet, within: Subnet) -> Iterator[int]:
        """All that can be handed out, beginning after the last that was. The first address of a
        subnet means the subnet, the last of an IPv4 one means everybody in it."""
        first = max(within.base, subnet.base + 1)
        end = within.base + within.size
        if subnet.family == IPV4:
            end = min(end, subnet.base + subnet.size - 1)
        last = self._holder(f".last{subnet.family}")
        start = number_of(last) + 1 if last else first
        if not first <= start < end:
            start = first
        yield from range(start, end)
        yield from range(first, start)

    def _remember(self, address: str) -> None:
        """Before the lease counts for anything: should this be lost, only the turn is."""
        path = self.path(f".last{family_of(address)}")
        try:
            os.unlink(path)
        except FileNotFoundError:
            pass
        os.symlink(address, path)
