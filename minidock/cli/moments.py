"""Points in time as users type them: `10m`, `2026-11-23T09:30`, `1764000000`.

Three forms, tried in Docker's order: a Go duration (back from now, whole seconds), a date with as
much of a time as one likes (local, unless it ends in `Z` or an offset), seconds since 1970.

See: moby's api/types/time (GetTimestamp), Go's time.ParseDuration
"""

from __future__ import annotations

import time

_UNITS = {"ns": 1, "us": 10**3, "µs": 10**3, "μs": 10**3, "ms": 10**6, "s": 10**9,
          "m": 60 * 10**9, "h": 3600 * 10**9}  # fmt: skip
_DAYS = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
_MAX = 1 << 63


def parse_moment(text: str, now: int) -> int:
    """What `text` means at `now`, both in nanoseconds since 1970. Raises ValueError."""
    duration = None if text == "0" else parse_duration(text)
    if duration is not None:
        return (now - duration) // 10**9 * 10**9
    if "-" in text[1:]:
        return _parse_date(text)
    seconds, dot, fraction = text.partition(".")
    digits = seconds.removeprefix("-") + fraction
    if not (digits.isascii() and digits.isdigit() and seconds) or (dot and not fraction):
        raise ValueError(f'failed to parse value as time or duration: "{text}"')
    return int(seconds) * 10**9 + int(fraction[:9].ljust(9, "0"))


def parse_duration(text: str) -> int | None:
    """`1h30m`, `1.5s`, `-10m` → nanoseconds; None for what is no duration."""
    rest = text[1:] if text[:1] in ("+", "-") else text
    if rest == "0":
        return 0
    if not rest:
        return None
    total = 0
    while rest:
        number = rest[: len(rest) - len(rest.lstrip("0123456789."))]
        rest = rest[len(number) :]
        unit = rest[: len(rest) - len(rest.lstrip("nuµμmsh"))]
        rest = rest[len(unit) :]
        whole, _, fraction = number.partition(".")
        if unit not in _UNITS or not whole + fraction or "." in fraction:
            return None
        total += int(whole or 0) * _UNITS[unit]
        if fraction:
            total += int(fraction) * _UNITS[unit] // 10 ** len(fraction)
    if total >= _MAX:
        return None
    return -total if text[0] == "-" else total


def _parse_date(text: str) -> int:
    """`2026-11-23`, `2026-11-23T09`, `2026-11-23T09:30:00.5+01:00` …"""
    wrong = ValueError(f'failed to parse value as time or duration: "{text}"')
    body, zone = _split_zone(text)
    date, t, clock = body.partition("T")
    clock, dot, fraction = clock.partition(".")
    numbers = date.split("-") + (clock.split(":") if t else [])
    widths = [len(number) for number in numbers]
    if widths != [4, 2, 2, 2, 2, 2][: len(numbers)] or len(numbers) < 3:
        raise wrong
    if not all(n.isascii() and n.isdigit() for n in numbers) or (dot and len(numbers) < 6):
        raise wrong
    if dot and not (fraction.isascii() and fraction.isdigit()):
        raise wrong
    year, month, day, hour, minute, second = [*map(int, numbers), 0, 0, 0][:6]
    leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    for name, ok in (
        ("month", 1 <= month <= 12),
        ("day", 1 <= month <= 12 and 1 <= day <= _DAYS[month - 1] - (month == 2 and not leap)),
        ("hour", hour < 24),
        ("minute", minute < 60),
        ("second", second < 60),
    ):
        if not ok:
            raise ValueError(f'parsing time "{text}": {name} out of range')
    nanoseconds = int(fraction[:9].ljust(9, "0"))
    if zone is None:
        seconds = int(time.mktime((year, month, day, hour, minute, second, 0, 0, -1)))
    else:
        import calendar

        seconds = calendar.timegm((year, month, day, hour, minute, second)) - _offset(zone, wrong)
    return seconds * 10**9 + nanoseconds


def _split_zone(text: str) -> tuple[str, str | None]:
    """The date, and its zone: "Z", "+01:00", or None for local time."""
    if text[-1:] in ("Z", "z"):
        return text[:-1], "Z"
    sign = max(text.find("+"), text.rfind("-") if text.count("-") == 3 else -1)
    return (text, None) if sign < 0 else (text[:sign], text[sign:])


def _offset(zone: str, wrong: ValueError) -> int:
    """`+01:00` → 3600"""
    if zone == "Z":
        return 0
    hours, colon, minutes = zone[1:].partition(":")
    if not colon or len(hours) != 2 or len(minutes) != 2 or not (hours + minutes).isdigit():
        raise wrong
    seconds = int(hours) * 3600 + int(minutes) * 60
    return -seconds if zone[0] == "-" else seconds
