"""A container's posture: what it may do and see when nobody said anything else.

Which capabilities it keeps, what of /proc and /sys it does not see, which devices it has. Each list
is Docker's of version 28.

See: capabilities(7), https://docs.docker.com/engine/security/, isolation/ for what each is about
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

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


def device_nodes() -> list[dict[str, Any]]:
    """`linux.devices` of every container."""
    return [
        {"path": path, "type": "c", "major": major, "minor": minor, "fileMode": 0o666}
        for path, major, minor in DEVICES
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
