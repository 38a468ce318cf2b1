"""Limits: from Docker's `HostConfig` to `linux.resources` of a config.json.

The first is what a user says (half a processor), the second what a cgroup is told (50000
microseconds out of every 100000). The device list, which stands in `linux.resources` too, is made
in devices.py.

See: https://github.com/opencontainers/runtime-spec/blob/main/config-linux.md#control-groups,
moby's daemon/daemon_unix.go (getMemoryResources, getCPUResources, getPidsLimit)
"""

from __future__ import annotations

import os

from minidock.errors import InvalidInput

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Config = dict[str, Any]

_PERIOD = 100_000  # microseconds, the kernel's own default
_THROTTLES = {
    "BlkioDeviceReadBps": "throttleReadBpsDevice",
    "BlkioDeviceWriteBps": "throttleWriteBpsDevice",
    "BlkioDeviceReadIOps": "throttleReadIOPSDevice",
    "BlkioDeviceWriteIOps": "throttleWriteIOPSDevice",
}


def resources(config: Config) -> Config:
    """What has numbers at once. Only what is limited is in it."""
    cpu = _cpu(config)
    memory = _given(
        limit=config.get("Memory"),
        reservation=config.get("MemoryReservation"),
        swap=config.get("MemorySwap"),
        disableOOMKiller=config.get("OomKillDisable"),
    )
    if config.get("MemorySwappiness") is not None:
        memory["swappiness"] = config["MemorySwappiness"]  # 0 is a wish: do not swap
    block_io = _given(weight=config.get("BlkioWeight"))
    pids = _given(limit=config.get("PidsLimit"))
    return _given(cpu=cpu, memory=memory, blockIO=block_io, pids=pids)


def _given(**values: Any) -> Config:
    return {key: value for key, value in values.items() if value}


def _cpu(config: Config) -> Config:
    nano = config.get("NanoCpus", 0)
    period, quota = config.get("CpuPeriod", 0), config.get("CpuQuota", 0)
    if nano:
        period, quota = _PERIOD, nano * _PERIOD // 10**9
    shares = config.get("CpuShares", 0)
    return _given(
        # The kernel's own bounds: it would take other numbers, and mean these.
        shares=shares and min(max(shares, 2), 262144),
        period=period,
        quota=quota,
        realtimePeriod=config.get("CpuRealtimePeriod"),
        realtimeRuntime=config.get("CpuRealtimeRuntime"),
        cpus=config.get("CpusetCpus"),
        mems=config.get("CpusetMems"),
    )


def block_device_limits(config: Config) -> Config:
    """The part of `blockIO` that names devices. Raises `InvalidInput` for one that is not there."""
    found: Config = {}
    for key, name in _THROTTLES.items():
        if config.get(key):
            limits = config[key]
            found[name] = [{**_number(each["Path"]), "rate": each["Rate"]} for each in limits]
    if config.get("BlkioWeightDevice"):
        weights = config["BlkioWeightDevice"]
        found["weightDevice"] = [
            {**_number(each["Path"]), "weight": each["Weight"]} for each in weights
        ]
    return found


def _number(path: str) -> Config:
    try:
        number = os.stat(path).st_rdev
    except OSError as error:
        raise InvalidInput(f"stat {path}: {str(error.strerror).lower()}") from None
    return {"major": os.major(number), "minor": os.minor(number)}
