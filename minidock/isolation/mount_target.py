"""Where a mount goes: a place in a root filesystem that somebody else made.

The image decides what lies at `/data` or `/proc`: a directory, nothing, or a symbolic link to
anywhere. While another container writes to the same files, it can even change while we look. So a
place is found once, as if the image's root already were "/" (linux/inroot.py), kept as a
descriptor, and what is mounted is mounted on that descriptor.

One place needs more care, since later steps trust what they find there: */proc*. Security labels
and kernel settings are written below it, and what is masked and made read-only lies there. If an
image could have its own files at such a place, or a volume, then those writes would go elsewhere,
and the true files stay bare (CVE-2019-16884, CVE-2019-19921, CVE-2023-27561). So procfs and sysfs
go to true directories only; nothing but procfs goes to /proc; and below it only a handful of files
may be covered, which speak about the machine and are replaced by lxcfs and the like. Whether a
place lies on procfs is asked of the filesystem, not read from the path: many paths lead there.

See: openat2(2), proc(5), https://linuxcontainers.org/lxcfs/
"""

from __future__ import annotations

import errno
import os
from posixpath import normpath

from minidock.errors import StartFailed
from minidock.linux.flags import FilesystemType
from minidock.linux.inroot import make_directory, make_file, open_in_root

TYPE_CHECKING = False
if TYPE_CHECKING:
    from minidock.linux.kernel import Kernel

_ON_PROC = frozenset((
    "/proc/cpuinfo", "/proc/diskstats", "/proc/meminfo", "/proc/stat", "/proc/swaps",
    "/proc/uptime", "/proc/loadavg", "/proc/slabinfo", "/proc/net/dev",
    "/proc/sys/kernel/ns_last_pid", "/proc/sys/crypto/fips_enabled",
))  # fmt: skip
_OF_THE_KERNEL = ("proc", "sysfs")
_BIND_OF_PROC = "bind of proc"


def check_destination(destination: str, kind: str) -> str:
    """Why nothing of this kind may be mounted at such a path, whatever lies there; "" if it may."""
    path = plain_path(destination)
    if path == "/proc" and kind not in ("proc", "bind"):
        return f'"{path}" cannot be mounted because it is not of type proc'
    if path.startswith("/proc/") and path not in _ON_PROC:
        return f'"{path}" cannot be mounted because it is inside /proc'
    return ""


def open_target(
    kernel: Kernel, root: int, destination: str, kind: str, *, is_directory: bool = True
) -> int:
    """An O_PATH descriptor of the place, made where it is missing.

    `kind` is the filesystem's type, "bind", or what `kind_of_bind` says. Raises `OSError`, and
    `StartFailed` for a place where such a mount would be a hole.
    """
    if kind in _OF_THE_KERNEL:
        return _open_plain_directory(kernel, root, destination, kind)
    if plain_path(destination) == "/proc" and kind != _BIND_OF_PROC:
        raise StartFailed(f'"{destination}" cannot be mounted because it is not of type proc')
    make = make_directory if is_directory else make_file
    target = make(kernel, root, destination)
    if kernel.fstatfs(target) == FilesystemType.PROC_SUPER_MAGIC and not _may_cover_proc(
        destination, kind
    ):
        kernel.close(target)
        raise StartFailed(f'"{destination}" cannot be mounted because it is inside /proc')
    return target


def kind_of_bind(kernel: Kernel, tree: int, destination: str) -> str:
    """ "bind", or, where it is about to go to /proc, "bind of proc" if that is what it is."""
    if plain_path(destination) != "/proc":
        return "bind"
    is_proc = kernel.fstatfs(tree) == FilesystemType.PROC_SUPER_MAGIC
    return _BIND_OF_PROC if is_proc else "bind"


def open_existing(kernel: Kernel, root: int, destination: str) -> int | None:
    """An O_PATH descriptor of the directory that is there already; None where nothing is."""
    try:
        return open_in_root(kernel, root, destination, os.O_PATH | os.O_DIRECTORY)
    except FileNotFoundError:
        return None


def _open_plain_directory(kernel: Kernel, root: int, destination: str, kind: str) -> int:
    flags = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW
    try:
        try:
            return open_in_root(kernel, root, destination, flags)
        except FileNotFoundError:
            kernel.close(make_directory(kernel, root, destination))
            return open_in_root(kernel, root, destination, flags)
    except OSError as error:
        if error.errno in (errno.ENOTDIR, errno.ELOOP):
            message = f'filesystem "{kind}" must be mounted on ordinary directory'
            raise StartFailed(message) from error
        raise


def _may_cover_proc(destination: str, kind: str) -> bool:
    path = plain_path(destination)
    return path in _ON_PROC or (path == "/proc" and kind == _BIND_OF_PROC)


def plain_path(path: str) -> str:
    """Without ".." and doubled slashes; links are another matter."""
    return normpath("/" + path.lstrip("/"))
