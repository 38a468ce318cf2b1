"""`--since` and `--until`: the three forms, and what is none of them."""

from __future__ import annotations

import time

import pytest

from minidock.cli.moments import parse_duration, parse_moment
from minidock.spec.timestamp import parse_time

NOW = parse_time("2026-11-23T12:00:00.75Z")


@pytest.fixture(autouse=True)
def berlin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0),
        ("10m", 600),
        ("1h30m5s", 5405),
        ("1.5h", 5400),
        (".5m", 30),
        ("-10m", -600),
        ("+1s", 1),
        ("100ms", 0.1),
        ("1us", 1e-6),
        ("1µs", 1e-6),
        ("3ns", 3e-9),
    ],
)
def test_durations(text: str, seconds: float) -> None:
    assert parse_duration(text) == round(seconds * 10**9)


@pytest.mark.parametrize("text", ["", "-", "1", "1d", "m", ".m", "1.5.5s", "1m ", "s1", "9999999h"])
def test_what_is_no_duration(text: str) -> None:
    assert parse_duration(text) is None


@pytest.mark.parametrize(
    ("text", "means"),
    [
        ("10m", "2026-11-23T11:50:00Z"),  # whole seconds, as Docker's client sends them
        ("-10m", "2026-11-23T12:10:00Z"),
        ("2026-11-23T09:30:00.5Z", "2026-11-23T09:30:00.5Z"),
        ("2026-11-23T09:30:00+02:00", "2026-11-23T07:30:00Z"),
        ("2026-11-23T09:30:00-02:00", "2026-11-23T11:30:00Z"),
        ("2026-11-23T09:30Z", "2026-11-23T09:30:00Z"),
        ("2026-11-23Z", "2026-11-23T00:00:00Z"),
        ("2026-11-23", "2026-11-22T23:00:00Z"),  # local: Berlin in winter
        ("2026-07-01T12", "2026-07-01T10:00:00Z"),  # and in summer
        ("2026-07-01T12:30", "2026-07-01T10:30:00Z"),
        ("2026-07-01T12:30:10.25", "2026-07-01T10:30:10.25Z"),
        ("0", "1970-01-01T00:00:00Z"),
        ("1764000000", "2025-11-24T16:00:00Z"),
        ("1764000000.000000001", "2025-11-24T16:00:00.000000001Z"),
    ],
)
def test_moments(text: str, means: str) -> None:
    assert parse_moment(text, NOW) == parse_time(means)


@pytest.mark.parametrize(
    "text",
    ["x", "1d", "1.5.5", "1764000000.", "12:30", "2026-1-1", "2026-11-23T", "2026-11-23T1:2",
     "2026-11-23T09:30.5", "2026-11-23T09:30:00+2:00", "2026-11-23T09:30:00.xZ", "²", "٣"],
)  # fmt: skip
def test_what_is_no_moment(text: str) -> None:
    with pytest.raises(ValueError, match="failed to parse value as time or duration: "):
        parse_moment(text, NOW)


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("2026-13-01", "month"),
        ("2026-00-01", "month"),
        ("2026-02-29", "day"),
        ("2026-04-31", "day"),
        ("2026-11-23T24", "hour"),
        ("2026-11-23T23:60", "minute"),
        ("2026-11-23T23:00:60", "second"),
    ],
)
def test_what_no_calendar_has(text: str, part: str) -> None:
    with pytest.raises(ValueError, match=f'parsing time "{text}": {part} out of range'):
        parse_moment(text, NOW)
