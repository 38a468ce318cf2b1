"""SIGKILL at any moment leaves a machine that heals itself."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest


def descendants(pid: int) -> set[int]:
    """Of a command: its monitor and launcher, and what these started."""
    parents = {}
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = entry.read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        parents[int(entry.parent.name)] = int(fields[1])
    found = {pid}
    while more := {child for child, parent in parents.items() if parent in found} - found:
        found |= more
    return found - {pid}


def kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


@pytest.mark.parametrize("victim", ["command", "monitor and launcher", "all"])
@pytest.mark.parametrize("flags", [("-d",), ("--rm",)])
def test_killed_while_starting(minidock, victim: str, flags: tuple[str, ...]) -> None:
    for step in range(12):
        process = minidock.popen(
            "run",
            *flags,
            "busybox",
            "sleep",
            "0.2",
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        time.sleep(0.02 + 0.006 * step)
        if victim != "command":
            for pid in descendants(process.pid):
                kill(pid)
        if victim != "monitor and launcher":
            process.kill()
        process.wait(20)
    time.sleep(0.5)
    # What is left tells the truth, and goes.
    for line in minidock.ok("ps", "-a", "--format", "{{.ID}} {{.State}}").splitlines():
        assert line.split()[1] in ("created", "exited"), line
    ids = minidock.ok("ps", "-aq").split()
    if ids:
        minidock.ok("rm", *ids)
    assert minidock.ok("run", "--rm", "busybox", "echo", "well") == "well\n"


def test_leftovers_of_a_killed_create_go_with_the_next(minidock) -> None:
    half = minidock.root / "containers" / ("f" * 64)
    half.mkdir(parents=True)
    (half / "upper").mkdir()
    going = minidock.root / "containers" / ("e" * 64 + ".removing")
    (going / "upper" / "deep").mkdir(parents=True)
    minidock.ok("run", "--rm", "busybox", "true")
    assert not half.exists()
    assert not going.exists()


def test_a_container_to_be_removed_whose_monitor_died_goes_with_the_next(minidock) -> None:
    name = minidock.ok("run", "-d", "--rm", "busybox", "sleep", "100").strip()
    directory = minidock.directory(name)
    kill(json.loads((directory / "started.json").read_text())["MonitorPid"])
    time.sleep(0.3)
    minidock.ok("run", "--rm", "busybox", "true")
    assert not directory.exists()


def test_concurrent_removals_do_not_trip_over_each_other(minidock) -> None:
    name = minidock.ok("run", "-d", "busybox", "sleep", "100").strip()
    removing = [minidock.popen("rm", "-f", name, stderr=subprocess.PIPE) for _ in range(6)]
    errors = b"".join(process.communicate(timeout=60)[1] for process in removing)
    assert b"Traceback" not in errors
    assert not minidock.directory(name).exists()


def test_the_same_name_is_given_once(minidock) -> None:
    racing = [
        minidock.popen("create", "--name", "one", "busybox", "true", stdout=subprocess.DEVNULL,
                       stderr=subprocess.DEVNULL)
        for _ in range(8)
    ]  # fmt: skip
    assert sorted(process.wait(60) for process in racing) == [0] + [1] * 7
