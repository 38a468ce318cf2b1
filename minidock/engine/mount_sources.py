"""What is asked of the host's directories when a container starts, and not before.

A directory that `-v` names is made if it is missing; one that is to be connected with the host's
mounts has to lie on a mount that can be; a server's name has to become an address, since the kernel
asks no DNS. All of that may be otherwise at the next start. (settle.py)

See: mount_namespaces(7), proc_pid_mountinfo(5), moby's daemon/oci_linux.go (ensureShared)
"""

from __future__ import annotations

import os

from minidock.engine.mount_entries import SHARED, SLAVE
from minidock.errors import InvalidInput

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from minidock.engine.mount_point import MountPoint

_NETWORK = ("nfs", "nfs4", "cifs", "smb3")


def known_late(points: Sequence[dict[str, Any]]) -> bool:
    """Whether something has to be looked at when a container with these `MountPoints` starts."""
    return any(
        point.get("MakeSource")
        or point["Propagation"] in SHARED + SLAVE
        or (point.get("Options") or {}).get("type") in _NETWORK
        for point in points
    )


def prepare_sources(points: Sequence[MountPoint], root: str) -> None:
    """Make the host's directories that are missing, and see that the others are what is asked for.

    Raises `InvalidInput` in Docker's words.
    """
    for point in points:
        if point.make_source and not os.path.exists(point.source):
            _make(point.source)
        if point.kind == "bind":
            _check_connection(point, root)


def _make(path: str) -> None:
    try:
        os.makedirs(path, 0o755)
    except FileExistsError:
        pass  # somebody was faster, or it is a link to nothing: the mount will say so
    except OSError as error:
        why = f"mkdir {error.filename}: {str(error.strerror).lower()}"
        raise InvalidInput(f"error while creating mount source path '{path}': {why}") from error


def _check_connection(point: MountPoint, root: str) -> None:
    if point.propagation not in SHARED + SLAVE:
        return
    source = os.path.realpath(point.source)
    place, tags = _mount_of(source)
    shared = any(tag.startswith("shared:") for tag in tags)
    connected = shared or any(tag.startswith("master:") for tag in tags)
    kinds = "shared mount"
    if point.propagation in SLAVE:
        kinds = "shared or slave mount"
        # One that holds our own state is a slave without having been asked for it: mount_plan.py
        shared = connected or lies_in(source, root) or lies_in(root, source)
    if not shared:
        raise InvalidInput(
            f"path {point.source} is mounted on {place} but it is not a {kinds}",
            hint=f"See mount_namespaces(7); `mount --make-shared {place}` makes it one.",
        )


def lies_in(path: str, directory: str) -> bool:
    """Whether an absolute path is the directory, or in it."""
    return path == directory or path.startswith(directory.rstrip("/") + "/")


def _mount_of(path: str) -> tuple[str, list[str]]:
    """Where the mount that holds a path is mounted, and its optional fields."""
    best: tuple[str, list[str]] = "", []
    for place, tags in host_mounts():
        if lies_in(path, place) and len(place) >= len(best[0]):  # a later one covers an earlier one
            best = place, tags
    return best


def host_mounts() -> list[tuple[str, list[str]]]:
    """Where something is mounted on the host, and the optional fields of each."""
    with open("/proc/self/mountinfo", "rb") as file:
        lines = file.read().decode("utf-8", "surrogateescape").split("\n")
    rows = [line.split(" ") for line in lines if line]
    return [(_unescaped(fields[4]), fields[6 : fields.index("-")]) for fields in rows]


def _unescaped(text: str) -> str:
    for code, char in (("040", " "), ("011", "\t"), ("012", "\n"), ("134", "\\")):
        text = text.replace(f"\\{code}", char)
    return text


def with_addresses(mounts: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The entries of config.json with the names of servers replaced. Raises `InvalidInput`."""
    return [_with_address(entry) if entry["type"] in _NETWORK else entry for entry in mounts]


def _with_address(entry: dict[str, Any]) -> dict[str, Any]:
    words = []
    for word in entry["options"]:
        key, _, value = word.partition("=")
        words.append(f"addr={_address(value)}" if key == "addr" else word)
    return {**entry, "options": words}


def _address(name: str) -> str:
    import socket

    try:
        return str(socket.getaddrinfo(name, None)[0][4][0])
    except OSError as error:
        raise InvalidInput(
            f"error resolving passed in network volume address: {name}: {error.strerror}"
        ) from error
