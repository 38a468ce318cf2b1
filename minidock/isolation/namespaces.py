"""Namespaces: a process's own view of what is otherwise global.

A container is no object in the kernel. It is a process for which some global tables were replaced
by private ones: its mounts (mnt), process numbers (pid), host name (uts), System V and POSIX queues
(ipc), network devices and ports (net), and its place in the cgroup tree (cgroup). unshare(2) gives
the calling process new tables; setns(2) makes it use those of a process that already has them,
which is how `exec` enters a running container.

Two of them come with a catch:

- A new *pid* namespace does not move the caller, whose number cannot change; the next child it
  forks becomes PID 1 in there. That is why three processes take part (runtime/launch.py).
- PID 1 is special: when it ends the kernel kills everything else in the namespace, and signals for
  which it has no handler are ignored when they come from inside.

See: namespaces(7), unshare(2), setns(2), pid_namespaces(7), cgroup_namespaces(7)
"""

from __future__ import annotations

from minidock.linux.flags import CloneFlag, Ioctl, Prctl
from minidock.step import Step

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import ClassVar

    from minidock.linux.kernel import Kernel
    from minidock.spec.runtime import Spec
    from minidock.step import Context

CLONE_FLAGS = {
    "mount": CloneFlag.CLONE_NEWNS,
    "uts": CloneFlag.CLONE_NEWUTS,
    "ipc": CloneFlag.CLONE_NEWIPC,
    "network": CloneFlag.CLONE_NEWNET,
    "pid": CloneFlag.CLONE_NEWPID,
    "cgroup": CloneFlag.CLONE_NEWCGROUP,
}
_AF_INET, _SOCK_DGRAM, _SOCK_CLOEXEC = 2, 2, 0o2000000
_IFF_UP = 1


class Unshare(Step):
    """Leave the host's namespaces for new ones, all in one call."""

    flags: CloneFlag
    see: ClassVar[tuple[str, ...]] = ("unshare(2)", "namespaces(7)")

    def describe(self) -> str:
        kinds = [kind for kind, flag in CLONE_FLAGS.items() if flag & self.flags]
        return f"leave the host's namespaces for new, empty ones: {', '.join(kinds)}"

    def apply(self, kernel: Kernel, ctx: Context) -> None:
        kernel.unshare(self.flags)


class BecomeUndumpable(Step):
    """From the moment a process is in the container's PID namespace, programs in there could trace
    it and use what it still holds of the host, until execve. A process that is not dumpable cannot
    be traced by them."""

    see: ClassVar[tuple[str, ...]] = ("PR_SET_DUMPABLE(2const)", "ptrace(2)")

    def describe(self) -> str:
        return "forbid the container's programs to trace this process while it enters"

    def apply(self, kernel: Kernel, ctx: Context) -> None:
        kernel.prctl(Prctl.PR_SET_DUMPABLE, 0)


class JoinNamespaces(Step):
    """Enter all namespaces of a running container at once, through a pidfd of its init."""

    pid: int
    flags: CloneFlag
    see: ClassVar[tuple[str, ...]] = ("setns(2)", "pidfd_open(2)")

    def describe(self) -> str:
        return f"enter the namespaces of the container whose init is process {self.pid}"

    def apply(self, kernel: Kernel, ctx: Context) -> None:
        fd = kernel.pidfd_open(self.pid)
        try:
            kernel.setns(fd, self.flags)
        finally:
            kernel.close(fd)


class SetHostname(Step):
    """Name the machine, as only the container's UTS namespace will see it."""

    name: str
    see: ClassVar[tuple[str, ...]] = ("sethostname(2)", "uts_namespaces(7)")

    def describe(self) -> str:
        return f"call this machine {self.name!r}, in the container's UTS namespace only"

    def apply(self, kernel: Kernel, ctx: Context) -> None:
        kernel.sethostname(self.name)


class BringUpLoopback(Step):
    """A new network namespace holds one device, `lo`, which is down: 127.0.0.1 is unreachable."""

    see: ClassVar[tuple[str, ...]] = ("netdevice(7)", "network_namespaces(7)")

    def describe(self) -> str:
        return "bring up the loopback device, the only one in a new network namespace"

    def apply(self, kernel: Kernel, ctx: Context) -> None:
        fd = kernel.socket(_AF_INET, _SOCK_DGRAM | _SOCK_CLOEXEC)
        try:
            # struct ifreq: 16 bytes of name, then the flags as a short, 40 bytes in all
            request = b"lo".ljust(16, b"\0") + _IFF_UP.to_bytes(2, "little") + bytes(22)
            kernel.ioctl(fd, Ioctl.SIOCSIFFLAGS, request)
        finally:
            kernel.close(fd)


def plan_unshare(spec: Spec) -> list[Step]:
    """One `unshare` with every namespace the spec asks for."""
    flags = CloneFlag(0)
    for namespace in spec.namespaces:
        flags |= CLONE_FLAGS[namespace.kind]
    return [Unshare(flags)] if flags else []


def plan_identity(spec: Spec) -> list[Step]:
    """What has to be set up inside new UTS and network namespaces."""
    steps: list[Step] = []
    if spec.has_namespace("network"):
        steps.append(BringUpLoopback())
    if spec.hostname and spec.has_namespace("uts"):
        steps.append(SetHostname(spec.hostname))
    return steps
