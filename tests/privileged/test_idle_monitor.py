"""A monitor with nothing to do gives its memory back, and still does its work."""

from __future__ import annotations

import json
import time
from pathlib import Path


def _kilobytes(pid: int, field: str) -> int:
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1])
    raise AssertionError(field)


def test_after_a_second_an_idle_monitor_is_small_and_awake(minidock) -> None:
    program = "echo ready; sleep 100"
    name = minidock.ok("run", "-d", "busybox", "sh", "-c", program).strip()
    started = json.loads((minidock.directory(name) / "started.json").read_text())
    monitor = started["MonitorPid"]
    rss = _kilobytes(monitor, "Rss")
    deadline = time.monotonic() + 20
    while _kilobytes(monitor, "Rss") > rss * 0.8:
        assert time.monotonic() < deadline, f"still {_kilobytes(monitor, 'Rss')} of {rss} KB"
        time.sleep(0.1)
    assert minidock.ok("exec", name, "echo", "hello") == "hello\n"
    assert minidock.ok("logs", name) == "ready\n"
    assert minidock.ok("stop", "-t", "0", name) == f"{name}\n"
    assert minidock.ok("inspect", "-f", "{{.State.ExitCode}}", name) == "137\n"
