"""Large images through small memory, and Ctrl-C in the middle of each journey."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

LAYERS = 4  # so that several travel at once
SIZE = 60 << 20  # bytes of each, which cannot be packed
MOST = 150  # MB, all processes of a command together


def processes(pid: int) -> list[int]:
    """A process and its descendants."""
    found = [pid]
    try:
        for task in os.listdir(f"/proc/{pid}/task"):
            for child in Path(f"/proc/{pid}/task/{task}/children").read_text().split():
                found += processes(int(child))
    except (FileNotFoundError, ProcessLookupError):
        pass
    return found


def resident(pid: int) -> int:
    """kB, with a share only of what several processes have in common."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("Pss:")), 0)


def peak(process: subprocess.Popen[bytes]) -> int:
    """The most that it had at any moment, in MB; waits for its end."""
    most, limit = 0, time.monotonic() + 200
    while process.poll() is None:
        assert time.monotonic() < limit
        most = max(most, sum(map(resident, processes(process.pid))))
        time.sleep(0.02)
    return most >> 10


@pytest.fixture(scope="module")
def name(minidock_home, start_registry, tmp_path_factory) -> Iterator[str]:
    """A large image, here and in a registry."""
    registry = start_registry(tmp_path_factory.mktemp("registry"))
    image = "busybox"
    for number in range(LAYERS):
        command = f"head -c {SIZE} /dev/urandom > /part{number}"
        minidock_home.ok("run", "--name", "maker", image, "sh", "-c", command)
        image = f"{registry.address}/large" if number == LAYERS - 1 else f"stage{number}"
        minidock_home.ok("commit", "maker", image)
        minidock_home.ok("rm", "maker")
    yield image
    minidock_home("rmi", "-f", image, *(f"stage{number}" for number in range(LAYERS - 1)))


def leaves_a_sound_store(minidock, words: tuple[str, ...], begun: Callable[[], bool]) -> None:
    process = minidock.popen(*words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    limit = time.monotonic() + 60
    while not begun() and process.poll() is None:
        assert time.monotonic() < limit
        time.sleep(0.002)
    process.send_signal(signal.SIGINT)
    began = time.monotonic()
    assert process.wait(30) in (130, 0), "0 where it was faster than we"
    assert time.monotonic() - began < 5
    minidock.ok("image", "prune", "-f")
    check = minidock("system", "check")
    assert check.returncode == 0, check.stdout


@pytest.mark.slow
def test_journeys(minidock, name: str, tmp_path: Path) -> None:
    saved = tmp_path / "saved.tar"
    layers = minidock.root / "layers/new"
    stages = [f"stage{number}" for number in range(LAYERS - 1)]

    def small(*words: str) -> None:
        process = minidock.popen(*words, stdout=subprocess.DEVNULL)
        most = peak(process)
        assert process.returncode == 0
        print(words[0], most, "MB")
        assert most < MOST, words

    def after(seconds: float) -> Callable[[], bool]:
        end = time.monotonic() + seconds
        return lambda: time.monotonic() > end

    leaves_a_sound_store(minidock, ("push", name), after(1))
    small("push", name)
    leaves_a_sound_store(minidock, ("save", "-o", str(saved), name), after(0.3))
    small("save", "-o", str(saved), name)
    minidock.ok("rmi", name, *stages)
    leaves_a_sound_store(
        minidock, ("load", "-i", str(saved)), lambda: layers.is_dir() and any(layers.iterdir())
    )
    small("load", "-i", str(saved))
    minidock.ok("rmi", name)
    leaves_a_sound_store(
        minidock, ("pull", name), lambda: layers.is_dir() and any(layers.iterdir())
    )
    small("pull", name)
    small("import", str(saved), "imported")
    minidock.ok("rmi", "imported")
    assert (
        minidock.ok("run", "--rm", name, "sh", "-c", "cat /part* | wc -c") == f"{LAYERS * SIZE}\n"
    )
