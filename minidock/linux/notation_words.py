"""The words that strace(1) uses for one argument of a system call.

A number, a C string, flags by their names, a mode, a device, a signal: each function takes the
value that the kernel is given and returns the text. Used as `show.flags(MountFlag, value)`.
"""

from __future__ import annotations

import os
import stat

from minidock.linux import signals
from minidock.linux.flags import AT_FDCWD, Capability, OpenFlag
from minidock.linux.syscalls import LIBRARY_SIGNALS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from enum import IntFlag
    from typing import Any

ADDRESS = "…"


class Unknown(int):
    """A number that will only be known when it happens: a user's id, a process's."""

    def __str__(self) -> str:
        return "?"


UNKNOWN = Unknown(-1)


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


def number(value: Any) -> str:
    return str(value) if isinstance(value, Unknown) else str(int(value))


def limit(value: int) -> str:
    """A resource limit: strace(1) shows whole KiB as such."""
    if value == 2**64 - 1:
        return "RLIM64_INFINITY"
    return f"{value // 1024}*1024" if value > 1024 and value % 1024 == 0 else str(value)


def octal(value: int) -> str:
    return f"0{value:o}" if value else "000"


def dirfd(value: int) -> str:
    return "AT_FDCWD" if value == AT_FDCWD else str(value)


def flags(family: type[IntFlag], value: int, zero: str = "0") -> str:
    names = [str(member.name) for member in family if member & value == member]
    left = value & ~sum(member for member in family)
    return "|".join(names + ([hex(left)] if left else [])) or zero


def named(family: type[Any], value: int) -> str:
    try:
        return str(family(value).name)
    except ValueError:
        return hex(value)


def open_flags(value: int) -> str:
    access = ("O_RDONLY", "O_WRONLY", "O_RDWR")[value & os.O_ACCMODE]
    rest = flags(OpenFlag, value & ~os.O_ACCMODE, "")
    return f"{access}|{rest}" if rest else access


def strings(value: list[str]) -> str:
    return "[" + ", ".join(quote(v) for v in value) + "]"


def capabilities(value: int) -> str:
    return "|".join(f"1<<{cap.name}" for cap in Capability if value >> cap & 1) or "0"


def device(value: int) -> str:
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


def mode(value: int) -> str:
    kind = _KINDS.get(stat.S_IFMT(value), "S_IFREG")
    return f"{kind}|{octal(stat.S_IMODE(value))}"


def stat_result(about: Any) -> str:
    if about is None:
        return ADDRESS
    if stat.S_ISCHR(about.st_mode) or stat.S_ISBLK(about.st_mode):
        return f"{{st_mode={mode(about.st_mode)}, st_rdev={device(about.st_rdev)}, ...}}"
    return f"{{st_mode={mode(about.st_mode)}, st_size={about.st_size}, ...}}"


_ALIASES = ("SIGCLD", "SIGPOLL", "SIG_DFL", "SIG_IGN", "SIG_BLOCK", "SIG_UNBLOCK", "SIG_SETMASK")
_SIGNALS = {
    value: name
    for name, value in vars(signals).items()
    if name.startswith("SIG") and name not in _ALIASES and isinstance(value, int)
}


def signal(value: int) -> str:
    if value == LIBRARY_SIGNALS[0]:
        return "SIGRTMIN"  # the kernel's; the C library begins two later
    return _SIGNALS.get(value, f"SIGRT_{value - 32}" if value > 31 else str(value))
