"""From an image and the user's options to an OCI runtime bundle.

This is the border: on this side images, names and defaults; on the other the runtime, which reads
`config.json` and nothing else. What every container has is in posture.py and in `mounts` below;
what the user asked for comes in as Docker's `HostConfig`, and is looked at only where it says
something.

See: https://github.com/opencontainers/runtime-spec/blob/main/config-linux.md,
moby's daemon/oci_linux.go
"""

from __future__ import annotations

import os

from minidock.engine.cgroup import cgroups_path
from minidock.engine.host_config import LIMITS
from minidock.engine.posture import CAPABILITIES as CAPABILITIES
from minidock.engine.posture import MASKED_PATHS as MASKED_PATHS
from minidock.engine.posture import READONLY_PATHS as READONLY_PATHS
from minidock.engine.posture import device_nodes, device_rules
from minidock.spec.overlay import escape

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from minidock.engine.mount_point import MountPoint

DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

INIT = "minidock.init"  # annotation: stay beside the program, see isolation/reaper.py
_KNOWN_LATE = (
    "Privileged", "Devices", "DeviceCgroupRules", "BlkioWeightDevice", "BlkioDeviceReadBps",
    "BlkioDeviceWriteBps", "BlkioDeviceReadIOps", "BlkioDeviceWriteIOps",
)  # fmt: skip


def mounts(
    directory: str,
    lowerdirs: Sequence[str],
    config: dict[str, Any],
    points: Sequence[MountPoint] = (),
) -> list[dict[str, Any]]:
    """The root filesystem first, then what lies on it, as the HostConfig says; then what is for
    this container alone, outer places before those that lie in them."""
    overlay = [
        "lowerdir=" + ":".join(escape(path) for path in lowerdirs),
        f"upperdir={escape(directory)}/upper",
        f"workdir={escape(directory)}/work",
        # Plain whiteouts and whole copies only, whatever the host's default: `diff` and `commit`
        # read the upper directory by itself, without the layers below.
        "redirect_dir=off",
        "metacopy=off",
        "index=off",
        "xino=off",
        # Unmounting syncs the whole upper filesystem, unless told that nobody will need it.
        *(["volatile"] if config["AutoRemove"] else []),
    ]
    privileged, readonly = config["Privileged"], config["ReadonlyRootfs"]
    cgroups_too = privileged or _security(config, "writable_cgroups")
    found = [
        {"destination": "/", "type": "overlay", "source": "overlay", "options": overlay},
        _mount("/proc", "proc", "nosuid", "noexec", "nodev"),
        _mount("/dev", "tmpfs", "nosuid", "strictatime", "mode=755", "size=65536k"),
        _mount(
            "/dev/pts",
            "devpts",
            "nosuid",
            "noexec",
            "newinstance",
            "ptmxmode=0666",
            "mode=0620",
            "gid=5",
        ),
        _mount("/sys", "sysfs", "nosuid", "noexec", "nodev", *([] if privileged else ["ro"])),
        _mount(
            "/sys/fs/cgroup",
            "cgroup",
            *([] if cgroups_too else ["ro"]),
            "nosuid",
            "noexec",
            "nodev",
        ),
        _mount("/dev/mqueue", "mqueue", "nosuid", "noexec", "nodev"),
    ]
    whose = directory
    if config["NetworkMode"].startswith("container:"):  # who has its addresses has its names
        whose = f"{os.path.dirname(directory)}/{config['NetworkMode'].partition(':')[2]}"
    own = [
        *_shared_memory(config),
        *(
            _bind(f"{whose}/{name}", f"/etc/{name}", readonly=readonly)
            for name in ("resolv.conf", "hostname", "hosts")
        ),
    ]
    if not points and not config.get("Tmpfs"):
        return found + own
    given = _given(config, points)
    places = {mount["destination"] for mount in given}
    found, own = (
        [mount for mount in some if not _replaced(mount["destination"], places)]
        for some in (found, own)
    )
    return found + sorted(own + given, key=lambda mount: str(mount["destination"]).count("/"))


def _given(config: dict[str, Any], points: Sequence[MountPoint]) -> list[dict[str, Any]]:
    """What the user asked to have mounted. Where two are for one place, `--tmpfs` counts."""
    from minidock.engine.mount_entries import mount_entries
    from minidock.engine.tmpfs import tmpfs_mounts

    given = tmpfs_mounts(config.get("Tmpfs") or {})
    places = {mount["destination"] for mount in given}
    others = [point for point in points if point.destination not in places]
    return given + mount_entries(others, own_users=config["UsernsMode"] == "auto")


def _replaced(destination: str, places: set[str]) -> bool:
    """By a mount of the user's in the same place; what lies in /dev or /sys goes with it."""
    top = "/".join(destination.split("/")[:2])
    return destination in places or (top in places and top in ("/dev", "/sys"))


def _shared_memory(config: dict[str, Any]) -> list[dict[str, Any]]:
    """POSIX shared memory is a filesystem, so it belongs to an IPC namespace only by convention."""
    if config["IpcMode"] == "none" or config["IpcMode"].startswith("container:"):
        return []  # the other container's is taken when it starts, see sharing.py
    if config["IpcMode"] == "host":
        return [_bind("/dev/shm", "/dev/shm", readonly=False)]
    size = config["ShmSize"]
    text = f"{size // 1024}k" if size % 1024 == 0 else str(size)
    return [_mount("/dev/shm", "tmpfs", "nosuid", "noexec", "nodev", "mode=1777", f"size={text}")]


def _mount(destination: str, kind: str, *options: str) -> dict[str, Any]:
    return {"destination": destination, "type": kind, "source": kind, "options": list(options)}


def _bind(source: str, destination: str, *, readonly: bool) -> dict[str, Any]:
    options = ["rbind", "rprivate", *(["ro"] if readonly else [])]
    return {"destination": destination, "type": "bind", "source": source, "options": options}


def make_spec(
    container_id: str,
    directory: str,
    lowerdirs: Sequence[str],
    config: dict[str, Any],
    host_config: dict[str, Any],
    args: Sequence[str],
    architecture: str = "",
    points: Sequence[MountPoint] = (),
) -> dict[str, Any]:
    """The document of `config.json` for a container with Docker's `Config` and `HostConfig`;
    `architecture` is the image's, by default this machine's."""
    process = make_process(config, host_config, args, config["User"], config["Tty"])
    own_network = not host_config["NetworkMode"].startswith(("host", "container:"))
    sysctl = {"net.ipv4.ip_unprivileged_port_start": "0"}
    if host_config["UsernsMode"] != "auto":  # where there is no group with so high a number
        sysctl["net.ipv4.ping_group_range"] = "0 2147483647"
    notes = dict(host_config.get("Annotations") or {})
    if host_config.get("Init") and not host_config["PidMode"]:
        notes[INIT] = "true"  # in another's PID namespace there is an init already
    spec = {
        "ociVersion": "1.2.0",
        "process": process,
        "root": {"path": "rootfs", "readonly": host_config["ReadonlyRootfs"]},
        # Without a UTS namespace of its own the name is the host's, which is not ours to set.
        "hostname": "" if host_config["UTSMode"] == "host" else config["Hostname"],
        "domainname": config.get("Domainname", ""),
        "mounts": mounts(directory, lowerdirs, host_config, points),
        "annotations": notes,
        "linux": {
            "namespaces": [{"type": kind} for kind in namespaces(host_config)],
            "cgroupsPath": cgroups_path(host_config, container_id),
            "devices": device_nodes(),
            "resources": {"devices": device_rules(), **_limits(host_config)},
            "sysctl": {**(sysctl if own_network else {}), **(host_config.get("Sysctls") or {})},
            "maskedPaths": host_config["MaskedPaths"] or [],
            "readonlyPaths": host_config["ReadonlyPaths"] or [],
            **_seccomp(host_config, process["capabilities"]["bounding"], architecture),
        },
    }
    if any(point.propagation in ("shared", "rshared") for point in points):
        spec["linux"]["rootfsPropagation"] = "shared"  # for the whole tree, or it has no effect
    return _with_own_users(spec, host_config, directory) if "IDMappings" in host_config else spec


def _with_own_users(spec: dict[str, Any], config: dict[str, Any], directory: str) -> dict[str, Any]:
    """Users of the host's that are root and others inside; what is the image's is theirs there."""
    from minidock.engine.id_ranges import from_config

    mapped = {
        "uidMappings": from_config(config["IDMappings"]["UidMap"]),
        "gidMappings": from_config(config["IDMappings"]["GidMap"]),
    }
    root, *others = spec["mounts"]
    for mount in others:
        if mount["type"] == "bind" and mount["source"].startswith(f"{directory}/"):
            mount["options"].append("idmap")
    return {**spec, "mounts": [{**root, **mapped}, *others], "linux": {**spec["linux"], **mapped}}


def namespaces(config: dict[str, Any]) -> list[str]:
    """The kinds that the container does not share with the host; the user's first."""
    shared = {
        "network": config["NetworkMode"] == "host",
        "pid": config["PidMode"] == "host",
        "ipc": config["IpcMode"] == "host",
        "uts": config["UTSMode"] == "host",
        "cgroup": config["CgroupnsMode"] == "host",
    }
    kinds = ("mount", "uts", "ipc", "pid", "cgroup", "network")
    users = ["user"] if config["UsernsMode"] == "auto" else []
    return users + [kind for kind in kinds if not shared.get(kind)]


def _limits(config: dict[str, Any]) -> dict[str, Any]:
    if not any(key in config for key in LIMITS):
        return {}
    from minidock.engine.limits import resources

    return resources(config)


def _seccomp(
    config: dict[str, Any], capabilities: Sequence[str], architecture: str
) -> dict[str, Any]:
    """Which system calls it may make. `--privileged` means all, unless a profile was given."""
    from minidock.engine.seccomp_profile import UNCONFINED, load_profile

    given = _security(config, "seccomp")
    if config["Privileged"] and not given:
        given = UNCONFINED
    profile = load_profile(given or "", capabilities, architecture)
    return {"seccomp": profile} if profile else {}


def known_late(config: dict[str, Any], points: Sequence[dict[str, Any]] = ()) -> bool:
    """Whether something of this HostConfig, or of these `MountPoints`, is known only when the
    container starts: settle.py"""
    modes = config["PidMode"] + config["IpcMode"] + config["NetworkMode"]
    if any(config.get(key) for key in _KNOWN_LATE) or "container:" in modes:
        return True
    if not points:
        return False
    from minidock.engine.mount_sources import known_late as sources_known_late

    return sources_known_late(points)


def _security(config: dict[str, Any], what: str) -> Any:
    """One of the security options; None where the user gave none at all."""
    if not config.get("SecurityOpt"):
        return None
    from minidock.engine.grants import SecurityOptions

    return getattr(SecurityOptions(config["SecurityOpt"]), what)


def make_process(
    config: dict[str, Any],
    host_config: dict[str, Any],
    args: Sequence[str],
    user: str,
    terminal: bool,
) -> dict[str, Any]:
    """The `process` object, of a container's first process or of one executed in it."""
    kept = CAPABILITIES
    if any(host_config.get(key) for key in ("Privileged", "CapAdd", "CapDrop")):
        from minidock.engine.grants import capabilities

        kept = capabilities(host_config, CAPABILITIES)
    who: dict[str, Any] = {"uid": 0, "gid": 0, "username": user or "0"}
    if host_config.get("GroupAdd"):
        who["groupnames"] = host_config["GroupAdd"]
    process: dict[str, Any] = {
        "terminal": terminal,
        "user": who,
        "args": list(args),
        "env": environment(config, terminal),
        "cwd": config["WorkingDir"] or "/",
        "capabilities": {"bounding": kept, "effective": kept, "permitted": kept},
    }
    if host_config.get("Ulimits"):
        process["rlimits"] = [_rlimit(limit) for limit in host_config["Ulimits"]]
    if host_config.get("OomScoreAdj"):
        process["oomScoreAdj"] = host_config["OomScoreAdj"]
    if _security(host_config, "no_new_privileges"):
        process["noNewPrivileges"] = True
    apparmor = _security(host_config, "apparmor")
    if apparmor and apparmor != "unconfined":
        process["apparmorProfile"] = apparmor
    return process


def _rlimit(limit: dict[str, Any]) -> dict[str, Any]:
    infinity = 2**64 - 1  # -1 of Docker's
    soft, hard = (infinity if limit[key] < 0 else limit[key] for key in ("Soft", "Hard"))
    return {"type": f"RLIMIT_{limit['Name'].upper()}", "soft": soft, "hard": hard}


def environment(config: dict[str, Any], terminal: bool) -> list[str]:
    """PATH and HOSTNAME, TERM with a terminal, and over them what image and user set. (HOME comes
    with the user's entry in the container's passwd, once that can be read.)"""
    base = [f"PATH={DEFAULT_PATH}", f"HOSTNAME={config['Hostname']}"]
    if terminal:
        base.append("TERM=xterm")
    return merge_environment(base, config["Env"] or [])


def merge_environment(base: Sequence[str], over: Sequence[str], keep: bool = False) -> list[str]:
    """Of a name set twice the last value counts, at the place of the first, as in Docker. A name
    without "=" in `over` takes the variable out; with `keep` it stays in the list as it is, so that
    it can take out PATH and HOSTNAME later, too."""
    values: dict[str, str | None] = {}
    for entry in (*base, *over):
        name, equals, value = entry.partition("=")
        values[name] = value if equals else None
    return [
        name if value is None else f"{name}={value}"
        for name, value in values.items()
        if keep or value is not None
    ]
