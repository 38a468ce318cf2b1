"""builder prune: forget what builds have kept for the next ones."""

from __future__ import annotations

from minidock.cli.command import Command, Flag
from minidock.cli.filters import filter_pair
from minidock.cli.units import human_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from minidock.cli.app import App
    from minidock.cli.parse import Parsed

PRUNE = Command(
    help="Remove build cache",
    run="minidock.cli.builder:prune",
    most=0,
    flags=(
        Flag("all", "a", "bool", help="Remove all unused build cache, not just dangling ones"),
        Flag(
            "filter",
            kind="list",
            value="filter",
            check=filter_pair,
            help='Provide filter values (e.g. "until=24h")',
        ),
        Flag("force", "f", "bool", help="Do not prompt for confirmation"),
    ),
    examples=("minidock builder prune", "minidock builder prune -af --filter until=240h"),
)


def prune(args: Parsed, app: App) -> int:
    """`minidock builder prune`"""
    from minidock.cli.prune import SURE, ask, wanted_of

    wanted = wanted_of(args, "container")
    which = "all build cache" if args.on("all") else "all dangling build cache"
    ask(args, app, f"WARNING! This will remove {which}. {SURE}")
    freed = prune_all(app, everything=args.on("all"), until=wanted.until)
    app.out(f"Total reclaimed space: {human_size(freed, 4)}\n")
    return 0


def prune_all(app: App, *, everything: bool, until: int | None) -> int:
    """Do it; the bytes that are free now."""
    from minidock.build.prune import prune_builds
    from minidock.engine.image_events import tell_pruned
    from minidock.engine.paths import Paths
    from minidock.image.store import ImageStore

    paths, images = Paths(app.root, app.run_root), ImageStore(app.root)
    freed = prune_builds(paths, app.containers(), images, everything=everything, until=until)
    tell_pruned(app.run_root, "builder", freed)
    return freed
