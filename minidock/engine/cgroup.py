"""Which cgroup is a container's: its directory bears the container's id, below `--cgroup-parent`.

See: isolation/cgroups/place.py
"""

from __future__ import annotations

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
    from minidock.isolation.cgroups.place import find_cgroup
    from minidock.linux.cgroupfs import read_cgroup_facts

    return find_cgroup(cgroups_path(container.host_config, container.id), read_cgroup_facts())
