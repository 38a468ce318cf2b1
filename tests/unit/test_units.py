"""Durations, sizes, times and quoting: docker/go-units' and Go's own examples."""

from __future__ import annotations

import time

import pytest

from minidock.cli.units import (
    bytes_size,
    display_width,
    ellipsis,
    go_time,
    human_duration,
    human_size,
    short_id,
)
from minidock.spec.quoting import quote, visible

SECOND = 1_000_000_000
MINUTE, HOUR, DAY = 60 * SECOND, 3600 * SECOND, 86400 * SECOND


@pytest.mark.parametrize(
    ("nanoseconds", "text"),
    [  # the first part follows go-units' duration_test.go
        (450 * SECOND // 1000, "Less than a second"),
        (47 * SECOND, "47 seconds"),
        (1 * MINUTE, "About a minute"),
        (3 * MINUTE, "3 minutes"),
        (35 * MINUTE, "35 minutes"),
        (35 * MINUTE + 40 * SECOND, "35 minutes"),
        (1 * HOUR, "About an hour"),
        (1 * HOUR + 45 * MINUTE, "2 hours"),
        (3 * HOUR, "3 hours"),
        (3 * HOUR + 59 * MINUTE, "4 hours"),
        (3 * HOUR + 60 * MINUTE, "4 hours"),
        (24 * HOUR, "24 hours"),
        (36 * HOUR, "36 hours"),
        (2 * DAY, "2 days"),
        (7 * DAY, "7 days"),
        (13 * DAY + 5 * HOUR, "13 days"),
        (14 * DAY, "2 weeks"),
        (14 * DAY + 4 * HOUR, "2 weeks"),
        (3 * 7 * DAY, "3 weeks"),
        (4 * 7 * DAY, "4 weeks"),
        (4 * 7 * DAY + 3 * DAY, "4 weeks"),
        (1 * 30 * DAY, "4 weeks"),
        (1 * 30 * DAY + 2 * 7 * DAY, "6 weeks"),
        (2 * 30 * DAY, "2 months"),
        (23 * 30 * DAY, "23 months"),
        (24 * 30 * DAY, "24 months"),
        (24 * 30 * DAY + 2 * 7 * DAY, "2 years"),
        (2 * 365 * DAY, "2 years"),
        (3 * 365 * DAY + 2 * 30 * DAY, "3 years"),
        (0, "Less than a second"),
        (-5 * SECOND, "Less than a second"),  # a clock that was set back
        (SECOND, "1 second"),
        (2 * SECOND - 1, "1 second"),
        (60 * SECOND - 1, "59 seconds"),
        (2 * MINUTE - 1, "About a minute"),
        (59 * MINUTE + 59 * SECOND, "59 minutes"),
        (HOUR + 29 * MINUTE + 59 * SECOND, "About an hour"),
        (HOUR + 30 * MINUTE, "2 hours"),
        (47 * HOUR + 30 * MINUTE, "2 days"),
        (2 * 365 * DAY - HOUR, "24 months"),
    ],
)
def test_durations(nanoseconds: int, text: str) -> None:
    assert human_duration(nanoseconds) == text


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0B"),
        (2, "2B"),
        (999, "999B"),
        (1000, "1kB"),
        (1024, "1.02kB"),
        (21_500_000, "21.5MB"),
        (999_950, "1e+03kB"),  # %.3g, warts and all
        (116_780_000, "117MB"),
        (3_420_000_000, "3.42GB"),
        (10**27, "1e+03YB"),
    ],
)
def test_sizes_in_tables(size: int, text: str) -> None:
    assert human_size(size) == text


def test_other_sizes() -> None:
    assert human_size(1_048_576, 4) == "1.049MB"
    assert human_size(3.42 * 10**12, 4) == "3.42TB"
    assert bytes_size(1024) == "1KiB"
    assert bytes_size(67_096_576) == "63.99MiB"
    assert bytes_size(2.22 * 2**40) == "2.22TiB"


def test_local_times(monkeypatch: pytest.MonkeyPatch) -> None:
    moment = 1_795_426_522_123_456_789
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    assert go_time(moment) == "2026-11-23 09:35:22 +0000 UTC"
    monkeypatch.setenv("TZ", "NST3:30")  # as POSIX writes it: west of Greenwich
    time.tzset()
    assert go_time(moment) == "2026-11-23 06:05:22 -0330 NST"
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize(
    ("text", "quoted"),
    [
        ("ls -l", '"ls -l"'),
        ('sh -c "x"', r'"sh -c \"x\""'),
        ("a\\b", r'"a\\b"'),
        ("\a\b\f\n\r\t\v\x00\x1b\x7f", r'"\a\b\f\n\r\t\v\x00\x1b\x7f"'),
        ("é☺", '"é☺"'),
        ("\x85\u200b\U000e0001", r'"\u0085\u200b\U000e0001"'),
        ("\udcff", r'"\xff"'),  # a byte that is not UTF-8
        ("", '""'),
    ],
)
def test_quoting(text: str, quoted: str) -> None:
    assert quote(text) == quoted


def test_what_a_terminal_would_act_on() -> None:
    assert visible("plain ☺\nlines") == "plain ☺\nlines"
    assert visible("\x1b[2J\x9b\r\u202e") == "\\x1b[2J\\u009b\\r\\u202e"


def test_ellipsis() -> None:
    assert ellipsis("12345678901234567890", 20) == "12345678901234567890"
    assert ellipsis("123456789012345678901", 20) == "1234567890123456789…"
    assert ellipsis("abc", 1) == "a"
    assert ellipsis("abc", 0) == ""
    assert ellipsis("", 5) == ""
    assert ellipsis("日本語日本語", 8) == "日本語…"
    assert ellipsis("日本語日", 8) == "日本語日"


def test_widths() -> None:
    assert (display_width("abc"), display_width("é"), display_width("日本")) == (3, 1, 4)


def test_short_ids() -> None:
    assert short_id("sha256:" + "ab" * 32) == "abababababab"
    assert short_id("cd" * 32) == "cdcdcdcdcdcd"
