"""created: a container that is ready in every respect but has not begun.

The OCI runtime splits a start in two: after `create` everything is there, namespaces, mounts,
cgroup, so that an engine can connect the network; `start` lets the program run. In between init
waits, confined already, in a read(2) from a fifo in the container's state directory, for the one
byte that `start` writes into it.

The fifo is on the host, and after the pivot no path leads there: so init holds it open from the
beginning. It is open for reading and writing, as Linux allows: with a writer of its own the read
waits, where it would otherwise return at once whenever nobody is writing. The descriptor closes
with execve like all others, and then nobody reads: `start` sees by that (ENXIO) that the program
runs already.

See: fifo(7), https://github.com/opencontainers/runtime-spec/blob/main/runtime.md#lifecycle
"""

from __future__ import annotations

import os

from minidock.isolation.process import FindProgram
from minidock.step import Step

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import ClassVar

    from minidock.linux.kernel import Kernel
    from minidock.runtime.manner import Manner
    from minidock.spec.runtime import Process
    from minidock.step import Context


class HoldStartFifo(Step):
    """Open the fifo while its path is still there."""

    path: str
    see: ClassVar[tuple[str, ...]] = ("fifo(7)",)

    def describe(self) -> str:
        return f"open the fifo {self.path}, at which init will wait for `start`"

    def apply(self, kernel: Kernel, ctx: Context) -> None:
        ctx.start_fifo = kernel.open(self.path, os.O_RDWR)


class AwaitStart(Step):
    """Say that the container is created, and wait for `start`."""

    see: ClassVar[tuple[str, ...]] = ("fifo(7)", "read(2)")

    def describe(self) -> str:
        return "wait, ready to run, for the byte that `start` writes into the fifo"

    def apply(self, kernel: Kernel, ctx: Context) -> None:
        ctx.ready()
        kernel.read(ctx.start_fifo, 1)


def plan_hold(manner: Manner) -> tuple[Step, ...]:
    """Before the first namespace is left: hold the fifo, if there will be a wait."""
    return (HoldStartFifo(manner.start_fifo),) if manner.start_fifo else ()


def plan_await(process: Process, manner: Manner) -> tuple[Step, ...]:
    """When init is confined: the wait itself. (`create` should fail for a program that is not
    there, not `start`, which sees no error.)"""
    if not manner.start_fifo:
        return ()
    return (FindProgram(process.args, process.env), AwaitStart())
