"""A cgroup: the kernel's name for "all the processes of this container".

What the kernel offers. A *control group* is a set of processes, and a directory in a filesystem of
the kernel's: mkdir(2) makes one, writing a number to a file in it moves a process there, and what
that process forks is in it too, whatever it does to get out. Other files act on all of them at
once: stop them (freezer), count them, limit their memory, decide which devices they may use.

Why a container needs one. A PID namespace says who sees whom, but nothing outside can say "all of
them": `commit` has to stop a container while it copies its files; `kill` must not be outrun by a
fork. And capabilities cannot tell devices apart: CAP_MKNOD, which every container has, gives the
host's disks to whoever the *devices* controller does not stop.

What breaks when the order is wrong. A process must be in its cgroup before it becomes the
container's program: what it had forked by then would stay outside for ever, uncounted and with all
devices. And it must be there before it makes its cgroup namespace, since the root of that
namespace is where the process stands at that moment. So: the cgroup is made and its policy written
(`prepare`), then the child that will become the container joins it by itself (`enter`).

    place.py       where it lies: which hierarchies, which directory
    settings.py    which field of config.json is which file of v1 and of v2
    limits.py      what it may use, written; and changed while it runs
    processes.py   all of them at once: freeze, thaw, list, kill
    stats.py       what they have used
    mounts.py      what a container sees of it
    oom.py         whether one was killed for want of memory
    systemd.py     asking systemd for it, where that is wanted

A cgroup is one of the two things of a container (the other is its directory) that the kernel does
not remove with its last process. Who ran it does; and when that one was killed, the next command
finds the empty directory in `leftovers` and removes it.

See: cgroups(7), cgroup_namespaces(7), https://docs.kernel.org/admin-guide/cgroup-v2.html,
https://github.com/opencontainers/runtime-spec/blob/main/config-linux.md#control-groups
"""

from __future__ import annotations

import os
import time

from minidock.errors import StartFailed
from minidock.isolation.cgroups import v1, v2
from minidock.isolation.cgroups.control_file import write_through
from minidock.isolation.cgroups.place import (
    PARENT,
    Cgroup,
    absolute_path,
    find_cgroup,
    joined_part,
)
from minidock.isolation.cgroups.processes import freeze, is_frozen, kill, processes, thaw
from minidock.linux.cgroupfs import read_cgroup_facts
from minidock.record import Record
from minidock.spec.resources import Resources
from minidock.step import Step

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Container
    from typing import ClassVar

    from minidock.linux.cgroupfs import CgroupFacts
    from minidock.linux.kernel import Kernel
    from minidock.spec.runtime import Spec
    from minidock.step import Context


__all__ = (  # with what is defined here, all that other packages use of cgroups
    "PARENT",
    "Cgroup",
    "find_cgroup",
    "freeze",
    "is_frozen",
    "kill",
    "processes",
    "thaw",
)


class CgroupPlan(Record):
    """Steps for two phases of a start, see runtime/plan.py. `namespace_later` is "cgroup" where
    only init is in the cgroup, so that init has to make the cgroup namespace."""

    prepare: tuple[Step, ...]
    join: tuple[Step, ...]
    namespace_later: str = ""


# ── Steps ──


class MakeCgroup(Step):
    """Make the container's cgroup, empty. One of ours that is there already was left by an earlier
    run, and is made anew, without its settings; somebody else's may have been prepared for us."""

    directory: str
    anew: bool = True
    see: ClassVar[tuple[str, ...]] = ("cgroups(7)", "mkdir(2)")

    def describe(self) -> str:
        return f"make the cgroup {self.directory}"

    def apply(self, kernel: Kernel, ctx: Context) -> None:
        try:
            _make_with_parents(kernel, self.directory)
        except FileExistsError:
            if self.anew:
                kernel.rmdir(self.directory)  # EBUSY if somebody is still in there
                kernel.mkdir(self.directory, 0o755)
            else:
                self._check_empty(kernel)

    def _check_empty(self, kernel: Kernel) -> None:
        fd = kernel.open(f"{self.directory}/cgroup.procs", os.O_RDONLY)
        try:
            inside = kernel.read(fd, 4096).split()
        finally:
            kernel.close(fd)
        if inside:
            raise StartFailed(f"cgroup {self.directory} is in use by process {int(inside[0])}")

    def undo(self, kernel: Kernel, ctx: Context) -> None:
        # A process that was killed a moment ago may still be on its way out: EBUSY.
        for pause in (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1):
            try:
                return kernel.rmdir(self.directory)
            except FileNotFoundError:
                return None
            except OSError:
                time.sleep(pause)
        return kernel.rmdir(self.directory)


def _make_with_parents(kernel: Kernel, directory: str) -> None:
    try:
        kernel.mkdir(directory, 0o755)
    except FileNotFoundError:
        try:
            _make_with_parents(kernel, os.path.dirname(directory))
        except FileExistsError:
            pass  # somebody else starts the first container at the same time
        kernel.mkdir(directory, 0o755)


class JoinCgroup(Step):
    """Put the process that applies this, and all it will fork, into the cgroup."""

    file: str
    see: ClassVar[tuple[str, ...]] = ("cgroups(7)",)

    def describe(self) -> str:
        return f"join the cgroup {os.path.dirname(self.file)}, with all processes still to come"

    def apply(self, kernel: Kernel, ctx: Context) -> None:
        write_through(kernel, self.file, "0")  # 0: whoever writes


class OpenCgroup(Step):
    """v2: have init born in the cgroup, instead of joining it; see v2.py."""

    directory: str
    see: ClassVar[tuple[str, ...]] = ("clone3(2)", "cgroups(7)")

    def describe(self) -> str:
        return f"open the cgroup {self.directory}: init will be born in it"

    def apply(self, kernel: Kernel, ctx: Context) -> None:
        ctx.cgroup = kernel.open(self.directory, os.O_RDONLY | os.O_DIRECTORY)


# ── planning ──


def plan_cgroups(spec: Spec, facts: CgroupFacts) -> CgroupPlan:
    """Make the cgroup, set its limits and device policy; then join it. Raises as `find_cgroup`
    does, and `StartFailed` for limits that this host cannot set."""
    cgroup = joined_cgroup(spec, facts)
    limits = (*_plan_limits(cgroup, spec), _plan_devices(cgroup, spec))
    if ":" in spec.cgroups_path:
        from minidock.isolation.cgroups.systemd import plan_scope

        scope = plan_scope(spec.cgroups_path, spec.resources, cgroup)
        make = (MakeCgroup(d, anew=False) for c, d in cgroup.v1 if c == "cpuset")
        return CgroupPlan(
            prepare=(*make, *_plan_cpuset(cgroup, facts)),
            join=(*scope, *_plan_hand_down(cgroup, facts), *limits),
        )
    anew = absolute_path(spec.cgroups_path).startswith(f"{PARENT}/")
    born = _may_be_born(spec, cgroup, facts)
    join = _join(cgroup)
    if born:
        join = (*_join(cgroup.but(unified="")), OpenCgroup(cgroup.unified))
    return CgroupPlan(
        prepare=(
            *_plan_hand_down(cgroup, facts),
            *(MakeCgroup(directory, anew) for directory in cgroup.directories),
            *_plan_cpuset(cgroup, facts),
            *limits,
        ),
        join=join,
        namespace_later="cgroup" if born and spec.makes_namespace("cgroup") else "",
    )


def _may_be_born(spec: Spec, cgroup: Cgroup, facts: CgroupFacts) -> bool:
    """Whether init can begin in its v2 cgroup. Root of a new user namespace may not put anybody
    there, nor may who has another cgroup namespace."""
    if not facts.clone_into or not cgroup.unified or spec.has_namespace("user"):
        return False
    return spec.makes_namespace("cgroup") or not spec.has_namespace("cgroup")


def joined_cgroup(spec: Spec, facts: CgroupFacts) -> Cgroup:
    """The places that a container with this spec joins. Raises as `find_cgroup` does."""
    cgroup = find_cgroup(spec.cgroups_path, facts)
    return joined_part(cgroup, _asked(cgroup, spec))


# limits.py is imported only for a container that has limits: most have none.


def _has_limits(spec: Spec) -> bool:
    return spec.resources.but(devices=()) != Resources()


def _asked(cgroup: Cgroup, spec: Spec) -> tuple[str, ...]:
    if not _has_limits(spec):
        return ()
    from minidock.isolation.cgroups.limits import asked_controllers

    return asked_controllers(cgroup, spec.resources)


def _plan_limits(cgroup: Cgroup, spec: Spec) -> list[Step]:
    if not _has_limits(spec):
        return []
    from minidock.isolation.cgroups.limits import plan_limits

    return plan_limits(cgroup, spec.resources)


def _plan_hand_down(cgroup: Cgroup, facts: CgroupFacts) -> list[Step]:
    if not cgroup.handed_down:
        return []
    from minidock.isolation.cgroups.limits import plan_hand_down

    return plan_hand_down(cgroup, facts)


def _plan_cpuset(cgroup: Cgroup, facts: CgroupFacts) -> tuple[Step, ...]:
    """v1: nobody can join a cpuset that is empty."""
    directory, hierarchy = cgroup.v1_directory("cpuset"), facts.hierarchy_of("cpuset")
    if not directory or not hierarchy:
        return ()
    from minidock.isolation.cgroups.limits import CopyCpuset

    return (CopyCpuset(hierarchy.mount_point, directory),)


def _plan_devices(cgroup: Cgroup, spec: Spec) -> Step:
    from minidock.isolation.cgroups.device_policy import container_policy

    policy = container_policy(spec.resources.devices)
    directory = cgroup.v1_directory("devices")
    if directory:
        return v1.SetDevices(directory, policy)
    return v2.AttachDeviceFilter(cgroup.unified, policy)


def plan_join(spec: Spec, facts: CgroupFacts) -> tuple[Step, ...]:
    """Join the cgroup of a container that runs, also where an `update` has brought it later. Raises
    as `find_cgroup` does."""
    cgroup = find_cgroup(spec.cgroups_path, facts)
    later = [controller for controller, directory in cgroup.v1 if os.path.isdir(directory)]
    return _join(joined_part(cgroup, (*_asked(cgroup, spec), *later)))


def _join(cgroup: Cgroup) -> tuple[Step, ...]:
    return tuple(
        JoinCgroup(f"{d}/{v2.JOIN_FILE if d == cgroup.unified else v1.JOIN_FILE}")
        for d in cgroup.directories
    )


def cgroup_directories(spec: Spec, facts: CgroupFacts | None = None) -> tuple[str, ...]:
    """Every directory that may have to be removed when the container has ended (an `update` can
    have joined more than the start did); asks for `facts` not given."""
    return find_cgroup(spec.cgroups_path, facts or read_cgroup_facts()).directories


# ── afterwards ──


def remove_cgroups(container_id: str, cgroup_parent: str = PARENT) -> bool:
    """`remove` what is still there of a container that has ended; see there."""
    try:
        cgroup = find_cgroup(f"{cgroup_parent}/{container_id}", read_cgroup_facts())
    except StartFailed:
        return True  # no hierarchy is mounted any more
    return remove(cgroup)


def remove(cgroup: Cgroup, timeout: float = 0.5) -> bool:
    """Remove an empty cgroup with the empty ones that the container made below it.

    The kernel says EBUSY for some milliseconds while it takes the last process out. False when
    something is still in it after `timeout` seconds.
    """
    deadline = time.monotonic() + timeout
    pause = 0.0005
    while not all(map(_remove_tree, cgroup.directories)):
        if time.monotonic() > deadline:
            return False
        time.sleep(pause)
        pause = min(2 * pause, 0.02)
    return True


def _remove_tree(directory: str) -> bool:
    try:
        os.rmdir(directory)
        return True
    except FileNotFoundError:
        return True
    except OSError:
        pass  # EBUSY: not empty yet, or something is below
    for below, _, _ in os.walk(directory, topdown=False):
        try:
            os.rmdir(below)
        except OSError:
            continue
    return not os.path.isdir(directory)


def leftovers(
    facts: CgroupFacts, keep: Container[str], now: float, older_than: float = 60.0
) -> list[Cgroup]:
    """The cgroups of ours that belong to no container in `keep` (ids), for `remove`.

    `now` is the time of day in seconds. Younger ones than `older_than` seconds are left out: a
    minidock with another state root may be starting a container of its own beside us.
    """
    names: set[str] = set()
    for parent in find_cgroup(PARENT, facts).directories:
        try:
            entries = list(os.scandir(parent))
        except FileNotFoundError:
            continue
        for entry in entries:
            if entry.is_dir(follow_symlinks=False) and entry.name not in keep:
                try:
                    old = now - entry.stat(follow_symlinks=False).st_ctime > older_than
                except FileNotFoundError:
                    continue
                if old:
                    names.add(entry.name)
    return [find_cgroup(f"{PARENT}/{name}", facts) for name in sorted(names)]
