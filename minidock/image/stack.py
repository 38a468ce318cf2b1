"""An image's layers seen as one tree, without mounting them.

overlayfs does this for a container. Whoever only wants to look (where does COPY's destination lead,
what is in /etc/passwd, which files does another stage have) needs no mount, no privilege and no
child for it: a name is looked up from the top layer down, a whiteout or a file ends the search, and
directories are merged until one is opaque. Layers never change, so nothing can change meanwhile.

Paths are resolved as a process with this root would see them: an absolute link starts again at the
root, and `..` of the root is the root. A component is only ever looked up in a directory that was
found to be one, so no symbolic link of a layer is followed by the host's kernel.

See: filesystems/overlayfs.rst, path_resolution(7), whiteout.py
"""

from __future__ import annotations

import errno
import os
import stat

from minidock.image.whiteout import HOST_XATTRS, OVERLAY_XATTRS, is_opaque, is_whiteout

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Protocol

    class Tree(Protocol):
        """Something to find files in. Paths have no slash at either end; the root's is ""."""

        def root(self) -> Node: ...
        def child(self, directory: Node, name: str) -> Node | None: ...
        def children(self, directory: Node) -> list[Node]:
            """In the order of their names."""
            ...

        def target(self, link: Node) -> str: ...
        def open(self, file: Node) -> int: ...
        def xattrs(self, node: Node) -> dict[bytes, bytes]: ...


MAX_LINKS = 40  # as many as the kernel follows. path_resolution(7)
_OPEN = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK


class Node:
    """One file or directory of a tree. `where` is the tree's own affair."""

    __slots__ = ("path", "status", "where")

    def __init__(self, path: str, status: os.stat_result, where: tuple[str, ...] = ()) -> None:
        self.path = path
        self.status = status
        self.where = where

    @property
    def is_directory(self) -> bool:
        return stat.S_ISDIR(self.status.st_mode)

    @property
    def is_link(self) -> bool:
        return stat.S_ISLNK(self.status.st_mode)

    @property
    def is_file(self) -> bool:
        return stat.S_ISREG(self.status.st_mode)

    @property
    def name(self) -> str:
        return self.path.rpartition("/")[2]

    def below(self, name: str) -> str:
        """The path of a child."""
        return f"{self.path}/{name}" if self.path else name


class Stack:
    """The layers of an image, topmost first, as a tree. No layers: an empty root."""

    def __init__(self, lowerdirs: Sequence[str]) -> None:
        self._layers = tuple(lowerdirs)

    def root(self) -> Node:
        """The root directory, which has the attributes of the topmost layer's."""
        if not self._layers:
            return Node("", os.stat_result((stat.S_IFDIR | 0o755, 0, 0, 2, 0, 0, 0, 0, 0, 0)))
        # The names in `layers/l` are links of the store's own, to be followed.
        found = []
        for layer in self._layers:
            found.append(layer)
            if is_opaque(layer):
                break
        return Node("", os.stat(found[0]), tuple(found))

    def child(self, directory: Node, name: str) -> Node | None:
        """What a directory shows under a name."""
        status, merged = None, []
        for layer in directory.where:
            path = f"{layer}/{name}"
            try:
                here = os.lstat(path)
            except FileNotFoundError:
                continue
            if is_whiteout(here):
                break
            is_directory = stat.S_ISDIR(here.st_mode)
            if status is None:
                status = here
            elif not is_directory:
                break
            merged.append(path)
            if not is_directory or is_opaque(path):
                break
        return Node(directory.below(name), status, tuple(merged)) if status else None

    def children(self, directory: Node) -> list[Node]:
        """Everything in a directory, in the order of names."""
        names: set[str] = set()
        for layer in directory.where:
            names.update(os.listdir(layer))
        found = (self.child(directory, name) for name in sorted(names))
        return [node for node in found if node]

    def target(self, link: Node) -> str:
        return os.readlink(link.where[0])

    def open(self, file: Node) -> int:
        """A descriptor to read a regular file. Raises `OSError`."""
        return os.open(file.where[0], _OPEN)

    def xattrs(self, node: Node) -> dict[bytes, bytes]:
        """The attributes that belong into a layer."""
        return read_xattrs(node.where[0]) if node.where else {}


def read_xattrs(path: str | int) -> dict[bytes, bytes]:
    """Without those of overlayfs and of the host's policies. No link is followed."""
    found = {}
    follow = isinstance(path, int)
    try:
        names = os.listxattr(path, follow_symlinks=follow)
        for name in names:
            key = os.fsencode(name)
            if not key.startswith(OVERLAY_XATTRS) and key not in HOST_XATTRS:
                found[key] = os.getxattr(path, name, follow_symlinks=follow)
    except OSError as error:
        if error.errno not in (errno.EOPNOTSUPP, errno.ENODATA):
            raise
    return found


def resolve(tree: Tree, path: str, *, follow: bool = True) -> Node | None:
    """What a path means in a tree, from its root on; None where nothing is. `follow`: also where
    the last part is a symbolic link. Raises `OSError` (ELOOP) for links in a circle."""
    node, rest = resolve_as_far(tree, path, follow=follow)
    return None if rest else node


def resolve_as_far(tree: Tree, path: str, *, follow: bool = True) -> tuple[Node, list[str]]:
    """The last thing on a path that exists, and the names behind it that do not. The rest is also
    not empty where something that is no directory stands in the way; the node then is that."""
    stack = [tree.root()]
    names = [part for part in reversed(path.split("/")) if part not in ("", ".")]
    links = 0
    while names:
        name = names.pop()
        if name == "..":
            if len(stack) > 1:
                stack.pop()
            continue
        node = tree.child(stack[-1], name) if stack[-1].is_directory else None
        if node is None:
            return stack[-1], _plain([name, *reversed(names)])
        if not node.is_link or not (names or follow):
            stack.append(node)
            continue
        links += 1
        if links > MAX_LINKS:
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), f"/{path}")
        target = tree.target(node)
        if target.startswith("/"):
            del stack[1:]
        names += [part for part in reversed(target.split("/")) if part not in ("", ".")]
    return stack[-1], []


def _plain(names: list[str]) -> list[str]:
    """Names of what does not exist yet, without `..` among them."""
    kept: list[str] = []
    for name in names:
        if name == "..":
            del kept[-1:]
        else:
            kept.append(name)
    return kept


def read_text(tree: Tree, path: str, limit: int = 16 << 20) -> bytes:
    """The content of a small regular file such as /etc/passwd, b"" where there is none or it is
    something else or larger than `limit`."""
    node = resolve(tree, path)
    if node is None or not node.is_file or node.status.st_size > limit:
        return b""
    with open(tree.open(node), "rb") as file:
        return file.read(limit)
