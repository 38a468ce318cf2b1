"""What COPY and ADD copy: from patterns to a list of files with their places.

    COPY src/*.c README docs/ /app/

Each source is a path in a tree (the context, another stage, an image), perhaps with wildcards. A
directory means its content, not itself; so `docs/` puts `docs/a` at `/app/a`. A file goes into the
destination if that is a directory: because it ends with a slash, because there are several sources,
or because it is one in the image. `--parents` keeps the path as it was typed.

The list that comes out is all that the next instruction can notice of these inputs: the cache key
is made of it, the layer is made from it, and `--explain-cache` compares two of them.

See: https://docs.docker.com/reference/dockerfile/#copy, Go's path/filepath.Match
"""

from __future__ import annotations

import os
import stat

from minidock.errors import NotFound
from minidock.image.stack import Node, resolve
from minidock.spec.glob import path_match

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from minidock.image.stack import Tree


class Item:
    """One thing to be copied. `place` is its path below the destination; "" is that itself. Where
    a directory `is_top`, it is the destination, and keeps what it is if it is there already.
    `name` is what a file would be called in a directory."""

    __slots__ = ("content", "digest", "is_top", "name", "node", "place", "tree", "xattrs")

    def __init__(self, tree: Tree, node: Node, place: str, *, is_top: bool = False) -> None:
        self.tree = tree
        self.node = node
        self.place = place
        self.is_top = is_top
        self.name = ""
        self.digest = b""
        self.content: bytes | None = None
        self.xattrs: dict[bytes, bytes] = {}


class Selection:
    """What the sources of one instruction are. `lone` is the only source, if that is a file: then
    it depends on the image whether the destination is its directory or its own new name."""

    def __init__(self, items: list[Item], lone: Item | None, *, several: bool) -> None:
        self.items = items
        self.lone = lone
        self.several = several


def select(
    tree: Tree,
    sources: Sequence[str],
    *,
    parents: bool = False,
    excluded: Callable[[str, bool], bool] | None = None,
) -> Selection:
    """Find the sources. `excluded(path, is_directory)` is asked about everything below a source,
    with its path from there. Raises `NotFound` in Docker's words."""
    items: list[Item] = []
    files: list[Item] = []
    for source in sources:
        for typed, node in _find(tree, source):
            before = _kept_path(source, typed) if parents else ""
            if node.is_directory:
                prefix = f"{before}/{_base(typed)}".strip("/") if parents else ""
                if parents:
                    items += _parents(tree, os.path.dirname(typed), os.path.dirname(prefix))
                items += _below(tree, node, prefix, excluded, is_top=not prefix)
                continue
            name = _base(typed) or node.name
            if (excluded and excluded(name, False)) or stat.S_ISSOCK(node.status.st_mode):
                continue
            place = f"{before}/{name}".strip("/")
            if parents:
                items += _parents(tree, os.path.dirname(typed), before)
            item = Item(tree, node, place)
            item.name = name
            items.append(item)
            files.append(item)
    lone = files[0] if len(items) == 1 and files and not parents else None
    return Selection(items, lone, several=len(sources) > 1)


def clean(path: str) -> str:
    """Without `.`, `..` (which cannot climb above the root) and slashes at the ends."""
    parts: list[str] = []
    for part in path.split("/"):
        if part == "..":
            del parts[-1:]
        elif part not in ("", "."):
            parts.append(part)
    return "/".join(parts)


def _has_wildcard(path: str) -> bool:
    return any(char in path for char in "*?[\\")


def _base(path: str) -> str:
    return path.rpartition("/")[2]


def _find(tree: Tree, source: str) -> Iterator[tuple[str, Node]]:
    """Each path that a source means, as typed, and what is there."""
    path = clean(source)
    if not _has_wildcard(path):
        node = resolve(tree, path)
        if node is None:
            raise NotFound(f'"/{path}": not found')
        yield path, node
        return
    yield from _glob(tree, "", path.split("/"))


def _glob(tree: Tree, typed: str, parts: list[str]) -> Iterator[tuple[str, Node]]:
    """A wildcard that fits nothing is no error in Docker, so neither here."""
    node = resolve(tree, typed)
    if node is None:
        return
    if not parts:
        yield typed, node
        return
    if not node.is_directory:
        return
    first, rest = parts[0], parts[1:]
    if not _has_wildcard(first):
        yield from _glob(tree, f"{typed}/{first}".strip("/"), rest)
        return
    if first == "**":  # with --parents; any number of directories
        yield from _glob(tree, typed, rest)
    for child in tree.children(node):
        inside = f"{typed}/{child.name}".strip("/")
        if first == "**":
            if child.is_directory:
                yield from _glob(tree, inside, parts)
        elif path_match(first, child.name):
            yield from _glob(tree, inside, rest)


def _kept_path(source: str, typed: str) -> str:
    """With --parents: the directories to be made, those after a `/./` where there is one."""
    before, pivot, _ = f"/{source.removeprefix('./')}".partition("/./")
    parent = os.path.dirname(typed)
    skip = clean(before) if pivot else ""
    depth = len(skip.split("/")) if skip else 0
    return "/".join(parent.split("/")[depth:])


def _parents(tree: Tree, typed: str, place: str) -> Iterator[Item]:
    """The directories of `place`, which is the end of `typed`."""
    parts = place.split("/") if place else []
    above = typed.split("/")[: len(typed.split("/")) - len(parts)] if parts else []
    for end in range(1, len(parts) + 1):
        node = resolve(tree, "/".join((*above, *parts[:end])))
        if node and node.is_directory:
            yield Item(tree, node, "/".join(parts[:end]))


def _below(
    tree: Tree,
    top: Node,
    prefix: str,
    excluded: Callable[[str, bool], bool] | None,
    *,
    is_top: bool,
) -> Iterator[Item]:
    """A directory and all in it, a directory before its content."""
    yield Item(tree, top, prefix, is_top=is_top)
    pending = [(top, prefix, "")]
    while pending:
        directory, place, inside = pending.pop()
        for node in tree.children(directory):
            name = node.path[len(directory.path) + 1 :] if directory.path else node.path
            path = f"{inside}/{name}" if inside else name
            if excluded and excluded(path, node.is_directory):
                continue
            if stat.S_ISSOCK(node.status.st_mode):
                continue
            where = f"{place}/{name}" if place else name
            yield Item(tree, node, where)
            if node.is_directory:
                pending.append((node, where, path))
