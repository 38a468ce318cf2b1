"""--squash: all that a build has made as one layer.

What one layer wrote and a later one deleted is in neither then. The layers the stage began with
stay as they are; those on top are merged as overlayfs would show them, and where they delete
something of the layers below, the one layer does too.

See: filesystems/overlayfs.rst (whiteouts, opaque directories)
"""

from __future__ import annotations

import os
import stat

from minidock.image.pack import write_layer
from minidock.image.stack import Node, Stack, read_xattrs
from minidock.image.whiteout import OPAQUE_XATTR, is_opaque, is_whiteout
from minidock.spec.image import History

TYPE_CHECKING = False
if TYPE_CHECKING:
    from minidock.build.builder import Build
    from minidock.build.state import State

_PIECE = 1 << 20


def squashed(build: Build, state: State) -> State:
    """The same files in one new layer; the history tells what went into it."""
    new = len(state.diff_ids) - state.inherited
    if new < 2:
        return state
    layers = build.images.lowerdirs(state.image())
    tops, below = layers[:new], Stack(layers[new:])
    directory = build.workshop.directory()
    try:
        os.chmod(directory, stat.S_IMODE(os.stat(tops[0]).st_mode))
        _Merger(below).merge(list(tops), below.root(), directory)
    except BaseException:
        build.workshop.discard(directory)
        raise
    under = state.diff_ids[: state.inherited]
    layer = build.workshop.adopt(under, directory, lambda out: write_layer(directory, out))
    diff_ids = (*under, layer.diff_id) if layer else under
    layers_ = state.layers[: state.inherited]
    history = tuple(
        entry if number < _inherited_lines(state) else entry.but(empty_layer=True)
        for number, entry in enumerate(state.history)
    )
    comment = f"merge of {new} layers"
    merged = History(state.created, "", state.author, comment, empty_layer=layer is None)
    return state.but(
        diff_ids=diff_ids,
        layers=(*layers_, layer.descriptor) if layer else layers_,
        history=(*history, merged),
    )


def _inherited_lines(state: State) -> int:
    """How many lines of history belong to the layers that stay."""
    layers = 0
    for number, entry in enumerate(state.history):
        if layers == state.inherited and not entry.empty_layer:
            return number
        layers += not entry.empty_layer
    return len(state.history)


class _Merger:
    def __init__(self, below: Stack) -> None:
        self._below = below
        self._links: dict[tuple[int, int], str] = {}

    def merge(self, sources: list[str], beneath: Node | None, target: str) -> None:
        """Put into `target` what the directories `sources`, topmost first, show together.
        `beneath` is the directory of the layers below, None where there is none."""
        visible = []
        for source in sources:
            visible.append(source)
            if is_opaque(source):
                if beneath:
                    os.setxattr(target, OPAQUE_XATTR, b"y")
                    beneath = None
                break
        names = sorted({name for source in visible for name in os.listdir(source)})
        for name in names:
            self._merge_name(visible, name, beneath, f"{target}/{name}")
        top = os.stat(sources[0])
        os.utime(target, ns=(top.st_mtime_ns, top.st_mtime_ns))

    def _merge_name(self, sources: list[str], name: str, beneath: Node | None, target: str) -> None:
        lower = self._below.child(beneath, name) if beneath else None
        directories: list[str] = []
        for source in sources:
            path = f"{source}/{name}"
            try:
                status = os.lstat(path)
            except FileNotFoundError:
                continue
            if stat.S_ISDIR(status.st_mode):
                directories.append(path)
                if is_opaque(path):
                    break
                continue
            if directories:  # a directory on top of something else: nothing below it shows
                self._make_directory(directories, None, lower, target)
                return
            if not is_whiteout(status):
                self._copy(path, status, target)
            elif lower:
                os.mknod(target, stat.S_IFCHR, 0)
            return
        if directories:
            inner = lower if lower and lower.is_directory else None
            self._make_directory(directories, inner, lower, target)

    def _make_directory(
        self, directories: list[str], beneath: Node | None, lower: Node | None, target: str
    ) -> None:
        os.mkdir(target, 0o700)
        if beneath is None and lower and lower.is_directory:
            os.setxattr(target, OPAQUE_XATTR, b"y")
        status = os.stat(directories[0])
        os.chown(target, status.st_uid, status.st_gid)
        os.chmod(target, stat.S_IMODE(status.st_mode))
        for key, value in read_xattrs(directories[0]).items():
            os.setxattr(target, key, value)
        self.merge(directories, beneath, target)

    def _copy(self, source: str, status: os.stat_result, target: str) -> None:
        if status.st_nlink > 1 and not stat.S_ISDIR(status.st_mode):
            first = self._links.setdefault((status.st_dev, status.st_ino), target)
            if first is not target:
                os.link(first, target, follow_symlinks=False)
                return
        kind = stat.S_IFMT(status.st_mode)
        if kind == stat.S_IFLNK:
            os.symlink(os.readlink(source), target)
        elif kind == stat.S_IFREG:
            with open(source, "rb") as old, open(target, "xb") as new:
                while os.copy_file_range(old.fileno(), new.fileno(), _PIECE):
                    pass
        elif kind == stat.S_IFSOCK:
            return
        else:
            os.mknod(target, status.st_mode, status.st_rdev)
        os.chown(target, status.st_uid, status.st_gid, follow_symlinks=False)
        if kind != stat.S_IFLNK:
            os.chmod(target, stat.S_IMODE(status.st_mode))
        for key, value in read_xattrs(source).items():
            os.setxattr(target, key, value, follow_symlinks=False)
        times = (status.st_mtime_ns, status.st_mtime_ns)
        os.utime(target, ns=times, follow_symlinks=False)
