"""COPY, ADD and WORKDIR as steps.

See: sources.py (what), copy.py (where to), layer.py (how)
"""

from __future__ import annotations

import os
import stat
import time

from minidock.build.cache import INPUTS, INSTRUCTION
from minidock.build.chmod import check_mode
from minidock.build.context import is_remote, refuse_git
from minidock.build.copy import Destination, Owner, fingerprints, total, write_items
from minidock.build.directory import Directory
from minidock.build.dockerignore import Ignore
from minidock.build.errors import did_you_mean
from minidock.build.history import created_by
from minidock.build.instructions import Add, Copy
from minidock.build.layer import LayerMaker
from minidock.build.sources import Item, Selection, clean, select
from minidock.errors import InvalidInput, MinidockError, NotFound
from minidock.image.stack import Node, Stack, resolve

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from minidock.build.builder import Build
    from minidock.build.instructions import Heredoc, Workdir
    from minidock.build.stage import StageBuild, Step
    from minidock.build.state import State
    from minidock.image.mutate import NewLayer
    from minidock.image.stack import Tree


def do_copy(stage: StageBuild, state: State, instruction: Copy | Add) -> State:
    """COPY or ADD, expanded."""
    stage.await_stages((instruction.from_,) if isinstance(instruction, Copy) else ())
    step = stage.begin(instruction)
    if instruction.chmod:
        check_mode(instruction.chmod)
    open_trees: list[Directory] = []
    temporaries: list[str] = []
    try:
        tree, foreign = _source_tree(stage, instruction, open_trees)
        with_gifts = _Gathered(stage.build_, open_trees, temporaries)
        selection = with_gifts.select(tree, instruction)
        return _as_step(stage, state, step, instruction, selection, with_gifts, foreign)
    finally:
        for opened in open_trees:
            opened.__exit__(None, None, None)
        for path in temporaries:
            stage.build_.workshop.discard(path)


def _source_tree(
    stage: StageBuild, instruction: Copy | Add, open_trees: list[Directory]
) -> tuple[Tree, bool]:
    """What it copies from, and whether that is another image, whose owners are kept."""
    build = stage.build_
    name = instruction.from_ if isinstance(instruction, Copy) else ""
    if name:
        return tree_of(stage, name), True
    tree = build.context.tree()
    if isinstance(tree, Directory):
        open_trees.append(tree)
    return tree, False


def tree_of(stage: StageBuild, name: str) -> Stack:
    """The files of a stage or an image, as `--from` names it."""
    return Stack(layers_of(stage, name))


def layers_of(stage: StageBuild, name: str) -> tuple[str, ...]:
    """The directories of its layers, topmost first."""
    build = stage.build_
    number = build.find_stage(name, stage.number)
    if number is not None:
        return build.images.lowerdirs(build.stage(number).image())
    if name == "scratch":
        return ()
    _refuse_what_is_below(stage, name)
    try:
        return build.images.lowerdirs(stage.find_image(name, build.platform))
    except MinidockError as error:  # perhaps no image was meant
        names = [above.name for above in build.stages[: stage.number] if above.name]
        error.message += did_you_mean(name, names)
        raise


def _refuse_what_is_below(stage: StageBuild, name: str) -> None:
    """A stage can take from those above it; its own name, or a later one's, means no image."""
    names = [other.name for other in stage.build_.stages[stage.number :]]
    if name.lower() == names[0]:
        raise InvalidInput(f"circular dependency detected on stage: {name}")
    if name.lower() in names:
        raise InvalidInput(f'stage "{name}" stands below: --from can name those above')


class _Gathered:
    """Beside the tree: here-documents, archives that were unpacked, and downloads."""

    def __init__(self, build: Build, open_trees: list[Directory], temporaries: list[str]) -> None:
        self._build = build
        self._open_trees = open_trees
        self._temporaries = temporaries
        self.archives: list[Item] = []  # to be unpacked
        self.documents: list[tuple[str, bytes]] = []

    def select(self, tree: Tree, instruction: Copy | Add) -> Selection:
        """All sources together."""
        paths = [s for s in instruction.sources if not (_is_add(instruction) and is_remote(s))]
        urls = [s for s in instruction.sources if s not in paths]
        for source in instruction.sources:
            if _is_add(instruction):
                refuse_git(source)
            elif is_remote(source):
                raise InvalidInput("source can't be a URL for COPY")
        if getattr(instruction, "checksum", ""):
            if len(instruction.sources) + len(instruction.heredocs) != 1:
                raise InvalidInput("checksum can't be specified for multiple sources")
            if not urls:
                raise InvalidInput("checksum can't be specified for non-HTTP(S) sources")
        exclude = Ignore(instruction.exclude)
        excluded = (lambda path, _: exclude.excludes(path)) if exclude else None
        parents = isinstance(instruction, Copy) and instruction.parents
        found = select(tree, paths, parents=parents, excluded=excluded)
        items, lone = found.items, found.lone
        for url in urls:
            lone = self._download(url, instruction)
            items.append(lone)
        for document in instruction.heredocs:
            lone = self._document(document)
            items.append(lone)
        several = len(instruction.sources) + len(instruction.heredocs) > 1
        if isinstance(instruction, Add):
            self._find_archives(items, instruction, set(urls))
        if len(items) != 1 or self.archives:
            lone = None
        return Selection(items, lone, several=several)

    def _tree(self, path: str) -> Directory:
        tree = Directory(path)
        self._open_trees.append(tree)
        return tree

    def _document(self, document: Heredoc) -> Item:
        item = _made_up(document.name, document.content.encode("utf-8", "surrogateescape"))
        self.documents.append((item.place, item.content or b""))
        return item

    def _download(self, url: str, instruction: Copy | Add) -> Item:
        from minidock.build.download import download

        checksum = instruction.checksum if isinstance(instruction, Add) else ""
        fetched = download(self._build.cache.home, url, checksum)
        tree = self._tree(fetched.directory)
        node = resolve(tree, fetched.file, follow=False)
        if node is None:
            raise NotFound(f"{url}: not found")
        item = Item(tree, _with(node, stat.S_IFREG | 0o600, fetched.mtime), fetched.name)
        item.name = fetched.name
        return item

    def _find_archives(self, items: list[Item], add: Add, urls: set[str]) -> None:
        """Local archives are unpacked unless told otherwise; those of a URL only if told to."""
        from minidock.build.archives import is_archive

        if add.unpack is False:
            return
        downloaded = {item.place for item in items if item.node.path.startswith("sha256-")}
        for item in list(items):
            # What lies inside a directory that is copied is a file like any other.
            if "/" in item.place or not item.node.is_file or not item.name:
                continue
            if item.place in downloaded and not add.unpack:
                continue
            if is_archive(item.tree, item.node):
                self.archives.append(item)

    def unpacked(self, item: Item) -> list[Item]:
        """The content of an archive, as a directory that is copied."""
        from minidock.build.archives import unpack_archive

        directory = self._build.workshop.directory()
        self._temporaries.append(directory)
        unpack_archive(item.tree, item.node, directory)
        tree = self._tree(directory)
        found = select(tree, ("/",)).items
        for part in found:
            if not part.node.is_link:
                part.xattrs = tree.xattrs(part.node)
        return found


def _is_add(instruction: Copy | Add) -> bool:
    return isinstance(instruction, Add)


def _with(node: Node, mode: int, mtime: int) -> Node:
    """The same file with another mode and time."""
    s = node.status
    values = list(s)
    values[0], values[8] = mode, mtime
    extra = {
        "st_mtime_ns": mtime * 10**9, "st_ctime_ns": s.st_ctime_ns, "st_mtime": mtime,
        "st_atime_ns": s.st_atime_ns, "st_ctime": s.st_ctime, "st_atime": s.st_atime,
        "st_rdev": s.st_rdev, "st_blocks": s.st_blocks, "st_blksize": s.st_blksize,
    }  # fmt: skip
    return Node(node.path, os.stat_result(values, extra), node.where)


def _made_up(name: str, content: bytes) -> Item:
    """A file that is in no tree."""
    status = os.stat_result((stat.S_IFREG | 0o644, 0, 0, 1, 0, 0, len(content), 0, 0, 0))
    item = Item(Stack(()), Node(name, status), name)
    item.name = name
    item.content = content
    return item


def _as_step(
    stage: StageBuild,
    state: State,
    step: Step,
    instruction: Copy | Add,
    selection: Selection,
    gathered: _Gathered,
    foreign: bool,
) -> State:
    build = stage.build_
    link = instruction.link
    named = {item.place for item in selection.items if item.content is not None}
    real = [item for item in selection.items if item.place not in named or item.content is None]
    lines = fingerprints(real, build.hashes_of, owners=foreign and not instruction.chown)
    lines += [
        f"{place}\0f644\0\0{content.decode('utf-8', 'surrogateescape')}\0"
        for place, content in gathered.documents
    ]
    text = created_by(instruction, state.config)
    where = state.config.get("WorkingDir") or "/"
    parts = {
        INSTRUCTION: text,
        "WORKDIR": where,
        "flags": _flags(instruction),
        INPUTS: total(lines),
    }

    def make(step: Step) -> NewLayer | None:
        base = Stack(build.images.lowerdirs(state.image()))
        items = selection.items
        if gathered.archives:
            items = [item for item in items if item not in gathered.archives]
            for archive in gathered.archives:
                items += gathered.unpacked(archive)
            selection.several = True
        path = _destination(where, instruction.destination)
        destination = Destination(base, path, selection, link=link)
        owner = Owner(instruction.chown, base)
        directory = build.workshop.directory()

        def write(out: Callable[[bytes], object]) -> int:
            return write_items(
                directory,
                out,
                items,
                destination,
                owner,
                chmod=instruction.chmod,
                keep_owners=foreign or bool(gathered.archives),
                latest=build.options.epoch,
            )

        return build.workshop.adopt(state.diff_ids, directory, write)

    return stage.step(state, step, parts, text, make, inputs=lines, independent=link)


def _flags(instruction: Copy | Add) -> str:
    """Those that history does not show. Not `--from`: what it has is among the inputs."""
    names = ("parents", "exclude", "checksum", "unpack")
    given = ((name, getattr(instruction, name, None)) for name in names)
    return " ".join(f"--{name}={value}" for name, value in given if value not in (None, "", ()))


def _destination(working_directory: str, destination: str) -> str:
    """Absolute; a slash at the end stays, because it means something."""
    path = destination if destination.startswith("/") else f"{working_directory}/{destination}"
    slash = "/" if destination.endswith(("/", "/.")) or destination == "." else ""
    return f"/{clean(path)}{slash}" if clean(path) else "/"


# ── WORKDIR ──


def do_workdir(stage: StageBuild, state: State, instruction: Workdir) -> State:
    """Make the directory where it is missing, for the user of that moment; `state` has it in its
    config already."""
    build = stage.build_
    path = str(state.config.get("WorkingDir") or "/")
    text = created_by(instruction.but(path=path), state.config)
    step = stage.begin(instruction)

    def make(step: Step) -> NewLayer | None:
        base = Stack(build.images.lowerdirs(state.image()))
        there = resolve(base, clean(path))
        if there is not None:
            if not there.is_directory:
                raise InvalidInput(f"cannot make the directory {path}: something is there")
            return None
        return _make_directory(build, state, base, path)

    return stage.step(state, step, {INSTRUCTION: text}, text, make)


def _make_directory(build: Build, state: State, base: Stack, path: str) -> NewLayer | None:
    from minidock.image.stack import resolve_as_far

    node, missing = resolve_as_far(base, clean(path))
    if not node.is_directory:
        raise InvalidInput(f"cannot make the directory {path}: /{node.path} is not a directory")
    full = "/".join((node.path, *missing)).strip("/")
    directory = build.workshop.directory()
    epoch = build.options.epoch
    now = int(time.time()) if epoch is None else epoch
    owner = Owner(str(state.config.get("User") or ""), base)

    def write(out: Callable[[bytes], object]) -> int:
        maker = LayerMaker(directory, out, base, now=now, latest=epoch)
        try:
            maker.parents(f"{full}/", owner.uid, owner.gid)
            return maker.finish()
        finally:
            maker.close()

    return build.workshop.adopt(state.diff_ids, directory, write)
