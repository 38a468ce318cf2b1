"""What can only be known when a container starts, put into its bundle then.

config.json is written when the container is made, and most of it holds for good. Some of what a
user asks for does not: which number a device's path stands for, what is in the host's /dev, which
process another container is. At each start the launcher, or whoever explains a start, has that
filled in, in memory; the file stays as it is. (`bundle.known_late` says which containers need it.)

See: sharing.py, devices.py, limits.py, mount_sources.py
"""

from __future__ import annotations

import os

from minidock.engine.containers import Containers
from minidock.engine.devices import given_binds, given_nodes, given_rules
from minidock.engine.disconnect import JOINED
from minidock.engine.limits import block_device_limits
from minidock.engine.mount_point import mount_points
from minidock.engine.mount_sources import prepare_sources, with_addresses
from minidock.engine.paths import Paths
from minidock.engine.sharing import open_shared
from minidock.engine.statefile import read_json
from minidock.runtime.manner import MONITORED

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from minidock.engine.containers import Container
    from minidock.runtime.manner import Manner

    Config = dict[str, Any]
    Load = Callable[[str], Container | None]


def settle(document: Config, directory: str, run_root: str) -> tuple[Config, Manner]:
    """The config.json that lies in `directory`, filled in for a start below `run_root`, and how to
    start it.

    Descriptors of namespaces stay open in this process. Raises `MinidockError` in Docker's words.
    """
    container = read_json(f"{directory}/container.json") or {}
    paths = Paths(os.path.dirname(os.path.dirname(directory)), run_root)
    if container.get("MountPoints"):
        prepare_sources(mount_points(container), paths.root)
    found = settle_for(document, container["HostConfig"], Containers(paths).load)
    mode = container["HostConfig"]["NetworkMode"]
    if mode.startswith("container:"):
        _say_joined(paths.run_dir(mode.partition(":")[2]), os.path.basename(directory))
    return found


def _say_joined(run_dir: str, container_id: str) -> None:
    """Tell the monitor of the container whose network is shared, see disconnect.py."""
    try:
        os.close(os.open(f"{run_dir}/{JOINED}{container_id}", os.O_CREAT | os.O_CLOEXEC, 0o600))
    except FileNotFoundError:
        pass  # it has just ended


def settle_for(document: Config, config: Config, load: Load) -> tuple[Config, Manner]:
    """The same where container.json is not written: `config` is its HostConfig."""
    linux = document["linux"]
    nodes = {node["path"]: node for node in linux["devices"]}
    mounts = with_addresses(document["mounts"])
    if config["UsernsMode"] == "auto":
        binds = given_binds(config)
        mounts = mounts + [bind for bind in binds if bind["destination"] not in nodes]
    else:
        nodes |= {node["path"]: node for node in given_nodes(config)}
    resources = dict(linux["resources"])
    rules = given_rules(config)
    resources["devices"] = rules if config.get("Privileged") else resources["devices"] + rules
    block_io = {**resources.get("blockIO", {}), **block_device_limits(config)}
    if block_io:
        resources["blockIO"] = block_io
    paths = open_shared(config, load)
    namespaces = [
        {**entry, "path": paths[entry["type"]]} if entry["type"] in paths else entry
        for entry in linux["namespaces"]
    ]
    settled = {"devices": list(nodes.values()), "resources": resources, "namespaces": namespaces}
    manner = MONITORED.but(shared_memory=paths.get("mnt", ""))
    return {**document, "mounts": mounts, "linux": {**linux, **settled}}, manner
