"""Where a registry is, and how far it is trusted.

A name such as `ubuntu` means docker.io, and that a host called registry-1.docker.io. Everything
else is said in one file, /etc/minidock/registries.toml (or $MINIDOCK_REGISTRIES):

    [registry."docker.io"]
    mirrors = ["https://mirror.example.com"]    # asked first when pulling, never when pushing

    [registry."registry.example.com:5000"]
    ca = "/etc/ssl/our-own-ca.pem"              # who signs its certificate

    [registry."build.lan:5000"]
    insecure = true                             # plain HTTP, or a certificate that nobody signed
    timeout = 120                               # seconds that it may say nothing; otherwise 30

A registry on this machine (localhost, 127.0.0.0/8, ::1) counts as insecure without being listed:
nobody sits in between.

See: https://distribution.github.io/distribution/recipes/mirror/
"""

from __future__ import annotations

import os

from minidock.errors import InvalidInput
from minidock.record import Record
from minidock.spec.reference import DOCKER_IO

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

SETTINGS = "/etc/minidock/registries.toml"
VARIABLE = "MINIDOCK_REGISTRIES"
_HUB = "registry-1.docker.io"
_KNOWN = {"mirrors", "insecure", "ca", "timeout"}
_TIMEOUT = 30.0  # four tries: whoever waits for a silent registry hears so after two minutes


class Endpoint(Record):
    """One place to ask. `host` with its port; `insecure` allows plain HTTP and any certificate;
    `ca` is the file of the authority to trust instead of the system's, or empty; `timeout` is in
    seconds."""

    host: str
    insecure: bool = False
    ca: str = ""
    mirror: bool = False
    plain: bool = False  # HTTP is meant, nothing else is tried
    timeout: float = _TIMEOUT


def read_settings() -> Mapping[str, Mapping[str, Any]]:
    """The file's sections by registry. Empty without a file. Raises `InvalidInput` naming what is
    wrong in it."""
    path = os.environ.get(VARIABLE, SETTINGS)
    try:
        with open(path, "rb") as file:
            import tomllib

            try:
                document = tomllib.load(file)
            except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
                raise InvalidInput(f"{path}: {error}") from None
    except FileNotFoundError:
        return {}
    return _checked(path, document)


def _checked(path: str, document: dict[str, Any]) -> Mapping[str, Mapping[str, Any]]:
    for key in document.keys() - {"registry"}:
        raise InvalidInput(f'{path}: {key} is unknown: sections are called [registry."NAME"]')
    sections = document.get("registry", {})
    if not isinstance(sections, dict):
        raise InvalidInput(f"{path}: registry is not a table")
    for name, section in sections.items():
        where = f"{path}: registry.{name!r}"
        if not isinstance(section, dict):
            raise InvalidInput(f"{where} is not a table")
        for key in section.keys() - _KNOWN:
            raise InvalidInput(f"{where}: {key} is unknown")
        mirrors = section.get("mirrors", [])
        if not isinstance(mirrors, list) or not all(map(_is_mirror, mirrors)):
            raise InvalidInput(f"{where}: mirrors is not a list of http(s) addresses without path")
        if not isinstance(section.get("insecure", False), bool):
            raise InvalidInput(f"{where}: insecure is not true or false")
        if not isinstance(section.get("ca", ""), str):
            raise InvalidInput(f"{where}: ca is not a path")
        if section.get("ca") and not os.path.isfile(section["ca"]):
            raise InvalidInput(f"{where}: there is no file {section['ca']!r} (ca)")
        if not _is_time(section.get("timeout", _TIMEOUT)):
            raise InvalidInput(f"{where}: timeout is not a number of seconds above 0")
    return sections


def _is_mirror(value: object) -> bool:
    if not isinstance(value, str):
        return False
    scheme, separator, host = value.partition("://")
    host = host.removesuffix("/")
    return scheme in ("http", "https") and bool(separator and host) and "/" not in host


def _is_time(value: object) -> bool:
    return type(value) in (int, float) and 0 < value <= 3600  # type: ignore[operator]  # just asked


def endpoint_of(domain: str, settings: Mapping[str, Mapping[str, Any]]) -> Endpoint:
    """The registry itself."""
    section = settings.get(domain, {})
    host = _HUB if domain == DOCKER_IO else domain
    return Endpoint(
        host,
        section.get("insecure", False) or is_local(host),
        section.get("ca", ""),
        timeout=float(section.get("timeout", _TIMEOUT)),
    )


def mirrors_of(domain: str, settings: Mapping[str, Mapping[str, Any]]) -> tuple[Endpoint, ...]:
    """What to ask before it, when pulling."""
    found = []
    for address in settings.get(domain, {}).get("mirrors", []):
        scheme, _, host = address.removesuffix("/").partition("://")
        own = endpoint_of(host, settings)
        found.append(own.but(mirror=True, plain=scheme == "http"))
    return tuple(found)


def is_local(host: str) -> bool:
    """Whether a host, perhaps with a port, is this machine by its very name."""
    name = host[1 : host.find("]")] if host.startswith("[") else host.partition(":")[0]
    return name in ("localhost", "::1") or (
        name.startswith("127.") and name.replace(".", "").isdigit()
    )
