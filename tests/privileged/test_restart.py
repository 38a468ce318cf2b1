"""What ends is started again, as its policy says, by its own monitor."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable

import pytest


def wait_until(true: Callable[[], bool], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it does not come true"
        time.sleep(0.02)


def look(minidock, name: str, what: str) -> str:
    return minidock.ok("inspect", "-f", what, name).strip()


def status(minidock, name: str) -> str:
    return look(minidock, name, "{{.State.Status}}")


def count(minidock, name: str) -> int:
    return int(look(minidock, name, "{{.RestartCount}}"))


def test_on_failure_twice_and_then_it_has_ended(minidock) -> None:
    done = minidock(
        "run", "--restart", "on-failure:2", "--name", "failing", "busybox",
        "sh", "-c", "echo hello; exit 3",
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (3, "hello\n")  # of the first time
    wait_until(lambda: status(minidock, "failing") == "exited")
    assert count(minidock, "failing") == 2
    assert minidock.ok("logs", "failing") == "hello\n" * 3
    assert look(minidock, "failing", "{{.State.ExitCode}}") == "3"
    policy = json.loads(look(minidock, "failing", "{{json .HostConfig.RestartPolicy}}"))
    assert policy == {"Name": "on-failure", "MaximumRetryCount": 2}
    minidock("start", "failing")
    wait_until(lambda: count(minidock, "failing") < 2)  # a user's start counts anew


def test_success_is_no_failure(minidock) -> None:
    minidock.ok("run", "--restart", "on-failure", "--name", "fine", "busybox", "true")
    time.sleep(0.3)
    assert (status(minidock, "fine"), count(minidock, "fine")) == ("exited", 0)


def test_always_until_somebody_stops_it(minidock) -> None:
    name = minidock.ok("run", "-d", "--restart", "always", "busybox", "true").strip()
    # The sixth pause is of 3.2 seconds: time enough to ask.
    wait_until(lambda: count(minidock, name) >= 6 and status(minidock, name) == "restarting", 60)
    line = minidock.ok("ps", "--format", "{{.State}} {{.Status}}").strip()
    assert line.startswith("restarting Restarting (0) ")
    assert line.endswith(" ago")
    state = json.loads(look(minidock, name, "{{json .State}}"))
    assert (state["Running"], state["Restarting"], state["Pid"]) == (True, True, 0)

    for words, message in (
        (("rm", name), "cannot remove container"),
        (("exec", name, "true"), f"Container {name} is restarting, wait until the container"),
        (("attach", name), "You cannot attach to a restarting container, wait until it is running"),
    ):
        done = minidock(*words)
        assert done.returncode == 1
        assert message in done.stderr
    assert minidock.ok("start", name).strip() == name  # it counts as running

    begin = time.monotonic()
    minidock.ok("stop", name)
    assert time.monotonic() - begin < 3
    restarts = count(minidock, name)
    time.sleep(4)
    assert (status(minidock, name), count(minidock, name)) == ("exited", restarts)


def test_wait_hears_of_the_next_end_only(minidock) -> None:
    name = minidock.ok(
        "run", "-d", "--restart", "always", "busybox", "sh", "-c", "sleep 0.4; exit 7"
    ).strip()
    assert minidock.ok("wait", name) == "7\n"
    wait_until(lambda: status(minidock, name) == "running")


@pytest.mark.parametrize("how", [("stop", "-t", "0"), ("kill",), ("kill", "-s", "TERM")])
def test_what_a_user_ended_stays_so(minidock, how: tuple[str, ...]) -> None:
    program = "trap 'exit 5' TERM; while :; do sleep 0.05; done"
    name = minidock.ok("run", "-d", "--restart", "always", "busybox", "sh", "-c", program).strip()
    minidock.ok(*how, name)
    wait_until(lambda: status(minidock, name) == "exited")
    time.sleep(0.3)
    assert (status(minidock, name), count(minidock, name)) == ("exited", 0)


def test_what_the_host_killed_is_restarted(minidock) -> None:
    name = minidock.ok("run", "-d", "--restart", "unless-stopped", "busybox", "sleep", "100")
    name = name.strip()
    first = int(look(minidock, name, "{{.State.Pid}}"))
    os.kill(first, signal.SIGKILL)
    wait_until(lambda: count(minidock, name) == 1 and status(minidock, name) == "running")
    assert int(look(minidock, name, "{{.State.Pid}}")) != first
    assert minidock.ok("exec", name, "echo", "well") == "well\n"


def test_ctrl_c_on_an_attached_run_ends_it_for_good(minidock) -> None:
    run = minidock.popen(
        "run", "--restart", "always", "--name", "attached", "--init", "busybox", "sleep", "100",
        stdout=subprocess.DEVNULL,
    )  # fmt: skip
    wait_until(lambda: minidock.ok("ps", "-q") != "")
    time.sleep(0.2)
    run.send_signal(signal.SIGINT)
    assert run.wait(20) == 130
    time.sleep(0.3)
    assert (status(minidock, "attached"), count(minidock, "attached")) == ("exited", 0)


def test_restart_of_a_restarting_one(minidock) -> None:
    name = minidock.ok("run", "-d", "--restart", "always", "busybox", "false").strip()
    wait_until(lambda: status(minidock, name) == "restarting" and count(minidock, name) >= 3)
    minidock.ok("restart", name)
    assert count(minidock, name) < 3


def test_with_a_terminal(minidock) -> None:
    name = minidock.ok(
        "run", "-dt", "--restart", "on-failure:1", "busybox", "sh", "-c", "tty; exit 1"
    ).strip()
    wait_until(lambda: status(minidock, name) == "exited")
    assert minidock.ok("logs", name).split() == ["/dev/pts/0", "/dev/pts/0"]


def test_a_restarting_one_whose_monitor_was_killed_has_ended(minidock) -> None:
    name = minidock.ok("run", "-d", "--restart", "always", "busybox", "sh", "-c", "exit 4").strip()
    wait_until(lambda: status(minidock, name) == "restarting" and count(minidock, name) >= 3)
    started = json.loads((minidock.directory(name) / "started.json").read_text())
    os.kill(started["MonitorPid"], signal.SIGKILL)
    wait_until(lambda: status(minidock, name) == "exited")
    assert look(minidock, name, "{{.State.ExitCode}}") == "4"
    minidock.ok("start", name)  # there is nobody else to do it


def test_a_restart_that_cannot_start_ends_it(minidock) -> None:
    name = minidock.ok(
        "run", "-d", "--restart", "always", "busybox", "sh", "-c", "rm /bin/sh; exit 1"
    ).strip()
    wait_until(lambda: status(minidock, name) == "exited")
    state = json.loads(look(minidock, name, "{{json .State}}"))
    assert (state["ExitCode"], count(minidock, name)) == (127, 1)
    assert "executable file not found" in state["Error"]


def test_who_was_killed_for_want_of_memory(minidock) -> None:
    done = minidock("run", "--name", "greedy", "-m", "20m", "busybox", "tail", "/dev/zero")
    assert done.returncode == 137
    told = "{{.State.OOMKilled}} {{.State.ExitCode}}"
    assert look(minidock, "greedy", told) == "true 137"
    name = minidock.ok("run", "-d", "-m", "20m", "busybox", "sleep", "100").strip()
    minidock.ok("kill", name)
    wait_until(lambda: status(minidock, name) == "exited")
    assert look(minidock, name, told) == "false 137"
