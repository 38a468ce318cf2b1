"""From an image and the user's options to an OCI runtime bundle.

This is the border: on this side images, names and defaults; on the other the runtime, which reads
`config.json` and nothing else. The defaults here are a container's posture: which filesystems it
gets with which options, which capabilities it keeps, what of /proc it does not see.

See: https://github.com/opencontainers/runtime-spec/blob/main/config-linux.md
"""

from __future__ import annotations

from minidock.spec.overlay import escape

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

CAPABILITIES = [
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FSETID",
    "CAP_FOWNER",
    "CAP_MKNOD",
    "CAP_NET_RAW",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETFCAP",
    "CAP_SETPCAP",
    "CAP_NET_BIND_SERVICE",
    "CAP_SYS_CHROOT",
    "CAP_KILL",
    "CAP_AUDIT_WRITE",
]

MASKED_PATHS = [
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
]

READONLY_PATHS = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"]

# path, major, minor: the kernel's own devices, of which none leads to hardware
DEVICES = [
    ("/dev/null", 1, 3),
    ("/dev/zero", 1, 5),
    ("/dev/full", 1, 7),
    ("/dev/random", 1, 8),
    ("/dev/urandom", 1, 9),
    ("/dev/tty", 5, 0),
]


def device_rules() -> list[dict[str, Any]]:
    """The cgroup's device list: nothing; then making any node, but using only these."""

    def allow(major: int | None, minor: int | None, access: str, kind: str = "c") -> dict[str, Any]:
        numbers = {"major": major, "minor": minor}
        given = {key: value for key, value in numbers.items() if value is not None}
        return {"allow": True, "type": kind, **given, "access": access}

    return [
        {"allow": False, "access": "rwm"},
        allow(None, None, "m", "c"),  # a node that cannot be opened harms nobody, and tar wants it
        allow(None, None, "m", "b"),
        *(allow(major, minor, "rwm") for _, major, minor in DEVICES),
        allow(5, 1, "rwm"),  # /dev/console
        allow(5, 2, "rwm"),  # /dev/ptmx
        allow(136, None, "rwm"),  # /dev/pts/*
    ]


def mounts(
    directory: str, lowerdirs: Sequence[str], *, volatile: bool, readonly: bool
) -> list[dict[str, Any]]:
    """The root filesystem first, then what lies on it."""
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
        *(["volatile"] if volatile else []),
    ]
    return [
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
        _mount("/sys", "sysfs", "nosuid", "noexec", "nodev", "ro"),
        _mount("/sys/fs/cgroup", "cgroup", "ro", "nosuid", "noexec", "nodev"),
        _mount("/dev/mqueue", "mqueue", "nosuid", "noexec", "nodev"),
        _mount("/dev/shm", "tmpfs", "nosuid", "noexec", "nodev", "mode=1777", "size=65536k"),
        *(
            _bind(f"{directory}/{name}", f"/etc/{name}", readonly=readonly)
            for name in ("resolv.conf", "hostname", "hosts")
        ),
    ]


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
) -> dict[str, Any]:
    """The document of `config.json` for a container with Docker's `Config` and `HostConfig`."""
    host_network = host_config["NetworkMode"] == "host"
    kinds = ["mount", "uts", "ipc", "pid", "cgroup", *([] if host_network else ["network"])]
    sysctl = {
        "net.ipv4.ip_unprivileged_port_start": "0",
        "net.ipv4.ping_group_range": "0 2147483647",
    }
    return {
        "ociVersion": "1.2.0",
        "process": make_process(config, args, config["User"], config["Tty"]),
        "root": {"path": "rootfs", "readonly": host_config["ReadonlyRootfs"]},
        "hostname": config["Hostname"],
        "mounts": mounts(
            directory,
            lowerdirs,
            volatile=host_config["AutoRemove"],
            readonly=host_config["ReadonlyRootfs"],
        ),
        "annotations": {"minidock.init": "true"} if host_config.get("Init") else {},
        "linux": {
            "namespaces": [{"type": kind} for kind in kinds],
            "cgroupsPath": f"/minidock/{container_id}",
            "devices": [
                {"path": path, "type": "c", "major": major, "minor": minor, "fileMode": 0o666}
                for path, major, minor in DEVICES
            ],
            "resources": {"devices": device_rules()},
            "sysctl": {} if host_network else sysctl,
            "maskedPaths": MASKED_PATHS,
            "readonlyPaths": READONLY_PATHS,
        },
    }


def make_process(
    config: dict[str, Any], args: Sequence[str], user: str, terminal: bool
) -> dict[str, Any]:
    """The `process` object, of a container's first process or of one executed in it."""
    return {
        "terminal": terminal,
        "user": {"uid": 0, "gid": 0, "username": user},
        "args": list(args),
        "env": environment(config, terminal),
        "cwd": config["WorkingDir"] or "/",
        "capabilities": {
            "bounding": CAPABILITIES,
            "effective": CAPABILITIES,
            "permitted": CAPABILITIES,
        },
    }


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
