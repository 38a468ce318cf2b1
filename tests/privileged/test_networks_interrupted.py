"""`network connect` and `disconnect`, killed at one call after the other."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

KILL_AT = Path(__file__).with_name("kill_at.py")


def killed_at(minidock, at: int, *command: str) -> tuple[int, bool, int]:
    """How many calls the command made, whether it was killed, its exit code."""
    argv = [sys.executable, str(KILL_AT), "", str(at), "--", *minidock.argv, *command]
    done = subprocess.run(
        argv, env=minidock.env, capture_output=True, text=True, timeout=60, check=False
    )
    calls, killed, code = done.stderr.split()[-3:]
    return int(calls), bool(int(killed)), int(code)


def on(minidock, network: str) -> list[str]:
    found = json.loads(minidock.ok("network", "inspect", network))[0]["Containers"]
    return sorted(container["Name"] for container in found.values())


def knows(minidock, name: str, other: str) -> bool:
    script = f"busybox ping -c 1 -W 1 {other}"
    return minidock("exec", name, "sh", "-c", script).returncode == 0


TAIL, STEP = 210, 52  # the last calls that a command makes, and how many between two deaths


def test_whoever_is_killed_in_between_leaves_what_can_be_done_again(minidock) -> None:
    minidock.ok("network", "create", "shop")
    minidock.ok("run", "-d", "--name", "web", "--network", "shop", "busybox", "sleep", "1000")
    minidock.ok("run", "-d", "--name", "late", "busybox", "sleep", "1000")
    for command in ("connect", "disconnect"):
        other = {"connect": "disconnect", "disconnect": "connect"}[command]
        if command == "disconnect":
            minidock.ok("network", "connect", "shop", "late")
        whole, _, code = killed_at(minidock, 0, "network", command, "shop", "late")
        assert code == 0
        minidock.ok("network", other, "shop", "late")
        for at in range(whole - TAIL, whole, STEP):
            killed_at(minidock, at, "network", command, "shop", "late")
            again = minidock("network", command, "shop", "late")
            assert again.returncode == 0 or "shop" in again.stderr, (at, again.stderr)
            connected = command == "connect"
            assert ("late" in on(minidock, "shop")) == connected, at
            assert knows(minidock, "late", "web") == connected, at
            assert knows(minidock, "web", "late") == connected, at
            minidock.ok("network", other, "shop", "late")
            assert ("late" in on(minidock, "shop")) != connected, at
            devices = minidock.ok("exec", "late", "ls", "/sys/class/net").split()
            assert len(devices) == (2 if connected else 3), (at, devices)
            hosts = minidock.ok("exec", "late", "cat", "/etc/hosts").splitlines()
            assert len(hosts) == len(set(hosts)), (at, hosts)
