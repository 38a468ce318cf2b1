"""System calls whose arguments strace(1) shows as more than one word each.

One function for each: it takes what the call returned, then its arguments as the `Kernel` method of
that name has them, and returns the arguments as text.
"""

from __future__ import annotations

import os
import struct

from minidock.linux import notation_words as show
from minidock.linux.flags import (
    Ambient,
    AtFlag,
    BpfAttachFlag,
    BpfAttachType,
    BpfCmd,
    BpfProgType,
    Capability,
    CloseRangeFlag,
    FilesystemType,
    FsconfigCommand,
    FsmountFlag,
    FsopenFlag,
    Ioctl,
    IoprioClass,
    MountAttr,
    MountFlag,
    MoveMountFlag,
    Personality,
    Prctl,
    ResolveFlag,
    Rlimit,
    SchedFlag,
    SchedPolicy,
    SeccompFilterFlag,
    SeccompOperation,
)
from minidock.linux.notation_words import ADDRESS, Unknown, quote
from minidock.linux.syscalls import LIBRARY_SIGNALS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    Shown = tuple[str, ...]


def openat(result: object, dirfd: int, path: str, flags: int, mode: int = 0) -> Shown:
    shown = (show.dirfd(dirfd), quote(path), show.open_flags(flags | os.O_CLOEXEC))
    return (*shown, show.octal(mode)) if flags & os.O_CREAT else shown


def openat2(result: object, dirfd: int, path: str, flags: int, mode: int, resolve: int) -> Shown:
    made = f", mode={show.octal(mode)}" if flags & os.O_CREAT else ""
    how = f"{{flags={show.open_flags(flags)}{made}, resolve={show.flags(ResolveFlag, resolve)}}}"
    return show.dirfd(dirfd), quote(path), how, "24"


def mount(
    result: object, source: str | None, target: str, kind: str | None, flags: int, data: str | None
) -> Shown:
    return quote(source), quote(target), quote(kind), show.flags(MountFlag, flags), quote(data)


def mount_setattr(
    result: object,
    dirfd: int,
    path: str,
    flags: int,
    attr_set: int,
    attr_clr: int = 0,
    propagation: int = 0,
    userns_fd: int = 0,
) -> Shown:
    members = (
        f"attr_set={show.flags(MountAttr, attr_set)}",
        f"attr_clr={show.flags(MountAttr, attr_clr)}",
        f"propagation={show.flags(MountFlag, propagation, '0 /* MS_??? */')}",
        f"userns_fd={userns_fd}",
    )
    attr = f"{{{', '.join(members)}}}"
    return show.dirfd(dirfd), quote(path), show.flags(AtFlag, flags), attr, "32"


def fsopen(result: object, fsname: str, flags: int) -> Shown:
    return quote(fsname), show.flags(FsopenFlag, flags)


def fsconfig(
    result: object, fd: int, cmd: int, key: str | None, value: str | None, aux: int
) -> Shown:
    return str(fd), show.named(FsconfigCommand, cmd), quote(key), quote(value), str(aux)


def fsmount(result: object, fd: int, flags: int, attr_flags: int) -> Shown:
    return str(fd), show.flags(FsmountFlag, flags), show.flags(MountAttr, attr_flags)


def move_mount(
    result: object, from_dfd: int, from_path: str, to_dfd: int, to_path: str, flags: int
) -> Shown:
    ends = (show.dirfd(from_dfd), quote(from_path), show.dirfd(to_dfd), quote(to_path))
    return (*ends, show.flags(MoveMountFlag, flags))


def fork(result: object) -> Shown:
    flags = "CLONE_CHILD_CLEARTID|CLONE_CHILD_SETTID|SIGCHLD"
    return "child_stack=NULL", f"flags={flags}", f"child_tidptr={ADDRESS}"


def fork_into(result: object, cgroup: int) -> Shown:
    words = "flags=CLONE_INTO_CGROUP, exit_signal=SIGCHLD, stack=NULL, stack_size=0"
    return f"{{{words}, cgroup={show.number(cgroup)}}}", "88"


def wait4(result: object, pid: int) -> Shown:
    word = ADDRESS
    if isinstance(result, int) and not isinstance(result, Unknown):
        code = os.waitstatus_to_exitcode(result)
        word = f"{{WIFEXITED(s) && WEXITSTATUS(s) == {code}}}"
        if code < 0:
            word = f"{{WIFSIGNALED(s) && WTERMSIG(s) == {show.signal(-code)}}}"
    return show.number(pid), f"[{word}]", "0", "NULL"


def ioctl(result: object, fd: int, request: int, argument: int | bytes) -> Shown:
    name = show.named(Ioctl, request)
    shown = quote(argument) if isinstance(argument, bytes) else show.number(argument)
    if name == "TIOCSPTLCK" and isinstance(argument, bytes):
        shown = f"[{int.from_bytes(argument, 'little')}]"
    elif name == "TIOCSPGRP":
        shown = f"[{int.from_bytes(argument, 'little') if isinstance(argument, bytes) else '?'}]"
    elif name == "TIOCGPTPEER" and isinstance(argument, int):
        shown = show.open_flags(argument)
    elif name == "TIOCSWINSZ" and isinstance(argument, bytes):
        rows, columns, width, height = struct.unpack("HHHH", argument)
        shown = f"{{ws_row={rows}, ws_col={columns}, ws_xpixel={width}, ws_ypixel={height}}}"
    elif name == "NS_GET_NSTYPE":
        return str(fd), name
    elif name == "SIOCSIFFLAGS" and isinstance(argument, bytes):
        interface = argument[:16].rstrip(b"\0")
        up = "IFF_UP" if argument[16] & 1 else "0"
        shown = f"{{ifr_name={quote(interface)}, ifr_flags={up}}}"
    return str(fd), name, shown


def prctl(result: object, option: int, arg2: int = 0, arg3: int = 0) -> Shown:
    shown = show.number(arg2)
    if option in (Prctl.PR_CAPBSET_DROP, Prctl.PR_CAPBSET_READ):
        shown = show.named(Capability, arg2)
    elif option == Prctl.PR_SET_PDEATHSIG:
        shown = show.signal(arg2)
    elif option == Prctl.PR_SET_SECUREBITS:
        shown = "SECBIT_NO_SETUID_FIXUP" if arg2 else "0"
    elif option == Prctl.PR_SET_DUMPABLE:
        shown = ("SUID_DUMP_DISABLE", "SUID_DUMP_USER", "SUID_DUMP_ROOT")[arg2]
    elif option == Prctl.PR_CAP_AMBIENT:
        which = show.named(Capability, arg3) if arg2 == Ambient.PR_CAP_AMBIENT_RAISE else "0"
        return show.named(Prctl, option), show.named(Ambient, arg2), which, "0", "0"
    elif option == Prctl.PR_SET_NO_NEW_PRIVS:
        return show.named(Prctl, option), shown, "0", "0", "0"
    return show.named(Prctl, option), shown


BPF_ATTR_SIZE: dict[int, int] = {5: 24, 8: 16}  # as syscalls.bpf passes it, by command


def bpf(result: object, cmd: int, attr: dict[str, int | bytes]) -> Shown:
    """The members that were set; a program shows as its length."""
    words: dict[str, Callable[[Any], str]] = {
        "prog_type": lambda value: show.named(BpfProgType, value),
        "attach_type": lambda value: show.named(BpfAttachType, value),
        "attach_flags": lambda value: show.flags(BpfAttachFlag, value),
        "insns": lambda program: f"/* {len(program)} bytes */",
        "license": lambda name: quote(name.rstrip(b"\0")),
    }
    members = ", ".join(f"{k}={words.get(k, show.number)(v)}" for k, v in attr.items())
    return show.named(BpfCmd, cmd), f"{{{members}}}", str(BPF_ATTR_SIZE[cmd])


def seccomp(result: object, operation: int, flags: int, program: bytes) -> Shown:
    """A program shows as its length."""
    shown = f"{{len={len(program) // 8}, filter={ADDRESS}}}"
    return show.named(SeccompOperation, operation), show.flags(SeccompFilterFlag, flags), shown


def fstatfs(result: object, fd: int) -> Shown:
    kind = show.named(FilesystemType, result) if isinstance(result, int) else ADDRESS
    return str(fd), f"{{f_type={kind}, ...}}"


def prlimit(result: object, pid: int, resource: int, soft: int, hard: int) -> Shown:
    limits = f"{{rlim_cur={show.limit(soft)}, rlim_max={show.limit(hard)}}}"
    return show.number(pid), show.named(Rlimit, resource), limits, "NULL"


def sched_setattr(result: object, pid: int, policy: int, flags: int, *numbers: int) -> Shown:
    names = ("nice", "priority", "runtime", "deadline", "period")
    members = [f"sched_{name}={value}" for name, value in zip(names, numbers, strict=True)]
    first = f"size=48, sched_policy={show.named(SchedPolicy, policy)}"
    first += f", sched_flags={show.flags(SchedFlag, flags)}"
    return show.number(pid), f"{{{first}, {', '.join(members)}}}", "0"


def ioprio_set(result: object, which: int, who: int, ioprio: int) -> Shown:
    kind = show.named(IoprioClass, ioprio >> 13)
    value = f"IOPRIO_PRIO_VALUE({kind}, {ioprio & 0x1FFF})"
    return "IOPRIO_WHO_PROCESS", show.number(who), value


def personality(result: object, persona: int) -> Shown:
    return (show.named(Personality, persona),)


def capset(result: object, effective: int, permitted: int, inheritable: int) -> Shown:
    named = (("effective", effective), ("permitted", permitted), ("inheritable", inheritable))
    sets = ", ".join(f"{name}={show.capabilities(value)}" for name, value in named)
    return "{version=_LINUX_CAPABILITY_VERSION_3, pid=0}", f"{{{sets}}}"


def rt_sigaction(result: object, signum: int) -> Shown:
    if signum in LIBRARY_SIGNALS:  # made past the C library, see syscalls.default_action
        action = "{sa_handler=SIG_DFL, sa_mask=[], sa_flags=0}"
        return show.signal(signum), action, "NULL", "8"
    action = "sa_handler=SIG_DFL, sa_mask=[], sa_flags=SA_RESTORER|SA_ONSTACK"
    return show.signal(signum), f"{{{action}, sa_restorer={ADDRESS}}}", f"{{{ADDRESS}}}", "8"


def rt_sigprocmask(result: object, how: int = 2, numbers: Sequence[int] = ()) -> Shown:
    names = " ".join(show.signal(number).removeprefix("SIG") for number in sorted(numbers))
    words = ("SIG_BLOCK", "SIG_UNBLOCK", "SIG_SETMASK")
    return words[how], f"[{names}]", f"[{ADDRESS}]", "8"


def sendmsg(result: object, sockfd: int, data: bytes, fds: tuple[int, ...]) -> Shown:
    size = 16 + 4 * len(fds)
    numbers = ", ".join(map(show.number, fds))
    rights = f"cmsg_level=SOL_SOCKET, cmsg_type=SCM_RIGHTS, cmsg_data=[{numbers}]"
    message = (
        "msg_name=NULL, msg_namelen=0",
        f"msg_iov=[{{iov_base={quote(data)}, iov_len={len(data)}}}], msg_iovlen=1",
        f"msg_control=[{{cmsg_len={size}, {rights}}}], msg_controllen={-(-size // 8) * 8}",
        "msg_flags=0",
    )
    return show.number(sockfd), f"{{{', '.join(message)}}}", "0"


def close_range(result: object, first: int, last: int, flags: int) -> Shown:
    return str(first), str(last), show.flags(CloseRangeFlag, flags)


def setgroups(result: object, groups: tuple[int, ...]) -> Shown:
    listed = ", ".join(map(show.number, groups))
    return show.number(len(groups)), f"[{listed}]"


def ids(result: object, *numbers: int) -> Shown:
    return tuple(map(show.number, numbers))


def path(result: object, path: str) -> Shown:
    return (quote(path),)


def nothing(result: object) -> Shown:
    return ()
