"""`oci run` and `oci exec` without `--detach`: wait for the process, and pass signals on.

The process was forked by others, which have ended; to become its parent, and so learn its exit
code, this one declares itself a subreaper before. Whatever signal it gets it hands on.

See: PR_SET_CHILD_SUBREAPER(2const), wait(2), sigwaitinfo(2)
"""

from __future__ import annotations

import os

from minidock.linux import signals as signal
from minidock.linux.flags import Prctl
from minidock.linux.syscalls import prctl

_KEPT = {signal.SIGKILL, signal.SIGSTOP, signal.SIGTTIN, signal.SIGTTOU}


class Foreground:
    """Made before the start, so that neither the end nor a signal is missed."""

    def __init__(self) -> None:
        prctl(Prctl.PR_SET_CHILD_SUBREAPER, 1)
        self._signals = {number for number in range(1, 32) if number not in _KEPT}
        signal.pthread_sigmask(signal.SIG_BLOCK, self._signals)

    def take_terminal(self, master: int) -> None:
        """Hold the master of the process's terminal."""

    def wait(self, pid: int) -> int:
        """Until `pid` ends; its exit code, 128 and the signal's number if one ended it."""
        while True:
            number = signal.sigwait(self._signals)
            if number != signal.SIGCHLD:
                _pass_on(pid, number)
                continue
            code = _reap(pid)
            if code is not None:
                return code


def _pass_on(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass  # it has ended, and SIGCHLD is on its way


def _reap(wanted: int) -> int | None:
    """Wait for all that has ended; the exit code of `wanted`, if it has."""
    code = None
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return code
        if not pid:
            return code
        if pid == wanted:
            ended = os.waitstatus_to_exitcode(status)
            code = ended if ended >= 0 else 128 - ended
