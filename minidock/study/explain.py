"""The explanation as text: what each process of a start does, call by call.

    main, on the host

      make the cgroup /sys/fs/cgroup/freezer/minidock/48cff2e9be75        cgroups(7), mkdir(2)
          mkdir("/sys/fs/cgroup/freezer/minidock/48cff2e9be75", 0755) = 0                38 µs

A heading says which process it is, a sentence what it is about to do and where to read about that;
below it stand the calls, as strace(1) shows them, and what each took. The events that this is made
of come from runtime/narrate.py while a container starts (`run --explain`), or from rehearse.py
(`minidock explain run`). Both end here, so that the two can be compared line by line.

A call that is too long for a line is broken after a comma or a `|`; a string in it is closed and
opened again, as C would join it.

See: strace(1), man(1)
"""

from __future__ import annotations

from minidock.spec.lean_json import loads

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import Any

HEADINGS = {
    "command": "the command, on the host",
    "main": "main, on the host",
    "intermediate": "intermediate, on its way from the host into the container",
    "init": "init, in the container",
    "child of init": "child of init, which becomes the program",
    "monitor": "the monitor, on the host, from now on",
}
# What is done around a start, by processes that do not tell their calls: in a sentence each.
BEFORE = (
    (
        "start a monitor, the interpreter on a read-only mount that no container can change",
        "open_tree(2)",
        "mount_setattr(2)",
        "execveat(2)",
    ),
    ("order it to start a process; it has a child do that, which is main", "unix(7)", "fork(2)"),
)
BEFORE_EXEC = (
    ("ask the container's monitor for a fork of itself, which will hold the streams", "fork(2)"),
    ("order it to start a process; it has a child do that, which is main", "unix(7)", "fork(2)"),
)
AFTER_START = (
    ("hold the container's streams, write its log, wait for its end", "poll(2)", "wait4(2)"),
    ("then remove the cgroup, and write down how it ended", "rmdir(2)", "cgroups(7)"),
)
AFTER_EXEC = (("hold the process's streams, wait for its end", "poll(2)", "wait4(2)"),)
COLUMNS = 100
_SENTENCE, _CALL, _CONTINUED = 2, 6, 10  # columns of indentation
_BOLD, _DIM, _HEADING, _ERROR = "1", "2", "1;36", "33"


class Narration:
    """Turns events into text, and hands it to `write` whenever there are whole lines of it.

    `columns` is the width to keep to, `colour` whether the reader is a terminal.
    """

    def __init__(
        self, write: Callable[[str], object], *, columns: int = COLUMNS, colour: bool = False
    ) -> None:
        self._write = write
        self._columns = columns
        self._colour = colour
        self._rest = b""
        self._process = ""
        self._waiting = False  # a sentence was printed, and no call since
        self._steps = self._calls = self._nanoseconds = 0

    def feed(self, data: bytes) -> None:
        """Take events as a pipe brings them: in pieces, cut anywhere."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            self.show(loads(line))

    def show(self, event: list[Any]) -> None:
        """Print one event; runtime/narrate.py says what events there are."""
        process, kind, *rest = event
        text = ""
        if process != self._process:
            heading = HEADINGS.get(process, process)
            text = self._paint(_HEADING, _visible(heading)) + "\n\n"
            text = ("\n" if self._process else "") + text
            self._process = process
        elif kind != "call" and self._waiting:
            text = " " * _CALL + self._paint(_DIM, "(nothing to be done)") + "\n"
        if kind == "call":
            self._calls += 1
            text += self._call(*rest)
        else:
            self._steps += kind == "step"
            text += self._step(*rest)
        self._waiting = kind == "step"
        self._write(text)

    __call__ = feed

    def tell(self, process: str, remarks: Iterable[tuple[str, ...]]) -> None:
        """Print sentences that stand for themselves."""
        for sentence, *pages in remarks:
            self.show([process, "remark", sentence, pages])

    def summary(self) -> None:
        """Print how much it was."""
        took = f", {_time(self._nanoseconds)} in the kernel" if self._nanoseconds else ""
        text = f"{self._steps} steps, {self._calls} calls{took}"
        self._write("\n" + self._paint(_HEADING, text) + "\n\n")

    def _step(self, sentence: str, pages: list[str]) -> str:
        indent = " " * _SENTENCE
        where = ", ".join(pages)
        lines = list(_wrap_words(_visible(short_ids(sentence)), self._columns - _SENTENCE))
        room = self._columns - _SENTENCE - len(lines[-1]) - len(where)
        painted = "".join(f"{indent}{self._paint(_BOLD, line)}\n" for line in lines)
        if not where:
            return painted
        if room >= 2:
            return painted[:-1] + " " * room + self._paint(_DIM, where) + "\n"
        return painted + self._paint(_DIM, where.rjust(self._columns)) + "\n"

    def _call(self, name: str, arguments: list[str], result: str, nanoseconds: int = 0) -> str:
        if name != "wait4":  # waiting is no work
            self._nanoseconds += nanoseconds
        joined = ", ".join(arguments)
        call = name if name.startswith("<") else f"{name}({joined})"
        call += f" = {result}" if result else ""
        took = _time(nanoseconds) if nanoseconds else ""
        lines = list(break_call(_visible(call), self._columns - _CALL - len(took) - 2))
        text = ""
        for number, line in enumerate(lines):
            indent = _CONTINUED if number else _CALL
            shown = self._paint(_ERROR, line) if result.startswith("-1 ") else line
            text += " " * indent + shown
            if number == len(lines) - 1 and took:
                room = self._columns - indent - len(line) - len(took)
                text += " " * max(room, 2) + self._paint(_DIM, took)
            text += "\n"
        return text

    def _paint(self, code: str, text: str) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if self._colour and text else text


def _time(nanoseconds: int) -> str:
    if nanoseconds < 10_000_000:
        return f"{nanoseconds / 1000:.0f} µs"
    return f"{nanoseconds / 1_000_000:.1f} ms"


def short_ids(sentence: str) -> str:
    """A container's id as people write it, in 12 digits. (The calls have all 64.)"""
    import re

    return re.sub(r"\b([0-9a-f]{12})[0-9a-f]{52}\b", r"\1…", sentence)


def _visible(text: str) -> str:
    """Without what could steer a terminal: names come from images, which come from strangers."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in text)


def _wrap_words(text: str, width: int) -> Iterator[str]:
    line = ""
    for word in text.split(" "):
        if line and len(line) + 1 + len(word) > width:
            yield line
            line = word
        else:
            line = f"{line} {word}" if line else word
    yield line


def break_call(text: str, width: int) -> Iterator[str]:
    """Break a call into lines of at most `width` columns, where that is possible; those after the
    first are to be indented by 4 more."""
    line, inside, first = "", False, True
    for chunk, chunk_inside in _chunks(text):
        limit = width - (1 if chunk_inside else 0)  # room for the quote that closes it
        if line and len(line) + len(chunk.rstrip()) > limit:
            yield line + '"' if inside else line.rstrip()
            line = '"' + chunk if inside else chunk
            if first:
                width, first = width - (_CONTINUED - _CALL), False
        else:
            line += chunk
        inside = chunk_inside
    yield line


def _chunks(text: str) -> Iterator[tuple[str, bool]]:
    """Pieces between which a call may be broken, and whether a string goes on after each."""
    start, inside, escaped = 0, False, False
    for position, letter in enumerate(text):
        if escaped:
            escaped = False
        elif inside and letter == "\\":
            escaped = True
        elif letter == '"':
            inside = not inside
        elif letter in ",:/" if inside else letter == "|" or _may_break(text, position):
            yield text[start : position + 1], inside
            start = position + 1
    yield text[start:], inside


def _may_break(text: str, position: int) -> bool:
    """Whether this is the space between two arguments, or the one before the result."""
    return text[position] == " " and (text[position - 1] == "," or text[position + 1] == "=")


def narration_for(write: Callable[[str], object], stderr: int) -> Narration:
    """A narration for whoever reads the descriptor `stderr`: as wide as their terminal, within
    reason, and in colour unless they asked for none (https://no-color.org)."""
    import os

    if not os.isatty(stderr):
        return Narration(write)
    plain = os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
    try:
        columns = os.get_terminal_size(stderr).columns or COLUMNS
    except OSError:
        columns = COLUMNS
    return Narration(write, columns=max(60, min(columns, COLUMNS)), colour=not plain)
