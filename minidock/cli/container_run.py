"""run and create: a container from an image."""

from __future__ import annotations

from minidock.cli.attached import (
    EXPLAIN,
    end_narration,
    monitor,
    narrator,
    require_terminal,
    stay,
)
from minidock.cli.command import ClientError, Command, Flag, UsageError
from minidock.cli.run_flags import CREATE_FLAGS
from minidock.cli.run_options import run_options
from minidock.errors import NotFound, StartFailed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from minidock.cli.app import App
    from minidock.cli.cidfile import CidFile
    from minidock.cli.parse import Parsed
    from minidock.engine.containers import Container
    from minidock.engine.run import RunOptions

_UNSUPPORTED = "minidock.cli.unsupported:"

RUN = Command(
    help="Create and run a new container from an image",
    run="minidock.cli.container_run:run",
    args="IMAGE [COMMAND] [ARG...]",
    least=1,
    interspersed=False,
    wraps="all",
    unsupported=_UNSUPPORTED + "RUN",
    flags=(
        *CREATE_FLAGS,
        Flag("detach", "d", "bool", help="Run container in background and print container ID"),
        EXPLAIN,
    ),
    examples=(
        "minidock run -it ubuntu /bin/bash",
        "minidock run --rm --network none debian cat /etc/os-release",
        "minidock run -d --name web -p 8080:80 busybox httpd -f -h /etc",
        "minidock run -d --name web --network shop --network-alias www debian sleep 600",
        "minidock run -d -v data:/srv -v ./conf:/etc/app:ro debian sleep 600",
        "minidock run --rm --mount type=tmpfs,dst=/scratch,tmpfs-size=64m debian df /scratch",
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
    flags=CREATE_FLAGS,
    examples=("minidock create --name web debian sleep 600",),
)


def run(args: Parsed, app: App) -> int:
    """`minidock run`"""
    from minidock.engine.start import start as start_container

    options = run_options(args, attach=not args.on("detach"))
    if args.on("tty") and args.on("interactive") and options.attach:
        require_terminal(app)
    connection = monitor(app)
    container = _create(args, app, options)
    narrate = narrator(args, app)
    outcome = start_container(container, connection, attach=options.attach, narrate=narrate)
    if narrate:
        end_narration(narrate, outcome, executed=False)
    if not options.attach:
        app.out(f"{container.id}\n")  # it exists, whether it started or not
    if outcome.kind != "started":
        raise StartFailed(outcome.message, exit_code=outcome.code)
    if not options.attach:
        return 0
    stdin = app.stdin if options.interactive else -1
    terminal = options.terminal
    return stay(app, connection, outcome.code, stdin=stdin, terminal=terminal, container=container)


def create(args: Parsed, app: App) -> int:
    """`minidock create`"""
    container = _create(args, app, run_options(args, attach=True))
    app.out(f"{container.id}\n")
    return 0


def _create(args: Parsed, app: App, options: RunOptions) -> Container:
    from minidock.engine.containers import Containers
    from minidock.engine.paths import Paths
    from minidock.engine.run import create as create_container
    from minidock.image.store import ImageStore

    pull = args.text("pull")
    if pull not in ("always", "missing", "never"):
        raise ClientError(
            f'invalid pull option: \'{pull}\': must be one of "always", "missing" or "never"'
        )
    _check_reference(options.image)
    if pull == "always" or (pull == "missing" and _is_for_another(args, app, options.image)):
        _pull(args, app, options.image)
    cidfile = _cidfile(args)
    paths = Paths(app.root, app.run_root)
    parts = paths, Containers(paths), ImageStore(app.root), options, app.warn
    try:
        try:
            container = create_container(*parts)
        except NotFound as error:
            if not error.message.startswith("No such image") or pull != "missing":
                raise
            _pull(args, app, options.image)
            container = create_container(*parts)
        if cidfile:
            cidfile.write(container.id)
    finally:
        if cidfile:
            cidfile.close()
    return container


def _cidfile(args: Parsed) -> CidFile | None:
    path = args.text("cidfile")
    if not path:
        return None
    from minidock.cli.cidfile import CidFile

    try:
        return CidFile(path)
    except ClientError as error:
        if args.command is CREATE:
            raise UsageError(f"{error.message}\n", 1) from error  # without Docker's usual prefix
        raise


def _check_reference(image: str) -> None:
    """Docker's client reads the name before its engine does, and says so without it."""
    from minidock.errors import InvalidInput
    from minidock.spec.reference import is_identifier, parse_reference

    try:
        if not is_identifier(image):
            parse_reference(image)
    except InvalidInput as error:
        raise ClientError(error.message) from error


def _is_for_another(args: Parsed, app: App, name: str) -> bool:
    """Whether `--platform` asks for another one than the image here is for."""
    if not args.text("platform"):
        return False
    from minidock.cli.registries import parse_platform
    from minidock.errors import NotFound
    from minidock.image.store import ImageStore
    from minidock.spec.image import Platform

    try:
        config = ImageStore(app.root).resolve(name).config
    except NotFound:
        return False  # it will be pulled in any case
    mine = Platform(config.os, config.architecture, config.variant)
    return not mine.fits(parse_platform(args.text("platform")))


def _pull(args: Parsed, app: App, name: str) -> None:
    """Fetch an image that is not here. Standard output is the container's: all is told aside."""
    from minidock.cli.registries import fetch, parse_platform
    from minidock.spec.reference import is_identifier, parse_reference

    if is_identifier(name.removeprefix("sha256:")):
        raise NotFound(f"No such image: {name}")
    reference, quiet = parse_reference(name), args.on("quiet")
    if not quiet and args.text("pull") != "always":
        app.err(f"Unable to find image '{reference.familiar}' locally\n")
    fetch(app, reference, parse_platform(args.text("platform")), quiet=quiet, aside=True)
