"""Write a tar into a directory that has files already: what `cp` does at the end of its way.

What is new is made, a file is replaced by a file, a directory takes in a directory's content. But
no directory is replaced by a file, nor the other way round: too much would go, or come to lie
elsewhere.

Somebody may change the directory meanwhile, a program of the container whose directory it is. So no
name is looked up twice: parents are held by descriptors, what is made is made by its last name
alone, exclusively, and everything else is done through the new file's descriptor. Where a parent is
a symbolic link it may be followed (`follow`), which is for a process that has made the container's
root its own, and where `lib/x` means what it means there; otherwise that is refused.

See: openat2(2), open(2) on O_EXCL and O_NOFOLLOW; image/extract.py, which fills an empty one
"""

from __future__ import annotations

import errno
import os
import stat

from minidock.errors import MinidockError
from minidock.image.extract import write_content
from minidock.image.names import clean
from minidock.image.tar_format import (
    BLOCK,
    CHARACTER,
    DIRECTORY,
    FIFO,
    HARD_LINK,
    REGULAR,
    SYMLINK,
    shown,
)
from minidock.image.whiteout import HOST_XATTRS, OVERLAY_XATTRS
from minidock.linux.flags import ResolveFlag
from minidock.linux.syscalls import openat2

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from minidock.image.tar_read import Header, TarReader

    Owner = Callable[[Header], tuple[int, int] | None]
    """Whose an entry shall be; None: that of whoever writes it."""

_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_OPEN_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_PARENT = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC
_FOLLOW = ResolveFlag.RESOLVE_NO_MAGICLINKS
_STAY = ResolveFlag.RESOLVE_BENEATH | ResolveFlag.RESOLVE_NO_SYMLINKS
_TRIES = 64


class TreeWriter:
    """Use: `add` every header that `reader` gives, then `finish`.

    `directory` is open, and called `name` in errors. `path_of(directory, base)` gives a path to
    what lies in an open directory, for calls that know no descriptors. Raises `MinidockError` for
    what cannot be, `OSError`.
    """

    def __init__(
        self,
        reader: TarReader,
        directory: int,
        name: str,
        *,
        follow: bool,
        owner: Owner,
        path_of: Callable[[int, bytes], bytes],
    ) -> None:
        self._reader = reader
        self._directory = directory
        self._name = name
        self._resolve = _FOLLOW if follow else _STAY
        self._owner = owner
        self._path_of = path_of
        self._at = b""  # the parent that is open as `_parent`
        self._parent = directory
        self._times: list[tuple[bytes, int]] = []  # of directories, set when nothing changes them

    def add(self, header: Header) -> None:
        """Make what one entry says, reading its data."""
        try:
            name = clean(header.name)
        except ValueError:
            what = f'"{shown(header.name)}" is outside of "{self._name}"'
            raise MinidockError(what) from None
        if not name:
            return  # the directory itself, which is there
        parent, _, base = name.rpartition(b"/")
        try:
            self._enter(parent)
            self._make(header, name, base)
        except OSError as error:
            error.filename = error.filename2 = None
            error.filename = self._shown(name)
            raise

    def finish(self) -> None:
        """Set what had to wait, and read the archive to its end."""
        for name, mtime in reversed(self._times):
            parent, _, base = name.rpartition(b"/")
            try:
                self._enter(parent)
                os.utime(base, ns=(mtime, mtime), dir_fd=self._parent, follow_symlinks=False)
            except OSError:
                continue  # moved, or removed, meanwhile
        self._leave()
        self._reader.drain()

    # ── parents ──

    def _enter(self, parent: bytes) -> None:
        if parent != self._at:
            self._leave()
            self._parent = self._open(parent)
            self._at = parent

    def _leave(self) -> None:
        if self._at:
            os.close(self._parent)
        self._parent, self._at = self._directory, b""

    def _open(self, path: bytes) -> int:
        """A descriptor of a directory below ours, made where it is missing."""
        if not path:
            return os.dup(self._directory)
        try:
            return self._resolved(path)
        except FileNotFoundError:
            parent, _, base = path.rpartition(b"/")
            above = self._open(parent)
            try:
                os.mkdir(base, 0o755, dir_fd=above)
            except FileExistsError:
                pass  # a link to nothing, or somebody was faster
            finally:
                os.close(above)
            return self._resolved(path)

    def _resolved(self, path: bytes) -> int:
        for _ in range(_TRIES - 1):
            try:
                return openat2(self._directory, os.fsdecode(path), _PARENT, 0, self._resolve)
            except BlockingIOError:
                continue  # something was renamed on the way: openat2(2), EAGAIN
        return openat2(self._directory, os.fsdecode(path), _PARENT, 0, self._resolve)

    # ── entries ──

    def _make(self, header: Header, name: bytes, base: bytes) -> None:
        for attempt in range(_TRIES):
            there = self._look(base)
            is_directory = there is not None and stat.S_ISDIR(there)
            if is_directory and header.type != DIRECTORY:
                raise self._clash("directory", name, "non-directory")
            if there is not None and not is_directory:
                if header.type == DIRECTORY:
                    raise self._clash("non-directory", name, "directory")
                os.unlink(base, dir_fd=self._parent)
            try:
                if header.type == DIRECTORY:
                    self._make_directory(header, name, base, is_new=not is_directory)
                elif header.type == REGULAR:
                    self._make_file(header, base)
                else:
                    self._make_special(header, base)
                return
            except FileExistsError:  # somebody has just put something there
                if attempt == _TRIES - 1:
                    raise

    def _look(self, base: bytes) -> int | None:
        try:
            return os.stat(base, dir_fd=self._parent, follow_symlinks=False).st_mode
        except FileNotFoundError:
            return None

    def _make_directory(self, header: Header, name: bytes, base: bytes, *, is_new: bool) -> None:
        if is_new:
            os.mkdir(base, 0o700, dir_fd=self._parent)
        fd = os.open(base, _OPEN_DIRECTORY, dir_fd=self._parent)
        try:
            self._set(fd, header)
        finally:
            os.close(fd)
        self._times.append((name, header.mtime))

    def _make_file(self, header: Header, base: bytes) -> None:
        fd = os.open(base, _CREATE, 0o600, dir_fd=self._parent)
        try:
            write_content(self._reader, header, fd)
            self._set(fd, header)
            os.utime(fd, ns=(header.mtime, header.mtime))
        finally:
            os.close(fd)

    def _set(self, fd: int, header: Header) -> None:
        owner = self._owner(header)
        if owner:
            os.fchown(fd, *owner)
        os.fchmod(fd, header.mode)  # after chown, which clears set-user-id
        self._set_xattrs(fd, header)  # after chown, which clears capabilities

    def _make_special(self, header: Header, base: bytes) -> None:
        kind, parent = header.type, self._parent
        if kind == HARD_LINK:
            return self._make_hard_link(header, base)
        if kind == SYMLINK:
            os.symlink(header.linkname, base, dir_fd=parent)
        elif kind == FIFO:
            os.mknod(base, stat.S_IFIFO | header.mode, dir_fd=parent)
        elif kind in (CHARACTER, BLOCK):
            form = stat.S_IFCHR if kind == CHARACTER else stat.S_IFBLK
            device = os.makedev(header.major, header.minor)
            os.mknod(base, form | header.mode, device, dir_fd=parent)
        else:
            raise MinidockError(f"{self._shown(base)}: unknown type {shown(kind)!r} in the archive")
        owner = self._owner(header)
        if owner:
            os.chown(base, *owner, dir_fd=parent, follow_symlinks=False)
        if header.xattrs:
            self._set_xattrs(self._path_of(parent, base), header)
        times = (header.mtime, header.mtime)
        return os.utime(base, ns=times, dir_fd=parent, follow_symlinks=False)

    def _make_hard_link(self, header: Header, base: bytes) -> None:
        """Another name of an earlier entry, whose owner, mode and times it has."""
        try:
            target = clean(header.linkname)
        except ValueError:
            target = b""
        above, _, name = target.rpartition(b"/")
        if not name:
            raise MinidockError(f'invalid hardlink "{shown(base)}" -> "{shown(header.linkname)}"')
        source = self._open(above)
        try:
            how = {"src_dir_fd": source, "dst_dir_fd": self._parent}
            os.link(name, base, follow_symlinks=False, **how)
        finally:
            os.close(source)

    def _set_xattrs(self, target: int | bytes, header: Header) -> None:
        follow = isinstance(target, int)
        for key, value in header.xattrs.items():
            if key.startswith(OVERLAY_XATTRS) or key in HOST_XATTRS:
                continue
            try:
                os.setxattr(target, key, value, follow_symlinks=follow)
            except OSError as error:
                if error.errno not in (errno.EOPNOTSUPP, errno.EPERM):
                    raise  # a filesystem may lack a namespace, a link too

    # ── words ──

    def _shown(self, name: bytes) -> str:
        return f"{self._name.rstrip('/')}/{shown(name)}"

    def _clash(self, there: str, name: bytes, here: str) -> MinidockError:
        """In Docker's words, which name the whole as what comes."""
        comes = self._name.rstrip("/") or "/"
        return MinidockError(
            f'cannot overwrite {there} "{self._shown(name)}" with {here} "{comes}"'
        )
