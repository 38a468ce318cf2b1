"""Docker's `HostConfig`: what was asked for, checked, with the defaults filled in.

This is the half that Docker's daemon does. What comes in is what a user said, in the shape of
Docker's API; what goes out is written into container.json, shown by `inspect`, and turned into
config.json (bundle.py). Checks that cost something are made only for what was said: a plain `run`
pays for none of them.

See: moby's daemon/container.go (verifyContainerSettings), daemon/daemon_unix.go
"""

from __future__ import annotations

from minidock.engine.posture import MASKED_PATHS, READONLY_PATHS
from minidock.errors import InvalidInput

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from minidock.engine.containers import Container

    Config = dict[str, Any]
    Find = Callable[[str], Container]
    Warn = Callable[[str], object]

RUNTIME = "minidock"
SHM_BYTES = 64 << 20
LIMITS = (
    "Memory", "MemorySwap", "MemoryReservation", "MemorySwappiness", "OomKillDisable", "NanoCpus",
    "CpuShares", "CpuPeriod", "CpuQuota", "CpuRealtimePeriod", "CpuRealtimeRuntime", "CpusetCpus",
    "CpusetMems", "PidsLimit", "BlkioWeight", "BlkioWeightDevice", "BlkioDeviceReadBps",
    "BlkioDeviceWriteBps", "BlkioDeviceReadIOps", "BlkioDeviceWriteIOps",
)  # fmt: skip
"""The fields that become `linux.resources`, see limits.py."""


def defaults() -> Config:
    """What every container's HostConfig says, unless something else was asked for."""
    return {
        "NetworkMode": "bridge",
        "AutoRemove": False,
        "ReadonlyRootfs": False,
        "Init": None,
        "ConsoleSize": [0, 0],
        "LogConfig": {"Type": "json-file", "Config": {}},
        "RestartPolicy": {"Name": "no", "MaximumRetryCount": 0},
        "Privileged": False,
        "CgroupnsMode": "private",
        "IpcMode": "private",
        "PidMode": "",
        "UTSMode": "",
        "UsernsMode": "",
        "ShmSize": SHM_BYTES,
        "Runtime": RUNTIME,
        "MaskedPaths": MASKED_PATHS,
        "ReadonlyPaths": READONLY_PATHS,
    }


def has_own_networks(config: Config) -> bool:
    """Whether the container is on networks, rather than on none, or on somebody else's."""
    mode = str(config["NetworkMode"])
    return mode not in ("none", "host") and not mode.startswith("container:")


def checked(given: Config, find: Find, warn: Warn) -> Config:
    """What was asked for, with names of containers replaced by ids and what this kernel cannot do
    taken out; `warn` hears of that.

    Raises `InvalidInput` and `NotFound` in Docker's words.
    """
    config = dict(given)
    _check_words(config)
    _check_capabilities(config, warn)
    if any(key in config for key in LIMITS):
        from minidock.engine.limit_rules import check_limits

        for warning in check_limits(config):
            warn(warning)
    if config.get("IpcMode") or config.get("PidMode"):
        from minidock.engine.sharing import check_modes

        check_modes(config, find)
    if config.get("Tmpfs"):
        from minidock.engine.tmpfs import check_tmpfs

        check_tmpfs(config["Tmpfs"])
    _fill_security(config)
    return config


def _check_words(config: Config) -> None:
    if "" in config.get("Annotations", {}):
        raise InvalidInput(
            "invalid Annotations: the empty string is not permitted as an annotation key"
        )
    isolation = config.get("Isolation", "default")
    if isolation.lower() != "default":
        raise InvalidInput(f"invalid isolation '{isolation}' on linux")
    if config.get("Runtime", RUNTIME) != RUNTIME:
        raise InvalidInput(
            f"unknown or invalid runtime name: {config['Runtime']}",
            hint=f"There is one runtime, {RUNTIME}'s own; it can serve other engines.",
        )
    score = config.get("OomScoreAdj", 0)
    if not -1000 <= score <= 1000:
        raise InvalidInput(f"Invalid value {score}, range for oom score adj is [-1000, 1000]")


def check_own_users(config: Config, network: str) -> None:
    """What belongs to the host, or to other users, is not theirs. Raises `InvalidInput`."""
    if config.get("Privileged"):
        raise InvalidInput(
            "privileged mode is incompatible with user namespaces.  "
            "You must run the container in the host namespace when running privileged mode"
        )
    enabled = "when user namespaces are enabled"
    if network == "host":
        raise InvalidInput(f"cannot share the host's network namespace {enabled}")
    if network.startswith("container:"):
        raise InvalidInput(f"cannot share another container's network namespace {enabled}")
    for key, kind in (("PidMode", "PID"), ("IpcMode", "IPC")):
        mode = config.get(key, "")
        if mode == "host":
            raise InvalidInput(f"cannot share the host {kind} namespace {enabled}")
        if mode.startswith("container:"):
            raise InvalidInput(f"cannot share another container's {kind} namespace {enabled}")


def _check_capabilities(config: Config, warn: Warn) -> None:
    if not any(config.get(key) for key in ("CapAdd", "CapDrop", "Privileged")):
        return
    from minidock.engine.grants import capability_names, host_capabilities

    for key in ("CapAdd", "CapDrop"):
        if config.get(key):
            config[key] = capability_names(config[key], key)
    if config.get("Privileged"):
        lacking = host_capabilities()[1]
        if lacking:
            names = ", ".join(lacking)
            warn(f"--privileged grants what this host has, which is all but {names}")


def _fill_security(config: Config) -> None:
    """What follows from the security options, and what other options mean for them."""
    options = config.get("SecurityOpt")
    if options is not None:
        from minidock.engine.grants import SecurityOptions

        SecurityOptions(options)
    labelled = any(option.startswith(("label=", "label:")) for option in options or ())
    shares = "host" in (config.get("PidMode"), config.get("IpcMode"))
    if (config.get("Privileged") or shares) and not labelled:
        config["SecurityOpt"] = [*(options or ()), "label=disable"]
    if config.get("Privileged"):
        config["MaskedPaths"] = config["ReadonlyPaths"] = None
