"""Write the entries of a layer into the root directory of this process.

The caller has made an empty directory its root (chroot), so no name, however crooked, can lead
out: that is the wall. What this file adds are rules about what an honest layer looks like, so
that a hostile one ends in one clear error and not in a surprising tree:

- `..` may not climb above the root; a leading `/` is dropped (GNU tar and Docker do the same);
- nothing is ever opened for writing that was there before: a later entry of the same name
  removes the earlier one first, unless both are directories, which merge (Docker's rule);
- a parent directory that no entry announced is made, mode 0755, owner root (Docker's too);
- a parent that is a symbolic link is followed only where it is relative and stays inside (`lib ->
  usr/lib`): an absolute one means one thing here and another to a program without a chroot;
- the entry for the root itself is ignored if it is a directory, and an error if it is not;
- `trusted.overlay.*` attributes are never set, labels of the packing host neither.

Two things wait until all entries are read. Whiteouts, because they speak about the layers below
whatever their position in the archive. And the mode, owner, attributes and times of directories:
every file made inside would change the time again, and a set-group-id or default ACL would rub
off on what is made below.

Everything in this file runs after chroot(2) into foreign data: no import, no codec or name lookup.

See: chroot(2), open(2) O_EXCL and O_NOFOLLOW, OCI image-spec layer.md
"""

from __future__ import annotations

import errno
import os
import stat

from minidock.errors import BadArchive
from minidock.image.names import clean, follow, prefix_ends
from minidock.image.tar_format import (
    BLOCK,
    CHARACTER,
    DIRECTORY,
    FIFO,
    HARD_LINK,
    MAX_DEPTH,
    MAX_INT64,
    MAX_PATH,
    REGULAR,
    SYMLINK,
    shown,
)
from minidock.image.tar_read import Header, TarReader
from minidock.image.tar_sparse import hole_writer
from minidock.image.whiteout import (
    AUFS_PREFIX,
    HOST_XATTRS,
    OPAQUE_MARK,
    OPAQUE_XATTR,
    OVERLAY_XATTRS,
    WHITEOUT_PREFIX,
    whiteout_target,
)

# A 5 GB archive can hold ten million empty files, compressed to 5 MB. Real layers stay below one
# million. How large they are together is not limited here: that is the disk's affair.
MAX_ENTRIES = 5_000_000
# What must be remembered until the end, names and attributes of directories, and whiteouts, may
# take this much memory: a million directories or so.
MAX_HELD = 512 << 20
HELD_EACH = 400  # bytes that an object costs beside its names
MAX_CACHED = 50_000  # names of parents kept; thrown away beyond, so that names cost no memory
MAX_NAME = 255  # bytes of one part of a path
MAX_ID = (1 << 32) - 2  # (uid_t) -1 means "leave as it is" to chown(2)
MAX_MAJOR, MAX_MINOR = (1 << 12) - 1, (1 << 20) - 1
MIN_SPARSE = 1 << 16  # bytes; smaller files are not searched for blocks of zeros

_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_OPEN_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class LayerWriter:
    """Writes one layer below `/`, which must be empty. Use: `add` every header, then `finish`.

    Raises `BadArchive` for what no honest layer does and lets `OSError` of the kernel pass;
    `name` then tells which entry it was. `content` counts the bytes of files.
    """

    def __init__(self, reader: TarReader, *, overlay_whiteouts: bool) -> None:
        self.name = b""
        self.content = 0
        self._reader = reader
        self._overlay_whiteouts = overlay_whiteouts
        self._entries = 0
        # Where the parent of a name really is: b"lib" → b"usr/lib" where lib is a symlink.
        self._parents: dict[bytes, bytes] = {b"": b""}
        # Directories made so far, by real path, with what is to be set on them at the end.
        self._directories: dict[bytes, Header | None] = {}
        self._whiteouts: dict[bytes, list[bytes]] = {}  # real directory → names deleted in it
        self._opaque: set[bytes] = set()
        self._held = 0
        # Files are made with the mode and owner they shall have: nothing may interfere.
        os.umask(0)
        os.chmod(b"/", stat.S_IMODE(os.stat(b"/").st_mode) & ~stat.S_ISGID)

    def add(self, header: Header) -> None:
        """Make what one entry says, reading its data."""
        self.name = header.name
        self._entries += 1
        if self._entries > MAX_ENTRIES:
            raise self._error(f"more than {MAX_ENTRIES} entries")
        self._check_numbers(header)
        name = self._clean(header.name)
        if not name:
            if header.type != DIRECTORY:
                raise self._error("the root of the archive is not a directory")
            return
        if b".wh." in name and self._overlay_whiteouts and self._is_mark(name):
            return
        parent, _, base = name.rpartition(b"/")
        directory = self._parents.get(parent)
        if directory is None:
            directory = self._find_parent(parent)
        path = directory + b"/" + base if directory else base
        self._create(path, header)

    def finish(self) -> None:
        """Set what had to wait: whiteouts, and the attributes of directories."""
        for directory, names in self._whiteouts.items():
            for base in names:
                self._make_whiteout(directory + b"/" + base if directory else base)
        for path, header in self._directories.items():
            self._finish_directory(path, header)
        if b"" in self._opaque:
            os.setxattr(b"/", OPAQUE_XATTR, b"y")

    # ── names ────────────────────────────────────────────────────────────────────────────────

    def _error(self, problem: str) -> BadArchive:
        return BadArchive(f"invalid tar archive: {shown(self.name)}: {problem}")

    def _hold(self, size: int) -> None:
        """Count what will be kept in memory until the end."""
        self._held += size + HELD_EACH
        if self._held > MAX_HELD:
            raise self._error("the archive has too many directories, attributes and whiteouts")

    def _check_numbers(self, header: Header) -> None:
        if not (0 <= header.uid <= MAX_ID and 0 <= header.gid <= MAX_ID):
            raise self._error(f"its owner {header.uid}:{header.gid} is out of range")
        if not -MAX_INT64 <= header.mtime <= MAX_INT64:
            header.mtime = 0  # Docker's answer to times that the kernel has no numbers for

    def _clean(self, name: bytes) -> bytes:
        try:
            return clean(name)
        except ValueError as error:
            raise self._error(str(error)) from None

    def _find_parent(self, parent: bytes) -> bytes:
        """The real path of a directory to write into; made where nothing is there yet."""
        if parent.count(b"/") >= MAX_DEPTH or len(parent) > MAX_PATH:
            raise self._error(f"more than {MAX_DEPTH} directories or {MAX_PATH} bytes deep")
        real = b""
        for end in prefix_ends(parent):
            prefix = parent[:end]
            known = self._parents.get(prefix)
            if known is None:
                base = prefix.rpartition(b"/")[2]
                known = self._enter(real + b"/" + base if real else base)
                if len(self._parents) >= MAX_CACHED:
                    self._parents = {b"": b""}
                self._parents[prefix] = known
            real = known
        return real

    def _enter(self, path: bytes) -> bytes:
        """The directory at `path`, of which everything but the last part is real."""
        try:
            mode = os.lstat(path).st_mode
        except FileNotFoundError:
            self._make_directory(path, None)
            return path
        if stat.S_ISDIR(mode):
            return path
        if not stat.S_ISLNK(mode):
            raise self._error(f"its parent {shown(path)} is not a directory")
        try:
            return follow(path)
        except ValueError as error:
            problem = f"its parent {shown(path)} is a symbolic link that {error}"
            raise self._error(problem) from None

    # ── whiteouts ────────────────────────────────────────────────────────────────────────────

    def _is_mark(self, name: bytes) -> bool:
        """Note a whiteout for the end. False where the name is an ordinary one after all."""
        parent, _, base = name.rpartition(b"/")
        for part in parent.split(b"/"):
            if part.startswith(AUFS_PREFIX):
                return True  # what AUFS kept below .wh..wh.plnk is nobody's file
            if part.startswith(WHITEOUT_PREFIX):
                raise self._error(f"a whiteout ({shown(part)}) cannot be a directory")
        if not base.startswith(WHITEOUT_PREFIX):
            return False
        if base == OPAQUE_MARK:
            self._opaque.add(self._find_parent(parent))
        elif not base.startswith(AUFS_PREFIX):
            try:
                target = whiteout_target(base)
            except ValueError as error:
                raise self._error(str(error)) from None
            if len(target) > MAX_NAME:
                raise self._error("a whiteout of a name that no file can have")
            self._hold(len(target))
            self._whiteouts.setdefault(self._find_parent(parent), []).append(target)
        return True

    def _make_whiteout(self, path: bytes) -> None:
        self.name = path
        try:
            os.mknod(path, stat.S_IFCHR, 0)
        except FileExistsError:
            # The layer has something of its own there. A file hides the lower one anyhow.
            if path in self._directories:
                self._opaque.add(path)

    # ── making things ────────────────────────────────────────────────────────────────────────

    def _create(self, path: bytes, header: Header) -> None:
        kind = header.type
        for attempt in (1, 2):
            try:
                if kind == REGULAR:
                    self._make_file(path, header)
                elif kind == DIRECTORY:
                    self._make_directory(path, header)
                elif kind == HARD_LINK:
                    self._make_hard_link(path, header)
                else:
                    self._make_special(path, header)
                return
            except FileExistsError:
                if attempt == 2:
                    raise
                self._remove(path)

    def _make_file(self, path: bytes, header: Header) -> None:
        fd = os.open(path, _CREATE, header.mode)
        self.content += header.size
        try:
            write_content(self._reader, header, fd)
            if header.uid or header.gid:
                os.fchown(fd, header.uid, header.gid)
                os.fchmod(fd, header.mode)  # after chown, which clears set-user-id
            if header.xattrs:
                self._set_xattrs(fd, header)  # after chown, which clears capabilities
            os.utime(fd, ns=(header.mtime, header.mtime))
        finally:
            os.close(fd)

    def _make_directory(self, path: bytes, header: Header | None) -> None:
        if path not in self._directories:
            os.mkdir(path, 0o755)
        elif header is None:
            return
        self._hold(len(path))
        if header is not None:
            header.name = header.linkname = b""  # 1 MiB each, if they like
            self._hold(sum(len(key) + len(value) for key, value in header.xattrs.items()))
        self._directories[path] = header

    def _make_hard_link(self, path: bytes, header: Header) -> None:
        """Link to an earlier entry; its owner, mode and times stay those of that entry."""
        target = self._clean(header.linkname)
        parent, _, base = target.rpartition(b"/")
        directory = self._find_parent(parent)
        source = directory + b"/" + base if directory else base
        if not base or source == path or source in self._directories:
            raise self._error(f"a hard link to {shown(header.linkname)!r} is impossible")
        try:
            os.link(source, path, follow_symlinks=False)
        except FileNotFoundError:
            raise self._error(
                f"a hard link to {shown(header.linkname)}, which is not in this layer"
            ) from None

    def _make_special(self, path: bytes, header: Header) -> None:
        kind = header.type
        if kind == SYMLINK:
            if not header.linkname:
                raise self._error("a symbolic link to nothing")
            os.symlink(header.linkname, path)
        elif kind == FIFO:
            os.mkfifo(path, 0o600)
        elif kind in (CHARACTER, BLOCK):
            if not (0 <= header.major <= MAX_MAJOR and 0 <= header.minor <= MAX_MINOR):
                raise self._error("its device number is out of range")
            form = stat.S_IFCHR if kind == CHARACTER else stat.S_IFBLK
            os.mknod(path, form | 0o600, os.makedev(header.major, header.minor))
        else:
            raise self._error(f"unknown type {shown(kind)!r}")
        if header.uid or header.gid:
            os.lchown(path, header.uid, header.gid)
        if kind != SYMLINK:
            os.chmod(path, header.mode)
        if header.xattrs:
            self._set_xattrs(path, header)
        os.utime(path, ns=(header.mtime, header.mtime), follow_symlinks=False)

    def _finish_directory(self, path: bytes, header: Header | None) -> None:
        opaque = path in self._opaque
        if header is None and not opaque:
            return
        self.name = path
        fd = os.open(path, _OPEN_DIRECTORY)
        try:
            if opaque:
                os.setxattr(fd, OPAQUE_XATTR, b"y")
            if header is not None:
                os.fchown(fd, header.uid, header.gid)
                os.fchmod(fd, header.mode)
                if header.xattrs:
                    self._set_xattrs(fd, header)
                os.utime(fd, ns=(header.mtime, header.mtime))
        finally:
            os.close(fd)

    def _set_xattrs(self, target: int | bytes, header: Header) -> None:
        follow = isinstance(target, int)
        for key, value in header.xattrs.items():
            if key.startswith(OVERLAY_XATTRS) or key in HOST_XATTRS:
                continue
            if not key or b"\0" in key:
                raise self._error("an extended attribute without a name")
            try:
                os.setxattr(target, key, value, follow_symlinks=follow)
            except OSError as error:
                # A filesystem may lack a namespace (tmpfs: user.*), and user.* does not go onto
                # links and devices. A lost capability, though, would break a program silently.
                lacking = error.errno in (errno.EOPNOTSUPP, errno.EPERM)
                if lacking and not key.startswith(b"security.capability"):
                    continue
                raise self._error(
                    f"cannot set extended attribute {shown(key)}: {error.strerror}"
                ) from None

    # ── making room ──────────────────────────────────────────────────────────────────────────

    def _remove(self, path: bytes) -> None:
        """Remove what an earlier entry made, so that the later one wins."""
        try:
            mode = os.lstat(path).st_mode
        except FileNotFoundError:
            return
        if not stat.S_ISREG(mode):
            # Parents may have been found through it. This costs a few lstat calls, rarely.
            self._parents = {b"": b""}
        if not stat.S_ISDIR(mode):
            os.unlink(path)
            return
        # Without recursion: children are pushed above their parent, which goes when it is empty.
        stack = [path]
        while stack:
            directory = stack[-1]
            before = len(stack)
            with os.scandir(directory) as entries:
                children = list(entries)
            for entry in children:
                if entry.is_dir(follow_symlinks=False):
                    stack.append(entry.path)
                else:
                    os.unlink(entry.path)
            if len(stack) == before:
                os.rmdir(directory)
                stack.pop()
                self._directories.pop(directory, None)
                self._whiteouts.pop(directory, None)
                self._opaque.discard(directory)


def write_content(reader: TarReader, header: Header, fd: int) -> None:
    """Write the data of a regular file, which the reader has come to, into a new file."""
    if header.sparse is not None:
        for offset, length in header.sparse:
            os.lseek(fd, offset, os.SEEK_SET)
            reader.copy(length, lambda piece: _write_all(fd, piece))
        os.ftruncate(fd, header.size)
    elif header.size >= MIN_SPARSE:
        reader.copy(header.size, hole_writer(fd))
        os.ftruncate(fd, header.size)
    elif header.size:
        reader.copy(header.size, lambda piece: _write_all(fd, piece))


def _write_all(fd: int, data: memoryview) -> None:
    while data:
        data = data[os.write(fd, data) :]
