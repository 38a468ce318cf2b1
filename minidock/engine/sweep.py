"""What a SIGKILL left lying about, removed by the next command that makes a container.

There is no daemon to clean up after a command or a monitor that died in the middle. What they leave
is inert (the kernel has taken mounts, namespaces and processes) but takes space:

- a directory without container.json: a `create` that did not finish. Who is creating one holds a
  shared lock on the directory of all containers, so where that can be had for oneself alone,
  nobody is;
- a directory named `….removing`: a removal that did not finish;
- a run directory whose monitor has died (nobody holds the container's lock), with cgroups;
- a container run with `--rm` that has ended without anybody to remove it, or one of a build that
  was killed before it could start it.

Whoever cleans up after a monitor holds its lock meanwhile.
"""

from __future__ import annotations

import fcntl
import os

from minidock.engine.holding import hold, is_held, lock_of
from minidock.engine.removal import remove_container_files, remove_run_dir
from minidock.linux.host import start_time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from minidock.engine.containers import Container, Containers
    from minidock.engine.paths import Paths

MARKER = "auto-remove"  # a file beside container.json: cheaper to find than to parse
_DOOMED = ".removing"
_OPEN_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


def creating(paths: Paths) -> int:
    """Say that a container is being made, until the descriptor is closed. Raises `OSError`."""
    fd = os.open(paths.containers, _OPEN_DIRECTORY)
    fcntl.flock(fd, fcntl.LOCK_SH)
    return fd


def sweep(paths: Paths, containers: Containers) -> None:
    """Remove leftovers. What cannot be removed stays for the next time."""
    try:
        names = os.listdir(paths.containers)
    except FileNotFoundError:
        return
    half_made = []
    for name in names:
        path = paths.container(name)
        if name.endswith(_DOOMED):
            _try_to_remove(path.removesuffix(_DOOMED), paths.run_root)
        elif not os.path.exists(f"{path}/container.json"):
            half_made.append(path)
        elif os.path.exists(f"{path}/{MARKER}") and not is_held(lock_of(path)):
            _remove_if_over(containers, name)
    if half_made:
        _remove_half_made(paths, half_made)
    for name in os.listdir(paths.run_root):
        if len(name) == 64 and not is_held(lock_of(paths.container(name))):
            _clean_up_after_monitor(paths, containers, name)


def _try_to_remove(directory: str, run_root: str) -> None:
    try:
        remove_container_files(directory, run_root)
    except OSError:
        pass


def _remove_half_made(paths: Paths, directories: list[str]) -> None:
    fd = os.open(paths.containers, _OPEN_DIRECTORY)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        for directory in directories:
            if not os.path.exists(f"{directory}/container.json"):  # it may be whole by now
                _try_to_remove(directory, paths.run_root)
    except BlockingIOError:
        pass  # somebody is at it
    finally:
        os.close(fd)


def maker_mark() -> bytes:
    """What the marker says of a container that is nothing without the process that makes it."""
    return b"%d %d" % (os.getpid(), start_time(os.getpid()))


def _maker_is_gone(container: Container) -> bool:
    """Whether a container that was never started never will be."""
    try:
        with open(f"{container.directory}/{MARKER}", "rb") as file:
            pid, ticks = map(int, file.read(100).split())
    except (OSError, ValueError):
        return False
    return start_time(pid) != ticks


def _remove_if_over(containers: Containers, container_id: str) -> None:
    container = containers.load(container_id)
    if not container:
        return
    status = container.state().status
    if status == "exited" or (status == "created" and _maker_is_gone(container)):
        from minidock.engine.lifecycle import remove

        try:
            remove(container, force=False)
        except OSError:
            pass


def _clean_up_after_monitor(paths: Paths, containers: Containers, container_id: str) -> None:
    from minidock.engine.lifecycle import sweep as sweep_container

    container = containers.load(container_id)
    try:
        if container is None:
            from minidock.isolation.cgroups.common import remove_cgroups

            if remove_cgroups(container_id):
                remove_run_dir(paths.run_dir(container_id))
            return
        lock = hold(lock_of(container.directory))
    except OSError:
        return  # removed meanwhile, or it has a monitor again
    try:
        if not container.state().running and sweep_container(container):
            remove_run_dir(container.run_dir)
    except OSError:
        pass
    finally:
        os.close(lock)
