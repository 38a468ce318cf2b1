"""Images on the move: pull from a registry, load and save of archives.

The registry is Debian's docker-registry on the loopback device, so that the network costs nothing
and what is left is the engines' own work. All engines pull the same repository, which minidock
pushed; all load the same archive.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

import commands
from disk import Disk
from measures import CommitTree, EngineBout, Measure
from peers import Engine, Minidock, Unavailable

STARTS_WITHIN = 20


class Registry:
    """A docker-registry of the bench's own. Raises Unavailable where there is none."""

    def __init__(self, disk: Disk) -> None:
        if not shutil.which("docker-registry"):
            raise Unavailable("docker-registry is not installed")
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.address = f"127.0.0.1:{probe.getsockname()[1]}"
        at = disk.directory("registry")
        with open(f"{at}/config.yml", "w") as file:
            file.write(
                "version: 0.1\nlog: {level: error}\n"
                f"storage: {{filesystem: {{rootdirectory: {at}/data}}}}\n"
                f"http: {{addr: {self.address}}}\n"
            )
        with open(f"{at}/log", "wb") as log:
            self._process = subprocess.Popen(
                ("setpriv", "--pdeathsig", "TERM", "docker-registry", "serve", f"{at}/config.yml"),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._wait()

    def _wait(self) -> None:
        host, _, port = self.address.partition(":")
        deadline = time.monotonic() + STARTS_WITHIN
        while True:
            try:
                socket.create_connection((host, int(port)), 1).close()
                return
            except OSError as error:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    raise Unavailable(f"docker-registry does not start: {error}") from error
            time.sleep(0.05)

    def stop(self) -> None:
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(STARTS_WITHIN)


@dataclass(frozen=True)
class Parcel:
    """One image in its three forms: in a registry, in an archive, in a packed archive."""

    words: str
    name: str
    plain: str
    """The files alone, as a tar."""
    archive: str
    packed: str
    small_files: bool


class Pull(EngineBout):
    """From a registry to an image that can be run."""

    def __init__(self, engine: Engine, name: str) -> None:
        super().__init__(engine)
        self.image = name

    def once(self) -> float:
        insecure = ("--tls-verify=false",) if self.name == "podman" else ()
        return self.engine.milliseconds("pull", "-q", *insecure, self.image)

    def tidy(self) -> None:
        self.engine.run("rmi", "-f", self.image)


class Load(Pull):
    """From an archive to an image that can be run."""

    def __init__(self, engine: Engine, name: str, archive: str) -> None:
        super().__init__(engine, name)
        self.archive = archive

    def once(self) -> float:
        return self.engine.milliseconds("load", "-q", "-i", self.archive)


class Save(Load):
    """From an image to an archive."""

    def prepare(self) -> None:
        self.engine.run("load", "-q", "-i", self.archive)

    def once(self) -> float:
        with suppress(FileNotFoundError):
            os.unlink(self._target)
        return self.engine.milliseconds("save", "-o", self._target, self.image)

    def tidy(self) -> None:
        os.unlink(self._target)

    def finish(self) -> None:
        with suppress(commands.Failed):
            self.engine.run("rmi", "-f", self.image)

    @property
    def _target(self) -> str:
        return f"{self.archive}.{self.name}"


def make_parcel(
    minidock: Minidock, registry: Registry, words: str, plain: str, packed: str, *, small: bool
) -> Parcel:
    """An image of the root tarball `plain`, whose gzip is `packed`, pushed and saved."""
    short = f"parcel-{'small' if small else 'large'}"
    name = f"{registry.address}/{short}"
    minidock.run("import", packed, name)
    minidock.run("push", "-q", name)
    minidock.run("rmi", name)
    minidock.run("import", plain, name)
    archive = f"{os.path.dirname(plain)}/{short}.tar"
    minidock.run("save", "-o", archive, name)
    minidock.run("rmi", name)
    commands.run(("gzip", "-1", "-k", archive), env=commands.lean_environment())
    return Parcel(words, name, plain, archive, f"{archive}.gz", small)


def measures_of(engines: Sequence[Engine], parcel: Parcel) -> list[Measure]:
    """The lines of the table for one parcel."""
    small = parcel.small_files
    prefix = "small-" if small else ""
    pull = {"docker": 0.8, "podman": 0.8} if small else {"docker": 0.35, "podman": 0.35}
    load = {"docker": 0.8, "podman": 0.8} if small else {"docker": 0.35, "podman": 0.5}
    found = [
        Measure(
            f"{prefix}pull",
            f"pull of {parcel.words} from a registry on loopback",
            [Pull(engine, parcel.name) for engine in engines],
            asked=pull,
            slow=True,
        ),
        Measure(
            f"{prefix}load",
            f"load of {parcel.words}",
            [Load(engine, parcel.name, parcel.archive) for engine in engines],
            asked=load,
            slow=True,
        ),
    ]
    if small:
        commit = Measure(
            "small-commit",
            f"commit of {parcel.words}",
            [CommitTree(engine, parcel.plain) for engine in engines],
            asked={"docker": 0.8, "podman": 0.8},
            slow=True,
        )
        return [*found, commit]
    return [
        *found,
        Measure(
            "load-gzip",
            f"load of {parcel.words}, the archive through gzip",
            [Load(engine, parcel.name, parcel.packed) for engine in engines],
            asked=load,
            slow=True,
        ),
        Measure(
            "save",
            f"save of {parcel.words}",
            [Save(engine, parcel.name, parcel.archive) for engine in engines],
            asked={"docker": 0.5, "podman": 0.5},
            slow=True,
        ),
    ]
