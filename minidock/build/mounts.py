"""`RUN --mount=type=cache,target=/root/.cache`: what a RUN sees that is no part of the image.

    bind     a directory of the context, of a stage or of an image; writes to it are thrown away
    cache    a directory that stays from build to build, for a package manager's downloads
    tmpfs    memory
    secret   a file or a variable that was given to the build, and that no layer ever holds
    ssh      the socket of an ssh agent

Fields are separated by commas as in a line of CSV. All but `from` may have variables in them, which
is why a mount is parsed twice: once to see that it is one, and again when the variables are known.

See: https://docs.docker.com/reference/dockerfile/#run---mount
"""

from __future__ import annotations

from posixpath import normpath

from minidock.build.errors import did_you_mean
from minidock.build.instructions import RunMount
from minidock.errors import InvalidInput

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_TYPES = ("bind", "cache", "secret", "ssh", "tmpfs")
_SHARING = ("locked", "private", "shared")
_NAMES = {
    "type": "type", "from": "from_", "source": "source", "src": "source", "target": "target",
    "dst": "target", "destination": "target", "id": "id", "sharing": "sharing", "mode": "mode",
    "uid": "uid", "gid": "gid", "env": "env", "size": "size", "required": "required",
    "readonly": "read_only", "ro": "read_only", "readwrite": "writable", "rw": "writable",
}  # fmt: skip
_SWITCHES = ("read_only", "writable", "required")
_ONLY = {"required": ("secret", "ssh"), "size": ("tmpfs",), "env": ("secret",)}
_SIZES = {"": 1, "b": 1, "k": 2**10, "m": 2**20, "g": 2**30, "t": 2**40, "p": 2**50}
_ROOT = ("/", "//")
_TRUE = ("1", "t", "T", "true", "TRUE", "True")
_FALSE = ("0", "f", "F", "false", "FALSE", "False")


def parse_mount(text: str, expand: Callable[[str], str] | None = None) -> RunMount:
    """One `--mount`. Without `expand`, one that has variables is only looked at: its `from_` is
    right, and the rest is not to be used. Raises `InvalidInput` in Docker's words."""
    if expand is None and "$" in text:
        return RunMount(from_=_from(text), raw=text)
    found: dict[str, Any] = {}
    for field in _fields(text):
        key, equals, value = field.partition("=")
        key = key.lower()
        if key not in _NAMES:
            suggestion = did_you_mean(key, _NAMES)
            raise InvalidInput(f"unexpected key '{key}' in '{field}'{suggestion}")
        name = _NAMES[key]
        if not equals and name not in _SWITCHES:
            raise InvalidInput(f"invalid field '{field}' must be a key=value pair")
        if expand and name != "from_":
            value = expand(value)
        allowed = _ONLY.get(name)
        if allowed and found.get("type", "bind") not in allowed:
            kind = found.get("type", "bind")
            raise InvalidInput(f"unexpected key '{key}' for mount type '{kind}'")
        found[name] = _value(key, name, value if equals else "true")
    return _checked(found, text)


def _fields(text: str) -> list[str]:
    import csv

    try:
        (fields,) = csv.reader([text], strict=True)
    except (csv.Error, ValueError):
        raise InvalidInput(f"failed to parse csv mounts: {text}") from None
    return fields


def _from(text: str) -> str:
    for field in _fields(text):
        key, _, value = field.partition("=")
        if key.lower() == "from":
            return str(_value("from", "from_", value))
    return ""


def _value(key: str, name: str, value: str) -> str | int | bool:
    if name == "type":
        return _one_of(value, _TYPES, "unsupported mount type")
    if name == "sharing":
        return _one_of(value, _SHARING, "unsupported sharing value")
    if name == "from_" and "$" in value:
        problem = f"'{key}' doesn't support variable expansion, define alias stage instead"
        raise InvalidInput(problem)
    if name in _SWITCHES:
        if value not in _TRUE + _FALSE:
            raise InvalidInput(f"invalid value for {key}: {value}")
        return value in _TRUE
    if name == "size":
        return _size(value)
    if name in ("mode", "uid", "gid"):
        base = 8 if name == "mode" else 10
        try:
            number = int(value, base) if value.isalnum() else -1
        except ValueError:
            number = -1
        if not 0 <= number < 2**32:
            raise InvalidInput(f"invalid value {value} for {key}")
        return number
    return value


def _one_of(value: str, options: tuple[str, ...], problem: str) -> str:
    if value.lower() not in options:
        raise InvalidInput(f'{problem} "{value}"{did_you_mean(value, options)}')
    return value.lower()


def _size(value: str) -> int:
    """`64m`, in bytes; as Docker's sizes of memory are."""
    text = value.strip().lower().removesuffix("ib").removesuffix("b")
    number = text.rstrip("kmgtp")
    unit = text[len(number) :]
    if unit not in _SIZES or not number.replace(".", "", 1).strip().isdigit():
        raise InvalidInput(f"invalid value for size: {value}")
    return int(float(number) * _SIZES[unit])


def _checked(found: dict[str, Any], text: str) -> RunMount:
    kind = found.setdefault("type", "bind")
    if kind not in ("secret", "ssh", "cache"):
        for name in ("mode", "uid", "gid"):
            if name in found:
                raise InvalidInput(f'{name} not allowed for "{kind}" type mounts')
    if kind == "secret":
        _check_secret(found)
    elif "sharing" in found and kind != "cache":
        raise InvalidInput(f"invalid cache sharing set for {kind} mount")
    target = found.get("target", "")
    missing = kind in ("bind", "cache", "tmpfs") and not target
    if missing or (target and normpath(target) in _ROOT):
        raise InvalidInput(f'invalid mount target "{target}"')
    writable = found.pop("writable", kind in ("cache", "tmpfs"))
    found.setdefault("read_only", not writable)
    return RunMount(**found, raw=text)


def _check_secret(found: dict[str, Any]) -> None:
    if found.get("from_"):
        raise InvalidInput("secret mount should not have a from")
    if "sharing" in found:
        raise InvalidInput("secret mount should not define sharing")
    source = found.pop("source", "")  # another word for its id
    if source and found.get("id"):
        raise InvalidInput("both source and id can't be set")
    if source:
        found["id"] = source
    if not (found.get("id") or found.get("target") or found.get("env")):
        raise InvalidInput("invalid secret mount. one of source, target required")
