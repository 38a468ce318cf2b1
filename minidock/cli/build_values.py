"""What the values of build's flags mean.

See: docker/buildx util/buildflags, moby client's --build-arg
"""

from __future__ import annotations

import os

from minidock.build.options import Secret
from minidock.cli.command import ClientError
from minidock.spec.quoting import quote

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from minidock.cli.parse import Parsed

_EPOCH = "SOURCE_DATE_EPOCH"


def tag(text: str) -> str:
    """`-t`: a name that an image can have. Raises `ValueError` in Docker's words."""
    from minidock.errors import InvalidInput
    from minidock.spec.reference import parse_reference

    try:
        reference = parse_reference(text)
    except InvalidInput as error:
        raise ValueError(error.message) from None
    if reference.digest:
        raise ValueError("refusing to create a tag with a digest reference")
    return text


def arguments(given: Iterable[str]) -> dict[str, str]:
    """`NAME=value`, or `NAME` for the one of our environment, if it has one. The proxies' and
    SOURCE_DATE_EPOCH are taken from there in any case."""
    found = {_EPOCH: os.environ[_EPOCH]} if _EPOCH in os.environ else {}
    for text in given:
        name, equals, value = text.partition("=")
        if not name:
            raise ClientError(f"invalid value {quote(text)}: empty key")
        if equals:
            found[name] = value
        elif name in os.environ:
            found[name] = os.environ[name]
    return found


def epoch(given: dict[str, str]) -> int | None:
    """SOURCE_DATE_EPOCH in seconds."""
    text = given.get(_EPOCH, "")
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= 11):
        raise ClientError(f"invalid {_EPOCH}: {quote(text)}: must be seconds since 1970")
    return int(text)


def _fields(text: str, flag: str) -> dict[str, str]:
    found = {}
    for field in text.split(","):
        key, equals, value = field.partition("=")
        if not equals:
            raise ClientError(f"invalid field '{field}' must be a key=value pair")
        found[key.strip().lower()] = value
    return found


def secrets(given: Iterable[str]) -> tuple[Secret, ...]:
    """`id=NAME[,src=FILE|,env=VARIABLE]`."""
    return tuple(_secret(text) for text in given)


def _secret(text: str) -> Secret:
    fields = _fields(text, "secret")
    kind = fields.pop("type", "")
    if kind not in ("", "file", "env"):
        raise ClientError(f"unsupported secret type {quote(kind)}")
    identity = fields.pop("id", "")
    path = fields.pop("src", "") or fields.pop("source", "")
    variable = fields.pop("env", "")
    if fields:
        name, value = next(iter(fields.items()))
        raise ClientError(f"unexpected key '{name}' in '{name}={value}'")
    if kind == "env" and path:
        path, variable = "", path
    if not identity:
        identity = os.path.basename(path) or variable
    if not identity:
        raise ClientError(f"secret {quote(text)} has no id")
    if not path and not variable:
        if identity in os.environ:
            variable = identity
        else:
            path = identity
    if variable:
        return Secret(identity, "", variable)
    try:
        with open(path, "rb"):
            pass
    except OSError as error:
        words = (error.strerror or "").lower()
        raise ClientError(f"failed to stat {path}: stat {path}: {words}") from None
    return Secret(identity, os.path.abspath(path))


def ssh_sockets(given: Iterable[str]) -> tuple[tuple[str, str], ...]:
    """`default`, or `NAME=SOCKET`."""
    found = []
    for text in given:
        name, _, path = text.partition("=")
        path = path or os.environ.get("SSH_AUTH_SOCK", "")
        if not path:
            raise ClientError("invalid empty ssh agent socket: make sure SSH_AUTH_SOCK is set")
        import stat

        try:
            mode = os.stat(path).st_mode
        except OSError as error:
            raise ClientError(f"ssh {name}: {path}: {(error.strerror or '').lower()}") from None
        if not stat.S_ISSOCK(mode):
            raise ClientError(f"ssh {name}: {path} is no agent's socket; load keys with ssh-add")
        found.append((name, os.path.abspath(path)))
    return tuple(found)


def host_config(args: Parsed) -> dict[str, Any]:
    """What RUNs get of Docker's HostConfig."""
    from minidock.cli.host_config import limits, ulimits

    found = limits(args)
    for flag, key, value in (
        ("ulimit", "Ulimits", ulimits(args.each("ulimit"))),
        ("add-host", "ExtraHosts", list(args.each("add-host"))),
    ):
        if args.each(flag):
            found[key] = value
    return found
