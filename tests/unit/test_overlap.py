"""Two halves of a stream at once: nothing lost, nothing reordered, and errors arrive."""

from __future__ import annotations

import io
import threading

import pytest

from minidock.image.overlap import Ahead, Behind

PIECES = [bytes([number]) * (1 << 20) for number in range(40)]


def test_ahead_gives_what_the_source_gives() -> None:
    source = io.BytesIO(b"".join(PIECES))
    out = []
    with Ahead(source) as ahead:
        while piece := ahead.read(1 << 20):
            out.append(piece)
        assert ahead.read(1) == b""
    assert out == PIECES


class Counting:
    """Never ends."""

    def __init__(self) -> None:
        self.reads = 0

    def read(self, size: int) -> bytes:
        self.reads += 1
        return b"x" * size


def test_ahead_is_not_ahead_without_limit() -> None:
    source = Counting()
    with Ahead(source) as ahead:
        for _ in range(5):
            ahead.read(10)
        threading.Event().wait(0.1)
        assert source.reads < 30
    reads = source.reads
    threading.Event().wait(0.05)
    assert source.reads == reads  # the thread has stopped


class Failing:
    def read(self, size: int) -> bytes:
        raise OSError(5, "Input/output error")


def test_ahead_raises_what_the_source_raised() -> None:
    with Ahead(Failing()) as ahead:
        for _ in range(2):
            with pytest.raises(OSError, match="Input/output error"):
                ahead.read(10)


def test_leaving_ahead_by_an_exception_waits_for_nobody() -> None:
    never = threading.Event()

    class Terminal:
        def read(self, size: int) -> bytes:
            never.wait(20)
            return b""

    ahead = Ahead(Terminal())
    with pytest.raises(ZeroDivisionError), ahead:
        threading.Timer(0.05, ahead._pieces.put, (b"x",)).start()
        ahead.read(10)
        raise ZeroDivisionError
    never.set()


def test_behind_feeds_the_sink_in_order() -> None:
    out: list[bytes] = []
    with Behind(out.append) as behind:
        for piece in PIECES:
            behind(piece)
    assert out == PIECES


def test_behind_needs_no_thread_for_little() -> None:
    before = threading.active_count()
    out: list[bytes] = []
    with Behind(out.append) as behind:
        behind(b"little")
        assert out == [b"little"]
        assert threading.active_count() == before


def test_behind_raises_what_the_sink_raised() -> None:
    count = 0

    def sink(data: bytes) -> None:
        nonlocal count
        count += 1
        if count > 20:
            raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left"), Behind(sink) as behind:
        for piece in PIECES:
            behind(piece)
    assert count == 21
