"""Asking systemd for the cgroup, instead of making it.

Where systemd is PID 1 it considers the cgroup tree its own: what it did not make it may ignore, or,
on a reload, put back in order. An engine that wants peace with it (Kubernetes is usually set up so)
passes `--systemd-cgroup`, and `linux.cgroupsPath` then does not name a path, but a *scope*, a unit
that holds processes which systemd did not start:

    machine.slice:libpod:4711   →   /machine.slice/libpod-4711.scope
    a-b.slice:cri:4711          →   /a.slice/a-b.slice/cri-4711.scope        ("-" is the hierarchy)

The scope is made by the process that will stand in it, for itself: it calls StartTransientUnit over
D-Bus (dbus.py) and waits until systemd has moved it. Limits are given as properties of the unit, so
that systemd knows them; and then written into the cgroup's files as well, since systemd's
properties do not cover all of them. `Delegate` says that what lies below is ours to arrange.

When the last process has gone, so has the scope; even when it failed (`CollectMode`).

See: systemd.scope(5), systemd.resource-control(5), org.freedesktop.systemd1(5),
https://systemd.io/CGROUP_DELEGATION/
"""

from __future__ import annotations

import os

from minidock.errors import BadJSON, StartFailed
from minidock.isolation.cgroups.control_file import write_through
from minidock.isolation.cgroups.dbus import Bus, BusError
from minidock.isolation.cgroups.settings import cpu_weight
from minidock.linux.kernel import LinuxKernel
from minidock.record import Record
from minidock.step import Step

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import ClassVar

    from minidock.isolation.cgroups.place import Cgroup
    from minidock.linux.kernel import Kernel
    from minidock.spec.resources import Resources
    from minidock.step import Context

    Property = tuple[str, tuple[str, object]]  # name, (signature, value)

_DESTINATION = "org.freedesktop.systemd1"
_OBJECT = "/org/freedesktop/systemd1"
_MANAGER = "org.freedesktop.systemd1.Manager"
_INFINITY = 2**64 - 1
_MOST_PROCESSORS = 8192  # as many as Linux can be built for
DEFAULT_SLICE = "system.slice"


class Unit(Record):
    """A scope (or, if its name says so, a slice) and the slice it is in."""

    slice: str
    name: str

    @property
    def path(self) -> str:
        """Where its cgroup lies below a hierarchy's mount point."""
        return f"{_expand(self.slice)}/{self.name}"


def unit_path(cgroups_path: str, container_id: str) -> str:
    """What `--systemd-cgroup` makes of `linux.cgroupsPath`: as it is, or a default where it is
    missing. Raises `BadJSON` for a path of the other form."""
    path = cgroups_path or f"{DEFAULT_SLICE}:minidock:{container_id}"
    parse_unit(path)
    return path


def parse_unit(cgroups_path: str) -> Unit:
    """From `slice:prefix:name`. Raises `BadJSON`."""
    parts = cgroups_path.split(":")
    if len(parts) != 3 or not parts[2]:
        raise BadJSON(
            "config.json: linux.cgroupsPath is not of the form slice:prefix:name, as systemd needs"
            f" it: {cgroups_path!r}"
        )
    slice_name, prefix, name = parts
    if "/" in prefix + name:
        raise BadJSON(f"config.json: linux.cgroupsPath: not the name of a unit: {cgroups_path!r}")
    if not name.endswith(".slice"):
        name = f"{prefix}-{name}.scope" if prefix else f"{name}.scope"
    unit = Unit(slice_name or DEFAULT_SLICE, name)
    _expand(unit.slice)
    return unit


def _expand(slice_name: str) -> str:
    """`a-b.slice` lies in `a.slice`: /a.slice/a-b.slice. The root is `-.slice`. Raises `BadJSON`"""
    if slice_name == "-.slice":
        return ""
    name = slice_name.removesuffix(".slice")
    words = name.split("-")
    if name == slice_name or "/" in name or not all(words):
        raise BadJSON(f"config.json: linux.cgroupsPath: not the name of a slice: {slice_name!r}")
    return "".join(f"/{'-'.join(words[:n])}.slice" for n in range(1, len(words) + 1))


class StartScope(Step):
    """Have systemd make a scope with this process in it."""

    unit: Unit
    properties: tuple[Property, ...]
    see: ClassVar[tuple[str, ...]] = ("systemd.scope(5)", "org.freedesktop.systemd1(5)")

    def describe(self) -> str:
        limits = ", ".join(f"{name}={value}" for name, (_, value) in self.properties)
        return f"ask systemd for {self.unit.name} in {self.unit.slice}, with this process: {limits}"

    def apply(self, kernel: Kernel, ctx: Context) -> None:
        me: Property = ("PIDs", ("au", [os.getpid()]))
        start_unit(kernel, self.unit, (me, *self.properties))


def start_unit(kernel: Kernel, unit: Unit, properties: tuple[Property, ...]) -> None:
    """Start a transient unit and wait for it. Raises `StartFailed`."""
    bus = _connect(kernel)
    try:
        try:
            job = _start(bus, unit, properties)
        except BusError as error:
            if not error.name.endswith(".UnitExists"):
                raise
            # One that failed stays until somebody has looked at it.
            _call(bus, "ResetFailedUnit", "s", unit.name)
            job = _start(bus, unit, properties)
        while True:
            _, path, _, result = bus.wait_for_signal("JobRemoved")
            if path == job:
                break
    except BusError as error:
        raise StartFailed(f"systemd does not start {unit.name}: {error.message}") from None
    finally:
        bus.close()
    if result != "done":
        raise StartFailed(f"systemd does not start {unit.name}: {result}")


def set_properties(cgroups_unit: str, properties: tuple[Property, ...]) -> None:
    """Change limits of a unit until the next boot. Raises `StartFailed`."""
    bus = _connect(LinuxKernel())
    try:
        _call(bus, "SetUnitProperties", "sba(sv)", cgroups_unit, True, list(properties))
    except BusError as error:
        raise StartFailed(f"systemd does not change {cgroups_unit}: {error.message}") from None
    finally:
        bus.close()


def _connect(kernel: Kernel) -> Bus:
    try:
        return Bus(kernel)
    except OSError as error:
        reason = os.strerror(error.errno or 0).lower()
        raise StartFailed(
            f"cannot ask systemd for a cgroup: {reason}", hint="is systemd PID 1 of this machine?"
        ) from None


def _start(bus: Bus, unit: Unit, properties: tuple[Property, ...]) -> object:
    signature = "ssa(sv)a(sa(sv))"  # name, mode, properties, further units
    return _call(bus, "StartTransientUnit", signature, unit.name, "fail", properties, ())[0]


def _call(bus: Bus, member: str, signature: str, *arguments: object) -> list[object]:
    return bus.call(_DESTINATION, _OBJECT, _MANAGER, member, signature, *arguments)


# ── planning ──


class JoinProcs(Step):
    """v1: join a directory that systemd has not put this process into, made if missing."""

    directory: str
    see: ClassVar[tuple[str, ...]] = ("cgroups(7)",)

    def describe(self) -> str:
        return f"join the cgroup {self.directory}, too"

    def apply(self, kernel: Kernel, ctx: Context) -> None:
        self._make(kernel, self.directory)
        write_through(kernel, f"{self.directory}/tasks", "0")

    def _make(self, kernel: Kernel, directory: str) -> None:
        try:
            kernel.mkdir(directory, 0o755)
        except FileExistsError:
            pass
        except FileNotFoundError:
            self._make(kernel, os.path.dirname(directory))
            kernel.mkdir(directory, 0o755)


def scope_properties(unit: Unit, resources: Resources, *, v2: bool) -> tuple[Property, ...]:
    """All that a new scope is given."""
    io = "IOAccounting" if v2 else "BlockIOAccounting"
    accounting = ("MemoryAccounting", "CPUAccounting", io, "TasksAccounting")
    is_slice = unit.name.endswith(".slice")
    return (
        ("Description", ("s", f"container {unit.name}")),
        ("Wants", ("as", [unit.slice])) if is_slice else ("Slice", ("s", unit.slice)),
        *(() if is_slice else (("Delegate", ("b", True)),)),
        ("DefaultDependencies", ("b", False)),
        ("CollectMode", ("s", "inactive-or-failed")),
        *((name, ("b", True)) for name in accounting),
        *limit_properties(resources, v2=v2),
    )


def limit_properties(resources: Resources, *, v2: bool) -> tuple[Property, ...]:
    """What of `linux.resources` systemd has properties for. (runc: genV2ResourcesProperties)"""
    memory, cpu = resources.memory, resources.cpu
    found: list[tuple[str, int | None]] = []
    found.append(("MemoryMax" if v2 else "MemoryLimit", memory.limit or None))
    if v2:
        found.append(("MemoryLow", memory.reservation or None))
        found.append(("CPUWeight", cpu_weight(cpu.shares) if cpu.shares else None))
    else:
        found.append(("CPUShares", cpu.shares or None))
    found.append(("TasksMax", resources.pids_limit or None))
    found.append(("CPUQuotaPeriodUSec", cpu.period or None))
    if cpu.quota or cpu.period:
        found.append(("CPUQuotaPerSecUSec", _quota_per_second(cpu.quota or -1, cpu.period or 0)))
    properties: list[Property] = [
        (name, ("t", _INFINITY if value < 0 else value))
        for name, value in found
        if value is not None
    ]
    for name, field, text in (
        ("AllowedCPUs", "cpus", cpu.cpus),
        ("AllowedMemoryNodes", "mems", cpu.mems),
    ):
        if text and v2:
            properties.append((name, ("ay", list(_bits(text, field)))))
    return tuple(properties)


def _quota_per_second(quota: int, period: int) -> int:
    """Microseconds in each second, in whole percents, rounded up (as systemd counts them)."""
    if quota < 0:
        return -1
    return -(-(quota * 1_000_000 // (period or 100_000)) // 10_000) * 10_000


def _bits(numbers: str, field: str) -> bytes:
    """ "0-2,4" → bits 0, 1, 2, 4, lowest byte first. Raises `StartFailed`."""
    mask = 0
    try:
        for part in numbers.split(","):
            first, _, last = part.partition("-")
            if int(last or first) > _MOST_PROCESSORS:
                raise ValueError
            for number in range(int(first), int(last or first) + 1):
                mask |= 1 << number
    except ValueError:
        where = f"linux.resources.cpu.{field}"
        raise StartFailed(f"{where}: not a list of numbers: {numbers!r}") from None
    return mask.to_bytes(mask.bit_length() // 8 + 1, "little")


def plan_scope(cgroups_path: str, resources: Resources, cgroup: Cgroup) -> tuple[Step, ...]:
    """For the process that will be in it: ask for the scope, and stand there in every hierarchy."""
    unit = parse_unit(cgroups_path)
    properties = scope_properties(unit, resources, v2=not cgroup.v1)
    directories = dict.fromkeys(directory for _, directory in cgroup.v1)
    return (StartScope(unit, properties), *(JoinProcs(directory) for directory in directories))
