"""What is told of volumes when a container begins and ceases to use them, in Docker's words.

See: events.py, moby's volume/mounts, daemon/volumes_unix.go
"""

from __future__ import annotations

from minidock.engine.events import emit
from minidock.engine.volumes import DRIVER

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def tell_of_mounts(run_root: str, document: dict[str, Any], action: str) -> None:
    """One event for each volume of a container.json; `action` is "mount" or "unmount"."""
    for point in document["MountPoints"]:
        if point["Type"] != "volume":
            continue
        about = {"container": str(document["Id"]), "driver": DRIVER}
        if action == "mount":
            about |= {
                "destination": point["Destination"],
                "propagation": point["Propagation"],
                "read/write": "true" if point["RW"] else "false",
            }
        emit(run_root, "volume", action, point["Name"], about)
