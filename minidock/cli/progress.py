"""How far a pull or push is, for a person or for a file.

On a terminal every layer has a line with a bar: what is being done, how much, how fast, how long
still. `rich` draws it, a well-kept library that knows terminals better than we should. Elsewhere a
line is printed each time a layer's state changes, as Docker does; with `-q`, nothing.
"""

from __future__ import annotations

import os
import threading

from minidock.engine.output import write_all

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType
    from typing import Any, Self


class Lines:
    """For a pipe or file: one line for each change of state."""

    def __init__(self, out: int, *, quiet: bool) -> None:
        self._out = out
        self._quiet = quiet
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        pass

    def status(self, layer: str, words: str) -> None:
        if not self._quiet:
            with self._lock:
                write_all(self._out, f"{layer}: {words}\n".encode())

    def progress(self, layer: str, doing: str, done: int, total: int) -> None:
        """Nothing: a file does not need to know how far it was."""


class Bars:
    """For a terminal: a line for each layer, which changes in its place."""

    def __init__(self, out: int) -> None:
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            DownloadColumn,
            Progress,
            TextColumn,
            TimeRemainingColumn,
            TransferSpeedColumn,
        )

        # Closed by nobody: the descriptor is the process's own standard output or error.
        self._file = os.fdopen(out, "w", encoding="utf-8", closefd=False)
        self._display = Progress(
            TextColumn("{task.fields[layer]}:"),
            TextColumn("{task.fields[state]:<20}"),
            BarColumn(bar_width=None),
            DownloadColumn(),
            TransferSpeedColumn(),
            TimeRemainingColumn(compact=True),
            console=Console(file=self._file),
        )
        self._lock = threading.Lock()
        self._tasks: dict[str, Any] = {}
        self._states: dict[str, str] = {}

    def __enter__(self) -> Self:
        self._display.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        self._display.stop()
        self._file.flush()

    def status(self, layer: str, words: str) -> None:
        with self._lock:
            self._state(layer, words)
            if words.endswith(("complete", "exists", "Pushed")) and words != "Download complete":
                task = self._tasks[layer]
                total = next(t.total for t in self._display.tasks if t.id == task) or 1
                self._display.update(task, completed=total, total=total)

    def progress(self, layer: str, doing: str, done: int, total: int) -> None:
        """A layer is unpacked while it arrives: until all is there, the arriving is shown."""
        with self._lock:
            state = self._states.get(layer, "")
            if doing == "Extracting" and state != "Download complete" and state != "Extracting":
                return
            if doing == "Extracting" and done >= total:
                return
            self._state(layer, doing)
            self._display.update(self._tasks[layer], completed=done, total=total)

    def _state(self, layer: str, words: str) -> None:
        if self._states.get(layer) == words:
            return
        self._states[layer] = words
        if layer in self._tasks:
            self._display.update(self._tasks[layer], state=words)
            return
        self._tasks[layer] = self._display.add_task("", total=None, layer=layer, state=words)


def watch(out: int, *, quiet: bool) -> Lines | Bars:
    """What suits where the descriptor `out` leads."""
    return Bars(out) if os.isatty(out) and not quiet else Lines(out, quiet=quiet)
