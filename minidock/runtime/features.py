"""features and spec: what this runtime can do, and a bundle to begin with.

See: https://github.com/opencontainers/runtime-spec/blob/main/features.md, runc-spec(8)
"""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_HOOKS = (
    "prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop",
)  # fmt: skip
_FILTER_FLAGS = [
    "SECCOMP_FILTER_FLAG_TSYNC", "SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_SPEC_ALLOW",
    "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV",
]  # fmt: skip
_NAMESPACES = ("cgroup", "ipc", "mount", "network", "pid", "time", "user", "uts")


def features(version: str) -> dict[str, Any]:
    """The document of `features`; `version` is this program's."""
    from minidock.isolation import mount_options as options
    from minidock.isolation.seccomp.architectures import NAMES
    from minidock.linux.flags import Capability
    from minidock.runtime.state import OCI_VERSION
    from minidock.spec.seccomp import ACTIONS, OPERATORS

    words = (*options.FLAGS, *options.CLEARING, *options.PROPAGATION)
    modules = _security_modules()
    return {
        "ociVersionMin": "1.0.0",
        "ociVersionMax": OCI_VERSION,
        "hooks": list(_HOOKS),
        "mountOptions": sorted({*words, *options.RECURSIVE, *options.OTHERS}),
        "linux": {
            "namespaces": list(_NAMESPACES),
            "capabilities": [str(capability.name) for capability in Capability],
            "cgroup": {
                "v1": True,
                "v2": True,
                "systemd": True,
                "systemdUser": False,
                "rdma": True,
            },
            "seccomp": {
                "enabled": True,
                "actions": sorted(ACTIONS),
                "operators": sorted(OPERATORS),
                "archs": [f"SCMP_ARCH_{name}" for name in sorted(NAMES)],
                "knownFlags": _FILTER_FLAGS,
                "supportedFlags": _FILTER_FLAGS,
            },
            "apparmor": {"enabled": "apparmor" in modules},
            "selinux": {"enabled": "selinux" in modules},
            "intelRdt": {"enabled": False},
            "mountExtensions": {"idmap": {"enabled": True}},
        },
        "annotations": {"minidock.version": version},
    }


def _security_modules() -> list[str]:
    """What the kernel was booted with. securityfs need not be mounted."""
    try:
        with open("/sys/kernel/security/lsm", encoding="ascii") as file:
            return file.read().strip().split(",")
    except OSError:
        return ["apparmor"] if os.path.isdir("/sys/module/apparmor") else []


def example(*, user_namespace: bool) -> dict[str, Any]:
    """A config.json that runs `sh` in the directory `rootfs`; with a `user_namespace`, as a user
    who is root inside and nobody outside."""
    rights = ["CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"]
    kinds = ["pid", "network", "ipc", "uts", "mount", "cgroup"]
    linux: dict[str, Any] = {
        "resources": {"devices": [{"allow": False, "access": "rwm"}]},
        "namespaces": [{"type": kind} for kind in kinds],
        "maskedPaths": [
            "/proc/acpi", "/proc/asound", "/proc/kcore", "/proc/keys", "/proc/latency_stats",
            "/proc/timer_list", "/proc/timer_stats", "/proc/sched_debug", "/sys/firmware",
            "/proc/scsi",
        ],
        "readonlyPaths": [
            "/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger",
        ],
    }  # fmt: skip
    if user_namespace:
        mapping = [{"containerID": 0, "hostID": os.geteuid() or 100_000, "size": 65_536}]
        linux = {"uidMappings": mapping, "gidMappings": mapping, **linux}
        linux["namespaces"] = [*linux["namespaces"], {"type": "user"}]
    return {
        "ociVersion": "1.2.0",
        "process": {
            "terminal": True,
            "user": {"uid": 0, "gid": 0},
            "args": ["sh"],
            "env": [
                "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                "TERM=xterm",
            ],
            "cwd": "/",
            "capabilities": dict.fromkeys(("bounding", "effective", "permitted"), rights),
            "rlimits": [{"type": "RLIMIT_NOFILE", "hard": 1024, "soft": 1024}],
            "noNewPrivileges": True,
        },
        "root": {"path": "rootfs", "readonly": True},
        "hostname": "minidock",
        "mounts": _mounts(),
        "linux": linux,
    }


def _mounts() -> list[dict[str, Any]]:
    harmless = ("nosuid", "noexec", "nodev")
    rows: tuple[tuple[str, str, tuple[str, ...]], ...] = (
        ("/proc", "proc", harmless),
        ("/dev", "tmpfs", ("nosuid", "strictatime", "mode=755", "size=65536k")),
        (
            "/dev/pts",
            "devpts",
            ("nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"),
        ),
        ("/dev/shm", "tmpfs", (*harmless, "mode=1777", "size=65536k")),
        ("/dev/mqueue", "mqueue", harmless),
        ("/sys", "sysfs", (*harmless, "ro")),
        ("/sys/fs/cgroup", "cgroup", (*harmless, "relatime", "ro")),
    )
    return [
        {"destination": place, "type": kind, "source": kind, "options": list(options)}
        for place, kind, options in rows
    ]
