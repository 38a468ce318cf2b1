"""Make a layer, as a directory and as a tarball at the same time.

COPY could write files, and what it wrote could then be packed, as for RUN; but that would read
everything twice. Here each file's content goes to both places from one read: into the directory
that will be stacked, and behind a header into the stream that becomes the blob.

A layer that puts one file into /usr/share/doc must say something about `usr`, `usr/share` and
`usr/share/doc`, too: a directory of an upper layer hides the attributes of the same one below. So
those that are in the image already are entered with the attributes they have there.

Times are whole seconds, as Docker has them in layers; with SOURCE_DATE_EPOCH none is later.

See: pack.py, tar_write.py; https://reproducible-builds.org/docs/source-date-epoch/
"""

from __future__ import annotations

import os
import stat

from minidock.build.hashes import changed, same_file
from minidock.errors import InvalidInput
from minidock.image.blobs import write_all
from minidock.image.stack import resolve
from minidock.image.tar_format import (
    BLOCK,
    CHARACTER,
    DIRECTORY,
    FIFO,
    HARD_LINK,
    REGULAR,
    SYMLINK,
    padding,
)
from minidock.image.tar_sparse import hole_writer
from minidock.image.tar_write import END_OF_ARCHIVE, encode_header

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from minidock.image.stack import Node, Tree

_SECOND = 1_000_000_000
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_OPEN = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_PIECE = 1 << 20
_BATCH = 1 << 18


class Attributes:
    """What a file or directory gets besides its content. `mtime` in seconds."""

    __slots__ = ("gid", "mode", "mtime", "uid", "xattrs")

    def __init__(
        self, mode: int, uid: int, gid: int, mtime: int, xattrs: dict[bytes, bytes] | None = None
    ) -> None:
        self.mode = mode
        self.uid = uid
        self.gid = gid
        self.mtime = mtime
        self.xattrs = xattrs or {}


class LayerMaker:
    """Fills the empty `directory` and calls `out` with the pieces of the tarball.

    `base` is the image below, `now` (seconds) the time of directories that are made on the way, and
    `latest` the latest time of anything. Paths have no slash at either end. Not for hostile
    callers: each path's directory must be one that was made here or is in `base`.
    """

    def __init__(
        self,
        directory: str,
        out: Callable[[bytes], object],
        base: Tree,
        *,
        now: int,
        latest: int | None = None,
    ) -> None:
        self.content = 0
        self._out = out
        self._base = base
        self._now = now
        self._latest = latest
        self._root = os.open(directory, _OPEN)
        self._entered = ("", self._root)
        self._directories: dict[str, Attributes] = {}
        self._links: dict[tuple[int, int], str] = {}
        self._pending: list[bytes] = []
        self._size = 0

    def close(self) -> None:
        """Let go of the directory, finished or not."""
        self._leave()
        os.close(self._root)

    def finish(self) -> int:
        """Set what had to wait; the bytes of file content."""
        self._put(END_OF_ARCHIVE)
        self._flush()
        self._leave()
        # In the end, because everything made in a directory changes its time again.
        for path, about in self._directories.items():
            when = about.mtime * _SECOND
            os.utime(path, ns=(when, when), dir_fd=self._root, follow_symlinks=False)
        self._match_root()
        return self.content

    def _match_root(self) -> None:
        """The topmost layer's directory is the container's "/": it looks as it did below."""
        s = self._base.root().status
        os.fchown(self._root, s.st_uid, s.st_gid)
        os.fchmod(self._root, stat.S_IMODE(s.st_mode))

    # ── directories ──

    def directory(self, path: str, about: Attributes) -> None:
        """A directory, with its parents where they are missing."""
        if not path:
            return
        known = self._directories.get(path)
        if known is None:
            self.parents(path, 0, 0)
            self._mkdir(path, about)
            return
        # Named by several sources: the last one counts, in the archive as well.
        self._dress_directory(path, about)

    def parents(self, path: str, uid: int, gid: int) -> None:
        """The directories above `path`: as they are in the image, or new, with these owners."""
        parent = path.rpartition("/")[0]
        if not parent or parent in self._directories:
            return
        self.parents(parent, uid, gid)
        node = resolve(self._base, parent, follow=False)
        if node is None:
            self._mkdir(parent, Attributes(0o755, uid, gid, self._now))
        elif not node.is_directory:
            raise InvalidInput(f"cannot copy to non-directory: /{parent}")
        else:
            self._mkdir(parent, attributes_of(node, self._base.xattrs(node)))

    def _mkdir(self, path: str, about: Attributes) -> None:
        os.mkdir(path, 0o700, dir_fd=self._root)
        self._dress_directory(path, about)

    def _dress_directory(self, path: str, about: Attributes) -> None:
        about.mtime = self._time(about.mtime)
        fd = os.open(path, _OPEN, dir_fd=self._root)
        try:
            self._dress(fd, about)
        finally:
            os.close(fd)
        self._directories[path] = about
        self._header(path, DIRECTORY, about)

    # ── the rest ──

    def file(
        self, path: str, about: Attributes, tree: Tree, node: Node, content: bytes | None
    ) -> None:
        """A regular file: with this content, or that of the node, which must be the same still."""
        about.mtime = self._time(about.mtime)
        if node.status.st_nlink > 1:
            first = self._links.setdefault((node.status.st_dev, node.status.st_ino), path)
            if first is not path:
                os.link(first, path, src_dir_fd=self._root, dst_dir_fd=self._root)
                self._header(path, HARD_LINK, about, linkname=os.fsencode(first))
                return
        size = node.status.st_size
        if content is None:
            source = tree.open(node)
            try:
                if not same_file(os.fstat(source), node.status):
                    raise changed(node)
                if size <= _BATCH:
                    content = os.read(source, size + 1)
                    if len(content) != size:
                        raise changed(node)
                else:
                    self._copy(path, about, source, node)
                    return
            finally:
                os.close(source)
        self.small_file(path, about, content)

    def small_file(self, path: str, about: Attributes, content: bytes) -> None:
        """A file whose content is in memory."""
        self._header(path, REGULAR, about, size=len(content))
        self._put(content)
        self._put(bytes(padding(len(content))))
        self.content += len(content)
        fd = self._create(path)
        try:
            if content:
                write_all(fd, content)
            self._finish_file(fd, about)
        finally:
            os.close(fd)

    def _copy(self, path: str, about: Attributes, source: int, node: Node) -> None:
        size = node.status.st_size
        self._header(path, REGULAR, about, size=size)
        self._flush()
        fd = self._create(path)
        try:
            left = size
            has_holes = node.status.st_blocks * 512 < size
            skip_zeros = hole_writer(fd)
            while left:
                piece = os.read(source, min(left, _PIECE))
                if not piece:
                    raise changed(node)
                self._out(piece)
                if has_holes:
                    skip_zeros(memoryview(piece))
                else:
                    write_all(fd, piece)
                left -= len(piece)
            if has_holes:
                os.ftruncate(fd, size)
            if not same_file(os.fstat(source), node.status):
                raise changed(node)
            self._finish_file(fd, about)
        finally:
            os.close(fd)
        self._put(bytes(padding(size)))
        self.content += size

    def _create(self, path: str) -> int:
        parent, _, name = path.rpartition("/")
        return os.open(name, _CREATE, 0o600, dir_fd=self._enter(parent))

    def _finish_file(self, fd: int, about: Attributes) -> None:
        self._dress(fd, about)
        when = about.mtime * _SECOND
        os.utime(fd, ns=(when, when))

    def special(self, path: str, about: Attributes, node: Node, target: str = "") -> None:
        """A symbolic link to `target`, a fifo or a device."""
        about.mtime = self._time(about.mtime)
        mode = node.status.st_mode
        if stat.S_ISLNK(mode):
            os.symlink(target, path, dir_fd=self._root)
            self._header(path, SYMLINK, about, linkname=os.fsencode(target))
        else:
            device = node.status.st_rdev
            os.mknod(path, stat.S_IFMT(mode) | 0o600, device, dir_fd=self._root)
            kinds = {stat.S_IFCHR: CHARACTER, stat.S_IFBLK: BLOCK}
            kind = kinds.get(stat.S_IFMT(mode), FIFO)
            self._header(path, kind, about, device=0 if kind == FIFO else device)
        if about.uid or about.gid:
            os.chown(path, about.uid, about.gid, dir_fd=self._root, follow_symlinks=False)
        if not stat.S_ISLNK(mode):
            os.chmod(path, about.mode, dir_fd=self._root)
        when = about.mtime * _SECOND
        os.utime(path, ns=(when, when), dir_fd=self._root, follow_symlinks=False)

    # ── attributes, and the stream ──

    def _dress(self, fd: int, about: Attributes) -> None:
        if about.uid or about.gid:
            os.fchown(fd, about.uid, about.gid)
        os.fchmod(fd, about.mode)  # after chown, which clears set-user-id
        for key, value in about.xattrs.items():
            os.setxattr(fd, key, value)  # after chown, which clears capabilities

    def _time(self, seconds: int) -> int:
        return seconds if self._latest is None else min(seconds, self._latest)

    def _header(
        self,
        path: str,
        kind: bytes,
        about: Attributes,
        *,
        size: int = 0,
        linkname: bytes = b"",
        device: int = 0,
    ) -> None:
        self._put(
            encode_header(
                os.fsencode(path),
                kind,
                mode=about.mode,
                uid=about.uid,
                gid=about.gid,
                size=size,
                mtime=about.mtime * _SECOND,
                linkname=linkname,
                major=os.major(device),
                minor=os.minor(device),
                xattrs=about.xattrs,
            )
        )

    def _put(self, data: bytes) -> None:
        self._pending.append(data)
        self._size += len(data)
        if self._size >= _BATCH:
            self._flush()

    def _flush(self) -> None:
        if self._pending:
            self._out(b"".join(self._pending))
            self._pending.clear()
            self._size = 0

    def _enter(self, path: str) -> int:
        if self._entered[0] != path:
            self._leave()
            if path:
                self._entered = path, os.open(path, _OPEN, dir_fd=self._root)
        return self._entered[1]

    def _leave(self) -> None:
        if self._entered[1] != self._root:
            os.close(self._entered[1])
        self._entered = "", self._root


def attributes_of(node: Node, xattrs: dict[bytes, bytes]) -> Attributes:
    """Those it has."""
    s = node.status
    return Attributes(stat.S_IMODE(s.st_mode), s.st_uid, s.st_gid, int(s.st_mtime), xattrs)
