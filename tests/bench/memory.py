"""Which processes stay on the host for one container, and how much memory they take.

Every engine leaves somebody behind who waits for the container's first process: Docker a
containerd-shim, podman a conmon, minidock a monitor. Whoever it is, the kernel knows: it is the
parent of that first process. It counts with all its other children.

PSS (proportional set size) is the fair figure where several such processes share pages: each page
is divided by the number of processes that map it. It flatters a program whose pages happen to be
mapped by something unrelated, so RSS, which counts every page in full, is shown beside it.

See: proc_pid_smaps(5), proc_pid_status(5)
"""

from __future__ import annotations

import os

import commands


def keepers(init: int) -> list[int]:
    """The PIDs on the host that exist for the container whose first process is `init`.

    Raises commands.Failed if there is no such process or nobody of its own looks after it.
    """
    parents = _parents()
    if parents.get(init, 1) == 1:
        raise commands.Failed(f"process {init} has no keeper")
    found = [parents[init]]
    for pid in found:  # grows while we walk it
        found += [child for child, parent in parents.items() if parent == pid and child != init]
    return found


def megabytes(pid: int, field: str) -> float:
    """`Pss` or `Rss` of one process in MB (10⁶ bytes); raises commands.Failed if it has gone."""
    try:
        with open(f"/proc/{pid}/smaps_rollup") as file:
            for line in file:
                if line.startswith(f"{field}:"):
                    return int(line.split()[1]) * 1024 / 1e6
    except OSError as error:
        raise commands.Failed(f"/proc/{pid}/smaps_rollup: {error.strerror}") from error
    raise commands.Failed(f"/proc/{pid}/smaps_rollup has no {field}")


def _parents() -> dict[int, int]:
    """PID → PID of its parent, for every process."""
    parents = {}
    for name in os.listdir("/proc"):
        if name.isdecimal():
            try:
                with open(f"/proc/{name}/stat", errors="replace") as file:
                    # The second field is the program's name in parentheses, which may hold any.
                    parents[int(name)] = int(file.read().rpartition(")")[2].split()[1])
            except OSError:
                continue  # it ended while we looked
    return parents
