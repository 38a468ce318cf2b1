"""User namespaces: root in the container, nobody in particular outside.

A user namespace has user and group ids of its own. Two tables say which ids of the host they are:
with the line `0 100000 65536` the container's root is the host's user 100000, whom no file of the
host belongs to and who may do nothing. Inside, that root has all capabilities, but only over what
belongs to the namespace: a network, mount or PID namespace belongs to the user namespace it was
made in. So the user namespace comes first and the others are made inside it.

The tables can be written once, and for more than one's own id only by who has the rights in the
namespace above. The process that made the namespace has none there any more: it asks main, which
stayed on the host, and waits (runtime/sync.py). Until then all its ids are unmapped, 65534.

A time namespace is like that: how far its clocks are set off is written by main, before the first
process is in it; afterwards the kernel refuses.

See: user_namespaces(7), time_namespaces(7)
"""

from __future__ import annotations

import os
import stat

from minidock.errors import StartFailed
from minidock.step import Step

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import ClassVar

    from minidock.linux.kernel import Kernel
    from minidock.spec.runtime import IDMapping, Process, Spec, TimeOffset
    from minidock.step import Context

MAX_LINES = 340  # of uid_map and gid_map. user_namespaces(7)
PAGE = 4096  # such a file is written with one write(2), shorter than a page


class WriteIDMap(Step):
    """Say which ids of the host the ids of intermediate's new user namespace are."""

    which: str  # "uid" or "gid"
    mappings: tuple[IDMapping, ...]
    see: ClassVar[tuple[str, ...]] = ("user_namespaces(7)",)

    def describe(self) -> str:
        first = self.mappings[0]
        last = first.container_id + first.size - 1
        inside = f"{first.container_id} to {last}" if first.size > 1 else f"{last}"
        more = ", and more" if len(self.mappings) > 1 else ""
        return f"map {self.which}s: {inside} inside, from {first.host_id} on outside{more}"

    def apply(self, kernel: Kernel, ctx: Context) -> None:
        lines = (f"{m.container_id} {m.host_id} {m.size}\n" for m in self.mappings)
        try:
            _write(kernel, f"/proc/{ctx.intermediate}/{self.which}_map", "".join(lines))
        except OSError as error:
            why = os.strerror(error.errno or 0).lower()
            raise StartFailed(f"the kernel refuses linux.{self.which}Mappings: {why}") from error


class SetTimeOffsets(Step):
    """Set the clocks of intermediate's new time namespace, for its children."""

    offsets: tuple[TimeOffset, ...]
    see: ClassVar[tuple[str, ...]] = ("time_namespaces(7)",)

    def describe(self) -> str:
        clocks = " and ".join(f"{o.clock} by {o.seconds} s" for o in self.offsets)
        return f"set off the clocks of the new time namespace: {clocks}"

    def apply(self, kernel: Kernel, ctx: Context) -> None:
        lines = (f"{o.clock} {o.seconds} {o.nanoseconds}\n" for o in self.offsets)
        try:
            _write(kernel, f"/proc/{ctx.intermediate}/timens_offsets", "".join(lines))
        except OSError as error:
            why = os.strerror(error.errno or 0).lower()
            raise StartFailed(f"the kernel refuses linux.timeOffsets: {why}") from error


def _write(kernel: Kernel, path: str, text: str) -> None:
    fd = kernel.open(path, os.O_WRONLY)
    try:
        kernel.write(fd, text.encode("ascii"))
    finally:
        kernel.close(fd)


class AwaitGrant(Step):
    """Wait until main has done to the new namespaces what only the host may do."""

    see: ClassVar[tuple[str, ...]] = ("user_namespaces(7)", "unix(7)")

    def describe(self) -> str:
        return "wait until the host has settled who is who in the new namespace"

    def apply(self, kernel: Kernel, ctx: Context) -> None:
        ctx.await_grant()


class BecomeRootInside(Step):
    """Take id 0 of the user namespace: what is made from here on belongs to its root."""

    see: ClassVar[tuple[str, ...]] = ("user_namespaces(7)", "setresuid(2)")

    def describe(self) -> str:
        return "become the user namespace's root, who is an ordinary user outside"

    def apply(self, kernel: Kernel, ctx: Context) -> None:
        try:
            kernel.setgroups(())
            kernel.setresgid(0, 0, 0)
            kernel.setresuid(0, 0, 0)
        except OSError as error:
            why = os.strerror(error.errno or 0).lower()
            message = f"nobody is root in the user namespace (linux.namespaces): {why}"
            raise StartFailed(message) from error


class GivePipes(Step):
    """Pipes that come from outside are the host's root's, who does not exist inside: neither could
    they be opened by name (/dev/stdout), nor given to another user later."""

    fds: tuple[int, ...]
    uid: int
    gid: int
    see: ClassVar[tuple[str, ...]] = ("fchown(2)", "user_namespaces(7)")

    def describe(self) -> str:
        return f"let user {self.uid}, the container's root, own the pipes it gets from outside"

    def apply(self, kernel: Kernel, ctx: Context) -> None:
        for fd in self.fds:
            if stat.S_ISFIFO(kernel.fstat(fd).st_mode):  # a file or a terminal stays whose it is
                kernel.fchown(fd, self.uid, self.gid)


def to_host(mappings: tuple[IDMapping, ...], inside: int) -> int | None:
    """Which id of the host an id of the container is; None where it is none."""
    for mapping in mappings:
        if 0 <= inside - mapping.container_id < mapping.size:
            return mapping.host_id + inside - mapping.container_id
    return None


def plan_grant(spec: Spec) -> tuple[Step, ...]:
    """What main does to the new namespaces while intermediate waits; nothing for most."""
    steps: list[Step] = []
    if spec.makes_namespace("user"):
        steps += [WriteIDMap("uid", spec.uid_mappings), WriteIDMap("gid", spec.gid_mappings)]
    if spec.time_offsets:
        steps.append(SetTimeOffsets(spec.time_offsets))
    return tuple(steps)


def plan_pipes(spec: Spec, process: Process, stdio: tuple[int, int, int]) -> tuple[Step, ...]:
    """Whose the pipes of `process` will be, where the ids inside are known."""
    uid, gid = to_host(spec.uid_mappings, 0), to_host(spec.gid_mappings, 0)
    if process.terminal or uid is None or gid is None:
        return ()
    return (GivePipes(tuple(sorted(set(stdio))), uid, gid),)
