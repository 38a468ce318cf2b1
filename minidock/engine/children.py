"""The processes a monitor waits for: those it forked, and those that were left to it.

A monitor is a *subreaper*: a process below it whose parent dies becomes its child. That is how init
comes to it. It may also be any other process, of an `exec` whose own monitor was killed, and each
has to be waited for: as long as one zombie of a PID namespace is left, the kernel does not let its
init end.

SIGCHLD says that there is something to wait for, and nothing else is reliable: signals of one kind
that come together are one. So all that have ended are asked for each time. A process is only waited
for here, so up to then its number is its own, and may be signalled.

See: wait(2), signal(7), PR_SET_CHILD_SUBREAPER(2const), pid_namespaces(7)
"""

from __future__ import annotations

import os

from minidock.engine.loop import READ
from minidock.linux import signals as signal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from minidock.engine.loop import Loop

    Then = Callable[[int], None]


class Children:
    """Calls back with the wait status of each expected child. There is one such object in a
    process, since signals are the whole process's."""

    def __init__(self, loop: Loop) -> None:
        self._expected: dict[int, Then] = {}
        self._early: dict[int, int] | None = {}
        self._loop = loop
        self._wakeup, write = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        signal.set_wakeup_fd(write, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        loop.watch(self._wakeup, READ, lambda _: self._reap())
        self._reap()  # who ended before we listened

    def remember(self) -> None:
        """A process will be expected whose number is not known yet: keep how strangers ended."""
        self._early = {}

    def expect(self, pid: int, then: Then) -> None:
        """Call `then` when this child has ended, which it may have done already, in this turn of
        the loop or a later one. What was remembered of others is forgotten."""
        early, self._early = self._early or {}, None
        if pid in early:
            self._loop.after(0, lambda: then(early[pid]))
        else:
            self._expected[pid] = then

    def also_expect(self, pid: int, then: Then) -> None:
        """The same for one that was forked just now."""
        self._expected[pid] = then

    def kill(self, pid: int) -> None:
        """End a child that is expected, and wait for it; it is not called back for."""
        if self._expected.pop(pid, None):
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)

    def _reap(self) -> None:
        try:
            os.read(self._wakeup, 4096)
        except BlockingIOError:
            pass
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if not pid:
                return
            then = self._expected.pop(pid, None)
            if then:
                then(status)
            elif self._early is not None:
                self._early[pid] = status


def forget_children() -> None:
    """In a fork: what it inherited of a `Children` is undone."""
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
