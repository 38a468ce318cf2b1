"""When a process gets the processor and the disk.

Beside what a cgroup shares out among containers, each process has a scheduling policy of its own:
ordinary (SCHED_OTHER, with a nice value), for work that may wait (SCHED_BATCH, SCHED_IDLE), before
everything else (SCHED_FIFO, SCHED_RR, by priority), or a share guaranteed by a deadline
(SCHED_DEADLINE). The order in which the disk serves it is a second, similar thing. Both are
inherited by its children and kept across execve(2).

Whatever puts a process before others needs CAP_SYS_NICE, so this comes while that is there.

See: sched(7), sched_setattr(2), ioprio_set(2)
"""

from __future__ import annotations

import errno
import os

from minidock.errors import StartFailed
from minidock.linux.flags import IoprioClass, SchedFlag, SchedPolicy
from minidock.step import Step

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import ClassVar

    from minidock.linux.kernel import Kernel
    from minidock.spec.runtime import Process, Scheduler
    from minidock.step import Context

_IOPRIO_WHO_PROCESS = 1
_IOPRIO_CLASS_SHIFT = 13


class SetScheduler(Step):
    """Set the scheduling policy; `runtime`, `deadline` and `period` in nanoseconds."""

    policy: str
    flags: SchedFlag
    nice: int
    priority: int
    runtime: int
    deadline: int
    period: int
    see: ClassVar[tuple[str, ...]] = ("sched_setattr(2)", "sched(7)")

    def describe(self) -> str:
        return f"be scheduled as {self.policy}, nice {self.nice}, priority {self.priority}"

    def apply(self, kernel: Kernel, ctx: Context) -> None:
        try:
            kernel.sched_setattr(
                0,
                SchedPolicy[self.policy],
                self.flags,
                self.nice,
                self.priority,
                self.runtime,
                self.deadline,
                self.period,
            )
        except OSError as error:
            raise _refused("process.scheduler", error) from error


class SetIOPriority(Step):
    """Set in which order the disk serves this process."""

    kind: str
    priority: int
    see: ClassVar[tuple[str, ...]] = ("ioprio_set(2)",)

    def describe(self) -> str:
        return f"have the disk serve this process as {self.kind}, priority {self.priority}"

    def apply(self, kernel: Kernel, ctx: Context) -> None:
        value = IoprioClass[self.kind] << _IOPRIO_CLASS_SHIFT | self.priority
        try:
            kernel.ioprio_set(_IOPRIO_WHO_PROCESS, 0, value)
        except OSError as error:
            raise _refused("process.ioPriority", error) from error


def _refused(field: str, error: OSError) -> StartFailed:
    why = os.strerror(error.errno or 0).lower()
    if error.errno == errno.EPERM:
        why += " (it needs CAP_SYS_NICE, and real-time policies a cgroup that has time for them)"
    return StartFailed(f"the kernel refuses {field}: {why}")


def plan_scheduling(process: Process) -> tuple[Step, ...]:
    """Nothing where nothing is asked for. Raises `StartFailed` that names the field."""
    steps: list[Step] = []
    if process.scheduler:
        steps.append(_plan_scheduler(process.scheduler))
    if process.io_priority:
        steps.append(SetIOPriority(process.io_priority.kind, process.io_priority.priority))
    return tuple(steps)


def _plan_scheduler(wanted: Scheduler) -> Step:
    if wanted.policy not in {member.name for member in SchedPolicy}:
        raise StartFailed(f"process.scheduler.policy: {wanted.policy!r} is not known")
    if wanted.priority and wanted.policy not in ("SCHED_FIFO", "SCHED_RR"):
        raise StartFailed(f"process.scheduler.priority: {wanted.policy} has none")
    times = {"runtime": wanted.runtime, "deadline": wanted.deadline, "period": wanted.period}
    for name, value in times.items():
        if value and wanted.policy != "SCHED_DEADLINE":
            raise StartFailed(f"process.scheduler.{name}: {wanted.policy} has none")
    known = {member.name: member for member in SchedFlag}
    flags = SchedFlag(0)
    for name in wanted.flags:
        if name not in known:
            raise StartFailed(f"process.scheduler.flags: {name!r} is not known")
        flags |= known[name]
    numbers = (wanted.nice, wanted.priority, wanted.runtime, wanted.deadline, wanted.period)
    return SetScheduler(wanted.policy, flags, *numbers)
