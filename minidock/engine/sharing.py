"""Namespaces that a container does not have for itself: the host's, or another container's.

`--pid host` is simple: no such namespace is made. `--pid container:web` is not, because what is
joined is that of a *process*, and which process `web` is, is known when the container starts, anew
at each start. So config.json says that there is such a namespace; which one, the launcher finds out
and fills in (settle.py).

A PID alone would be a trap: between reading it and opening /proc/<pid>/ns the process may end, and
its number go to any process of the host. So the namespace is opened first, and then the process is
asked whether it still is the one that was meant; what is kept is the descriptor.

See: namespaces(7), setns(2), moby's api/types/container/hostconfig.go
"""

from __future__ import annotations

import os

from minidock.errors import Conflict, InvalidInput
from minidock.linux.host import start_time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from minidock.engine.containers import Container

    Config = dict[str, Any]

_CONTAINER = "container:"
_IPC_MODES = ("", "none", "private", "shareable", "host")


def check_modes(config: Config, find: Callable[[str], Container]) -> None:
    """Replace names of containers by ids. Raises `InvalidInput`, `NotFound` in Docker's words."""
    ipc = config.get("IpcMode", "")
    if ipc not in _IPC_MODES and not ipc.startswith(_CONTAINER):
        raise InvalidInput(f"invalid IPC mode: {ipc}")
    for key in ("IpcMode", "PidMode"):
        if config.get(key, "").startswith(_CONTAINER):
            other = find(config[key].removeprefix(_CONTAINER))
            config[key] = _CONTAINER + other.id


def open_shared(config: Config, load: Callable[[str], Container | None]) -> dict[str, str]:
    """Paths of the namespaces to join, by kind: of descriptors that this process now holds, and
    hands on to what it forks. With "ipc" comes "mnt", where the shared memory lies.

    Raises `Conflict` in Docker's words where there is none to join.
    """
    found: dict[str, str] = {}
    modes = (
        (config["NetworkMode"], ("net",)),
        (config["PidMode"], ("pid",)),
        (config["IpcMode"], ("ipc", "mnt")),
    )
    for mode, kinds in modes:
        if mode.startswith(_CONTAINER):
            container_id = mode.removeprefix(_CONTAINER)
            found |= _open(kinds, container_id, load(container_id))
    return found


def _open(kinds: Sequence[str], container_id: str, other: Container | None) -> dict[str, str]:
    before = f"can't join IPC of container {container_id}: " if "ipc" in kinds else ""
    if "net" in kinds and not (other and other.state().running):
        why = "cannot join network namespace of a non running container"
        raise Conflict(f"{why}: {container_id}" if other else f"No such container: {container_id}")
    if other is None:
        raise Conflict(f"{before}No such container: {container_id}")
    state = other.state()
    if not state.running:
        raise Conflict(f"{before}container {container_id} is not running")
    if "ipc" in kinds and other.host_config.get("IpcMode") != "shareable":
        raise Conflict(
            f"{before}non-shareable IPC (hint: use IpcMode:shareable for the donor container)"
        )
    flags = os.O_RDONLY | os.O_CLOEXEC
    fds = [os.open(f"/proc/{state.pid}/ns/{kind}", flags) for kind in kinds]
    if start_time(state.pid) != state.start_time:
        raise Conflict(f"{before}container {container_id} is not running")
    names = ("network" if kind == "net" else kind for kind in kinds)  # as config.json calls them
    return {name: f"/proc/self/fd/{fd}" for name, fd in zip(names, fds, strict=True)}
