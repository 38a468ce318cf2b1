"""volume: create, ls, inspect, rm, prune.

See: docker/cli cli/command/volume, cli/command/formatter/volume.go
"""

from __future__ import annotations

from minidock.cli.command import ClientError, Command, Flag
from minidock.cli.command import Unsupported as No
from minidock.cli.filters import collect_filters, filter_pair
from minidock.cli.list_flags import FORMAT
from minidock.cli.units import human_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from minidock.cli.app import App
    from minidock.cli.parse import Parsed
    from minidock.cli.template import Fields
    from minidock.engine.paths import Paths
    from minidock.engine.prune import Pruned, Wanted
    from minidock.engine.volumes import Volume

_MODULE = "minidock.cli.volumes:"
_SWARM = "volumes of a cluster belong to Docker's swarm"

CREATE = Command(
    help="Create a volume",
    run=_MODULE + "create",
    args="[VOLUME]",
    most=1,
    unsupported=_MODULE + "CREATE_UNSUPPORTED",
    flags=(
        Flag("driver", "d", default="local", help="Specify volume driver name"),
        Flag(
            "label",
            kind="list",
            check="minidock.cli.flag_values:label",
            help="Set metadata for a volume",
        ),
        Flag("name", hidden=True, help="Specify volume name"),
        Flag("opt", "o", "list", value="map", help="Set driver specific options"),
    ),
    examples=(
        "minidock volume create data",
        "minidock volume create -o type=none -o device=/srv/www -o o=bind www",
    ),
)
CREATE_UNSUPPORTED = tuple(
    No(name, "", _SWARM)
    for name in (
        "availability", "group", "limit-bytes", "required-bytes", "scope", "secret", "sharing",
        "topology-preferred", "topology-required", "type",
    )
)  # fmt: skip
LS = Command(
    help="List volumes",
    run=_MODULE + "ls",
    most=0,
    unsupported=_MODULE + "LS_UNSUPPORTED",
    flags=(
        Flag(
            "filter",
            "f",
            "list",
            value="filter",
            check=filter_pair,
            help='Provide filter values (e.g. "dangling=true")',
        ),
        FORMAT,
        Flag("quiet", "q", "bool", help="Only display volume names"),
    ),
    examples=("minidock volume ls", "minidock volume ls -q -f dangling=true"),
)
LS_UNSUPPORTED = (No("cluster", "", _SWARM),)
INSPECT = Command(
    help="Display detailed information on one or more volumes",
    run=_MODULE + "inspect",
    args="VOLUME [VOLUME...]",
    least=1,
    flags=(
        Flag(
            "format",
            "f",
            help="""Format output using a custom template:
'json':             Print in JSON format
'TEMPLATE':         Print output using the given Go template.
Refer to https://docs.docker.com/go/formatting/ for more information about formatting output with \
templates""",
        ),
    ),
    examples=("minidock volume inspect -f '{{.Mountpoint}}' data",),
)
RM = Command(
    help="Remove one or more volumes",
    description="Remove one or more volumes. You cannot remove a volume that is in use by a "
    "container.",
    run=_MODULE + "rm",
    args="VOLUME [VOLUME...]",
    least=1,
    flags=(Flag("force", "f", "bool", help="Force the removal of one or more volumes"),),
    examples=("minidock volume rm data",),
)
PRUNE = Command(
    help="Remove unused local volumes",
    run=_MODULE + "prune",
    most=0,
    flags=(
        Flag("all", "a", "bool", help="Remove all unused volumes, not just anonymous ones"),
        Flag(
            "filter",
            kind="list",
            value="filter",
            check=filter_pair,
            help='Provide filter values (e.g. "label=<label>")',
        ),
        Flag("force", "f", "bool", help="Do not prompt for confirmation"),
    ),
    examples=("minidock volume prune", "minidock volume prune -a -f"),
)
_NA = "N/A"
_HEADERS = {
    "Name": "VOLUME NAME",
    "Driver": "DRIVER",
    "Scope": "SCOPE",
    "Availability": "AVAILABILITY",
    "Mountpoint": "MOUNTPOINT",
    "Labels": "LABELS",
    "Links": "LINKS",
    "Size": "SIZE",
    "Group": "GROUP",
    "Status": "STATUS",
}
_PRUNE_FILTERS = ("label", "label!", "all")


def _paths(app: App) -> Paths:
    from minidock.engine.paths import Paths

    return Paths(app.root, app.run_root)


def create(args: Parsed, app: App) -> int:
    """`minidock volume create`"""
    from minidock.engine.events import emit
    from minidock.engine.volumes import DRIVER, Volumes, check_driver

    if args.text("name") and args.positionals:
        raise ClientError("conflicting options: cannot specify a volume-name through both --name "
                          "and as a positional arg")  # fmt: skip
    name = args.positionals[0] if args.positionals else args.text("name")
    paths = _paths(app)
    check_driver(name, args.text("driver"))
    labels, options = _pairs(args.each("label")), _pairs(args.each("opt"))
    volumes = Volumes(paths)
    volumes.sweep()
    volume, made = volumes.create(name, labels, options)
    if made:
        emit(paths.run_root, "volume", "create", volume.name, {"driver": DRIVER})
    app.out(f"{volume.name}\n")
    return 0


def _pairs(texts: tuple[str, ...]) -> dict[str, str]:
    found = {}
    for text in texts:
        name, _, value = text.partition("=")
        found[name] = value
    return found


def ls(args: Parsed, app: App) -> int:
    """`minidock volume ls`"""
    from minidock.cli.table import table
    from minidock.engine.volume_list import list_volumes

    found = list_volumes(_paths(app), app.containers(), collect_filters(args.each("filter")))
    form = args.text("format")
    if args.on("quiet") and form in ("", "table"):
        app.out("".join(f"{volume.name}\n" for volume in found))
    elif form in ("", "table"):
        app.out(table(("DRIVER", "VOLUME NAME"), [("local", volume.name) for volume in found]))
    else:
        from minidock.cli.template import format_rows

        app.out(format_rows(form, [_fields(volume) for volume in found], _HEADERS))
    return 0


def _fields(volume: Volume) -> Fields:
    from minidock.cli.template import Fields

    labels: Mapping[str, str] = volume.labels or {}
    return Fields(
        "*formatter.volumeContext",
        {
            **dict.fromkeys(_HEADERS, _NA),  # sizes are for `system df`, the rest for swarm
            "Name": volume.name,
            "Driver": "local",
            "Scope": "local",
            "Mountpoint": volume.data,
            "Labels": ",".join(sorted(f"{key}={value}" for key, value in labels.items())),
            "Label": lambda name: labels.get(name, ""),
        },
    )


def inspect(args: Parsed, app: App) -> int:
    """`minidock volume inspect`"""
    from minidock.cli.inspect import print_documents
    from minidock.engine.volumes import Volumes, volume_document

    volumes = Volumes(_paths(app))
    return print_documents(args, app, lambda name: volume_document(volumes.find(_named(name))))


def _named(name: str) -> str:
    if not name:
        raise ClientError("invalid volume name or ID: value is empty")
    return name


def rm(args: Parsed, app: App) -> int:
    """`minidock volume rm`"""
    from minidock.engine.volume_removal import remove_volume
    from minidock.errors import NotFound

    paths, containers = _paths(app), app.containers()

    def remove(name: str) -> str:
        try:
            remove_volume(paths, containers, _named(name))
        except NotFound:
            if not args.on("force"):
                raise
        return name

    return app.each(args.positionals, remove)


def prune(args: Parsed, app: App) -> int:
    """`minidock volume prune`"""
    from minidock.cli.prune import ask
    from minidock.engine.prune import Wanted, check_filters
    from minidock.engine.volume_removal import wants_all

    filters = collect_filters(args.each("filter"))
    check_filters(filters, _PRUNE_FILTERS)
    if args.on("all") and "all" in filters:
        raise ClientError("conflicting options: cannot specify both --all and --filter all=1")
    everything = args.on("all") or wants_all(filters)
    which = "all local volumes" if everything else "anonymous local volumes"
    ask(
        args,
        app,
        f"WARNING! This will remove {which} not used by at least one container.\n"
        "Are you sure you want to continue? [y/N] ",
    )
    labels, without = (tuple(filters.get(name, ())) for name in ("label", "label!"))
    pruned = prune_all(app, Wanted(labels=labels, without=without), everything=everything)
    app.out(f"Total reclaimed space: {human_size(pruned.reclaimed, 4)}\n")
    return 0


def prune_all(app: App, wanted: Wanted, *, everything: bool) -> Pruned:
    """Remove the volumes that nobody uses, and say which."""
    from minidock.engine.image_events import tell_pruned
    from minidock.engine.volume_removal import prune_volumes

    pruned = prune_volumes(_paths(app), app.containers(), wanted, everything=everything)
    tell_pruned(app.run_root, "volume", pruned.reclaimed)
    if pruned.lines:
        app.out("\n".join(("Deleted Volumes:", *pruned.lines)) + "\n\n")
    return pruned
