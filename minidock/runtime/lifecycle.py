"""create, start, kill, delete: what an OCI runtime does, one function each.

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

from minidock.errors import BadJSON, Conflict, MinidockError, NotFound, StartFailed
from minidock.isolation.cgroups import common as cgroups
from minidock.linux import signals as signal
from minidock.linux.cgroupfs import read_cgroup_facts
from minidock.linux.flags import Capability
from minidock.linux.host import boot_id, read_facts, start_time
from minidock.record import Record
from minidock.runtime.launch import Unobserved, launch
from minidock.runtime.manner import Manner
from minidock.runtime.state import OCI_VERSION, ContainerState, StateDirectory
from minidock.runtime.sync import describe_error
from minidock.spec.fields import load_object
from minidock.spec.lean_json import dumps
from minidock.spec.runtime import parse_spec
from minidock.spec.timestamp import now

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from minidock.linux.host import HostFacts
    from minidock.runtime.entrant import Entrant, Fork
    from minidock.spec.runtime import Process, Spec

    Warn = Callable[[str], object]

_DEATH = 10.0  # seconds that a killed init may take to be gone


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
                _end(home.load())  # nobody would know of it
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


def granted_process(spec: Spec, process: Process, facts: HostFacts, warn: Warn) -> Process:
    """See `_granted`. In a user namespace of one's own there are all, over what belongs to it."""
    if spec.has_namespace("user"):
        facts = facts.but(capabilities=(2 << facts.last_capability) - 1)
    sets = process.capabilities
    asked = {name for field in sets._fields for name in getattr(sets, field)}
    missing = {name for name in asked if not _can_give(name, facts)}
    if not missing:
        return process
    warn(f"this host has not got these capabilities to give: {', '.join(sorted(missing))}")
    kept = {
        field: tuple(name for name in getattr(sets, field) if name not in missing)
        for field in sets._fields
    }
    return process.but(capabilities=sets.but(**kept))


def _can_give(name: str, facts: HostFacts) -> bool:
    try:
        return bool(facts.capabilities >> Capability[name] & 1)
    except KeyError:
        return False


def hook_state(state: ContainerState) -> str:
    """The state of a container as hooks read it, but for "status" and "pid"."""
    document = {"ociVersion": OCI_VERSION, "id": state.id, "bundle": state.bundle}
    return dumps({**document, "annotations": dict(state.annotations)})


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
            spec = stored_spec(home, state)
            if spec.hooks.poststart:
                run_hooks("poststart", spec, state, state.pid, warn)
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
    _end(state)
    try:
        spec = stored_spec(home, state)
    except MinidockError:
        home.remove()  # killed before there was one
        return
    home.remove()
    if spec.hooks.poststop:
        run_hooks("poststop", spec, state, 0, warn)


def _end(state: ContainerState) -> None:
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


# ── the bundle ──


def read_config(path: str) -> bytes:
    """The text of a config.json. Raises `NotFound`."""
    try:
        with open(path, "rb") as file:
            return file.read()
    except (FileNotFoundError, NotADirectoryError):
        name = os.path.basename(path)
        raise NotFound(f"JSON specification file {name} not found: {path}") from None


def read_spec(config: bytes, bundle: str, container_id: str) -> Spec:
    """Decode it; a container without a cgroup path gets one of its name. Raises `BadJSON`."""
    spec = parse_spec(load_object(config, "config.json"), bundle)
    return spec if spec.cgroups_path else spec.but(cgroups_path=container_id)


def stored_spec(home: StateDirectory, state: ContainerState) -> Spec:
    """The container's, as it was when it was created. Raises `MinidockError`."""
    spec = read_spec(read_config(home.config), state.bundle, home.id)
    return spec.but(cgroups_path=state.cgroups_path)


def write_pid_file(path: str, pid: int) -> None:
    """Atomically: engines read it as soon as it is there. Raises `OSError`."""
    directory, name = os.path.split(path)
    temporary = os.path.join(directory, f".{name}")
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o666)
    try:
        os.write(fd, b"%d" % pid)
    finally:
        os.close(fd)
    os.rename(temporary, path)


def explain_failure(error: MinidockError | OSError) -> str:
    """In runc's words, which engines search for `executable file not found` and the like."""
    if isinstance(error, (OSError, StartFailed)):
        return f"unable to start container process: {describe_error(error)}"
    return error.message
