"""A container's log: one JSON object a line, as Docker's `json-file` driver writes it.

    {"log":"hello\\n","stream":"stdout","time":"2026-11-23T09:35:22.123456789Z"}

A line of output is one object; one longer than 16 KiB is cut into several, and only the last has
its newline. What a process wrote without a newline waits for the rest, or for the end.

Docker escapes what a JSON string must escape and, as Go does for the sake of HTML, `<`, `>` and
`&`. A byte that is not UTF-8 becomes one U+FFFD. This is written by the monitor, which imports as
little as it can, so not `json`.
"""

from __future__ import annotations

import os
import time

from minidock.spec.timestamp import format_time

MAX_LINE = 16 << 10

_ESCAPES = {
    **{number: f"\\u{number:04x}" for number in (*range(32), *b"<>&", 0x2028, 0x2029)},
    **{ord(char): "\\" + char for char in '\\"'},
    **{0xDC00 + byte: "\\ufffd" for byte in range(128, 256)},  # as "surrogateescape" reads them
    ord("\n"): "\\n",
    ord("\r"): "\\r",
}


class JsonLog:
    """An open log file, with the unfinished line of each stream."""

    def __init__(self, path: str) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
        self._fd = os.open(path, flags, 0o640)
        self._partial = {"stdout": b"", "stderr": b""}

    def write(self, stream: str, data: bytes) -> None:
        """Take what the container wrote; whole lines go to the file in one write(2)."""
        data = self._partial[stream] + data
        end = data.rfind(b"\n") + 1
        lines = _split(data[:end])
        rest = data[end:]
        while len(rest) >= MAX_LINE:
            lines.append(rest[:MAX_LINE])
            rest = rest[MAX_LINE:]
        self._partial[stream] = rest
        self._append(stream, lines)

    def close(self) -> None:
        """Write the unfinished lines."""
        for stream, rest in self._partial.items():
            self._append(stream, [rest] if rest else [])
        os.close(self._fd)

    def _append(self, stream: str, lines: list[bytes]) -> None:
        if not lines:
            return
        when = format_time(time.time_ns())
        tail = f',"stream":"{stream}","time":"{when}"}}\n'
        text = "".join(
            f'{{"log":"{part.decode("utf-8", "surrogateescape").translate(_ESCAPES)}"{tail}'
            for line in lines
            for part in _pieces(line)
        )
        data = text.encode()
        try:
            while data:
                data = data[os.write(self._fd, data) :]
        except OSError:
            return  # a full disk loses log lines, not the container


def _split(data: bytes) -> list[bytes]:
    """At newlines only; bytes.splitlines would cut at a carriage return too."""
    return [line + b"\n" for line in data.split(b"\n")[:-1]]


def _pieces(line: bytes) -> list[bytes]:
    if len(line) <= MAX_LINE:
        return [line]
    return [line[i : i + MAX_LINE] for i in range(0, len(line), MAX_LINE)]
