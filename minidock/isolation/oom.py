"""Who is killed first when the machine has no memory left.

The kernel gives every process a score by the memory it uses; `oom_score_adj` moves it, from -1000
(never kill this one) to 1000 (this one first). Children inherit it.

Lowering it needs CAP_SYS_RESOURCE on the host, and the file belongs to the host's root: it is
written at the very beginning, before any namespace is entered.

See: proc_pid_oom_score_adj(5)
"""

from __future__ import annotations

import errno
import os

from minidock.errors import StartFailed
from minidock.step import Step

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import ClassVar

    from minidock.linux.kernel import Kernel
    from minidock.spec.runtime import Process
    from minidock.step import Context


class SetOomScore(Step):
    """Move this process, and what it will fork, up or down in that order."""

    adjustment: int
    see: ClassVar[tuple[str, ...]] = ("proc_pid_oom_score_adj(5)",)

    def describe(self) -> str:
        return f"ask to be killed {_WHEN[(self.adjustment > 0) - (self.adjustment < 0)]}"

    def apply(self, kernel: Kernel, ctx: Context) -> None:
        try:
            fd = kernel.open("/proc/self/oom_score_adj", os.O_WRONLY)
            try:
                kernel.write(fd, b"%d" % self.adjustment)
            finally:
                kernel.close(fd)
        except OSError as error:
            why = os.strerror(error.errno or 0).lower()
            if error.errno == errno.EACCES:
                why = "it is lower than this host's own, and needs CAP_SYS_RESOURCE to be lowered"
            raise StartFailed(f"process.oomScoreAdj: {self.adjustment}: {why}") from error


_WHEN = {
    -1: "later than others, when memory runs out",
    0: "in its turn, when memory runs out",
    1: "before others, when memory runs out",
}


def plan_oom_score(process: Process) -> tuple[Step, ...]:
    """Nothing where the spec says nothing: then it is as the runtime's own."""
    if process.oom_score_adj is None:
        return ()
    return (SetOomScore(process.oom_score_adj),)
