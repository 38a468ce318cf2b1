"""When a container has ended, or could not be started: what the monitor asks the kernel, and what
it clears away that the kernel does not.

The cgroup packages know all this better, and are not loaded here: a monitor stays small.

See: cgroups(7), wait(2), proc_pid_stat(5)
"""

from __future__ import annotations

import os
import select


def kill_children() -> None:
    """All of them: they are not waited for yet, so their numbers are their own. proc_pid_stat(5)"""
    parent = str(os.getpid())
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat", encoding="ascii", errors="replace") as file:
                    fields = file.read().rpartition(")")[2].split()
            except (FileNotFoundError, ProcessLookupError):
                continue
            if fields[1] == parent:
                os.kill(int(name), 9)


def reap_all() -> None:
    """A failed start killed what it had begun; in a PID namespace that lives on (that of an
    `exec`) it would stay as a zombie."""
    while True:
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            return


def oom_kills(cgroup: str) -> int:
    """How often the kernel killed a process in there for want of memory; 0 where this hierarchy
    does not control memory. cgroup-v2: memory.events, cgroup-v1: memory.oom_control"""
    for name in ("memory.events", "memory.oom_control"):
        try:
            with open(f"{cgroup}/{name}", "rb") as file:
                lines = file.read().splitlines()
        except FileNotFoundError:
            continue
        except OSError:
            return 0
        return sum(int(line.split()[1]) for line in lines if line.startswith(b"oom_kill "))
    return 0


def remove_cgroup(path: str) -> bool:
    """rmdir, with what the container made below, for as long as the kernel still takes the last
    process out (some milliseconds). False when somebody stays in there."""
    for pause in (0.0, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1):
        select.select([], [], [], pause)
        try:
            os.rmdir(path)
            return True
        except FileNotFoundError:
            return True
        except OSError:
            pass
        for below, _, _ in os.walk(path, topdown=False):
            try:
                os.rmdir(below)
            except OSError:
                continue
    return not os.path.isdir(path)
