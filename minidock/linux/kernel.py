"""The one door to the kernel.

Every Step of a plan receives a `Kernel` and calls nothing else, so that the same plan can be
applied (`LinuxKernel`), written down without being done (`RecordingKernel`), or done and told at
the same time (`TracingKernel`; both in recording.py). One method per system call, named and
ordered as in its man page. Reading calls are here too where a Step depends on the answer.
"""

from __future__ import annotations

import _socket
import fcntl
import os
import select
from sys import byteorder

from minidock.linux import signals as signal
from minidock.linux import syscalls

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Protocol
else:
    Protocol = object


class Kernel(Protocol):
    """What a Step may ask of the kernel. Every method raises `OSError`."""

    def unshare(self, flags: int) -> None: ...
    def setns(self, fd: int, nstype: int) -> None: ...
    def fork(self) -> int: ...
    def fork_into(self, cgroup: int) -> int: ...
    def clone(self, flags: int) -> int: ...
    def wait4(self, pid: int) -> int: ...
    def execve(self, path: str, argv: list[str], envp: list[str]) -> None: ...
    def pidfd_open(self, pid: int) -> int: ...
    def kill(self, pid: int, signum: int) -> None: ...

    def mount(
        self, source: str | None, target: str, fstype: str | None, flags: int, data: str | None
    ) -> None: ...
    def umount2(self, target: str, flags: int) -> None: ...
    def pivot_root(self, new_root: str, put_old: str) -> None: ...
    def open_tree(self, dfd: int, path: str, flags: int) -> int: ...
    def move_mount(
        self, from_dfd: int, from_path: str, to_dfd: int, to_path: str, flags: int
    ) -> None: ...
    def mount_setattr(
        self,
        dfd: int,
        path: str,
        flags: int,
        attr_set: int,
        attr_clr: int = 0,
        propagation: int = 0,
        userns_fd: int = 0,
    ) -> None: ...
    def fsopen(self, fsname: str, flags: int) -> int: ...
    def fsconfig(self, fd: int, cmd: int, key: str | None, value: str | None, aux: int) -> None: ...
    def fsmount(self, fd: int, flags: int, attr_flags: int) -> int: ...

    def open(self, path: str, flags: int, mode: int = 0) -> int: ...
    def openat(self, dirfd: int, path: str, flags: int, mode: int = 0) -> int: ...
    def openat2(self, dirfd: int, path: str, flags: int, mode: int, resolve: int) -> int: ...
    def read(self, fd: int, count: int) -> bytes: ...
    def pread(self, fd: int, count: int, offset: int) -> bytes: ...
    def pwrite(self, fd: int, data: bytes, offset: int) -> int: ...
    def memfd_create(self, name: str, flags: int) -> int: ...
    def poll(self, fd: int, timeout: int) -> bool: ...
    def write(self, fd: int, data: bytes) -> int: ...
    def close(self, fd: int) -> None: ...
    def close_range(self, first: int, last: int, flags: int) -> None: ...
    def dup2(self, oldfd: int, newfd: int) -> None: ...
    def fstat(self, fd: int) -> os.stat_result: ...
    def stat(self, path: str) -> os.stat_result: ...
    def mkdir(self, path: str, mode: int) -> None: ...
    def mkdirat(self, dirfd: int, path: str, mode: int) -> None: ...
    def rmdir(self, path: str) -> None: ...
    def mknodat(self, dirfd: int, path: str, mode: int, device: int) -> None: ...
    def symlinkat(self, target: str, dirfd: int, path: str) -> None: ...
    def readlinkat(self, dirfd: int, path: str) -> str: ...
    def fchmod(self, fd: int, mode: int) -> None: ...
    def fchown(self, fd: int, uid: int, gid: int) -> None: ...
    def fchownat(self, dirfd: int, path: str, uid: int, gid: int) -> None: ...
    def listdir(self, fd: int) -> list[str]: ...
    def sendfile(self, out_fd: int, in_fd: int, offset: None, count: int) -> int: ...
    def chroot(self, path: str) -> None: ...
    def chdir(self, path: str) -> None: ...
    def fchdir(self, fd: int) -> None: ...
    def fstatfs(self, fd: int) -> int: ...
    def getcwd(self) -> str: ...
    def umask(self, mask: int) -> int: ...

    def sethostname(self, name: str) -> None: ...
    def setdomainname(self, name: str) -> None: ...
    def setsid(self) -> None: ...
    def setpgid(self, pid: int, pgid: int) -> None: ...
    def ioctl(self, fd: int, request: int, argument: int | bytes) -> int | bytes: ...
    def socket(self, domain: int, kind: int, protocol: int = 0) -> int: ...
    def send(self, sockfd: int, data: bytes) -> int: ...
    def bind(self, sockfd: int, family: int, address: str, port: int) -> None: ...
    def listen(self, sockfd: int, backlog: int) -> None: ...
    def setsockopt(self, sockfd: int, level: int, option: int, value: int) -> None: ...
    def getsockname(self, sockfd: int, family: int) -> int: ...
    def connect(self, sockfd: int, path: str) -> None: ...
    def sendmsg(self, sockfd: int, data: bytes, fds: tuple[int, ...]) -> int: ...
    def prctl(self, option: int, arg2: int = 0, arg3: int = 0) -> int: ...
    def set_name(self, name: str) -> None: ...
    def keyctl(self, operation: int, name: str | None) -> int: ...
    def bpf(self, cmd: int, attr: dict[str, int | bytes]) -> int: ...
    def seccomp(self, operation: int, flags: int, program: bytes) -> int: ...
    def prlimit(self, pid: int, resource: int, soft: int, hard: int) -> None: ...
    def personality(self, persona: int) -> int: ...
    def sched_setattr(
        self,
        pid: int,
        policy: int,
        flags: int,
        nice: int,
        priority: int,
        runtime: int,
        deadline: int,
        period: int,
    ) -> None: ...
    def ioprio_set(self, which: int, who: int, ioprio: int) -> None: ...
    def capset(self, effective: int, permitted: int, inheritable: int) -> None: ...
    def setgroups(self, groups: tuple[int, ...]) -> None: ...
    def setresgid(self, rgid: int, egid: int, sgid: int) -> None: ...
    def setresuid(self, ruid: int, euid: int, suid: int) -> None: ...
    def rt_sigaction(self, signum: int) -> None: ...
    def rt_sigprocmask(self, how: int = ..., signals: Iterable[int] = ...) -> None: ...
    def signal_is_changed(self, signum: int) -> bool: ...


class LinuxKernel:
    """The real one: each method is the call."""

    unshare = staticmethod(syscalls.unshare)
    setns = staticmethod(syscalls.setns)
    mount = staticmethod(syscalls.mount)
    umount2 = staticmethod(syscalls.umount2)
    pivot_root = staticmethod(syscalls.pivot_root)
    open_tree = staticmethod(syscalls.open_tree)
    move_mount = staticmethod(syscalls.move_mount)
    mount_setattr = staticmethod(syscalls.mount_setattr)
    fsopen = staticmethod(syscalls.fsopen)
    fsconfig = staticmethod(syscalls.fsconfig)
    fsmount = staticmethod(syscalls.fsmount)
    openat2 = staticmethod(syscalls.openat2)
    close_range = staticmethod(syscalls.close_range)
    fstatfs = staticmethod(syscalls.fstatfs)
    sethostname = staticmethod(syscalls.sethostname)
    setdomainname = staticmethod(syscalls.setdomainname)
    prlimit = staticmethod(syscalls.prlimit)
    personality = staticmethod(syscalls.personality)
    sched_setattr = staticmethod(syscalls.sched_setattr)
    ioprio_set = staticmethod(syscalls.ioprio_set)
    prctl = staticmethod(syscalls.prctl)
    set_name = staticmethod(syscalls.set_name)
    keyctl = staticmethod(syscalls.keyctl)
    bpf = staticmethod(syscalls.bpf)
    seccomp = staticmethod(syscalls.seccomp)
    capset = staticmethod(syscalls.capset)

    fork = staticmethod(os.fork)
    fork_into = staticmethod(syscalls.clone3_into)
    clone = staticmethod(syscalls.clone)
    pidfd_open = staticmethod(os.pidfd_open)
    kill = staticmethod(os.kill)
    read = staticmethod(os.read)
    pread = staticmethod(os.pread)
    pwrite = staticmethod(os.pwrite)
    memfd_create = staticmethod(os.memfd_create)
    write = staticmethod(os.write)
    close = staticmethod(os.close)
    fstat = staticmethod(os.fstat)
    stat = staticmethod(os.stat)
    mkdir = staticmethod(os.mkdir)
    rmdir = staticmethod(os.rmdir)
    fchmod = staticmethod(os.fchmod)
    fchown = staticmethod(os.fchown)
    sendfile = staticmethod(os.sendfile)
    chroot = staticmethod(os.chroot)
    chdir = staticmethod(os.chdir)
    fchdir = staticmethod(os.fchdir)
    getcwd = staticmethod(os.getcwd)
    umask = staticmethod(os.umask)
    setsid = staticmethod(os.setsid)
    setpgid = staticmethod(os.setpgid)
    setgroups = staticmethod(os.setgroups)
    setresgid = staticmethod(os.setresgid)
    setresuid = staticmethod(os.setresuid)

    def poll(self, fd: int, timeout: int) -> bool:
        """Whether there is something to read from one descriptor within `timeout` ms."""
        waiting = select.poll()
        waiting.register(fd, select.POLLIN)
        return bool(waiting.poll(timeout))

    def wait4(self, pid: int) -> int:
        """The raw wait status of one child; blocks until it ends."""
        return os.waitpid(pid, 0)[1]

    def execve(self, path: str, argv: list[str], envp: list[str]) -> None:
        """`envp` is a list, as the kernel has it, so that order and duplicates survive."""
        syscalls.execve(path, argv, envp)

    def open(self, path: str, flags: int, mode: int = 0) -> int:
        return os.open(path, flags | os.O_CLOEXEC, mode)

    def openat(self, dirfd: int, path: str, flags: int, mode: int = 0) -> int:
        return os.open(path, flags | os.O_CLOEXEC, mode, dir_fd=dirfd)

    def dup2(self, oldfd: int, newfd: int) -> None:
        os.dup2(oldfd, newfd, inheritable=True)

    def mkdirat(self, dirfd: int, path: str, mode: int) -> None:
        os.mkdir(path, mode, dir_fd=dirfd)

    def mknodat(self, dirfd: int, path: str, mode: int, device: int) -> None:
        os.mknod(path, mode, device, dir_fd=dirfd)

    def listdir(self, fd: int) -> list[str]:
        """The names in a directory, without "." and ".."; in no order."""
        return os.listdir(fd)

    def symlinkat(self, target: str, dirfd: int, path: str) -> None:
        os.symlink(target, path, dir_fd=dirfd)

    def readlinkat(self, dirfd: int, path: str) -> str:
        return os.readlink(path, dir_fd=dirfd)

    def fchownat(self, dirfd: int, path: str, uid: int, gid: int) -> None:
        os.chown(path, uid, gid, dir_fd=dirfd, follow_symlinks=False)

    def ioctl(self, fd: int, request: int, argument: int | bytes) -> int | bytes:
        """Bytes in give the changed bytes back; a number in gives the call's result."""
        return fcntl.ioctl(fd, request, argument)

    def socket(self, domain: int, kind: int, protocol: int = 0) -> int:
        return _socket.socket(domain, kind, protocol).detach()

    def send(self, sockfd: int, data: bytes) -> int:
        """Send to whom the socket is connected; a netlink socket is, to the kernel."""
        sock = _socket.socket(fileno=sockfd)
        try:
            return sock.send(data)
        finally:
            sock.detach()

    def bind(self, sockfd: int, family: int, address: str, port: int) -> None:
        """Only for sockets of the domains AF_INET and AF_INET6."""
        sock = _socket.socket(family, fileno=sockfd)
        try:
            sock.bind((address, port))
        finally:
            sock.detach()

    def listen(self, sockfd: int, backlog: int) -> None:
        sock = _socket.socket(fileno=sockfd)
        try:
            sock.listen(backlog)
        finally:
            sock.detach()

    def setsockopt(self, sockfd: int, level: int, option: int, value: int) -> None:
        sock = _socket.socket(fileno=sockfd)
        try:
            sock.setsockopt(level, option, value)
        finally:
            sock.detach()

    def getsockname(self, sockfd: int, family: int) -> int:
        """The port that a socket is bound to."""
        sock = _socket.socket(family, fileno=sockfd)
        try:
            return int(sock.getsockname()[1])
        finally:
            sock.detach()

    def connect(self, sockfd: int, path: str) -> None:
        """Only for sockets of the domain AF_UNIX."""
        sock = _socket.socket(fileno=sockfd)
        try:
            sock.connect(path)
        finally:
            sock.detach()

    def sendmsg(self, sockfd: int, data: bytes, fds: tuple[int, ...]) -> int:
        """Send bytes, and descriptors with them. cmsg(3)"""
        sock = _socket.socket(fileno=sockfd)
        rights = b"".join(fd.to_bytes(4, byteorder) for fd in fds)
        try:
            return sock.sendmsg([data], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, rights)])
        finally:
            sock.detach()

    def rt_sigaction(self, signum: int) -> None:
        """Give one signal its default action back."""
        if signum in syscalls.LIBRARY_SIGNALS:
            syscalls.default_action(signum)
            return
        signal.signal(signum, signal.SIG_DFL)

    def rt_sigprocmask(self, how: int = signal.SIG_SETMASK, signals: Iterable[int] = ()) -> None:
        """Change which signals are blocked; without arguments, unblock every one."""
        signal.pthread_sigmask(how, signals)

    def signal_is_changed(self, signum: int) -> bool:
        """Whether Python ignores or handles a signal. It cannot know of 32 and 33."""
        try:
            return signal.getsignal(signum) not in (signal.SIG_DFL, None)
        except ValueError:
            return False
