"""top chooses lines of ps; stats makes percentages of two readings."""

from __future__ import annotations

import pytest

from minidock.engine.top import choose
from minidock.engine.usage import Usage
from minidock.errors import MinidockError

PS = """\
UID          PID    PPID  C STIME TTY          TIME CMD
root           1       0  0 09:00 ?        00:00:01 /sbin/init --flag x
www-data    4711    4700  0 09:01 ?        00:00:00 sleep  100
www-data       -       -  0 09:01 ?        00:00:00 a thread
root        4712       1  0 09:02 pts/0    00:00:00 bash
root           -       -  0 09:02 pts/0    00:00:00 another's thread
"""


def test_the_containers_lines_are_chosen_by_pid() -> None:
    rows = choose(PS, {4711})
    assert rows[0] == ["UID", "PID", "PPID", "C", "STIME", "TTY", "TIME", "CMD"]
    assert [row[1] for row in rows[1:]] == ["4711", "-"]
    assert rows[1][-1] == "sleep 100"  # the last column is as many words as there are


def test_without_a_pid_column_nothing_can_be_chosen() -> None:
    with pytest.raises(MinidockError, match="Couldn't find PID field in ps output"):
        choose("CMD\nsleep\n", {1})
    with pytest.raises(MinidockError, match="Unexpected pid 'x'"):
        choose("PID CMD\nx sleep\n", {1})


def test_a_whole_processor_is_a_hundred_percent() -> None:
    before = Usage(at=1_000, cpu=500)
    assert Usage(at=2_000, cpu=1_500).cpu_percent(before) == 100.0
    assert Usage(at=2_000, cpu=4_500).cpu_percent(before) == 400.0


@pytest.mark.parametrize(
    ("before", "now"),
    [
        (Usage(), Usage(at=5, cpu=5)),  # the first reading: since when?
        (Usage(at=5, cpu=9), Usage(at=9, cpu=2)),  # started again meanwhile
        (Usage(at=5, cpu=9), Usage()),  # ended
    ],
)
def test_a_percentage_that_is_not_known_is_zero(before: Usage, now: Usage) -> None:
    assert now.cpu_percent(before) == 0.0
    assert Usage().memory_percent == 0.0
