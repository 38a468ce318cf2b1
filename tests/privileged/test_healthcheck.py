"""A container is asked how it is, from inside, for as long as it runs."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any


def wait_until(true: Callable[[], bool], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it does not come true"
        time.sleep(0.05)


def health(minidock, name: str) -> Any:
    return json.loads(minidock.ok("inspect", "-f", "{{json .State.Health}}", name))


def run(minidock, *words: str) -> str:
    flags = ("--health-interval", "200ms", "--health-retries", "2")
    return minidock.ok("run", "-d", *flags, *words).strip()


def test_healthy_until_it_fails_twice(minidock) -> None:
    check = "echo out; echo err >&2; test ! -e /bad"
    name = run(minidock, "--health-cmd", check, "busybox", "sleep", "100")
    assert minidock.ok("ps", "--format", "{{.Status}}").endswith(" (health: starting)\n")
    assert health(minidock, name) == {"Status": "starting", "FailingStreak": 0, "Log": []}
    wait_until(lambda: health(minidock, name)["Status"] == "healthy")
    assert minidock.ok("ps", "--format", "{{.Status}}").endswith(" (healthy)\n")
    assert minidock.ok("ps", "-q", "--no-trunc", "--filter", "health=healthy").strip() == name
    assert minidock.ok("ps", "-q", "--filter", "health=none") == ""

    minidock.ok("exec", name, "touch", "/bad")
    wait_until(lambda: health(minidock, name)["Status"] == "unhealthy")
    assert minidock.ok("ps", "--format", "{{.Status}}").endswith(" (unhealthy)\n")
    found = health(minidock, name)
    assert found["FailingStreak"] >= 2
    last = found["Log"][-1]
    assert list(last) == ["Start", "End", "ExitCode", "Output"]
    assert last["ExitCode"] == 1
    assert sorted(last["Output"].split()) == ["err", "out"]
    assert last["Start"] < last["End"]
    minidock.ok("exec", name, "rm", "/bad")
    wait_until(lambda: health(minidock, name)["Status"] == "healthy")
    assert len(health(minidock, name)["Log"]) <= 5


def test_after_the_end_nobody_asks(minidock) -> None:
    name = run(minidock, "--health-cmd", "true", "busybox", "sleep", "100")
    wait_until(lambda: health(minidock, name)["Status"] == "healthy")
    minidock.ok("stop", "-t", "0", name)
    ended = health(minidock, name)
    assert ended["Status"] == "unhealthy"
    time.sleep(0.5)
    assert health(minidock, name) == ended
    minidock.ok("start", name)
    again = health(minidock, name)
    assert (again["Status"], again["Log"]) == ("starting", ended["Log"])


def test_a_check_that_takes_too_long_is_killed(minidock) -> None:
    check = "echo begun; exec sleep 3218"
    name = run(
        minidock, "--health-cmd", check, "--health-timeout", "200ms", "busybox", "sleep", "9"
    )
    wait_until(lambda: bool(health(minidock, name)["Log"]))
    result = health(minidock, name)["Log"][0]
    assert result["ExitCode"] == -1
    assert result["Output"] == "Health check exceeded timeout (200ms): begun\n"
    minidock.ok("rm", "-f", name)
    asleep = [
        path
        for path in Path("/proc").glob("[0-9]*/cmdline")
        if b"3218" in _read(path) and b"sleep" in _read(path)
    ]
    assert not asleep


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


def test_no_more_than_so_much_output(minidock) -> None:
    name = run(minidock, "--health-cmd", "yes | head -c 9000", "busybox", "sleep", "100")
    wait_until(lambda: bool(health(minidock, name)["Log"]))
    output = health(minidock, name)["Log"][0]["Output"]
    assert output == "y\n" * 2048 + "..."


def test_a_program_that_is_not_there(minidock, root_tarball: bytes) -> None:
    minidock.ok(
        "import", "-c", 'HEALTHCHECK --interval=100ms --retries=1 CMD ["nonesuch"]', "-", "checked",
        stdin=root_tarball,
    )  # fmt: skip
    try:
        name = minidock.ok("run", "-d", "checked", "sleep", "100").strip()
        wait_until(lambda: health(minidock, name)["Status"] == "unhealthy")
        result = health(minidock, name)["Log"][0]
        assert result["ExitCode"] == -1
        assert '"nonesuch": executable file not found in $PATH' in result["Output"]

        silent = minidock.ok("run", "-d", "--no-healthcheck", "checked", "sleep", "100").strip()
        assert health(minidock, silent) is None
        assert minidock.ok("ps", "-q", "--filter", "health=none").strip() == silent[:12]
        minidock.ok("rm", "-f", name, silent)
    finally:
        minidock.ok("rmi", "checked")


def test_a_prober_that_is_killed_counts_for_nothing(minidock) -> None:
    name = run(minidock, "--health-cmd", "sleep 0.3", "busybox", "sleep", "100")
    started = json.loads((minidock.directory(name) / "started.json").read_text())
    monitor = started["MonitorPid"]
    killed = 0
    deadline = time.monotonic() + 5
    while killed < 2 and time.monotonic() < deadline:
        for child in _children(monitor) - {started["Pid"]}:
            os.kill(child, signal.SIGKILL)
            killed += 1
        time.sleep(0.01)
    assert killed
    wait_until(lambda: health(minidock, name)["Status"] == "healthy")


def _children(pid: int) -> set[int]:
    found = set()
    for path in Path("/proc").glob("[0-9]*/stat"):
        fields = _read(path).rpartition(b")")[2].split()
        if fields and int(fields[1]) == pid:
            found.add(int(path.parent.name))
    return found
