"""From figures to a table: medians, spreads, ratios and what was asked for. Pure functions.

A ratio is the median of the ratios of each round, not the ratio of the medians: within a round the
contestants had the same machine, across rounds perhaps not.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median

US = "minidock"
ENGINES = (US, "docker", "podman")


@dataclass(frozen=True)
class Series:
    """The figures of one contestant in one measure, a figure a round; or why there are none."""

    contestant: str
    values: tuple[float, ...]
    reason: str = ""


@dataclass(frozen=True)
class Result:
    """One measure, done."""

    name: str
    title: str
    unit: str
    series: tuple[Series, ...]
    asked: Mapping[str, float] = field(default_factory=dict)
    limit: float | None = None

    def of(self, contestant: str) -> Series:
        """The series of one contestant; an empty one if it took no part."""
        for series in self.series:
            if series.contestant == contestant:
                return series
        return Series(contestant, ())

    @property
    def rounds(self) -> int:
        """How many rounds counted."""
        return max((len(series.values) for series in self.series), default=0)


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> float | None:
    """Median of our figure divided by theirs, round by round; None if there is no such pair."""
    pairs = [a / b for a, b in zip(ours, theirs, strict=False) if b > 0]
    return median(pairs) if pairs else None


def number(value: float) -> str:
    """Three significant figures, or all digits before the point: 0.412, 3.14, 24.8, 1529."""
    for above, digits in ((100, 0), (10, 1), (1, 2)):
        if value >= above:
            return f"{value:.{digits}f}"
    return f"{value:.3f}"


def verdict(figure: float | None, asked: float | None) -> str:
    """`≤ 0.25 reached`, `≤ 0.25 missed`, `≤ 0.25`, or nothing where nothing was asked."""
    if asked is None:
        return ""
    if figure is None:
        return f"≤ {asked:g}"
    return f"≤ {asked:g} {'reached' if figure <= asked else 'missed'}"


HEAD = ("", "median", "min – max", "minidock/it", "asked")


def table(results: Sequence[Result], absent: Mapping[str, str]) -> str:
    """The whole table; `absent` are the peers that took no part, with the reason."""
    rows: list[tuple[str, ...]] = [HEAD]
    for result in results:
        rows.append((f"{result.title}  [{result.unit}, {_rounds(result.rounds)}]",))
        rows += [_row(result, series) for series in result.series]
        # runc and the plain tools are in some measures only; an engine is missed in all.
        rows += [(f"  {name}", "-", absent[name]) for name in ENGINES if name in absent]
    return _aligned(rows)


def to_json(facts: Mapping[str, str], results: Sequence[Result], absent: Mapping[str, str]) -> str:
    """Everything, with the figure of every round, for programs that draw or compare."""
    return json.dumps(
        {
            "facts": dict(facts),
            "absent": dict(absent),
            "measures": [_plain(result) for result in results],
        },
        indent=2,
        ensure_ascii=False,
    )


def unmeasured(results: Sequence[Result]) -> list[str]:
    """The measures of which there is no figure of ours, with the reason."""
    return [
        f"{result.name}: {result.of(US).reason or 'minidock took no part'}"
        for result in results
        if not result.of(US).values
    ]


def _rounds(count: int) -> str:
    return "1 round" if count == 1 else f"{count} rounds"


def _row(result: Result, series: Series) -> tuple[str, ...]:
    who = f"  {series.contestant}"
    if not series.values:
        return (who, "-", series.reason)
    middle = median(series.values)
    spread = f"{number(min(series.values))} – {number(max(series.values))}"
    if series.contestant == US:
        return (who, number(middle), spread, "", verdict(middle, result.limit))
    theirs = ratio(result.of(US).values, series.values)
    shown = number(theirs) if theirs is not None else "-"
    return (
        *(who, number(middle), spread, shown),
        verdict(theirs, result.asked.get(series.contestant)),
    )


def _plain(result: Result) -> dict[str, object]:
    ours = result.of(US).values
    return {
        "name": result.name,
        "title": result.title,
        "unit": result.unit,
        "limit": result.limit,
        "contestants": [
            {
                "name": series.contestant,
                "reason": series.reason,
                "values": list(series.values),
                "median": median(series.values) if series.values else None,
                "ratio": None if series.contestant == US else ratio(ours, series.values),
                "asked": result.asked.get(series.contestant),
            }
            for series in result.series
        ],
    }


def _aligned(rows: Sequence[tuple[str, ...]]) -> str:
    """Columns: names to the left, figures to the right, and free text where a row is short."""
    full = [row for row in rows if len(row) == len(HEAD)]
    widths = [max(len(row[column]) for row in full) for column in range(len(HEAD))]
    lines = []
    for row in rows:
        if len(row) == 1:
            lines += ["", row[0]]
            continue
        cells = [row[0].ljust(widths[0]), row[1].rjust(widths[1])]
        if len(row) == len(HEAD):
            cells += [row[2].rjust(widths[2]), row[3].rjust(widths[3]), row[4]]
        else:
            cells += row[2:]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)
