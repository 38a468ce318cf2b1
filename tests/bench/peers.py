"""The contestants: how each engine is started, spoken to and stopped.

All of them understand the same words (`run`, `exec`, `commit` …), so a measure is written once and
an engine is little more than the words that come before: where its data lies, which daemon to ask.
Each has its data root on the bench's own disk and nothing anywhere else, so that a machine which
uses Docker or Podman for real work is neither disturbed nor measured.

Docker gets a daemon and a containerd of its own, without a bridge and without touching the
firewall. Podman and runc need no daemon. An engine that is not installed, or does not start, is an
`Unavailable` with the reason.

See: dockerd(8), containerd(8), podman(1), runc(8)
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress

import commands
from disk import Disk

IMAGE = "bench"
DAEMON_SECONDS = 30

# The limits podman sets by default are above what root may ask for on some machines. Locks in
# files: those in /dev/shm are shared with every other podman there is.
PODMAN_SETTINGS = """\
[containers]
default_ulimits = ["nofile=1024:1024", "nproc=4096:4096"]
[engine]
lock_type = "file"
cgroup_manager = "cgroupfs"
"""


class Unavailable(Exception):
    """This peer cannot take part; the message says why."""


class Peer:
    """One contestant: a name, the words before each command, and an environment.

    `cgroups` are the parents under which it puts its containers, and which it leaves behind.
    """

    name = ""
    cgroups: tuple[str, ...] = ()

    def __init__(self) -> None:
        self.argv: tuple[str, ...] = ()
        self.env = commands.lean_environment()

    def start(self, disk: Disk) -> None:
        """Get ready to take commands; raises Unavailable."""
        raise NotImplementedError

    def load(self, base: str) -> None:
        """Take the root tarball `base`, so that containers of it can be started; raises Failed."""
        raise NotImplementedError

    def remove_containers(self) -> None:
        """Remove every container there is, running or not; raises Failed."""
        raise NotImplementedError

    def stop(self) -> None:
        """End every process and container of this peer; never raises Failed."""
        if self.argv:
            with suppress(commands.Failed):
                self.remove_containers()

    def version(self) -> str:
        """One line."""
        return self.run("--version").splitlines()[0]

    def run(self, *words: str, stdin: str = os.devnull) -> str:
        """A command that is not measured: its standard output; raises Failed."""
        return commands.run((*self.argv, *words), env=self.env, stdin=stdin)

    def milliseconds(self, *words: str, stdin: str = os.devnull) -> float:
        """A command that is measured; raises Failed."""
        return commands.milliseconds((*self.argv, *words), env=self.env, stdin=stdin)

    def milliseconds_at_once(self, copies: int, *words: str) -> float:
        """The same command several times at the same time; raises Failed if one of them fails."""
        return commands.milliseconds_at_once((*self.argv, *words), copies, env=self.env)


class Engine(Peer):
    """What has images and containers and Docker's words for them."""

    def load(self, base: str) -> None:
        self.run("import", base, IMAGE)

    def remove(self, *containers: str) -> None:
        """Remove containers by name or id, running or not; raises Failed."""
        self.run(*self.removal(*containers))

    def removal(self, *containers: str) -> tuple[str, ...]:
        """The command for that."""
        return ("rm", "-f", *containers)

    def remove_containers(self) -> None:
        ids = self.run("ps", "-a", "-q").split()
        if ids:
            self.remove(*ids)


class Minidock(Engine):
    """minidock as installed, with its two roots on the bench's disk."""

    name = "minidock"
    cgroups = ("minidock",)

    def __init__(self, words: Sequence[str] | None, repository: str) -> None:
        """`words` start it; without any it is installed from `repository` for this run."""
        super().__init__()
        self.words: Sequence[str] = ()
        self._words = words
        self._repository = repository

    def start(self, disk: Disk) -> None:
        try:
            self.words = self._words or self._install(disk.directory("minidock", "prefix"))
            root = disk.directory("minidock", "root")
            run_root = disk.run_directory("md")
            self.argv = (*self.words, "--root", root, "--run-root", run_root)
            self.version()
        except commands.Failed as error:
            raise Unavailable(str(error)) from error

    def _install(self, prefix: str) -> Sequence[str]:
        """What users start is measured: compiled, with the launcher that an installation has."""
        install = ("make", "-s", "-C", self._repository, "install", f"PREFIX={prefix}")
        commands.run(install, env=os.environ)  # pip's settings are in there
        return (f"{prefix}/bin/minidock",)


class Docker(Engine):
    """The docker client, with a dockerd and a containerd of the bench's own."""

    name = "docker"
    cgroups = ("docker",)
    network = ("--bridge", "none", "--iptables=false", "--ip-forward=false", "--ip-masq=false")

    def __init__(self, place: str = "docker", inside: Sequence[str] = ()) -> None:
        """`inside` are the words that start its daemons somewhere else; `place` where its files
        lie."""
        super().__init__()
        self._place, self._inside = place, inside
        self._daemons: list[subprocess.Popen[bytes]] = []

    def start(self, disk: Disk) -> None:
        _need("docker", "dockerd", "containerd", "setpriv")
        at, run = disk.directory(self._place), disk.run_directory(self._place)
        containerd, docker = f"{run}/containerd.sock", f"{run}/docker.sock"
        # containerd's plugin for Kubernetes wants a network configuration and is of no use here.
        with open(f"{at}/containerd.toml", "w") as file:
            file.write('version = 2\ndisabled_plugins = ["io.containerd.grpc.v1.cri"]\n')
        with open(f"{at}/dockerd.json", "w") as file:
            file.write("{}\n")
        self.env["DOCKER_CONFIG"] = disk.directory(self._place, "client")
        self._daemon(
            f"{at}/containerd.log",
            *("containerd", "--config", f"{at}/containerd.toml", "--log-level", "warn"),
            *("--root", f"{at}/containerd", "--state", f"{run}/containerd"),
            *("--address", containerd),
        )
        self._wait_for(containerd, f"{at}/containerd.log")
        self._daemon(
            f"{at}/dockerd.log",
            *("dockerd", "--config-file", f"{at}/dockerd.json", "--log-level", "warn"),
            *("--data-root", f"{at}/data", "--exec-root", f"{run}/exec"),
            *("--pidfile", f"{run}/docker.pid", "--host", f"unix://{docker}"),
            *("--containerd", containerd, "--storage-driver", "overlay2"),
            *self.network,
        )
        self._wait_for(docker, f"{at}/dockerd.log")
        self.argv = ("docker", "--host", f"unix://{docker}")
        self._wait_for_answer()

    def version(self) -> str:
        server = self.run("version", "--format", "{{.Server.Version}}").strip()
        return f"{super().version()}; daemon {server}"

    def stop(self) -> None:
        super().stop()
        while self._daemons:  # the last one started is the first to go
            daemon = self._daemons.pop()
            daemon.send_signal(signal.SIGTERM)
            try:
                daemon.wait(DAEMON_SECONDS)
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait()

    def _daemon(self, log: str, *argv: str) -> None:
        with open(log, "wb") as out:
            self._daemons.append(
                subprocess.Popen(
                    # It ends with us, even if we are killed with SIGKILL. setpriv(1)
                    (*self._inside, "setpriv", "--pdeathsig", "TERM", "--", *argv),
                    env=self.env,
                    stdin=subprocess.DEVNULL,
                    stdout=out,
                    stderr=out,
                    start_new_session=True,  # Ctrl-C is for us; we stop the daemons in order
                )
            )

    def _wait_for(self, path: str, log: str) -> None:
        deadline = time.monotonic() + DAEMON_SECONDS
        while not os.path.exists(path):
            if self._daemons[-1].poll() is not None or time.monotonic() > deadline:
                with open(log, errors="replace") as file:
                    last = (file.read().splitlines() or ["no word in its log"])[-1]
                raise Unavailable(f"{os.path.basename(log)}: {last}")
            time.sleep(0.05)

    def _wait_for_answer(self) -> None:
        deadline = time.monotonic() + DAEMON_SECONDS
        while True:
            try:
                self.run("version")
                return
            except commands.Failed as error:
                if time.monotonic() > deadline:
                    raise Unavailable(str(error)) from error
            time.sleep(0.1)


class Podman(Engine):
    """podman with crun; its settings come from a file of the bench's own."""

    name = "podman"
    cgroups = ("libpod_parent",)

    def start(self, disk: Disk) -> None:
        _need("podman", "crun", "conmon")
        at, run = disk.directory("podman"), disk.run_directory("podman")
        with open(f"{at}/containers.conf", "w") as file:
            file.write(PODMAN_SETTINGS)
        self.env["CONTAINERS_CONF"] = f"{at}/containers.conf"
        self.argv = (
            *(
                "podman",
                "--root",
                f"{at}/root",
                "--runroot",
                f"{run}/run",
                "--tmpdir",
                f"{run}/tmp",
            ),
            *("--runtime", "crun", "--storage-driver", "overlay"),
        )
        try:
            self.run("ps")
        except commands.Failed as error:
            raise Unavailable(str(error)) from error

    def removal(self, *containers: str) -> tuple[str, ...]:
        # Otherwise it says SIGTERM first and waits 10 s, where Docker kills at once.
        return ("rm", "-f", "-t", "0", *containers)

    def version(self) -> str:
        crun = commands.run(("crun", "--version"), env=self.env).splitlines()[0]
        return f"{super().version()}; {crun}"


class Runtime(Peer):
    """An OCI runtime on a bundle: no image, no store, no log; what the runtime alone costs. All of
    them run the same bundle."""

    def program(self) -> Sequence[str]:
        """The words that start it; raises Unavailable."""
        _need(self.name)
        return (self.name,)

    def start(self, disk: Disk) -> None:
        self.bundle = disk.directory("bundle")
        self.argv = (*self.program(), "--root", disk.run_directory(self.name))
        self.version()

    def load(self, base: str) -> None:
        root = os.path.join(self.bundle, "rootfs")
        if os.path.isdir(root):
            return  # another one has made it
        os.mkdir(root)
        commands.run(("tar", "-xf", base, "-C", root), env=self.env)
        self.run("spec", "--bundle", self.bundle)

    def set_process(self, *args: str) -> None:
        """What the bundle runs from now on: `args`, without a terminal."""
        path = os.path.join(self.bundle, "config.json")
        with open(path) as file:
            spec = json.load(file)
        spec["process"]["terminal"] = False
        spec["process"]["args"] = list(args)
        with open(path, "w") as file:
            json.dump(spec, file)

    def remove_containers(self) -> None:
        for name in self.run("list", "-q").split():
            self.run("delete", "--force", name)


class Runc(Runtime):
    """What Docker and containerd use."""

    name = "runc"


class Crun(Runtime):
    """Podman's, which is written in C."""

    name = "crun"


class MinidockOci(Runtime):
    """minidock in their place."""

    name = "minidock-oci"
    cgroups = ("minidock",)

    def __init__(self, minidock: Minidock) -> None:
        """The same that `minidock` is, which must have been started."""
        super().__init__()
        self._minidock = minidock

    def program(self) -> Sequence[str]:
        words = self._minidock.words
        if not words:
            raise Unavailable("minidock is not available")
        installed = f"{words[0]}-oci"
        return (installed,) if os.path.exists(installed) else (*words, "oci")


def _need(*programs: str) -> None:
    for program in programs:
        if shutil.which(program) is None:
            raise Unavailable(f"{program} is not installed")
