"""The facts about a machine without which a figure means nothing."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from datetime import UTC, datetime


def machine() -> dict[str, str]:
    """Name → value, in the order in which they are worth reading."""
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "processor": f"{os.cpu_count()} × {_processor()}",
        "memory": f"{_memory() / 1e9:.1f} GB",
        "load": f"{os.getloadavg()[0]:.2f} when we began (anything near 1 spoils the figures)",
        "kernel": platform.release(),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "cgroups": _cgroups(),
    }


def _processor() -> str:
    with open("/proc/cpuinfo", errors="replace") as file:
        for line in file:
            if line.startswith(("model name", "Model", "cpu model")):
                return line.partition(":")[2].strip()
    return platform.machine()


def _memory() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _cgroups() -> str:
    kinds = {kind for _, kind in _mounts() if kind.startswith("cgroup")}
    if kinds == {"cgroup2"}:
        return "v2"
    return "v1 and v2 (hybrid)" if "cgroup2" in kinds else "v1" if kinds else "none mounted"


def _mounts() -> Iterator[tuple[str, str]]:
    with open("/proc/self/mounts", errors="replace") as file:
        for line in file:
            _, where, kind, *_ = line.split()
            yield where, kind
