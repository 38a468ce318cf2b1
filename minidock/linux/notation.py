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
import stat
import struct

from minidock.linux import signals
from minidock.linux.flags import (
    AT_FDCWD,
    AtFlag,
    BpfAttachFlag,
    BpfAttachType,
    BpfCmd,
    BpfProgType,
    Capability,
    CloneFlag,
    CloseRangeFlag,
    Ioctl,
    Keyctl,
    MountAttr,
    MountFlag,
    MoveMountFlag,
    OpenFlag,
    Prctl,
    ResolveFlag,
    UmountFlag,
)
from minidock.linux.syscalls import LIBRARY_SIGNALS
from minidock.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from enum import IntFlag
    from typing import Any

    Shown = tuple[str, ...]

ADDRESS = "…"
_CUT = 32  # bytes of what was read; strace's -s


class Unknown(int):
    """A number that will only be known when it happens: a user's id, a process's."""

    def __str__(self) -> str:
        return "?"


UNKNOWN = Unknown(-1)
READS = frozenset(("read", "readlinkat", "newfstatat", "getcwd", "pidfd_open", "wait4"))
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
    syscall, show = _NOTATION[name]
    return Call(syscall, show(result, *args), _result(name, args, result))


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
    if name == "umask":
        return f"{result:03o}"
    if name == "getcwd":
        return str(len(os.fsencode(result)) + 1)
    if isinstance(result, bytes):
        return "0" if name == "ioctl" else str(len(result))
    if isinstance(result, str):
        return str(len(os.fsencode(result)))
    return str(result + 0) if isinstance(result, int) else "0"  # + 0: a bool becomes a number


# ── words ──


def quote(value: str | bytes | None, most: int = 0) -> str:
    """A C string, NULL for None; with `most`, cut after so many bytes."""
    if value is None:
        return "NULL"
    raw = os.fsencode(value)
    dots = "..." if most and len(raw) > most else ""
    raw = raw[:most] if most else raw
    body = ""
    for position, byte in enumerate(raw):
        digit_follows = raw[position + 1 : position + 2].isdigit()
        if byte in _ESCAPES:
            body += _ESCAPES[byte]
        elif 32 <= byte < 127:
            body += chr(byte)
        else:
            body += f"\\{byte:03o}" if digit_follows else f"\\{byte:o}"
    return f'"{body}"{dots}'


_ESCAPES = {34: '\\"', 92: "\\\\", 10: "\\n", 9: "\\t", 13: "\\r", 11: "\\v", 12: "\\f"}


def _number(value: Any) -> str:
    return str(value) if isinstance(value, Unknown) else str(int(value))


def _octal(value: int) -> str:
    return f"0{value:o}" if value else "000"


def _dirfd(value: int) -> str:
    return "AT_FDCWD" if value == AT_FDCWD else str(value)


def _flags(family: type[IntFlag], value: int, zero: str = "0") -> str:
    names = [str(member.name) for member in family if member & value == member]
    left = value & ~sum(member for member in family)
    return "|".join(names + ([hex(left)] if left else [])) or zero


def _named(family: type[Any], value: int) -> str:
    try:
        return str(family(value).name)
    except ValueError:
        return hex(value)


def _open_flags(value: int) -> str:
    access = ("O_RDONLY", "O_WRONLY", "O_RDWR")[value & os.O_ACCMODE]
    rest = _flags(OpenFlag, value & ~os.O_ACCMODE, "")
    return f"{access}|{rest}" if rest else access


def _strings(value: list[str]) -> str:
    return "[" + ", ".join(quote(v) for v in value) + "]"


def _caps(value: int) -> str:
    return "|".join(f"1<<{cap.name}" for cap in Capability if value >> cap & 1) or "0"


def _device(value: int) -> str:
    major, minor = (f"{n:#x}" if n else "0" for n in (os.major(value), os.minor(value)))
    return f"makedev({major}, {minor})"


_KINDS = {
    stat.S_IFCHR: "S_IFCHR",
    stat.S_IFBLK: "S_IFBLK",
    stat.S_IFIFO: "S_IFIFO",
    stat.S_IFDIR: "S_IFDIR",
    stat.S_IFLNK: "S_IFLNK",
    stat.S_IFSOCK: "S_IFSOCK",
}


def _mode(value: int) -> str:
    kind = _KINDS.get(stat.S_IFMT(value), "S_IFREG")
    return f"{kind}|{_octal(stat.S_IMODE(value))}"


def _stat(about: Any) -> str:
    if about is None:
        return ADDRESS
    if stat.S_ISCHR(about.st_mode) or stat.S_ISBLK(about.st_mode):
        return f"{{st_mode={_mode(about.st_mode)}, st_rdev={_device(about.st_rdev)}, ...}}"
    return f"{{st_mode={_mode(about.st_mode)}, st_size={about.st_size}, ...}}"


_ALIASES = ("SIGCLD", "SIGPOLL", "SIG_DFL", "SIG_IGN", "SIG_BLOCK", "SIG_UNBLOCK", "SIG_SETMASK")
_SIGNALS = {
    value: name
    for name, value in vars(signals).items()
    if name.startswith("SIG") and name not in _ALIASES and isinstance(value, int)
}


def _signal(value: int) -> str:
    if value == LIBRARY_SIGNALS[0]:
        return "SIGRTMIN"  # the kernel's; the C library begins two later
    return _SIGNALS.get(value, f"SIGRT_{value - 32}" if value > 31 else str(value))


# ── calls whose arguments need more than one word each ──


def _openat(result: object, dirfd: int, path: str, flags: int, mode: int = 0) -> Shown:
    shown = (_dirfd(dirfd), quote(path), _open_flags(flags | os.O_CLOEXEC))
    return (*shown, _octal(mode)) if flags & os.O_CREAT else shown


def _openat2(result: object, dirfd: int, path: str, flags: int, mode: int, resolve: int) -> Shown:
    made = f", mode={_octal(mode)}" if flags & os.O_CREAT else ""
    how = f"{{flags={_open_flags(flags)}{made}, resolve={_flags(ResolveFlag, resolve)}}}"
    return _dirfd(dirfd), quote(path), how, "24"


def _mount(
    result: object, source: str | None, target: str, kind: str | None, flags: int, data: str | None
) -> Shown:
    return quote(source), quote(target), quote(kind), _flags(MountFlag, flags), quote(data)


def _mount_setattr(result: object, dirfd: int, path: str, flags: int, attr_set: int) -> Shown:
    attributes = f"attr_set={_flags(MountAttr, attr_set)}, attr_clr=0"
    attr = f"{{{attributes}, propagation=0 /* MS_??? */, userns_fd=0}}"
    return _dirfd(dirfd), quote(path), _flags(AtFlag, flags), attr, "32"


def _move_mount(
    result: object, from_dfd: int, from_path: str, to_dfd: int, to_path: str, flags: int
) -> Shown:
    ends = (_dirfd(from_dfd), quote(from_path), _dirfd(to_dfd), quote(to_path))
    return (*ends, _flags(MoveMountFlag, flags))


def _fork(result: object) -> Shown:
    flags = "CLONE_CHILD_CLEARTID|CLONE_CHILD_SETTID|SIGCHLD"
    return "child_stack=NULL", f"flags={flags}", f"child_tidptr={ADDRESS}"


def _wait4(result: object, pid: int) -> Shown:
    word = ADDRESS
    if isinstance(result, int) and not isinstance(result, Unknown):
        code = os.waitstatus_to_exitcode(result)
        word = f"{{WIFEXITED(s) && WEXITSTATUS(s) == {code}}}"
        if code < 0:
            word = f"{{WIFSIGNALED(s) && WTERMSIG(s) == {_signal(-code)}}}"
    return _number(pid), f"[{word}]", "0", "NULL"


def _ioctl(result: object, fd: int, request: int, argument: int | bytes) -> Shown:
    name = _named(Ioctl, request)
    shown = quote(argument) if isinstance(argument, bytes) else _number(argument)
    if name == "TIOCSPTLCK" and isinstance(argument, bytes):
        shown = f"[{int.from_bytes(argument, 'little')}]"
    elif name == "TIOCSPGRP":
        shown = f"[{int.from_bytes(argument, 'little') if isinstance(argument, bytes) else '?'}]"
    elif name == "TIOCGPTPEER" and isinstance(argument, int):
        shown = _open_flags(argument)
    elif name == "TIOCSWINSZ" and isinstance(argument, bytes):
        rows, columns, width, height = struct.unpack("HHHH", argument)
        shown = f"{{ws_row={rows}, ws_col={columns}, ws_xpixel={width}, ws_ypixel={height}}}"
    elif name == "SIOCSIFFLAGS" and isinstance(argument, bytes):
        interface = argument[:16].rstrip(b"\0")
        up = "IFF_UP" if argument[16] & 1 else "0"
        shown = f"{{ifr_name={quote(interface)}, ifr_flags={up}}}"
    return str(fd), name, shown


def _prctl(result: object, option: int, arg2: int = 0, arg3: int = 0) -> Shown:
    shown = _number(arg2)
    if option in (Prctl.PR_CAPBSET_DROP, Prctl.PR_CAPBSET_READ):
        shown = _named(Capability, arg2)
    elif option == Prctl.PR_SET_PDEATHSIG:
        shown = _signal(arg2)
    elif option == Prctl.PR_SET_DUMPABLE:
        shown = ("SUID_DUMP_DISABLE", "SUID_DUMP_USER", "SUID_DUMP_ROOT")[arg2]
    elif option == Prctl.PR_SET_NO_NEW_PRIVS:
        return _named(Prctl, option), shown, "0", "0", "0"
    return _named(Prctl, option), shown


BPF_ATTR_SIZE: dict[int, int] = {5: 24, 8: 16}  # as syscalls.bpf passes it, by command


def _bpf(result: object, cmd: int, attr: dict[str, int | bytes]) -> Shown:
    """The members that were set; a program shows as its length."""
    words: dict[str, Callable[[Any], str]] = {
        "prog_type": lambda value: _named(BpfProgType, value),
        "attach_type": lambda value: _named(BpfAttachType, value),
        "attach_flags": lambda value: _flags(BpfAttachFlag, value),
        "insns": lambda program: f"/* {len(program)} bytes */",
        "license": lambda name: quote(name.rstrip(b"\0")),
    }
    members = ", ".join(f"{k}={words.get(k, _number)(v)}" for k, v in attr.items())
    return _named(BpfCmd, cmd), f"{{{members}}}", str(BPF_ATTR_SIZE[cmd])


def _capset(result: object, effective: int, permitted: int, inheritable: int) -> Shown:
    named = (("effective", effective), ("permitted", permitted), ("inheritable", inheritable))
    sets = ", ".join(f"{name}={_caps(value)}" for name, value in named)
    return "{version=_LINUX_CAPABILITY_VERSION_3, pid=0}", f"{{{sets}}}"


def _rt_sigaction(result: object, signum: int) -> Shown:
    if signum in LIBRARY_SIGNALS:  # made past the C library, see syscalls.default_action
        action = "{sa_handler=SIG_DFL, sa_mask=[], sa_flags=0}"
        return _signal(signum), action, "NULL", "8"
    action = "sa_handler=SIG_DFL, sa_mask=[], sa_flags=SA_RESTORER|SA_ONSTACK"
    return _signal(signum), f"{{{action}, sa_restorer={ADDRESS}}}", f"{{{ADDRESS}}}", "8"


def _rt_sigprocmask(result: object, how: int = 2, numbers: Sequence[int] = ()) -> Shown:
    names = " ".join(_signal(number).removeprefix("SIG") for number in sorted(numbers))
    words = ("SIG_BLOCK", "SIG_UNBLOCK", "SIG_SETMASK")
    return words[how], f"[{names}]", f"[{ADDRESS}]", "8"


def _socket(result: object, domain: int, kind: int) -> Shown:
    types = {1: "SOCK_STREAM", 2: "SOCK_DGRAM", 5: "SOCK_SEQPACKET"}
    cloexec = "|SOCK_CLOEXEC" if kind & os.O_CLOEXEC else ""
    domains = {1: "AF_UNIX", 2: "AF_INET", 16: "AF_NETLINK"}
    kind &= 0xF
    return domains.get(domain, str(domain)), types.get(kind, str(kind)) + cloexec, "IPPROTO_IP"


def _close_range(result: object, first: int, last: int, flags: int) -> Shown:
    return str(first), str(last), _flags(CloseRangeFlag, flags)


def _setgroups(result: object, groups: tuple[int, ...]) -> Shown:
    listed = ", ".join(map(_number, groups))
    return _number(len(groups)), f"[{listed}]"


def _ids(result: object, *numbers: int) -> Shown:
    return tuple(map(_number, numbers))


def _path(result: object, path: str) -> Shown:
    return (quote(path),)


def _nothing(result: object) -> Shown:
    return ()


# Kernel's method → the system call's name, and what shows its arguments.
_NOTATION: dict[str, tuple[str, Callable[..., Shown]]] = {
    "unshare": ("unshare", lambda r, flags: (_flags(CloneFlag, flags),)),
    "setns": ("setns", lambda r, fd, kind: (_number(fd), _flags(CloneFlag, kind))),
    "fork": ("clone", _fork),
    "wait4": ("wait4", _wait4),
    "execve": ("execve", lambda r, path, argv, env: (quote(path), _strings(argv), _strings(env))),
    "execveat": (
        "execveat",
        lambda r, fd, path, argv, env, flags: (
            _dirfd(fd),
            quote(path),
            _strings(argv),
            _strings(env),
            _flags(AtFlag, flags),
        ),
    ),
    "pidfd_open": ("pidfd_open", lambda r, pid: (_number(pid), "0")),
    "kill": ("kill", lambda r, pid, signum: (_number(pid), _signal(signum))),
    "mount": ("mount", _mount),
    "umount2": ("umount2", lambda r, path, flags: (quote(path), _flags(UmountFlag, flags))),
    "pivot_root": ("pivot_root", lambda r, new, old: (quote(new), quote(old))),
    "open_tree": (
        "open_tree",
        lambda r, fd, path, flags: (_dirfd(fd), quote(path), _flags(AtFlag, flags)),
    ),
    "move_mount": ("move_mount", _move_mount),
    "mount_setattr": ("mount_setattr", _mount_setattr),
    "open": ("openat", lambda r, *args: _openat(r, AT_FDCWD, *args)),
    "openat": ("openat", _openat),
    "openat2": ("openat2", _openat2),
    "read": ("read", lambda r, fd, n: (_number(fd), quote(r, _CUT) if r else '""', _number(n))),
    "write": ("write", lambda r, fd, data: (_number(fd), quote(data), str(len(data)))),
    "close": ("close", _ids),
    "close_range": ("close_range", _close_range),
    "dup2": ("dup2", _ids),
    "fstat": ("newfstatat", lambda r, fd: (_number(fd), '""', _stat(r), "AT_EMPTY_PATH")),
    "stat": ("newfstatat", lambda r, path: ("AT_FDCWD", quote(path), _stat(r), "0")),
    "mkdir": ("mkdir", lambda r, path, mode: (quote(path), _octal(mode))),
    "mkdirat": ("mkdirat", lambda r, fd, path, mode: (_dirfd(fd), quote(path), _octal(mode))),
    "rmdir": ("rmdir", _path),
    "mknodat": (
        "mknodat",
        lambda r, fd, path, mode, dev: (_dirfd(fd), quote(path), _mode(mode), _device(dev)),
    ),
    "symlinkat": ("symlinkat", lambda r, to, fd, path: (quote(to), _dirfd(fd), quote(path))),
    "readlinkat": (
        "readlinkat",
        lambda r, fd, path: (_dirfd(fd), quote(path), quote(r) if r else ADDRESS, "4096"),
    ),
    "fchmod": ("fchmod", lambda r, fd, mode: (_number(fd), _octal(mode))),
    "fchown": ("fchown", _ids),
    "fchownat": (
        "fchownat",
        lambda r, fd, path, uid, gid: (
            _dirfd(fd),
            quote(path),
            _number(uid),
            _number(gid),
            "AT_SYMLINK_NOFOLLOW",
        ),
    ),
    "chdir": ("chdir", _path),
    "fchdir": ("fchdir", _ids),
    "getcwd": ("getcwd", lambda r: (quote(r) if r else ADDRESS, "1024")),
    "umask": ("umask", lambda r, mask: (f"{mask:03o}",)),
    "sethostname": ("sethostname", lambda r, name: (quote(name), str(len(os.fsencode(name))))),
    "setsid": ("setsid", _nothing),
    "setpgid": ("setpgid", _ids),
    "ioctl": ("ioctl", _ioctl),
    "socket": ("socket", _socket),
    "prctl": ("prctl", _prctl),
    "keyctl": ("keyctl", lambda r, operation, name: (_named(Keyctl, operation), quote(name))),
    "bpf": ("bpf", _bpf),
    "capset": ("capset", _capset),
    "setgroups": ("setgroups", _setgroups),
    "setresgid": ("setresgid", _ids),
    "setresuid": ("setresuid", _ids),
    "rt_sigaction": ("rt_sigaction", _rt_sigaction),
    "rt_sigprocmask": ("rt_sigprocmask", _rt_sigprocmask),
}
METHODS = frozenset(_NOTATION)
