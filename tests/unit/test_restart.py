"""When a container that has ended is started again, by itself, and after how long."""

from __future__ import annotations

import pytest

from minidock.engine.loop import Loop
from minidock.engine.monitor_order import Order
from minidock.engine.restart import Restarts


def policy(name: str, most: int = 0) -> dict[str, object]:
    return {"Name": name, "MaximumRetryCount": most}


@pytest.mark.parametrize(
    ("name", "code", "again"),
    [
        ("no", 1, False),
        ("", 1, False),
        ("always", 0, True),
        ("always", 1, True),
        ("unless-stopped", 0, True),
        ("on-failure", 0, False),
        ("on-failure", 137, True),
    ],
)
def test_who_is_started_again(name: str, code: int, again: bool) -> None:
    pause = Restarts().pause_before_next(policy(name), code, 1.0)
    assert (pause is not None) == again


def test_no_policy_at_all() -> None:
    assert Restarts().pause_before_next({}, 1, 1.0) is None


def test_on_failure_gives_up_after_so_many() -> None:
    restarts = Restarts()
    pauses = [restarts.pause_before_next(policy("on-failure", 3), 1, 0.1) for _ in range(5)]
    assert [pause is not None for pause in pauses] == [True, True, True, False, False]
    assert restarts.count == 3


def test_the_pause_doubles_up_to_a_minute_and_begins_anew_after_ten_seconds_of_running() -> None:
    restarts = Restarts()
    pauses = [restarts.pause_before_next(policy("always"), 1, 9.9) for _ in range(12)]
    assert pauses[:5] == [0.1, 0.2, 0.4, 0.8, 1.6]
    assert pauses[-3:] == [51.2, 60, 60]
    assert restarts.pause_before_next(policy("always"), 1, 10.0) == 0.1
    assert restarts.count == 13


def test_a_further_start_has_no_audience() -> None:
    order = Order("/c", "/run", "ltae").again(2)
    read = Order.parse(order.text())
    assert (read.directory, read.run_dir, read.letters, read.restarts) == ("/c", "/run", "lt", 2)


def test_the_loop_calls_at_the_time_and_not_what_was_cancelled() -> None:
    loop = Loop()
    called: list[str] = []
    loop.after(0.03, lambda: called.append("late"))
    early = loop.after(0.01, lambda: called.append("early"))
    loop.after(0.01, lambda: loop.cancel(never))
    never = loop.after(0.02, lambda: called.append("never"))
    while len(called) < 2:
        assert loop.turn(5)
    loop.cancel(early)  # it was called already
    assert called == ["early", "late"]
    assert not loop.turn(0.01)
