"""Writing to the standard output and error that the caller gave us.

They may be anything: a pipe whose reader has gone, a file on a full disk, a terminal that somebody
else has made non-blocking. An error says which of the two it was, for "No space left on device"
alone would send a person looking at the disk of the containers.

See: write(2), pipe(7), full(4)
"""

from __future__ import annotations

import os

_NAMES = {1: "/dev/stdout", 2: "/dev/stderr"}


class OutputClosed(BrokenPipeError):
    """Nobody reads what we write. Not an error: `minidock ps | head -1` is meant so."""


def write_all(fd: int, data: bytes) -> None:
    """write(2) until all is written. Raises `OutputClosed`, and other `OSError` with a name."""
    while data:
        try:
            data = data[os.write(fd, data) :]
        except BlockingIOError:
            import select

            select.select([], [fd], [])
        except BrokenPipeError as error:
            raise OutputClosed(error.errno, error.strerror) from error
        except OSError as error:
            error.filename = f"write {_NAMES.get(fd, fd)}"
            raise


def open_standard_descriptors() -> None:
    """Make sure 0, 1 and 2 are open: a state file must not become somebody's standard output."""
    for fd in (0, 1, 2):
        try:
            os.fstat(fd)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number: this one
