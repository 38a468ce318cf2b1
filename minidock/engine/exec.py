"""exec: one more process in a running container.

It gets a monitor of its own, which holds its streams and waits for it; so it goes on when the
command that asked for it is killed, as under Docker. The request lies in the container's run
directory for as long as the process may live, which is how `inspect` knows of it.

See: setns(2), runtime/exec.py
"""

from __future__ import annotations

import os

from minidock.engine import bundle, frames
from minidock.engine.events import tell
from minidock.engine.monitor_order import Order
from minidock.engine.statefile import write_json
from minidock.errors import Conflict
from minidock.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from minidock.engine.client import MonitorConnection, Outcome
    from minidock.engine.containers import Container, State


class ExecOptions(Record):
    """What `exec` was told."""

    command: tuple[str, ...]
    terminal: bool = False
    interactive: bool = False
    detach: bool = False
    env: tuple[str, ...] = ()
    user: str = ""
    working_dir: str = ""
    privileged: bool = False
    console_size: tuple[int, int] = (0, 0)


def require_running(container: Container) -> State:
    """Raises `Conflict`, in Docker's words, where nothing can be executed."""
    state = container.state()
    if state.status == "restarting":
        wait = "is restarting, wait until the container is running"
        raise Conflict(f"Container {container.id} {wait}")
    if not state.running:
        raise Conflict(f"container {container.id} is not running")
    if state.status == "paused":
        raise Conflict(f"container {container.id} is paused, unpause the container before exec")
    return state


def fork_monitor(container: Container) -> MonitorConnection:
    """Ask the container's monitor for a fork of itself. Raises `Conflict` where none runs."""
    from minidock.engine.client import MonitorConnection

    try:
        connection = MonitorConnection.connect(container.socket_path)
        connection.send(frames.FORK)
    except OSError:
        require_running(container)
        lost = f"container {container.id} has lost its monitor: stop or remove it"
        raise Conflict(lost) from None
    return connection


def execute(
    container: Container,
    options: ExecOptions,
    connection: MonitorConnection,
    narrate: Callable[[bytes], None] | None = None,
) -> Outcome:
    """Start the process through `connection`'s monitor; wait until it runs or cannot.

    Raises `Conflict` where the container does not run.
    """
    state = require_running(container)
    try:
        outcome = _order(container, state, options, connection, narrate)
    except OSError:
        require_running(container)
        raise
    if outcome.kind != "started":
        require_running(container)  # where it has just ended, that is what there is to say
    return outcome


def _order(
    container: Container,
    state: State,
    options: ExecOptions,
    connection: MonitorConnection,
    narrate: Callable[[bytes], None] | None,
) -> Outcome:
    exec_id = os.urandom(32).hex()
    request = f"{container.run_dir}/exec-{exec_id}.json"
    process = _process(container, options)
    document = {"init": state.pid, "startTime": state.start_time, "process": process}
    write_json(request, document, durable=False)
    letters = "x"
    letters += "t" if options.terminal else ""
    letters += "io" if options.interactive and not options.detach else ""
    letters += "" if options.detach else "a"
    letters += "e" if narrate else ""
    program, *arguments = options.command
    for action in ("exec_create", "exec_start"):
        tell(container, f"{action}: {program} {' '.join(arguments)}", execID=exec_id)
    connection.wait_ready()
    connection.order(Order(container.directory, request, letters).encode())
    return connection.wait_started(narrate)


def _process(container: Container, options: ExecOptions) -> dict[str, object]:
    config = dict(container.config)
    config["Env"] = bundle.merge_environment(config["Env"] or [], options.env, keep=True)
    if options.working_dir:
        config["WorkingDir"] = options.working_dir
    user = options.user or config["User"]
    host_config = container.host_config
    if options.privileged:
        host_config["Privileged"] = True
    process = bundle.make_process(config, host_config, options.command, user, options.terminal)
    rows, columns = options.console_size
    return {**process, "consoleSize": {"height": rows, "width": columns}}
