"""How numbers, times and widths are written for people: Docker's and Go's own rules.

Times are whole nanoseconds since 1970 (UTC) inside the program and RFC 3339 text on disk; there
is no `datetime` here, it would cost 3 ms and has no nanoseconds.

See: docker/go-units duration.go and size.go; docker/cli formatter/displayutils.go.
"""

from __future__ import annotations

from time import localtime

from minidock.spec.timestamp import format_time as format_time
from minidock.spec.timestamp import parse_time as parse_time

_DECIMAL = ("B", "kB", "MB", "GB", "TB", "PB", "EB", "ZB", "YB")
_BINARY = ("B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB", "ZiB", "YiB")
_SECOND = 1_000_000_000


def human_duration(nanoseconds: int) -> str:
    """`About a minute`, `3 weeks`: go-units' HumanDuration: hours are rounded, the rest cut."""
    seconds = nanoseconds // _SECOND
    minutes, hours = seconds // 60, (2 * seconds + 3600) // 7200
    if seconds < 1:
        return "Less than a second"
    if seconds < 60:
        return f"{seconds} second{'' if seconds == 1 else 's'}"
    if minutes < 60:
        return "About a minute" if minutes == 1 else f"{minutes} minutes"
    if hours < 48:
        return "About an hour" if hours == 1 else f"{hours} hours"
    if hours < 24 * 14:
        return f"{hours // 24} days"
    if hours < 24 * 60:
        return f"{hours // 24 // 7} weeks"
    if hours < 24 * 365 * 2:
        return f"{hours // 24 // 30} months"
    return f"{seconds // 3600 // 24 // 365} years"


def human_size(size: float, precision: int = 3) -> str:
    """`21.5MB`: decimal units. Tables use 3 digits; `Total reclaimed space` and others use 4."""
    return _sized(size, 1000.0, _DECIMAL, precision)


def bytes_size(size: float, precision: int = 4) -> str:
    """`63.99MiB`: binary units, for memory."""
    return _sized(size, 1024.0, _BINARY, precision)


def _sized(size: float, base: float, units: tuple[str, ...], precision: int) -> str:
    power = 0
    while size >= base and power < len(units) - 1:
        size /= base
        power += 1
    return f"{size:.{precision}g}{units[power]}"


def short_id(identifier: str) -> str:
    """The first 12 digits of a container's or image's id, without `sha256:`."""
    return identifier.removeprefix("sha256:")[:12]


def go_time(nanoseconds: int) -> str:
    """`2026-11-23 09:35:22 +0000 UTC`: local time as `CreatedAt` shows it (Go's Time.String)."""
    t = localtime(nanoseconds // _SECOND)
    minutes = abs(t.tm_gmtoff) // 60
    return (
        f"{t.tm_year:04d}-{t.tm_mon:02d}-{t.tm_mday:02d} "
        f"{t.tm_hour:02d}:{t.tm_min:02d}:{t.tm_sec:02d} "
        f"{'-' if t.tm_gmtoff < 0 else '+'}{minutes // 60:02d}{minutes % 60:02d} {t.tm_zone}"
    )


def display_width(text: str) -> int:
    """Columns on a terminal: two for East Asian wide characters, as Docker counts."""
    if text.isascii():
        return len(text)
    from unicodedata import east_asian_width

    return sum(2 if east_asian_width(c) in "WF" else 1 for c in text)


def ellipsis(text: str, width: int) -> str:
    """Cut to `width` columns; the last of them says `…` when something was cut."""
    if width <= 0:
        return ""
    if display_width(text) <= width:
        return text
    if width == 1:
        return text[0]
    kept = text[: width - 1]
    while display_width(kept) > width - 1:
        kept = kept[:-1]
    return kept + "…"
