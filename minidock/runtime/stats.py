"""What `oci events` prints of a container's use: runc's document, which containerd and others read.

See: https://github.com/opencontainers/runc/blob/main/types/events.go
"""

from __future__ import annotations

from minidock.isolation.cgroups.stats import stats

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from minidock.isolation.cgroups.common import Cgroup
    from minidock.isolation.cgroups.stats import CPUStats, DeviceIO, MemoryStats

_NO_LIMIT = (1 << 63) - 1


def stats_document(cgroup: Cgroup) -> dict[str, Any]:
    """`data` of an event of type "stats": times in nanoseconds, sizes in bytes. Raises
    `FileNotFoundError` when the cgroup is gone."""
    found = stats(cgroup)
    pids: dict[str, int] = {}
    if found.pids:
        pids["current"] = found.pids.current
        if found.pids.limit is not None:
            pids["limit"] = found.pids.limit
    return {
        "cpu": _cpu(found.cpu) if found.cpu else {},
        "cpuset": {},
        "memory": _memory(found.memory) if found.memory else {},
        "pids": pids,
        "blkio": _block_io(found.block_io or ()),
        "hugetlb": {
            page.page_size: {
                "usage": page.usage,
                "max": page.max_usage,
                "failcnt": page.failures,
            }
            for page in found.hugepages
        },
        "intel_rdt": {},
        "network_interfaces": None,
    }


def _cpu(cpu: CPUStats) -> dict[str, Any]:
    usage: dict[str, Any] = {"total": cpu.total, "kernel": cpu.system, "user": cpu.user}
    if cpu.per_cpu:
        usage["percpu"] = list(cpu.per_cpu)
    throttling = {
        "periods": cpu.periods,
        "throttledPeriods": cpu.throttled_periods,
        "throttledTime": cpu.throttled_time,
    }
    return {"usage": usage, "throttling": {k: v for k, v in throttling.items() if v}}


def _memory(memory: MemoryStats) -> dict[str, Any]:
    def entry(limit: int | None, usage: int, most: int, failures: int) -> dict[str, int]:
        bound = _NO_LIMIT if limit is None else limit
        return {"limit": bound, "usage": usage, "max": most, "failcnt": failures}

    swap = entry(memory.swap_limit, memory.usage + memory.swap, 0, 0)
    return {
        "cache": memory.cache,
        "usage": entry(memory.limit, memory.usage, memory.max_usage, memory.failures),
        "swap": swap,
        "kernel": entry(None, memory.kernel, 0, 0),
        "raw": dict(memory.details),
    }


def _block_io(devices: tuple[DeviceIO, ...]) -> dict[str, Any]:
    def entries(reads: str, writes: str) -> list[dict[str, Any]]:
        return [
            {"major": d.major, "minor": d.minor, "op": op, "value": getattr(d, field)}
            for d in devices
            for op, field in (("Read", reads), ("Write", writes))
        ]

    if not devices:
        return {}
    return {
        "ioServiceBytesRecursive": entries("read_bytes", "write_bytes"),
        "ioServicedRecursive": entries("reads", "writes"),
    }
