"""Which cgroup is a container's: its directory bears the container's id, below `--cgroup-parent`.

See: isolation/cgroups/place.py
"""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from minidock.engine.containers import Container
    from minidock.isolation.cgroups.place import Cgroup


def cgroups_path(config: dict[str, Any], container_id: str) -> str:
    """From a hierarchy's root on, for a container with this HostConfig. No `..` leads above it."""
    parts: list[str] = []
    for part in str(config.get("CgroupParent") or "minidock").split("/"):
        if part == "..":
            parts = parts[:-1]
        elif part not in ("", "."):
            parts.append(part)
    return "/" + "/".join((*parts, container_id))


def cgroup_of(container: Container) -> Cgroup:
    """Everywhere it may lie on this host. Raises `StartFailed` where there are no cgroups."""
    return _find(container.host_config, container.id)


def _find(config: dict[str, Any], container_id: str) -> Cgroup:
    from minidock.isolation.cgroups.place import find_cgroup
    from minidock.linux.cgroupfs import read_cgroup_facts

    return find_cgroup(cgroups_path(config, container_id), read_cgroup_facts())


def kill_rest(directory: str) -> None:
    """End what outlived the init of the container in `directory`, where that was not the first
    process of a PID namespace of its own: then the kernel does not."""
    from minidock.engine.statefile import read_json
    from minidock.isolation.cgroups.processes import kill

    document = read_json(f"{directory}/container.json")
    if document and document["HostConfig"].get("PidMode"):
        kill(_find(document["HostConfig"], os.path.basename(directory)))
