"""HEALTHCHECK: the command by which an engine asks a container whether it is well.

    HEALTHCHECK [--interval=30s] [--timeout=30s] [--start-period=0s] [--start-interval=5s]
                [--retries=3] CMD curl -f http://localhost/
    HEALTHCHECK NONE                            forget the one of the image below

In an image's config it stands as an object in Docker's shape, with times in nanoseconds:

    {"Test": ["CMD-SHELL", "curl -f http://localhost/"], "Interval": 30000000000, "Retries": 3}

See: buildkit frontend/dockerfile/instructions/parse.go; Go's time.ParseDuration
"""

from __future__ import annotations

from minidock.errors import InvalidInput
from minidock.image.words import first_word, json_list

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_FLAGS = {
    "interval": "Interval",
    "timeout": "Timeout",
    "start-period": "StartPeriod",
    "start-interval": "StartInterval",
    "retries": "Retries",
}
_MILLISECOND = 1_000_000  # nanoseconds
_UNITS = {
    "ns": 1,
    "us": 1000,
    "µs": 1000,
    "μs": 1000,
    "ms": _MILLISECOND,
    "s": 1000 * _MILLISECOND,
    "m": 60_000 * _MILLISECOND,
    "h": 3_600_000 * _MILLISECOND,
}


def parse_healthcheck(arguments: str) -> dict[str, Any]:
    """What follows `HEALTHCHECK`. Raises `InvalidInput` in Docker's words."""
    flags, kind, rest = _parts(arguments)
    if kind == "NONE":
        if rest:
            raise InvalidInput("HEALTHCHECK NONE takes no arguments")
        return {"Test": ["NONE"]}
    if kind != "CMD":
        raise InvalidInput(f'Unknown type "{kind}" in HEALTHCHECK (try CMD)')
    command = json_list(rest)
    if not rest or command == []:
        raise InvalidInput("Missing command after HEALTHCHECK CMD")
    check: dict[str, Any] = {}
    check["Test"] = ["CMD-SHELL", rest] if command is None else ["CMD", *command]
    for flag, value in flags.items():
        number = _retries(value) if flag == "retries" else _interval(flag, value)
        if number:
            check[_FLAGS[flag]] = number
    return check


def _parts(arguments: str) -> tuple[dict[str, str], str, str]:
    """The `--flag=value`s, then CMD or NONE, then the rest of the line."""
    flags = {}
    while arguments.startswith("--"):
        word, arguments = first_word(arguments)
        flag, equals, value = word[2:].partition("=")
        if flag not in _FLAGS:
            raise InvalidInput(f"Unknown flag: {flag}")
        if not equals:
            raise InvalidInput(f"Missing a value on flag: {flag}")
        if flag in flags:
            raise InvalidInput(f"Duplicate flag specified: {flag}")
        flags[flag] = value
    if not arguments:
        raise InvalidInput("HEALTHCHECK requires at least one argument")
    kind, rest = first_word(arguments)
    return flags, kind.upper(), rest


def _interval(flag: str, value: str) -> int:
    """A duration of Go such as `1m30s`, in nanoseconds."""
    if not value:
        return 0
    total = parse_duration(value)
    if total and total < _MILLISECOND:
        raise InvalidInput(f'Interval "{flag}" cannot be less than 1ms')
    return total


def parse_duration(text: str) -> int:
    """A duration of Go such as `1m30s`, in nanoseconds. Raises `InvalidInput` in Go's words."""
    wrong = InvalidInput(f'time: invalid duration "{text}"')
    negative, rest = text.startswith("-"), text[1:] if text[:1] in ("+", "-") else text
    if rest == "0":
        return 0
    if not rest:
        raise wrong
    total = 0.0
    while rest:
        after = rest.lstrip("0123456789")
        if after.startswith("."):
            after = after[1:].lstrip("0123456789")
        number, rest = rest[: len(rest) - len(after)], after
        if not number.strip("."):
            raise wrong
        length = next((i for i, char in enumerate(rest) if char in ".0123456789"), len(rest))
        unit, rest = rest[:length], rest[length:]
        if not unit:
            raise InvalidInput(f'time: missing unit in duration "{text}"')
        if unit not in _UNITS:
            raise InvalidInput(f'time: unknown unit "{unit}" in duration "{text}"')
        total += float(number) * _UNITS[unit]
    return -round(total) if negative else round(total)


def _retries(value: str) -> int:
    if not value:
        return 0
    sign = value[:1] == "-"
    digits = value[1:] if value[:1] in "+-" else value
    if not (digits.isascii() and digits.isdigit()) or len(digits) > 9:
        raise InvalidInput(f'strconv.ParseInt: parsing "{value}": invalid syntax')
    if sign:
        raise InvalidInput(f"--retries cannot be negative ({int(value)})")
    return int(digits)
