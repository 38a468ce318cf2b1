"""The files by which a container knows names: /etc/hosts and /etc/resolv.conf.

Both are the container's own, mounted over the image's. The first is asked first: it knows loopback,
the container itself, and what the user adds. The second says which servers to ask for everything
else. The host's are taken, but for those at a loopback address: that is another machine inside a
container.

See: hosts(5), resolv.conf(5), nsswitch.conf(5)
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_LOOPBACK = (
    "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n"
    "fe00::\tip6-localnet\nff00::\tip6-mcastprefix\n"
    "ff02::1\tip6-allnodes\nff02::2\tip6-allrouters\n"
)
# Where a resolver that listens on loopback writes down whom it asks itself.
_BEHIND_LOOPBACK = "/run/systemd/resolve/resolv.conf"
RESOLVER = "127.0.0.11"
_PUBLIC = ("8.8.8.8", "8.8.4.4")


def hosts_file(
    own: Sequence[str] = (),
    hostname: str = "",
    domainname: str = "",
    extra: Sequence[tuple[str, str]] = (),
) -> bytes:
    """/etc/hosts of a container that is called `hostname` at its `own` addresses; `extra` are more
    names, with the address of each."""
    called = f"{hostname}.{domainname} {hostname}" if domainname else hostname
    lines = [f"{address}\t{name}\n" for name, address in extra]
    lines += [f"{address}\t{called}\n" for address in own]
    return (_LOOPBACK + "".join(lines)).encode()


def resolv_conf(
    host: bytes,
    *,
    servers: Sequence[str] = (),
    search: Sequence[str] = (),
    options: Sequence[str] = (),
    resolver: bool = False,
    own_network: bool = True,
) -> bytes:
    """The host's resolv.conf as it makes sense in a container with a network of its own, with what
    the user wants instead. Where no server is left, Google's, as in Docker. With a `resolver` that
    is the only server, and asks the others."""
    kept = _elsewhere(host) if own_network else host
    if not (servers or search or options or resolver):
        return kept
    wanted = {b"nameserver": [RESOLVER] if resolver else servers, b"search": search}
    wanted[b"options"] = options
    lines = [line for line in kept.splitlines() if not _is_replaced(line.split(), wanted)]
    lines += [b"nameserver " + address.encode() for address in wanted[b"nameserver"]]
    if search and list(search) != ["."]:  # which means: none
        lines.append(b"search " + " ".join(search).encode())
    if options:
        lines.append(b"options " + " ".join(options).encode())
    if resolver and not any(b"ndots:" in line for line in lines if line.startswith(b"options")):
        lines.append(b"options ndots:0")  # a container's name has no dot, and is asked for as it is
    return b"\n".join(lines) + b"\n"


def _elsewhere(host: bytes) -> bytes:
    """With servers that are the same for everybody."""
    kept = _without_loopback(host)
    if not _names_servers(kept):
        kept = _without_loopback(host_file(_BEHIND_LOOPBACK))
    if not _names_servers(kept):
        given = b"".join(b"nameserver %b\n" % address.encode() for address in _PUBLIC)
        kept = _without_loopback(host) + given
    return kept


def _is_replaced(words: Sequence[bytes], wanted: Mapping[bytes, Sequence[str]]) -> bool:
    kind = words[0] if words else b""
    return bool(wanted.get(b"search" if kind == b"domain" else kind))


def _without_loopback(content: bytes) -> bytes:
    lines = content.splitlines(keepends=True)
    return b"".join(line for line in lines if not _is_loopback(line.split()))


def _is_loopback(words: Sequence[bytes]) -> bool:
    named = len(words) > 1 and words[0] == b"nameserver"
    return named and (words[1].startswith(b"127.") or words[1] == b"::1")


def _names_servers(content: bytes) -> bool:
    return any(line.split()[:1] == [b"nameserver"] for line in content.splitlines())


def host_file(path: str) -> bytes:
    """A file of the host's; empty where it cannot be read."""
    try:
        with open(path, "rb") as file:
            return file.read(1 << 20)
    except OSError:
        return b""
