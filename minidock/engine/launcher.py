"""The monitor's child that knows how to start a container, and forgets it by exiting.

It reads the bundle, plans, drives the three processes of runtime/launch.py, writes `started.json`
while init waits, and reports to the monitor. Everything heavy is imported here, so that the
monitor, which stays, does not carry it.
"""

from __future__ import annotations

import os

from minidock.engine.events import emit_of
from minidock.engine.monitor_order import Order
from minidock.engine.statefile import keep_room, read_json, write_json
from minidock.errors import WRONG_REQUEST, InvalidInput, MinidockError, StartFailed
from minidock.isolation.cgroups.common import cgroup_directories
from minidock.linux import signals as signal
from minidock.linux.host import boot_id, read_facts, start_time
from minidock.runtime.launch import Unobserved, launch
from minidock.runtime.manner import MONITORED
from minidock.runtime.sync import (
    CGROUPS,
    FAILED,
    INIT_PID,
    PORT,
    PROCEED,
    TERMINAL,
    Channel,
    describe_error,
)
from minidock.spec.lean_json import loads
from minidock.spec.runtime import MAX_CONFIG_BYTES, parse_process, parse_spec
from minidock.spec.timestamp import now

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn

    from minidock.runtime.launch import Observer
    from minidock.runtime.manner import Manner
    from minidock.step import ContainerPlan


_FOR = {
    "run": ("minidock.runtime.plan", "minidock.engine.connection"),
    "exec": ("minidock.runtime.exec",),
}


def serve(channel: Channel, errand: str) -> NoReturn:
    """Wait for the one order, carry it out, report, exit. `errand` ("run" or "exec") says what it
    will be about: the modules for it are imported while the command is still busy."""
    monitor = os.getppid()
    for name in _FOR[errand]:
        __import__(name)
    fds: list[int] = []
    kind, text, _, fd = channel.receive()
    if kind != PROCEED:
        os._exit(0)  # the command ended before it had an order
    order = Order.parse(text)
    fds.append(fd)
    for _ in range(_expected_fds(order) - 1):
        fds.append(channel.receive()[3])
    start = _Start(channel, monitor, order, fds)
    try:
        start.execute() if "x" in order else start.run()
    except (MinidockError, OSError, ValueError) as error:
        start.failed(error)
    finally:
        os._exit(0)


_RUN_FAILED = (
    "failed to create task for container: failed to create shim task: OCI runtime create failed: "
    "minidock create failed: unable to start container process: error during container init: "
)
_MISMATCH = "not a directory: unknown"
_MISMATCHED = (
    ": Are you trying to mount a directory onto a file (or vice-versa)? Check if the specified "
    "host path exists and is the expected type"
)
_RELATIVE = "OCI runtime exec failed: exec failed: Cwd must be an absolute path: unknown"
_EXEC_FAILED = "OCI runtime exec failed: exec failed: unable to start container process: "


def _expected_fds(order: Order) -> int:
    return (1 if "t" in order else 3) + ("e" in order)


class _Start:
    def __init__(self, channel: Channel, monitor: int, order: Order, fds: list[int]) -> None:
        self._channel = channel
        self._monitor = monitor
        self._order = order
        self._directory = order.directory
        self._ran_before = os.path.exists(f"{order.directory}/started.json")
        self._init = -1
        self._narration = fds.pop() if "e" in order else -1
        self._stdio = (fds[0], fds[0], fds[0]) if "t" in order else (fds[0], fds[1], fds[2])

    def run(self) -> None:
        """Start the container whose bundle lies in the directory."""
        container_id = os.path.basename(self._directory)
        document, manner = _read_json(f"{self._directory}/config.json"), MONITORED
        if "s" in self._order:
            from minidock.engine.settle import settle

            run_root = os.path.dirname(self._order.run_dir)
            document, manner = settle(document, self._directory, run_root)
        if "n" in self._order:
            manner = self._connect(manner)
        spec = parse_spec(document, self._directory)
        from minidock.runtime.plan import plan_container

        facts = read_facts()
        plan = plan_container(container_id, spec, facts, self._stdio, manner)
        # Before they are made: should we be killed, the monitor removes them.
        self._channel.send(CGROUPS, "\n".join(cgroup_directories(spec, facts.cgroups)))
        pid = self._launch(plan, self._write_started)
        self._tell_of_start()
        self._report(pid)

    def _tell_of_start(self) -> None:
        document = read_json(f"{self._directory}/container.json")
        if document:
            run_root = os.path.dirname(self._order.run_dir)
            if document.get("MountPoints"):
                from minidock.engine.volume_events import tell_of_mounts

                tell_of_mounts(run_root, document, "mount")
            emit_of(run_root, document, "start")

    def _connect(self, manner: Manner) -> Manner:
        """The Steps that connect the container to its networks."""
        from minidock.engine.connection import GROUND, connect

        if self._narration >= 0:
            from minidock.runtime.narrate import tell

            tell(self._narration, ["main", "remark", GROUND[0], list(GROUND[1:])])
        container = _read_json(f"{self._directory}/container.json")
        found = connect(self._directory, self._order.run_dir, container, self._keep_port)
        return manner.but(prepare=found.prepare, attach=found.attach, inside=found.inside)

    def _keep_port(self, about: str, fd: int) -> None:
        self._channel.send(PORT, about, fd=fd)

    def execute(self) -> None:
        """Start one more process in a running container; `run_dir` is the request's file."""
        request = _read_json(self._order.run_dir)
        spec = parse_spec(_read_json(f"{self._directory}/config.json"), self._directory)
        from minidock.runtime.exec import plan_exec

        facts = read_facts()
        if not request["process"]["cwd"].startswith("/"):
            raise InvalidInput(_RELATIVE)
        process = parse_process(request["process"])
        if start_time(request["init"]) != request["startTime"]:
            raise StartFailed("the container has just ended")
        plan = plan_exec(request["init"], spec, process, facts, self._stdio)
        self._report(self._launch(plan, self._open_init))

    def failed(self, error: Exception) -> None:
        """Write down why, and tell the monitor, in the words Docker's layers put around it."""
        message, code = describe_error(error), getattr(error, "exit_code", 128)
        if isinstance(error, StartFailed) and code != WRONG_REQUEST:
            # ": unknown" is the gRPC status of containerd's answer, whatever the runtime says.
            message = (_EXEC_FAILED if "x" in self._order else _RUN_FAILED) + message + ": unknown"
        told = code
        if message.endswith(_MISMATCH) and "error mounting" in message:
            message, told = message + _MISMATCHED, WRONG_REQUEST  # `inspect` says 127 all the same
        if "x" not in self._order and "r" not in self._order:
            record = {"ExitCode": code if code in (126, 127) else 128, "Error": message}
            if self._order.restarts:
                record["RestartCount"] = self._order.restarts
            try:
                write_json(f"{self._directory}/exited.json", record)
                self._forget_start()
            except OSError:
                pass  # a full disk, which may be what failed: the monitor is told in any case
        self._channel.send(FAILED, message, told)

    def _forget_start(self) -> None:
        """A container whose program never ran is still what it was: only created."""
        if not self._ran_before:
            try:
                os.unlink(f"{self._directory}/started.json")
            except FileNotFoundError:
                pass

    def _open_init(self, pid: int) -> None:
        """While it waits for us, its number is its own."""
        self._init = os.pidfd_open(pid)

    def _report(self, pid: int) -> None:
        """Hand init over to the monitor. Without one nobody would hold its streams or learn of its
        end, so then it goes too."""
        try:
            self._channel.send(INIT_PID, number=pid)
        except OSError:
            signal.pidfd_send_signal(self._init, signal.SIGKILL)

    def _launch(self, plan: ContainerPlan, before_program: Any) -> int:
        return launch(plan, self._pass_terminal, self._observer(), before_program)

    def _observer(self) -> Observer:
        if self._narration < 0:
            return Unobserved()
        from minidock.runtime.narrate import Narrator

        return Narrator(self._narration)

    def _pass_terminal(self, master: int) -> None:
        self._channel.send(TERMINAL, fd=master)

    def _write_started(self, pid: int) -> None:
        self._open_init(pid)
        monitor = os.getppid()
        if monitor != self._monitor:
            raise StartFailed("the monitor has died")
        document = {
            "Pid": pid,
            "StartTime": start_time(pid),
            "BootId": boot_id(),
            "MonitorPid": monitor,
            "MonitorStartTime": start_time(monitor),
            "StartedAt": now(),
        }
        if self._order.restarts:
            document["RestartCount"] = self._order.restarts
        last_end = (read_json(f"{self._directory}/exited.json") or {}).get("FinishedAt")
        if last_end:
            document["LastFinishedAt"] = last_end  # `inspect` tells of it while this one runs
        if "h" in self._order:
            from minidock.engine import health

            health.begin(self._directory)
        started, exited = (f"{self._directory}/{name}.json" for name in ("started", "exited"))
        if "r" in self._order:  # nobody will ask how it ended
            write_json(started, document, durable=False)
        else:
            keep_room(exited)
            write_json(started, document, instead_of=exited)


def _read_json(path: str) -> Any:
    with open(path, "rb") as file:
        content = file.read(MAX_CONFIG_BYTES + 1)
    if len(content) > MAX_CONFIG_BYTES:
        raise StartFailed(f"{path} is larger than {MAX_CONFIG_BYTES} bytes")
    return loads(content)
