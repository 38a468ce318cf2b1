"""Kernel settings that belong to a namespace, and so to one container.

Most of /proc/sys is the whole machine's and stays read-only. A few files under it speak of the
namespace of the process that opens them; these may be set per container, while /proc/sys can still
be written. What is not in such a namespace, or in one that the container shares with the host, is
refused: it would be set for everybody.

A name is written with dots, or with slashes where a part of it has a dot itself
(`net/ipv4/conf/eth0.1/forwarding`).

See: sysctl(8), proc_sys(5), namespaces(7), ip(7)
"""

from __future__ import annotations

import os

from minidock.errors import StartFailed
from minidock.linux.procfs import write_procfs
from minidock.step import Step

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import ClassVar

    from minidock.linux.kernel import Kernel
    from minidock.spec.runtime import Spec
    from minidock.step import Context

# ipc_namespaces(7)
_IPC = frozenset(
    f"kernel/{name}"
    for name in (
        "msgmax",
        "msgmnb",
        "msgmni",
        "sem",
        "shmall",
        "shmmax",
        "shmmni",
        "shm_rmid_forced",
    )
)


class SetSysctl(Step):
    """Write one value below /proc/sys of the container's own /proc."""

    name: str
    value: str
    see: ClassVar[tuple[str, ...]] = ("proc(5)", "ip(7)")

    def describe(self) -> str:
        return f"set {self.name} to {self.value!r} in the container's namespaces"

    def apply(self, kernel: Kernel, ctx: Context) -> None:
        try:
            write_procfs(kernel, ctx.root, f"sys/{path_of(self.name)}", self.value.encode())
        except OSError as error:
            why = os.strerror(error.errno or 0).lower()
            message = f"linux.sysctl: {self.name} cannot be set to {self.value!r}: {why}"
            raise StartFailed(message) from error


def path_of(name: str) -> str:
    """Where a setting lies below /proc/sys. Raises `StartFailed` for what is no name."""
    dot, slash = name.find("."), name.find("/")
    path = name
    if slash < 0 or 0 <= dot < slash:
        path = name.translate({ord("."): "/", ord("/"): "."})
    if {"", ".", ".."} & set(path.split("/")):
        raise StartFailed(f"linux.sysctl: {name!r} is not the name of a setting")
    return path


def namespace_of(path: str) -> str:
    """The kind of namespace that a setting belongs to; "" for the whole machine's."""
    if path.startswith("net/"):
        return "network"
    if path in _IPC or path.startswith("fs/mqueue/"):
        return "ipc"
    return "uts" if path == "kernel/domainname" else ""


def plan_sysctl(spec: Spec) -> list[Step]:
    """One write per setting, in the spec's order. Raises `StartFailed` for one that would change
    more than this container."""
    for name, _ in spec.sysctl:
        path = path_of(name)
        kind = namespace_of(path)
        if path == "kernel/hostname":
            raise StartFailed(f"linux.sysctl: {name} is what the field hostname is for")
        if not kind:
            raise StartFailed(f"linux.sysctl: {name} is not in a separate kernel namespace")
        if not spec.has_namespace(kind):
            raise StartFailed(f"linux.sysctl: {name} is not allowed in the host's {kind} namespace")
    return [SetSysctl(name, value) for name, value in spec.sysctl]
