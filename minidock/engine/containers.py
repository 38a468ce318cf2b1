"""Containers on disk: finding them, and telling the truth about their state.

A container is a directory. `container.json` says what the user asked for, in the words of Docker's
`inspect`; `started.json` which process it became; `exited.json` how that ended. Nothing keeps a
"status" that could be wrong: whether a container runs is asked of the kernel each time, by PID,
start time and boot. A monitor that was killed, a power cut, a reused PID: none makes `ps` lie.

    created      no started.json
    running      started.json, and that very process is alive
    restarting   it has ended, and its monitor is alive and waits to start it again
    exited       otherwise; without exited.json nobody saw how: code 255
"""

from __future__ import annotations

import os

from minidock.engine.statefile import read_json, write_json
from minidock.errors import Conflict, InvalidInput, MinidockError, NotFound
from minidock.linux.host import boot_id, start_time
from minidock.record import Record
from minidock.spec.timestamp import ZERO

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from minidock.engine.paths import Paths

UNSEEN_END = 255  # the exit code where nobody was there to see it
_NAME_CHARS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-")
_HEX = frozenset("0123456789abcdef")


class State(Record):
    """What a container is doing. Times are RFC 3339 text, `ZERO` for never; `pid` is 0 unless
    running. `status` is created, running, paused, restarting or exited; `restarts` counts those
    since the last start by a user."""

    status: str
    pid: int = 0
    exit_code: int = 0
    error: str = ""
    started_at: str = ZERO
    finished_at: str = ZERO
    start_time: int = 0
    monitor_pid: int = 0
    restarts: int = 0
    oom_killed: bool = False

    @property
    def running(self) -> bool:
        """There are processes."""
        return self.status in ("running", "paused")

    @property
    def active(self) -> bool:
        """What Docker calls running: there are processes, or soon will be again."""
        return self.running or self.status == "restarting"


class Container(Record):
    """One container. `document` is container.json, in the shape of Docker's inspect."""

    id: str
    name: str
    directory: str
    run_dir: str
    document: dict[str, Any]

    @property
    def config(self) -> dict[str, Any]:
        return dict(self.document["Config"])

    @property
    def host_config(self) -> dict[str, Any]:
        return dict(self.document["HostConfig"])

    @property
    def log_path(self) -> str:
        return f"{self.directory}/{self.id}-json.log"

    @property
    def socket_path(self) -> str:
        return f"{self.run_dir}/attach.sock"

    @property
    def upper(self) -> str:
        return f"{self.directory}/upper"

    def state(self) -> State:
        """Ask the files and the kernel."""
        started = read_json(f"{self.directory}/started.json")
        exited = read_json(f"{self.directory}/exited.json") or {}
        code, error = int(exited.get("ExitCode", 0)), str(exited.get("Error", ""))
        if started is None:
            return State("created", exit_code=code, error=error)
        begun = str(started.get("StartedAt", ZERO))
        pid, ticks = int(started.get("Pid", 0)), int(started.get("StartTime", 0))
        if started.get("BootId") == boot_id() and ticks and start_time(pid) == ticks:
            if os.path.exists(f"{self.directory}/freezing"):
                from minidock.engine.pause import thaw_abandoned

                thaw_abandoned(self)  # a killed commit may have left it frozen
            paused = os.path.exists(f"{self.run_dir}/paused")
            return State(
                "paused" if paused else "running",
                pid=pid,
                started_at=begun,
                finished_at=str(started.get("LastFinishedAt", ZERO)),
                start_time=ticks,
                monitor_pid=int(started.get("MonitorPid", 0)),
                restarts=int(started.get("RestartCount", 0)),
            )
        if not exited:
            if self._await_record(started):
                return self.state()
            exited = read_json(f"{self.directory}/exited.json") or {}
        restarting = exited.get("Restarting") and _monitor_lives(started)
        return State(
            "restarting" if restarting else "exited",
            exit_code=int(exited.get("ExitCode", UNSEEN_END)),
            error=str(exited.get("Error", "")),
            started_at=begun,
            finished_at=str(exited.get("FinishedAt") or begun),
            monitor_pid=int(started.get("MonitorPid", 0)) if restarting else 0,
            restarts=int(exited.get("RestartCount") or started.get("RestartCount", 0)),
            oom_killed=bool(exited.get("OOMKilled")),
        )

    def _await_record(self, started: dict[str, Any]) -> bool:
        """The process is gone but its end is not written yet: the monitor may be about to. True
        when another start was written down meanwhile."""
        import time

        for _ in range(200):
            if not _monitor_lives(started):
                break
            if os.path.exists(f"{self.directory}/exited.json"):
                break
            if read_json(f"{self.directory}/started.json") not in (started, None):
                return True
            time.sleep(0.005)
        return False


class Containers:
    """All containers below one root."""

    def __init__(self, paths: Paths) -> None:
        self._paths = paths

    def all(self) -> list[Container]:
        """Every container, newest first."""
        try:
            entries = os.listdir(self._paths.containers)
        except FileNotFoundError:
            return []
        found = [c for c in map(self.load, entries) if c]
        return sorted(found, key=lambda c: (str(c.document.get("Created")), c.id), reverse=True)

    def find(self, reference: str) -> Container:
        """By id, name, or the beginning of an id. Raises `NotFound` in Docker's words."""
        container = self.load(reference) if _is_id(reference) else None
        container = container or self._by_name(reference) or self._by_prefix(reference)
        if container is None:
            raise NotFound(f"No such container: {reference}")
        return container

    def _by_name(self, name: str) -> Container | None:
        name = name.removeprefix("/")
        if not is_valid_name(name):
            return None
        try:
            target = os.readlink(f"{self._paths.names}/{name}")
        except OSError:
            return None
        return self.load(os.path.basename(target))

    def _by_prefix(self, prefix: str) -> Container | None:
        if not prefix or not set(prefix) <= _HEX:
            return None
        try:
            entries = os.listdir(self._paths.containers)
        except FileNotFoundError:
            return None
        matches = [c for c in (self.load(e) for e in entries if e.startswith(prefix)) if c]
        if len(matches) > 1:
            raise InvalidInput(f"multiple IDs found with provided prefix: {prefix}")
        return matches[0] if matches else None

    def load(self, container_id: str) -> Container | None:
        """None for what is no container: half-made, half-removed, or not there."""
        if not _is_id(container_id):
            return None
        directory = self._paths.container(container_id)
        document = read_json(f"{directory}/container.json")
        if document is None or "Config" not in document:
            return None
        run_dir = self._paths.run_dir(container_id)
        return Container(container_id, str(document["Name"]), directory, run_dir, document)

    def reserve_name(self, name: str, container_id: str) -> None:
        """Make `name` belong to this container. Raises `Conflict`, `InvalidInput`."""
        name = check_name(name)
        link = f"{self._paths.names}/{name}"
        for _ in range(2):
            try:
                os.symlink(f"../containers/{container_id}", link)
                return
            except FileExistsError:
                holder = os.path.basename(os.readlink(link))
            if os.path.exists(self._paths.container(holder)):
                raise Conflict(
                    f'Conflict. The container name "/{name}" is already in use by container '
                    f'"{holder}". You have to remove (or rename) that container to be able to '
                    "reuse that name."
                )
            os.unlink(link)  # its container was never finished, or is gone
        raise Conflict(f'Conflict. The container name "/{name}" is being taken right now')

    def release_name(self, name: str) -> None:
        try:
            os.unlink(f"{self._paths.names}/{name}")
        except FileNotFoundError:
            pass

    def rename(self, container: Container, new: str) -> None:
        """Give a container another name. The new one is taken before the old one is let go."""
        new = new.removeprefix("/")
        if new == container.name:
            raise InvalidInput("Renaming a container with the same name as its current name")
        try:
            self.reserve_name(f"/{new}", container.id)
        except MinidockError as error:
            error.message = f"Error when allocating new name: {error.message}"
            raise
        document = {**container.document, "Name": new}
        try:
            write_json(f"{container.directory}/container.json", document)
        except OSError:
            self.release_name(new)
            raise
        self.release_name(container.name)
        if os.path.exists(f"{container.run_dir}/network.json"):
            from minidock.engine.naming import rename_endpoints

            rename_endpoints(container, new)
        from minidock.engine.events import tell

        tell(container.but(document=document), "rename", oldName=f"/{container.name}")


def _monitor_lives(started: dict[str, Any]) -> bool:
    """Whether the monitor of this start is there, on this boot."""
    monitor, ticks = int(started.get("MonitorPid", 0)), int(started.get("MonitorStartTime", 0))
    return bool(ticks) and start_time(monitor) == ticks and started.get("BootId") == boot_id()


def is_valid_name(name: str) -> bool:
    """Docker's grammar: [a-zA-Z0-9][a-zA-Z0-9_.-]+"""
    return len(name) > 1 and set(name) <= _NAME_CHARS and name[0] not in "_.-"


def check_name(name: str) -> str:
    """The name without the slash that Docker puts before it, which a user may type too. Raises
    `InvalidInput` in Docker's words."""
    plain = name.removeprefix("/")
    if not is_valid_name(plain):
        raise InvalidInput(
            f"Invalid container name ({name}), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed"
        )
    return plain


def _is_id(text: str) -> bool:
    return len(text) == 64 and set(text) <= _HEX


def new_id() -> str:
    """64 random hex digits, of which the first 12 are not all decimal: a short id that looks like
    a number would be read as one."""
    while True:
        candidate = os.urandom(32).hex()
        if not candidate[:12].isdigit():
            return candidate
