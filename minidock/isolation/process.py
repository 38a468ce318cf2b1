"""The last steps: what a program inherits across execve(2), and the call itself.

execve replaces the program but not the process. Open descriptors, ignored signals, the file mode
mask, the working directory and the environment all pass through, and each has been a hole in some
runtime: a descriptor of a host directory is a way out of any root (CVE-2024-21626), and a program
that starts with SIGPIPE ignored, as Python leaves it, behaves strangely for hours.

See: execve(2), close_range(2), signal(7), umask(2), environ(7)
"""

from __future__ import annotations

import errno
import os
import stat

from minidock.errors import WRONG_REQUEST, StartFailed
from minidock.linux.flags import CloseRangeFlag, Prctl
from minidock.spec.quoting import quote
from minidock.step import Step

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import ClassVar

    from minidock.linux.kernel import Kernel
    from minidock.step import Context

_LAST_SIGNAL = 64
_EVERY_SIGNAL = (1 << _LAST_SIGNAL) - 1 & ~(1 << 8 | 1 << 18)  # SIGKILL, SIGSTOP: always default


class CloseDescriptors(Step):
    """Mark every descriptor to be closed by execve but 0, 1, 2 and `preserved` ones after them."""

    preserved: int = 0
    see: ClassVar[tuple[str, ...]] = ("close_range(2)",)

    def describe(self) -> str:
        last = 2 + self.preserved
        kept = f"0 to {last}" if self.preserved else "0, 1 and 2"
        return f"let no descriptor but {kept} survive into the program"

    def apply(self, kernel: Kernel, ctx: Context) -> None:
        # Marked, not closed: the socket on which a failing execve is reported is one of them.
        first = 3 + self.preserved
        kernel.close_range(first, 0xFFFFFFFF, CloseRangeFlag.CLOSE_RANGE_CLOEXEC)


class EnterWorkingDirectory(Step):
    """Change to the process's working directory, made where it is missing."""

    path: str
    make: bool = True
    see: ClassVar[tuple[str, ...]] = ("chdir(2)", "getcwd(2)")

    def describe(self) -> str:
        return f"go to the working directory {self.path}"

    def apply(self, kernel: Kernel, ctx: Context) -> None:
        try:
            self._enter(kernel)
        except OSError as error:
            if self.make and error.errno == errno.ENOTDIR:  # found while making it, says Docker
                message = f"Cannot mkdir: {self.path} is not a directory"
                raise StartFailed(message, exit_code=WRONG_REQUEST) from error
            why = os.strerror(error.errno or 0).lower()
            message = f"chdir to cwd ({quote(self.path)}) set in config.json failed: {why}"
            code = 127 if error.errno == errno.ENOENT else 126
            raise StartFailed(message, exit_code=code) from error
        # A descriptor of the host, or /proc/self/fd/N, as working directory would be outside.
        if not kernel.getcwd().startswith("/"):
            raise StartFailed("current working directory is outside of container mount namespace")

    def _enter(self, kernel: Kernel) -> None:
        try:
            kernel.chdir(self.path)
        except FileNotFoundError:
            if not self.make:
                raise
            built = ""
            for part in self.path.strip("/").split("/"):
                built += "/" + part
                try:
                    kernel.mkdir(built, 0o755)
                except FileExistsError:
                    continue
            kernel.chdir(self.path)


class ResetSignals(Step):
    """Every signal back to its default action, none blocked."""

    see: ClassVar[tuple[str, ...]] = ("signal(7)", "execve(2)")

    def describe(self) -> str:
        return "give every signal its default action back; Python ignores SIGPIPE and SIGXFSZ"

    def apply(self, kernel: Kernel, ctx: Context) -> None:
        reset_signals(kernel)


def reset_signals(kernel: Kernel) -> None:
    """For a child that is about to become somebody else's program."""
    ignored = _ignored_signals(kernel)
    for number in range(1, _LAST_SIGNAL + 1):
        if ignored >> (number - 1) & 1 or kernel.signal_is_changed(number):
            kernel.rt_sigaction(number)
    kernel.rt_sigprocmask()


def _ignored_signals(kernel: Kernel) -> int:
    """What the kernel says, a bit per signal: a parent may have had some ignored that the C library
    keeps for itself (32 and 33) and shows nobody. proc_pid_status(5)"""
    try:
        fd = kernel.open("/proc/self/status", os.O_RDONLY)
    except FileNotFoundError:
        return _EVERY_SIGNAL  # a container without /proc: then all of them
    try:
        lines = kernel.read(fd, 8192).splitlines()
    finally:
        kernel.close(fd)
    found = [int(line.split()[1], 16) for line in lines if line.startswith(b"SigIgn:")]
    return found[0] if found else 0


class SetUmask(Step):
    """The file mode mask."""

    mask: int
    see: ClassVar[tuple[str, ...]] = ("umask(2)",)

    def describe(self) -> str:
        if self.mask == 0:
            return "clear the file mode mask: what is made from here on gets exactly its mode"
        return f"set the file mode mask to {self.mask:03o}, as programs expect it"

    def apply(self, kernel: Kernel, ctx: Context) -> None:
        kernel.umask(self.mask)


class ForbidNewPrivileges(Step):
    """From here on execve(2) gives nobody more rights: set-user-ID bits and file capabilities are
    ignored, in this process and all its children."""

    see: ClassVar[tuple[str, ...]] = ("PR_SET_NO_NEW_PRIVS(2const)", "prctl(2)")

    def describe(self) -> str:
        return "let no program that is executed have more rights than who executes it"

    def apply(self, kernel: Kernel, ctx: Context) -> None:
        kernel.prctl(Prctl.PR_SET_NO_NEW_PRIVS, 1)


class DieWithMonitor(Step):
    """Ask for SIGKILL when the monitor, our parent, dies: nobody would hold the terminal, write
    the log, or learn how the process ended. (The kernel forgets this when a set-uid program is
    executed; then the container lives on, and `ps` says so.)"""

    see: ClassVar[tuple[str, ...]] = ("PR_SET_PDEATHSIG(2const)", "prctl(2)")

    def describe(self) -> str:
        return "die with the monitor, which holds the other end of the log and the terminal"

    def apply(self, kernel: Kernel, ctx: Context) -> None:
        kernel.prctl(Prctl.PR_SET_PDEATHSIG, 9)


class FindProgram(Step):
    """Look for the program before it is executed, while it can still be told that it is not there,
    and while a filter of system calls allows to look."""

    args: tuple[str, ...]
    env: tuple[str, ...]
    see: ClassVar[tuple[str, ...]] = ("execve(2)", "environ(7)")

    def describe(self) -> str:
        return f"make sure that there is a program {self.args[0]!r}"

    def apply(self, kernel: Kernel, ctx: Context) -> None:
        env = complete_environment(self.env, ctx.home)
        ctx.program = find_program(kernel, self.args[0], variable(env, "PATH"))


class Execute(Step):
    """Become the program. Nothing of ours is left in the process afterwards."""

    args: tuple[str, ...]
    env: tuple[str, ...]
    see: ClassVar[tuple[str, ...]] = ("execve(2)", "environ(7)")

    def describe(self) -> str:
        return f"become the program {self.args[0]!r}: from here on the process is not ours any more"

    def apply(self, kernel: Kernel, ctx: Context) -> None:
        env = complete_environment(self.env, ctx.home)
        path = variable(env, "PATH")
        program = ctx.program or find_program(kernel, self.args[0], path)
        try:
            kernel.execve(program, list(self.args), env)
        except OSError as error:
            raise _cannot_execute(program, error) from error


def complete_environment(env: tuple[str, ...], home: str) -> list[str]:
    """Add HOME, from the user's passwd entry, where the image and the user set none. One that is
    set to nothing counts as not set, as in runc."""
    if variable(list(env), "HOME"):
        return list(env)
    return [*(entry for entry in env if entry != "HOME="), f"HOME={home}"]


def variable(env: list[str], name: str) -> str:
    """The value of `name` in an environment; "" where it is not set."""
    values = [entry.partition("=")[2] for entry in env if entry.startswith(name + "=")]
    return values[-1] if values else ""


def find_program(kernel: Kernel, name: str, path: str) -> str:
    """The file to execute, searched for along $PATH as a shell does. Raises `StartFailed`.

    Codes are the shell's and Docker's: 127 not found, 126 found but not executable.
    """
    if "/" in name:
        return _check_program(kernel, name)
    found_not_executable = False
    for directory in path.split(":"):
        candidate = f"{directory or '.'}/{name}"
        try:
            about = kernel.stat(candidate)
        except OSError:
            continue
        if stat.S_ISDIR(about.st_mode):
            continue
        if about.st_mode & 0o111:
            return candidate
        found_not_executable = True
    if found_not_executable:
        raise StartFailed(f"exec: {quote(name)}: permission denied", exit_code=126)
    raise StartFailed(f"exec: {quote(name)}: executable file not found in $PATH", exit_code=127)


def _check_program(kernel: Kernel, name: str) -> str:
    try:
        about = kernel.stat(name)
    except OSError as error:
        code = 127 if error.errno in (errno.ENOENT, errno.ENOTDIR) else 126
        text = (error.strerror or "").lower()
        raise StartFailed(f"exec: {quote(name)}: stat {name}: {text}", exit_code=code) from error
    if stat.S_ISDIR(about.st_mode):
        raise StartFailed(f"exec: {quote(name)}: is a directory", exit_code=126)
    if not about.st_mode & 0o111:
        raise StartFailed(f"exec: {quote(name)}: permission denied", exit_code=126)
    return name


def _cannot_execute(program: str, error: OSError) -> StartFailed:
    # The file is there, so "no such file" means the interpreter named in its first line.
    code = 127 if error.errno == errno.ENOENT else 126
    return StartFailed(f"exec {program}: {os.strerror(error.errno or 0).lower()}", exit_code=code)
