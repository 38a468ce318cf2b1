"""A lock that says "somebody looks after this", for as long as that process lives.

A monitor holds one on its container's file `lock`: so a container has one monitor at most, however
many commands start it at once; and whoever finds the lock free knows that what is left of a monitor
can be removed. That of an `exec` holds one on its request, so that `inspect` shows only those that
live. The kernel drops such a lock with the last descriptor of it, after SIGKILL too.

These are *open file description* locks. Unlike those of flock(2) they can be asked about without
being taken, so that a question is never in the way of an answer.

See: fcntl(2)
"""

from __future__ import annotations

import fcntl
import os
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_WHOLE_FILE_FOR_WRITING = fcntl.F_WRLCK.to_bytes(2, sys.byteorder) + bytes(30)  # struct flock


def hold(path: str) -> int:
    """Take the lock; it is held until the descriptor is closed, in all processes that have it.
    Raises `BlockingIOError` where another holds it."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.fcntl(fd, fcntl.F_OFD_SETLK, _WHOLE_FILE_FOR_WRITING)
    except BaseException:
        os.close(fd)
        raise
    return fd


def take(path: str) -> int:
    """The same, for a new monitor: who cleans up after an earlier one holds the lock for a moment.
    Raises `BlockingIOError` where there is a monitor."""
    for _ in range(20):
        try:
            return hold(path)
        except BlockingIOError:
            time.sleep(0.02)
    return hold(path)


def is_held(path: str) -> bool:
    """Whether somebody holds the lock. False where there is no such file."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        answer: bytes = fcntl.fcntl(fd, fcntl.F_OFD_GETLK, _WHOLE_FILE_FOR_WRITING)
    finally:
        os.close(fd)
    return int.from_bytes(answer[:2], sys.byteorder) != fcntl.F_UNLCK


def await_free(path: str, or_else: Callable[[], bool]) -> None:
    """Wait until nobody holds the lock, or something else is so."""
    while is_held(path) and not or_else():
        time.sleep(0.005)


def lock_of(directory: str) -> str:
    """The file that the monitor of the container in `directory` holds."""
    return f"{directory}/lock"
