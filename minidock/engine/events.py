"""events: what has happened to containers, images, networks and volumes, told as it happens.

Docker's daemon does everything, so it can tell everything. Here each command and each monitor does
its own part, and there is nobody to report to; so all of them append to one file, a line of JSON
for each event, in the shape of Docker's API:

    {"Type":"container","Action":"die","Actor":{"ID":"48cf…","Attributes":{"exitCode":"0",…}},
     "scope":"local","time":1764000000,"timeNano":1764000000123456789}

The kernel writes an O_APPEND write(2) to a file in one piece, behind whatever others have written,
so no lock is needed. The file lies below the run root, since the events of before a boot are
nobody's business any more; and it is bounded: at 512 KiB it becomes the *older* file, in place of
the one before it, and a new one begins. `event_log.py` reads the two.

Telling must never be in the way of doing: a full disk loses events, not containers.

See: write(2) and open(2) on O_APPEND, Docker's daemon/events, api/types/events
"""

from __future__ import annotations

import fcntl
import os
import time

from minidock.spec.lean_json import dumps

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from minidock.engine.containers import Container

MAX_BYTES = 512 << 10  # of one file: a thousand events and more, where Docker keeps 256
_OPEN = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC


def log_of(run_root: str) -> str:
    """The file that events are appended to."""
    return f"{run_root}/events/log"


def older_of(run_root: str) -> str:
    """The file that was full before it."""
    return f"{run_root}/events/older"


def emit(run_root: str, kind: str, action: str, actor: str, attributes: Mapping[str, str]) -> None:
    """Tell of one event. Never raises `OSError`.

    `kind` is "container", "image", "network" or "volume"; `action` Docker's verb ("create", "die",
    "exec_start: sh -c true"); `actor` the id of what it happened to, for a volume its name;
    `attributes` what Docker adds, in text.

        emit(paths.run_root, "volume", "create", "db", {"driver": "local"})
    """
    when = time.time_ns()
    event = {
        "Type": kind,
        "Action": action,
        "Actor": {"ID": actor, "Attributes": dict(attributes)},
        "scope": "local",
        "time": when // 10**9,
        "timeNano": when,
    }
    line = dumps(event).encode() + b"\n"
    try:
        fd = _open(run_root)
        try:
            os.write(fd, line)
            if os.lseek(fd, 0, os.SEEK_CUR) > MAX_BYTES:
                _begin_anew(run_root, fd)
        finally:
            os.close(fd)
    except OSError:
        pass


def tell(container: Container, action: str, **more: str) -> None:
    """Tell of a container, as `emit_of` does."""
    emit_of(os.path.dirname(container.run_dir), container.document, action, **more)


def emit_of(run_root: str, document: Mapping[str, Any], action: str, **more: str) -> None:
    """Tell of a container; `document` is its container.json. Its image, name and labels are always
    among the attributes, as in Docker."""
    known = {**(document["Config"].get("Labels") or {}), **more}
    known |= {"image": str(document["Config"]["Image"]), "name": str(document["Name"])}
    emit(run_root, "container", action, str(document["Id"]), known)


def _open(run_root: str) -> int:
    path = log_of(run_root)
    try:
        return os.open(path, _OPEN, 0o600)
    except FileNotFoundError:
        from minidock.linux.private import make_private

        make_private(os.path.dirname(path))
        return os.open(path, _OPEN, 0o600)


def _begin_anew(run_root: str, fd: int) -> None:
    """Make the full file, which `fd` is, the older one; once, however many see it full at once."""
    path = log_of(run_root)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.path.samestat(os.stat(path), os.fstat(fd)):
            os.rename(path, older_of(run_root))
    except BlockingIOError:
        pass  # somebody is at it
