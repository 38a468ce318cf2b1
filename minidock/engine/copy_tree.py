"""Copy a tree of files with all that belongs to them: owners, modes, times, extended attributes
(capabilities and access lists among them), hard links, device nodes, holes.

Both trees may be somebody else's. So directories are held by descriptors; a link is copied and
never followed; what is made is made anew (O_EXCL), so that nothing that waits at its place, put
there meanwhile, is written to; and the walk keeps its own stack, since a tree may be deeper than
Python's.

See: openat(2), xattr(7), lseek(2) on SEEK_DATA, sendfile(2)
"""

from __future__ import annotations

import errno
import os
import stat

from minidock.linux.inroot import open_in_root
from minidock.linux.kernel import LinuxKernel

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

_OPEN_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_WRITE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_CHUNK = 1 << 30
_NOT_COPIED = "trusted.overlay."  # what overlayfs keeps for itself
_WHITEOUT = os.makedev(0, 0)


def copy_tree(source: int, target: int) -> None:
    """Make the directory `target` what the directory `source` is. Both are descriptors that can be
    read; the target is empty. Raises `OSError`."""
    _Copy(target).run(source)


class _Level:
    """A directory that is being copied."""

    def __init__(self, source: int, target: int, path: str) -> None:
        self.source = source
        self.target = target
        self.path = path  # below the target, for hard links
        self.names: Iterator[str] = iter(sorted(os.listdir(source)))


class _Copy:
    def __init__(self, target: int) -> None:
        self._target = target
        self._copied: dict[tuple[int, int], str] = {}  # files with several names

    def run(self, source: int) -> None:
        levels = [_Level(source, self._target, "")]
        try:
            while levels:
                level = levels[-1]
                name = next(level.names, None)
                if name is None:
                    copy_attributes(level.source, level.target, os.fstat(level.source))
                    self._leave(levels)
                elif inner := self._copy(level, name):
                    levels.append(inner)
        finally:
            while levels:
                self._leave(levels)

    def _leave(self, levels: list[_Level]) -> None:
        level = levels.pop()
        if levels:  # the outermost two are the caller's
            os.close(level.source)
            os.close(level.target)

    def _copy(self, level: _Level, name: str) -> _Level | None:
        """Copy one entry; a directory is only begun."""
        about = os.stat(name, dir_fd=level.source, follow_symlinks=False)
        kind, path = stat.S_IFMT(about.st_mode), f"{level.path}{name}"
        if kind == stat.S_IFDIR:
            return _begin(level, name, path)
        several = (about.st_dev, about.st_ino) if about.st_nlink > 1 else None
        if several in self._copied and several:
            self._link(self._copied[several], level, name)
            return None
        if kind == stat.S_IFREG:
            _copy_file(level, name)
        elif kind == stat.S_IFLNK:
            os.symlink(os.readlink(name, dir_fd=level.source), name, dir_fd=level.target)
            _give_by_name(level, name, about)
        elif kind != stat.S_IFCHR or about.st_rdev != _WHITEOUT:
            os.mknod(name, about.st_mode, about.st_rdev, dir_fd=level.target)
            _give_by_name(level, name, about)
        if several:
            self._copied[several] = path
        return None

    def _link(self, path: str, level: _Level, name: str) -> None:
        """One more name for a file that was copied; found again without leaving the target."""
        fd = open_in_root(LinuxKernel(), self._target, path, os.O_PATH | os.O_NOFOLLOW)
        try:
            os.link(f"/proc/self/fd/{fd}", name, dst_dir_fd=level.target, follow_symlinks=True)
        finally:
            os.close(fd)


def _begin(level: _Level, name: str, path: str) -> _Level:
    os.mkdir(name, 0o700, dir_fd=level.target)
    source = os.open(name, _OPEN_DIRECTORY, dir_fd=level.source)
    try:
        target = os.open(name, _OPEN_DIRECTORY, dir_fd=level.target)
    except BaseException:
        os.close(source)
        raise
    return _Level(source, target, f"{path}/")


def _copy_file(level: _Level, name: str) -> None:
    source = os.open(name, _READ, dir_fd=level.source)
    try:
        target = os.open(name, _WRITE, 0o600, dir_fd=level.target)
        try:
            about = os.fstat(source)
            _copy_content(source, target, about.st_size)
            copy_attributes(source, target, about)
        finally:
            os.close(target)
    finally:
        os.close(source)


def _copy_content(source: int, target: int, size: int) -> None:
    """Only what there is: a hole stays one."""
    at = 0
    while at < size:
        try:
            at = os.lseek(source, at, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:
                break  # nothing but a hole up to the end
            raise
        end = os.lseek(source, at, os.SEEK_HOLE)
        os.lseek(target, at, os.SEEK_SET)
        while at < end:
            sent = os.sendfile(target, source, at, min(end - at, _CHUNK))
            if not sent:
                return  # it has become shorter
            at += sent
    os.ftruncate(target, size)


def copy_attributes(source: int, target: int, about: os.stat_result) -> None:
    """Owner first: a change of owner takes set-uid and capabilities away. Times last."""
    os.fchown(target, about.st_uid, about.st_gid)
    os.fchmod(target, stat.S_IMODE(about.st_mode))
    for name in os.listxattr(source):
        if not name.startswith(_NOT_COPIED):
            _set_attribute(target, name, os.getxattr(source, name))
    os.utime(target, ns=(about.st_atime_ns, about.st_mtime_ns))


def _give_by_name(level: _Level, name: str, about: os.stat_result) -> None:
    """For what cannot be opened: links, devices, sockets. Should something else have come in their
    place meanwhile, it is not given what was meant for them."""
    times = (about.st_atime_ns, about.st_mtime_ns)
    if stat.S_ISLNK(about.st_mode):
        os.chown(name, about.st_uid, about.st_gid, dir_fd=level.target, follow_symlinks=False)
        os.utime(name, ns=times, dir_fd=level.target, follow_symlinks=False)
        return
    made = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=level.target)
    try:
        if stat.S_IFMT(os.fstat(made).st_mode) != stat.S_IFMT(about.st_mode):
            raise OSError(errno.ESTALE, os.strerror(errno.ESTALE), name)
        path = f"/proc/self/fd/{made}"
        os.chown(path, about.st_uid, about.st_gid)
        os.chmod(path, stat.S_IMODE(about.st_mode))
        os.utime(path, ns=times)
    finally:
        os.close(made)


def _set_attribute(target: int, name: str, value: bytes) -> None:
    try:
        os.setxattr(target, name, value)
    except OSError as error:
        if error.errno != errno.ENOTSUP:  # a filesystem that has none of these
            raise
