"""What a SIGKILL left lying about, removed by the next command that makes a container.

There is no daemon to clean up after a command or a monitor that died in the middle. What they leave
is inert (the kernel has taken mounts, namespaces and processes) but takes space:

- a directory without container.json: a `create` that did not finish;
- a directory named `….removing`: a removal that did not finish;
- a container run with `--rm` that has ended without anybody to remove it.
"""

from __future__ import annotations

import os
import time

from minidock.engine.removal import remove_container_files, remove_tree

TYPE_CHECKING = False
if TYPE_CHECKING:
    from minidock.engine.containers import Containers
    from minidock.engine.paths import Paths

MARKER = "auto-remove"  # an empty file beside container.json: cheaper to find than to parse
_UNFINISHED_AFTER = 300  # seconds; a `create` takes milliseconds
_STARTING_FOR = 60


def sweep(paths: Paths, containers: Containers) -> None:
    """Remove leftovers. What cannot be removed stays for the next time."""
    try:
        entries = list(os.scandir(paths.containers))
    except FileNotFoundError:
        return
    for entry in entries:
        try:
            _sweep_one(entry, containers)
        except OSError:
            continue


def _sweep_one(entry: os.DirEntry[str], containers: Containers) -> None:
    if entry.name.endswith(".removing"):
        remove_tree(entry.path.removesuffix(".removing"))
    elif not os.path.exists(f"{entry.path}/container.json"):
        if _age(entry) > _UNFINISHED_AFTER:
            remove_container_files(entry.path)
    elif os.path.exists(f"{entry.path}/{MARKER}") and _age(entry) > _STARTING_FOR:
        container = containers.load(entry.name)
        if container and container.state().status == "exited":
            from minidock.engine.lifecycle import remove

            remove(container, force=False)


def _age(entry: os.DirEntry[str]) -> float:
    return time.time() - entry.stat(follow_symlinks=False).st_mtime
