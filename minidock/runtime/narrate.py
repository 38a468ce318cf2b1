"""`--explain`: each process of a start tells what it does, while it does it.

A `Narrator` is the Observer of runtime/launch.py. It gives main, intermediate and init a kernel
that reports each call after it returned, and hears of every Step before it is applied. What they
tell goes down one pipe, which all of them hold, as events; study/explain.py makes text of them, in
the command, which knows its reader's terminal. An event is one line, a JSON array:

    [process, "step", sentence, [man page, …]]        what is going to be done, and where to read
    [process, "call", name, [argument, …], result, nanoseconds]

A line is written by one write(2) and is shorter than PIPE_BUF where it can be, so that lines of two
processes do not mix. Nor do they overtake each other: a parent takes a lock on the pipe before it
forks, and the child waits for it before its first line. The parent keeps it while it has more to
tell: main until it waits, intermediate until it ends. It is a record lock, which belongs to a
process, not to a descriptor, and goes when the process does.

init comes here after it has pivoted, when nothing can be imported any more: all that is needed is
imported above.

See: pipe(7), fcntl_locking(2), strace(1)
"""

from __future__ import annotations

import os
from fcntl import LOCK_EX, LOCK_UN, lockf
from time import perf_counter_ns

from minidock.linux.kernel import LinuxKernel
from minidock.linux.notation import show_call
from minidock.linux.recording import TracingKernel
from minidock.runtime.launch import AWAIT_INTERMEDIATE
from minidock.spec.lean_json import dumps

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from minidock.linux.kernel import Kernel
    from minidock.linux.notation import Call
    from minidock.step import Step


class Narrator:
    """Writes events to the descriptor `fd`, a pipe's. Raises `OSError` when nobody reads it."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def kernel(self, process: str) -> Kernel:
        """A kernel for the process of this name, which tells of every call."""
        return NarratingKernel(self._fd, process)

    def announce(self, process: str) -> Callable[[Step], None]:
        """What the executor calls before it applies a Step."""
        return lambda step: self.remark(process, (step.describe(), *step.see))

    def remark(self, process: str, words: tuple[str, ...]) -> None:
        """Tell what is done between the Steps: a sentence, then man pages."""
        sentence, *pages = words
        tell(self._fd, [process, "step", sentence, pages])

    def waits(self) -> None:
        """Let the others tell: main has nothing to say until one of them has done something."""
        lockf(self._fd, LOCK_UN)


class NarratingKernel(TracingKernel):
    """The real kernel, telling. A process that it forks and that asks for no kernel of its own
    goes on as "child of …"."""

    def __init__(self, fd: int, process: str) -> None:
        super().__init__(LinuxKernel(), self._narrate)
        self._fd = fd
        self._process = process

    def _narrate(self, call: Call) -> None:
        event = [self._process, "call", call.name, list(call.arguments), call.result]
        tell(self._fd, [*event, call.nanoseconds])

    def _forked(self, name: str, *args: int) -> int:
        """The parent keeps the lock until it waits, ends, or closes the pipe."""
        lockf(self._fd, LOCK_EX)
        pid = super()._forked(name, *args)
        if pid == 0:
            self._process = f"child of {self._process}"
            lockf(self._fd, LOCK_EX)
            lockf(self._fd, LOCK_UN)
        return pid

    def wait4(self, pid: int) -> int:
        """A wait is told when it is over: what happened meanwhile stands before it."""
        lockf(self._fd, LOCK_UN)
        before = perf_counter_ns()
        status = self._kernel.wait4(pid)
        took = perf_counter_ns() - before
        if self._process == "main":
            tell(self._fd, [self._process, "step", AWAIT_INTERMEDIATE[0], AWAIT_INTERMEDIATE[1:]])
        self._narrate(show_call("wait4", (pid,), status).but(nanoseconds=took))
        return status

    def close_range(self, first: int, last: int, flags: int) -> None:
        """Told beforehand: the descriptor it is told through is one of them."""
        self._narrate(show_call("close_range", (first, last, flags)))
        self._kernel.close_range(first, last, flags)


def tell(fd: int, event: list[object]) -> None:
    """Write one event."""
    line = dumps(event).encode("ascii") + b"\n"
    while line:
        line = line[os.write(fd, line) :]
