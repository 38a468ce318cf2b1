"""container prune, image prune, system prune: tidy up, after asking."""

from __future__ import annotations

import os

from minidock.cli.command import ClientError, Command, Flag
from minidock.cli.filters import collect_filters, filter_pair
from minidock.cli.units import human_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from minidock.cli.app import App
    from minidock.cli.parse import Parsed
    from minidock.engine.prune import Pruned, Wanted

_MODULE = "minidock.cli.prune:"
_FORCE = Flag("force", "f", "bool", help="Do not prompt for confirmation")
_FILTER = Flag(
    "filter",
    kind="list",
    value="filter",
    check=filter_pair,
    help='Provide filter values (e.g. "until=<timestamp>")',
)

CONTAINERS = Command(
    help="Remove all stopped containers",
    run=_MODULE + "containers",
    most=0,
    flags=(_FILTER, _FORCE),
    examples=("minidock container prune", "minidock container prune -f --filter until=24h"),
)
IMAGES = Command(
    help="Remove unused images",
    run=_MODULE + "images",
    most=0,
    flags=(
        Flag("all", "a", "bool", help="Remove all unused images, not just dangling ones"),
        _FILTER,
        _FORCE,
    ),
    examples=("minidock image prune", "minidock image prune -a --filter until=240h"),
)
SYSTEM = Command(
    help="Remove unused data",
    run=_MODULE + "system",
    most=0,
    flags=(
        Flag("all", "a", "bool", help="Remove all unused images not just dangling ones"),
        _FILTER,
        _FORCE,
        Flag("volumes", kind="bool", help="Prune anonymous volumes"),
    ),
    examples=("minidock system prune", "minidock system prune -a -f --volumes"),
)
SURE = "Are you sure you want to continue? [y/N] "


def containers(args: Parsed, app: App) -> int:
    """`minidock container prune`"""
    wanted = wanted_of(args, "container")
    ask(args, app, "WARNING! This will remove all stopped containers.\n" + SURE)
    pruned = _prune_containers(app, wanted)
    _tell(app, "Deleted Containers:", pruned)
    app.out(f"Total reclaimed space: {human_size(pruned.reclaimed, 4)}\n")
    return 0


def images(args: Parsed, app: App) -> int:
    """`minidock image prune`"""
    everything = args.on("all")
    wanted = wanted_of(args, "image")
    for value in collect_filters(args.each("filter")).get("dangling", ()):
        everything = everything or value in ("false", "0")
    which = (
        "all images without at least one container associated to them."
        if everything
        else "all dangling images."
    )
    ask(args, app, f"WARNING! This will remove {which}\n" + SURE)
    pruned = _prune_images(app, wanted, everything=everything)
    _tell(app, "Deleted Images:", pruned)
    app.out(f"Total reclaimed space: {human_size(pruned.reclaimed, 4)}\n")
    return 0


def system(args: Parsed, app: App) -> int:
    """`minidock system prune`"""
    everything, volumes, wanted = args.on("all"), args.on("volumes"), wanted_of(args, "container")
    if volumes and wanted.until is not None:
        raise ClientError('ERROR: The "until" filter is not supported with "--volumes"')
    which = (
        "all images without at least one container associated to them"
        if everything
        else "all dangling images"
    )
    going = (
        "all stopped containers",
        "all networks not used by at least one container",
        *(("all anonymous volumes not used by at least one container",) if volumes else ()),
        which,
        "all build cache" if everything else "unused build cache",
    )
    warning = "".join(f"  - {words}\n" for words in going)
    ask(args, app, f"WARNING! This will remove:\n{warning}\n{SURE}")
    from minidock.cli.networks import tell_pruned

    first = _prune_containers(app, wanted)
    _tell(app, "Deleted Containers:", first)
    tell_pruned(app, wanted)
    room = first.reclaimed
    if volumes:
        from minidock.cli.volumes import prune_all

        room += prune_all(app, wanted, everything=False).reclaimed
    second = _prune_images(app, wanted, everything=everything)
    _tell(app, "Deleted Images:", second)
    from minidock.cli.builder import prune_all as prune_builds

    room += prune_builds(app, everything=everything, until=wanted.until)
    app.out(f"Total reclaimed space: {human_size(room + second.reclaimed, 4)}\n")
    return 0


def wanted_of(args: Parsed, what: str) -> Wanted:
    """Read the filters. Raises `InvalidInput`."""
    import time

    from minidock.cli.moments import parse_moment
    from minidock.engine.prune import CONTAINER_FILTERS, IMAGE_FILTERS, Wanted, check_filters
    from minidock.errors import InvalidInput

    filters = collect_filters(args.each("filter"))
    check_filters(filters, CONTAINER_FILTERS if what == "container" else IMAGE_FILTERS)
    moments: Sequence[str] = filters.get("until", ())
    if len(moments) > 1:
        raise InvalidInput("more than one until filter specified")
    until = None
    for text in moments:
        try:
            until = parse_moment(text, time.time_ns())
        except ValueError as error:
            raise InvalidInput(f"invalid until filter: {error}") from None
    return Wanted(until, tuple(filters.get("label", ())), tuple(filters.get("label!", ())))


def ask(args: Parsed, app: App, question: str) -> None:
    """Raises `ClientError` unless the answer is yes."""
    if args.on("force"):
        return
    app.out(question)
    answer = b""
    while not answer.endswith(b"\n") and (char := os.read(app.stdin, 1)):
        answer += char
    if answer.strip().lower() != b"y":
        raise ClientError("prune has been cancelled")


def _prune_containers(app: App, wanted: Wanted) -> Pruned:
    from minidock.engine.image_events import tell_pruned
    from minidock.engine.prune import prune_containers

    pruned = prune_containers(app.containers(), wanted)
    tell_pruned(app.run_root, "container", pruned.reclaimed)
    return pruned


def _prune_images(app: App, wanted: Wanted, *, everything: bool) -> Pruned:
    from minidock.engine.containers import Containers
    from minidock.engine.image_events import tell_pruned
    from minidock.engine.paths import Paths
    from minidock.engine.prune import prune_images
    from minidock.image.store import ImageStore

    paths = Paths(app.root, app.run_root)
    store = ImageStore(app.root)
    pruned = prune_images(paths, Containers(paths), store, wanted, everything=everything)
    tell_pruned(app.run_root, "image", pruned.reclaimed)
    return pruned


def _tell(app: App, title: str, pruned: Pruned) -> None:
    if pruned.lines:
        app.out("\n".join((title, *pruned.lines)) + "\n\n")
