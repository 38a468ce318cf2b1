"""exec: one more process in a running container."""

from __future__ import annotations

from minidock.cli.attached import (
    ENV,
    ENV_FILE,
    EXPLAIN,
    INTERACTIVE,
    TTY,
    USER,
    WORKDIR,
    console_size,
    end_narration,
    find,
    narrator,
    require_terminal,
    stay,
)
from minidock.cli.command import Command, Flag
from minidock.cli.run_options import environment
from minidock.errors import MinidockError
from minidock.spec.quoting import visible

TYPE_CHECKING = False
if TYPE_CHECKING:
    from minidock.cli.app import App
    from minidock.cli.parse import Parsed

EXEC = Command(
    help="Execute a command in a running container",
    run="minidock.cli.container_exec:execute",
    args="CONTAINER COMMAND [ARG...]",
    least=2,
    interspersed=False,
    unsupported="minidock.cli.unsupported:EXEC",
    flags=(
        Flag("detach", "d", "bool", help="Detached mode: run command in the background"),
        ENV,
        ENV_FILE,
        EXPLAIN,
        INTERACTIVE,
        Flag("privileged", kind="bool", help="Give extended privileges to the command"),
        TTY,
        USER,
        WORKDIR,
    ),
    examples=("minidock exec -it web bash", "minidock exec -u www-data web id"),
)


def execute(args: Parsed, app: App) -> int:
    """`minidock exec`"""
    from minidock.engine.exec import ExecOptions, fork_monitor
    from minidock.engine.exec import execute as execute_in

    name, *command = args.positionals
    detach = args.on("detach")
    env = environment(args)
    container = find(app, name)
    if args.on("tty") and args.on("interactive") and not detach:
        require_terminal(app)
    connection = fork_monitor(container)  # it gets ready while we go on here
    options = ExecOptions(
        command=tuple(command),
        terminal=args.on("tty"),
        interactive=args.on("interactive"),
        detach=detach,
        env=env,
        user=args.text("user"),
        working_dir=args.text("workdir"),
        privileged=args.on("privileged"),
        console_size=console_size(app),
    )
    narrate = narrator(args, app, executed=True)
    outcome = execute_in(container, options, connection, narrate)
    if narrate:
        end_narration(narrate, outcome, executed=True)
    if outcome.kind != "started":
        if detach:
            raise MinidockError(outcome.message)
        app.out(f"{visible(outcome.message)}\r\n")  # Docker sends it down the stream it had opened
        return outcome.code if outcome.code in (126, 127) else 126
    if detach:
        return 0
    stdin = app.stdin if options.interactive else -1
    terminal = options.terminal
    # Signals are not passed on: Ctrl-C ends `exec`, and its process goes on, as under Docker.
    return stay(app, connection, 0, stdin=stdin, terminal=terminal, detach_is_error=True)
