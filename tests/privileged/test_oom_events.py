"""A kill for want of memory is told when it happens, also where the container lives on."""

from __future__ import annotations

import time
from typing import Any

EATS = "x=$(yes | head -c 100000000)"


def told(minidock: Any, name: str) -> list[str]:
    until = f"{time.time():.9f}"
    form = "{{.Action}}"
    return minidock.ok(
        "events", "--since", "1h", "--until", until, "-f", f"container={name}", "--format", form
    ).split()


def test_a_process_beside_init(minidock: Any) -> None:
    script = f"sh -c '{EATS}'; sleep 1000"
    minidock.ok("run", "-d", "--name", "hungry", "-m", "8m", "busybox", "sh", "-c", script)
    limit = time.monotonic() + 20
    while "oom" not in told(minidock, "hungry"):
        assert time.monotonic() < limit
        time.sleep(0.1)
    assert minidock.ok("ps", "-q", "-f", "name=hungry")  # it lives
    minidock.ok("kill", "hungry")
    actions = told(minidock, "hungry")
    assert actions.index("start") < actions.index("oom") < actions.index("kill")
    assert actions[-1] == "die"  # and nothing was told of the cgroup's end
    assert minidock.ok("inspect", "-f", "{{.State.OOMKilled}}", "hungry") == "true\n"


def test_init_itself(minidock: Any) -> None:
    minidock("run", "--name", "hungry", "-m", "8m", "busybox", "sh", "-c", EATS)
    actions = told(minidock, "hungry")
    assert actions.count("oom") >= 1
    assert actions[-1] == "die"


def test_where_there_is_no_limit(minidock: Any) -> None:
    minidock.ok("run", "--rm", "--name", "modest", "busybox", "true")
    assert "oom" not in told(minidock, "modest")
