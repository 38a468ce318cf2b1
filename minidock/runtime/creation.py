"""create and run: from a bundle to a container whose init waits for `start`, or runs.

The state directory is made first, so that whatever a killed command leaves can be found; init's PID
is in it before init is let go.

See: https://github.com/opencontainers/runtime-spec/blob/main/runtime.md#create
"""

from __future__ import annotations

import os

from minidock.errors import BadJSON
from minidock.linux.host import boot_id, read_facts, start_time
from minidock.record import Record
from minidock.runtime.bundle import granted_process, read_config, read_spec, write_pid_file
from minidock.runtime.launch import Unobserved, launch
from minidock.runtime.lifecycle import end, run_hooks
from minidock.runtime.manner import Manner
from minidock.runtime.state import ContainerState, StateDirectory, hook_state
from minidock.spec.timestamp import now

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from minidock.linux.host import HostFacts
    from minidock.runtime.bundle import Warn
    from minidock.runtime.entrant import Entrant, Fork
    from minidock.spec.runtime import Process, Spec


class Request(Record):
    """What `create` and `run` were told. `root` is where states are kept, `bundle` is absolute."""

    root: str
    container_id: str
    bundle: str
    pid_file: str = ""
    preserved: int = 0
    new_keyring: bool = True
    pivot: bool = True
    systemd_cgroup: bool = False
    listen_fds: int = 0  # how many of the preserved descriptors are systemd's, sd_listen_fds(3)


class Creation:
    """A container that is asked for and was looked into, so that the caller knows whether there
    will be a terminal. With `wait`, init waits for `start`.

    Raises `NotFound`, `BadJSON`.
    """

    def __init__(self, request: Request, warn: Warn, *, wait: bool) -> None:
        self._request = request
        self._warn = warn
        self._wait = wait
        self._config = read_config(f"{request.bundle}/config.json")
        self._spec = read_spec(self._config, request.bundle, request.container_id)
        self._spec = _placed(_told_of_sockets(self._spec, request.listen_fds), request)
        self._home = StateDirectory(request.root, request.container_id)

    @property
    def process(self) -> Process:
        return self._spec.process

    def start(self, entrant: Entrant | Fork, take_terminal: Callable[[int], None]) -> int:
        """Make it; init's PID. Raises `MinidockError` or `OSError`, and then nothing stays."""
        home = self._home
        home.make()
        try:
            with home.lock():
                return self._start_init(entrant, take_terminal)
        except BaseException:
            home.remove()
            raise

    def _start_init(self, entrant: Entrant | Fork, take_terminal: Callable[[int], None]) -> int:
        from minidock.runtime.plan import plan_container

        request, home, facts = self._request, self._home, read_facts()
        spec = _granted(self._spec, facts, self._warn)
        state = ContainerState(
            id=request.container_id,
            bundle=request.bundle,
            rootfs=os.path.normpath(spec.root_path),
            created=now(),
            annotations=spec.annotations,
            cgroups_path=spec.cgroups_path,
            systemd_cgroup=request.systemd_cgroup,
            late_hooks=" ".join(
                point for point in ("poststart", "poststop") if getattr(spec.hooks, point)
            ),
        )
        home.save(state)
        home.write("config.json", self._config)
        if self._wait:
            home.make_fifo()
        manner = Manner(
            monitored=False,
            start_fifo=home.fifo if self._wait else "",
            preserved=request.preserved,
            new_keyring=request.new_keyring,
            pivot=request.pivot,
            hook_state=hook_state(state),
        )
        plan = plan_container(request.container_id, spec, facts, (0, 1, 2), manner)
        entrant.preserved = request.preserved

        def remember(pid: int) -> None:
            home.save(state.but(pid=pid, start_time=start_time(pid), boot_id=boot_id()))

        pid = launch(plan, take_terminal, Unobserved(), remember, entrant)
        if request.pid_file:
            try:
                write_pid_file(request.pid_file, pid)
            except OSError:
                end(home.load())  # nobody would know of it
                raise
        if not self._wait and spec.hooks.poststart:
            run_hooks("poststart", spec, state, pid, self._warn)
        return pid


def _told_of_sockets(spec: Spec, number: int) -> Spec:
    """The program learns of sockets that systemd has opened for it. sd_listen_fds(3)"""
    if not number:
        return spec
    env = (*spec.process.env, f"LISTEN_FDS={number}", "LISTEN_PID=1")
    return spec.but(process=spec.process.but(env=env))


def _placed(spec: Spec, request: Request) -> Spec:
    """`--systemd-cgroup` decides how the cgroup's path is meant. Raises `BadJSON`."""
    path = spec.cgroups_path
    if request.systemd_cgroup:
        from minidock.isolation.cgroups.systemd import unit_path

        given = "" if path == request.container_id else path  # read_spec's own
        return spec.but(cgroups_path=unit_path(given, request.container_id))
    if ":" in path:
        raise BadJSON(
            f"config.json: linux.cgroupsPath: {path!r} is systemd's form, which is for"
            " --systemd-cgroup"
        )
    return spec


def _granted(spec: Spec, facts: HostFacts, warn: Warn) -> Spec:
    """Without the capabilities that this host has not got to give: a runtime should warn of them
    and go on. config.md, "capabilities" """
    process = granted_process(spec, spec.process, facts, warn)
    return spec if process is spec.process else spec.but(process=process)
