"""network connect and disconnect: a container's networks, changed after it was made.

One that does not run is only written down to be on other networks: container.json. In one that runs
the networks themselves change, too (running_networks.py). Whoever changes either holds a lock on
the container's directory meanwhile.

See: moby's daemon/container_operations.go (ConnectToNetwork, DisconnectFromNetwork)
"""

from __future__ import annotations

import fcntl
import os
import time

from minidock.engine.connection import wanted
from minidock.engine.containers import Container, Containers
from minidock.engine.holding import hold, lock_of
from minidock.engine.network_wishes import CONTAINER, check_endpoint
from minidock.engine.networks import HOST, NONE, Networks
from minidock.engine.running_networks import RunningNetworks
from minidock.engine.statefile import read_json, write_json
from minidock.errors import Conflict

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType
    from typing import Any

    from minidock.engine.containers import State
    from minidock.engine.networks import Network
    from minidock.engine.paths import Paths

    Document = dict[str, Any]

_PATIENCE = 10.0  # seconds for a start that is under way


def connect(paths: Paths, network_name: str, container_name: str, asked: Document) -> None:
    """Put a container on a network; `asked` is Docker's EndpointSettings. Raises `Conflict`,
    `NotFound` and `InvalidInput` in Docker's words, `OSError`; nothing is changed then."""
    container = Containers(paths).find(container_name)
    networks = Networks(paths)
    network = networks.find(network_name)
    _check_modes(container, network)
    check_endpoint(network, asked)
    with _Turn(container) as turn:
        document = turn.document
        state = turn.state()
        there = wanted(document)
        if state.running:
            running = turn.running(paths, state)
            if network.name in running.networks and network.name in there:
                raise Conflict(
                    f"endpoint with name {container.name} already exists in network {network.name}"
                )
            if network.name not in running.networks:
                running.connect(network, asked)
        turn.write({**document, "Networks": {**there, network.name: asked}})


def disconnect(paths: Paths, network_name: str, container_name: str) -> None:
    """The reverse."""
    networks = Networks(paths)
    network = networks.find(network_name)
    container = Containers(paths).find(container_name)
    if container.host_config["NetworkMode"] == HOST:
        raise Conflict(
            "container cannot be disconnected from host network or connected to host network"
        )
    with _Turn(container) as turn:
        document = turn.document
        state = turn.state()
        there = wanted(document)
        running = turn.running(paths, state) if state.running else None
        connected = running is not None and network.name in running.networks
        if network.name not in there and not connected:
            the = "" if running else "the "  # Docker has two places where it says so
            raise Conflict(
                f"container {container.id} is not connected to {the}network {network.name}"
            )
        if running and connected:
            running.disconnect(network)
        rest = {name: asked for name, asked in there.items() if name != network.name}
        turn.write({**document, "Networks": rest})


def _check_modes(container: Container, network: Network) -> None:
    mode = str(container.host_config["NetworkMode"])
    if network.driver == HOST:
        raise Conflict(
            "container cannot be disconnected from host network or connected to host network"
        )
    if mode == HOST or mode.startswith(CONTAINER):
        raise Conflict(
            "container sharing network namespace with another container or host cannot be "
            "connected to any other network"
        )
    if NONE in (network.name, mode):
        raise Conflict(
            "container cannot be connected to multiple networks with one of the networks in "
            "private (none) mode"
        )


class _Turn:
    """A container of which nobody else changes the networks, and which does not start meanwhile."""

    def __init__(self, container: Container) -> None:
        self._container = container
        self._fds: list[int] = []
        self.document: Document = {}

    def __enter__(self) -> _Turn:
        flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
        self._fds.append(os.open(self._container.directory, flags))
        fcntl.flock(self._fds[0], fcntl.LOCK_EX)
        self.document = read_json(self._path) or {}
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        where: TracebackType | None,
    ) -> None:
        for fd in self._fds:
            os.close(fd)

    @property
    def _path(self) -> str:
        return f"{self._container.directory}/container.json"

    def state(self) -> State:
        """What it does; where it does not run, it cannot be started before this is over."""
        deadline = time.monotonic() + _PATIENCE
        while True:
            state = self._container.state()
            if state.running:
                return state
            try:
                self._fds.append(hold(lock_of(self._container.directory)))
                return self._container.state()
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise Conflict(f"container {self._container.id} is being started") from None
                time.sleep(0.01)

    def running(self, paths: Paths, state: State) -> RunningNetworks:
        """The networks of the container, which runs."""
        found = RunningNetworks(paths, self._container, state, self.document)
        self._fds.append(found.namespace)
        return found

    def write(self, document: Document) -> None:
        write_json(self._path, document)
