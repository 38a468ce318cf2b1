"""stop, kill, restart, wait, rename, rm: the commands that change what a container is doing."""

from __future__ import annotations

from minidock.cli.command import Command, Flag
from minidock.errors import MinidockError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from minidock.cli.app import App
    from minidock.cli.parse import Parsed
    from minidock.engine.containers import Container, Containers

_MODULE = "minidock.cli.container_state:"
_SIGNAL = Flag("signal", "s", help="Signal to send to the container")
_TIMEOUT = Flag("timeout", "t", "int", help="Seconds to wait before killing the container")
_TIME = Flag("time", kind="int", deprecated="use --timeout instead", hidden=True)

STOP = Command(
    help="Stop one or more running containers",
    run=_MODULE + "stop",
    args="CONTAINER [CONTAINER...]",
    least=1,
    flags=(_SIGNAL, _TIMEOUT, _TIME),
    examples=("minidock stop web", "minidock stop -t 2 web db"),
)
RESTART = Command(
    help="Restart one or more containers",
    run=_MODULE + "restart",
    args="CONTAINER [CONTAINER...]",
    least=1,
    flags=(_SIGNAL, _TIMEOUT, _TIME),
    examples=("minidock restart web",),
)
KILL = Command(
    help="Kill one or more running containers",
    run=_MODULE + "kill",
    args="CONTAINER [CONTAINER...]",
    least=1,
    flags=(_SIGNAL,),
    examples=("minidock kill web", "minidock kill -s HUP web"),
)
WAIT = Command(
    help="Block until one or more containers stop, then print their exit codes",
    run=_MODULE + "wait",
    args="CONTAINER [CONTAINER...]",
    least=1,
    examples=("minidock wait web",),
)
RENAME = Command(
    help="Rename a container",
    run=_MODULE + "rename",
    args="CONTAINER NEW_NAME",
    least=2,
    most=2,
    examples=("minidock rename jolly_ritchie web",),
)
RM = Command(
    help="Remove one or more containers",
    run=_MODULE + "rm",
    args="CONTAINER [CONTAINER...]",
    least=1,
    unsupported="minidock.cli.unsupported:RM",
    flags=(
        Flag("force", "f", "bool", help="Force the removal of a running container (uses SIGKILL)"),
        Flag("volumes", "v", "bool", help="Remove anonymous volumes associated with the container"),
    ),
    examples=("minidock rm web", "minidock rm -f web db"),
)


def _patience(args: Parsed) -> int | None:
    for flag in ("timeout", "time"):
        if args.given(flag):
            return args.number(flag)
    return None


def stop(args: Parsed, app: App) -> int:
    """`minidock stop`"""
    from minidock.engine import lifecycle

    containers, seconds = app.containers(), _patience(args)

    def stop_one(name: str) -> str:
        container = containers.find(name)
        lifecycle.stop(container, seconds, _signal(args))
        return name

    return app.each(args.positionals, stop_one)


def restart(args: Parsed, app: App) -> int:
    """`minidock restart`"""
    from minidock.cli.container_start import start_quietly
    from minidock.engine import lifecycle
    from minidock.engine.events import tell

    containers, seconds = app.containers(), _patience(args)

    def restart_one(name: str) -> str:
        container = containers.find(name)
        try:
            lifecycle.stop(container, seconds, _signal(args))
            start_quietly(app, container)
            tell(container, "restart")
        except MinidockError as error:
            error.message = f"Cannot restart container {name}: {error.message}"
            raise
        return name

    return app.each(args.positionals, restart_one)


def _signal(args: Parsed) -> int | None:
    """What `-s` says, after the container was found, as in Docker. Raises `InvalidInput`."""
    from minidock.engine.lifecycle import parse_signal

    return parse_signal(args.text("signal")) if args.text("signal") else None


def kill(args: Parsed, app: App) -> int:
    """`minidock kill`"""
    from minidock.engine import lifecycle

    containers = app.containers()
    number = lifecycle.parse_signal(args.text("signal") or "KILL")

    def kill_one(name: str) -> str:
        try:
            lifecycle.send_signal(containers.find(name), number)
        except MinidockError as error:
            error.message = f"cannot kill container: {name}: {error.message}"
            raise
        return name

    return app.each(args.positionals, kill_one)


def wait(args: Parsed, app: App) -> int:
    """`minidock wait`"""
    from minidock.engine import lifecycle

    containers = app.containers()
    return app.each(args.positionals, lambda name: str(lifecycle.wait(containers.find(name))))


def rename(args: Parsed, app: App) -> int:
    """`minidock rename`"""
    from minidock.cli.command import ClientError

    containers = app.containers()
    old, new = (text.strip() for text in args.positionals)
    if not old or not new:
        raise ClientError("Error: Neither old nor new names may be empty")
    try:
        containers.rename(containers.find(old.removeprefix("/")), new)
    except MinidockError as error:
        code = app.fail(error)
        app.err(f"Error: failed to rename container named {old}\n")
        return code
    return 0


def _those_there(containers: Containers, names: Sequence[str]) -> Iterator[Container]:
    from minidock.errors import InvalidInput, NotFound

    for name in names:
        try:
            yield containers.find(name)
        except (NotFound, InvalidInput):
            continue  # said when its turn comes


def rm(args: Parsed, app: App) -> int:
    """`minidock rm`"""
    from minidock.engine import lifecycle
    from minidock.errors import NotFound

    containers, force, volumes = app.containers(), args.on("force"), args.on("volumes")
    killed: set[str] = set()
    if force and len(args.positionals) > 1:
        killed = lifecycle.kill_all(_those_there(containers, args.positionals))

    def remove_one(name: str) -> str | None:
        try:
            container = containers.find(name)
        except NotFound as error:
            if not force:
                raise
            app.err(f"Error response from daemon: {error.message}\n")
            return None
        killed_before = container.id in killed
        lifecycle.remove(container, force=force, killed=killed_before, volumes=volumes)
        return name

    return app.each(args.positionals, remove_one)
