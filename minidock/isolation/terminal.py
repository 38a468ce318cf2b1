"""The terminal, or the three pipes, that a container's process talks to.

A pseudoterminal is a pair: the program reads and writes the *slave* as if it were a terminal; who
holds the *master* sees what it prints and types for it. With `-t` the pair is made inside the
container, by its own devpts, so that `tty` prints a name that exists there, and the master is
passed out to the monitor. The slave becomes the *controlling terminal*: only then does Ctrl-C
become a signal, and job control work.

Without `-t` three descriptors from outside become 0, 1 and 2.

See: pts(4), pty(7), ioctl_tty(2), credentials(7) on sessions
"""

from __future__ import annotations

import errno
import os
import struct

from minidock.errors import StartFailed
from minidock.isolation.detached import DETACHED, attach
from minidock.isolation.devices import place_for_node
from minidock.linux.flags import AtFlag, Ioctl
from minidock.step import Step

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import ClassVar

    from minidock.linux.kernel import Kernel
    from minidock.step import Context

NULL = os.makedev(1, 3)  # the device that /dev/null is, see null(4)
_PTMX = os.makedev(5, 2)  # pts(4)


class NewSession(Step):
    """Leave the session, process group and terminal of whoever started us."""

    see: ClassVar[tuple[str, ...]] = ("setsid(2)", "credentials(7)")

    def describe(self) -> str:
        return "begin a session of its own, without a terminal"

    def apply(self, kernel: Kernel, ctx: Context) -> None:
        kernel.setsid()


class OpenTerminal(Step):
    """Make a terminal inside the container, pass its master out, and take the slave."""

    rows: int = 0
    columns: int = 0
    console: bool = True  # show it as /dev/console too; `exec` does not
    see: ClassVar[tuple[str, ...]] = ("pts(4)", "ioctl_tty(2)", "unix(7)")

    def describe(self) -> str:
        return "open a terminal inside the container and pass its other end out to the monitor"

    def apply(self, kernel: Kernel, ctx: Context) -> None:
        master = kernel.open("/dev/pts/ptmx", os.O_RDWR | os.O_NOCTTY)
        if kernel.fstat(master).st_rdev != _PTMX:
            raise StartFailed("/dev/pts/ptmx in the container is not what makes terminals")
        kernel.ioctl(master, Ioctl.TIOCSPTLCK, bytes(4))  # unlock the slave
        # The slave through its master, not by a name under /dev/pts that could be a trap.
        flags = os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC
        slave = kernel.ioctl(master, Ioctl.TIOCGPTPEER, flags)
        assert isinstance(slave, int)
        if self.rows and self.columns:
            size = struct.pack("HHHH", self.rows, self.columns, 0, 0)
            kernel.ioctl(slave, Ioctl.TIOCSWINSZ, size)
        if self.console:
            self._show_as_console(kernel, slave)
        ctx.send_terminal(master)
        kernel.close(master)
        kernel.ioctl(slave, Ioctl.TIOCSCTTY, 0)
        for fd in (0, 1, 2):
            kernel.dup2(slave, fd)
        kernel.close(slave)

    def _show_as_console(self, kernel: Kernel, slave: int) -> None:
        """Mount what the descriptor is open on, on a file that is no link: with names, both could
        be something else by the time they are used (CVE-2025-52565)."""
        directory = kernel.open("/dev", os.O_PATH | os.O_DIRECTORY)
        try:
            place = place_for_node(kernel, directory, "console")
            tree = kernel.open_tree(slave, "", DETACHED | AtFlag.AT_EMPTY_PATH)
            attach(kernel, tree, place)
            kernel.close(tree)
            kernel.close(place)
        finally:
            kernel.close(directory)


class ConnectStdio(Step):
    """Put the pipes (or /dev/null) that the monitor prepared where a program expects them."""

    stdin: int
    stdout: int
    stderr: int
    see: ClassVar[tuple[str, ...]] = ("dup2(2)", "pipe(7)")

    def describe(self) -> str:
        return "connect standard input, output and error to the monitor's pipes"

    def apply(self, kernel: Kernel, ctx: Context) -> None:
        for wanted, fd in ((0, self.stdin), (1, self.stdout), (2, self.stderr)):
            kernel.dup2(fd, wanted)


class ReopenNull(Step):
    """Where a standard descriptor is /dev/null, that of the host so far, take the container's.

    A descriptor keeps the mount it was opened on: through the host's, /proc/1/fd/0 would be a way
    to an inode of the host's, and a `chmod` of it one of everybody's /dev/null. As runc does, it is
    open for writing, too."""

    see: ClassVar[tuple[str, ...]] = ("null(4)", "dup2(2)")

    def describe(self) -> str:
        return "take the container's own /dev/null where standard input is the host's"

    def apply(self, kernel: Kernel, ctx: Context) -> None:
        for fd in (0, 1, 2):
            if kernel.fstat(fd).st_rdev == NULL:
                own = kernel.open("/dev/null", os.O_RDWR)
                kernel.dup2(own, fd)
                kernel.close(own)


class OwnStdio(Step):
    """Give the pipes or the terminal to the user the process runs as: /dev/stdout is opened anew
    by name, and would otherwise refuse."""

    see: ClassVar[tuple[str, ...]] = ("fchown(2)",)

    def describe(self) -> str:
        return "let the process's user own its standard input, output and error"

    def apply(self, kernel: Kernel, ctx: Context) -> None:
        if ctx.uid == 0:
            return
        for fd in (0, 1, 2):
            about = kernel.fstat(fd)
            if about.st_rdev == NULL:
                continue  # /dev/null is everybody's
            try:
                kernel.fchown(fd, ctx.uid, about.st_gid)
            except OSError as error:
                # A file of a user who does not exist in this user namespace, or a read-only one:
                # it stays whose it is, and can still be written to by its descriptor. So in runc.
                if error.errno not in (errno.EPERM, errno.EINVAL, errno.EROFS):
                    raise
