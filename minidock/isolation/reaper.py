"""A small init: what PID 1 has to do, for programs that were not written to be it (`--init`).

Two duties fall to PID 1 of a PID namespace. Processes whose parent has died become its children,
and somebody must wait(2) for them or they stay as zombies. And the kernel delivers to it, of the
signals sent from inside, only those it has handlers for: a shell script as PID 1 ignores SIGTERM,
so `stop` would take ten seconds. This loop waits for everything, hands signals to the one child
that matters, and ends as that child ended.

It is the interpreter that set the container up, which stays. It has given up all rights by
then, and what it was read from is mounted read-only (linux/seal.py).

See: pid_namespaces(7), wait(2), signal(7), credentials(7)
"""

from __future__ import annotations

import os
import sys

from minidock.isolation.process import Execute
from minidock.linux import signals as signal
from minidock.linux.flags import CloseRangeFlag, Ioctl
from minidock.linux.title import set_title
from minidock.step import Step

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import ClassVar

    from minidock.linux.kernel import Kernel
    from minidock.step import Context

NAME = "minidock-init"
# Not passed on: what a terminal or the kernel means for us, and what cannot be caught.
_OURS = {signal.SIGCHLD, signal.SIGKILL, signal.SIGSTOP, signal.SIGTTIN, signal.SIGTTOU}


class ExecuteUnderInit(Step):
    """`--init`: stay as PID 1, which reaps orphans and passes signals on, and let a child become
    the program."""

    args: tuple[str, ...]
    env: tuple[str, ...]
    see: ClassVar[tuple[str, ...]] = ("pid_namespaces(7)", "wait(2)", "execve(2)")

    def describe(self) -> str:
        return f"stay behind as PID 1 to reap orphans, and let a child become {self.args[0]!r}"

    def apply(self, kernel: Kernel, ctx: Context) -> None:
        run_child(kernel, ctx, Execute(self.args, self.env), self.args)


def run_child(kernel: Kernel, ctx: Context, program: Step, args: Sequence[str]) -> None:
    """Fork; the child applies `program`. Returns in neither process, unless `program` fails.
    `args`, those of the program, are what `ps` shows of PID 1 beside its name.

    The child reports a failed start through the socket that both hold, as PID 1 itself would, and
    it exits 255; PID 1 then closes its end by exiting too.
    """
    forwarded = [s for s in range(1, 32) if s not in _OURS]
    kernel.rt_sigprocmask(signal.SIG_BLOCK, (*forwarded, signal.SIGCHLD))
    child = kernel.fork()
    if child == 0:
        kernel.setpgid(0, 0)
        _take_terminal(kernel)
        kernel.rt_sigprocmask()
        program.apply(kernel, ctx)
        return
    kernel.set_name(NAME)
    set_title(f"{NAME} -- {' '.join(args)}")
    kernel.close_range(3, 0xFFFFFFFF, CloseRangeFlag(0))  # the child's socket tells the rest
    _wait_and_forward(child, forwarded)


def _take_terminal(kernel: Kernel) -> None:
    """Make this group the terminal's foreground group, where there is a terminal."""
    kernel.rt_sigprocmask(signal.SIG_BLOCK, (signal.SIGTTOU,))
    try:
        group = os.getpid().to_bytes(4, sys.byteorder)
        kernel.ioctl(0, Ioctl.TIOCSPGRP, group)  # tcsetpgrp(3)
    except OSError:
        return  # not a terminal


def _wait_and_forward(child: int, forwarded: list[int]) -> None:
    waiting = {*forwarded, signal.SIGCHLD}
    while True:
        number = signal.sigwait(waiting)
        if number != signal.SIGCHLD:
            try:
                os.kill(child, number)
            except ProcessLookupError:
                pass
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                break
            if pid == 0:
                break
            if pid == child:
                code = os.waitstatus_to_exitcode(status)
                os._exit(code if code >= 0 else 128 - code)
