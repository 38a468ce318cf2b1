"""Columns that line up, as Go's text/tabwriter makes them for Docker (minwidth 10, padding 3).

A cell is text that a tab ends; the text after a line's last tab is no cell and is never padded.
A column is a *block of consecutive lines* that have a cell there, so a line with fewer tabs ends
all the blocks to its right. A block is as wide as its widest cell and three spaces, at least ten.

See: https://pkg.go.dev/text/tabwriter, docker/cli cli/command/formatter/tabwriter.
"""

from __future__ import annotations

from minidock.cli.units import display_width
from minidock.spec.quoting import escape

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

MIN_WIDTH = 10
PADDING = 3


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A header and its rows as Docker prints them, newline at the end.

    What a terminal would act on, tabs and newlines included, is shown as an escape.
    """
    lines = ["\t".join(header)]
    lines += ["\t".join(cell(text) for text in row) for row in rows]
    return align("\n".join(lines) + "\n")


def cell(text: str) -> str:
    """A cell's text on one line, without control characters."""
    return text if text.isprintable() else "".join(escape(c) for c in text)


def align(text: str, min_width: int = MIN_WIDTH, padding: int = PADDING) -> str:
    """What a tabwriter makes of `text`: tabs become as many spaces as the columns need."""
    lines = [line.split("\t") for line in text.split("\n")]
    widths: list[list[int]] = [[] for _ in lines]  # of each line's tab-ended cells
    _columns(lines, widths, 0, 0, len(lines), min_width, padding)
    out = []
    for line, line_widths in zip(lines, widths, strict=True):
        padded = [
            part + " " * (width - display_width(part))
            for part, width in zip(line, line_widths, strict=False)
        ]
        out.append("".join((*padded, line[-1])))
    return "\n".join(out)


def _columns(
    lines: list[list[str]],
    widths: list[list[int]],
    column: int,
    start: int,
    end: int,
    min_width: int,
    padding: int,
) -> None:
    """Set the widths of `column` and of those right of it, for the lines from start to end."""
    while start < end:
        if len(lines[start]) - 1 <= column:
            start += 1
            continue
        stop = start
        width = min_width
        while stop < end and len(lines[stop]) - 1 > column:
            width = max(width, display_width(lines[stop][column]) + padding)
            stop += 1
        for line_widths in widths[start:stop]:
            line_widths.append(width)
        _columns(lines, widths, column + 1, start, stop, min_width, padding)
        start = stop
