"""What a monitor tells of an end: that of its container, or of a process executed in it.

Imported when there is an end to tell of, so that a monitor beside a running container does not
carry it.

See: events.py
"""

from __future__ import annotations

import os

from minidock.engine.events import emit_of
from minidock.engine.removal import remove_container_files
from minidock.engine.statefile import read_json

TYPE_CHECKING = False
if TYPE_CHECKING:
    from minidock.engine.monitor_order import Order


def tell_of_end(order: Order, code: int, seconds: float, *, oom_killed: bool = False) -> None:
    """Tell that init, or the process of an `exec`, has ended with `code` after so many seconds."""
    document = read_json(f"{order.directory}/container.json")
    if document is None:
        return  # removed meanwhile
    if "x" in order:
        run_root = os.path.dirname(os.path.dirname(order.run_dir))
        exec_id = os.path.basename(order.run_dir)[len("exec-") : -len(".json")]
        emit_of(run_root, document, "exec_die", execID=exec_id, exitCode=str(code))
        return
    run_root = os.path.dirname(order.run_dir)
    if oom_killed:
        emit_of(run_root, document, "oom")
    emit_of(run_root, document, "die", execDuration=str(int(seconds)), exitCode=str(code))
    if document.get("MountPoints"):
        from minidock.engine.volume_events import tell_of_mounts

        tell_of_mounts(run_root, document, "unmount")


def tell_of_kill(order: Order) -> None:
    """Tell that the kernel killed a process of the container for want of memory."""
    document = read_json(f"{order.directory}/container.json")
    if document:
        emit_of(os.path.dirname(order.run_dir), document, "oom")


def remove_files(order: Order) -> None:
    """`--rm`: the container's files go, and that is told."""
    document = read_json(f"{order.directory}/container.json")
    run_root = os.path.dirname(order.run_dir)
    remove_container_files(order.directory, run_root)
    if document:
        emit_of(run_root, document, "destroy")
