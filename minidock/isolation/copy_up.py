"""`tmpcopyup`: a filesystem in memory that begins with what it covers.

A tmpfs on /var would hide what the image has there. With this option the directory's content is
copied into the new filesystem before that is attached; then the container can write there, nothing
reaches the disk, and at the end it is gone.

The image made what is copied, so every entry is looked at by a descriptor, links are copied and
never followed, and only what is a regular file is opened.

See: tmpfs(5), sendfile(2)
"""

from __future__ import annotations

import os
import stat

TYPE_CHECKING = False
if TYPE_CHECKING:
    from minidock.linux.kernel import Kernel

_CHUNK = 1 << 24
_NODES = (stat.S_IFIFO, stat.S_IFCHR, stat.S_IFBLK)
_LOOK = os.O_PATH | os.O_NOFOLLOW


def copy_up(kernel: Kernel, source: int, target: int) -> None:
    """Copy the entries of the directory `source` (O_PATH) to the directory `target`.

    Raises `OSError`, ENOSPC where the filesystem is too small. Sockets are left out.
    """
    listing = kernel.openat(source, ".", os.O_RDONLY | os.O_DIRECTORY)
    try:
        for name in kernel.listdir(listing):
            entry = kernel.openat(listing, name, _LOOK)
            try:
                _copy_entry(kernel, entry, target, name)
            finally:
                kernel.close(entry)
    finally:
        kernel.close(listing)


def _copy_entry(kernel: Kernel, entry: int, target: int, name: str) -> None:
    about = kernel.fstat(entry)
    kind, mode = stat.S_IFMT(about.st_mode), stat.S_IMODE(about.st_mode)
    if kind == stat.S_IFLNK:
        kernel.symlinkat(kernel.readlinkat(entry, ""), target, name)
        kernel.fchownat(target, name, about.st_uid, about.st_gid)
    elif kind in _NODES:
        kernel.mknodat(target, name, about.st_mode, about.st_rdev)
        kernel.fchownat(target, name, about.st_uid, about.st_gid)
    elif kind == stat.S_IFDIR:
        kernel.mkdirat(target, name, 0o700)
        made = kernel.openat(target, name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        try:
            copy_up(kernel, entry, made)
            _give(kernel, made, about, mode)
        finally:
            kernel.close(made)
    elif kind == stat.S_IFREG:
        made = kernel.openat(target, name, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        try:
            _copy_content(kernel, entry, made)
            _give(kernel, made, about, mode)
        finally:
            kernel.close(made)


def _copy_content(kernel: Kernel, entry: int, made: int) -> None:
    content = kernel.open(f"/proc/self/fd/{entry}", os.O_RDONLY)  # this very file, opened to read
    try:
        while kernel.sendfile(made, content, None, _CHUNK):
            pass
    finally:
        kernel.close(content)


def _give(kernel: Kernel, fd: int, about: os.stat_result, mode: int) -> None:
    """Owner first: a change of owner takes set-uid away."""
    kernel.fchown(fd, about.st_uid, about.st_gid)
    kernel.fchmod(fd, mode)
