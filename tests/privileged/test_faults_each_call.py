"""SIGKILL at any system call, of any process of a command, leaves nothing that lies or leaks.

kill_at.py follows a command's processes and kills one of them at its N-th call. Tried once, by
hand, were all of them; here each run tries a few, chosen by a seed that is printed when one fails
(MINIDOCK_FAULT_SEED repeats it, MINIDOCK_FAULT_SAMPLE says how many of each).

Afterwards `ps` must tell the truth, `rm -f` must remove what is left, the next command must work,
and then no mount, cgroup, directory, name or process may be left.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

KILL_AT = Path(__file__).with_name("kill_at.py")
SEED = int(os.environ.get("MINIDOCK_FAULT_SEED") or random.SystemRandom().randrange(1 << 32))
SAMPLE = int(os.environ.get("MINIDOCK_FAULT_SAMPLE") or 1)
NAME = "fault"
PROGRAM = "3219"  # what it sleeps, to be found in /proc
RUN = ("run", "-d", "--name", NAME)
CHECK = ("--health-cmd", "true", "--health-interval", "50ms")

UP = (*RUN, "busybox", "sleep", PROGRAM)
NOTHING: tuple[tuple[str, ...], ...] = ()
SHOP = (("network", "rm", "-f", "shop"), ("network", "create", "shop"))

# what is there before, the command, and whose calls are counted: the command's (""), those of its
# n-th child, or ("monitor…") those of the monitor that is there already, and of its children
CASES = [
    pytest.param(before, words, role, id=f"{words[0]} {role or 'command'}")
    for before, words, roles in (
        (NOTHING, (*RUN, "busybox", "sleep", "0.1"), ("", "0", "0.0", "0.0.0", "0.0.0.0")),
        (NOTHING, ("run", "--rm", "--name", NAME, "busybox", "true"), ("0", "0.0")),
        (NOTHING, ("run", *CHECK, "--name", NAME, "busybox", "sleep", "0.3"), ("0", "0.1")),
        (SHOP, (*RUN, "--network", "shop", "busybox", "sleep", "0.1"), ("0", "0.0", "0.0.0.0")),
        (NOTHING, (*RUN, "--restart", "on-failure:1", "busybox", "false"), ("0",)),
        ((UP,), ("exec", NAME, "true"), ("", "monitor", "monitor.0", "monitor.0.0")),
        ((UP,), ("stop", "-t", "0", NAME), ("", "monitor")),
        ((UP,), ("rm", "-f", NAME), ("", "monitor")),
        ((UP,), ("commit", NAME, "fault-image"), ("", "0")),
        ((UP,), ("pause", NAME), ("",)),
        ((UP, ("pause", NAME)), ("unpause", NAME), ("",)),
        ((UP, ("kill", NAME)), ("start", NAME), ("", "0")),
    )
    for role in roles
]  # fmt: skip


def traced(minidock, words: tuple[str, ...], role: str, at: int) -> int:
    """Run `words`; kill who has `role` at its call number `at` (0: nobody). How many there were."""
    seize: list[str] = []
    if role.startswith("monitor"):
        role = role.removeprefix("monitor").removeprefix(".")
        (started,) = (minidock.root / "containers").glob("*/started.json")
        seize = [str(json.loads(started.read_text())["MonitorPid"])]
    done = subprocess.run(
        [sys.executable, str(KILL_AT), role, str(at), *seize, "--", *minidock.argv, *words],
        env=minidock.env,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert "Traceback" not in done.stderr + done.stdout
    return int(done.stderr.splitlines()[-1].split()[0])


def tell_the_truth(minidock) -> list[str]:
    """Ask for every container; what is said to run does. Their ids."""
    listed = minidock.ok("ps", "-a", "--no-trunc", "--format", "{{.ID}} {{.Names}} {{.State}}")
    ids = []
    for line in listed.splitlines():
        container_id, name, state = line.split()
        assert name == NAME
        assert state in ("created", "running", "paused", "restarting", "exited")
        minidock.ok("inspect", name)  # it is found by its name, too
        if state in ("running", "paused"):
            pid = minidock.ok("inspect", "-f", "{{.State.Pid}}", container_id).strip()
            # 0, or gone: it may have ended while we looked, and then that is what is said now.
            if pid == "0" or not Path(f"/proc/{pid}").exists():
                now = minidock.ok("inspect", "-f", "{{.State.Pid}}", container_id).strip()
                assert now != pid or pid == "0"
        ids.append(container_id)
    return ids


def left_below(minidock) -> set[str]:
    found = {
        f"{directory.name}/{entry.name}"
        for directory in (minidock.root / "containers", minidock.root / "names", minidock.run_root)
        for entry in directory.iterdir()
    }
    # What has happened may be known, and networks go on; addresses must have been given back.
    found -= {"run/events", "run/networks"}
    leases = (minidock.run_root / "networks").glob("*/[!.]*")
    found |= {f"lease {path.name}" for path in leases}
    found |= {str(path) for path in minidock.root.rglob("*.tmp")}
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if PROGRAM.encode() in path.read_bytes().split(b"\0"):
                found.add(f"process {path.parent.name}")
        except OSError:
            continue
    return found


def until_empty(look: Callable[[], set[str]]) -> set[str]:
    for _ in range(30):
        found = look()
        if not found:
            break
        time.sleep(0.1)
    return found


@pytest.mark.parametrize(("before", "words", "role"), CASES)
def test_killed_at_a_call(
    minidock, before: tuple[tuple[str, ...], ...], words: tuple[str, ...], role: str
) -> None:
    def once(at: int) -> int:
        for command in before:
            minidock.ok(*command)
        calls = traced(minidock, words, role, at)
        ids = tell_the_truth(minidock)
        if ids:
            minidock.ok("rm", "-f", *ids)
        assert minidock.ok("run", "--rm", "busybox", "echo", "well") == "well\n"
        assert until_empty(lambda: left_below(minidock)) == set()
        if words[0] == "commit":
            minidock("rmi", "fault-image")
        return calls

    calls = once(0)
    assert calls > 5, "nobody has this role"
    for at in random.Random(f"{SEED} {words} {role}").sample(range(1, calls + 1), SAMPLE):
        try:
            once(at)
        except (AssertionError, subprocess.TimeoutExpired) as error:
            error.add_note(f"killed at call {at} of {calls}; MINIDOCK_FAULT_SEED={SEED}")
            raise
