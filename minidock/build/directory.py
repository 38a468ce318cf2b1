"""The build context: a directory of the user's, as a tree that nothing leads out of.

What lies in a context may have been downloaded a minute ago: a link to /etc/shadow, or `a -> ..`.
The build runs as root and must not be talked into putting the host's files into an image. So a path
is resolved here part by part, as if the context were the root, and whatever is opened is opened by
openat2(2) with a plain path below which the kernel follows no link at all: if somebody swaps a
directory for a link between looking and opening, the opening fails.

What `.dockerignore` excludes is not there for anybody.

See: openat2(2) RESOLVE_BENEATH and RESOLVE_NO_SYMLINKS
"""

from __future__ import annotations

import os

from minidock.image.stack import Node, read_xattrs
from minidock.linux.syscalls import openat2

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType
    from typing import Protocol, Self

    class Ignore(Protocol):
        """What `.dockerignore` says."""

        def excludes(self, path: str) -> bool: ...

        def may_include_below(self, path: str) -> bool:
            """Whether something in an excluded directory may be included all the same."""
            ...


RESOLVE_NO_SYMLINKS = 0x04
RESOLVE_BENEATH = 0x08
_PLAINLY = RESOLVE_NO_SYMLINKS | RESOLVE_BENEATH
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class Directory:
    """A directory of the host's as a tree, for `with`. For one thread at a time."""

    def __init__(self, path: str, ignore: Ignore | None = None) -> None:
        self._ignore = ignore
        self._root = os.open(path, _DIRECTORY)
        self._open = ("", self._root)  # the directory that files were opened in last

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        self._leave()
        os.close(self._root)

    def root(self) -> Node:
        return Node("", os.fstat(self._root))

    def child(self, directory: Node, name: str) -> Node | None:
        """What lies under a name, unless it is excluded. Raises `OSError`."""
        path = directory.below(name)
        try:
            status = os.stat(path, dir_fd=self._root, follow_symlinks=False)
        except (FileNotFoundError, NotADirectoryError):
            return None
        node = Node(path, status)
        return node if self._is_there(node) else None

    def children(self, directory: Node) -> list[Node]:
        """In the order of their names, without what is excluded. Raises `OSError`."""
        prefix = f"{directory.path}/" if directory.path else ""
        with os.scandir(self._enter(directory.path)) as entries:
            found = [Node(prefix + e.name, e.stat(follow_symlinks=False)) for e in entries]
        found.sort(key=_path)
        if self._ignore is None:
            return found
        return [node for node in found if self._is_there(node)]

    def target(self, link: Node) -> str:
        parent, _, name = link.path.rpartition("/")
        return os.readlink(name, dir_fd=self._enter(parent))

    def open(self, file: Node) -> int:
        """A descriptor to read a regular file. Raises `OSError`."""
        parent, _, name = file.path.rpartition("/")
        return os.open(name, _FILE, dir_fd=self._enter(parent))

    def xattrs(self, node: Node) -> dict[bytes, bytes]:
        """The attributes that belong into a layer. Of files and directories only."""
        if not (node.is_file or node.is_directory):
            return {}
        fd = self.open(node) if node.path else os.dup(self._root)
        try:
            return read_xattrs(fd)
        finally:
            os.close(fd)

    def _is_there(self, node: Node) -> bool:
        ignore = self._ignore
        if ignore is None or not ignore.excludes(node.path):
            return True
        # A directory is there if anything in it is: `*` and `!src/main.c` leave a `src`.
        if not node.is_directory or not ignore.may_include_below(node.path):
            return False
        return bool(self.children(node))

    def _enter(self, path: str) -> int:
        """The open directory at a plain path: most files are opened where the last one was."""
        if self._open[0] != path:
            self._leave()
            if path:
                self._open = path, openat2(self._root, path, _DIRECTORY, 0, _PLAINLY)
        return self._open[1]

    def _leave(self) -> None:
        if self._open[1] != self._root:
            os.close(self._open[1])
        self._open = "", self._root


def _path(node: Node) -> str:
    return node.path
