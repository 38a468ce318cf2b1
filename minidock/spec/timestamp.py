"""Points in time as Docker and OCI write them: RFC 3339, UTC, nanoseconds, trailing zeros cut.

`datetime` knows microseconds only, and takes 2 ms to import.
"""

from __future__ import annotations

import time

ZERO = "0001-01-01T00:00:00Z"  # Go's zero time: "never"


def format_time(nanoseconds: int) -> str:
    """Nanoseconds since 1970 as `2026-11-23T09:35:22.123456789Z`."""
    seconds, fraction = divmod(nanoseconds, 10**9)
    text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
    return f"{text}.{fraction:09d}".rstrip("0").rstrip(".") + "Z"


def now() -> str:
    """This moment."""
    return format_time(time.time_ns())
