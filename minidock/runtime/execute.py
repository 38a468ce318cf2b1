"""`oci exec`: one more process in a running container, as the OCI runtime is asked for it.

Who it is and what it may do stands in a process.json (`--process`), or it is the container's own
first process with some things changed. exec.py plans how it enters.

See: runc-exec(8), https://github.com/opencontainers/runtime-spec/blob/main/config.md#process
"""

from __future__ import annotations

import os

from minidock.errors import Conflict, StartFailed
from minidock.linux import signals as signal
from minidock.linux.host import read_facts, start_time
from minidock.record import Record
from minidock.runtime.bundle import granted_process, read_config, stored_spec, write_pid_file
from minidock.runtime.launch import Unobserved, launch
from minidock.runtime.lifecycle import status
from minidock.runtime.manner import Manner
from minidock.runtime.state import StateDirectory, hook_state
from minidock.spec.fields import load_object
from minidock.spec.runtime import parse_process

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from minidock.runtime.bundle import Warn
    from minidock.runtime.entrant import Entrant, Fork
    from minidock.spec.runtime import Process, Spec


class ExecRequest(Record):
    """What `exec` was told. `process_file` is the path of a process.json, "" without one; the
    fields from `args` to `selinux_label` are not looked at then. A gid of -1 in `user` stays as it
    is in the container."""

    root: str
    container_id: str
    process_file: str = ""
    args: tuple[str, ...] = ()
    terminal: bool | None = None
    cwd: str = ""
    env: tuple[str, ...] = ()
    user: tuple[int, int] | None = None
    groups: tuple[int, ...] = ()
    capabilities: tuple[str, ...] = ()
    no_new_privileges: bool | None = None
    apparmor_profile: str = ""
    selinux_label: str = ""
    pid_file: str = ""
    preserved: int = 0
    ignore_paused: bool = False


class Execution:
    """A request that was looked into, so that the caller knows whether there will be a terminal.

    Raises `NotFound`, `Conflict` where the container is in no state for it, `BadJSON`.
    """

    def __init__(self, request: ExecRequest, warn: Warn) -> None:
        home = StateDirectory(request.root, request.container_id)
        self._request = request
        self._state = home.load()
        found = status(home, self._state)
        if found in ("stopped", "creating"):
            raise Conflict("cannot exec in a stopped container")
        if found == "paused" and not request.ignore_paused:
            words = "cannot exec in a paused container (use --ignore-paused to override)"
            raise Conflict(words)
        self._facts = read_facts()
        self._spec = stored_spec(home, self._state)
        self.process = granted_process(self._spec, _process(request, self._spec), self._facts, warn)

    @property
    def processes(self) -> tuple[Process, Process]:
        """What will be in the container: its first process, and this one."""
        return self._spec.process, self.process

    def start(self, entrant: Entrant | Fork, take_terminal: Callable[[int], None]) -> int:
        """Let it run; its PID. Raises `StartFailed`."""
        from minidock.runtime.exec import plan_exec

        request, state = self._request, self._state
        told = hook_state(state)
        manner = Manner(monitored=False, preserved=request.preserved, hook_state=told)
        if start_time(state.pid) != state.start_time:
            raise StartFailed("the container has just ended")
        plan = plan_exec(state.pid, self._spec, self.process, self._facts, (0, 1, 2), manner)
        entrant.preserved = request.preserved
        pid = launch(plan, take_terminal, Unobserved(), lambda pid: None, entrant)
        if request.pid_file:
            try:
                write_pid_file(request.pid_file, pid)
            except OSError:
                os.kill(pid, signal.SIGKILL)  # nobody would know of it
                raise
        return pid


def _process(request: ExecRequest, spec: Spec) -> Process:
    own = spec.process
    if request.process_file:
        document = load_object(read_config(request.process_file), "process.json")
        process = parse_process(document)
        if "capabilities" not in document:
            process = process.but(capabilities=own.capabilities)
        return process if process.rlimits else process.but(rlimits=own.rlimits)
    user = own.user
    if request.user is not None:
        uid, gid = request.user
        user = user.but(uid=uid, gid=user.gid if gid < 0 else gid, username="")
    if request.groups:
        user = user.but(additional_gids=(*user.additional_gids, *request.groups))
    process = own.but(
        args=request.args,
        env=(*own.env, *request.env),
        cwd=request.cwd or own.cwd,
        terminal=bool(request.terminal),
        console_size=(0, 0),
        user=user,
        apparmor_profile=request.apparmor_profile or own.apparmor_profile,
        selinux_label=request.selinux_label or own.selinux_label,
    )
    if request.no_new_privileges is not None:
        process = process.but(no_new_privileges=request.no_new_privileges)
    return _with_capabilities(process, request.capabilities)


def _with_capabilities(process: Process, more: tuple[str, ...]) -> Process:
    """`--cap`: in every set that makes a difference."""
    if not more:
        return process
    caps = process.capabilities
    added = {
        name: tuple(dict.fromkeys((*getattr(caps, name), *more)))
        for name in ("bounding", "effective", "permitted")
    }
    return process.but(capabilities=caps.but(**added))
