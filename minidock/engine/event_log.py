"""Reading what events.py has written: what has happened, and what happens from now on.

There are two files, the one that is appended to and the one that was full before it; when that one
is full too, the oldest goes. Both are kept open here, by what they are and not by their names: so a
reader that was slow still gets the end of a file that has been renamed meanwhile, and nobody's
event is missed. A writer may even append to a file that has just been renamed.

To wait for more, the kernel is asked to say when anything changes in their directory. Somebody may
remove that directory, so once a second the files are looked for in any case.

See: inotify(7), events.py
"""

from __future__ import annotations

import os
import select
import time

from minidock.engine.events import log_of, older_of
from minidock.linux.private import make_private
from minidock.spec.lean_json import loads

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    Event = dict[str, Any]

_CHUNK = 256 << 10
_AT_LEAST_EVERY = 1.0  # seconds
_OPEN = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW


class EventLog:
    """For `with`. Raises `OSError` where the run root cannot be made."""

    def __init__(self, run_root: str) -> None:
        self._run_root = run_root
        self._tails: list[_Tail] = []
        make_private(os.path.dirname(log_of(run_root)))

    def __enter__(self) -> EventLog:
        return self

    def __exit__(self, *_: object) -> None:
        for tail in self._tails:
            os.close(tail.fd)

    def read(self) -> list[Event]:
        """What was written since the last time, or ever; in order of time."""
        self._look()
        found = [event for tail in self._tails for event in map(_decode, tail.lines()) if event]
        self._forget_the_oldest()
        return sorted(found, key=lambda event: int(event["timeNano"]))

    def follow(self, until: int = 0) -> Iterator[list[Event]]:
        """What is written from now on, as it comes, up to the moment `until` (nanoseconds since
        1970; 0: for ever)."""
        from minidock.linux.syscalls import inotify_add_watch, inotify_init

        waker = inotify_init()
        try:
            inotify_add_watch(waker, os.path.dirname(log_of(self._run_root)))
            poll = select.poll()
            poll.register(waker, select.POLLIN)
            while True:
                left = (until - time.time_ns()) / 10**9 if until else _AT_LEAST_EVERY
                yield self.read()
                if left <= 0:
                    return
                if poll.poll(min(left, _AT_LEAST_EVERY) * 1000):
                    os.read(waker, 1 << 16)
        finally:
            os.close(waker)

    def _look(self) -> None:
        """Open what is there and not open yet. The newer one first: were it renamed in between, it
        would be found once more, and not missed."""
        new: list[_Tail] = []
        for path in (log_of(self._run_root), older_of(self._run_root)):
            try:
                tail = _Tail(os.open(path, _OPEN))
            except FileNotFoundError:
                continue
            if any(tail.is_same(other) for other in (*self._tails, *new)):
                os.close(tail.fd)
            else:
                new.append(tail)
        self._tails += reversed(new)

    def _forget_the_oldest(self) -> None:
        while len(self._tails) > 2:
            os.close(self._tails.pop(0).fd)


class _Tail:
    """One file, and how far it was read."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        status = os.fstat(fd)
        self._identity = status.st_dev, status.st_ino
        self._rest = b""

    def is_same(self, other: _Tail) -> bool:
        return self._identity == other._identity

    def lines(self) -> list[bytes]:
        found: list[bytes] = []
        while data := os.read(self.fd, _CHUNK):
            *whole, self._rest = (self._rest + data).split(b"\n")
            found += whole
        return found


def _decode(line: bytes) -> Event | None:
    """None for what is no event: a full disk may have taken half of one."""
    try:
        event = loads(line)
        whole = isinstance(event["timeNano"], int) and isinstance(event["Actor"]["ID"], str)
        return event if whole and isinstance(event["Actor"]["Attributes"], dict) else None
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
