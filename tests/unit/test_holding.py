"""A lock says that somebody looks after a container, and goes with the process that holds it."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from minidock.engine.holding import hold, is_held


def test_one_holder_at_a_time(tmp_path: Path) -> None:
    path = str(tmp_path / "lock")
    assert not is_held(path)  # there is no such file
    first = hold(path)
    assert is_held(path)
    with pytest.raises(BlockingIOError):
        hold(path)
    os.close(first)
    assert not is_held(path)
    os.close(hold(path))


def test_to_ask_is_not_to_take(tmp_path: Path) -> None:
    path = str(tmp_path / "lock")
    os.close(hold(path))
    fd = os.open(path, os.O_RDONLY)
    assert not is_held(path)
    os.close(hold(path))
    os.close(fd)


def test_the_kernel_drops_it_with_its_holder(tmp_path: Path) -> None:
    path = str(tmp_path / "lock")
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            hold(path)
            os.write(writer, b".")
            signal.pause()
        finally:
            os._exit(1)
    assert os.read(reader, 1) == b"."
    assert is_held(path)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    assert not is_held(path)
    os.close(reader)
    os.close(writer)
