"""What a container may use: `linux.resources` written into its cgroup, and changed while it runs.

settings.py says which field is which file; here they are written. A wish that cannot be fulfilled,
since the host's kernel lacks the controller or the file, or does not take the value, is an error
that names the field, never a limit that is silently not there.

At a start the cgroup is new and has no limits, so one order of writing fits always. A change of a
running container may have to be written in another order: the kernel compares each value with the
one beside it (memory with memory and swap, quota with period and burst), and what it refuses now it
may take once the other is written. So `update` tries twice.

On v2 a controller works in a cgroup once its parent has handed it down, and the parent's parent to
it, from the root on; a cgroup that has processes of its own cannot ("no internal processes").

See: https://docs.kernel.org/admin-guide/cgroup-v2.html#enabling-and-disabling, cgroups(7)
"""

from __future__ import annotations

import errno
import os

from minidock.errors import StartFailed
from minidock.isolation.cgroups.control_file import read_control, write_control, write_through
from minidock.isolation.cgroups.place import V2_NAMES, Cgroup, joined_part
from minidock.isolation.cgroups.settings import Setting, settings
from minidock.step import Step

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import ClassVar

    from minidock.linux.cgroupfs import CgroupFacts
    from minidock.linux.kernel import Kernel
    from minidock.spec.resources import Resources
    from minidock.step import Context

_HAND_DOWN_HINT = (
    "inside a container: move its processes out of the root cgroup, which then can hand down more"
)
_NO_SUCH_FILE = (errno.ENOENT, errno.EOPNOTSUPP)


class HandDown(Step):
    """v2: let the children of a cgroup have controllers."""

    directory: str
    controllers: tuple[str, ...]
    see: ClassVar[tuple[str, ...]] = ("cgroups(7)",)

    def describe(self) -> str:
        return f"let cgroups below {self.directory} have {', '.join(self.controllers)}"

    def apply(self, kernel: Kernel, ctx: Context) -> None:
        file = f"{self.directory}/cgroup.subtree_control"
        text = " ".join(f"+{controller}" for controller in self.controllers)
        try:
            try:
                write_through(kernel, file, text)
            except FileNotFoundError:  # nobody has needed this cgroup yet
                _make(kernel, self.directory)
                write_through(kernel, file, text)
        except OSError as error:
            raise _cannot_hand_down(self.directory, self.controllers, error) from None


def _make(kernel: Kernel, directory: str) -> None:
    try:
        kernel.mkdir(directory, 0o755)
    except FileExistsError:
        pass  # somebody else starts the first container at the same time


def _cannot_hand_down(directory: str, controllers: tuple[str, ...], error: OSError) -> StartFailed:
    listed = ", ".join(controllers)
    if error.errno == errno.EBUSY:
        return StartFailed(
            f"cgroup {directory} has processes of its own, so it cannot hand down {listed}",
            hint="move them into a cgroup below it; cgroups(7), no internal processes",
        )
    reason = os.strerror(error.errno or 0).lower()
    return StartFailed(f"cgroup {directory} cannot hand down {listed}: {reason}")


class SetLimits(Step):
    """Write what the container may use into its (new) cgroup."""

    directory: str
    settings: tuple[Setting, ...]
    see: ClassVar[tuple[str, ...]] = ("cgroups(7)",)

    def describe(self) -> str:
        words = (" or ".join(f"{f} = {text}" for f, text in s.files) for s in self.settings)
        return f"limit what the container may use: {', '.join(words)}"

    def apply(self, kernel: Kernel, ctx: Context) -> None:
        def write(path: str, text: str) -> None:
            write_through(kernel, path, text)

        for setting in self.settings:
            try:
                write_setting(self.directory, setting, write)
            except OSError as error:
                raise refusal(setting, error) from None


class CopyCpuset(Step):
    """v1: a new cpuset is empty, and nobody may join it before it has processors and memory nodes:
    take over the parent's, from the root down."""

    root: str  # the hierarchy's mount point
    directory: str
    see: ClassVar[tuple[str, ...]] = ("cpuset(7)",)

    def describe(self) -> str:
        return f"give {self.directory} the processors and memory nodes of its parent"

    def apply(self, kernel: Kernel, ctx: Context) -> None:
        names = self.directory.removeprefix(self.root).strip("/").split("/")
        for file in ("cpuset.cpus", "cpuset.mems"):
            directory, above = self.root, _read_through(kernel, f"{self.root}/{file}")
            for name in names:
                directory = f"{directory}/{name}"
                value = _read_through(kernel, f"{directory}/{file}")
                if not value:
                    write_through(kernel, f"{directory}/{file}", above)
                above = value or above


def _read_through(kernel: Kernel, path: str) -> str:
    fd = kernel.open(path, os.O_RDONLY)
    try:
        return kernel.read(fd, 65536).decode("ascii").strip()
    finally:
        kernel.close(fd)


# ── planning ──


def asked_controllers(cgroup: Cgroup, resources: Resources) -> tuple[str, ...]:
    """Which controllers (names on v1) must be joined for these wishes."""
    wishes = settings(resources, cgroup.unified_for)
    asked = [s.controller for s in wishes if not s.default]
    v1_names = {v2: v1 for v1, v2 in V2_NAMES.items() if v2}
    asked += [v1_names.get(_owner(file), "") for file, _ in resources.unified]
    return tuple(dict.fromkeys(filter(None, asked)))


def plan_limits(joined: Cgroup, resources: Resources) -> list[Step]:
    """Write the wishes into the cgroup, once it is made. Raises `StartFailed` for what this host
    cannot do."""
    by_directory: dict[str, list[Setting]] = {}
    for directory, setting in located(joined, resources):
        by_directory.setdefault(directory, []).append(setting)
    return [SetLimits(directory, tuple(group)) for directory, group in by_directory.items()]


def plan_hand_down(joined: Cgroup, facts: CgroupFacts) -> list[Step]:
    """v2: from the root to the cgroup's parent."""
    if not joined.handed_down:
        return []
    steps: list[Step] = []
    parent = facts.unified
    for name in joined.unified.removeprefix(facts.unified).strip("/").split("/"):
        steps.append(HandDown(parent, joined.handed_down))
        parent = f"{parent}/{name}"
    return steps


def located(joined: Cgroup, resources: Resources) -> list[tuple[str, Setting]]:
    """Each wish with the directory it goes to. Raises `StartFailed` where there is none."""
    found = []
    for setting in settings(resources, joined.unified_for):
        directory = joined.v1_directory(setting.controller)
        directory = directory or joined.v2_directory(setting.controller)
        if directory and setting.files:
            found.append((directory, setting))
        elif not setting.default:
            where = f"linux.resources.{setting.field}"
            if directory or V2_NAMES[setting.controller] is None:
                raise StartFailed(f"{where}: cgroup v2 has nothing like it")
            raise StartFailed(
                f"{where}: this host has no cgroup controller {setting.controller}",
                hint=_HAND_DOWN_HINT if joined.unified else "",
            )
    for file, text in resources.unified:
        found.append((_unified_directory(joined, file), _unified_setting(file, text)))
    return found


def _unified_setting(file: str, text: str) -> Setting:
    return Setting(f"unified[{file!r}]", _owner(file), ((file, text),))


def _unified_directory(joined: Cgroup, file: str) -> str:
    """Raises `StartFailed` for a file that is none, or none of v2's here."""
    where = f"linux.resources.unified[{file!r}]"
    if "/" in file or not _owner(file) or _owner(file) == file:
        raise StartFailed(f"{where}: not of the form CONTROLLER.PARAMETER")
    if not joined.unified:
        raise StartFailed(f"{where}: this host has cgroup v1")
    if _owner(file) not in ("cgroup", *joined.handed_down):
        raise StartFailed(f"{where}: this host's cgroup v2 has no controller {_owner(file)}")
    return joined.unified


def _owner(file: str) -> str:
    return file.partition(".")[0]


# ── writing ──


def write_setting(directory: str, setting: Setting, write: Callable[[str, str], object]) -> None:
    """Write the first file that there is. Raises `OSError`; not where a default has no file."""
    for number, (file, text) in enumerate(setting.files, 1):
        try:
            write(f"{directory}/{file}", text)
            return
        except OSError as error:
            if error.errno not in _NO_SUCH_FILE:
                raise
            if number == len(setting.files) and not setting.default:
                raise


def refusal(setting: Setting, error: OSError) -> StartFailed:
    """What to say when the kernel did not take a value."""
    file, text = setting.files[-1]
    where = f"linux.resources.{setting.field}"
    if error.errno in _NO_SUCH_FILE:
        hint = "boot with swapaccount=1" if "memsw" in file or "swap.max" in file else ""
        return StartFailed(f"{where}: this kernel has no {file}", hint=hint)
    reason = os.strerror(error.errno or 0).lower()
    if error.errno == errno.EBUSY and ".limit_in_bytes" in file:
        reason = "more than that is in use"
    return StartFailed(f"{where}: cannot write {text!r} to {file}: {reason}")


# ── a running container ──


def update(cgroup: Cgroup, resources: Resources, facts: CgroupFacts | None = None) -> None:
    """Change the limits of a running container; what `resources` does not say stays as it is.

    `cgroup` is what `find_cgroup` found. A hierarchy that the container has not joined, since it
    had not asked for anything there, is joined now, with all its processes. Raises `StartFailed`
    for what cannot be, naming the field; then no number has changed. Raises `FileNotFoundError`
    when the container has ended.
    """
    from minidock.linux.cgroupfs import read_cgroup_facts

    if not any(map(os.path.isdir, cgroup.directories)):
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), cgroup.directories[0])
    facts = facts or read_cgroup_facts()
    joined = joined_part(cgroup, asked_controllers(cgroup, resources))
    wishes = located(joined, _completed(joined, resources))
    _join_late(joined, facts)
    if resources.memory.check_before_update:
        _check_memory_use(joined, resources)
    if joined.unit:
        from minidock.isolation.cgroups.systemd import limit_properties, set_properties

        set_properties(joined.unit, limit_properties(resources, v2=not joined.v1))
    before = [*_numbers(wishes)]
    try:
        _write_all(wishes)
    except StartFailed:
        for path, text in (*reversed(before), *reversed(before)):  # in two goes, as they were set
            try:
                write_control(path, text)
            except OSError:
                continue
        raise


def _write_all(wishes: list[tuple[str, Setting]]) -> None:
    refused = [wish for wish in wishes if not _try(*wish)]
    for directory, setting in refused:
        try:
            write_setting(directory, setting, write_control)
        except OSError as error:
            raise refusal(setting, error) from None


def _numbers(wishes: list[tuple[str, Setting]]) -> Iterator[tuple[str, str]]:
    """What is set now: each path with its text, where that is one line that can be written back."""
    for directory, setting in wishes:
        for file, _ in setting.files:
            try:
                text = read_control(f"{directory}/{file}").strip()
            except OSError:
                continue
            if text and "\n" not in text and ":" not in text:
                yield f"{directory}/{file}", text


def _try(directory: str, setting: Setting) -> bool:
    """False for what may be taken once the other values are written."""
    try:
        write_setting(directory, setting, write_control)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.EBUSY):
            raise refusal(setting, error) from None
        return False
    return True


def _completed(joined: Cgroup, resources: Resources) -> Resources:
    """v2 has quota and period in one file, and swap without memory: take the half that was not
    said from what is set."""
    directory = joined.v2_directory("cpu")
    cpu, memory = resources.cpu, resources.memory
    if directory and cpu.period and not cpu.quota:
        quota = read_control(f"{directory}/cpu.max").split()[0]
        cpu = cpu.but(quota=-1 if quota == "max" else int(quota))
    directory = joined.v2_directory("memory")
    if directory and (memory.swap or 0) > 0 and not memory.limit:
        limit = read_control(f"{directory}/memory.max").strip()
        memory = memory.but(limit=-1 if limit == "max" else int(limit))
    return resources.but(cpu=cpu, memory=memory)


def _check_memory_use(joined: Cgroup, resources: Resources) -> None:
    """v2 kills where v1 refuses: with `checkBeforeUpdate` a limit below what is used is refused."""
    directory = joined.v2_directory("memory")
    limit = resources.memory.limit or -1
    if directory and limit > 0:
        used = int(read_control(f"{directory}/memory.current"))
        if used > limit:
            raise StartFailed(f"linux.resources.memory.limit: {limit} is less than the {used} used")


def _join_late(joined: Cgroup, facts: CgroupFacts) -> None:
    """Make the directories that are not there yet, and move the container's processes in."""
    from minidock.isolation.cgroups.processes import freeze, is_frozen, processes, thaw
    from minidock.linux.kernel import LinuxKernel
    from minidock.step import Context, execute

    if joined.handed_down:
        execute(plan_hand_down(joined, facts), LinuxKernel(), Context())
    missing = [d for d in joined.directories if not os.path.isdir(d)]
    if not missing:
        return
    cpuset, hierarchy = joined.v1_directory("cpuset"), facts.hierarchy_of("cpuset")
    for directory in missing:
        os.makedirs(directory, 0o755, exist_ok=True)
        if directory == cpuset and hierarchy:
            execute((CopyCpuset(hierarchy.mount_point, cpuset),), LinuxKernel(), Context())
    frozen = is_frozen(joined)
    if not frozen:
        freeze(joined)  # so that nobody forks past us
    try:
        for pid in processes(joined):
            for directory in missing:
                _move(pid, directory)
    finally:
        if not frozen:
            thaw(joined)


def _move(pid: int, directory: str) -> None:
    try:
        write_control(f"{directory}/cgroup.procs", str(pid))
    except ProcessLookupError:
        pass  # ended just now
