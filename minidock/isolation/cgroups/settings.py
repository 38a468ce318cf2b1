"""From `linux.resources` to the files of a cgroup, as a table.

The specification's fields are named and measured after cgroup v1. Most have a file of the same
meaning on v2; `FILES` lists them side by side, in the order in which they are written. Where v2
counts differently, the value is converted as runc and crun do it:

    memory.swap      v1: memory and swap together; v2: swap alone, so the memory limit is taken off
    cpu.shares       2…262144, 1024 by default, becomes a weight of 1…10000, 100 by default, on a
                     curve through these three points
    cpu.quota        and cpu.period share the file cpu.max: "20000 100000", "max 100000"
    blockIO.weight   BFQ's 10…1000 as it is; where the scheduler is another one, 1…10000
    throttles        one file instead of four, with a word: "8:0 rbps=1048576"
    no limit         -1, on v2 the word "max"

Some things v2 leaves out on purpose: swappiness and a disabled OOM killer, a limit for TCP buffers,
realtime budgets, tags on network packets. To ask for them there is an error, as with crun: somebody
who relies on a limit must hear that there is none. Asking for what is so anyway is none.

See: https://docs.kernel.org/admin-guide/cgroup-v1/, cgroup-v2.html there,
https://github.com/opencontainers/cgroups/pull/20 (shares), utils.go there (swap, weight),
https://github.com/containers/crun/blob/main/crun.1.md#cgroup-v2
"""

from __future__ import annotations

from minidock.errors import StartFailed
from minidock.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterator

    from minidock.spec.resources import Resources

# fmt: off
FILES = (
    # linux.resources                 v1                                   v2
    ("memory.useHierarchy",           "memory.use_hierarchy",              ""),
    ("memory.limit",                  "memory.limit_in_bytes",             "memory.max"),
    ("memory.swap",                   "memory.memsw.limit_in_bytes",       "memory.swap.max"),
    ("memory.reservation",            "memory.soft_limit_in_bytes",        "memory.low"),
    ("memory.kernel",                 "memory.kmem.limit_in_bytes",        ""),
    ("memory.kernelTCP",              "memory.kmem.tcp.limit_in_bytes",    ""),
    ("memory.swappiness",             "memory.swappiness",                 ""),
    ("memory.disableOOMKiller",       "memory.oom_control",                ""),
    ("cpu.shares",                    "cpu.shares",                        "cpu.weight"),
    ("cpu.period",                    "cpu.cfs_period_us",                 "cpu.max"),
    ("cpu.quota",                     "cpu.cfs_quota_us",                  "cpu.max"),
    ("cpu.burst",                     "cpu.cfs_burst_us",                  "cpu.max.burst"),
    ("cpu.realtimePeriod",            "cpu.rt_period_us",                  ""),
    ("cpu.realtimeRuntime",           "cpu.rt_runtime_us",                 ""),
    ("cpu.idle",                      "cpu.idle",                          "cpu.idle"),
    ("cpu.cpus",                      "cpuset.cpus",                       "cpuset.cpus"),
    ("cpu.mems",                      "cpuset.mems",                       "cpuset.mems"),
    ("pids.limit",                    "pids.max",                          "pids.max"),
    ("blockIO.weight",                "blkio.bfq.weight",                  "io.bfq.weight"),
    ("blockIO.leafWeight",            "blkio.leaf_weight",                 ""),
    ("blockIO.weightDevice",          "blkio.bfq.weight_device",           "io.bfq.weight"),
    ("blockIO.leafWeightDevice",      "blkio.leaf_weight_device",          ""),
    ("blockIO.throttleReadBpsDevice", "blkio.throttle.read_bps_device",    "io.max"),
    ("blockIO.throttleWriteBpsDevice", "blkio.throttle.write_bps_device",  "io.max"),
    ("blockIO.throttleReadIOPSDevice", "blkio.throttle.read_iops_device",  "io.max"),
    ("blockIO.throttleWriteIOPSDevice", "blkio.throttle.write_iops_device", "io.max"),
    ("hugepageLimits",                "hugetlb.{}.limit_in_bytes",         "hugetlb.{}.max"),
    ("hugepageLimits.reserved",       "hugetlb.{}.rsvd.limit_in_bytes",    "hugetlb.{}.rsvd.max"),
    ("network.classID",               "net_cls.classid",                   ""),
    ("network.priorities",            "net_prio.ifpriomap",                ""),
    ("rdma",                          "rdma.max",                          "rdma.max"),
)
# fmt: on


class Setting(Record):
    """One value that was asked for: `files` are (file, text), of which the first file that the
    kernel has is written. None at all: this version of cgroups has no such thing.

    `default` says that a new cgroup is like that anyway, so that it need not be possible to write.
    """

    field: str  # below linux.resources
    controller: str  # its name on v1
    files: tuple[tuple[str, str], ...]
    default: bool = False


def settings(resources: Resources, of_v2: Container[str]) -> list[Setting]:
    """All that is asked for, in the order of `FILES`; `of_v2` are the controllers (by their names
    on v1) that are v2's here. Raises `StartFailed` for values that make no sense together."""
    values = _values(resources)
    found = []
    for field, v1_file, v2_file in FILES:
        controller = v1_file.partition(".")[0]
        file, texts = (v2_file, _V2_TEXT) if controller in of_v2 else (v1_file, _V1_TEXT)
        for key, value in values.get(field, ()):
            text = texts.get(field, _as_it_is)(value, resources) if file else ""
            files = _alternatives(file.format(key), text) if file else ()
            if text or not file:
                found.append(Setting(field, controller, files, _is_default(field, value)))
    return found


# ── what was asked ──


def _values(r: Resources) -> dict[str, list[tuple[str, object]]]:
    """Field → (what its file's name depends on, value). A number of 0 means "not said" where 0
    could not be meant, as in runc."""
    memory, cpu, block, network = r.memory, r.cpu, r.block_io, r.network
    single = {
        "memory.useHierarchy": memory.use_hierarchy,
        "memory.limit": memory.limit or None,
        "memory.swap": _swap_asked(r),
        "memory.reservation": memory.reservation or None,
        "memory.kernel": memory.kernel or None,
        "memory.kernelTCP": memory.kernel_tcp or None,
        "memory.swappiness": None if memory.swappiness == -1 else memory.swappiness,
        "memory.disableOOMKiller": memory.disable_oom_killer,
        "cpu.shares": cpu.shares or None,
        "cpu.period": cpu.period or None,
        "cpu.quota": cpu.quota or None,
        "cpu.burst": cpu.burst,
        "cpu.realtimePeriod": cpu.realtime_period or None,
        "cpu.realtimeRuntime": cpu.realtime_runtime or None,
        "cpu.idle": cpu.idle,
        "cpu.cpus": cpu.cpus or None,
        "cpu.mems": cpu.mems or None,
        "pids.limit": r.pids_limit,
        "blockIO.weight": block.weight or None,
        "blockIO.leafWeight": block.leaf_weight or None,
        "network.classID": network.class_id,
    }
    several: dict[str, list[tuple[str, object]]] = {
        "blockIO.weightDevice": [
            ("", f"{d.major}:{d.minor} {d.weight}") for d in block.device_weights if d.weight
        ],
        "blockIO.leafWeightDevice": [
            ("", f"{d.major}:{d.minor} {d.leaf_weight}")
            for d in block.device_weights
            if d.leaf_weight
        ],
        "blockIO.throttleReadBpsDevice": [("", t) for t in block.read_bps],
        "blockIO.throttleWriteBpsDevice": [("", t) for t in block.write_bps],
        "blockIO.throttleReadIOPSDevice": [("", t) for t in block.read_iops],
        "blockIO.throttleWriteIOPSDevice": [("", t) for t in block.write_iops],
        "hugepageLimits": [(h.page_size, h.limit) for h in r.hugepages],
        "hugepageLimits.reserved": [(h.page_size, h.limit) for h in r.hugepages],
        "network.priorities": [("", f"{name} {number}") for name, number in network.priorities],
        "rdma": [("", text) for text in _rdma(r)],
    }
    given: dict[str, list[tuple[str, object]]] = {
        field: [("", value)] for field, value in single.items() if value is not None
    }
    return {**given, **several}


def _swap_asked(r: Resources) -> int | None:
    # No limit for memory was always taken to mean none for memory and swap. (runc)
    return r.memory.swap or (-1 if r.memory.limit == -1 else None)


def _rdma(r: Resources) -> Iterator[str]:
    for limit in r.rdma:
        words = [limit.device]
        if limit.handles is not None:
            words.append(f"hca_handle={limit.handles}")
        if limit.objects is not None:
            words.append(f"hca_object={limit.objects}")
        yield " ".join(words)


def _is_default(field: str, value: object) -> bool:
    if field == "memory.useHierarchy":
        return value is True
    if field == "pids.limit":
        return isinstance(value, int) and value <= 0
    if field in ("memory.disableOOMKiller", "cpu.burst", "cpu.idle", "network.classID"):
        return not value
    # Older kernels count reserved huge pages together with used ones.
    return value == -1 or field == "hugepageLimits.reserved"


# ── how each version says it ──


def _alternatives(file: str, text: str) -> tuple[tuple[str, str], ...]:
    """The weight has two files: one for BFQ, the scheduler that knows weights, and one for what
    else there is."""
    if file == "io.bfq.weight":
        device, _, weight = text.rpartition(" ")
        return (file, text), ("io.weight", f"{device} {io_weight(int(weight))}".strip())
    if ".bfq." in file:
        return (file, text), (file.replace(".bfq", ""), text)
    return ((file, text),)


def _as_it_is(value: object, _: Resources) -> str:
    return str(value)


def _flag(value: object, _: Resources) -> str:
    return str(int(bool(value)))


def _limit(value: object, _: Resources) -> str:
    """`max` for what is below zero."""
    return "max" if isinstance(value, int) and value < 0 else str(value)


def _pids(value: object, _: Resources) -> str:
    return "max" if isinstance(value, int) and value <= 0 else str(value)


def _swap_alone(value: object, r: Resources) -> str:
    swap, memory = r.memory.swap or -1, r.memory.limit or 0
    if swap == -1:
        return "max"
    if memory == -1:
        return str(swap)
    if memory == 0:
        raise StartFailed("linux.resources.memory.swap: cgroup v2 needs memory.limit beside it")
    if swap < memory:
        raise StartFailed("linux.resources.memory.swap is memory and swap: less than memory.limit")
    return str(swap - memory)


def _cpu_period(value: object, r: Resources) -> str:
    """With the quota in front of it, since a period cannot be written alone."""
    quota = r.cpu.quota or -1
    return f"{'max' if quota < 0 else quota} {value}"


def _cpu_quota(value: object, r: Resources) -> str:
    """Alone it keeps the period there is; with a period it has been written already."""
    return "" if r.cpu.period else _limit(value, r)


def _weight_of_shares(value: object, _: Resources) -> str:
    return str(cpu_weight(int(str(value))))


def cpu_weight(shares: int) -> int:
    """cpu.shares → cpu.weight. https://github.com/opencontainers/cgroups/pull/20"""
    import math

    if shares <= 2:
        return 1
    if shares >= 262144:
        return 10000
    log = math.log2(shares)
    return math.ceil(10 ** ((log * log + 125 * log) / 612 - 7 / 34))


def io_weight(blkio: int) -> int:
    """blkio.weight 10…1000 → io.weight 1…10000, linearly. (runc: ConvertBlkIOToIOWeightValue)"""
    return 1 + (max(blkio, 10) - 10) * 9999 // 990


def _throttle(word: str) -> Callable[[object, Resources], str]:
    def text(value: object, _: Resources) -> str:
        from minidock.spec.resources import Throttle

        assert isinstance(value, Throttle)
        numbers = f"{value.major}:{value.minor}"
        if not word:
            return f"{numbers} {value.rate}"
        return f"{numbers} {word}={value.rate or 'max'}"  # 0 takes a limit away

    return text


_V1_TEXT: dict[str, Callable[[object, Resources], str]] = {
    "memory.useHierarchy": _flag,
    "memory.disableOOMKiller": _flag,
    "pids.limit": _pids,
    "blockIO.throttleReadBpsDevice": _throttle(""),
    "blockIO.throttleWriteBpsDevice": _throttle(""),
    "blockIO.throttleReadIOPSDevice": _throttle(""),
    "blockIO.throttleWriteIOPSDevice": _throttle(""),
}
_V2_TEXT: dict[str, Callable[[object, Resources], str]] = {
    "memory.limit": _limit,
    "memory.swap": _swap_alone,
    "memory.reservation": _limit,
    "cpu.shares": _weight_of_shares,
    "cpu.period": _cpu_period,
    "cpu.quota": _cpu_quota,
    "pids.limit": _pids,
    "blockIO.throttleReadBpsDevice": _throttle("rbps"),
    "blockIO.throttleWriteBpsDevice": _throttle("wbps"),
    "blockIO.throttleReadIOPSDevice": _throttle("riops"),
    "blockIO.throttleWriteIOPSDevice": _throttle("wiops"),
}
