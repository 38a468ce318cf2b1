"""Two more kernels: one that only writes down what it is asked, one that tells while it does.

`RecordingKernel` makes `minidock explain` possible, and unit tests of plans: it answers every call
with a plausible value and touches nothing. `TracingKernel` wraps a real kernel and reports each
call after it returned, in the notation of strace(1), so that a reader can compare the two.
"""

from __future__ import annotations

import errno
import os
import stat

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
from minidock.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from enum import IntFlag
    from typing import Any

    from minidock.linux.kernel import Kernel


# ── how strace would print an argument ──


def _text(value: Any) -> str:
    """A string or bytes, quoted as in C; NULL; long data is cut as strace cuts it, at 32."""
    if value is None:
        return "NULL"
    raw = os.fsencode(value)
    escapes = {34: '\\"', 92: "\\\\", 10: "\\n", 9: "\\t", 13: "\\r"}
    body = "".join(escapes.get(b) or (chr(b) if 32 <= b < 127 else f"\\{b:o}") for b in raw)
    return f'"{body}"'


def _number(value: Any) -> str:
    return str(int(value))


def _octal(value: Any) -> str:
    return f"0{value:o}" if value else "0"


def _dirfd(value: Any) -> str:
    return "AT_FDCWD" if value == AT_FDCWD else str(value)


def _flags(family: type[IntFlag], zero: str = "0") -> Callable[[Any], str]:
    def show(value: Any) -> str:
        names = [member.name or "" for member in family if member & value == member]
        left = value & ~sum(member for member in family)
        return "|".join(names + ([hex(left)] if left else [])) or zero

    return show


def _open_flags(value: Any) -> str:
    words = _flags(OpenFlag)(value)
    has_mode = value & (os.O_WRONLY | os.O_RDWR)
    return words if has_mode else ("O_RDONLY" if words == "0" else f"O_RDONLY|{words}")


def _named(family: type[Any]) -> Callable[[Any], str]:
    def show(value: Any) -> str:
        try:
            return str(family(value).name)
        except ValueError:
            return hex(value)

    return show


def _node_mode(value: Any) -> str:
    kinds = {stat.S_IFCHR: "S_IFCHR", stat.S_IFBLK: "S_IFBLK", stat.S_IFIFO: "S_IFIFO"}
    kind = kinds.get(stat.S_IFMT(value), "S_IFREG")
    return f"{kind}|{_octal(stat.S_IMODE(value))}"


def _device(value: Any) -> str:
    return f"makedev({os.major(value):#x}, {os.minor(value):#x})"


def _caps(value: Any) -> str:
    return "|".join(f"1<<{cap.name}" for cap in Capability if value >> cap & 1) or "0"


def _group_list(value: Any) -> str:
    return "[" + ", ".join(map(str, value)) + "]"


def _strings(value: Any) -> str:
    return "[" + ", ".join(_text(v) for v in value) + "]"


def _hex(value: Any) -> str:
    return _text(value) if isinstance(value, bytes) else hex(value) if value > 9 else str(value)


def _bpf_attr(value: Any) -> str:
    """The members that were set, as strace names them; a program shows as its address would."""
    words: dict[str, Callable[[Any], str]] = {
        "prog_type": _named(BpfProgType),
        "attach_type": _named(BpfAttachType),
        "attach_flags": _flags(BpfAttachFlag),
        "insns": lambda program: f"/* {len(program)} bytes */",
        "license": lambda name: _text(name.rstrip(b"\0")),
    }
    return "{" + ", ".join(f"{k}={words.get(k, _number)(v)}" for k, v in value.items()) + "}"


_OPEN_TREE = _flags(AtFlag)
_NOTATION: dict[str, tuple[Callable[[Any], str], ...]] = {
    "unshare": (_flags(CloneFlag),),
    "setns": (_number, _flags(CloneFlag)),
    "fork": (),
    "wait4": (_number,),
    "execve": (_text, _strings, _strings),
    "pidfd_open": (_number,),
    "mount": (_text, _text, _text, _flags(MountFlag), _text),
    "umount2": (_text, _flags(UmountFlag)),
    "pivot_root": (_text, _text),
    "open_tree": (_dirfd, _text, _OPEN_TREE),
    "move_mount": (_dirfd, _text, _dirfd, _text, _flags(MoveMountFlag)),
    "mount_setattr": (_dirfd, _text, _flags(AtFlag), _flags(MountAttr)),
    "open": (_text, _open_flags, _octal),
    "openat": (_dirfd, _text, _open_flags, _octal),
    "openat2": (_dirfd, _text, _open_flags, _octal, _flags(ResolveFlag)),
    "read": (_number, _number),
    "write": (_number, _text),
    "close": (_number,),
    "close_range": (_number, _number, _flags(CloseRangeFlag)),
    "dup2": (_number, _number),
    "fstat": (_number,),
    "stat": (_text,),
    "mkdir": (_text, _octal),
    "mkdirat": (_dirfd, _text, _octal),
    "rmdir": (_text,),
    "mknodat": (_dirfd, _text, _node_mode, _device),
    "symlinkat": (_text, _dirfd, _text),
    "readlinkat": (_dirfd, _text),
    "fchmod": (_number, _octal),
    "fchown": (_number, _number, _number),
    "fchownat": (_dirfd, _text, _number, _number),
    "chdir": (_text,),
    "fchdir": (_number,),
    "getcwd": (),
    "umask": (_octal,),
    "sethostname": (_text,),
    "setsid": (),
    "ioctl": (_number, _named(Ioctl), _hex),
    "socket": (_number, _number),
    "prctl": (_named(Prctl), _number, _number),
    "keyctl": (_named(Keyctl), _text),
    "bpf": (_named(BpfCmd), _bpf_attr),
    "capset": (_caps, _caps, _caps),
    "setgroups": (_group_list,),
    "setresgid": (_number, _number, _number),
    "setresuid": (_number, _number, _number),
    "rt_sigaction": (_number,),
    "rt_sigprocmask": (),
}

# Calls that change nothing a container could notice.
READS = frozenset(
    ("read", "readlinkat", "fstat", "stat", "getcwd", "wait4", "close", "pidfd_open", "socket")
)


class Call(Record):
    """One system call: its name, its arguments in strace's notation, and what came of it."""

    name: str
    arguments: tuple[str, ...]
    result: str = "?"

    def __str__(self) -> str:
        return f"{self.name}({', '.join(self.arguments)}) = {self.result}"


def show_call(name: str, args: tuple[Any, ...], result: str = "?") -> Call:
    """Render a call as strace(1) would."""
    notation = _NOTATION[name]
    return Call(name, tuple(show(arg) for show, arg in zip(notation, args, strict=False)), result)


def _show_result(result: object) -> str:
    if isinstance(result, bool) or result is None:
        return "0"
    if isinstance(result, int):
        return str(result)
    if isinstance(result, bytes):
        return str(len(result))
    return _text(result) if isinstance(result, str) else "0"


def show_error(error: OSError) -> str:
    """`-1 ENOENT (No such file or directory)`"""
    name = errno.errorcode.get(error.errno or 0, str(error.errno))
    return f"-1 {name} ({error.strerror})"


class TracingKernel:
    """Does what it is asked through another kernel, and hands every `Call` to `tell`."""

    def __init__(self, kernel: Kernel, tell: Callable[[Call], None]) -> None:
        self._kernel = kernel
        self._tell = tell

    def __getattr__(self, name: str) -> Callable[..., Any]:
        call = getattr(self._kernel, name)
        if name == "signal_is_changed":  # Python's own knowledge: no system call
            return call

        def traced(*args: Any) -> Any:
            if name in ("execve", "fork"):  # they return elsewhere, or twice: told beforehand
                self._tell(show_call(name, args, "?"))
                return call(*args)
            try:
                result = call(*args)
            except OSError as error:
                self._tell(show_call(name, args, show_error(error)))
                raise
            self._tell(show_call(name, args, _show_result(result)))
            return result

        return traced


_PYTHON_CHANGES = (2, 13, 25)  # SIGINT is handled, SIGPIPE and SIGXFSZ ignored


class RecordingKernel:
    """Touches nothing; remembers every call in `calls` and answers as a kernel might.

    Descriptors are numbered from 3 as a real process would see them; paths are all taken to exist.
    """

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self._next_fd = 3

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name == "signal_is_changed":
            return lambda signum: signum in _PYTHON_CHANGES
        if name not in _NOTATION:
            raise AttributeError(name)

        def recorded(*args: Any) -> Any:
            result = self._answer(name, args)
            self.calls.append(show_call(name, args, _show_result(result)))
            return result

        return recorded

    def _answer(self, name: str, args: tuple[Any, ...]) -> Any:
        loads = name == "bpf" and args[0] == BpfCmd.BPF_PROG_LOAD
        if loads or name in ("open", "openat", "openat2", "open_tree", "pidfd_open", "socket"):
            self._next_fd += 1
            return self._next_fd - 1
        if name == "close" and args[0] == self._next_fd - 1:
            self._next_fd -= 1
        if name == "ioctl":
            return args[2]
        answers: dict[str, Any] = {"read": b"", "write": 0, "getcwd": "/", "umask": 0o22}
        if name == "write":
            return len(args[1])
        return answers.get(name, 0)
