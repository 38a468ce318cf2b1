"""Networks: a start on the default bridge, and how fast bytes pass.

Everything happens in a network namespace of the bench's own, with a neighbour on a cable: what the
engines do to devices, addresses and rules is gone with it, and nothing of this host's is in the
way. Docker's daemon runs in there; minidock and podman are started there for each command.

The bytes are iperf3's, whose server is put into the container's network namespace from outside, so
that the image need not have it. Measured is how long so many bytes take: less is better, and 0.95
of a peer's throughput is 1.05 of its time.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress

import commands
from disk import Disk
from measures import CONTAINER, IDLE, EngineBout, Measure
from peers import IMAGE, Docker, Engine, Minidock, Peer, Podman, Unavailable

NAMES = {"run-bridge", "run-port", "run-ports", "bytes-in", "bytes-among"}
_NAMES = ("minidock", "docker", "podman")
_PORT = 5201  # and one more for each of the others
_PORTS = 1_000
_OTHER = f"{CONTAINER}-other"
_TIME_OF = 1 / 0.95  # for a throughput of 0.95


class Place:
    """The two namespaces; `inside` is what a command is started with to be in the first."""

    near, far = "10.87.99.1", "10.87.99.2"

    def __init__(self) -> None:
        self.name, self.neighbour = f"bench{os.getpid()}", f"neighbour{os.getpid()}"
        self.inside = ("nsenter", f"--net=/run/netns/{self.name}")
        for name in (self.name, self.neighbour):
            _ip("netns", "add", name)
            _ip("-n", name, "link", "set", "lo", "up")
        peer = ("peer", "name", "up0", "netns", self.neighbour)
        _ip("-n", self.name, "link", "add", "up0", "type", "veth", *peer)
        for name, address in ((self.name, self.near), (self.neighbour, self.far)):
            _ip("-n", name, "addr", "add", f"{address}/24", "dev", "up0")
            _ip("-n", name, "link", "set", "up0", "up")
        _ip("-n", self.name, "route", "add", "default", "via", self.far)

    def remove(self) -> None:
        for name in (self.name, self.neighbour):
            with suppress(subprocess.CalledProcessError):
                _ip("netns", "del", name)


def _ip(*words: str) -> None:
    subprocess.run(("ip", *words), check=True, stderr=subprocess.DEVNULL)


class BridgedDocker(Docker):
    """One with a bridge, rules and a proxy: as it is installed."""

    network = ()

    def __init__(self, place: Place) -> None:
        super().__init__("docker-bridged", place.inside)


def start_engines(
    disk: Disk, place: Place, peers: Sequence[Peer], base: str, absent: dict[str, str]
) -> list[Engine]:
    """The engines, in there. Docker is another one, with a daemon of its own."""
    engines: list[Engine] = []
    for peer in peers:
        if isinstance(peer, Minidock | Podman):
            moved = type(peer).__new__(type(peer))
            moved.__dict__.update(peer.__dict__)
            moved.argv = (*place.inside, *peer.argv)
            engines.append(moved)
        elif isinstance(peer, Docker):
            docker = BridgedDocker(place)
            try:
                docker.start(disk)
                docker.load(base)
                engines.append(docker)
            except (Unavailable, commands.Failed) as error:
                absent["docker with a bridge"] = str(error)
    return engines


class BridgedRun(EngineBout):
    """From nothing to nothing, with a network that leads out."""

    def once(self) -> float:
        return self.engine.milliseconds("run", "--rm", IMAGE, "true")


class Published(EngineBout):
    """The same with a published port, while so many are published already."""

    def __init__(self, engine: Engine, there: int) -> None:
        super().__init__(engine)
        self.there = there

    def prepare(self) -> None:
        if self.there:
            # Each engine has its own: all of them are there at the same time.
            first = 20_000 + 2 * self.there * _NAMES.index(self.name)
            ports = ("-p", f"{first}-{first + self.there - 1}:1000-{1000 + self.there - 1}")
            self.engine.run("run", "-d", "--name", CONTAINER, *ports, IMAGE, *IDLE)

    def once(self) -> float:
        return self.engine.milliseconds("run", "--rm", "-p", "19999:80", IMAGE, "true")


class Bytes(EngineBout):
    """So many bytes to a container, from the neighbour through a published port."""

    def __init__(self, engine: Engine, place: Place, gigabytes: int) -> None:
        super().__init__(engine)
        self.place = place
        self.gigabytes = gigabytes
        self.port = _PORT + _NAMES.index(engine.name)
        self.server: subprocess.Popen[bytes] | None = None

    def prepare(self) -> None:
        ports = ("-p", f"{self.port}:{self.port}")
        self.engine.run("run", "-d", "--name", CONTAINER, *ports, IMAGE, *IDLE)
        words = (*self._inside(CONTAINER), "iperf3", "-s", "-p", str(self.port))
        self.server = subprocess.Popen(words, stdout=subprocess.DEVNULL)
        time.sleep(0.5)

    def once(self) -> float:
        client = ("nsenter", f"--net=/run/netns/{self.place.neighbour}")
        return self._send(client, self.place.near)

    def finish(self) -> None:
        if self.server:
            self.server.kill()
            self.server.wait()
        super().finish()

    def _send(self, client: Sequence[str], address: str) -> float:
        amount = ("-n", f"{self.gigabytes}G")
        words = (*client, "iperf3", "-c", address, "-p", str(self.port), *amount)
        return commands.milliseconds(words, env=commands.lean_environment())

    def _inside(self, name: str) -> tuple[str, str]:
        pid = self.engine.run("inspect", "--format", "{{.State.Pid}}", name).strip()
        return ("nsenter", f"--net=/proc/{pid}/ns/net")


class BytesAmong(Bytes):
    """So many bytes from one container to another."""

    def prepare(self) -> None:
        super().prepare()
        self.engine.run("run", "-d", "--name", _OTHER, IMAGE, *IDLE)

    def once(self) -> float:
        form = "{{.NetworkSettings.IPAddress}}"
        address = self.engine.run("inspect", "--format", form, CONTAINER).strip()
        return self._send(self._inside(_OTHER), address)

    def finish(self) -> None:
        with suppress(commands.Failed):
            self.engine.remove(_OTHER)
        super().finish()


def measures_of(place: Place, engines: Sequence[Engine], *, quick: bool) -> list[Measure]:
    """The lines about networks."""
    gigabytes, ports = (1, 50) if quick else (4, _PORTS)
    found = [
        Measure(
            "run-bridge",
            "run --rm IMG true on the default bridge",
            [BridgedRun(engine) for engine in engines],
            asked={"docker": 0.25, "podman": 0.40},
        ),
        Measure(
            "run-port",
            "run --rm -p 19999:80 IMG true",
            [Published(engine, 0) for engine in engines],
            asked={"docker": 0.25, "podman": 0.40},
        ),
        Measure(
            "run-ports",
            f"the same with {ports:,} ports published",
            [Published(engine, ports) for engine in engines if not isinstance(engine, Docker)],
            slow=True,
        ),
    ]
    if shutil.which("iperf3"):
        found += [
            Measure(
                "bytes-in",
                f"{gigabytes} GB through a published port",
                [Bytes(engine, place, gigabytes) for engine in engines],
                asked={"docker": _TIME_OF},
                slow=True,
            ),
            Measure(
                "bytes-among",
                f"{gigabytes} GB between two containers",
                [BytesAmong(engine, place, gigabytes) for engine in engines],
                asked={"docker": _TIME_OF},
                slow=True,
            ),
        ]
    return found
