"""Steps of a build as lines of a terminal, which are drawn again while they last."""

from __future__ import annotations

import re
import time
from threading import Lock
from typing import Any

from minidock.cli.build_progress import Terminal


class Screen:
    """As much of a terminal as is needed, and an `App` that writes on it."""

    def __init__(self) -> None:
        self.rows = [""]
        self.row = self.column = 0
        self._lock = Lock()

    def err(self, text: str) -> None:
        with self._lock:
            self._show(text)

    def _show(self, text: str) -> None:
        for piece in re.findall(r"\x1b\[\d*[AJ]|[\r\n]|[^\x1b\r\n]+", text):
            if piece == "\n":
                self.row, self.column = self.row + 1, 0
                self.rows += [""] * (self.row + 1 - len(self.rows))
            elif piece == "\r":
                self.column = 0
            elif piece.endswith("A") and piece[0] == "\x1b":
                self.row -= int(piece[2:-1])
            elif piece == "\x1b[J":
                self.rows[self.row :] = [self.rows[self.row][: self.column]]
            else:
                row = self.rows[self.row].ljust(self.column)
                self.rows[self.row] = row[: self.column] + piece + row[self.column + len(piece) :]
                self.column += len(piece)


def test_a_step_that_is_interrupted_leaves_its_line() -> None:
    screen: Any = Screen()
    with Terminal(screen) as progress:
        progress.begin(1, "[1/1] RUN sleep 100")
        limit = time.monotonic() + 10
        while not any("RUN" in row for row in screen.rows):
            assert time.monotonic() < limit
            time.sleep(0.01)
        screen.err("^C")  # the terminal's own echo
    shown = [row for row in screen.rows if row.strip()]
    assert len(shown) == 1
    assert shown[0].startswith(" => CANCELED [1/1] RUN sleep 100 ")
