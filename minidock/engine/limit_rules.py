"""Which limits make sense, and which of them this machine's kernel can keep.

A limit that contradicts another, or that no machine could keep, is an error. One that only this
kernel cannot keep (its controller is not mounted, or was built without the feature) is taken out of
the `HostConfig` with a warning, as Docker does: the container runs, and `inspect` shows what holds.

See: moby's daemon/daemon_unix.go (verifyPlatformContainerResources), runconfig/hostconfig_unix.go,
https://docs.kernel.org/admin-guide/cgroup-v1/, https://docs.kernel.org/admin-guide/cgroup-v2.html
"""

from __future__ import annotations

import os

from minidock.errors import InvalidInput
from minidock.linux.cgroupfs import read_cgroup_facts

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from minidock.linux.cgroupfs import CgroupFacts

    Config = dict[str, Any]

_LEAST_MEMORY = 6 << 20  # with less, a container could not even start
_LEAST_SHARES, _MOST_SHARES = 2, 262144
_NO_CONTROLLER = "or the cgroup is not mounted"


class Support:
    """What the cgroup controllers of this machine can do."""

    def __init__(self, facts: CgroupFacts) -> None:
        self._facts = facts

    def has(self, controller: str, v1_file: str, *, v2: bool = True) -> bool:
        """Whether the controller is there with this file on v1; `v2`: whether v2 can do it."""
        hierarchy = self._facts.hierarchy_of(controller)
        if hierarchy:
            return os.path.exists(f"{hierarchy.mount_point}/{v1_file}")
        name = "io" if controller == "blkio" else controller
        return v2 and name in self._facts.unified_controllers

    def numbers(self, name: str) -> str:
        """The processors ("cpus") or memory nodes ("mems") there are, such as "0-3"."""
        hierarchy = self._facts.hierarchy_of("cpuset")
        if hierarchy:
            return _read(f"{hierarchy.mount_point}/cpuset.{name}").strip()
        return _read(f"{self._facts.unified}/cpuset.{name}.effective").strip()


def _read(path: str) -> str:
    try:
        with open(path, encoding="ascii", errors="replace") as file:
            return file.read()
    except OSError:
        return ""


def check_limits(
    config: Config, *, update: bool = False, support: Support | None = None
) -> list[str]:
    """Correct `config` in place; the warnings. Raises `InvalidInput` in Docker's words.

    `update`: it is a change of limits, so that what is not in it may have been set before.
    `support` is asked for where it is not given.
    """
    support = support or Support(read_cgroup_facts())
    runtime, period = config.get("CpuRealtimeRuntime", 0), config.get("CpuRealtimePeriod", 0)
    if runtime and period and runtime > period:
        raise InvalidInput("cpu real-time runtime cannot be higher than cpu real-time period")
    warnings = [
        *_memory(config, support, update=update),
        *_processes(config, support, update=update),
        *_cpu(config, support),
        *_cpuset(config, support),
        *_block_io(config, support),
    ]
    memory = config.get("Memory", 0)
    if memory > 0 and not config.get("MemorySwap") and not update:
        config["MemorySwap"] = 2 * memory
    return warnings


def _memory(config: Config, support: Support, *, update: bool) -> list[str]:
    warnings = []
    memory = config.get("Memory", 0)
    if memory and memory < _LEAST_MEMORY:
        raise InvalidInput("Minimum memory limit allowed is 6MB")
    kernel = f"Your kernel does not support %s {_NO_CONTROLLER}. %s"
    if memory > 0 and not support.has("memory", "memory.limit_in_bytes"):
        warnings.append(kernel % ("memory limit capabilities", "Limitation discarded."))
        config["Memory"], config["MemorySwap"] = 0, -1
    swaps = support.has("memory", "memory.memsw.limit_in_bytes")
    if config.get("Memory", 0) > 0 and config.get("MemorySwap") != -1 and not swaps:
        warnings.append(kernel % ("swap limit capabilities", "Memory limited without swap."))
        config["MemorySwap"] = -1
    memory, swap = config.get("Memory", 0), config.get("MemorySwap", 0)
    if 0 < swap < memory:
        raise InvalidInput("Minimum memoryswap limit should be larger than memory limit, see usage")
    if not memory and swap > 0 and not update:
        raise InvalidInput(
            "You should always set the Memory limit when using Memoryswap limit, see usage"
        )
    if "MemorySwappiness" in config:
        if not 0 <= config["MemorySwappiness"] <= 100:
            raise InvalidInput(
                f"Invalid value: {config['MemorySwappiness']}, "
                "valid memory swappiness range is 0-100"
            )
        if not support.has("memory", "memory.swappiness", v2=False):
            said = "memory swappiness capabilities"
            warnings.append(kernel % (said, "Memory swappiness discarded."))
            del config["MemorySwappiness"]
    return [*warnings, *_reservation(config, support), *_oom(config, support)]


def _reservation(config: Config, support: Support) -> list[str]:
    reserved, memory = config.get("MemoryReservation", 0), config.get("Memory", 0)
    if reserved > 0 and not support.has("memory", "memory.soft_limit_in_bytes"):
        config["MemoryReservation"] = 0
        said = "memory soft limit capabilities"
        return [f"Your kernel does not support {said} {_NO_CONTROLLER}. Limitation discarded."]
    if 0 < reserved < _LEAST_MEMORY:
        raise InvalidInput("Minimum memory reservation allowed is 6MB")
    if 0 < memory < reserved:
        raise InvalidInput(
            "Minimum memory limit can not be less than memory reservation limit, see usage"
        )
    return []


def _oom(config: Config, support: Support) -> list[str]:
    if not config.get("OomKillDisable"):
        return []
    if not support.has("memory", "memory.oom_control", v2=False):
        config["OomKillDisable"] = False
        return ["Your kernel does not support OomKillDisable. OomKillDisable discarded."]
    if config.get("Memory"):
        return []
    return [
        "OOM killer is disabled for the container, but no memory limit is set, "
        "this can result in the system running out of resources."
    ]


def _processes(config: Config, support: Support, *, update: bool) -> list[str]:
    limit = config.get("PidsLimit") or 0
    if limit <= 0 and not update:
        config.pop("PidsLimit", None)  # "unlimited" is no limit
    if limit <= 0 or support.has("pids", ""):
        return []
    del config["PidsLimit"]
    said = f"Your kernel does not support PIDs limit capabilities {_NO_CONTROLLER}."
    return [f"{said} PIDs limit discarded."]


def _cpu(config: Config, support: Support) -> list[str]:
    nano, period, quota = (config.get(k, 0) for k in ("NanoCpus", "CpuPeriod", "CpuQuota"))
    conflict = "Conflicting options: Nano CPUs and CPU %s cannot both be set"
    if nano > 0 and period > 0:
        raise InvalidInput(conflict % "Period")
    if nano > 0 and quota > 0:
        raise InvalidInput(conflict % "Quota")
    bandwidth = support.has("cpu", "cpu.cfs_quota_us")
    if nano > 0 and not bandwidth:
        raise InvalidInput(
            "NanoCPUs can not be set, as your kernel does not support CPU CFS scheduler "
            + _NO_CONTROLLER
        )
    count = len(os.sched_getaffinity(0))
    if not 0 <= nano <= count * 10**9:
        there = f"as there are only {count} CPUs available"
        raise InvalidInput(f"Range of CPUs is from 0.01 to {count}.00, {there}")
    warnings = _shares(config, support)
    if (period or quota) and not bandwidth:
        config["CpuPeriod"] = config["CpuQuota"] = 0
        said = "Your kernel does not support CPU CFS scheduler."
        return [*warnings, f"{said} CPU period/quota discarded."]
    if period and not 1000 <= period <= 1000000:
        raise InvalidInput(
            "CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)"
        )
    if 0 < quota < 1000:
        raise InvalidInput("CPU cfs quota can not be less than 1ms (i.e. 1000)")
    return warnings


def _shares(config: Config, support: Support) -> list[str]:
    shares = config.get("CpuShares", 0)
    if shares < 0:
        raise InvalidInput("shares: invalid argument")
    if shares and not support.has("cpu", "cpu.shares"):
        config["CpuShares"] = 0
        said = f"Your kernel does not support CPU shares {_NO_CONTROLLER}."
        return [f"{said} Shares discarded."]
    return []


def _cpuset(config: Config, support: Support) -> list[str]:
    wanted = {"cpus": config.get("CpusetCpus", ""), "mems": config.get("CpusetMems", "")}
    if not any(wanted.values()):
        return []
    if not support.has("cpuset", "cpuset.cpus"):
        config["CpusetCpus"] = config["CpusetMems"] = ""
        said = f"Your kernel does not support cpuset {_NO_CONTROLLER}."
        return [f"{said} Cpuset discarded."]
    for name, text in wanted.items():
        available = support.numbers(name)
        if not numbers(text, name, text) <= numbers(available, name, available):
            what = "CPUs" if name == "cpus" else "memory nodes"
            raise InvalidInput(
                f"Requested {what} are not available - requested {text}, available: {available}"
            )
    return []


_MOST_NUMBER = 8192  # as in moby's parser; a list of billions would fill the memory


def numbers(text: str, name: str, whole: str) -> set[int]:
    """`0-3,7`: the numbers. Raises `InvalidInput` in Docker's words."""
    found: set[int] = set()
    for part in text.split(",") if text else ():
        first, dash, last = part.partition("-")
        last = last if dash else first
        if not (first + last).isascii() or not first.isdigit() or not last.isdigit():
            raise _bad_list(name, whole, part if part else whole)
        low, high = int(first), int(last)
        if high < low:
            raise _bad_list(name, whole, part)
        if high > _MOST_NUMBER:
            range_ = f"value of out range, maximum is {_MOST_NUMBER}"
            raise InvalidInput(f"Invalid value {whole} for cpuset {name}: {range_}")
        found.update(range(low, high + 1))
    return found


def _bad_list(name: str, whole: str, part: str) -> InvalidInput:
    return InvalidInput(f"Invalid value {whole} for cpuset {name}: invalid format: {part}")


def _block_io(config: Config, support: Support) -> list[str]:
    weight = config.get("BlkioWeight", 0)
    warnings = []
    kernel = f"Your kernel does not support %s {_NO_CONTROLLER}. %s discarded."
    if weight and not support.has("blkio", "blkio.weight"):
        warnings.append(kernel % ("Block I/O weight", "Weight"))
        weight = config["BlkioWeight"] = 0
    if weight and not 10 <= weight <= 1000:
        raise InvalidInput("Range of blkio weight is from 10 to 1000")
    if config.get("BlkioWeightDevice") and not support.has("blkio", "blkio.weight_device"):
        warnings.append(kernel % ("Block I/O weight_device", "Weight-device"))
        config["BlkioWeightDevice"] = []
    for way, word in (("read", "Read"), ("write", "Write")):
        for kind, key in (("bps", "Bps"), ("iops", "IOps")):
            field = f"BlkioDevice{word}{key}"
            file = f"blkio.throttle.{way}_{kind}_device"
            if not config.get(field) or support.has("blkio", file):
                continue
            config[field] = []
            if kind == "bps":
                words = (f"BPS Block I/O {way} limit", f"Block I/O BPS {way} limit")
            else:
                words = (f"IOPS Block {way} limit", f"Block I/O IOPS {way} limit")
            warnings.append(kernel % words)
    return warnings
