"""A kill for want of memory is told when it happens, also where the container lives on."""

from __future__ import annotations

import time
from typing import Any

EATS = "x=$(yes | head -c 100000000)"


def told(minidock: Any, container_id: str) -> list[str]:
    until = f"{time.time():.9f}"
    container = f"container={container_id.strip()}"
    form = "{{.Action}}"
    return minidock.ok(
        "events", "--since", "1h", "--until", until, "-f", container, "--format", form
    ).split()


def wait_for(minidock: Any, container_id: str, action: str) -> list[str]:
    limit = time.monotonic() + 20
    while action not in (actions := told(minidock, container_id)):
        assert time.monotonic() < limit
        time.sleep(0.1)
    return actions


def test_a_process_beside_init(minidock: Any) -> None:
    script = f"sh -c '{EATS}'; sleep 1000"
    name = minidock.ok("run", "-d", "-m", "8m", "busybox", "sh", "-c", script)
    wait_for(minidock, name, "oom")
    assert minidock.ok("ps", "-q", "-f", f"id={name.strip()}")  # it lives
    minidock.ok("kill", name.strip())
    actions = wait_for(minidock, name, "die")
    assert actions.index("start") < actions.index("oom") < actions.index("kill")
    assert actions[-1] == "die"  # and nothing was told of the cgroup's end
    assert minidock.ok("inspect", "-f", "{{.State.OOMKilled}}", name.strip()) == "true\n"


def test_init_itself(minidock: Any) -> None:
    name = minidock.ok("create", "-m", "8m", "busybox", "sh", "-c", EATS)
    minidock("start", "-a", name.strip())
    actions = told(minidock, name)
    assert actions.count("oom") >= 1
    assert actions[-1] == "die"


def test_where_there_is_no_limit(minidock: Any) -> None:
    name = minidock.ok("create", "busybox", "true")
    minidock.ok("start", "-a", name.strip())
    assert "die" in told(minidock, name)
    assert "oom" not in told(minidock, name)
