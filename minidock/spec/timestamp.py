"""Points in time as Docker and OCI write them: RFC 3339, UTC, nanoseconds, trailing zeros cut.

`datetime` knows microseconds only, and takes 2 ms to import.
"""

from __future__ import annotations

import time

_SECOND = 1_000_000_000
ZERO = "0001-01-01T00:00:00Z"  # Go's zero time: "never"


def format_time(nanoseconds: int) -> str:
    """Nanoseconds since 1970 as `2026-11-23T09:35:22.123456789Z`."""
    seconds, fraction = divmod(nanoseconds, 10**9)
    text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
    return f"{text}.{fraction:09d}".rstrip("0").rstrip(".") + "Z"


def parse_time(text: str) -> int:
    """`2026-11-23T09:35:22.123456789Z` (RFC 3339) → nanoseconds since 1970. Raises ValueError."""
    date, _, clock = text.partition("T")
    try:
        year, month, day = (int(part) for part in date.split("-"))
        sign = -1 if "+" in clock else 1
        clock, _, zone = clock.replace("+", "Z").replace("-", "Z").partition("Z")
        whole, _, fraction = clock.partition(".")
        hour, minute, second = (int(part) for part in whole.split(":"))
        offset = (
            sum(int(p) * s for p, s in zip(zone.split(":"), (3600, 60), strict=True)) if zone else 0
        )
        nanoseconds = int(fraction[:9].ljust(9, "0"))
    except ValueError:
        raise ValueError(f"not an RFC 3339 time: {text!r}") from None
    if not (1 <= month <= 12 and 1 <= day <= 31 and hour < 24 and minute < 60 and second <= 60):
        raise ValueError(f"not an RFC 3339 time: {text!r}")
    seconds = _days(year, month, day) * 86400 + hour * 3600 + minute * 60 + second + sign * offset
    return seconds * _SECOND + nanoseconds


def _days(year: int, month: int, day: int) -> int:
    """Days from 1970-01-01. Years begin in March here, so that the leap day is their last."""
    year -= month < 3
    return (
        year * 365 + year // 4 - year // 100 + year // 400
        + (153 * ((month - 3) % 12) + 2) // 5
        + day - 719469
    )  # fmt: skip


def now() -> str:
    """This moment."""
    return format_time(time.time_ns())
