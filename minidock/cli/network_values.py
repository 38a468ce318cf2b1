"""What is typed about networks: addresses, names, and `--network` in its long form.

`--network web` names a network; `--network name=web,alias=api,ip=172.20.0.9` also says how the
container is on it. The older flags (`--ip`, `--network-alias` …) mean the first network. What comes
out is Docker's EndpointSettings by the name of the network.

See: docker/cli opts/{network,hosts,opts}.go, cli/command/container/opts.go (parseNetworkOpts)
"""

from __future__ import annotations

import _socket

from minidock.cli.command import ClientError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from minidock.cli.parse import Parsed

    Endpoint = dict[str, Any]

HOST_GATEWAY = "host-gateway"
_NOT_OF_USERS = ("default", "bridge", "host", "none")
_OLD_FLAGS = (  # flag, key of the long form, what Docker calls it when both are given
    ("network-alias", "alias", "--network-alias and per-network alias"),
    ("ip", "ip", "--ip and per-network IPv4 address"),
    ("ip6", "ip6", "--ip6 and per-network IPv6 address"),
    ("mac-address", "mac-address", "--mac-address and per-network MAC address"),
    ("link-local-ip", "link-local-ip", "--link-local-ip and per-network link-local IP addresses"),
)
_MANY = ("alias", "link-local-ip", "driver-opt")
_KEYS = ("name", "ip", "ip6", "mac-address", "gw-priority", *_MANY)
_HEX = frozenset("0123456789abcdefABCDEF")


def is_of_users(network: str) -> bool:
    """Whether a `--network` names one that a user made."""
    return network not in _NOT_OF_USERS and not network.startswith("container:")


# ── checks of single flags ──


def ip_address(text: str) -> str:
    """Raises ValueError in Docker's words, as all of these."""
    found = _address(text.strip())
    if not found:
        raise ValueError(f"IP address is not correctly formatted: {text}")
    return found


def _address(text: str) -> str:
    """An address in its usual form; "" for what is none."""
    for family in (_socket.AF_INET, _socket.AF_INET6):
        try:
            return _socket.inet_ntop(family, _socket.inet_pton(family, text))
        except (OSError, ValueError):
            continue
    return ""


def search_domain(text: str) -> str:
    """A domain to look names up in; "." for none, not even the host's."""
    domain = text.strip(" \t\n.")
    if not domain and "." in text:
        return "."
    labels = domain.split(".")
    if not all(_is_label(label) for label in labels) or len(domain) > 255:
        raise ValueError(f"{text} is not a valid domain")
    return domain


def _is_label(text: str) -> bool:
    word = text.replace("-", "").replace("_", "")
    whole = text[:1] not in ("-", "_") and text[-1:] not in ("-", "_")
    return whole and word.isascii() and word.isalnum() and len(text) < 64


def extra_host(text: str) -> str:
    """`db=10.0.0.5`, `db:10.0.0.5`, `db:[::1]`, `db:host-gateway` → with a colon, as `inspect`."""
    from minidock.spec.quoting import quote

    host, found, address = text.partition("=")
    if not found:
        host, found, address = text.partition(":")
    if not found or not host:
        raise ValueError(f"bad format for add-host: {quote(text)}")
    if address == HOST_GATEWAY:
        return f"{host}:{address}"
    if address[:1] == "[" and address[-1:] == "]":
        address = address[1:-1]
    if not _address(address):
        raise ValueError(f"invalid IP address in add-host: {quote(address)}")
    return f"{host}:{address}"


def link(text: str) -> str:
    """`db` or `db:name` (or what `inspect` shows, `/db:/web/name`)."""
    if not text:
        raise ValueError("empty string specified for links")
    if text.count(":") > 1:
        raise ValueError(f"bad format for links: {text}")
    return text


def network(text: str) -> str:
    """The long form must be one; it is read again when all of them are known."""
    if _is_long(text):
        _fields(text)
    return text


def mac_address(text: str) -> str:
    """`02:42:ac:11:00:02`, in its usual form. Raises `ClientError`."""
    given = text.strip()
    parts = given.replace("-", ":").split(":")
    if "." in given:  # 0242.ac11.0002
        parts = [word[i : i + 2] for word in given.split(".") for i in (0, 2)]
    if len(parts) != 6 or not all(len(part) == 2 and set(part) <= _HEX for part in parts):
        raise ClientError(f"{text} is not a valid mac address")
    return ":".join(parts).lower()


# ── networks ──


def _is_long(text: str) -> bool:
    """`\\w+=\\w+`"""
    before, equals, after = text.partition("=")
    return bool(equals and before[-1:].strip("=,") and (after[:1].isalnum() or after[:1] == "_"))


def _fields(text: str) -> dict[str, list[str]]:
    """`name=web,alias=a,alias=b` → the values of each key."""
    from minidock.spec.quoting import quote

    found: dict[str, list[str]] = {}
    for field in text.split(","):
        key, equals, value = field.partition("=")
        key, value = key.strip().strip(chr(34)).lower(), value.strip().strip(chr(34))
        if not equals or not key:
            raise ValueError(f"invalid field {field}")
        if key not in _KEYS:
            raise ValueError(f"invalid field key {key}")
        if key == "driver-opt" and "=" not in value:
            raise ValueError("invalid key value pair format in driver options")
        if key == "gw-priority" and not value.removeprefix("-").isdigit():
            raise ValueError(f"invalid gw-priority ({value}): invalid syntax")
        if key == "mac-address":
            try:
                value = mac_address(value)
            except ClientError as error:
                raise ValueError(error.message) from None
        found.setdefault(key, []).append(value)
    if not found.get("name"):
        raise ValueError(f"network name/id is not specified in {quote(text)}")
    return found


def endpoints(args: Parsed) -> tuple[str, dict[str, Endpoint]]:
    """The network mode, which is the first network, and how the container is on each that it was
    given. Raises `ClientError` in Docker's words."""
    given = [
        _fields(text) if _is_long(text) else {"name": [text]}
        for text in (*args.each("network"), *args.each("net"))
    ] or [{"name": ["default"]}]
    names = [fields["name"][-1] for fields in given]
    if not all(name.strip() for name in names):
        raise ClientError("no name set for network")
    _take_old_flags(args, given[0])
    found: dict[str, Endpoint] = {}
    for name, fields in zip(names, given, strict=True):
        if not is_of_users(name) and fields.get("alias"):
            raise ClientError("network-scoped aliases are only supported for user-defined networks")
        if name in found:
            raise ClientError(f'network "{name}" is specified multiple times')
        found[name] = _endpoint(fields)
    if len({is_of_users(name) for name in names}) > 1:
        raise ClientError(
            "conflicting options: cannot attach both user-defined and non-user-defined "
            "network-modes"
        )
    if is_of_users(names[0]) and args.each("link"):
        found[names[0]]["Links"] = list(args.each("link"))
    return names[0], found


def _take_old_flags(args: Parsed, first: dict[str, list[str]]) -> None:
    """What the flags without a network say is about the first one."""
    for flag, key, what in _OLD_FLAGS:
        values = _given(args, flag)
        if values and key in first:
            raise ClientError(f"conflicting options: cannot specify both {what}")
        if values:
            first[key] = values


def _given(args: Parsed, flag: str) -> list[str]:
    if flag == "network-alias":
        return [*args.each(flag), *args.each("net-alias")]
    if flag == "link-local-ip":
        return list(args.each(flag))
    text = args.text(flag)
    return [mac_address(text) if flag == "mac-address" else text] if text else []


def _endpoint(fields: dict[str, list[str]]) -> Endpoint:
    """Docker's EndpointSettings: only what was said."""
    last = {key: values[-1] for key, values in fields.items()}
    return endpoint(
        aliases=fields.get("alias", ()),
        ipv4=last.get("ip", ""),
        ipv6=last.get("ip6", ""),
        link_local=fields.get("link-local-ip", ()),
        mac=last.get("mac-address", ""),
        options=fields.get("driver-opt", ()),
        priority=int(last.get("gw-priority", 0)),
    )


def endpoint(
    *,
    aliases: Sequence[str] = (),
    links: Sequence[str] = (),
    ipv4: str = "",
    ipv6: str = "",
    link_local: Sequence[str] = (),
    mac: str = "",
    options: Sequence[str] = (),
    priority: int = 0,
) -> Endpoint:
    """Docker's EndpointSettings, without what was not said."""
    if link_local:
        raise ClientError(
            "link-local addresses are not supported",
            hint="IPv6 gives each end one by itself; --ip and --ip6 choose the others.",
        )
    addresses = {"IPv4Address": _checked(ipv4, 4), "IPv6Address": _checked(ipv6, 6)}
    found: Endpoint = {
        "IPAMConfig": {key: text for key, text in addresses.items() if text},
        "Links": list(links),
        "Aliases": list(aliases),
        "MacAddress": mac,
        "DriverOpts": dict(_driver_option(text) for text in options),
        "GwPriority": priority,
    }
    return {key: value for key, value in found.items() if value}


def _checked(text: str, family: int) -> str:
    found = _address(text) if text else ""
    if text and (not found or (":" in found) != (family == 6)):
        raise ClientError(f"invalid IPv{family} address: {text}")
    return found


def _driver_option(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise ClientError("invalid key/value pair format in driver options")
    return key, value
