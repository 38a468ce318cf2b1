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

Which hierarchy (linux/cgroupfs.py draws them). On v1 the container joins only those it needs, one
line each in `CONTROLLERS`. v2 takes the part of what v1 does not have here; on a hybrid machine
where v1 has all of it, the container stays out of the unified hierarchy, since joining costs 14 ms
and gives nothing more.

    v1        /sys/fs/cgroup/devices/minidock/<id>    /sys/fs/cgroup/freezer/minidock/<id>
    v2        /sys/fs/cgroup/minidock/<id>

A cgroup is one of the two things of a container (the other is its directory) that the kernel does
not remove with its last process. Who ran it does; and when that one was killed, the next command
finds the empty directory in `leftovers` and removes it.

See: cgroups(7), cgroup_namespaces(7), https://docs.kernel.org/admin-guide/cgroup-v2.html,
https://github.com/opencontainers/runtime-spec/blob/main/config-linux.md#control-groups
"""

from __future__ import annotations

import os
import time

from minidock.errors import BadJSON, Conflict, StartFailed
from minidock.isolation.cgroups import v1, v2
from minidock.isolation.cgroups.control_file import read_control, write_through
from minidock.linux.cgroupfs import read_cgroup_facts
from minidock.record import Record
from minidock.step import Step

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Container
    from typing import ClassVar

    from minidock.linux.cgroupfs import CgroupFacts
    from minidock.linux.kernel import Kernel
    from minidock.spec.runtime import Spec
    from minidock.step import Context

PARENT = "/minidock"
# What a container's cgroup is for. A controller of v1 is joined where its hierarchy is mounted.
# ("cpuset" would need its cpus and mems written before anybody may join.)
CONTROLLERS = ("devices", "freezer")


class Cgroup(Record):
    """Where one container's cgroup lies in the filesystem.

    `v1` has (controller, directory) pairs; one directory may serve several controllers. `unified`
    is the directory of v2, "" where it is not used.
    """

    v1: tuple[tuple[str, str], ...] = ()
    unified: str = ""

    @property
    def directories(self) -> tuple[str, ...]:
        """Each directory once; all hold the same processes."""
        directories = [directory for _, directory in self.v1]
        return tuple(dict.fromkeys(directories + ([self.unified] if self.unified else [])))

    def v1_directory(self, controller: str) -> str:
        """Where v1 has this controller; "" where v2 is asked instead."""
        return dict(self.v1).get(controller, "")


class CgroupPlan(Record):
    """Steps for two phases of a start, see runtime/plan.py."""

    prepare: tuple[Step, ...]
    join: tuple[Step, ...]


# ── Steps ──


class MakeCgroup(Step):
    """Make the container's cgroup, new and empty."""

    directory: str
    see: ClassVar[tuple[str, ...]] = ("cgroups(7)", "mkdir(2)")

    def describe(self) -> str:
        return f"make the cgroup {self.directory}"

    def apply(self, kernel: Kernel, ctx: Context) -> None:
        try:
            _make_with_parents(kernel, self.directory)
        except FileExistsError:
            # Left by an earlier run of this container. Begin anew, without its settings; EBUSY if
            # somebody is still in there.
            kernel.rmdir(self.directory)
            kernel.mkdir(self.directory, 0o755)

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


# ── planning ──


def find_cgroup(cgroups_path: str, facts: CgroupFacts) -> Cgroup:
    """Where the cgroup of this `linux.cgroupsPath` lies on this host, made or not.

    Raises `BadJSON` for a path that cannot be meant, `StartFailed` where no hierarchy is mounted
    that could hold it.
    """
    path = _absolute(cgroups_path)
    found = [(c, facts.hierarchy_of(c)) for c in CONTROLLERS]
    places = tuple((c, hierarchy.mount_point + path) for c, hierarchy in found if hierarchy)
    if len(places) == len(CONTROLLERS):
        return Cgroup(places)
    if not facts.unified:
        missing = ", ".join(c for c, hierarchy in found if not hierarchy)
        raise StartFailed(
            f"no cgroup hierarchy is mounted that controls {missing}",
            hint="mount -t cgroup2 cgroup2 /sys/fs/cgroup",
        )
    return Cgroup(places, facts.unified + path)


def _absolute(cgroups_path: str) -> str:
    """From a hierarchy's mount point on; a relative path is below ours."""
    where = "config.json: linux.cgroupsPath"
    if ":" in cgroups_path:
        raise BadJSON(f"{where}: minidock does not ask systemd for cgroups: {cgroups_path!r}")
    parts = [part for part in cgroups_path.split("/") if part not in ("", ".")]
    if not parts:
        raise BadJSON(f"{where} is missing")
    if ".." in parts:
        raise BadJSON(f"{where} leads out of the hierarchy: {cgroups_path!r}")
    prefix = "" if cgroups_path.startswith("/") else PARENT
    return f"{prefix}/{'/'.join(parts)}"


def plan_cgroups(spec: Spec, facts: CgroupFacts) -> CgroupPlan:
    """Make the cgroup and set its device policy; then join it. Raises as `find_cgroup` does."""
    from minidock.isolation.cgroups.device_policy import container_policy

    cgroup = find_cgroup(spec.cgroups_path, facts)
    policy = container_policy(spec.resources.devices)
    devices = cgroup.v1_directory("devices")
    return CgroupPlan(
        prepare=(
            *(MakeCgroup(directory) for directory in cgroup.directories),
            v1.SetDevices(devices, policy)
            if devices
            else v2.AttachDeviceFilter(cgroup.unified, policy),
        ),
        join=_join(cgroup),
    )


def plan_join(spec: Spec, facts: CgroupFacts) -> tuple[Step, ...]:
    """Join the cgroup of a container that runs. Raises as `find_cgroup` does."""
    return _join(find_cgroup(spec.cgroups_path, facts))


def _join(cgroup: Cgroup) -> tuple[Step, ...]:
    return tuple(
        JoinCgroup(f"{d}/{v2.JOIN_FILE if d == cgroup.unified else v1.JOIN_FILE}")
        for d in cgroup.directories
    )


def cgroup_directories(spec: Spec, facts: CgroupFacts | None = None) -> tuple[str, ...]:
    """The directories to remove when the container has ended; asks for `facts` not given."""
    return find_cgroup(spec.cgroups_path, facts or read_cgroup_facts()).directories


def cgroup_mounts(facts: CgroupFacts) -> list[tuple[str, str, str, int, str]]:
    """What to mount for a container to see its cgroup, and only that, read-only: (source, target,
    type, flags, data) of mount(2), in order.

    Valid in a cgroup namespace of its own. On v1 only the joined hierarchies are shown: in the
    others the namespace's root is wherever the host's process stood.
    """
    from minidock.linux.flags import MountFlag

    target = "/sys/fs/cgroup"
    flags = MountFlag.MS_NOSUID | MountFlag.MS_NODEV | MountFlag.MS_NOEXEC
    readonly = flags | MountFlag.MS_RDONLY
    joined = dict.fromkeys(filter(None, (facts.hierarchy_of(c) for c in CONTROLLERS)))
    if not joined:
        return [("cgroup", target, "cgroup2", readonly, "")]
    shown = [
        ("cgroup", f"{target}/{os.path.basename(h.mount_point)}", "cgroup", readonly, data)
        for h in joined
        for data in (",".join(h.controllers),)
    ]
    return [
        ("tmpfs", target, "tmpfs", flags, "mode=755,size=64k"),
        *shown,
        # Read-only once the mount points are made in it.
        ("tmpfs", target, "", MountFlag.MS_REMOUNT | MountFlag.MS_BIND | readonly, ""),
    ]


# ── a running container, from outside ──


def freeze(cgroup: Cgroup, timeout: float = 10.0) -> None:
    """Stop every process of the container. Raises `Conflict` when one would not stop within
    `timeout` seconds (it waits for a disk or network filesystem); then none is stopped."""
    directory = cgroup.v1_directory("freezer")
    stopped = v1.freeze(directory, timeout) if directory else v2.freeze(cgroup.unified, timeout)
    if not stopped:
        raise Conflict("cannot pause the container: a process is in an uninterruptible wait")


def thaw(cgroup: Cgroup) -> None:
    """Let the container's processes go on. Raises `OSError` where the cgroup is gone."""
    directory = cgroup.v1_directory("freezer")
    if directory:
        v1.thaw(directory)
    else:
        v2.thaw(cgroup.unified)


def is_frozen(cgroup: Cgroup) -> bool:
    """Whether the container is stopped. Raises `OSError` where the cgroup is gone."""
    directory = cgroup.v1_directory("freezer")
    return v1.is_frozen(directory) if directory else v2.is_frozen(cgroup.unified)


def processes(cgroup: Cgroup) -> tuple[int, ...]:
    """PIDs, as this process sees them, of all that is in the cgroup or below; sorted."""
    pids: set[int] = set()
    for directory, _, _ in os.walk(cgroup.directories[0]):
        try:
            pids.update(map(int, read_control(f"{directory}/cgroup.procs").split()))
        except FileNotFoundError:
            continue  # removed since
    return tuple(sorted(pids))


def kill(cgroup: Cgroup, timeout: float = 10.0) -> bool:
    """Kill every process of the container; True when none is left.

    They are stopped first: what stands still cannot fork, nor end and leave its number to another.
    """
    import signal

    if cgroup.unified and not cgroup.v1 and v2.kill(cgroup.unified):
        return _wait_until_empty(cgroup, timeout)
    deadline = time.monotonic() + timeout
    while processes(cgroup):
        if time.monotonic() > deadline:
            return False
        try:
            freeze(cgroup, timeout=1.0)
        except Conflict:
            pass  # what does not stop is not running either: it waits in the kernel
        for pid in processes(cgroup):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        thaw(cgroup)  # on v1 a stopped process dies only when it goes on
        _wait_until_empty(cgroup, 0.05)
    return True


def _wait_until_empty(cgroup: Cgroup, timeout: float) -> bool:
    deadline = time.monotonic() + timeout
    pause = 0.0002
    while processes(cgroup):
        if time.monotonic() > deadline:
            return False
        time.sleep(pause)
        pause = min(2 * pause, 0.02)
    return True


# ── afterwards ──


def remove_cgroups(container_id: str) -> bool:
    """`remove` what is still there of a container that has ended; see there."""
    try:
        cgroup = find_cgroup(f"{PARENT}/{container_id}", read_cgroup_facts())
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
