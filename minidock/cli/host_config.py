"""From flags to Docker's `HostConfig`: the half of the work that Docker's client does.

What comes out is what was said, in the shape in which `inspect` shows it and Docker's API takes it;
what was not said is not there. Whether it makes sense on this machine is for the other half to say,
engine/host_config.py, which also serves callers that have no flags.

See: docker/cli cli/command/container/opts.go (parse, parseSecurityOpts, validateDevice)
"""

from __future__ import annotations

import os

from minidock.cli.command import ClientError
from minidock.cli.mount_flags import parse_mount, sort_volumes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from minidock.cli.parse import Parsed

_NUMBERS = {
    "blkio-weight": "BlkioWeight",
    "cpu-period": "CpuPeriod",
    "cpu-quota": "CpuQuota",
    "cpu-rt-period": "CpuRealtimePeriod",
    "cpu-rt-runtime": "CpuRealtimeRuntime",
    "cpu-shares": "CpuShares",
    "cpus": "NanoCpus",
    "memory": "Memory",
    "memory-reservation": "MemoryReservation",
    "memory-swap": "MemorySwap",
    "pids-limit": "PidsLimit",
    "oom-score-adj": "OomScoreAdj",
    "shm-size": "ShmSize",
}
_TEXTS = {
    "cgroup-parent": "CgroupParent",
    "cgroupns": "CgroupnsMode",
    "cpuset-cpus": "CpusetCpus",
    "cpuset-mems": "CpusetMems",
    "ipc": "IpcMode",
    "isolation": "Isolation",
    "pid": "PidMode",
    "runtime": "Runtime",
    "userns": "UsernsMode",
    "uts": "UTSMode",
}
_LISTS = {
    "cap-add": "CapAdd",
    "cap-drop": "CapDrop",
    "add-host": "ExtraHosts",
    "dns": "Dns",
    "dns-search": "DnsSearch",
    "device-cgroup-rule": "DeviceCgroupRules",
    "group-add": "GroupAdd",
}
_SWITCHES = {
    "oom-kill-disable": "OomKillDisable",
    "privileged": "Privileged",
    "publish-all": "PublishAllPorts",
}
_THROTTLES = {
    "device-read-bps": "BlkioDeviceReadBps",
    "device-read-iops": "BlkioDeviceReadIOps",
    "device-write-bps": "BlkioDeviceWriteBps",
    "device-write-iops": "BlkioDeviceWriteIOps",
}


def limits(args: Parsed) -> dict[str, Any]:
    """What run and update have in common."""
    known = args.flags
    found: dict[str, Any] = {}
    for flag, key in _NUMBERS.items():
        # 0 is what Docker sends for "not said".
        if flag in known and args.given(flag) and (number := int(args.text(flag) or 0)):
            found[key] = number
    for flag, key in _TEXTS.items():
        if flag in known and args.text(flag):
            found[key] = args.text(flag)
    return found


def host_config(args: Parsed) -> dict[str, Any]:
    """Raises `ClientError` in the words of Docker's client."""
    found = limits(args)
    _check_modes(found)
    if args.given("memory-swappiness") and (swappiness := args.number("memory-swappiness")) != -1:
        if not 0 <= swappiness <= 100:
            raise ClientError(
                f"invalid value: {swappiness}. Valid memory swappiness range is 0-100"
            )
        found["MemorySwappiness"] = swappiness
    for flag, key in _SWITCHES.items():
        if args.on(flag):
            found[key] = True
    for flag, key in _LISTS.items():
        if args.each(flag):
            found[key] = list(args.each(flag))
    for flag, key in _THROTTLES.items():
        if args.each(flag):
            found[key] = [_pair(text, "Rate") for text in args.each(flag)]
    if args.each("link"):
        from minidock.cli.network_values import endpoints, is_of_users

        if not is_of_users(endpoints(args)[0]):
            found["Links"] = list(args.each("link"))
    if args.each("publish"):
        from minidock.cli.port_values import bindings

        found["PortBindings"] = bindings(args.each("publish"))
    options = [*args.each("dns-opt"), *args.each("dns-option")]
    if options:
        found["DnsOptions"] = options
    weights = args.each("blkio-weight-device")
    devices = [_device(text) for text in args.each("device")]
    more = {
        "BlkioWeightDevice": [_pair(text, "Weight") for text in weights],
        "Devices": devices,
        "Ulimits": ulimits(args.each("ulimit")),
        "Sysctls": _mapping(args.each("sysctl"), "="),
        "Tmpfs": _mapping(args.each("tmpfs"), ":"),
        "Annotations": _mapping(args.each("annotation"), "="),
        "Binds": sort_volumes(args.each("volume"))[0],
        "Mounts": [parse_mount(text) for text in args.each("mount")],
        "VolumesFrom": list(args.each("volumes-from")),
        "VolumeDriver": args.text("volume-driver"),
    }
    return {
        **found,
        **_security(args.each("security-opt")),
        **{k: v for k, v in more.items() if v},
    }


def _check_modes(found: dict[str, Any]) -> None:
    pid = found.get("PidMode", "")
    if pid not in ("", "host") and not (pid.startswith("container:") and pid != "container:"):
        raise ClientError("--pid: invalid PID mode")
    if found.get("UTSMode", "") not in ("", "host"):
        raise ClientError("--uts: invalid UTS mode")
    if found.get("UsernsMode", "") not in ("", "host", "auto"):
        raise ClientError("--userns: invalid USER mode")
    if found.get("CgroupnsMode", "") not in ("", "host", "private"):
        raise ClientError("--cgroupns: invalid CGROUP mode")


def _pair(text: str, key: str) -> dict[str, Any]:
    path, _, number = text.rpartition(":")
    return {"Path": path, key: int(number)}


def ulimits(texts: tuple[str, ...]) -> list[dict[str, Any]]:
    """By name; of a name given twice the last counts."""
    found = {}
    for text in texts:
        name, _, limits = text.partition("=")
        soft, _, hard = limits.partition(":")
        found[name] = {"Name": name, "Hard": int(hard), "Soft": int(soft)}
    return [found[name] for name in sorted(found)]


def _mapping(texts: tuple[str, ...], separator: str) -> dict[str, str]:
    found = {}
    for text in texts:
        name, _, value = text.partition(separator)
        found[name] = value
    return found


# ── devices ──


def _device(text: str) -> dict[str, str]:
    """`/dev/fuse`, `/dev/fuse:rw`, `/dev/a:/dev/b`, `/dev/a:/dev/b:r`."""
    parts = text.split(":")
    if len(parts) > 3 or not parts[0]:
        raise ClientError(f"bad format for path: {text}")
    source, inside, access = parts[0], parts[0], "rwm"
    if len(parts) == 1 or (len(parts) == 2 and _is_access(parts[1])):
        source = inside = os.path.normpath(source) if source.startswith("/") else source
        access = parts[1] if len(parts) == 2 else access
    elif len(parts) == 2:
        inside = os.path.normpath(parts[1]) if parts[1] else "."
    else:
        inside, access = parts[1], parts[2]
        if not _is_access(access):
            raise ClientError(f"bad mode specified: {access}")
    if not inside.startswith("/"):
        raise ClientError(f"{inside} is not an absolute path")
    return {"PathOnHost": source, "PathInContainer": inside, "CgroupPermissions": access}


def _is_access(text: str) -> bool:
    """Of r, w and m, each once."""
    return bool(text) and set(text) <= set("rwm") and len(set(text)) == len(text)


# ── security options ──


def _security(options: tuple[str, ...]) -> dict[str, Any]:
    if not options:
        return {}
    found: dict[str, Any] = {}
    sent = []
    for option in options:
        name, value = _security_option(option)
        if option == "systempaths=unconfined":
            found["MaskedPaths"], found["ReadonlyPaths"] = [], []
        elif name == "seccomp" and value not in ("unconfined", "builtin"):
            sent.append(f"seccomp={_compact(value)}")
        else:
            sent.append(option)
    found["SecurityOpt"] = sent
    return found


def _security_option(option: str) -> tuple[str, str]:
    for separator in ("=", ":"):  # the colon is deprecated, and still read
        name, found, value = option.partition(separator)
        if found:
            return name, value
    if option == "no-new-privileges":
        return option, "true"
    from minidock.spec.quoting import quote

    raise ClientError(f"Invalid --security-opt: {quote(option)}")


def _compact(path: str) -> str:
    """The profile in a file, without the spaces: what is kept is the profile, not the path."""
    try:
        with open(path, "rb") as file:
            content = file.read()
    except IsADirectoryError:
        why = f"read {path}: is a directory"
        raise ClientError(f"opening seccomp profile ({path}) failed: {why}") from None
    except OSError as error:
        why = f"open {path}: {str(error.strerror).lower()}"
        raise ClientError(f"opening seccomp profile ({path}) failed: {why}") from None
    import json

    try:
        document = json.loads(content)
    except UnicodeDecodeError:
        why = "it is no UTF-8"
    except json.JSONDecodeError as error:
        rest = error.doc[error.pos :]
        why = "unexpected end of JSON input"
        if rest:
            why = f"invalid character {rest[0]!r} looking for beginning of value"
    else:
        return json.dumps(document, separators=(",", ":"), ensure_ascii=False)
    raise ClientError(f"compacting json for seccomp profile ({path}) failed: {why}")
