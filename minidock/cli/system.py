"""system df: how much room images, containers, volumes take; system check: whether all is sound."""

from __future__ import annotations

import time

from minidock.cli.command import Command, Flag
from minidock.cli.table import table
from minidock.cli.units import human_duration, human_size, short_id
from minidock.spec.quoting import visible

TYPE_CHECKING = False
if TYPE_CHECKING:
    from minidock.build.prune import CacheUsage
    from minidock.cli.app import App
    from minidock.cli.parse import Parsed
    from minidock.engine.disk_usage import DiskUsage

DF = Command(
    help="Show minidock disk usage",
    run="minidock.cli.system:df",
    most=0,
    flags=(
        Flag("format", help="Format output using a custom template"),
        Flag("verbose", "v", "bool", help="Show detailed information on space usage"),
    ),
    examples=("minidock system df", "minidock system df -v"),
)
CHECK = Command(
    help="Recompute every claim of the store, and say what is wrong",
    run="minidock.cli.system:check",
    most=0,
    flags=(
        Flag(
            "repair",
            kind="bool",
            help="Remove what is wrong and can be fetched or derived again",
        ),
    ),
    examples=("minidock system check", "minidock system check --repair"),
)
_TABLE = ("", "table")
_HEADERS = {
    "Type": "TYPE",
    "TotalCount": "TOTAL",
    "Active": "ACTIVE",
    "Size": "SIZE",
    "Reclaimable": "RECLAIMABLE",
}


def df(args: Parsed, app: App) -> int:
    """`minidock system df`"""
    from minidock.build.prune import cache_usage
    from minidock.engine.disk_usage import disk_usage
    from minidock.engine.paths import Paths
    from minidock.image.store import ImageStore

    paths, images = Paths(app.root, app.run_root), ImageStore(app.root)
    usage, builds = disk_usage(paths, app.containers(), images), cache_usage(paths, images)
    if args.text("format") not in _TABLE:
        from minidock.cli.template import Fields, format_rows

        rows = [
            Fields("*formatter.diskUsageContext", dict(zip(_HEADERS, row, strict=True)))
            for row in _rows(usage, builds)
        ]
        app.out(format_rows(args.text("format"), rows, _HEADERS))
    elif args.on("verbose"):
        app.out(f"{_verbose(usage)}\nBuild cache usage: {human_size(builds.size)}\n")
    else:
        app.out(table(tuple(_HEADERS.values()), _rows(usage, builds)))
    return 0


def _rows(usage: DiskUsage, builds: CacheUsage) -> list[tuple[str, str, str, str, str]]:
    used = sum(1 for image in usage.images if image.containers)
    active = sum(1 for one in usage.containers if one.row.state.active)
    return [
        _row("Images", len(usage.images), used, usage.layers, usage.reclaimable_layers),
        _row(
            "Containers",
            len(usage.containers),
            active,
            usage.container_bytes,
            usage.reclaimable_container_bytes,
        ),
        _row(
            "Local Volumes",
            len(usage.volumes),
            sum(1 for volume in usage.volumes if volume.links),
            usage.volume_bytes,
            usage.reclaimable_volume_bytes,
        ),
        _row("Build Cache", builds.count + builds.shared, builds.shared, builds.size, builds.size),
    ]


def _row(
    what: str, total: int, active: int, size: int, reclaimable: int
) -> tuple[str, str, str, str, str]:
    share = f" ({reclaimable * 100 // size}%)" if size else ""
    free = f"{human_size(reclaimable, 4)}{share}"
    return what, str(total), str(active), human_size(size, 4), free


def _verbose(usage: DiskUsage) -> str:
    return (
        "Images space usage:\n\n"
        + table(
            (
                *("REPOSITORY", "TAG", "IMAGE ID", "CREATED", "SIZE"),
                *("SHARED SIZE", "UNIQUE SIZE", "CONTAINERS"),
            ),
            _image_rows(usage),
        )
        + "\nContainers space usage:\n\n"
        + table(
            (
                *("CONTAINER ID", "IMAGE", "COMMAND", "LOCAL VOLUMES"),
                *("SIZE", "CREATED", "STATUS", "NAMES"),
            ),
            _container_rows(usage),
        )
        + "\nLocal Volumes space usage:\n\n"
        + table(("VOLUME NAME", "LINKS", "SIZE"), _volume_rows(usage))
    )


def _volume_rows(usage: DiskUsage) -> list[tuple[str, ...]]:
    return [
        (volume.name, str(volume.links), "N/A" if volume.size < 0 else human_size(volume.size))
        for volume in usage.volumes
    ]


def _image_rows(usage: DiskUsage) -> list[tuple[str, ...]]:
    from minidock.cli.image_lists import names_of
    from minidock.engine.image_list import created

    now = time.time_ns()
    return [
        (
            repository,
            tag,
            short_id(image.listed.image.id),
            f"{human_duration(now - created(image.listed.image))} ago",
            human_size(image.size),
            human_size(image.shared, 4),
            human_size(image.size - image.shared, 4),
            str(image.containers),
        )
        for image in usage.images
        for repository, tag in names_of(image.listed)
    ]


def _container_rows(usage: DiskUsage) -> list[tuple[str, ...]]:
    from minidock.cli.container_lists import Line

    rows: list[tuple[str, ...]] = []
    for one in usage.containers:
        line = Line(one.row, None, cut=True)
        size = human_size(one.size)
        age, status = line.RunningFor(), line.Status()
        first = line.ID(), line.Image(), line.Command(), line.LocalVolumes()
        rows.append((*first, size, age, status, line.Names()))
    return rows


def check(args: Parsed, app: App) -> int:
    """`minidock system check`: 0 where nothing is wrong, or nothing any more; else 1."""
    from minidock.engine.check import check as check_all
    from minidock.engine.containers import Containers
    from minidock.engine.paths import Paths
    from minidock.image.store import ImageStore

    paths, images = Paths(app.root, app.run_root), ImageStore(app.root)
    problems = []
    for problem in check_all(paths, Containers(paths), images):
        problems.append(problem)
        app.out(f"{visible(problem.what)}\n    remedy: {visible(problem.remedy)}\n")
    if not args.on("repair"):
        app.out(_count(len(problems), "found"))
        return 1 if problems else 0
    left = images.repair(problems)
    app.out(_count(len(problems) - len(left), "repaired"))
    if left:
        app.out(_count(len(left), "left"))
    return 1 if left else 0


def _count(number: int, what: str) -> str:
    return f"{number} problem{'' if number == 1 else 's'} {what}\n"
