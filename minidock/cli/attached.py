"""In front of a process: what run, exec, start and attach have in common.

Each of them finds or makes a container, has a monitor start something in it, and then, unless it
was told to detach, stays: what is typed goes in, what is printed comes out, until the process ends.
"""

from __future__ import annotations

import os

from minidock.cli.command import Flag, UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from minidock.cli.app import App
    from minidock.cli.parse import Parsed
    from minidock.engine.client import MonitorConnection, Outcome
    from minidock.engine.containers import Container
    from minidock.study.explain import Narration

EXPLAIN = Flag("explain", kind="bool", help="Tell each kernel step as it happens, on stderr")
TTY = Flag("tty", "t", "bool", help="Allocate a pseudo-TTY")
INTERACTIVE = Flag("interactive", "i", "bool", help="Keep STDIN open even if not attached")
ENV = Flag("env", "e", "list", help="Set environment variables")
ENV_FILE = Flag("env-file", kind="list", help="Read in a file of environment variables")
USER = Flag("user", "u", help='Username or UID (format: "<name|uid>[:<group|gid>]")')
WORKDIR = Flag("workdir", "w", help="Working directory inside the container")


def monitor(app: App) -> MonitorConnection:
    """The monitor that `main` has spawned already, or one more."""
    from minidock.engine.client import MonitorConnection
    from minidock.engine.spawn import spawn_monitor

    socket, app.monitor = app.monitor or spawn_monitor(), None
    return MonitorConnection(socket)


def find(app: App, name: str) -> Container:
    """The container of that name or id. Raises `NotFound`."""

    return app.containers().find(name)


def narrator(args: Parsed, app: App, *, executed: bool = False) -> Narration | None:
    """Who tells what happens, with `--explain`."""
    if not args.on("explain"):
        return None
    from minidock.study.explain import BEFORE, BEFORE_EXEC, narration_for

    narration = narration_for(app.err, app.stderr)
    narration.tell("command", BEFORE_EXEC if executed else BEFORE)
    return narration


def end_narration(narration: Narration, outcome: Outcome, *, executed: bool) -> None:
    """The last words of `--explain`."""
    from minidock.study.explain import AFTER_EXEC, AFTER_START

    if outcome.kind == "started":
        narration.tell("monitor", AFTER_EXEC if executed else AFTER_START)
    narration.summary()


def require_terminal(app: App) -> None:
    """Docker's answer to `-it` in a pipe."""
    if not os.isatty(app.stdin):
        raise UsageError("the input device is not a TTY\n", 1)


def console_size(app: App) -> tuple[int, int]:
    """Rows and columns of the terminal we are on, zeros where we are on none."""
    for fd in (app.stdin, app.stdout, app.stderr):
        try:
            size = os.get_terminal_size(fd)
        except OSError:
            continue
        return size.lines, size.columns
    return 0, 0


def stay(
    app: App,
    connection: MonitorConnection,
    pid: int,
    *,
    stdin: int,
    terminal: bool,
    detach_is_error: bool = False,
    container: Container | None = None,
) -> int:
    """Stay until the process ends; its exit code. With `pid`, and without a terminal, it gets the
    signals that we get. What we do to a `container` meanwhile is told to others (events.py)."""
    from minidock.engine.client import Attachment
    from minidock.engine.events import tell

    def told(action: str, **more: str) -> None:
        if container:
            tell(container, action, **more)

    outcome = Attachment(
        connection,
        stdin=stdin,
        stdout=app.stdout,
        stderr=app.stderr,
        terminal=terminal,
        signals=bool(pid) and not terminal,
        told=told,
    ).run()
    if outcome.kind != "detached":
        return outcome.code
    if not detach_is_error:
        return 0
    app.err("read escape sequence\n")  # as Docker, of `attach` and `exec`, not of `run`
    return 1
