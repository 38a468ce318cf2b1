"""Namespaces: a process's own view of what is otherwise global.

A container is no object in the kernel. It is a process for which some global tables were replaced
by private ones: its mounts (mnt), process numbers (pid), host name (uts), System V and POSIX queues
(ipc), network devices and ports (net), its place in the cgroup tree (cgroup), its users (user) and
clocks (time). unshare(2) gives the calling process new tables; setns(2) makes it use those of a
process that already has them, which is how `exec` enters a running container, and how two
containers share a network.

Three of them come with a catch:

- A new *pid* or *time* namespace does not take in its maker; the next child it forks begins it, in
  the one as number 1. That is why three processes take part (runtime/launch.py).
- PID 1 is special: when it ends the kernel kills everything else in the namespace, and signals for
  which it has no handler are ignored when they come from inside.
- A *user* namespace owns the namespaces that are made in it, and whoever is in it has no rights
  over others (idmap.py). So existing namespaces are joined first, with the host's rights; then
  comes the user namespace; then the others are made.

A namespace to join is named by a path, such as /proc/4711/ns/net. The path is opened before
anything else is done, is asked of which kind it is, and from there on only the descriptor counts.

See: namespaces(7), unshare(2), setns(2), ioctl_ns(2), pid_namespaces(7), time_namespaces(7)
"""

from __future__ import annotations

import errno
import os

from minidock.errors import StartFailed
from minidock.isolation.idmap import AwaitGrant, BecomeRootInside
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
    "user": CloneFlag.CLONE_NEWUSER,
    "time": CloneFlag.CLONE_NEWTIME,
}
FILES = {"mount": "mnt", "network": "net"}  # below /proc/<pid>/ns, where the names differ
# Once inside, other paths could mean something else: that one is entered last.
_JOIN_ORDER = ("network", "ipc", "uts", "pid", "cgroup", "time", "mount")
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


class OpenNamespace(Step):
    """Hold a namespace that is to be joined, and make sure that it is one of this kind.

    With `needed_for` it must not be the one that the runtime itself is in: what a container may do
    to a namespace of its own it may not do to the host's.
    """

    kind: str
    path: str
    needed_for: str = ""
    see: ClassVar[tuple[str, ...]] = ("namespaces(7)", "ioctl_ns(2)")

    def describe(self) -> str:
        return f"hold the {self.kind} namespace {self.path} open, to join it"

    def apply(self, kernel: Kernel, ctx: Context) -> None:
        try:
            fd = kernel.open(self.path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY)
        except OSError as error:
            raise self._refuse(os.strerror(error.errno or 0).lower()) from error
        ctx.namespaces[self.kind] = fd
        try:
            kind = kernel.ioctl(fd, Ioctl.NS_GET_NSTYPE, 0)
        except OSError as error:
            raise self._refuse("is not a namespace") from error
        if kind != CLONE_FLAGS[self.kind]:
            raise self._refuse(f"is not a {self.kind} namespace")
        if self.needed_for:
            ours = kernel.stat(f"/proc/self/ns/{FILES.get(self.kind, self.kind)}")
            if os.path.samestat(kernel.fstat(fd), ours):
                raise self._refuse(f"is the host's own: {self.needed_for}")

    def _refuse(self, why: str) -> StartFailed:
        return StartFailed(f"linux.namespaces: {self.kind}: path {self.path!r}: {why}")


class JoinNamespace(Step):
    """Enter one existing namespace."""

    kind: str
    see: ClassVar[tuple[str, ...]] = ("setns(2)", "namespaces(7)")

    def describe(self) -> str:
        return f"join the {self.kind} namespace that is held open"

    def apply(self, kernel: Kernel, ctx: Context) -> None:
        fd = ctx.namespaces.pop(self.kind)
        try:
            kernel.setns(fd, CLONE_FLAGS[self.kind])
        except OSError as error:
            why = os.strerror(error.errno or 0).lower()
            if error.errno == errno.EINVAL and self.kind in ("pid", "user"):
                why = "it is not below the one that this process is in"
            raise StartFailed(f"linux.namespaces: {self.kind}: cannot be joined: {why}") from error
        finally:
            kernel.close(fd)


class BecomeUndumpable(Step):
    """From the moment a process shares a PID namespace, or a user, with programs of a container,
    these could trace it and use what it still holds of the host, until execve. A process that is
    not dumpable cannot be traced by them."""

    see: ClassVar[tuple[str, ...]] = ("PR_SET_DUMPABLE(2const)", "ptrace(2)")

    def describe(self) -> str:
        return "forbid containers' programs to trace this process while it enters"

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


class SetDomainname(Step):
    """The NIS domain, which some call the machine's domain; it has nothing to do with the DNS."""

    name: str
    see: ClassVar[tuple[str, ...]] = ("setdomainname(2)", "uts_namespaces(7)")

    def describe(self) -> str:
        return f"set the NIS domain to {self.name!r}, in the container's UTS namespace only"

    def apply(self, kernel: Kernel, ctx: Context) -> None:
        kernel.setdomainname(self.name)


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


def plan_open(spec: Spec) -> tuple[Step, ...]:
    """Hold what is to be joined, while paths are still the host's."""
    return tuple(
        OpenNamespace(namespace.kind, namespace.path, _needed_for(spec, namespace.kind))
        for namespace in spec.namespaces
        if namespace.path
    )


def _needed_for(spec: Spec, kind: str) -> str:
    """What of the container may not be done to the host's own namespace of this kind."""
    if kind == "mount":
        return "the container's mounts would be made on the host"
    if kind == "user":
        return "leave it out of linux.namespaces to have the host's users"
    if kind == "uts" and (spec.hostname or spec.domainname):
        return "hostname and domainname would be the host's"
    if kind == "network" and any(name.startswith("net") for name, _ in spec.sysctl):
        return "linux.sysctl would be the host's"
    if kind == "ipc" and any(not name.startswith("net") for name, _ in spec.sysctl):
        return "linux.sysctl would be the host's"
    return ""


def plan_enter(spec: Spec, *, later: str = "") -> tuple[Step, ...]:
    """Leave the host's namespaces for the container's, once those to join are held open. A kind of
    namespace that is made `later` is left out."""
    joined = {namespace.kind for namespace in spec.namespaces if namespace.path}
    new = {namespace.kind for namespace in spec.namespaces if not namespace.path} - {later}
    granted = new & ({"user", "time"} if spec.time_offsets else {"user"})
    steps: list[Step] = [BecomeUndumpable()]
    steps += [JoinNamespace(kind) for kind in _JOIN_ORDER if kind in joined]
    if "user" in joined:
        steps += [JoinNamespace("user"), BecomeRootInside()]
    if granted:
        steps += [Unshare(_flags(granted)), AwaitGrant()]
    if "user" in new:
        steps.append(BecomeRootInside())
    if new - granted:
        steps.append(Unshare(_flags(new - granted)))
    return tuple(steps)


def _flags(kinds: set[str]) -> CloneFlag:
    flags = CloneFlag(0)
    for kind in kinds:
        flags |= CLONE_FLAGS[kind]
    return flags


def plan_identity(spec: Spec) -> list[Step]:
    """What has to be set up inside new UTS and network namespaces."""
    steps: list[Step] = []
    if spec.makes_namespace("network"):
        steps.append(BringUpLoopback())
    if spec.hostname:
        steps.append(SetHostname(spec.hostname))
    if spec.domainname:
        steps.append(SetDomainname(spec.domainname))
    return steps
