"""start and attach: back to a container that exists."""

from __future__ import annotations

from minidock.cli.attached import (
    EXPLAIN,
    end_narration,
    find,
    monitor,
    narrator,
    require_terminal,
    stay,
)
from minidock.cli.command import ClientError, Command, Flag
from minidock.errors import Conflict, MinidockError, StartFailed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from minidock.cli.app import App
    from minidock.cli.parse import Parsed
    from minidock.engine.client import MonitorConnection
    from minidock.engine.containers import Container
    from minidock.study.explain import Narration

ATTACH = Command(
    help="Attach local standard input, output, and error streams to a running container",
    run="minidock.cli.container_start:attach",
    args="CONTAINER",
    least=1,
    most=1,
    unsupported="minidock.cli.unsupported:ATTACH",
    flags=(Flag("no-stdin", kind="bool", help="Do not attach STDIN"),),
    examples=("minidock attach web",),
)

START = Command(
    help="Start one or more stopped containers",
    run="minidock.cli.container_start:start",
    args="CONTAINER [CONTAINER...]",
    least=1,
    unsupported="minidock.cli.unsupported:START",
    flags=(
        Flag("attach", "a", "bool", help="Attach STDOUT/STDERR and forward signals"),
        EXPLAIN,
        Flag("interactive", "i", "bool", help="Attach container's STDIN"),
    ),
    examples=("minidock start web", "minidock start -ai web"),
)


def attach(args: Parsed, app: App) -> int:
    """`minidock attach`"""
    container = find(app, args.positionals[0])
    with_stdin = not args.on("no-stdin") and bool(container.config["OpenStdin"])
    return _attach_running(app, container, with_stdin=with_stdin, detach_is_error=True)


def _attach_running(
    app: App, container: Container, *, with_stdin: bool, detach_is_error: bool = False
) -> int:
    from minidock.engine import frames
    from minidock.engine.client import MonitorConnection
    from minidock.engine.events import tell

    state = container.state()
    if state.status == "restarting":
        raise ClientError("You cannot attach to a restarting container, wait until it is running")
    if not state.running:
        raise ClientError("You cannot attach to a stopped container, start it first")
    if state.status == "paused":
        raise ClientError("You cannot attach to a paused container, unpause it first")
    terminal = bool(container.config["Tty"])
    stdin = app.stdin if with_stdin else -1
    if terminal and with_stdin:
        require_terminal(app)
    connection = MonitorConnection.connect(container.socket_path)
    connection.send(frames.ATTACH)
    tell(container, "attach")
    return stay(
        app,
        connection,
        state.pid,
        stdin=stdin,
        terminal=terminal,
        detach_is_error=detach_is_error,
        container=container,
    )


def start(args: Parsed, app: App) -> int:
    """`minidock start`"""
    names = args.positionals
    if args.on("attach") or args.on("interactive"):
        if len(names) > 1:
            raise ClientError("you cannot start and attach multiple containers at once")
        return _start_attached(args, app, names[0])

    failed = []

    def start_one(name: str) -> str:
        try:
            _start(app, find(app, name), narrator(args, app))
        except MinidockError:
            failed.append(name)
            raise
        return name

    code = app.each(names, start_one)
    if failed:
        app.err(f"Error: failed to start containers: {', '.join(failed)}\n")
    return code


def _start_attached(args: Parsed, app: App, name: str) -> int:
    container = find(app, name)
    terminal = bool(container.config["Tty"])
    stdin = app.stdin if args.on("interactive") and container.config["OpenStdin"] else -1
    if terminal and stdin >= 0:
        require_terminal(app)
    if container.state().active:
        return _attach_running(app, container, with_stdin=stdin >= 0)
    connection, pid = _start(app, container, narrator(args, app), attach=True)
    return stay(app, connection, pid, stdin=stdin, terminal=terminal, container=container)


def start_quietly(app: App, container: Container) -> None:
    """Start without attaching, as `restart` does. Raises `MinidockError`."""
    _start(app, container, None)


def _start(
    app: App,
    container: Container,
    narrate: Narration | None,
    *,
    attach: bool = False,
) -> tuple[MonitorConnection, int]:
    from minidock.engine.start import start as start_container

    connection = monitor(app)
    state = container.state()
    if state.active:
        connection.close()
        if state.status == "paused":
            raise Conflict("cannot start a paused container, try unpause instead")
        return connection, 0
    outcome = start_container(container, connection, attach=attach, narrate=narrate)
    if narrate:
        end_narration(narrate, outcome, executed=False)
    if outcome.kind != "started":
        raise StartFailed(outcome.message, exit_code=outcome.code)
    return connection, outcome.code
