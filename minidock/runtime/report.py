"""state and list: a container as the OCI runtime describes it to others.

See: https://github.com/opencontainers/runtime-spec/blob/main/runtime.md#state
"""

from __future__ import annotations

import os

from minidock.errors import InvalidInput, NotFound
from minidock.runtime.lifecycle import status
from minidock.runtime.state import OCI_VERSION, StateDirectory, containers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from minidock.runtime.state import ContainerState


def describe(home: StateDirectory, state: ContainerState) -> dict[str, Any]:
    """The state of the specification, with runc's additions (rootfs, created, owner)."""
    found = status(home, state)
    document: dict[str, Any] = {
        "ociVersion": OCI_VERSION,
        "id": home.id,
        "pid": 0 if found == "stopped" else state.pid,
        "status": found,
        "bundle": state.bundle,
        "rootfs": state.rootfs,
        "created": state.created,
    }
    if state.annotations:
        document["annotations"] = dict(state.annotations)
    return {**document, "owner": ""}


def describe_one(root: str, container_id: str) -> dict[str, Any]:
    """Raises `NotFound`."""
    home = StateDirectory(root, container_id)
    return describe(home, home.load())


def describe_all(root: str) -> list[dict[str, Any]]:
    """Every container; one that goes away meanwhile is left out."""
    found = []
    for home in containers(root):
        try:
            document = describe(home, home.load())
            document["owner"] = _owner(os.stat(home.path).st_uid)
        except (NotFound, InvalidInput, FileNotFoundError):
            continue
        found.append(document)
    return found


def _owner(uid: int) -> str:
    if uid == 0:
        return "root"
    import pwd

    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"#{uid}"
