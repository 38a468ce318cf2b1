"""Builds: a RUN and a COPY of 2,000 files, cold and cached; 50,000 files of which one changed.

All of them build the same two contexts, with nothing from a registry and without a network. Docker
is asked for its classic builder, which every Docker has; podman builds as buildah does, and buildah
itself takes part with a store of its own.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from contextlib import suppress
from itertools import count

import commands
from disk import Disk
from measures import Bout, Measure
from peers import IMAGE, Docker, Minidock, Peer, Unavailable

BUILT = "bench-built"
FILES = 2_000
MANY = 50_000
_BUILD = ("build", "--network", "none", "-q", "-t", BUILT)


class Buildah(Peer):
    """buildah, with its own store on the bench's disk."""

    name = "buildah"

    def start(self, disk: Disk) -> None:
        if not shutil.which("buildah"):
            raise Unavailable("buildah is not installed")
        at, run = disk.directory("buildah"), disk.run_directory("buildah")
        self.argv = ("buildah", "--root", f"{at}/root", "--runroot", run)
        self.argv += ("--storage-driver", "overlay")
        self.version()

    def load(self, base: str) -> None:
        name = self.run("from", "scratch").strip()
        self.run("add", "-q", name, base, "/")
        self.run("commit", "-q", name, IMAGE)
        self.run("rm", name)

    def stop(self) -> None:
        with suppress(commands.Failed):
            self.run("rm", "--all")


def make_context(disk: Disk, name: str, files: int, dockerfile: str) -> str:
    """A directory with a Dockerfile and small files, a hundred in each directory; its path."""
    path = disk.directory(name)
    with open(f"{path}/Dockerfile", "w") as file:
        file.write(dockerfile)
    for number in range(files):
        directory = f"{path}/files/{number // 100:04d}"
        if number % 100 == 0:
            os.makedirs(directory)
        with open(f"{directory}/{number}.txt", "w") as file:
            file.write(f"file {number}\n" * 20)
    return path


class Build(Bout):
    """A build of a context; `flags` are the contestant's own."""

    def __init__(self, peer: Peer, context: str, *flags: str) -> None:
        super().__init__(peer.name)
        self.peer = peer
        self.words = (*_BUILD, *flags, context)
        if isinstance(peer, Docker):
            peer.env.setdefault("DOCKER_BUILDKIT", "0")
        if isinstance(peer, Buildah):
            self.words = (*_BUILD, "--layers", *flags, context)

    def once(self) -> float:
        return self.peer.milliseconds(*self.words)

    def finish(self) -> None:
        with suppress(commands.Failed):
            self.peer.run("rmi", "-f", BUILT)


class ColdBuild(Build):
    """As if it had never been built: minidock forgets what it knows of the files, too."""

    def __init__(self, peer: Peer, context: str) -> None:
        super().__init__(peer, context, "--no-cache")

    def tidy(self) -> None:
        self.peer.run("rmi", "-f", BUILT)
        if isinstance(self.peer, Minidock):
            self.peer.run("builder", "prune", "-af")


class CachedBuild(Build):
    """Nothing has changed."""

    def prepare(self) -> None:
        self.peer.run(*self.words)


class ChangedBuild(CachedBuild):
    """One file has."""

    def __init__(self, peer: Peer, context: str) -> None:
        super().__init__(peer, context)
        self._context = context
        self._numbers = count()

    def once(self) -> float:
        with open(f"{self._context}/files/0007/700.txt", "w") as file:
            file.write(f"{self.name} {next(self._numbers)}\n")
        return super().once()

    def tidy(self) -> None:
        self.peer.run(*(("rmi", "--prune") if self.name == "buildah" else ("image", "prune", "-f")))
        if isinstance(self.peer, Minidock):
            self.peer.run("builder", "prune", "-f")


def start_buildah(disk: Disk, base: str, absent: dict[str, str]) -> list[Peer]:
    """buildah, if it is here."""
    peer = Buildah()
    try:
        peer.start(disk)
        peer.load(base)
    except (Unavailable, commands.Failed) as error:
        absent[peer.name] = str(error)
        return []
    return [peer]


def measures_of(disk: Disk, builders: Sequence[Peer], *, quick: bool) -> list[Measure]:
    """The lines about builds."""
    share = 10 if quick else 1
    few, many = FILES // share, MANY // share
    small = make_context(
        disk, "context", few, f"FROM {IMAGE}\nRUN echo hi > /hi\nCOPY files /files\n"
    )
    large = make_context(disk, "contexts", many, f"FROM {IMAGE}\nCOPY files /files\n")
    what = f"build: a RUN and a COPY of {few:,} files"
    cold = {"docker": 0.35, "podman": 0.35, "buildah": 0.35}
    return [
        Measure("build-cold", f"{what}, cold", [ColdBuild(b, small) for b in builders], asked=cold),
        Measure(
            "build-cached",
            f"{what}, cached",
            [CachedBuild(b, small) for b in builders],
            asked={"docker": 0.35},
        ),
        Measure(
            "build-many-cached",
            f"build: a COPY of {many:,} files, cached",
            [CachedBuild(b, large) for b in builders],
            slow=True,
        ),
        Measure(
            "build-many-changed",
            f"build: a COPY of {many:,} files, one changed",
            [ChangedBuild(b, large) for b in builders],
            slow=True,
        ),
    ]
