"""How strace(1) would print a call.

Everything that tells what minidock does to the kernel writes it this way, so that a reader can run
`strace -f -v` beside it and find the same lines (a test does). That means the name of the system
call, which is not always that of the C function: `open` is openat, a `fork` is a clone, `fstat` is
newfstatat on a descriptor; and flags by their names, in strace's order.

What differs from run to run and means nothing, the address of a buffer, is shown as `…`. Content
that was read is cut at 32 bytes, as strace cuts it; what was written is shown whole, for that is
what was done. A value that nobody can know yet (`minidock explain` rehearses only) is `?`.

The names are those of x86-64. Newer architectures lack some calls (mkdir, dup2) and the C library
uses a more general one (mkdirat, dup3) there.

See: strace(1), syscalls(2)
"""

from __future__ import annotations

import errno
import os

from minidock.linux import notation_calls as calls
from minidock.linux import notation_sockets as sockets
from minidock.linux import notation_words as show
from minidock.linux.flags import AT_FDCWD, AtFlag, CloneFlag, Keyctl, UmountFlag
from minidock.linux.notation_words import ADDRESS, UNKNOWN, quote
from minidock.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    Shown = tuple[str, ...]

__all__ = ["METHODS", "READS", "UNKNOWN", "Call", "quote", "show_call", "show_error"]

_CUT = 32  # bytes of what was read; strace's -s
READS = frozenset((
    "read", "readlinkat", "newfstatat", "getcwd", "getdents64", "pidfd_open", "wait4", "fstatfs",
    "getsockname",
))  # fmt: skip
"""Calls that ask. They are told as all others are; what they change is only this process's own."""


class Call(Record):
    """One system call: its name, its arguments as strace shows them, what came of it ("" where
    that is not known), and how long it took."""

    name: str
    arguments: tuple[str, ...]
    result: str = ""
    nanoseconds: int = 0

    def __str__(self) -> str:
        text = f"{self.name}({', '.join(self.arguments)})"
        return f"{text} = {self.result}" if self.result else text


def show_call(name: str, args: Shown | tuple[Any, ...], result: Any = None) -> Call:
    """Render a call of the `Kernel` method `name` that returned `result`."""
    syscall, arguments = _NOTATION[name]
    return Call(syscall, arguments(result, *args), _result(name, args, result))


def show_error(error: OSError) -> str:
    """`-1 ENOENT (No such file or directory)`"""
    number = error.errno or 0
    return f"-1 {errno.errorcode.get(number, str(number))} ({os.strerror(number)})"


def _result(name: str, args: tuple[Any, ...], result: Any) -> str:
    if name == "wait4":
        return str(args[0])
    if name == "dup2":
        return str(args[1])
    if name == "setsid":
        return str(os.getpid())
    if name in ("fstatfs", "getsockname"):
        return "0"
    if name == "listdir":
        return str(len(result))
    if name == "umask":
        return f"{result:03o}"
    if name == "getcwd":
        return str(len(os.fsencode(result)) + 1)
    if isinstance(result, bytes):
        return "0" if name == "ioctl" else str(len(result))
    if isinstance(result, str):
        return str(len(os.fsencode(result)))
    return str(result + 0) if isinstance(result, int) else "0"  # + 0: a bool becomes a number


# Kernel's method → the system call's name, and what shows its arguments.
_NOTATION: dict[str, tuple[str, Callable[..., Shown]]] = {
    "unshare": ("unshare", lambda r, flags: (show.flags(CloneFlag, flags),)),
    "setns": ("setns", lambda r, fd, kind: (show.number(fd), show.flags(CloneFlag, kind))),
    "fork": ("clone", calls.fork),
    "fork_into": ("clone3", calls.fork_into),
    "clone": (
        "clone",
        lambda r, flags: ("child_stack=NULL", f"flags={show.flags(CloneFlag, flags)}|SIGCHLD"),
    ),
    "wait4": ("wait4", calls.wait4),
    "execve": (
        "execve",
        lambda r, path, argv, env: (quote(path), show.strings(argv), show.strings(env)),
    ),
    "execveat": (
        "execveat",
        lambda r, fd, path, argv, env, flags: (
            show.dirfd(fd),
            quote(path),
            show.strings(argv),
            show.strings(env),
            show.flags(AtFlag, flags),
        ),
    ),
    "pidfd_open": ("pidfd_open", lambda r, pid: (show.number(pid), "0")),
    "kill": ("kill", lambda r, pid, signum: (show.number(pid), show.signal(signum))),
    "mount": ("mount", calls.mount),
    "umount2": ("umount2", lambda r, path, flags: (quote(path), show.flags(UmountFlag, flags))),
    "pivot_root": ("pivot_root", lambda r, new, old: (quote(new), quote(old))),
    "open_tree": (
        "open_tree",
        lambda r, fd, path, flags: (show.dirfd(fd), quote(path), show.flags(AtFlag, flags)),
    ),
    "move_mount": ("move_mount", calls.move_mount),
    "mount_setattr": ("mount_setattr", calls.mount_setattr),
    "fsopen": ("fsopen", calls.fsopen),
    "fsconfig": ("fsconfig", calls.fsconfig),
    "fsmount": ("fsmount", calls.fsmount),
    "open": ("openat", lambda r, *args: calls.openat(r, AT_FDCWD, *args)),
    "openat": ("openat", calls.openat),
    "openat2": ("openat2", calls.openat2),
    "read": (
        "read",
        lambda r, fd, n: (show.number(fd), quote(r, _CUT) if r else '""', show.number(n)),
    ),
    "write": ("write", lambda r, fd, data: (show.number(fd), quote(data), str(len(data)))),
    "pread": (
        "pread64",
        lambda r, fd, n, at: (show.number(fd), quote(r, _CUT) if r else '""', str(n), str(at)),
    ),
    "pwrite": (
        "pwrite64",
        lambda r, fd, data, at: (show.number(fd), quote(data), str(len(data)), str(at)),
    ),
    "memfd_create": ("memfd_create", lambda r, name, flags: (quote(name), "MFD_CLOEXEC")),
    "poll": (
        "poll",
        lambda r, fd, timeout: (
            f"[{{fd={show.number(fd)}, events=POLLIN}}]",
            "1",
            str(timeout),
        ),
    ),
    "close": ("close", calls.ids),
    "close_range": ("close_range", calls.close_range),
    "dup2": ("dup2", calls.ids),
    "fstat": (
        "newfstatat",
        lambda r, fd: (show.number(fd), '""', show.stat_result(r), "AT_EMPTY_PATH"),
    ),
    "stat": ("newfstatat", lambda r, path: ("AT_FDCWD", quote(path), show.stat_result(r), "0")),
    "mkdir": ("mkdir", lambda r, path, mode: (quote(path), show.octal(mode))),
    "mkdirat": (
        "mkdirat",
        lambda r, fd, path, mode: (show.dirfd(fd), quote(path), show.octal(mode)),
    ),
    "rmdir": ("rmdir", calls.path),
    "mknodat": (
        "mknodat",
        lambda r, fd, path, mode, dev: (
            show.dirfd(fd),
            quote(path),
            show.mode(mode),
            show.device(dev),
        ),
    ),
    "symlinkat": ("symlinkat", lambda r, to, fd, path: (quote(to), show.dirfd(fd), quote(path))),
    "readlinkat": (
        "readlinkat",
        lambda r, fd, path: (show.dirfd(fd), quote(path), quote(r) if r else ADDRESS, "4096"),
    ),
    "fchmod": ("fchmod", lambda r, fd, mode: (show.number(fd), show.octal(mode))),
    "fchown": ("fchown", calls.ids),
    "fchownat": (
        "fchownat",
        lambda r, fd, path, uid, gid: (
            show.dirfd(fd),
            quote(path),
            show.number(uid),
            show.number(gid),
            "AT_SYMLINK_NOFOLLOW",
        ),
    ),
    "listdir": ("getdents64", lambda r, fd: (show.number(fd), ADDRESS, "32768")),
    "sendfile": (
        "sendfile",
        lambda r, to, fd, offset, count: (show.number(to), show.number(fd), "NULL", str(count)),
    ),
    "chroot": ("chroot", calls.path),
    "chdir": ("chdir", calls.path),
    "fchdir": ("fchdir", calls.ids),
    "getcwd": ("getcwd", lambda r: (quote(r) if r else ADDRESS, "1024")),
    "umask": ("umask", lambda r, mask: (f"{mask:03o}",)),
    "sethostname": ("sethostname", lambda r, name: (quote(name), str(len(os.fsencode(name))))),
    "setdomainname": ("setdomainname", lambda r, name: (quote(name), str(len(os.fsencode(name))))),
    "fstatfs": ("fstatfs", calls.fstatfs),
    "prlimit": ("prlimit64", calls.prlimit),
    "personality": ("personality", calls.personality),
    "sched_setattr": ("sched_setattr", calls.sched_setattr),
    "ioprio_set": ("ioprio_set", calls.ioprio_set),
    "setsid": ("setsid", calls.nothing),
    "setpgid": ("setpgid", calls.ids),
    "ioctl": ("ioctl", calls.ioctl),
    "socket": ("socket", sockets.socket),
    "send": ("sendto", sockets.send),
    "bind": ("bind", sockets.bind),
    "listen": ("listen", calls.ids),
    "setsockopt": ("setsockopt", sockets.setsockopt),
    "getsockname": ("getsockname", sockets.getsockname),
    "connect": ("connect", sockets.connect),
    "sendmsg": ("sendmsg", calls.sendmsg),
    "prctl": ("prctl", calls.prctl),
    "set_name": ("prctl", lambda r, name: ("PR_SET_NAME", quote(name))),
    "keyctl": ("keyctl", lambda r, operation, name: (show.named(Keyctl, operation), quote(name))),
    "bpf": ("bpf", calls.bpf),
    "seccomp": ("seccomp", calls.seccomp),
    "capset": ("capset", calls.capset),
    "setgroups": ("setgroups", calls.setgroups),
    "setresgid": ("setresgid", calls.ids),
    "setresuid": ("setresuid", calls.ids),
    "rt_sigaction": ("rt_sigaction", calls.rt_sigaction),
    "rt_sigprocmask": ("rt_sigprocmask", calls.rt_sigprocmask),
}
METHODS = frozenset(_NOTATION)
