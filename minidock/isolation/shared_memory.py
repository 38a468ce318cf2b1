"""/dev/shm of another container, for one that shares its IPC namespace.

POSIX shared memory is files, in a tmpfs at /dev/shm. So it does not belong to the IPC namespace, as
System V's does, but to whoever sees that mount; and the mount is in the other container's mount
namespace, from where nothing can be bound here: the kernel copies mounts of one's own namespace
only. So intermediate goes there for a moment, copies the mount, holds the copy by a descriptor, and
comes back. Nothing is mounted on the host, and the memory lives until the last container lets go.

What it finds under that name is for the other container to decide, and of its own files at most.

See: shm_overview(7), setns(2), open_tree(2), ipc_namespaces(7)
"""

from __future__ import annotations

import os

from minidock.isolation.detached import clone_tree
from minidock.isolation.idmapped import AttachFromHost
from minidock.linux.flags import CloneFlag
from minidock.step import Step

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import ClassVar

    from minidock.isolation.mounts import MountsPlan
    from minidock.linux.kernel import Kernel
    from minidock.step import Context

PLACE = "/dev/shm"


class TakeSharedMemory(Step):
    """Hold a copy of the mount at /dev/shm in another mount namespace."""

    namespace: str
    number: int
    see: ClassVar[tuple[str, ...]] = ("setns(2)", "open_tree(2)", "shm_overview(7)")

    def describe(self) -> str:
        return f"take hold of {PLACE} of the container whose memory is shared, and come back"

    def apply(self, kernel: Kernel, ctx: Context) -> None:
        ours = kernel.open("/proc/self/ns/mnt", os.O_RDONLY)
        theirs = kernel.open(self.namespace, os.O_RDONLY)
        kernel.setns(theirs, CloneFlag.CLONE_NEWNS)
        try:
            ctx.trees[self.number] = clone_tree(kernel, PLACE, recursive=False)
        finally:
            kernel.setns(ours, CloneFlag.CLONE_NEWNS)
            kernel.close(theirs)
            kernel.close(ours)


class ShowSharedMemory(AttachFromHost):
    """Attach what `TakeSharedMemory` took."""

    def describe(self) -> str:
        return f"show it at {PLACE}"


def share_memory(plan: MountsPlan, namespace: str) -> None:
    """Add both Steps to the plan of a container's mounts; `namespace` is a path."""
    number = len(plan.sources)
    plan.sources.append(TakeSharedMemory(namespace, number))
    plan.mounts.append(ShowSharedMemory(PLACE, PLACE, number))
