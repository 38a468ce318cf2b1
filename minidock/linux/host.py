"""Facts about this host that a plan depends on, gathered once, before anything is done.

Plans are pure functions of a `Spec` and these facts. So a fallback is decided here and printed like
any other step, and a plan for a machine of another kind can be made in a test.

See: proc(5), capabilities(7), random(4) on boot_id
"""

from __future__ import annotations

import os

from minidock.errors import StoreError
from minidock.linux.cgroupfs import CgroupFacts, read_cgroup_facts
from minidock.record import Record

FILTER_CACHE = "/run/minidock/seccomp"  # the machine's, whatever state root is used
LEAST_KERNEL = (5, 12)  # mount_setattr(2), which seal.py and bind mounts need


class HostFacts(Record):
    """What planning needs to know."""

    kernel: tuple[int, int]
    capabilities: int  # bounding set of this process, as bits: the most it can hand on
    last_capability: int
    cgroups: CgroupFacts = CgroupFacts()
    rights: int = (1 << 64) - 1  # effective set of this process
    apparmor: str = ""  # which file below /proc/self/attr AppArmor reads, "" where it is not there
    selinux: bool = False
    machine: str = "x86_64"  # as uname(2) has it
    filter_cache: str = ""  # directory of compiled filters, see isolation/seccomp/cache.py


def read_facts() -> HostFacts:
    """Ask this machine. Raises `StoreError` where the kernel is too old to do what is needed."""
    kernel = kernel_version()
    if kernel < LEAST_KERNEL:
        raise StoreError(f"Linux {os.uname().release} is too old: minidock needs 5.12 or newer")
    status = _read("/proc/self/status")
    return HostFacts(
        kernel=kernel,
        capabilities=int(_field(status, "CapBnd"), 16),
        last_capability=int(_read("/proc/sys/kernel/cap_last_cap")),
        cgroups=_cgroups(),
        rights=int(_field(status, "CapEff"), 16),
        apparmor=_apparmor(),
        selinux=os.path.exists("/sys/fs/selinux/enforce"),
        machine=os.uname().machine,
        filter_cache=FILTER_CACHE,
    )


def _cgroups() -> CgroupFacts:
    cgroups = read_cgroup_facts()
    if not cgroups.unified:
        return cgroups
    from minidock.linux.syscalls import has_clone3

    return cgroups.but(clone_into=has_clone3())


def kernel_version() -> tuple[int, int]:
    """(6, 1) of Linux 6.1.0-13-amd64"""
    first, second = os.uname().release.split(".")[:2]
    return int("".join(filter(str.isdigit, first))), int("".join(filter(str.isdigit, second)))


def boot_id() -> str:
    """A random name that the kernel gives each boot; a PID means nothing after another one."""
    return _read("/proc/sys/kernel/random/boot_id").strip()


def start_time(pid: int) -> int:
    """When a process started, in clock ticks since boot: with its PID, its identity for this boot.

    0 when there is no such process, or only its zombie. Field 22 of /proc/pid/stat,
    proc_pid_stat(5)
    """
    try:
        text = _read(f"/proc/{pid}/stat")
    except (FileNotFoundError, ProcessLookupError):
        return 0
    # The second field is the program's name, which may contain anything, even ") R 1 1".
    fields = text.rpartition(")")[2].split()
    return 0 if fields[0] in "ZX" else int(fields[19])


def _read(path: str) -> str:
    with open(path, encoding="utf-8", errors="replace") as file:
        return file.read()


def _apparmor() -> str:
    try:
        if not _read("/sys/module/apparmor/parameters/enabled").startswith("Y"):
            return ""
    except OSError:
        return ""
    # The old name is shared by all security modules, so it may belong to another one. Linux 5.8
    return "apparmor/exec" if os.path.exists("/proc/self/attr/apparmor/exec") else "exec"


def _field(status: str, name: str) -> str:
    for line in status.splitlines():
        if line.startswith(name + ":"):
            return line.split(":", 1)[1].strip()
    raise StoreError(f"/proc/self/status has no {name}: is /proc mounted?")
