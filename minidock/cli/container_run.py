"""run, create, exec, attach, start: the commands that put a person in front of a process."""

from __future__ import annotations

import os

from minidock.cli.command import ClientError, Command, Flag, UsageError
from minidock.cli.run_options import environment, run_options
from minidock.errors import MinidockError, StartFailed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from minidock.cli.app import App
    from minidock.cli.parse import Parsed
    from minidock.engine.client import MonitorConnection, Outcome
    from minidock.engine.containers import Container
    from minidock.engine.run import RunOptions
    from minidock.study.explain import Narration

_UNSUPPORTED = "minidock.cli.unsupported:"
_EXPLAIN = Flag("explain", kind="bool", help="Tell each kernel step as it happens, on stderr")
_TTY = Flag("tty", "t", "bool", help="Allocate a pseudo-TTY")
_INTERACTIVE = Flag("interactive", "i", "bool", help="Keep STDIN open even if not attached")
_ENV = Flag("env", "e", "list", help="Set environment variables")
_ENV_FILE = Flag("env-file", kind="list", help="Read in a file of environment variables")
_USER = Flag("user", "u", help='Username or UID (format: "<name|uid>[:<group|gid>]")')
_WORKDIR = Flag("workdir", "w", help="Working directory inside the container")

_CREATE_FLAGS = (
    Flag("cidfile", help="Write the container ID to the file"),
    Flag("entrypoint", help="Overwrite the default ENTRYPOINT of the image"),
    _ENV,
    _ENV_FILE,
    Flag("hostname", "h", help="Container host name"),
    Flag("init", kind="bool", help="Run an init that forwards signals and reaps processes"),
    _INTERACTIVE,
    Flag("label", "l", "list", help="Set meta data on a container"),
    Flag("name", help="Assign a name to the container"),
    Flag("net", value="network", help="Connect a container to a network", hidden=True),
    Flag("network", value="network", help='Connect a container to a network ("none", "host")'),
    Flag("pull", default="missing", help='Pull image before running ("missing", "never")'),
    Flag("read-only", kind="bool", help="Mount the container's root filesystem as read only"),
    Flag("rm", kind="bool", help="Automatically remove the container when it exits"),
    Flag("stop-signal", help="Signal to stop the container"),
    _TTY,
    _USER,
    _WORKDIR,
)

RUN = Command(
    help="Create and run a new container from an image",
    run="minidock.cli.container_run:run",
    args="IMAGE [COMMAND] [ARG...]",
    least=1,
    interspersed=False,
    wraps="all",
    unsupported=_UNSUPPORTED + "RUN",
    flags=(
        *_CREATE_FLAGS,
        Flag("detach", "d", "bool", help="Run container in background and print container ID"),
        _EXPLAIN,
    ),
    examples=(
        "minidock run -it ubuntu /bin/bash",
        "minidock run --rm --network none debian cat /etc/os-release",
        "minidock run --explain --rm debian true",
    ),
)

CREATE = Command(
    help="Create a new container",
    run="minidock.cli.container_run:create",
    args="IMAGE [COMMAND] [ARG...]",
    least=1,
    interspersed=False,
    wraps="client",
    unsupported=_UNSUPPORTED + "CREATE",
    flags=_CREATE_FLAGS,
    examples=("minidock create --name web debian sleep 600",),
)

EXEC = Command(
    help="Execute a command in a running container",
    run="minidock.cli.container_run:execute",
    args="CONTAINER COMMAND [ARG...]",
    least=2,
    interspersed=False,
    unsupported=_UNSUPPORTED + "EXEC",
    flags=(
        Flag("detach", "d", "bool", help="Detached mode: run command in the background"),
        _ENV,
        _ENV_FILE,
        _EXPLAIN,
        _INTERACTIVE,
        _TTY,
        _USER,
        _WORKDIR,
    ),
    examples=("minidock exec -it web bash", "minidock exec -u www-data web id"),
)

ATTACH = Command(
    help="Attach local standard input, output, and error streams to a running container",
    run="minidock.cli.container_run:attach",
    args="CONTAINER",
    least=1,
    most=1,
    unsupported=_UNSUPPORTED + "ATTACH",
    flags=(Flag("no-stdin", kind="bool", help="Do not attach STDIN"),),
    examples=("minidock attach web",),
)

START = Command(
    help="Start one or more stopped containers",
    run="minidock.cli.container_run:start",
    args="CONTAINER [CONTAINER...]",
    least=1,
    unsupported=_UNSUPPORTED + "START",
    flags=(
        Flag("attach", "a", "bool", help="Attach STDOUT/STDERR and forward signals"),
        _EXPLAIN,
        Flag("interactive", "i", "bool", help="Attach container's STDIN"),
    ),
    examples=("minidock start web", "minidock start -ai web"),
)


def run(args: Parsed, app: App) -> int:
    """`minidock run`"""
    from minidock.engine.run import start as start_container

    options = run_options(args, attach=not args.on("detach"))
    if args.on("tty") and args.on("interactive") and options.attach:
        _require_terminal(app)
    connection = _monitor(app)
    container = _create(args, app, options)
    narrate = _narrator(args, app)
    outcome = start_container(container, connection, attach=options.attach, narrate=narrate)
    if narrate:
        _end_narration(narrate, outcome, executed=False)
    if not options.attach:
        app.out(f"{container.id}\n")  # it exists, whether it started or not
    if outcome.kind != "started":
        _write_start_error(outcome)
    if not options.attach:
        return 0
    stdin = app.stdin if options.interactive else -1
    return _attach(app, connection, outcome.code, stdin=stdin, terminal=options.terminal)


def create(args: Parsed, app: App) -> int:
    """`minidock create`"""
    container = _create(args, app, run_options(args, attach=True))
    app.out(f"{container.id}\n")
    return 0


def execute(args: Parsed, app: App) -> int:
    """`minidock exec`"""
    from minidock.engine.exec import ExecOptions, fork_monitor
    from minidock.engine.exec import execute as execute_in

    name, *command = args.positionals
    detach = args.on("detach")
    env = environment(args)
    container = _find(app, name)
    if args.on("tty") and args.on("interactive") and not detach:
        _require_terminal(app)
    connection = fork_monitor(container)  # it gets ready while we go on here
    options = ExecOptions(
        command=tuple(command),
        terminal=args.on("tty"),
        interactive=args.on("interactive"),
        detach=detach,
        env=env,
        user=args.text("user"),
        working_dir=args.text("workdir"),
        console_size=_console_size(app),
    )
    narrate = _narrator(args, app, executed=True)
    outcome = execute_in(container, options, connection, narrate)
    if narrate:
        _end_narration(narrate, outcome, executed=True)
    if outcome.kind != "started":
        if detach:
            raise MinidockError(outcome.message)
        app.out(f"{outcome.message}\r\n")  # Docker sends it down the stream it had opened
        return outcome.code if outcome.code in (126, 127) else 126
    if detach:
        return 0
    stdin = app.stdin if options.interactive else -1
    terminal = options.terminal
    # Signals are not passed on: Ctrl-C ends `exec`, and its process goes on, as under Docker.
    return _attach(app, connection, 0, stdin=stdin, terminal=terminal, detach_is_error=True)


def attach(args: Parsed, app: App) -> int:
    """`minidock attach`"""
    container = _find(app, args.positionals[0])
    with_stdin = not args.on("no-stdin") and bool(container.config["OpenStdin"])
    return _attach_running(app, container, with_stdin=with_stdin, detach_is_error=True)


def _attach_running(
    app: App, container: Container, *, with_stdin: bool, detach_is_error: bool = False
) -> int:
    from minidock.engine import frames
    from minidock.engine.client import MonitorConnection

    state = container.state()
    if not state.running:
        raise ClientError("You cannot attach to a stopped container, start it first")
    if state.status == "paused":
        raise ClientError("You cannot attach to a paused container, unpause it first")
    terminal = bool(container.config["Tty"])
    stdin = app.stdin if with_stdin else -1
    if terminal and with_stdin:
        _require_terminal(app)
    connection = MonitorConnection.connect(container.socket_path)
    connection.send(frames.ATTACH)
    return _attach(
        app,
        connection,
        state.pid,
        stdin=stdin,
        terminal=terminal,
        detach_is_error=detach_is_error,
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
            _start(app, _find(app, name), _narrator(args, app))
        except MinidockError:
            failed.append(name)
            raise
        return name

    code = app.each(names, start_one)
    if failed:
        app.err(f"Error: failed to start containers: {', '.join(failed)}\n")
    return code


def _start_attached(args: Parsed, app: App, name: str) -> int:
    container = _find(app, name)
    terminal = bool(container.config["Tty"])
    stdin = app.stdin if args.on("interactive") and container.config["OpenStdin"] else -1
    if terminal and stdin >= 0:
        _require_terminal(app)
    if container.state().running:
        return _attach_running(app, container, with_stdin=stdin >= 0)
    connection, pid = _start(app, container, _narrator(args, app), attach=True)
    return _attach(app, connection, pid, stdin=stdin, terminal=terminal)


def start_quietly(app: App, container: Container) -> None:
    """Start without attaching, as `start` and `restart` do. Raises `MinidockError`."""
    _start(app, container, None)


def _start(
    app: App,
    container: Container,
    narrate: Narration | None,
    *,
    attach: bool = False,
) -> tuple[MonitorConnection, int]:
    from minidock.engine.run import start as start_container

    connection = _monitor(app)
    if container.state().running:
        connection.close()
        return connection, 0
    outcome = start_container(container, connection, attach=attach, narrate=narrate)
    if narrate:
        _end_narration(narrate, outcome, executed=False)
    if outcome.kind != "started":
        _write_start_error(outcome)
    return connection, outcome.code


# ── what they share ──


def _create(args: Parsed, app: App, options: RunOptions) -> Container:
    from minidock.engine.containers import Containers
    from minidock.engine.paths import Paths
    from minidock.engine.run import create as create_container
    from minidock.errors import NotFound
    from minidock.image.store import ImageStore

    pull = args.text("pull")
    if pull not in ("missing", "never"):
        known = "" if pull == "always" else f"invalid pull option: '{pull}': "
        raise ClientError(f'{known}must be one of "missing" or "never" (registries come later)')
    _check_reference(options.image)
    cidfile = _open_cidfile(args)
    paths = Paths(app.root, app.run_root)
    try:
        container = create_container(paths, Containers(paths), ImageStore(app.root), options)
        if cidfile >= 0:
            os.write(cidfile, container.id.encode())
    except MinidockError as error:
        if cidfile >= 0:
            os.unlink(args.text("cidfile"))
        missing = isinstance(error, NotFound) and error.message.startswith("No such image")
        if not missing or pull == "never":
            raise
        raise _not_pulled(app, options.image) from error
    finally:
        if cidfile >= 0:
            os.close(cidfile)
    return container


def _open_cidfile(args: Parsed) -> int:
    """The new file of `--cidfile`, -1 without. It is made before the container, which nobody could
    find again if its id could not be written down."""
    path = args.text("cidfile")
    if not path:
        return -1
    try:
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    except FileExistsError:
        found = "container ID file found, make sure the other container isn't running or delete"
        message = f"{found} {path}"
    except OSError as error:
        why = str(error.strerror).lower()
        message = f"failed to create the container ID file: open {path}: {why}"
    if args.command is CREATE:
        raise UsageError(f"{message}\n", 1)  # without the prefix that other errors have
    raise ClientError(message)


def _check_reference(image: str) -> None:
    """Docker's client reads the name before its engine does, and says so without it."""
    from minidock.errors import InvalidInput
    from minidock.spec.reference import is_identifier, parse_reference

    try:
        if not is_identifier(image):
            parse_reference(image)
    except InvalidInput as error:
        raise ClientError(error.message) from error


def _not_pulled(app: App, name: str) -> MinidockError:
    """Docker would pull now."""
    from minidock.spec.reference import parse_reference

    familiar = parse_reference(name).familiar
    app.err(f"Unable to find image '{familiar}' locally\n")
    repository = familiar.partition("@")[0].rpartition(":")[0] or familiar
    return MinidockError(
        f"pull access denied for {repository}, repository does not exist or may require "
        "'minidock login'",
        hint="Registries come later: make the image with `minidock import`.",
    )


def _monitor(app: App) -> MonitorConnection:
    """The monitor that `main` has spawned already, or one more."""
    from minidock.engine.client import MonitorConnection
    from minidock.engine.spawn import spawn_monitor

    socket, app.monitor = app.monitor or spawn_monitor(), None
    return MonitorConnection(socket)


def _find(app: App, name: str) -> Container:
    from minidock.engine.containers import Containers
    from minidock.engine.paths import Paths

    return Containers(Paths(app.root, app.run_root)).find(name)


def _narrator(args: Parsed, app: App, *, executed: bool = False) -> Narration | None:
    if not args.on("explain"):
        return None
    from minidock.study.explain import BEFORE, BEFORE_EXEC, narration_for

    narration = narration_for(app.err, app.stderr)
    narration.tell("command", BEFORE_EXEC if executed else BEFORE)
    return narration


def _end_narration(narration: Narration, outcome: Outcome, *, executed: bool) -> None:
    from minidock.study.explain import AFTER_EXEC, AFTER_START

    if outcome.kind == "started":
        narration.tell("monitor", AFTER_EXEC if executed else AFTER_START)
    narration.summary()


def _write_start_error(outcome: Outcome) -> None:
    raise StartFailed(outcome.message, exit_code=outcome.code)


def _require_terminal(app: App) -> None:
    if not os.isatty(app.stdin):
        raise UsageError("the input device is not a TTY\n", 1)


def _console_size(app: App) -> tuple[int, int]:
    for fd in (app.stdin, app.stdout, app.stderr):
        try:
            size = os.get_terminal_size(fd)
        except OSError:
            continue
        return size.lines, size.columns
    return 0, 0


def _attach(
    app: App,
    connection: MonitorConnection,
    pid: int,
    *,
    stdin: int,
    terminal: bool,
    detach_is_error: bool = False,
) -> int:
    """Stay until the process ends; its exit code. `pid` gets the signals that we get, 0: none."""
    from minidock.engine.client import Attachment

    pidfd = -1
    if pid and not terminal:
        try:
            pidfd = os.pidfd_open(pid)
        except OSError:
            pidfd = -1  # it has ended already; the monitor will say how
    outcome = Attachment(
        connection,
        stdin=stdin,
        stdout=app.stdout,
        stderr=app.stderr,
        terminal=terminal,
        signal_pidfd=pidfd,
    ).run()
    if outcome.kind != "detached":
        return outcome.code
    if not detach_is_error:
        return 0
    app.err("read escape sequence\n")  # as Docker, of `attach` and `exec`, not of `run`
    return 1
