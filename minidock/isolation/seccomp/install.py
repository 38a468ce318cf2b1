"""Giving the filter to the kernel, and to nobody else a way around it.

A filter cannot be taken off again: what the process does from then on, execve(2) and all children
included, passes it. Nor could a set-uid program be fooled by one that somebody put in front of it:
a filter is accepted from a process that can gain no rights any more (no_new_privs), or from one
that has CAP_SYS_ADMIN and so could do anyway whatever it likes. That decides when it is loaded:

- with no_new_privs, last of all, right before execve(2), since a profile only has to allow what
  the *program* needs. One that lets through little more than `execve` and `exit` can be used.
- without, while CAP_SYS_ADMIN is still there. What the start has yet to do then, change the user
  and drop the capabilities, the profile must allow.

See: seccomp(2), PR_SET_NO_NEW_PRIVS(2const), https://docs.kernel.org/userspace-api/seccomp_filter.html
"""

from __future__ import annotations

from minidock.isolation.process import FindProgram
from minidock.isolation.seccomp.cache import ready_filter
from minidock.linux.flags import SeccompOperation
from minidock.record import Record
from minidock.step import Step

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import ClassVar

    from minidock.linux.host import HostFacts
    from minidock.linux.kernel import Kernel
    from minidock.spec.runtime import Process, Spec
    from minidock.step import Context

_INSTRUCTION = 8  # bytes


class InstallSeccomp(Step):
    """Have every system call from here on checked."""

    program: bytes
    flags: int
    summary: str
    see: ClassVar[tuple[str, ...]] = ("seccomp(2)",)

    def describe(self) -> str:
        length = len(self.program) // _INSTRUCTION
        return f"let a filter of {length} instructions decide on system calls: {self.summary}"

    def apply(self, kernel: Kernel, ctx: Context) -> None:
        set_filter = SeccompOperation.SECCOMP_SET_MODE_FILTER
        ctx.listener = kernel.seccomp(set_filter, self.flags, self.program)


class SeccompSteps(Record):
    """Where a filter comes in: on the host, before rights are dropped, right before execve(2)."""

    enter: tuple[Step, ...] = ()
    early: tuple[Step, ...] = ()
    last: tuple[Step, ...] = ()


def plan_seccomp(
    spec: Spec, process: Process, facts: HostFacts, state: str, status: str
) -> SeccompSteps:
    """The filter of the container for one of its processes. `state` and `status` are what an agent
    is told, see listener.py. Raises `StartFailed`, `BadJSON`."""
    if not spec.seccomp:
        return SeccompSteps()
    ready = ready_filter(spec.seccomp, facts)
    enter: tuple[Step, ...] = ()
    steps: tuple[Step, ...] = (InstallSeccomp(ready.program, ready.flags, ready.summary),)
    if ready.notifies:
        from minidock.isolation.seccomp.listener import plan_listener

        connect, hand_over = plan_listener(spec, state, status)
        enter, steps = (connect,), (*steps, hand_over)
    if process.no_new_privileges:
        find = FindProgram(process.args, process.env)  # the profile may not let us look
        return SeccompSteps(enter, last=(find, *steps))
    return SeccompSteps(enter, early=steps)
