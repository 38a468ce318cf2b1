"""The later life of a container: stop, kill, wait, remove.

A container is signalled through a pidfd that was checked against its start time, so a PID that the
kernel gave to somebody else meanwhile is never hit.

See: pidfd_open(2), pidfd_send_signal(2), signal(7)
"""

from __future__ import annotations

import os
import select
import time

from minidock.engine import frames
from minidock.engine.client import MonitorConnection
from minidock.engine.events import tell
from minidock.engine.holding import is_held, lock_of
from minidock.engine.restart import STOPPED
from minidock.errors import Conflict, InvalidInput
from minidock.linux import signals as signal
from minidock.linux.host import start_time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from minidock.engine.containers import Container, State

DEFAULT_STOP_SECONDS = 10
_PATIENCE = (
    10.0  # seconds for a monitor to start a container or to clean up, some milliseconds' work
)
_KILLED_WITHIN = 10


def open_init(state: State) -> int:
    """A pidfd of a container's init, -1 when it is gone. Close it."""
    try:
        fd = os.pidfd_open(state.pid)
    except OSError:
        return -1
    if start_time(state.pid) != state.start_time:  # checked after opening: now it is the right one
        os.close(fd)
        return -1
    return fd


def send_signal(container: Container, number: int) -> None:
    """Raises `Conflict` where the container does not run. One that waits to be restarted will not
    be, nor will one that ends of this signal."""
    if _ends_by(container, number):
        forbid_restart(container)
    state = give_up_restart(container)
    if state is None:
        return
    fd = open_init(state) if state.running else -1
    if fd < 0:
        raise Conflict(f"container {container.id} is not running")
    try:
        tell(container, "kill", signal=str(number))
        signal.pidfd_send_signal(fd, number)
        if state.status == "paused" and _ends_by(container, number):
            _thaw(container)
        # As Docker: who asks right after is told that it has ended.
        ended = number == signal.SIGKILL and _ended(fd, _KILLED_WITHIN)
    finally:
        os.close(fd)
    if ended:
        wait(container)


def _thaw(container: Container) -> None:
    """A paused process takes a signal when it goes on, and not before, SIGKILL on v1 included."""
    from minidock.engine.pause import thaw

    thaw(container)


def _ends_by(container: Container, number: int) -> bool:
    """Whether Docker takes this signal for a wish that the container should end: every one does,
    unless it has a stop signal of its own. moby's daemon/kill.go"""
    own = str(container.config.get("StopSignal") or "")
    return not own or number in (signal.SIGKILL, parse_signal(own))


def forbid_restart(container: Container) -> None:
    """Leave word for the monitor that this end is wanted. Until the next start by a user."""
    if container.host_config.get("RestartPolicy", {}).get("Name", "no") in ("", "no"):
        return
    try:
        path = f"{container.run_dir}/{STOPPED}"
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))
    except FileNotFoundError:
        pass  # its monitor has ended, or was killed


def give_up_restart(container: Container) -> State | None:
    """End the wait of a container that is to be restarted, and that was told not to be. None when
    it has ended so; the state of one that did not wait, or does not any more."""
    state = container.state()
    if state.status != "restarting":
        return state
    while state.status == "restarting":
        try:
            connection = MonitorConnection.connect(container.socket_path)
            try:
                connection.send(frames.GIVE_UP)
                connection.wait_exited()
            finally:
                connection.close()
        except OSError:
            pass  # the monitor is just going
        state = container.state()
        if state.status == "restarting":
            time.sleep(0.005)  # the launcher is at it already
    return state if state.running else None


def stop(container: Container, seconds: int | None, number: int | None) -> None:
    """Send signal `number`, wait `seconds` (-1: for ever), then kill; None means the container's
    own. One that is stopped already is fine."""
    forbid_restart(container)
    state = give_up_restart(container)
    fd = open_init(state) if state and state.running else -1
    if fd < 0:
        return
    if seconds is None:
        given = container.config.get("StopTimeout")
        seconds = DEFAULT_STOP_SECONDS if given is None else int(given)
    number = number or parse_signal(str(container.config.get("StopSignal") or "SIGTERM"))
    try:
        tell(container, "kill", signal=str(number))
        signal.pidfd_send_signal(fd, number)
        if state and state.status == "paused":
            _thaw(container)
        if not _ended(fd, seconds):
            tell(container, "kill", signal=str(signal.SIGKILL))
            signal.pidfd_send_signal(fd, signal.SIGKILL)
            _ended(fd, -1)
    except ProcessLookupError:
        pass
    finally:
        os.close(fd)
    wait(container)
    tell(container, "stop")


def _ended(pidfd: int, seconds: float) -> bool:
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    return bool(poll.poll(None if seconds < 0 else seconds * 1000))


def wait(container: Container) -> int:
    """Wait until the container has ended and its end is written down; return its exit code."""
    try:
        connection = MonitorConnection.connect(container.socket_path)
    except OSError:
        return _wait_without_monitor(container)
    try:
        outcome = connection.wait_exited()
    finally:
        connection.close()
    return outcome.code if outcome.kind == "exited" else _wait_without_monitor(container)


def _wait_without_monitor(container: Container) -> int:
    """Created and not started, or ended, or its monitor was killed."""
    state = container.state()
    while state.active:
        fd = open_init(state) if state.running else -1
        if fd >= 0:
            _ended(fd, -1)
            os.close(fd)
        else:
            time.sleep(0.01)
        state = container.state()
    return state.exit_code


def remove(
    container: Container, *, force: bool, killed: bool = False, volumes: bool = False
) -> None:
    """Remove a container with everything it wrote, and with its anonymous `volumes`. Raises
    `Conflict` while it runs. One that was `killed` by `kill_all` is not said to be killed again."""
    from minidock.engine.removal import remove_container_files, remove_run_dir

    if force:
        forbid_restart(container)
    state = _settled(container)
    if state.active:
        if not force:
            doing = state.status
            hint = "unpause and then " if doing == "paused" else ""
            raise Conflict(
                f'cannot remove container "{container.name}": container is {doing}: {hint}'
                "stop the container before removing or force remove"
            )
        now = give_up_restart(container)
        if now and now.running:
            kill_and_wait(container, now, tell_of_it=not killed)
    if sweep(container):  # else it stays, as a sign for the next sweep
        remove_run_dir(container.run_dir)
    run_root = os.path.dirname(container.run_dir)
    remove_container_files(container.directory, run_root, volumes=volumes)
    tell(container, "destroy")


def _settled(container: Container) -> State:
    """Its state when no monitor is just starting it, or cleaning up after it."""
    deadline = time.monotonic() + _PATIENCE
    while True:
        state = container.state()
        settled = state.active or not is_held(lock_of(container.directory))
        if settled or time.monotonic() > deadline:
            return state
        time.sleep(0.002)


def kill_all(containers: Iterable[Container]) -> set[str]:
    """SIGKILL to every one that runs, without waiting: they, and their monitors after them, then
    end at the same time, and who waits for each in turn waits once. The ids of those."""
    killed = set()
    for container in containers:
        forbid_restart(container)
        state = container.state()
        fd = open_init(state) if state.status == "running" else -1
        if fd >= 0:
            killed.add(container.id)
            try:
                tell(container, "kill", signal=str(signal.SIGKILL))
                signal.pidfd_send_signal(fd, signal.SIGKILL)
            except ProcessLookupError:
                pass
            os.close(fd)
    return killed


def kill_and_wait(container: Container, state: State, *, tell_of_it: bool = True) -> None:
    """SIGKILL to init: the kernel takes everything else in the PID namespace with it."""
    fd = open_init(state)
    if fd >= 0:
        try:
            if tell_of_it:
                tell(container, "kill", signal=str(signal.SIGKILL))
            signal.pidfd_send_signal(fd, signal.SIGKILL)
        except ProcessLookupError:
            pass
        if state.status == "paused":
            _thaw(container)
        _ended(fd, -1)
        os.close(fd)
    wait(container)


def parse_signal(text: str) -> int:
    """`9`, `KILL`, `SIGKILL`, `RTMIN+3`. Raises `InvalidInput` in Docker's words."""
    if text.isascii() and text.isdigit():
        number = int(text)
        if 1 <= number <= 64:
            return number
        raise InvalidInput(f"Invalid signal: {text}")
    name = text.upper().removeprefix("SIG")
    base, sign, offset = name.partition("+") if "+" in name else name.partition("-")
    if base in ("RTMIN", "RTMAX") and sign and offset.isdigit():
        start = signal.SIGRTMIN if base == "RTMIN" else signal.SIGRTMAX
        number = start + int(offset) if sign == "+" else start - int(offset)
        if signal.SIGRTMIN <= number <= signal.SIGRTMAX:
            return int(number)
    found = getattr(signal, f"SIG{name}", None)
    if not isinstance(found, int) or name.startswith("_"):
        raise InvalidInput(f"Invalid signal: {text}")
    return int(found)


def sweep(container: Container) -> bool:
    """Remove what a killed monitor could not: the container's cgroup directories. False when
    somebody is still in there."""
    from minidock.engine.cgroup import cgroup_of, kill_rest
    from minidock.errors import StartFailed
    from minidock.isolation.cgroups.common import remove

    try:
        kill_rest(container.directory)
        return remove(cgroup_of(container))
    except StartFailed:
        return True  # no hierarchy is mounted any more
