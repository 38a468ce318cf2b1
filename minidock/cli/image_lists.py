"""images, history: what is in the store, as tables.

The table is made here directly; Go templates are imported only when `--format` asks for them.

See: docker/cli cli/command/image/{list,history,formatter_history}.go, formatter/image.go
"""

from __future__ import annotations

import time

from minidock.cli.command import ClientError, Command, Flag
from minidock.cli.filters import collect_filters, filter_pair
from minidock.cli.list_flags import FORMAT, NO_TRUNC
from minidock.cli.table import table
from minidock.cli.units import ellipsis, human_duration, human_size, short_id

TYPE_CHECKING = False
if TYPE_CHECKING:
    from minidock.cli.app import App
    from minidock.cli.parse import Parsed
    from minidock.cli.template import Fields
    from minidock.engine.image_list import Listed
    from minidock.image.store import HistoryRow, ImageStore

NONE = "<none>"
_TABLE = ("", "table")  # a `--format` that asks for no more than the default
_MODULE = "minidock.cli.image_lists:"
_CREATED_BY_WIDTH = 45
_QUIET = Flag("quiet", "q", "bool", help="Only show image IDs")


IMAGES = Command(
    help="List images",
    run=_MODULE + "images",
    args="[REPOSITORY[:TAG]]",
    most=1,
    flags=(
        Flag("all", "a", "bool", help="Show all images (default hides intermediate images)"),
        Flag("digests", kind="bool", help="Show digests"),
        Flag(
            "filter",
            "f",
            "list",
            value="filter",
            check=filter_pair,
            help="Filter output based on conditions provided",
        ),
        FORMAT,
        NO_TRUNC,
        _QUIET,
        Flag("tree", kind="bool", help="Show which layers images share"),
    ),
    examples=(
        "minidock images",
        "minidock images --tree",
        "minidock images 'ubuntu*'",
        "minidock images -q -f dangling=true",
        "minidock images --format '{{.Repository}}:{{.Tag}} {{.Size}}'",
    ),
)
HISTORY = Command(
    help="Show the history of an image",
    run=_MODULE + "history",
    args="IMAGE",
    least=1,
    most=1,
    flags=(
        FORMAT,
        Flag(
            "human",
            "H",
            "bool",
            default=True,
            help="Print sizes and dates in human readable format",
        ),
        NO_TRUNC,
        _QUIET,
    ),
    examples=("minidock history ubuntu", "minidock history --no-trunc ubuntu"),
)


# ── images ──


def images(args: Parsed, app: App) -> int:
    """`minidock images`"""
    from minidock.image.store import ImageStore

    store = ImageStore(app.root)
    listed = _select(args, store)
    if args.on("tree"):
        from minidock.cli.image_tree import tree

        for flag in ("digests", "format", "no-trunc", "quiet"):
            if args.given(flag):
                raise ClientError(f"--tree and --{flag} cannot be used together")
        app.out(tree(listed, store))
        return 0
    form = args.text("format")
    if form not in _TABLE:
        _format_images(args, app, store, listed)
        return 0
    whole, digests = args.on("no-trunc"), args.on("digests")
    if args.on("quiet"):
        app.out("".join(_id(i.image.id, whole) + "\n" for i in listed for _ in names_of(i)))
        return 0
    rows = []
    for item in listed:
        image_id = _id(item.image.id, whole)
        when, size = _ago(_created(item)), human_size(store.size(item.image))
        for repository, tag in names_of(item):
            digest = (_digest(item, repository),) if digests else ()
            rows.append((repository, tag, *digest, image_id, when, size))
    header = ("REPOSITORY", "TAG", *(("DIGEST",) if digests else ()), "IMAGE ID", "CREATED", "SIZE")
    app.out(table(header, rows))
    return 0


def _select(args: Parsed, store: ImageStore) -> list[Listed]:
    from minidock.engine.image_list import list_images

    filters = collect_filters(args.each("filter"))
    for pattern in args.positionals:
        filters.setdefault("reference", []).append(pattern)
    return list_images(
        store, filters, everything=args.on("all"), until=_until(filters.get("until", []))
    )


def _until(values: list[str]) -> int | None:
    """`until=24h`: a time before which images must have been made, in nanoseconds."""
    if not values:
        return None
    from minidock.cli.moments import parse_moment
    from minidock.errors import InvalidInput

    if len(values) > 1:
        raise InvalidInput("more than one until filter specified")
    try:
        return parse_moment(values[0], time.time_ns())
    except ValueError as error:
        raise InvalidInput(str(error)) from None


def _created(item: Listed) -> int:
    from minidock.engine.image_list import created

    return created(item.image)


def names_of(item: Listed) -> list[tuple[str, str]]:
    """Repository and tag, of each name a row."""
    if not item.references:
        return [(NONE, NONE)]
    pairs = []
    for name in item.references:
        bare, by_digest, _ = name.partition("@")
        repository, _, tag = bare.rpartition(":")
        tagged = bool(repository) and "/" not in tag
        pairs.append((repository, tag) if tagged else (bare if by_digest else name, NONE))
    return pairs


def _digest(item: Listed, repository: str) -> str:
    """What a repository's registry calls the image."""
    for name in item.image.repo_digests:
        where, _, digest = name.partition("@")
        if where == repository:
            return digest
    return NONE


def _id(image_id: str, whole: bool) -> str:
    return image_id if whole else short_id(image_id)


def _ago(created: int, never: str = "N/A") -> str:
    """`3 weeks ago`; images that do not say when they were made are of Go's year 1."""
    if created < -(1 << 59):
        return never
    return human_duration(time.time_ns() - created) + " ago"


_IMAGE_HEADERS = {
    "ID": "IMAGE ID",
    "Repository": "REPOSITORY",
    "Tag": "TAG",
    "Digest": "DIGEST",
    "CreatedSince": "CREATED",
    "CreatedAt": "CREATED AT",
    "Size": "SIZE",
    "Containers": "CONTAINERS",
    "VirtualSize": "SIZE",
    "SharedSize": "SHARED SIZE",
    "UniqueSize": "UNIQUE SIZE",
}


def _format_images(args: Parsed, app: App, store: ImageStore, listed: list[Listed]) -> None:
    from minidock.cli.template import format_rows

    whole = args.on("no-trunc")
    rows = [
        _image_fields(item, store, repository, tag, whole)
        for item in listed
        for repository, tag in names_of(item)
    ]
    app.out(format_rows(args.text("format"), rows, _IMAGE_HEADERS))


def _image_fields(
    item: Listed, store: ImageStore, repository: str, tag: str, whole: bool
) -> Fields:
    from minidock.cli.template import Fields
    from minidock.cli.units import go_time

    created = _created(item)
    return Fields(
        "*formatter.imageContext",
        {
            "ID": _id(item.image.id, whole),
            "Repository": repository,
            "Tag": tag,
            "Digest": _digest(item, repository),
            "CreatedSince": _ago(created, never=""),
            "CreatedAt": go_time(created),
            "Size": lambda: human_size(store.size(item.image)),
            "Containers": "N/A",
            "VirtualSize": lambda: human_size(store.size(item.image), 4),
            "SharedSize": "N/A",
            "UniqueSize": "N/A",
        },
    )


# ── history ──


def history(args: Parsed, app: App) -> int:
    """`minidock history`"""
    from minidock.image.store import ImageStore

    store = ImageStore(app.root)
    steps = store.history(store.resolve(args.positionals[0]))
    if args.text("format") not in _TABLE:
        from minidock.cli.template import format_rows

        rows = [_history_fields(args, step) for step in steps]
        app.out(format_rows(args.text("format"), rows, _HISTORY_HEADERS))
        return 0
    whole, human = args.on("no-trunc"), args.on("human")
    if args.on("quiet"):
        app.out("".join(_id(step.id, whole) + "\n" for step in steps))
        return 0
    header = ("IMAGE", "CREATED" if human else "CREATED AT", "CREATED BY", "SIZE", "COMMENT")
    cells = []
    for step in steps:
        when = _ago(_moment(step)) if human else _local(_moment(step))
        size = _history_size(step, human)
        cells.append((_id(step.id, whole), when, _created_by(step, whole), size, step.comment))
    app.out(table(header, cells))
    return 0


_HISTORY_HEADERS = {
    "ID": "IMAGE",
    "CreatedSince": "CREATED",
    "CreatedAt": "CREATED AT",
    "CreatedBy": "CREATED BY",
    "Size": "SIZE",
    "Comment": "COMMENT",
}


def _history_fields(args: Parsed, step: HistoryRow) -> Fields:
    from minidock.cli.template import Fields

    whole, human, created = args.on("no-trunc"), args.on("human"), _moment(step)
    return Fields(
        "*image.historyContext",
        {
            "ID": _id(step.id, whole),
            "CreatedSince": _ago(created, never="") if human else _local(created),
            "CreatedAt": _local(created),
            "CreatedBy": _created_by(step, whole),
            "Size": _history_size(step, human),
            "Comment": step.comment,
        },
    )


def _moment(step: HistoryRow) -> int:
    from minidock.spec.timestamp import ZERO, parse_time

    try:
        return parse_time(step.created or ZERO)
    except ValueError:
        return parse_time(ZERO)


def _created_by(step: HistoryRow, whole: bool) -> str:
    text = step.created_by.replace("\t", " ")
    return text if whole else ellipsis(text, _CREATED_BY_WIDTH)


def _history_size(step: HistoryRow, human: bool) -> str:
    return human_size(step.size) if human else str(step.size)


def _local(nanoseconds: int) -> str:
    """Go's time.RFC3339: whole seconds, local time."""
    t = time.localtime(nanoseconds // 10**9)
    minutes = abs(t.tm_gmtoff) // 60
    sign = "-" if t.tm_gmtoff < 0 else "+"
    zone = f"{sign}{minutes // 60:02d}:{minutes % 60:02d}" if minutes else "Z"
    return (
        f"{t.tm_year:04d}-{t.tm_mon:02d}-{t.tm_mday:02d}"
        f"T{t.tm_hour:02d}:{t.tm_min:02d}:{t.tm_sec:02d}{zone}"
    )
