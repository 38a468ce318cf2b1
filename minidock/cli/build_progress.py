"""How far a build is, on standard error.

On a terminal, a line for each step with its time; below those that run, the last words they said.
Elsewhere plain lines as Docker prints them, each beginning with the number of its step, because
stages are built at the same time. With -q nothing, until something fails.

What a step prints is kept: when a RUN fails, all of it is shown again, in one piece.
"""

from __future__ import annotations

import os
import time
from _thread import RLock, start_new_thread

from minidock.cli.command import ClientError
from minidock.spec.quoting import visible

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from minidock.build.instructions import Dockerfile
    from minidock.cli.app import App

_KEPT = 8 << 20  # bytes of a step's output that are shown again
_TAIL = 6  # lines of a running step's output on a terminal
_PERIOD = 0.1  # seconds


class _Step:
    def __init__(self, title: str) -> None:
        self.title = title
        self.begun = time.monotonic()
        self.output = bytearray()
        self.rest = b""  # a line that is not whole yet
        self.why = ""

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.begun


class Progress:
    """Says nothing, and remembers: the listener of a build with -q."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._steps: dict[int, _Step] = {}
        self._lock = RLock()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        pass

    def begin(self, number: int, title: str) -> None:
        with self._lock:
            self._steps[number] = _Step(title.replace("\n", " "))

    def cached(self, number: int, why: str) -> None:
        pass

    def work(self, number: int, why: str) -> None:
        pass

    def output(self, number: int, data: bytes) -> None:
        with self._lock:
            kept = self._steps[number].output
            kept += data
            if len(kept) > _KEPT:
                del kept[: len(kept) - _KEPT]

    def done(self, number: int) -> None:
        pass

    def failed(self, number: int) -> None:
        pass

    def warn(self, text: str) -> None:
        self._app.warn(text)

    def pause(self) -> None:
        """Somebody else is about to print, until `resume`."""

    def resume(self) -> None:
        """They have."""

    def lint(self, dockerfile: Dockerfile) -> None:
        """What in the Dockerfile is questionable."""

    def named(self, image_id: str, names: list[str]) -> None:
        """The build is done."""

    def output_of(self, number: int) -> str:
        """What a step has printed."""
        step = self._steps.get(number)
        if not step:
            return ""
        text = step.output.decode("utf-8", "surrogateescape")
        return text if not text or text.endswith("\n") else f"{text}\n"


class Plain(Progress):
    """Lines for a file."""

    def begin(self, number: int, title: str) -> None:
        super().begin(number, title)
        with self._lock:
            self._say(number, visible(self._steps[number].title))

    def cached(self, number: int, why: str) -> None:
        with self._lock:
            self._because(number, why)
            self._say(number, "CACHED\n")

    def work(self, number: int, why: str) -> None:
        with self._lock:
            self._because(number, why)

    def output(self, number: int, data: bytes) -> None:
        super().output(number, data)
        with self._lock:
            step = self._steps[number]
            *lines, step.rest = (step.rest + data).split(b"\n")
            for line in lines:
                self._line(number, step, line)

    def _line(self, number: int, step: _Step, line: bytes) -> None:
        text = line.decode("utf-8", "surrogateescape").rstrip("\r")
        self._say(number, f"{step.seconds:.3f} {text}")

    def done(self, number: int) -> None:
        with self._lock:
            self._flush(number)
            self._say(number, f"DONE {self._steps[number].seconds:.1f}s\n")

    def failed(self, number: int) -> None:
        with self._lock:
            self._flush(number)
            self._say(number, "ERROR\n")

    def _flush(self, number: int) -> None:
        step = self._steps[number]
        if step.rest:
            self._line(number, step, step.rest)
            step.rest = b""

    def _because(self, number: int, why: str) -> None:
        if why:
            self._say(number, f"because {visible(why)}")

    def _say(self, number: int, text: str) -> None:
        self._app.err(f"#{number} {text}\n")

    def lint(self, dockerfile: Dockerfile) -> None:
        count = len(dockerfile.warnings)
        if count:
            self._app.err(f"\n {count} warning{'s' if count > 1 else ''} found:\n")
        for warning in dockerfile.warnings:
            where = f"(line {warning.where.first})"
            self._app.err(f" - {warning.rule}: {visible(warning.text)} {where}\n")

    def named(self, image_id: str, names: list[str]) -> None:
        self._app.err(f"writing image {image_id}\n")
        for name in names:
            self._app.err(f"naming to {name}\n")


class Terminal(Progress):
    """Lines that stay for what is done, and below them some that change."""

    def __init__(self, app: App) -> None:
        super().__init__(app)
        self._running: list[int] = []
        self._drawn = 0
        self._over = False
        self._paused = 0

    def __enter__(self) -> Self:
        start_new_thread(self._keep_drawing, ())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        with self._lock:
            self._over = True
            for number in list(self._running):
                self._finish(number, "CANCELED ")

    def begin(self, number: int, title: str) -> None:
        super().begin(number, title)
        with self._lock:
            self._running.append(number)

    def cached(self, number: int, why: str) -> None:
        with self._lock:
            self._steps[number].why = why
            self._finish(number, "CACHED " if "FROM" not in self._steps[number].title else "")

    def work(self, number: int, why: str) -> None:
        with self._lock:
            self._steps[number].why = why

    def done(self, number: int) -> None:
        with self._lock:
            self._finish(number, "")

    def failed(self, number: int) -> None:
        with self._lock:
            self._finish(number, "ERROR ")

    def pause(self) -> None:
        with self._lock:
            self._erase()
            self._paused += 1

    def resume(self) -> None:
        with self._lock:
            self._paused -= 1

    def lint(self, dockerfile: Dockerfile) -> None:
        Plain.lint(self, dockerfile)  # type: ignore[arg-type]

    def named(self, image_id: str, names: list[str]) -> None:
        with self._lock:
            self._erase()
            self._app.err(f" => writing image {image_id}\n")
            for name in names:
                self._app.err(f" => naming to {name}\n")

    def _finish(self, number: int, word: str) -> None:
        if number in self._running:
            self._running.remove(number)
        step = self._steps[number]
        lines = [_fitted(f" => {word}{visible(step.title)}", f"{step.seconds:.1f}s")]
        if step.why:
            lines.append(f"    because {visible(step.why)}")
        self._erase()
        self._app.err("".join(f"{line}\n" for line in lines))
        self._draw()

    def _keep_drawing(self) -> None:
        while not self._over:
            time.sleep(_PERIOD)
            with self._lock:
                if not self._over:
                    self._erase()
                    self._draw()

    def _erase(self) -> None:
        if self._drawn:
            # To the first column, too: the terminal may have shown a ^C behind our last line.
            self._app.err(f"\r\x1b[{self._drawn}A\x1b[J")
            self._drawn = 0

    def _draw(self) -> None:
        lines = []
        for number in self._running:
            step = self._steps[number]
            lines.append(_fitted(f" => {visible(step.title)}", f"{step.seconds:.1f}s"))
            tail = bytes(step.output[-4096:]).decode("utf-8", "replace").splitlines()[-_TAIL:]
            lines += [_fitted(f" => => # {visible(text)}", "") for text in tail]
        if lines and not self._over and not self._paused:
            self._app.err("".join(f"{line}\n" for line in lines))
            self._drawn = len(lines)


def _fitted(text: str, right: str) -> str:
    """One line of the terminal, cut where it is too long."""
    try:
        width = os.get_terminal_size(2).columns or 80
    except OSError:
        width = 80
    room = max(20, width - len(right) - 1)
    cut = text if len(text) < room else text[: room - 2] + "…"
    return f"{cut.ljust(room)}{right}" if right else cut


def watch(app: App, wanted: str, *, quiet: bool) -> Progress:
    """What suits where standard error leads. Raises `ClientError`."""
    if wanted not in ("auto", "plain", "tty", "quiet", "rawjson"):
        raise ClientError(f"invalid progress type: {wanted}: must be auto, plain or tty")
    if quiet or wanted == "quiet":
        return Progress(app)
    if wanted == "tty" or (wanted == "auto" and os.isatty(app.stderr)):
        return Terminal(app)
    return Plain(app)
