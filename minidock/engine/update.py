"""update: other limits for a container, at once where it runs, and for its next start.

First the kernel is told, and if it agrees, container.json and config.json are written: what
`inspect` shows is what holds.

See: moby's container/container_unix.go (UpdateContainer), isolation/cgroups/limits.py
"""

from __future__ import annotations

from minidock.engine.events import tell
from minidock.engine.limits import resources
from minidock.engine.pause import Locked
from minidock.engine.statefile import read_json, write_json
from minidock.errors import Conflict, MinidockError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from minidock.engine.containers import Container

    Config = dict[str, Any]

_MEMORY_FIRST = (
    "Memory limit should be smaller than already set memoryswap limit, "
    "update the memoryswap at the same time"
)


def update(container: Container, changes: Config) -> None:
    """Set the fields of HostConfig that `changes` has, which `check_limits` has seen.

    Raises `Conflict` and others, in Docker's words; then nothing has changed.
    """
    try:
        with Locked(container):
            _update(container, changes)
    except (MinidockError, OSError) as error:
        why = error.message if isinstance(error, MinidockError) else str(error)
        raise Conflict(f"Cannot update container {container.id}: {why}") from error
    tell(container, "update")


def _update(container: Container, changes: Config) -> None:
    document = read_json(f"{container.directory}/container.json") or container.document
    config = document["HostConfig"]
    _check_conflicts(config, changes)
    limits = {key: value for key, value in changes.items() if key != "RestartPolicy"}
    if limits and container.state().running:
        _tell_kernel(container, limits)
    config = {**config, **changes}
    if config.get("PidsLimit", 0) < 0:
        config["PidsLimit"] = 0
    bundle = read_json(f"{container.directory}/config.json")
    if bundle and limits:
        devices = bundle["linux"]["resources"]["devices"]
        bundle["linux"]["resources"] = {"devices": devices, **resources(config)}
        write_json(f"{container.directory}/config.json", bundle)
    write_json(f"{container.directory}/container.json", {**document, "HostConfig": config})


def _check_conflicts(config: Config, changes: Config) -> None:
    """Half a processor is a quota by another name: one of them at a time."""
    conflict = "Conflicting options: "
    for field, name in (("CpuPeriod", "CPU Period"), ("CpuQuota", "CPU Quota")):
        if changes.get("NanoCpus", 0) > 0 and config.get(field, 0) > 0:
            why = f"Nano CPUs cannot be updated as {name} has already been set"
            raise Conflict(conflict + why)
        if changes.get(field, 0) > 0 and config.get("NanoCpus", 0) > 0:
            why = f"{name} cannot be updated as NanoCPUs has already been set"
            raise Conflict(conflict + why)
    memory = changes.get("Memory", 0)
    if memory > config.get("MemorySwap", 0) and "MemorySwap" not in changes and memory:
        raise Conflict(_MEMORY_FIRST)
    policy = changes.get("RestartPolicy", {"Name": "no"})["Name"]
    if config.get("AutoRemove") and policy != "no":
        raise Conflict(
            "Restart policy cannot be updated because AutoRemove is enabled for the container"
        )


def _tell_kernel(container: Container, limits: Config) -> None:
    from minidock.engine.cgroup import cgroup_of
    from minidock.isolation.cgroups.limits import update as update_cgroup
    from minidock.spec.config_fields import ConfigFields
    from minidock.spec.resources import parse_resources

    wanted = parse_resources(ConfigFields(resources(limits), "update", "resources"))
    update_cgroup(cgroup_of(container), wanted)
