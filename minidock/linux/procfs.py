"""Writing to a file of /proc, and to nothing else.

Some of what a process is gets set by writing to procfs: sysctls, and the label that a security
module gives the program. When such a write can be led to another file, a start believes it has
confined a program that it has not, or writes into what an attacker chose (CVE-2019-16884,
CVE-2025-52881). It can be led there by an image in which /proc is something else, or by whoever
mounts over parts of it while a start is going on. So: the directory must be on a filesystem of
procfs's own type, and from there the kernel walks without crossing into another mount.

See: openat2(2), fstatfs(2), proc(5)
"""

from __future__ import annotations

import os

from minidock.errors import StartFailed
from minidock.linux.flags import FilesystemType, ResolveFlag
from minidock.linux.inroot import open_in_root

TYPE_CHECKING = False
if TYPE_CHECKING:
    from minidock.linux.kernel import Kernel

# "self" is a symbolic link, so links are followed; procfs has no others that stay beneath it.
_RESOLVE = (
    ResolveFlag.RESOLVE_BENEATH | ResolveFlag.RESOLVE_NO_XDEV | ResolveFlag.RESOLVE_NO_MAGICLINKS
)


def write_procfs(kernel: Kernel, root: int, path: str, data: bytes) -> None:
    """Write `data` to `path`, which is relative to /proc, in one write(2).

    `root` is a descriptor of the root directory that /proc is in; -1 for the process's own. Raises
    `OSError`, and `StartFailed` where /proc is not what it should be.
    """
    flags = os.O_PATH | os.O_DIRECTORY
    if root >= 0:
        proc = open_in_root(kernel, root, "/proc", flags)
    else:
        proc = kernel.open("/proc", flags | os.O_NOFOLLOW)
    try:
        if kernel.fstatfs(proc) != FilesystemType.PROC_SUPER_MAGIC:
            raise StartFailed("/proc in the container is not a procfs")
        fd = kernel.openat2(proc, path, os.O_WRONLY | os.O_CLOEXEC, 0, _RESOLVE)
        try:
            kernel.write(fd, data)
        finally:
            kernel.close(fd)
    finally:
        kernel.close(proc)
