"""Run our own interpreter so that no container can write to it.

A process on its way into a container is still the host's Python. If the program it is told to
become is `/proc/self/exe` (an image may say so), the kernel executes that Python *inside* the
container, and there it can open its own program file and, as root, overwrite it: the next command
on the host runs the attacker's code (CVE-2019-5736). Permissions do not help, since root may
write; a read-only *mount* does, since /proc/self/exe leads back through the mount the program was
started from.

So whatever will enter a container is started here: from a private copy of the one mount that holds
the interpreter, made read-only, which is attached to no directory at all. Nothing can remount it,
since it is in no mount namespace. This takes three calls and about 0.1 ms; copying the interpreter
into a sealed memfd, as runc does, takes 4 ms and its size in memory.

See: open_tree(2), mount_setattr(2), execveat(2), proc_pid_exe(5)
"""

from __future__ import annotations

import os
import sys

from minidock.linux import signals as signal
from minidock.linux import syscalls

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

AT_FDCWD = -100
OPEN_TREE_CLONE = 1
AT_EMPTY_PATH = 0x1000
MOUNT_ATTR_RDONLY = 1
PR_SET_CHILD_SUBREAPER = 36

_FS_IOC_GETFLAGS = 0x80086601  # of x86 and arm64
_FS_IMMUTABLE_FL = 0x10

PACKAGE_ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
# Nothing of the caller's environment: PYTHONPATH or LD_PRELOAD might come from anywhere.
_ENVIRONMENT = ["LC_ALL=C.UTF-8", "PATH=/usr/sbin:/usr/bin:/sbin:/bin"]


def sealed_interpreter() -> int:
    """A descriptor of Python's program file on a detached read-only mount. Raises `OSError`."""
    fd = syscalls.open_tree(AT_FDCWD, sys.executable, OPEN_TREE_CLONE | os.O_CLOEXEC)
    syscalls.mount_setattr(fd, "", AT_EMPTY_PATH, MOUNT_ATTR_RDONLY)
    return fd


def is_sealed() -> bool:
    """Whether nobody in a container could write to the program file of this process anyway: the
    mount or the filesystem that it was started from is read-only, as on an image-based system, or
    the file is immutable, as an installation makes its own copy of the interpreter (chattr +i).
    What is immutable can be changed back by whoever has CAP_LINUX_IMMUTABLE on the host.

    See: ioctl_iflags(2), statvfs(3)
    """
    import fcntl

    fd = os.open("/proc/self/exe", os.O_RDONLY | os.O_CLOEXEC)
    try:
        if os.fstatvfs(fd).f_flag & os.ST_RDONLY:
            return True
        flags = fcntl.ioctl(fd, _FS_IOC_GETFLAGS, bytes(8))
    except OSError:
        return False  # a filesystem without such flags
    finally:
        os.close(fd)
    return bool(flags[0] & _FS_IMMUTABLE_FL)


def spawn_sealed(module: str, arguments: Sequence[str], keep_fds: Sequence[int]) -> int:
    """Start `module.main()` in a new, lean, sealed interpreter; return its PID.

    It begins in a session of its own, in "/", with /dev/null as 0, 1 and 2 and with `keep_fds` as
    3, 4, …; nothing else is inherited. Raises `OSError` where the kernel refuses to seal.
    """
    program = sealed_interpreter()
    argv = [*_argv(module), *arguments]
    pid = os.fork()
    if pid:
        os.close(program)
        return pid
    try:
        _tidy(program, keep_fds)
        # Processes whose parent is gone become its children: it will wait(2) for a container's
        # init. The attribute survives execve. PR_SET_CHILD_SUBREAPER(2const)
        syscalls.prctl(PR_SET_CHILD_SUBREAPER, 1)
        syscalls.execveat(_PROGRAM_FD, "", argv, _ENVIRONMENT, AT_EMPTY_PATH)
    finally:
        os._exit(127)


def fork_sealed(module: str, channel: int, channel_fd: int) -> int:
    """Start `module.main()` in a new sealed interpreter that has our streams, our session and those
    of our descriptors that execve(2) keeps; return its PID.

    `channel` becomes its descriptor `channel_fd`, whatever that was before. Raises `OSError` where
    the kernel refuses to seal.
    """
    program = sealed_interpreter()
    pid = os.fork()
    if pid:
        os.close(program)
        return pid
    try:
        os.dup2(channel, channel_fd)
        syscalls.execveat(program, "", _argv(module), _ENVIRONMENT, AT_EMPTY_PATH)
    finally:
        os._exit(127)


def _argv(module: str) -> list[str]:
    # Other people's packages beside a checkout; an installation has them where ours is.
    others = [path for path in sys.path if path.endswith("-packages")]
    code = f"import sys; sys.path.insert(0, {PACKAGE_ROOT!r}); sys.path += {others!r}\n"
    if os.path.exists(_MODULES):
        code += f"from minidock import preloaded; preloaded.use({_MODULES!r})\n"
    code += f"import {module} as m; m.main()"
    # -I: no environment, no user site; -S: no search for site-packages
    return [sys.executable, "-I", "-S", "-c", code]


_MODULES = f"{PACKAGE_ROOT}/minidock.modules"  # where an installation has them (preloaded.py)
_PROGRAM_FD = 100


def _tidy(program: int, keep_fds: Sequence[int]) -> None:
    """In the child: exactly the wanted descriptors, own session, "/" as working directory, and no
    signal blocked, whatever the caller has: it will wait for SIGCHLD."""
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    os.setsid()
    os.chdir("/")
    high = [os.dup2(fd, 200 + i) for i, fd in enumerate(keep_fds)]  # out of each other's way
    os.dup2(program, _PROGRAM_FD, inheritable=False)
    null = os.open("/dev/null", os.O_RDWR)
    for fd in (0, 1, 2):
        os.dup2(null, fd)
    for i, fd in enumerate(high):
        os.dup2(fd, 3 + i)
    os.closerange(3 + len(high), _PROGRAM_FD)
    os.closerange(_PROGRAM_FD + 1, 65536)
