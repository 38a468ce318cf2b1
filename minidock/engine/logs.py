"""Reading a container's log: the lines that jsonlog.py writes, from the end or as they come.

    {"log":"hello\\n","stream":"stdout","time":"2026-11-23T09:35:22.123456789Z"}

`--tail 10` of a log of gigabytes reads a few blocks from its end: a line of JSON holds no newline
but its last, so newlines can be counted without understanding anything. Points in time are compared
as text, which is right for RFC 3339 in UTC once the `Z` is gone, and far cheaper than parsing.

A monitor that was killed may have left half a line, and the next one goes on right behind it. What
stands before the last `{"log":` of a line is then skipped; inside of a JSON string those characters
cannot stand, because its quotes would be written `\\"`.

Following ends when the container does. There is no message from the log, so its length is asked for
twenty times a second, while the monitor's socket tells of the end.

See: Docker's daemon/logger/jsonfilelog
"""

from __future__ import annotations

import os
import select

from minidock.record import Record
from minidock.spec.lean_json import loads

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from minidock.engine.client import MonitorConnection
    from minidock.engine.containers import Container

    Entry = tuple[str, str, str]
    """stream ("stdout" or "stderr"), time, text"""

_CHUNK = 256 << 10
_MAX_LINE = 1 << 20  # nothing that we wrote is as long; do not collect a damaged file in memory
_BEGINNING = b'{"log":'
_LOOK_AGAIN = 50  # milliseconds


class LogQuery(Record):
    """Which lines: the last `tail` (-1: all), not before `since`, not after `until` (RFC 3339 UTC,
    "" for no limit); with `follow` also those to come."""

    tail: int = -1
    since: str = ""
    until: str = ""
    follow: bool = False


def read_log(container: Container, query: LogQuery) -> Iterator[list[Entry]]:
    """The lines asked for, in lists of any length. A container without a log has none.

    The last lines are counted first, and then those outside of `since` and `until` are left out.
    """
    ended = _End(container) if query.follow else None  # asked before reading: nothing is missed
    try:
        fd = _open(container, ended)
        if fd < 0:
            return
        try:
            os.lseek(fd, 0 if query.tail < 0 else start_of_tail(fd, query.tail), os.SEEK_SET)
            since, until = query.since.removesuffix("Z"), query.until.removesuffix("Z")
            for lines in _lines(fd, ended):
                batch = [entry for entry in map(_decode, lines) if entry]
                if since or until:
                    batch, over = _between(batch, since, until)
                    if over:
                        yield batch
                        return
                yield batch
                if until and not lines and _is_past(until):
                    return
        finally:
            os.close(fd)
    finally:
        if ended:
            ended.close()


def _open(container: Container, ended: _End | None) -> int:
    """A descriptor of the log, -1 where there is none and none is to come."""
    while True:
        done = ended is None or ended.wait(0)
        try:
            return os.open(container.log_path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        except FileNotFoundError:
            if done or ended is None or ended.wait(_LOOK_AGAIN):
                return -1


def start_of_tail(fd: int, count: int) -> int:
    """Where the last `count` lines of a file begin. What follows the last newline is no line."""
    position = os.fstat(fd).st_size
    wanted = count + 1  # the newline before the first of them, too
    while position > 0:
        size = min(_CHUNK, position)
        position -= size
        block = os.pread(fd, size, position)
        here = block.count(b"\n")
        if here < wanted:
            wanted -= here
            continue
        at = len(block)
        for _ in range(wanted):
            at = block.rindex(b"\n", 0, at)
        return position + at + 1
    return 0


def _lines(fd: int, ended: _End | None) -> Iterator[list[bytes]]:
    """Whole lines from the file's position on; while following an empty list now and then."""
    rest = b""
    while True:
        done = ended is None or ended.wait(0)
        found = False
        while data := os.read(fd, _CHUNK):
            found = True
            *lines, rest = (rest + data).split(b"\n")
            if len(rest) > _MAX_LINE:
                rest = b""
            if lines:
                yield lines
        if done:  # was over before we looked for the last time
            return
        if not found:
            yield []
            if ended:
                ended.wait(_LOOK_AGAIN)


def _decode(line: bytes) -> Entry | None:
    """None for what is no line of a log."""
    try:
        document = loads(line)
    except (ValueError, RecursionError):
        start = line.rfind(_BEGINNING)
        return _decode(line[start:]) if start > 0 else None
    if not isinstance(document, dict):
        return None
    stream, when, text = (document.get(key) for key in ("stream", "time", "log"))
    if isinstance(stream, str) and isinstance(when, str) and isinstance(text, str):
        return stream, when, text
    return None


def _between(entries: list[Entry], since: str, until: str) -> tuple[list[Entry], bool]:
    """Those in the span, and whether its end was seen."""
    kept: list[Entry] = []
    for entry in entries:
        when = entry[1].removesuffix("Z")
        if until and when > until:
            return kept, True
        if when >= since:
            kept.append(entry)
    return kept, False


def _is_past(moment: str) -> bool:
    from minidock.spec.timestamp import now

    return now().removesuffix("Z") > moment


class _End:
    """Knows when a container's log will not grow any more."""

    def __init__(self, container: Container) -> None:
        from minidock.engine.client import MonitorConnection

        self._container = container
        self._monitor: MonitorConnection | None = None
        try:
            self._monitor = MonitorConnection.connect(container.socket_path)
        except OSError:
            pass  # it does not run, or its monitor was killed: nobody writes the log

    def wait(self, milliseconds: int) -> bool:
        """Wait as long; True when it is over."""
        from minidock.engine import frames

        if self._monitor is None:
            return True
        poll = select.poll()
        poll.register(self._monitor.fileno(), select.POLLIN)
        if poll.poll(milliseconds):
            batch = self._monitor.receive()
            if not batch or any(kind == frames.EXITED for kind, _ in batch):
                self.close()
        return self._monitor is None

    def close(self) -> None:
        if self._monitor:
            self._monitor.close()
            self._monitor = None
