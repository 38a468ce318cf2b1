"""COPY and ADD: put what sources.py found into a new layer.

Two questions are answered by the image that is built upon. Where does the destination lead? A
link in the image is followed as inside it, so `COPY a /var/run/` lands in /run. And who is
`--chown=web`? That stands in the image's own /etc/passwd, which is read as text.

Without --chown everything belongs to root, but what comes from another stage or image keeps its
owner. (So it is in Docker.) With --link the image is not looked at, and the layer is the same on
any.

What cannot be put where it should be is refused before anything is written: a file in the place of
a directory, or below something that is none.
"""

from __future__ import annotations

import os
import stat
import time
from hashlib import sha256

from minidock.build.chmod import changed_mode
from minidock.build.layer import Attributes, LayerMaker
from minidock.build.sources import clean
from minidock.errors import InvalidInput, StartFailed
from minidock.image.stack import Stack, read_text, resolve_as_far
from minidock.image.whiteout import is_whiteout
from minidock.isolation.user import find_identity

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from minidock.build.hashes import Hashes
    from minidock.build.sources import Item, Selection
    from minidock.image.stack import Node, Tree

_KEPT_CONTENT = 64 << 20  # bytes of small files that are held until they are written
_KINDS = {
    stat.S_IFREG: "f", stat.S_IFDIR: "d", stat.S_IFLNK: "l", stat.S_IFIFO: "p",
    stat.S_IFCHR: "c", stat.S_IFBLK: "b",
}  # fmt: skip


def fingerprints(
    items: Sequence[Item], hashes_of: Callable[[Tree], Hashes], *, owners: bool
) -> list[str]:
    """A line for each item with all that counts: place, kind, mode, owner where `owners`, content.
    Never the time. Reads what it must."""
    held = 0
    lines = []
    tree, hashes = None, None
    for item in items:
        node, s = item.node, item.node.status
        if item.tree is not tree or hashes is None:
            tree, hashes = item.tree, hashes_of(item.tree)
        kind = stat.S_IFMT(s.st_mode)
        if kind == stat.S_IFREG:
            digest, has_xattrs, content = hashes.digest(tree, node)
            item.digest = digest
            if content is not None and held < _KEPT_CONTENT:
                item.content = content
                held += len(content)
            if has_xattrs:
                item.xattrs = item.tree.xattrs(node)
            what = digest.hex()
        elif kind == stat.S_IFLNK:
            what = _on_one_line(item.tree.target(node))
        elif kind == stat.S_IFDIR:
            item.xattrs = item.tree.xattrs(node)
            what = ""
        else:
            what = f"{s.st_rdev:x}"
        owner = f"{s.st_uid}:{s.st_gid}" if owners else ""
        more = sha256(repr(sorted(item.xattrs.items())).encode()).hexdigest() if item.xattrs else ""
        mode = stat.S_IMODE(s.st_mode)
        lines.append(f"{_on_one_line(item.place)}\0{_KINDS[kind]}{mode:o}\0{owner}\0{what}\0{more}")
    return lines


def _on_one_line(name: str) -> str:
    """A name may have any character in it; no two may become the same."""
    if "\n" not in name and "\\" not in name:
        return name
    return name.replace("\\", "\\\\").replace("\n", "\\n")


class Destination:
    """Where the items go. `base` is the image below; with `link` an empty one."""

    def __init__(self, base: Tree, path: str, selection: Selection, *, link: bool) -> None:
        self.base: Tree = Stack(()) if link else base
        self._directory = self._resolve(path, selection)

    def path(self, item: Item) -> str:
        """The whole path of an item, in the image."""
        return f"{self._directory}/{item.place}".strip("/") if item.place else self._directory

    def _resolve(self, path: str, selection: Selection) -> str:
        node, missing = resolve_as_far(self.base, clean(path))
        if missing and not node.is_directory:
            raise InvalidInput(f"cannot copy to non-directory: /{node.path}")
        full = "/".join((node.path, *missing)).strip("/")
        wants_directory = selection.several or path.endswith(("/", "/."))
        if missing:
            is_directory = wants_directory
        else:
            is_directory = node.is_directory
            if wants_directory and not is_directory:
                raise InvalidInput(f"cannot copy to non-directory: /{full}")
        lone = selection.lone
        if lone is None or is_directory:
            if not missing and not is_directory:
                raise InvalidInput(f"cannot copy to non-directory: /{full}")
            return full
        lone.place = ""  # the destination is the file's own new name
        return full


class Owner:
    """Whom --chown names. Not given: root, or whoever it was in another image."""

    def __init__(self, chown: str, base: Tree) -> None:
        self.given = bool(chown)
        self.uid = self.gid = 0
        if not chown:
            return
        passwd, group = read_text(base, "etc/passwd"), read_text(base, "etc/group")
        try:
            found = find_identity(chown, passwd, group)
        except StartFailed as error:
            raise InvalidInput(error.message) from None
        user, _, its_group = chown.partition(":")
        self.uid = found.uid
        # Docker: without a group it is the user's number, whatever group the user is in.
        self.gid = found.gid if its_group else found.uid if user.isdigit() else found.gid


def write_items(
    directory: str,
    out: Callable[[bytes], object],
    items: Sequence[Item],
    destination: Destination,
    owner: Owner,
    *,
    chmod: str = "",
    keep_owners: bool = False,
    latest: int | None = None,
) -> int:
    """Fill `directory` and write the tarball; the bytes of file content."""
    now = int(time.time()) if latest is None else latest
    planned = _planned(items, destination)
    maker = LayerMaker(directory, out, destination.base, now=now, latest=latest)
    try:
        for path in sorted(planned):
            item = planned[path]
            about = _attributes(item, owner, chmod, keep_owners)
            if item.is_top:  # the destination itself: made like a parent if it is not there
                made = Attributes(0o755, owner.uid, owner.gid, now)
                about = _existing(destination.base, path) or made
            maker.parents(path, owner.uid, owner.gid)
            if item.node.is_directory:
                if path:
                    maker.directory(path, about)
            elif item.node.is_file:
                maker.file(path, about, item.tree, item.node, item.content)
                item.content = None
            else:
                target = item.tree.target(item.node) if item.node.is_link else ""
                maker.special(path, about, item.node, target)
        return maker.finish()
    finally:
        maker.close()


def _planned(items: Sequence[Item], destination: Destination) -> dict[str, Item]:
    """Each path with the last item that goes there, after making sure that it can."""
    planned: dict[str, Item] = {}
    for item in items:
        path = destination.path(item)
        before = planned.get(path)
        if before and before.node.is_directory != item.node.is_directory:
            raise _in_the_way(path, item)
        if before and item.is_top and not before.is_top:
            continue
        planned[path] = item
    for path, item in planned.items():
        _check_meaning(path, item)
    below = _Below(destination.base)
    checked = {""}
    for path, item in planned.items():
        parent = path.rpartition("/")[0]
        while parent not in checked:
            checked.add(parent)
            other = planned.get(parent)
            if other and not other.node.is_directory:
                raise InvalidInput(f"cannot copy to non-directory: /{parent}")
            if not other and (there := below.look(parent)) and not there.is_directory:
                raise InvalidInput(f"cannot copy to non-directory: /{parent}")
            parent = parent.rpartition("/")[0]
        here = below.look(path)
        if path and here and here.is_directory != item.node.is_directory:
            raise _in_the_way(path, item)
    return planned


def _check_meaning(path: str, item: Item) -> None:
    """In a layer two things mean that something is deleted. Who copies them means something else,
    and other engines would not see what is seen here."""
    status = item.node.status
    if path.rpartition("/")[2].startswith(".wh.") or is_whiteout(status):
        raise InvalidInput(f"cannot copy /{path}: in a layer that means a deletion")


def _in_the_way(path: str, item: Item) -> InvalidInput:
    if item.node.is_directory:
        return InvalidInput(f"cannot copy to non-directory: /{path}")
    return InvalidInput(f"cannot replace directory /{path} with file")


class _Below:
    """What is at plain paths of the image; what is below nothing is not looked for."""

    def __init__(self, base: Tree) -> None:
        self._base = base
        self._directories: dict[str, Node | None] = {"": base.root()}

    def look(self, path: str) -> Node | None:
        if not path:
            return self._directories[""]
        parent, _, name = path.rpartition("/")
        directory = self._directory(parent)
        return self._base.child(directory, name) if directory else None

    def _directory(self, path: str) -> Node | None:
        if path not in self._directories:
            node = self.look(path)
            self._directories[path] = node if node and node.is_directory else None
        return self._directories[path]


def _existing(base: Tree, path: str) -> Attributes | None:
    """What a directory of the image has."""
    from minidock.build.layer import attributes_of

    node, missing = resolve_as_far(base, path, follow=False)
    if missing or node.path != path or not node.is_directory:
        return None
    return attributes_of(node, base.xattrs(node))


def _attributes(item: Item, owner: Owner, chmod: str, keep_owners: bool) -> Attributes:
    s = item.node.status
    mode = stat.S_IMODE(s.st_mode)
    if chmod and not item.node.is_link:
        mode = changed_mode(mode, chmod, is_directory=item.node.is_directory)
    uid, gid = owner.uid, owner.gid
    if keep_owners and not owner.given:
        uid, gid = s.st_uid, s.st_gid
    return Attributes(mode, uid, gid, int(s.st_mtime), item.xattrs)


def total(lines: Sequence[str]) -> str:
    """One digest for all inputs."""
    return sha256("\n".join(lines).encode("utf-8", "surrogateescape")).hexdigest()


def file_name(path: str) -> str:
    """The last part of a path or URL."""
    return os.path.basename(path.rstrip("/"))
