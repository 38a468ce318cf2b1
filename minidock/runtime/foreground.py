"""`oci run` and `oci exec` without `--detach`: wait for the process, pass signals and keys on.

The process was forked by others, which have ended; to become its parent, and so learn its exit
code, this one declares itself a subreaper before. Whatever signal it gets it hands on. Where the
process has a terminal, what is typed here goes there and what it prints comes back; our own
terminal is in raw mode meanwhile, so that Ctrl-C is a byte like any other.

See: PR_SET_CHILD_SUBREAPER(2const), wait(2), termios(3), ioctl_tty(2)
"""

from __future__ import annotations

import errno
import os
import select

from minidock.linux import signals as signal
from minidock.linux.flags import Ioctl, Prctl
from minidock.linux.syscalls import prctl

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_KEPT = {signal.SIGKILL, signal.SIGSTOP, signal.SIGTTIN, signal.SIGTTOU, signal.SIGTSTP}
_CHUNK = 32 << 10
_TIOCGWINSZ = 0x5413


class Foreground:
    """Made before the start, so that neither the end nor a signal is missed."""

    def __init__(self) -> None:
        prctl(Prctl.PR_SET_CHILD_SUBREAPER, 1)
        # A handler that does nothing: the number of each signal then comes through the pipe.
        self._signals, theirs = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())  # whatever our caller has blocked
        signal.set_wakeup_fd(theirs, warn_on_full_buffer=False)
        for number in range(1, 32):
            if number not in _KEPT:
                signal.signal(number, lambda *_: None)
        self._master = -1
        self._typed = b""
        self._restore: list[Any] = []

    def take_terminal(self, master: int) -> None:
        """Hold the master of the process's terminal."""
        self._master = os.dup(master)
        os.set_blocking(self._master, False)
        self._resize()

    def wait(self, pid: int) -> int:
        """Until `pid` ends; its exit code, 128 and the signal's number if one ended it."""
        try:
            self._make_raw()
            return self._wait(pid)
        finally:
            self._make_cooked()

    def _wait(self, pid: int) -> int:
        poll = select.poll()
        poll.register(self._signals, select.POLLIN)
        reading = self._master >= 0
        if reading:
            poll.register(0, select.POLLIN)
        code = _reap(pid)  # it may have ended before we listened
        while code is None:
            if reading:
                wanted = select.POLLIN | (select.POLLOUT if self._typed else 0)
                poll.register(self._master, wanted)
            for fd, events in poll.poll():
                if fd == self._signals:
                    code = self._hear(pid)
                elif fd == 0:
                    self._read_keys(poll)
                elif events & select.POLLOUT and self._typed:
                    self._type()
                elif not self._show():
                    poll.unregister(self._master)
                    reading = False
        while self._master >= 0 and self._show():
            pass
        return code

    def _hear(self, pid: int) -> int | None:
        """Pass on what came; the exit code, if it was SIGCHLD for the one we wait for."""
        code = None
        for number in os.read(self._signals, 4096):
            if number == signal.SIGCHLD:
                code = code if code is not None else _reap(pid)
            elif number == signal.SIGWINCH and self._master >= 0:
                self._resize()
            elif code is None:
                try:
                    os.kill(pid, number)
                except ProcessLookupError:
                    pass  # it has ended, and SIGCHLD is on its way
        return code

    # ── with a terminal ──

    def _read_keys(self, poll: select.poll) -> None:
        data = os.read(0, _CHUNK) if len(self._typed) < _CHUNK else b""
        self._typed += data
        if not data:
            poll.unregister(0)
        self._type()

    def _type(self) -> None:
        try:
            self._typed = self._typed[os.write(self._master, self._typed) :]
        except BlockingIOError:
            pass
        except OSError:
            self._typed = b""

    def _show(self) -> bool:
        """Print what the process has written; False when nobody has the terminal open any more."""
        try:
            data = os.read(self._master, _CHUNK)
        except BlockingIOError:
            return False
        except OSError as error:
            if error.errno != errno.EIO:
                raise
            return False
        while data:
            data = data[os.write(1, data) :]
        return True

    def _resize(self) -> None:
        import fcntl

        try:
            size = fcntl.ioctl(0, _TIOCGWINSZ, bytes(8))
            fcntl.ioctl(self._master, Ioctl.TIOCSWINSZ, size)
        except OSError:
            pass  # not a terminal: there is no size to copy

    def _make_raw(self) -> None:
        if self._master < 0 or not os.isatty(0):
            return
        import termios

        self._restore = termios.tcgetattr(0)
        raw = termios.tcgetattr(0)
        raw[0] &= ~(
            termios.IGNBRK | termios.BRKINT | termios.PARMRK | termios.ISTRIP
            | termios.INLCR | termios.IGNCR | termios.ICRNL | termios.IXON
        )  # fmt: skip
        raw[1] &= ~termios.OPOST
        raw[2] = raw[2] & ~(termios.CSIZE | termios.PARENB) | termios.CS8
        raw[3] &= ~(termios.ECHO | termios.ECHONL | termios.ICANON | termios.ISIG | termios.IEXTEN)
        termios.tcsetattr(0, termios.TCSANOW, raw)  # cfmakeraw(3)

    def _make_cooked(self) -> None:
        if self._restore:
            import termios

            termios.tcsetattr(0, termios.TCSANOW, self._restore)


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
