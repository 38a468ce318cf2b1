"""A monitor waits for all its children, for those that were left to it too, and for each once."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable

from minidock.engine.children import Children
from minidock.engine.loop import Loop


def in_a_process(body: Callable[[], None]) -> None:
    """Run `body` where its signal handler is in nobody's way."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            body()
            code = 0
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def child(code: int) -> int:
    pid = os.fork()
    if pid == 0:
        os._exit(code)
    return pid


def turn_until(loop: Loop, done: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not done():
        assert time.monotonic() < deadline
        loop.turn(0.1)


def exists(pid: int) -> bool:
    return os.path.exists(f"/proc/{pid}")


def test_each_is_called_back_for_once() -> None:
    def body() -> None:
        loop = Loop()
        children = Children(loop)
        ended: list[tuple[int, int]] = []
        for code in range(5):
            children.also_expect(
                child(code), lambda status, code=code: ended.append((code, status))
            )
        turn_until(loop, lambda: len(ended) == 5)
        assert sorted(ended) == [(code, code << 8) for code in range(5)]

    in_a_process(body)


def test_one_that_ended_before_it_was_expected() -> None:
    def body() -> None:
        loop = Loop()
        children = Children(loop)
        first = child(3)
        turn_until(loop, lambda: not exists(first))
        ended: list[int] = []
        children.expect(first, ended.append)
        assert ended == []  # in a turn of the loop, like any other
        turn_until(loop, lambda: ended == [3 << 8])
        stranger = child(4)  # nobody wants to know any more, but it is waited for
        turn_until(loop, lambda: not exists(stranger))
        children.remember()
        again = child(5)
        turn_until(loop, lambda: not exists(again))
        children.expect(again, ended.append)
        turn_until(loop, lambda: ended == [3 << 8, 5 << 8])

    in_a_process(body)


def test_one_that_is_killed_is_not_called_back_for() -> None:
    def body() -> None:
        loop = Loop()
        children = Children(loop)
        pid = os.fork()
        if pid == 0:
            signal.pause()
            os._exit(0)
        ended: list[int] = []
        children.also_expect(pid, ended.append)
        children.kill(pid)
        assert not exists(pid)
        children.kill(pid)  # it is gone: no other process is meant
        loop.turn(0.1)
        assert ended == []

    in_a_process(body)
