"""System calls that Python's `os` lacks, one function each, named and ordered as in its man page.

`ctypes` calls the C library where it has a wrapper and `syscall(2)` where it has none. Every
function raises a plain `OSError` with the errno the kernel gave; nothing is retried or hidden.
Text becomes bytes with the file system encoding (surrogates and all), `None` becomes NULL.
"""

from __future__ import annotations

import errno
import os
import struct
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    import ctypes
else:
    from minidock.linux import lean_ctypes as ctypes

_libc = ctypes.CDLL(None, use_errno=True)

# These calls are newer than the day the architectures' tables were unified: one number for all.
# pivot_root, keyctl, bpf and setns are older and differ. include/uapi/asm-generic/unistd.h
SYS_OPEN_TREE = 428
SYS_MOVE_MOUNT = 429
SYS_FSOPEN = 430
SYS_FSCONFIG = 431
SYS_FSMOUNT = 432
SYS_CLONE3 = 435
SYS_CLOSE_RANGE = 436
SYS_OPENAT2 = 437
SYS_MOUNT_SETATTR = 442
_X86_64 = os.uname().machine == "x86_64"
SYS_PIVOT_ROOT = 155 if _X86_64 else 41
SYS_KEYCTL = 250 if _X86_64 else 219
SYS_CLONE = 56 if _X86_64 else 220
SYS_EXECVEAT = 322 if _X86_64 else 281
SYS_RT_SIGACTION = 13 if _X86_64 else 134
SYS_SCHED_SETATTR = 314 if _X86_64 else 274
SYS_IOPRIO_SET = 251 if _X86_64 else 30
SYS_BPF = 321 if _X86_64 else 280
SYS_SECCOMP = 317 if _X86_64 else 277

_IN_CHANGES = 0x2 | 0x80 | 0x100  # IN_MODIFY, IN_MOVED_TO, IN_CREATE
_SIGKILL, _SIGCHLD, _PR_SET_PDEATHSIG = 9, 17, 1
_CLONE_INTO_CGROUP = 1 << 33
_LINUX_CAPABILITY_VERSION_3 = 0x20080522


def _bytes(text: str | None) -> bytes | None:
    return None if text is None else os.fsencode(text)


def _done(result: int, path: str | None = None) -> int:
    if result == -1:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), path)
    return result


def _syscall(number: int, *args: object) -> int:
    wide = [ctypes.c_long(a) if isinstance(a, int) else a for a in args]
    return int(_libc.syscall(ctypes.c_long(number), *wide))


def clone3_into(cgroup: int) -> int:
    """clone3(2) as a fork, whose child begins in the cgroup (of v2) that a descriptor stands for.

    It is made past the C library's fork, so only a process with one thread may call it.
    """
    # struct clone_args: flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls,
    # set_tid, set_tid_size, cgroup
    args = struct.pack("=11Q", _CLONE_INTO_CGROUP, 0, 0, 0, _SIGCHLD, 0, 0, 0, 0, 0, cgroup)
    # Both processes come back into this interpreter, which has to hear of it as from os.fork; and
    # must not give its lock away meanwhile, as functions of a CDLL do.
    libc, python = ctypes.PyDLL(None, use_errno=True), ctypes.pythonapi
    python.PyOS_BeforeFork()
    pid = libc.syscall(ctypes.c_long(SYS_CLONE3), args, ctypes.c_long(len(args)))
    if pid == 0:
        python.PyOS_AfterFork_Child()
    else:
        python.PyOS_AfterFork_Parent()
    return _done(pid)


def has_clone3() -> bool:
    """Whether clone3(2) is there: Docker's seccomp profile, for one, denies it."""
    result = _libc.syscall(ctypes.c_long(SYS_CLONE3), None, ctypes.c_long(0))
    return bool(result == -1 and ctypes.get_errno() != errno.ENOSYS)


def mount(
    source: str | None, target: str, filesystemtype: str | None, mountflags: int, data: str | None
) -> None:
    """mount(2)"""
    result = _libc.mount(
        _bytes(source),
        _bytes(target),
        _bytes(filesystemtype),
        ctypes.c_ulong(mountflags),
        _bytes(data),
    )
    _done(result, target)


def umount2(target: str, flags: int) -> None:
    """umount2(2)"""
    _done(_libc.umount2(_bytes(target), flags), target)


def pivot_root(new_root: str, put_old: str) -> None:
    """pivot_root(2)"""
    _done(_syscall(SYS_PIVOT_ROOT, _bytes(new_root), _bytes(put_old)), new_root)


def unshare(flags: int) -> None:
    """unshare(2)"""
    _done(_libc.unshare(ctypes.c_int(flags)))


def clone(flags: int) -> int:
    """clone(2), for the namespaces that a child is born in: it does nothing but wait to be killed,
    and is killed when its parent dies. The child's PID."""
    pid = _syscall(SYS_CLONE, flags | _SIGCHLD, None, None, None, None)
    while pid == 0:
        _libc.prctl(_PR_SET_PDEATHSIG, _SIGKILL)
        _libc.pause()
    return _done(pid)


def setns(fd: int, nstype: int) -> None:
    """setns(2); `fd` is a namespace file or, from Linux 5.8 on, a pidfd."""
    _done(_libc.setns(fd, nstype))


def sethostname(name: str) -> None:
    """sethostname(2)"""
    raw = os.fsencode(name)
    _done(_libc.sethostname(raw, ctypes.c_size_t(len(raw))))


def setdomainname(name: str) -> None:
    """setdomainname(2)"""
    raw = os.fsencode(name)
    _done(_libc.setdomainname(raw, ctypes.c_size_t(len(raw))))


def open_tree(dfd: int, filename: str, flags: int) -> int:
    """open_tree(2), Linux 5.2: a descriptor of a mount, with OPEN_TREE_CLONE of a detached copy."""
    return _done(_syscall(SYS_OPEN_TREE, dfd, _bytes(filename), flags), filename)


def move_mount(from_dfd: int, from_path: str, to_dfd: int, to_path: str, flags: int) -> None:
    """move_mount(2), Linux 5.2"""
    args = (from_dfd, _bytes(from_path), to_dfd, _bytes(to_path), flags)
    _done(_syscall(SYS_MOVE_MOUNT, *args), to_path)


class _MountAttr(ctypes.Structure):
    _fields_ = (
        ("attr_set", ctypes.c_uint64),
        ("attr_clr", ctypes.c_uint64),
        ("propagation", ctypes.c_uint64),
        ("userns_fd", ctypes.c_uint64),
    )


def mount_setattr(
    dfd: int,
    path: str,
    flags: int,
    attr_set: int,
    attr_clr: int = 0,
    propagation: int = 0,
    userns_fd: int = 0,
) -> None:
    """mount_setattr(2), Linux 5.12: change a mount's own flags, atomically, all below with
    AT_RECURSIVE."""
    attr = _MountAttr(attr_set, attr_clr, propagation, userns_fd)
    size = ctypes.sizeof(attr)
    _done(_syscall(SYS_MOUNT_SETATTR, dfd, _bytes(path), flags, ctypes.byref(attr), size), path)


def fsopen(fsname: str, flags: int) -> int:
    """fsopen(2), Linux 5.2: begin to describe a filesystem that is not there yet."""
    return _done(_syscall(SYS_FSOPEN, _bytes(fsname), flags), fsname)


def fsconfig(fd: int, cmd: int, key: str | None, value: str | None, aux: int) -> None:
    """fsconfig(2), Linux 5.2: one of its options; with FSCONFIG_CMD_CREATE, make it."""
    _done(_syscall(SYS_FSCONFIG, fd, cmd, _bytes(key), _bytes(value), aux), key)


def fsmount(fd: int, flags: int, attr_flags: int) -> int:
    """fsmount(2), Linux 5.2: a descriptor of a new mount that is attached nowhere."""
    return _done(_syscall(SYS_FSMOUNT, fd, flags, attr_flags))


class _OpenHow(ctypes.Structure):
    _fields_ = (
        ("flags", ctypes.c_uint64),
        ("mode", ctypes.c_uint64),
        ("resolve", ctypes.c_uint64),
    )


def openat2(dirfd: int, path: str, flags: int, mode: int, resolve: int) -> int:
    """openat2(2), Linux 5.6: open a path while saying how it may be walked."""
    how = _OpenHow(flags, mode, resolve)
    args = (dirfd, _bytes(path), ctypes.byref(how), ctypes.sizeof(how))
    return _done(_syscall(SYS_OPENAT2, *args), path)


def close_range(first: int, last: int, flags: int) -> None:
    """close_range(2), Linux 5.9"""
    _done(_syscall(SYS_CLOSE_RANGE, first, last, flags))


def inotify_init() -> int:
    """inotify_init1(2), closed on exec."""
    return _done(_libc.inotify_init1(os.O_CLOEXEC))


def inotify_add_watch(fd: int, path: str) -> None:
    """inotify_add_watch(2), for what is written to a directory's files and which it has."""
    _done(_libc.inotify_add_watch(fd, _bytes(path), _IN_CHANGES), path)


def prctl(option: int, arg2: int = 0, arg3: int = 0) -> int:
    """prctl(2)"""
    zero = ctypes.c_ulong(0)
    return _done(_libc.prctl(option, ctypes.c_ulong(arg2), ctypes.c_ulong(arg3), zero, zero))


def set_name(name: str) -> None:
    """prctl(PR_SET_NAME): the name of this thread, cut after 15 bytes. PR_SET_NAME(2const)"""
    zero = ctypes.c_ulong(0)
    _done(_libc.prctl(15, ctypes.c_char_p(os.fsencode(name)), zero, zero, zero))


def fstatfs(fd: int) -> int:
    """fstatfs(2): of all it says, only of which type the file's filesystem is."""
    about = (ctypes.c_long * 16)()
    _done(_libc.fstatfs(fd, about))
    return about[0]


def prlimit(pid: int, resource: int, soft: int, hard: int) -> None:
    """prlimit(2), to set a limit; 2**64 - 1 is none."""
    limit = (ctypes.c_uint64 * 2)(soft, hard)
    _done(_libc.prlimit(pid, resource, limit, None))


def personality(persona: int) -> int:
    """personality(2): the one before."""
    return _done(_libc.personality(ctypes.c_ulong(persona)))


def sched_setattr(
    pid: int,
    policy: int,
    flags: int,
    nice: int,
    priority: int,
    runtime: int,
    deadline: int,
    period: int,
) -> None:
    """sched_setattr(2); the three times are in nanoseconds."""
    times = (runtime, deadline, period)
    attr = struct.pack("IIQiI3Q", 48, policy, flags, nice, priority, *times)
    _done(_syscall(SYS_SCHED_SETATTR, pid, attr, 0))


def ioprio_set(which: int, who: int, ioprio: int) -> None:
    """ioprio_set(2)"""
    _done(_syscall(SYS_IOPRIO_SET, which, who, ioprio))


def keyctl(operation: int, name: str | None) -> int:
    """keyctl(2), for the operations that take one name."""
    return _done(_syscall(SYS_KEYCTL, operation, _bytes(name)))


# glibc keeps these for its threads and lets nobody touch them; but a parent that used the kernel
# directly may have had them ignored, and that is inherited. signal(7), nptl(7)
LIBRARY_SIGNALS = (32, 33)


def default_action(signum: int) -> None:
    """rt_sigaction(2) with SIG_DFL, past the C library: a struct of zeros."""
    action = (ctypes.c_ulong * 4)()
    _done(_syscall(SYS_RT_SIGACTION, signum, ctypes.byref(action), 0, 8))


def capset(effective: int, permitted: int, inheritable: int) -> None:
    """capset(2), version 3: three sets of 64 bits for the calling thread."""
    header = (ctypes.c_uint32 * 2)(_LINUX_CAPABILITY_VERSION_3, 0)
    sets = (effective, permitted, inheritable)
    halves = [s & 0xFFFFFFFF for s in sets] + [s >> 32 for s in sets]
    _done(_libc.capset(header, (ctypes.c_uint32 * 6)(*halves)))


def _vector(strings: list[str]) -> ctypes.Array[ctypes.c_char_p]:
    """A NULL-terminated array of C strings. EINVAL where one has a NUL byte inside."""
    encoded = [os.fsencode(s) for s in strings]
    if any(b"\0" in e for e in encoded):
        raise OSError(errno.EINVAL, "embedded null byte")
    return (ctypes.c_char_p * (len(encoded) + 1))(*encoded, None)


def execve(path: str, argv: list[str], envp: list[str]) -> None:
    """execve(2). Unlike `os.execve` it keeps the environment's order. Returns only by raising."""
    _done(_libc.execve(_bytes(path), _vector(argv), _vector(envp)), path)


def execveat(dirfd: int, path: str, argv: list[str], envp: list[str], flags: int) -> None:
    """execveat(2): run the program behind a descriptor. Returns only by raising."""
    _done(_syscall(SYS_EXECVEAT, dirfd, _bytes(path), _vector(argv), _vector(envp), flags), path)


def bpf(cmd: int, attr: dict[str, int | bytes]) -> int:
    """bpf(2), for BPF_PROG_LOAD and BPF_PROG_ATTACH.

    `attr` has the names of the man page's union; bytes are passed by their address.
    """
    raw, held = b"", []
    for name, size in _BPF_ATTR[cmd]:
        value = attr.get(name, 0)
        if isinstance(value, bytes):
            held.append(ctypes.create_string_buffer(value))
            value = ctypes.addressof(held[-1])
        raw += value.to_bytes(size, sys.byteorder)
    return _done(_syscall(SYS_BPF, cmd, raw, len(raw)))


class _SockFprog(ctypes.Structure):
    _fields_ = (("len", ctypes.c_ushort), ("filter", ctypes.c_char_p))


def seccomp(operation: int, flags: int, program: bytes) -> int:
    """seccomp(2), SECCOMP_SET_MODE_FILTER; `program` is an array of `struct sock_filter`. With
    SECCOMP_FILTER_FLAG_NEW_LISTENER it returns a descriptor."""
    argument = _SockFprog(len(program) // 8, program)
    return _done(_syscall(SYS_SECCOMP, operation, flags, ctypes.byref(argument)))


# The union's members, in order, with their sizes. What is not passed on is zero. linux/bpf.h
_BPF_ATTR = {
    5: (("prog_type", 4), ("insn_cnt", 4), ("insns", 8), ("license", 8)),
    8: (("target_fd", 4), ("attach_bpf_fd", 4), ("attach_type", 4), ("attach_flags", 4)),
}
