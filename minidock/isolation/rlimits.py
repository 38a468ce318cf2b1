"""Resource limits: what one process, or one user, may use at most.

Older than cgroups and different: RLIMIT_NOFILE, RLIMIT_STACK or RLIMIT_CORE are properties of each
process, inherited across fork and execve, and most count for that process alone. Each has a *soft*
value, which counts, and a *hard* one, up to which the process may raise it by itself.

Raising a hard limit needs CAP_SYS_RESOURCE in the host's own user namespace. So init sets its
limits while it still has its rights, and as late as that allows: with a limit of three open files
it could not put a root filesystem together. A container with a user namespace has never had that
right: there main sets them, from outside.

See: getrlimit(2), prlimit(2)
"""

from __future__ import annotations

import errno
import os

from minidock.errors import StartFailed
from minidock.linux.flags import Rlimit
from minidock.step import Step

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import ClassVar

    from minidock.linux.kernel import Kernel
    from minidock.spec.runtime import Process
    from minidock.step import Context

INFINITY = 2**64 - 1


class SetRlimit(Step):
    """Set one limit, of the calling process or, from outside, of init."""

    kind: str
    soft: int
    hard: int
    from_outside: bool = False
    see: ClassVar[tuple[str, ...]] = ("getrlimit(2)", "prlimit(2)")

    def describe(self) -> str:
        soft, hard = (("no limit" if n == INFINITY else str(n)) for n in (self.soft, self.hard))
        return f"set the resource limit {self.kind} to {soft}, at most {hard}"

    def apply(self, kernel: Kernel, ctx: Context) -> None:
        pid = ctx.init if self.from_outside else 0
        try:
            kernel.prlimit(pid, Rlimit[self.kind], self.soft, self.hard)
        except OSError as error:
            why = os.strerror(error.errno or 0).lower()
            if error.errno == errno.EPERM:
                why = "it is above what this host allows, and needs CAP_SYS_RESOURCE to be raised"
            raise StartFailed(f"process.rlimits: {self.kind}: {self.hard}: {why}") from error


def plan_rlimits(process: Process, *, from_outside: bool) -> tuple[Step, ...]:
    """One step per limit. Raises `StartFailed` for one that is not known or is there twice."""
    steps: list[Step] = []
    seen = set()
    for limit in process.rlimits:
        if limit.kind not in {member.name for member in Rlimit}:
            raise StartFailed(f"process.rlimits: {limit.kind!r} is not a resource limit")
        if limit.kind in seen:
            raise StartFailed(f"process.rlimits: {limit.kind} is there twice")
        seen.add(limit.kind)
        steps.append(SetRlimit(limit.kind, limit.soft, limit.hard, from_outside))
    return tuple(steps)
