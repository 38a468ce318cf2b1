"""Paths inside a root filesystem that somebody else made.

While a container is being built from the host's side, its root is just a directory, and a path such
as `<root>/etc/resolv.conf` must not be walked by name: the image may have made `etc`, or the file,
a symbolic link to `/` or to `../../..`, and then the host's own file would be mounted over. The
kernel can walk on our behalf as if the directory already were the root: openat2(2) with
RESOLVE_IN_ROOT. What it finds is kept as a descriptor (O_PATH), and used through
`/proc/self/fd/N`, which cannot be swapped for something else afterwards.

See: openat2(2), symlink(7)
"""

from __future__ import annotations

import errno
import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from minidock.linux.kernel import Kernel

_RESOLVE = 0x10 | 0x02  # RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS
_MAX_LINKS = 40  # as many as the kernel follows. path_resolution(7)
_TRIES = 64


def open_in_root(kernel: Kernel, root: int, path: str, flags: int, mode: int = 0) -> int:
    """Open `path` as a process whose root directory is `root` would see it. Raises `OSError`."""
    inside = path.lstrip("/") or "."
    for _ in range(_TRIES - 1):
        try:
            return kernel.openat2(root, inside, flags | os.O_CLOEXEC, mode, _RESOLVE)
        except BlockingIOError:
            # EAGAIN: something on this machine was renamed while a ".." was walked, and the
            # kernel cannot be sure that it did not lead out. openat2(2)
            continue
    return kernel.openat2(root, inside, flags | os.O_CLOEXEC, mode, _RESOLVE)


def make_directory(kernel: Kernel, root: int, path: str, mode: int = 0o755) -> int:
    """An O_PATH descriptor of the directory `path`, made with its parents where missing."""
    return _make(kernel, root, path, os.O_PATH | os.O_DIRECTORY, mode, _MAX_LINKS)


def make_file(kernel: Kernel, root: int, path: str, mode: int = 0o644) -> int:
    """An O_PATH descriptor of `path`, made as an empty file, with its parents, where missing."""
    return _make(kernel, root, path, os.O_PATH, mode, _MAX_LINKS)


def _make(kernel: Kernel, root: int, path: str, flags: int, mode: int, links: int) -> int:
    try:
        return open_in_root(kernel, root, path, flags)
    except FileNotFoundError:
        if not links:
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path) from None
    parent, _, name = path.rstrip("/").rpartition("/")
    fd = _make(kernel, root, parent or "/", os.O_PATH | os.O_DIRECTORY, 0o755, links - 1)
    try:
        if flags & os.O_DIRECTORY:
            kernel.mkdirat(fd, name, mode)
        else:
            kernel.close(kernel.openat(fd, name, os.O_CREAT | os.O_EXCL | os.O_WRONLY, mode))
    except FileExistsError:
        # A dangling link: make what it points to. Relative links start at the link's directory.
        link = kernel.readlinkat(fd, name)
        there = link if link.startswith("/") else f"{parent}/{link}"
        return _make(kernel, root, there, flags, mode, links - 1)
    finally:
        kernel.close(fd)
    return open_in_root(kernel, root, path, flags)
