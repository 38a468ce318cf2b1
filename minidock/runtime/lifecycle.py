"""start, kill, delete: what an OCI runtime does with a container, one function each. (How it comes
to be is in creation.py.)

Nobody of ours stays between two of them. `create` ends when init waits at its fifo, and by then
init has become the child of whoever called us and declared itself a subreaper; what the next
command must know is in the state directory (state.py).

                 create              start              (ends)              delete
    (nothing) ──────────► created ──────────► running ──────────► stopped ──────────► (nothing)

A `create` that is killed at any moment leaves at most a directory, a cgroup, and an init that waits
or dies with its socket: `delete --force` removes all of them. So the directory is made first and
removed last, and init's PID is in state.json before init is let go.

See: https://github.com/opencontainers/runtime-spec/blob/main/runtime.md
"""

from __future__ import annotations

import errno
import os
import time

from minidock.errors import Conflict, NotFound, StartFailed
from minidock.isolation.cgroups import common as cgroups
from minidock.linux import signals as signal
from minidock.linux.cgroupfs import read_cgroup_facts
from minidock.linux.host import start_time
from minidock.runtime.state import ContainerState, StateDirectory, hook_state

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from minidock.spec.runtime import Spec

    Warn = Callable[[str], object]

_DEATH = 10.0  # seconds that a killed init may take to be gone


def run_hooks(point: str, spec: Spec, state: ContainerState, pid: int, warn: Warn) -> None:
    """Those after the start, or after the end."""
    from minidock.linux.kernel import LinuxKernel
    from minidock.runtime.hooks import run_after

    run_after(point, spec, hook_state(state), pid, LinuxKernel(), warn)


def start(root: str, container_id: str, warn: Warn) -> None:
    """Let a created container's program run. Raises `NotFound`, `Conflict`."""
    home = StateDirectory(root, container_id)
    home.load()
    with home.lock():
        state = home.load()
        found = status(home, state)
        if found == "created":
            _release(home)
            if "poststart" in state.late_hooks:
                from minidock.runtime.bundle import stored_spec

                run_hooks("poststart", stored_spec(home, state), state, state.pid, warn)
        elif found == "stopped":
            raise Conflict("cannot start a container that has stopped")
        else:
            raise Conflict("cannot start an already running container")


def _release(home: StateDirectory) -> None:
    """Write the byte that init waits for. The fifo's absence then says: started."""
    try:
        fd = os.open(home.fifo, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        if error.errno != errno.ENXIO:
            raise
        # Nobody reads: an earlier `start` got as far as the byte, and died.
        os.unlink(home.fifo)
        raise Conflict("cannot start an already running container") from None
    try:
        os.write(fd, b"\0")
    finally:
        os.close(fd)
    os.unlink(home.fifo)


def status(home: StateDirectory, state: ContainerState) -> str:
    """creating, created, running, paused or stopped."""
    if not state.pid:
        return "creating" if home.busy() else "stopped"
    if not state.alive():
        return "stopped"
    if home.waits():
        return "created"
    cgroup = find_cgroup(state)
    try:
        paused = cgroup is not None and cgroups.is_frozen(cgroup)
    except OSError:
        paused = False
    return "paused" if paused else "running"


def kill(root: str, container_id: str, signum: int, *, everything: bool = False) -> None:
    """Send a signal to init, or to all processes. Raises `NotFound`, `Conflict`."""
    home = StateDirectory(root, container_id)
    state = home.load()
    if everything:
        cgroup = find_cgroup(state)
        pids = cgroups.processes(cgroup) if cgroup else ()
        if pids and signum == signal.SIGKILL and cgroup:
            cgroups.kill(cgroup, _DEATH)
            return
        for pid in pids:
            _signal(pid, signum)
        return
    if not state.alive() or not _signal_init(state, signum):
        raise Conflict("container not running")


def _signal_init(state: ContainerState, signum: int) -> bool:
    """Through a pidfd: the number could belong to somebody else a moment later."""
    try:
        pidfd = os.pidfd_open(state.pid)
    except ProcessLookupError:
        return False
    try:
        if start_time(state.pid) != state.start_time:
            return False
        signal.pidfd_send_signal(pidfd, signum)
    except ProcessLookupError:
        return False
    finally:
        os.close(pidfd)
    return True


def _signal(pid: int, signum: int) -> None:
    try:
        os.kill(pid, signum)
    except ProcessLookupError:
        pass


def delete(root: str, container_id: str, warn: Warn, *, force: bool = False) -> None:
    """Remove what is left of a container; with `force`, also one that runs. Raises `NotFound` (not
    with `force`), `Conflict`."""
    home = StateDirectory(root, container_id)
    try:
        with home.lock():
            _delete(home, warn, force=force)
    except NotFound:
        if not force:
            raise


def _delete(home: StateDirectory, warn: Warn, *, force: bool) -> None:
    try:
        state = home.load()
    except NotFound:
        home.remove()  # a `create` that was killed before it had a state
        return
    found = status(home, state) if state.pid else "stopped"
    if found not in ("stopped", "created") and not force:
        words = f"cannot delete container {home.id} that is not stopped: {found}"
        raise Conflict(words)
    end(state)
    if "poststop" not in state.late_hooks or not state.pid:
        home.remove()
        return
    from minidock.runtime.bundle import stored_spec

    spec = stored_spec(home, state)
    home.remove()
    run_hooks("poststop", spec, state, 0, warn)


def end(state: ContainerState) -> None:
    """Kill what there is of a container, and remove its cgroup. Raises `Conflict` where that does
    not succeed in time."""
    cgroup = find_cgroup(state)
    if not state.pid:
        # Whatever was begun has ended with the command that began it. Who is in that cgroup all the
        # same is somebody else: that may be why the command failed.
        if cgroup:
            cgroups.remove(cgroup)
        return
    if state.alive():
        _signal_init(state, signal.SIGKILL)
    if cgroup:
        cgroups.kill(cgroup, _DEATH)
        if not cgroups.remove(cgroup):
            raise Conflict(f"cannot remove the cgroup of container {state.id}: it is still busy")
    _await_death(state)


def _await_death(state: ContainerState) -> None:
    deadline = time.monotonic() + _DEATH
    while state.alive():
        if time.monotonic() > deadline:
            raise Conflict(f"container {state.id} does not die: its init is process {state.pid}")
        time.sleep(0.001)


def running_cgroup(root: str, container_id: str) -> cgroups.Cgroup:
    """The cgroup of a container that can be changed. Raises `NotFound`, `Conflict`."""
    state = StateDirectory(root, container_id).load()
    cgroup = find_cgroup(state) if state.alive() else None
    if cgroup is None:
        raise Conflict("container not running")
    return cgroup


def find_cgroup(state: ContainerState) -> cgroups.Cgroup | None:
    """Where the container's cgroup is, or None where no hierarchy is mounted any more."""
    try:
        return cgroups.find_cgroup(state.cgroups_path, read_cgroup_facts())
    except StartFailed:
        return None
