"""What a container has used so far: time, memory, processes, disk.

Every controller counts. v1 has a directory for each; v2 has all files in one, counts in other
units and leaves some things out. `Stats` is what both can say, in nanoseconds and bytes; `None`
stands for a controller that this host does not have, and, as a limit, for no limit.

Two habits of Docker's that numbers are compared by: the memory "used" is `usage` without
`inactive_file`, pages of files that were read once and can go at any time; and percentages of
processor time come from two readings, so they are the caller's affair.

See: https://docs.kernel.org/admin-guide/cgroup-v1/memory.html, …/cpuacct.html,
https://docs.kernel.org/admin-guide/cgroup-v2.html,
https://docs.docker.com/reference/cli/docker/container/stats/
"""

from __future__ import annotations

import os

from minidock.isolation.cgroups.control_file import read_control
from minidock.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from minidock.isolation.cgroups.place import Cgroup

_NO_LIMIT = 1 << 62  # v1 has no word for it, but the greatest number of whole pages


class CPUStats(Record):
    """Nanoseconds of processor time; v2 has no numbers for each processor. A period is throttled
    when the quota was used up in it."""

    total: int = 0
    user: int = 0
    system: int = 0
    per_cpu: tuple[int, ...] = ()
    periods: int = 0
    throttled_periods: int = 0
    throttled_time: int = 0


class MemoryStats(Record):
    """Bytes. `cache` is files, `rss` what belongs to processes. `swap` is swap alone (on v1, the
    difference of two counters); `swap_limit` is for memory and swap together, as the specification
    has it. `details` is all of memory.stat, whose names differ between v1 and v2.
    """

    usage: int
    limit: int | None = None
    max_usage: int = 0
    failures: int = 0  # how often the limit was reached
    cache: int = 0
    rss: int = 0
    inactive_file: int = 0
    swap: int = 0
    swap_limit: int | None = None
    kernel: int = 0
    oom_kills: int = 0
    details: tuple[tuple[str, int], ...] = ()

    @property
    def used(self) -> int:
        """What Docker shows: without what the kernel could take back at once."""
        return max(self.usage - self.inactive_file, 0)


class PidsStats(Record):
    """Processes and threads."""

    current: int
    limit: int | None = None


class DeviceIO(Record):
    """What went from and to one block device."""

    major: int
    minor: int
    read_bytes: int = 0
    write_bytes: int = 0
    reads: int = 0
    writes: int = 0


class HugepageStats(Record):
    """Bytes in pages of one size, such as "2MB"."""

    page_size: str
    usage: int
    max_usage: int = 0
    failures: int = 0


class Stats(Record):
    cpu: CPUStats | None = None
    memory: MemoryStats | None = None
    pids: PidsStats | None = None
    block_io: tuple[DeviceIO, ...] | None = None
    hugepages: tuple[HugepageStats, ...] = ()


def stats(cgroup: Cgroup) -> Stats:
    """Read all that the kernel has counted for this cgroup (from `find_cgroup`).

    Raises `FileNotFoundError` when the cgroup is gone: the container has ended.
    """
    if not any(map(os.path.isdir, cgroup.directories)):
        raise FileNotFoundError(cgroup.directories[0])
    return Stats(
        cpu=_cpu(cgroup),
        memory=_memory(cgroup),
        pids=_pids(cgroup),
        block_io=_block_io(cgroup),
        hugepages=_hugepages(cgroup),
    )


# ── processor time ──


def _cpu(cgroup: Cgroup) -> CPUStats | None:
    unified = _directory(cgroup.v2_directory("cpu")) or _directory(cgroup.v2_directory("cpuacct"))
    if unified:
        found = _table(f"{unified}/cpu.stat")
        return CPUStats(
            total=found.get("usage_usec", 0) * 1000,
            user=found.get("user_usec", 0) * 1000,
            system=found.get("system_usec", 0) * 1000,
            periods=found.get("nr_periods", 0),
            throttled_periods=found.get("nr_throttled", 0),
            throttled_time=found.get("throttled_usec", 0) * 1000,
        )
    accounting = _directory(cgroup.v1_directory("cpuacct"))
    if not accounting:
        return None
    throttling = _table(f"{cgroup.v1_directory('cpu')}/cpu.stat")
    return CPUStats(
        total=_number(f"{accounting}/cpuacct.usage") or 0,
        # (cpuacct.stat would have user and system too, but in ticks of 10 ms.)
        user=_number(f"{accounting}/cpuacct.usage_user") or 0,
        system=_number(f"{accounting}/cpuacct.usage_sys") or 0,
        per_cpu=tuple(map(int, _text(f"{accounting}/cpuacct.usage_percpu").split())),
        periods=throttling.get("nr_periods", 0),
        throttled_periods=throttling.get("nr_throttled", 0),
        throttled_time=throttling.get("throttled_time", 0),
    )


# ── memory ──


def _memory(cgroup: Cgroup) -> MemoryStats | None:
    if unified := _directory(cgroup.v2_directory("memory")):
        return _memory_v2(unified)
    if directory := _directory(cgroup.v1_directory("memory")):
        return _memory_v1(directory)
    return None


def _memory_v1(directory: str) -> MemoryStats:
    details = _table(f"{directory}/memory.stat")
    usage = _number(f"{directory}/memory.usage_in_bytes") or 0
    with_swap = _number(f"{directory}/memory.memsw.usage_in_bytes")
    return MemoryStats(
        usage=usage,
        limit=_number(f"{directory}/memory.limit_in_bytes"),
        max_usage=_number(f"{directory}/memory.max_usage_in_bytes") or 0,
        failures=_number(f"{directory}/memory.failcnt") or 0,
        cache=details.get("total_cache", 0),
        rss=details.get("total_rss", 0),
        inactive_file=details.get("total_inactive_file", 0),
        swap=max(with_swap - usage, 0) if with_swap is not None else 0,
        swap_limit=_number(f"{directory}/memory.memsw.limit_in_bytes"),
        kernel=_number(f"{directory}/memory.kmem.usage_in_bytes") or 0,
        oom_kills=_table(f"{directory}/memory.oom_control").get("oom_kill", 0),
        details=tuple(details.items()),
    )


def _memory_v2(directory: str) -> MemoryStats:
    details = _table(f"{directory}/memory.stat")
    events = _table(f"{directory}/memory.events")
    limit = _number(f"{directory}/memory.max")
    swap_limit = _number(f"{directory}/memory.swap.max")
    return MemoryStats(
        usage=_number(f"{directory}/memory.current") or 0,
        limit=limit,
        max_usage=_number(f"{directory}/memory.peak") or 0,  # Linux 5.19
        failures=events.get("max", 0),
        cache=details.get("file", 0),
        rss=details.get("anon", 0),
        inactive_file=details.get("inactive_file", 0),
        swap=_number(f"{directory}/memory.swap.current") or 0,
        swap_limit=None if limit is None or swap_limit is None else limit + swap_limit,
        kernel=details.get("kernel", 0),
        oom_kills=events.get("oom_kill", 0),
        details=tuple(details.items()),
    )


# ── processes ──


def _pids(cgroup: Cgroup) -> PidsStats | None:
    place = cgroup.v1_directory("pids") or cgroup.v2_directory("pids")
    current = _number(f"{place}/pids.current") if place else None
    return None if current is None else PidsStats(current, _number(f"{place}/pids.max"))


# ── disks ──

_IO_STAT = {"rbytes": "read_bytes", "wbytes": "write_bytes", "rios": "reads", "wios": "writes"}
# v1 counts in the throttling layer, through which all requests go, and again in BFQ.
_BLKIO_FILES = (
    ("blkio.throttle.io_service_bytes_recursive", {"Read": "read_bytes", "Write": "write_bytes"}),
    ("blkio.throttle.io_serviced_recursive", {"Read": "reads", "Write": "writes"}),
)


def _block_io(cgroup: Cgroup) -> tuple[DeviceIO, ...] | None:
    found: dict[tuple[int, int], dict[str, int]] = {}
    if unified := _directory(cgroup.v2_directory("blkio")):
        # 8:0 rbytes=90112 wbytes=0 rios=4 wios=0 dbytes=0 dios=0
        for line in _text(f"{unified}/io.stat").splitlines():
            numbers, *words = line.split()
            for word in words:
                key, _, value = word.partition("=")
                if key in _IO_STAT:
                    found.setdefault(_device(numbers), {})[_IO_STAT[key]] = int(value)
    elif directory := _directory(cgroup.v1_directory("blkio")):
        for file, names in _BLKIO_FILES:
            # 8:0 Read 90112        and, last, without a device: Total 90112
            for line in _text(f"{directory}/{file}").splitlines():
                words = line.split()
                if len(words) == 3 and words[1] in names:
                    found.setdefault(_device(words[0]), {})[names[words[1]]] = int(words[2])
    else:
        return None
    return tuple(DeviceIO(*device, **counts) for device, counts in sorted(found.items()))


def _device(numbers: str) -> tuple[int, int]:
    major, _, minor = numbers.partition(":")
    return int(major), int(minor)


# ── huge pages ──


def _hugepages(cgroup: Cgroup) -> tuple[HugepageStats, ...]:
    v1 = _directory(cgroup.v1_directory("hugetlb"))
    directory = v1 or _directory(cgroup.v2_directory("hugetlb"))
    suffix = ".usage_in_bytes" if v1 else ".current"
    found = []
    for name in sorted(os.listdir(directory)) if directory else ():
        size = name.removeprefix("hugetlb.").removesuffix(suffix)
        if name != f"hugetlb.{size}{suffix}" or "." in size:
            continue
        base = f"{directory}/hugetlb.{size}"
        failures = _number(f"{base}.failcnt") if v1 else _table(f"{base}.events").get("max")
        peak = _number(f"{base}.max_usage_in_bytes") if v1 else None
        found.append(HugepageStats(size, _number(base + suffix) or 0, peak or 0, failures or 0))
    return tuple(found)


# ── files ──


def _directory(directory: str) -> str:
    """ "" for one that the container has not joined."""
    return directory if directory and os.path.isdir(directory) else ""


def _text(path: str) -> str:
    """A file that not every kernel has is as good as empty."""
    try:
        return read_control(path)
    except FileNotFoundError:
        return ""


def _number(path: str) -> int | None:
    """None for `max`, for v1's way of saying so, and where there is no such file."""
    text = _text(path).strip()
    if not text or text == "max":
        return None
    value = int(text)
    return None if value >= _NO_LIMIT else value


def _table(path: str) -> dict[str, int]:
    """Lines of a name and a number."""
    lines = (line.split() for line in _text(path).splitlines())
    return {words[0]: int(words[1]) for words in lines if len(words) == 2}
