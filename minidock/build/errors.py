"""Showing the place in a Dockerfile where something is wrong, and guessing what was meant.

    Dockerfile:2
    --------------------
       1 |     FROM debian
       2 | >>> RUNN apt-get update
       3 |     CMD ["bash"]
    --------------------
    … dockerfile parse error on line 2: unknown instruction: RUNN (did you mean RUN?)

The frame is Docker's to the space, because editors and CI systems look for it.

See: buildkit solver/errdefs/source.go, util/suggest
"""

from __future__ import annotations

from minidock.build.instructions import DockerfileError, Lines
from minidock.spec.quoting import visible

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_RULE = "-" * 20
_AROUND_ONE = 4  # lines to be shown around a place of one line; a larger place shows itself
_AROUND_MORE = 2
_NEAR = 2  # edits at most between what was typed and what is suggested


def located(path: str, lines: Sequence[str], where: Lines, message: str) -> DockerfileError:
    """The error, with its place: `lines` is the whole file."""
    return DockerfileError(message, excerpt=excerpt(path, lines, where))


def excerpt(path: str, lines: Sequence[str], where: Lines) -> str:
    """The frame above, without the last line; "" if `where` is in no file."""
    first, last = where.first, min(max(where.first, where.last), len(lines))
    if not 1 <= first <= len(lines):
        return ""
    start, end = _surroundings(first, last, len(lines))
    shown = [f"{visible(path)}:{first}", _RULE]
    for number in range(start, end + 1):
        mark = ">>>" if first <= number <= last else "   "
        shown.append(f" {number:3} | {mark} {visible(lines[number - 1])}")
    return "\n".join([*shown, _RULE])


def _surroundings(first: int, last: int, count: int) -> tuple[int, int]:
    """A little before and after, in turn; what one side has not, the other does not get."""
    left = _AROUND_ONE if first == last else _AROUND_MORE
    while left > 0:
        left -= 1
        if first > 1:
            first, left = first - 1, left - 1
        if last < count:
            last, left = last + 1, left - 1
    return first, last


def did_you_mean(word: str, options: Iterable[str]) -> str:
    """` (did you mean RUN?)`, in the case of `word`; "" if nothing is near, or it is there."""
    best, distance = "", _NEAR + 1
    for option in sorted(options):
        between = _distance(word.lower(), option.lower(), distance)
        if between == 0:
            return ""
        if between < distance:
            best, distance = option, between
    if not best:
        return ""
    if word == word.upper():
        best = best.upper()
    elif word == word.lower():
        best = best.lower()
    return f" (did you mean {best}?)"


def _distance(one: str, other: str, limit: int) -> int:
    """How many characters must be put in, taken out or changed (Levenshtein)."""
    if abs(len(one) - len(other)) >= limit:
        return limit
    row = list(range(len(other) + 1))
    for i, left in enumerate(one, 1):
        diagonal, row[0] = row[0], i
        for j, right in enumerate(other, 1):
            diagonal, row[j] = (
                row[j],
                min(row[j] + 1, row[j - 1] + 1, diagonal + (left != right)),
            )
    return row[-1]
