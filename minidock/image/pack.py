"""Pack a layer: what a container changed becomes a tarball that every registry takes.

overlayfs collects everything a container writes in one directory, `upper/`: new files as they
are, changed files as whole copies, deleted ones as marks (whiteout.py). So a commit need not
compare anything: the upper directory *is* the layer, once its marks have OCI's form.

Entries come in sorted order, a directory before its content, so the same upper directory gives
the same bytes, and with them the same digest. Hard links are found by inode number. The root itself
has no entry, as with Docker.

The container may be running meanwhile (`commit --pause=false`), and its root user would like us
to read /etc/shadow of the host. So the walk goes by directory descriptor, one name at a time, and
follows no symbolic link.

Files with holes: the layer holds their zeros, which compress to nothing and become holes again
when unpacked. Only where one file's holes exceed 1 GiB is it stored as a GNU sparse file. Why
not always: Docker and Podman read those, but cannot write them again byte by byte, and a later
`docker push` of such a layer fails with "could not verify layer data" (seen with 20.10).

See: filesystems/overlayfs.rst, openat(2) O_NOFOLLOW, lseek(2) SEEK_DATA
"""

from __future__ import annotations

import errno
import os
import stat

from minidock.errors import MinidockError
from minidock.image.tar_format import (
    BLOCK,
    CHARACTER,
    DIRECTORY,
    FIFO,
    HARD_LINK,
    MAX_DEPTH,
    MAX_METADATA,
    MAX_PATH,
    REGULAR,
    SYMLINK,
    padding,
    shown,
)
from minidock.image.tar_sparse import write_map
from minidock.image.tar_write import END_OF_ARCHIVE, encode_header
from minidock.image.whiteout import (
    HOST_XATTRS,
    METACOPY_XATTR,
    OPAQUE_MARK,
    OVERLAY_XATTRS,
    REDIRECT_XATTR,
    WHITEOUT_PREFIX,
    is_opaque,
    is_whiteout,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

PIECE = 1 << 20
# Pieces from this size on go out as they are; smaller ones are gathered first.
LARGE = 1 << 16
MAX_ZEROS = 1 << 30  # bytes of holes in one file that a layer stores as zeros

OPEN_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
OPEN_DIRECTORY = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_DIRECTORY


def write_layer(upper: str, out: Callable[[bytes], object]) -> int:
    """Write the overlay directory `upper` as an uncompressed layer tarball.

    `out` is called with pieces of up to 1 MiB. Returns the bytes of file content, hard links
    counted once, holes included. Raises `MinidockError` for what cannot be said in a layer, and
    `OSError` where the directory cannot be read.
    """
    writer = _LayerTar(out)
    fd = os.open(upper, OPEN_DIRECTORY)
    try:
        if is_opaque(fd):
            writer.add_mark(OPAQUE_MARK)
        writer.add_children(fd, b"", 0)
    finally:
        os.close(fd)
    writer.finish()
    return writer.content


class TreeTar:
    """A tar of files and directories, written as they are met. `out` is called with pieces.

    Whoever archives something else than a layer begins with `add`; the name of an entry need not be
    the one it has on disk. Raises `MinidockError` for what cannot be archived, and `OSError`.
    """

    problem = "cannot archive"  # the first words of an error

    def __init__(self, out: Callable[[bytes], object]) -> None:
        self.content = 0
        self._out = out
        self._pending: list[bytes] = []
        self._pending_size = 0
        self._links: dict[tuple[int, int], bytes] = {}  # inode → the name it was stored under

    def add_children(self, directory: int, prefix: bytes, depth: int) -> None:
        """Every entry of an open directory, sorted; `prefix` is its path with a slash, or empty."""
        if depth > MAX_DEPTH:
            raise self.error(prefix, f"more than {MAX_DEPTH} directories deep")
        for base, kind in list_directory(directory):
            try:
                self.add(directory, base, kind, prefix + base, depth)
            except FileNotFoundError:
                continue  # deleted since it was listed, by a container that was not paused

    def add(self, directory: int, base: bytes, kind: int, name: bytes, depth: int = 0) -> None:
        """What lies in an open directory as `base`, and is of `kind` (S_IFDIR, S_IFREG, 0 for
        others), with all below it; `name` is what it is called in the archive."""
        if len(name) > MAX_PATH:
            raise self.error(name, f"a path of more than {MAX_PATH} bytes")
        try:
            if kind == stat.S_IFDIR:
                fd = os.open(base, OPEN_DIRECTORY, dir_fd=directory)
                try:
                    self._add_directory(fd, name)
                    self.add_children(fd, name.rstrip(b"/") + b"/", depth + 1)
                finally:
                    os.close(fd)
            elif kind == stat.S_IFREG:
                self._add_file(directory, base, name)
            else:
                self._add_special(directory, base, name)
        except OSError as error:
            if error.errno in (errno.ELOOP, errno.ENOTDIR):
                raise self.error(name, "changed while it was being read") from None
            raise

    def error(self, name: bytes, problem: str) -> MinidockError:
        return MinidockError(f"{self.problem} /{shown(name.lstrip(b'/'))}: {problem}")

    def path_of(self, directory: int, base: bytes) -> bytes:
        """A path to what lies in an open directory, for calls that know no descriptors."""
        return b"/proc/self/fd/%d/%b" % (directory, base)

    def finish(self) -> None:
        self._put(END_OF_ARCHIVE)
        self._flush()

    def _add_directory(self, fd: int, name: bytes) -> None:
        self._put(_header(name, DIRECTORY, os.fstat(fd), self.xattrs(fd, name)))

    def xattrs(self, target: int | bytes, name: bytes) -> dict[bytes, bytes]:
        """The attributes that go along, of a descriptor or of what a path names itself."""
        follow = isinstance(target, int)
        return {
            key: os.getxattr(target, key, follow_symlinks=follow)
            for key in map(os.fsencode, os.listxattr(target, follow_symlinks=follow))
            if self.goes_along(key, name)
        }

    def goes_along(self, xattr: bytes, name: bytes) -> bool:
        """Whether an attribute means something elsewhere."""
        return not xattr.startswith(OVERLAY_XATTRS) and xattr not in HOST_XATTRS

    def _add_file(self, directory: int, base: bytes, name: bytes) -> None:
        fd = os.open(base, OPEN_FILE, dir_fd=directory)
        try:
            status = os.fstat(fd)
            if not stat.S_ISREG(status.st_mode):
                raise self.error(name, "changed while it was being read")
            if self._add_link(name, status):
                return
            xattrs = self.xattrs(fd, name)
            size = status.st_size
            self.content += size
            parts = _parts(fd, status)
            if parts is None:
                self._put(_header(name, REGULAR, status, xattrs, size=size))
                self._copy(fd, size, name)
                stored = size
            else:
                map_ = write_map(parts)
                stored = len(map_) + sum(length for _, length in parts)
                self._put(_header(name, REGULAR, status, xattrs, size=stored, real_size=size))
                self._put(map_)
                for offset, length in parts:
                    os.lseek(fd, offset, os.SEEK_SET)
                    self._copy(fd, length, name)
            self._put(bytes(padding(stored)))
        finally:
            os.close(fd)

    def _add_special(self, directory: int, base: bytes, name: bytes) -> None:
        status = os.stat(base, dir_fd=directory, follow_symlinks=False)
        if stat.S_ISSOCK(status.st_mode) or self._add_link(name, status):
            return  # a socket is nothing without the process behind it; tar and Docker skip it
        # There is no listxattrat(2) on most kernels, but this path is the same thing.
        xattrs = self.xattrs(self.path_of(directory, base), name)
        if stat.S_ISLNK(status.st_mode):
            target = os.readlink(base, dir_fd=directory)
            self._put(_header(name, SYMLINK, status, xattrs, linkname=target))
        elif stat.S_ISFIFO(status.st_mode):
            self._put(_header(name, FIFO, status, xattrs))
        elif stat.S_ISCHR(status.st_mode) or stat.S_ISBLK(status.st_mode):
            kind = CHARACTER if stat.S_ISCHR(status.st_mode) else BLOCK
            self._put(_header(name, kind, status, xattrs))
        else:
            raise self.error(name, "changed while it was being read")

    def _add_link(self, name: bytes, status: os.stat_result) -> bool:
        """A second name of a file that is stored already."""
        if status.st_nlink < 2:
            return False
        first = self._links.setdefault((status.st_dev, status.st_ino), name)
        if first is name:
            return False
        self._put(_header(name, HARD_LINK, status, {}, linkname=first))
        return True

    def _copy(self, fd: int, length: int, name: bytes) -> None:
        while length:
            data = os.read(fd, min(length, PIECE))
            if not data:
                raise self.error(name, "became shorter while it was being read")
            self._put(data)
            length -= len(data)

    def _put(self, data: bytes) -> None:
        if len(data) >= LARGE:
            self._flush()
            self._out(data)
            return
        self._pending.append(data)
        self._pending_size += len(data)
        if self._pending_size >= PIECE - LARGE:
            self._flush()

    def _flush(self) -> None:
        if self._pending:
            self._out(b"".join(self._pending))
            self._pending.clear()
            self._pending_size = 0


class _LayerTar(TreeTar):
    """What overlayfs notes about deletions becomes what OCI writes about them."""

    problem = "cannot make a layer of"

    def add(self, directory: int, base: bytes, kind: int, name: bytes, depth: int = 0) -> None:
        if base.startswith(WHITEOUT_PREFIX):
            raise self.error(name, "names that begin with .wh. mean deletion in a layer")
        super().add(directory, base, kind, name, depth)

    def add_mark(self, name: bytes) -> None:
        """A whiteout or opaque mark: an empty file that only its name means."""
        self._put(encode_header(name, REGULAR, mode=0o600))

    def goes_along(self, xattr: bytes, name: bytes) -> bool:
        if xattr in (REDIRECT_XATTR, METACOPY_XATTR):
            why = f"overlayfs was mounted with a feature that needs {xattr.decode()}"
            raise self.error(name, why)
        return super().goes_along(xattr, name)

    def _add_directory(self, fd: int, name: bytes) -> None:
        super()._add_directory(fd, name)
        if is_opaque(fd):
            self.add_mark(name + b"/" + OPAQUE_MARK)

    def _add_special(self, directory: int, base: bytes, name: bytes) -> None:
        status = os.stat(base, dir_fd=directory, follow_symlinks=False)
        if is_whiteout(status):
            prefix = name[: len(name) - len(base)]
            self.add_mark(prefix + WHITEOUT_PREFIX + base)
        else:
            super()._add_special(directory, base, name)


def _header(
    name: bytes,
    kind: bytes,
    status: os.stat_result,
    xattrs: dict[bytes, bytes],
    *,
    size: int = 0,
    linkname: bytes = b"",
    real_size: int | None = None,
) -> bytes:
    device = kind in (CHARACTER, BLOCK)
    return encode_header(
        name,
        kind,
        mode=stat.S_IMODE(status.st_mode),
        uid=status.st_uid,
        gid=status.st_gid,
        size=size,
        mtime=status.st_mtime_ns,
        linkname=linkname,
        major=os.major(status.st_rdev) if device else 0,
        minor=os.minor(status.st_rdev) if device else 0,
        xattrs=xattrs,
        real_size=real_size,
    )


def list_directory(directory: int) -> list[tuple[bytes, int]]:
    """Sorted names in an open directory with their kind: S_IFDIR, S_IFREG, or 0 for others."""
    found = []
    with os.scandir(directory) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                kind = stat.S_IFDIR
            else:
                kind = stat.S_IFREG if entry.is_file(follow_symlinks=False) else 0
            found.append((os.fsencode(entry.name), kind))
    return sorted(found)


def _parts(fd: int, status: os.stat_result) -> tuple[tuple[int, int], ...] | None:
    """The parts of a file that hold data, if its holes are too large to be stored as zeros."""
    size = status.st_size
    if size - status.st_blocks * 512 <= MAX_ZEROS:
        return None
    parts = []
    end = 0
    while end < size:
        try:
            start = os.lseek(fd, end, os.SEEK_DATA)
        except OSError:  # ENXIO: nothing but a hole up to the end
            parts.append((size, 0))  # without it GNU tar would cut the file short
            break
        end = min(os.lseek(fd, start, os.SEEK_HOLE), size)
        parts.append((start, end - start))
    os.lseek(fd, 0, os.SEEK_SET)
    # Go reads a map of at most 1 MiB; a line of it has up to 20 bytes.
    return tuple(parts) if len(parts) * 40 < MAX_METADATA else None
