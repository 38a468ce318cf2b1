"""What `RUN --mount=…` shows to a program, and what must not stay of it.

    bind     the context, a stage or an image. Of several layers an overlay of their directories at
             that path is made; a directory of the context is shown as it is, or copied first where
             .dockerignore hides a part of it. Writes go to a directory that is thrown away.
    cache    a directory of minidock's that stays from build to build
    tmpfs    memory
    secret   a file below the run root, which is in memory, for as long as the RUN lasts
    ssh      the socket of the agent

Where the image has not the path that is mounted over, something empty is made there: see stubs.py.

See: https://docs.docker.com/reference/dockerfile/#run---mount
"""

from __future__ import annotations

import os
import stat
from hashlib import sha256

from minidock.build.copy import Destination, Owner, fingerprints, write_items
from minidock.build.copying import layers_of
from minidock.build.directory import Directory
from minidock.build.secrets import PREFIX
from minidock.build.sources import clean, select
from minidock.build.stubs import Stubs
from minidock.errors import InvalidInput, NotFound
from minidock.image.blobs import unique_name
from minidock.image.stack import Stack, resolve
from minidock.linux.private import make_private
from minidock.spec.overlay import escape

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType
    from typing import Any, Self

    from minidock.build.builder import Build
    from minidock.build.instructions import Run, RunMount
    from minidock.build.stage import StageBuild
    from minidock.build.state import State

_SSH_TARGET = "/run/buildkit/ssh_agent.0"


def described_mounts(stage: StageBuild, run: Run) -> tuple[str, list[str]]:
    """The mounts for the cache's key, and a line for each file that a bind mount shows. What is in
    a cache or a secret makes no difference."""
    shown, lines = [], []
    for mount in run.mounts:
        fields = (
            mount.type,
            mount.target,
            mount.source,
            mount.id,
            mount.mode,
            mount.uid,
            mount.gid,
        )
        shown.append(" ".join(str(field) for field in (*fields, mount.read_only, mount.env)))
        if mount.type == "bind":
            lines += [f"{mount.target}/{line}" for line in _bound_files(stage, mount)]
    return "\n".join(shown), lines


def _bound_files(stage: StageBuild, mount: RunMount) -> list[str]:
    build = stage.build_
    if mount.from_:
        tree = Stack(layers_of(stage, mount.from_))
        items = select(tree, (mount.source or "/",)).items
        return fingerprints(items, build.hashes_of, owners=True)
    tree_ = build.context.tree()
    try:
        items = select(tree_, (mount.source or "/",)).items
        return fingerprints(items, build.hashes_of, owners=False)
    finally:
        if isinstance(tree_, Directory):
            tree_.__exit__(None, None, None)


class Prepared:
    """The mounts of one RUN, for `with`; afterwards nothing of them is left."""

    def __init__(self, stage: StageBuild, state: State) -> None:
        self.mounts: list[dict[str, Any]] = []
        self.environment: dict[str, str] = {}
        self._build: Build = stage.build_
        self._stage = stage
        self._working_directory = str(state.config.get("WorkingDir") or "/")
        self._temporaries: list[str] = []
        self._secrets = ""
        self._locks: list[int] = []
        self.stubs = Stubs(Stack(self._build.images.lowerdirs(state.image())))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        for path in self._temporaries:
            self._build.workshop.discard(path)
        if self._secrets:
            from minidock.engine.removal import remove_run_dir

            remove_run_dir(self._secrets)
        for fd in self._locks:
            os.close(fd)

    # ── adding ──

    def add(self, mount: RunMount) -> None:
        """Raises `InvalidInput`, `NotFound`, `OSError`."""
        {
            "bind": self._bind,
            "cache": self._cache,
            "tmpfs": self._tmpfs,
            "secret": self._secret,
            "ssh": self._ssh,
        }[mount.type](mount)

    def add_script(self, name: str, content: str) -> None:
        """A here-document that is a program, at /dev/pipes/NAME."""
        path = self._private_file(content.encode("utf-8", "surrogateescape"), 0o755, 0, 0)
        self._show(path, f"/dev/pipes/{name}", read_only=True)

    def _target(self, mount: RunMount, default: str = "") -> str:
        path = mount.target or default
        whole = path if path.startswith("/") else f"{self._working_directory}/{path}"
        return f"/{clean(whole)}"

    def _mount(self, target: str, kind: str, source: str, options: list[str]) -> None:
        entry = {"destination": target, "type": kind, "source": source, "options": options}
        self.mounts.append(entry)
        self.stubs.add(target)

    def _show(self, source: str, target: str, *, read_only: bool) -> None:
        access = "ro" if read_only else "rw"
        self._mount(target, "bind", source, ["rbind", "rprivate", access])

    def _new_directory(self) -> str:
        path = self._build.workshop.directory()
        self._temporaries.append(path)
        return path

    # ── bind ──

    def _bind(self, mount: RunMount) -> None:
        target = self._target(mount)
        if mount.from_:
            self._bind_layers(mount, target)
            return
        build = self._build
        if not build.context.path or build.context.ignore is not None:
            self._bind_copy(mount, target)
            return
        with Directory(build.context.path) as tree:
            node = resolve(tree, clean(mount.source))
            if node is None:
                raise NotFound(f'"/{clean(mount.source)}": not found')
            path = f"{build.context.path}/{node.path}".rstrip("/")
        self._bind_paths((path,), target, is_file=not node.is_directory, writable=_rw(mount))

    def _bind_layers(self, mount: RunMount, target: str) -> None:
        stack = Stack(layers_of(self._stage, mount.from_))
        node = resolve(stack, clean(mount.source))
        if node is None:
            raise NotFound(f'"/{clean(mount.source)}": not found')
        paths = node.where or (self._new_directory(),)
        self._bind_paths(paths, target, is_file=not node.is_directory, writable=_rw(mount))

    def _bind_paths(
        self, paths: tuple[str, ...], target: str, *, is_file: bool, writable: bool
    ) -> None:
        """Show directories on top of each other, or a file. What is written goes elsewhere."""
        if is_file:
            path = self._copied_file(paths[0]) if writable else paths[0]
            self._show(path, target, read_only=not writable)
            return
        if len(paths) == 1 and not writable:
            self._show(paths[0], target, read_only=True)
            return
        lower = "lowerdir=" + ":".join(escape(path) for path in paths)
        if not writable:
            self._mount(target, "overlay", "overlay", [lower, "ro"])
            return
        place = self._new_directory()
        top = os.stat(paths[0])
        for name in ("upper", "work"):
            os.mkdir(f"{place}/{name}", 0o755)
        os.chmod(f"{place}/upper", stat.S_IMODE(top.st_mode))
        os.chown(f"{place}/upper", top.st_uid, top.st_gid)
        upper = f"upperdir={escape(place)}/upper"
        options = [lower, upper, f"workdir={escape(place)}/work", "volatile"]
        self._mount(target, "overlay", "overlay", options)

    def _copied_file(self, path: str) -> str:
        with open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC), "rb") as file:
            content = file.read()
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
        return self._private_file(content, mode, 0, 0)

    def _bind_copy(self, mount: RunMount, target: str) -> None:
        """What of the context the build may see."""
        place = self._new_directory()
        tree = self._build.context.tree()
        try:
            selection = select(tree, (mount.source or "/",))
            fingerprints(selection.items, self._build.hashes_of, owners=False)
            into = Destination(Stack(()), "/file" if selection.lone else "/", selection, link=True)
            owner = Owner("", Stack(()))
            write_items(place, lambda data: None, selection.items, into, owner)
        finally:
            if isinstance(tree, Directory):
                tree.__exit__(None, None, None)
        path = f"{place}/file" if selection.lone else place
        lone = selection.lone is not None
        self._bind_paths((path,), target, is_file=lone, writable=_rw(mount))

    # ── cache, tmpfs ──

    def _cache(self, mount: RunMount) -> None:
        target = self._target(mount)
        identity = mount.id or target
        name = sha256(identity.encode("utf-8", "surrogateescape")).hexdigest()[:32]
        home = f"{self._build.cache.home}/caches"
        make_private(home)
        path = self._cache_directory(f"{home}/{name}", mount)
        self._show(path, target, read_only=mount.read_only and mount.sharing != "")

    def _cache_directory(self, path: str, mount: RunMount) -> str:
        """Shared by all; `locked`: one RUN at a time; `private`: another directory while it is
        used."""
        import fcntl

        number = 0
        while True:
            candidate = f"{path}.{number}" if number else path
            lock = os.open(f"{candidate}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                if mount.sharing == "shared":
                    fcntl.flock(lock, fcntl.LOCK_SH)
                elif mount.sharing == "locked":
                    self._wait_for(lock)
                else:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                os.close(lock)
                number += 1
            except BaseException:
                os.close(lock)
                raise
        self._locks.append(lock)
        if not os.path.isdir(candidate):
            self._fill_cache(candidate, mount)
        return candidate

    def _wait_for(self, lock: int) -> None:
        import fcntl
        from time import sleep

        while True:
            self._build.check()
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except BlockingIOError:
                sleep(0.05)

    def _fill_cache(self, path: str, mount: RunMount) -> None:
        """New: empty, or with what `from` has at `source`."""
        place = self._build.workshop.directory()
        if mount.from_:
            tree = Stack(layers_of(self._stage, mount.from_))
            selection = select(tree, (mount.source or "/",))
            fingerprints(selection.items, self._build.hashes_of, owners=True)
            into = Destination(Stack(()), "/", selection, link=True)
            owner = Owner("", Stack(()))
            write_items(place, lambda data: None, selection.items, into, owner, keep_owners=True)
        os.chown(place, mount.uid or 0, mount.gid or 0)
        os.chmod(place, 0o755 if mount.mode is None else mount.mode)
        os.rename(place, path)

    def _tmpfs(self, mount: RunMount) -> None:
        options = ["nosuid", "nodev"]
        if mount.size is not None:
            options.append(f"size={mount.size}")
        self._mount(self._target(mount), "tmpfs", "tmpfs", options)

    # ── secret, ssh ──

    def _secret(self, mount: RunMount) -> None:
        identity = mount.id or os.path.basename(mount.target)
        secret = next((s for s in self._build.options.secrets if s.id == identity), None)
        if secret is None:
            if mount.required:
                raise InvalidInput(f"secret {identity}: not found")
            return
        if secret.path:
            with open(secret.path, "rb") as file:
                content = file.read(500 << 10 | 1)
            if len(content) > 500 << 10:
                raise InvalidInput(f"secret {identity}: larger than 500 KiB")
        else:
            content = os.environb.get(os.fsencode(secret.variable), b"")
        if mount.env:
            self.environment[mount.env] = content.decode("utf-8", "surrogateescape")
            if not mount.target:
                return
        mode = 0o400 if mount.mode is None else mount.mode
        path = self._private_file(content, mode, mount.uid or 0, mount.gid or 0)
        self._show(path, self._target(mount, f"/run/secrets/{identity}"), read_only=True)

    def _ssh(self, mount: RunMount) -> None:
        identity = mount.id or "default"
        socket = dict(self._build.options.ssh).get(identity, "")
        if not socket:
            if mount.required:
                raise InvalidInput(
                    f"unset ssh forward key {identity}: no --ssh {identity} was given"
                )
            return
        target = self._target(mount, _SSH_TARGET)
        self._show(socket, target, read_only=False)
        self.environment.setdefault("SSH_AUTH_SOCK", target)

    def _private_file(self, content: bytes, mode: int, uid: int, gid: int) -> str:
        """A file that is in memory where the run root is."""
        if not self._secrets:
            self._secrets = f"{self._build.paths.run_root}/{PREFIX}{unique_name()}"
            make_private(self._secrets)
        path = f"{self._secrets}/{os.urandom(6).hex()}"
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with open(fd, "wb") as file:
            file.write(content)
            file.flush()
            os.fchown(fd, uid, gid)
            os.fchmod(fd, mode)
        return path


def _rw(mount: RunMount) -> bool:
    return not mount.read_only


def prepared(stage: StageBuild, state: State, run: Run) -> Prepared:
    """The mounts of a RUN."""
    found = Prepared(stage, state)
    try:
        for mount in run.mounts:
            found.add(mount)
        if run.script:
            found.add_script(run.script.name, run.script.content)
    except BaseException:
        found.__exit__(None, None, None)
        raise
    return found
