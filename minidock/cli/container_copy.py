"""cp: files between a container and the host."""

from __future__ import annotations

import os

from minidock.cli.command import ClientError, Command, Flag
from minidock.errors import InvalidInput

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from minidock.cli.app import App
    from minidock.cli.parse import Parsed
    from minidock.engine.copy import Wishes

CP = Command(
    help="Copy files/folders between a container and the local filesystem",
    description="""Copy files/folders between a container and the local filesystem

Use '-' as the source to read a tar archive from stdin
and extract it to a directory destination in a container.
Use '-' as the destination to stream a tar archive of a
container source to stdout.""",
    run="minidock.cli.container_copy:copy",
    args="CONTAINER:SRC_PATH DEST_PATH|-\n\tminidock cp [OPTIONS] SRC_PATH|- CONTAINER:DEST_PATH",
    least=2,
    most=2,
    flags=(
        Flag("archive", "a", "bool", help="Archive mode (copy all uid/gid information)"),
        Flag("follow-link", "L", "bool", help="Always follow symbol link in SRC_PATH"),
        Flag(
            "quiet",
            "q",
            "bool",
            help="Suppress progress output during copy. Progress output is automatically suppressed"
            " if no terminal is attached",
        ),
    ),
    examples=(
        "minidock cp web:/etc/nginx .",
        "minidock cp index.html web:/var/www/",
        "minidock cp config/. web:/etc/app",
        "minidock cp web:/var/log -",
    ),
)

_EVERY = 0.2  # seconds between two looks at how far it is


def copy(args: Parsed, app: App) -> int:
    """`minidock cp`"""
    from minidock.engine.copy import LocalError

    source, destination = args.positionals
    if not source:
        raise ClientError("source can not be empty")
    if not destination:
        raise ClientError("destination can not be empty")
    from_container, source = split_argument(source)
    to_container, destination = split_argument(destination)
    if from_container and to_container:
        raise ClientError("copying between containers is not supported")
    if not from_container and not to_container:
        raise ClientError("must specify at least one container source")
    quiet = args.on("quiet") if args.given("quiet") else not os.isatty(app.stdout)
    try:
        if from_container:
            _from(args, app, from_container, source, destination, quiet=quiet)
        else:
            _to(args, app, to_container, source, destination, quiet=quiet)
    except LocalError as error:
        raise ClientError(error.message) from error
    return 0


def split_argument(text: str) -> tuple[str, str]:
    """`web:/etc` → ("web", "/etc"); a path of the host's → ("", path). What begins with a slash or
    a dot is one, whatever follows."""
    container, colon, path = text.partition(":")
    if text.startswith("/") or not colon or container.startswith("."):
        return "", text
    return container, path


def _from(args: Parsed, app: App, name: str, source: str, destination: str, *, quiet: bool) -> None:
    from minidock.engine.copy import check_output, copy_from, copy_out
    from minidock.engine.copy_names import as_typed
    from minidock.engine.output import OutputClosed

    check_output(os.path.abspath(destination))
    container = app.containers().find(name)
    if not source:
        raise InvalidInput("bad parameter: path cannot be empty")
    if destination != "-":
        progress = Progress(app, "from", quiet=quiet)
        copy_from(container, source, destination, _wishes(args, name, progress.add))
        return progress.end(as_typed(os.path.abspath(destination), destination))
    try:
        return copy_out(container, source, app.stdout, _wishes(args, name, _nobody))
    except BrokenPipeError as error:
        raise OutputClosed from error


def _to(args: Parsed, app: App, name: str, source: str, destination: str, *, quiet: bool) -> None:
    from minidock.engine.copy import copy_in, copy_to

    container = app.containers().find(name)
    if not destination:
        raise ClientError("no such directory")
    progress = Progress(app, "to", quiet=quiet)
    wishes = _wishes(args, name, progress.add)
    if source == "-":
        copy_in(container, app.stdin, destination, wishes)
    else:
        copy_to(container, source, destination, wishes)
    progress.end(f"{name}:{destination}")


def _wishes(args: Parsed, name: str, watch: Callable[[int], object]) -> Wishes:
    from minidock.engine.copy import Wishes

    return Wishes(name, args.on("follow-link"), args.on("archive"), watch)


def _nobody(size: int) -> None:
    """Whoever sees the tar sees how far it is."""


class Progress:
    """Tells on standard error how much there is already, on a line of its own that is written over,
    and in the end how much it was."""

    def __init__(self, app: App, direction: str, *, quiet: bool) -> None:
        from time import monotonic

        self._app = app
        self._quiet = quiet
        self._live = not quiet and os.isatty(app.stderr)
        self._words = f"Copying {direction} container - "
        self._clock = monotonic
        self._next = monotonic() + _EVERY
        self._size = 0

    def add(self, size: int) -> None:
        """So many bytes more."""
        self._size += size
        if self._live and self._clock() > self._next:
            self._next = self._clock() + _EVERY
            self._app.err(f"\r\x1b[K{self._words}{self._shown()}")

    def end(self, where: str) -> None:
        if not self._quiet:
            from minidock.spec.quoting import visible

            clear = "\r\x1b[K" if self._live else ""
            words = f"Successfully copied {self._shown()} to {visible(where)}"
            self._app.err(f"{clear}{words}\n")

    def _shown(self) -> str:
        from minidock.cli.units import human_size

        return human_size(self._size)
