"""pause, unpause: a container that stands still, and goes on where it stood."""

from __future__ import annotations

from minidock.cli.command import Command

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from minidock.cli.app import App
    from minidock.cli.parse import Parsed
    from minidock.engine.containers import Container

_MODULE = "minidock.cli.container_pause:"

PAUSE = Command(
    help="Pause all processes within one or more containers",
    run=_MODULE + "pause",
    args="CONTAINER [CONTAINER...]",
    least=1,
    examples=("minidock pause web", "minidock pause web db"),
)
UNPAUSE = Command(
    help="Unpause all processes within one or more containers",
    run=_MODULE + "unpause",
    args="CONTAINER [CONTAINER...]",
    least=1,
    examples=("minidock unpause web",),
)


def pause(args: Parsed, app: App) -> int:
    """`minidock pause`"""
    from minidock.engine.pause import pause as pause_container

    return _each(args, app, pause_container)


def unpause(args: Parsed, app: App) -> int:
    """`minidock unpause`"""
    from minidock.engine.pause import unpause as unpause_container

    return _each(args, app, unpause_container)


def _each(args: Parsed, app: App, action: Callable[[Container], None]) -> int:

    containers = app.containers()

    def act(name: str) -> str:
        action(containers.find(name))
        return name

    return app.each(args.positionals, act)
