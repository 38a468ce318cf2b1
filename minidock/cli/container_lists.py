"""ps, logs, diff: looking at containers without touching them."""

from __future__ import annotations

from minidock.cli.command import ClientError, Command, Flag
from minidock.cli.filters import filter_pair
from minidock.cli.list_flags import FORMAT, NO_TRUNC

TYPE_CHECKING = False
if TYPE_CHECKING:
    from minidock.cli.app import App
    from minidock.cli.parse import Parsed
    from minidock.engine.containers import Container
    from minidock.engine.listing import Listed, Sizes
    from minidock.engine.logs import Entry

_MODULE = "minidock.cli.container_lists:"

PS = Command(
    help="List containers",
    run=_MODULE + "ps",
    most=0,
    flags=(
        Flag("all", "a", "bool", help="Show all containers (default shows just running)"),
        Flag(
            "filter",
            "f",
            "list",
            value="filter",
            check=filter_pair,
            help="Filter output based on conditions provided",
        ),
        FORMAT,
        Flag(
            "last",
            "n",
            "int",
            default=-1,
            help="Show n last created containers (includes all states)",
        ),
        Flag(
            "latest",
            "l",
            "bool",
            help="Show the latest created container (includes all states)",
        ),
        NO_TRUNC,
        Flag("quiet", "q", "bool", help="Only display container IDs"),
        Flag("size", "s", "bool", help="Display total file sizes"),
    ),
    examples=(
        "minidock ps -a",
        "minidock ps -q -f status=exited",
        "minidock ps --format '{{.Names}}: {{.Status}}'",
    ),
)
LOGS = Command(
    help="Fetch the logs of a container",
    run=_MODULE + "logs",
    args="CONTAINER",
    least=1,
    most=1,
    flags=(
        Flag("details", kind="bool", help="Show extra details provided to logs"),
        Flag("follow", "f", "bool", help="Follow log output"),
        Flag(
            "since",
            help='Show logs since timestamp (e.g. "2013-01-02T13:23:37Z") or relative '
            '(e.g. "42m" for 42 minutes)',
        ),
        Flag("tail", "n", default="all", help="Number of lines to show from the end of the logs"),
        Flag("timestamps", "t", "bool", help="Show timestamps"),
        Flag(
            "until",
            help='Show logs before a timestamp (e.g. "2013-01-02T13:23:37Z") or relative '
            '(e.g. "42m" for 42 minutes)',
        ),
    ),
    examples=("minidock logs -f web", "minidock logs -n 100 --since 10m web"),
)
DIFF = Command(
    help="Inspect changes to files or directories on a container's filesystem",
    run=_MODULE + "diff",
    args="CONTAINER",
    least=1,
    most=1,
    examples=("minidock diff web",),
)

_COMMAND_WIDTH = 20
_MOUNT_WIDTH = 15
_COLUMNS = ("ID", "Image", "Command", "RunningFor", "Status", "Ports", "Names")
_HEADERS = {
    "ID": "CONTAINER ID",
    "Names": "NAMES",
    "Image": "IMAGE",
    "Command": "COMMAND",
    "CreatedAt": "CREATED AT",
    "RunningFor": "CREATED",
    "Ports": "PORTS",
    "State": "STATE",
    "Status": "STATUS",
    "Size": "SIZE",
    "Labels": "LABELS",
    "Mounts": "MOUNTS",
    "LocalVolumes": "LOCAL VOLUMES",
    "Networks": "NETWORKS",
    "Platform": "PLATFORM",
}
_RAW = r"""container_id: {{.ID}}
image: {{.Image}}
command: {{.Command}}
created_at: {{.CreatedAt}}
state: {{- pad .State 1 0}}
status: {{- pad .Status 1 0}}
names: {{.Names}}
labels: {{- pad .Labels 1 0}}
ports: {{- pad .Ports 1 0}}
"""


# ── ps ──


def ps(args: Parsed, app: App) -> int:
    """`minidock ps`"""
    from minidock.cli.filters import collect_filters
    from minidock.engine.listing import Sizes, list_containers
    from minidock.image.store import ImageStore

    form, quiet, with_size = args.text("format"), args.on("quiet"), args.on("size")
    if form and quiet:
        app.err("WARNING: Ignoring custom format, because both --format and --quiet are set.\n")
    last = args.number("last")
    images = ImageStore(app.root)
    listed = list_containers(
        app.containers(),
        images,
        everything=args.on("all"),
        last=1 if args.on("latest") and last == -1 else last,
        filters=collect_filters(args.each("filter")),
    )
    cut = not args.on("no-trunc")
    if quiet:
        app.out("".join(f"{_id(row, cut)}\n" for row in listed))
        return 0
    lines = [Line(row, Sizes(images), cut=cut) for row in listed]
    if form in ("", "table"):
        from minidock.cli.table import table

        columns = (*_COLUMNS, "Size") if with_size else _COLUMNS
        header = [_HEADERS[name] for name in columns]
        app.out(table(header, ([getattr(line, name)() for name in columns] for line in lines)))
        return 0
    app.out(_formatted(form, lines, with_size=with_size))
    return 0


def _id(row: Listed, cut: bool) -> str:
    return row.container.id[:12] if cut else row.container.id


class Line:
    """One container as `ps` shows it. The methods are the fields that `--format` knows, see
    docker/cli cli/command/formatter/container.go."""

    def __init__(self, row: Listed, sizes: Sizes | None, *, cut: bool) -> None:
        self._row = row
        self._sizes = sizes
        self._cut = cut
        self._document = row.container.document

    def ID(self) -> str:  # noqa: N802  # Docker's name, as are those below
        return _id(self._row, self._cut)

    def Names(self) -> str:  # noqa: N802
        return self._row.container.name

    def Image(self) -> str:  # noqa: N802
        image = self._row.image
        if not self._cut:
            return image
        if image.startswith("sha256:"):
            return image[7:19]
        if "/" not in image and "@" not in image:
            return image
        from minidock.spec.reference import parse_reference

        reference = parse_reference(image)
        # The digest goes, and so does a tag that nobody typed.
        tag = f":{reference.tag}" if ":" in image.partition("@")[0].rpartition("/")[2] else ""
        return reference.familiar_repository + tag

    def Command(self) -> str:  # noqa: N802
        from minidock.cli.units import ellipsis
        from minidock.spec.quoting import quote

        words = [str(self._document["Path"])]
        words += [f"'{word}'" if " " in word else word for word in self._document["Args"]]
        command = " ".join(words)
        return quote(ellipsis(command, _COMMAND_WIDTH) if self._cut else command)

    def CreatedAt(self) -> str:  # noqa: N802
        from minidock.cli.units import go_time

        return go_time(self._created())

    def RunningFor(self) -> str:  # noqa: N802
        return _ago(self._created())

    def _created(self) -> int:
        """In whole seconds, because Docker's list is; still in nanoseconds since 1970."""
        from minidock.spec.timestamp import parse_time

        return parse_time(self._document["Created"]) // 10**9 * 10**9

    def State(self) -> str:  # noqa: N802
        return self._row.state.status

    def Status(self) -> str:  # noqa: N802
        from minidock.spec.timestamp import parse_time

        state = self._row.state
        if state.status == "created":
            return "Created"
        if state.status == "restarting":
            return f"Restarting ({state.exit_code}) {_ago(parse_time(state.finished_at))}"
        if state.running:
            return f"Up {_duration(parse_time(state.started_at))}{self._condition()}"
        return f"Exited ({state.exit_code}) {_ago(parse_time(state.finished_at))}"

    def _condition(self) -> str:
        """What `Up 3 minutes` is followed by."""
        from minidock.engine.health import STARTING, health_of

        if self._row.state.status == "paused":
            return " (Paused)"
        health = health_of(self._row.container, self._row.state)
        if not health:
            return ""
        status = health["Status"]
        return " (health: starting)" if status == STARTING else f" ({status})"

    def Size(self) -> str:  # noqa: N802
        from minidock.cli.units import human_size

        assert self._sizes
        written, whole = self._sizes.of(self._row.container)
        virtual = f" (virtual {human_size(whole)})" if whole else ""
        return human_size(written) + virtual

    def Labels(self) -> str:  # noqa: N802
        return ",".join(sorted(f"{key}={value}" for key, value in self._labels().items()))

    def Label(self, name: str) -> str:  # noqa: N802
        return str(self._labels().get(name, ""))

    def _labels(self) -> dict[str, str]:
        return self._document["Config"].get("Labels") or {}

    def Networks(self) -> str:  # noqa: N802
        from minidock.engine.listing import networks_of

        return ",".join(sorted(networks_of(self._row.container)))

    def Ports(self) -> str:  # noqa: N802
        from minidock.engine.port_list import ports_of, shown_ports

        return shown_ports(ports_of(self._row.container, self._row.state))

    def Mounts(self) -> str:  # noqa: N802
        from minidock.cli.units import ellipsis

        names = [str(p.get("Name") or p["Source"]) for p in self._document.get("MountPoints", ())]
        return ",".join(ellipsis(name, _MOUNT_WIDTH) if self._cut else name for name in names)

    def LocalVolumes(self) -> str:  # noqa: N802
        points = self._document.get("MountPoints", ())
        return str(sum(point["Type"] == "volume" for point in points))

    def Platform(self) -> None:  # noqa: N802
        return None


def _duration(since: int) -> str:
    from time import time_ns

    from minidock.cli.units import human_duration

    return human_duration(time_ns() - since)


def _ago(since: int) -> str:
    return f"{_duration(since)} ago"


def _formatted(form: str, lines: list[Line], *, with_size: bool) -> str:
    """What `--format` asks for. Raises `TemplateError`."""
    from minidock.cli.template import Fields, format_rows
    from minidock.cli.template_run import Template

    kind = "*formatter.ContainerContext"
    parse_words, run_words = "failed to parse template: ", "failed to execute template: "
    # Tried on nothing first: a wrong field is an error in an empty list, too.
    nothing = {**dict.fromkeys(_HEADERS, ""), "Label": lambda name: ""}
    Template(form, parse_words=parse_words, run_words=run_words).execute(Fields(kind, nothing))
    if form == "raw":
        form = _RAW + ("size: {{.Size}}\n" if with_size else "")
    rows = []
    for line in lines:
        values: dict[str, object] = {name: getattr(line, name) for name in _HEADERS}
        values["Label"] = lambda name, line=line: line.Label(name)
        if form == "json" and not with_size:
            values["Size"] = "0B"  # as Docker says where nobody asked for sizes
        rows.append(Fields(kind, values))
    return format_rows(form, rows, _HEADERS, parse_words=parse_words, run_words=run_words)


# ── logs ──


def logs(args: Parsed, app: App) -> int:
    """`minidock logs`"""
    from minidock.engine.logs import LogQuery, read_log

    container = app.containers().find(args.positionals[0])
    query = LogQuery(
        tail=_tail(args.text("tail")),
        since=_moment(args, "since"),
        until=_moment(args, "until"),
        follow=args.on("follow"),
    )
    stamp, details = args.on("timestamps"), args.on("details")
    for batch in read_log(container, query):
        _print_log(app, batch, stamp=stamp, details=details)
    return 0


def _tail(text: str) -> int:
    """`all`, and whatever else is no number, means all."""
    sign, digits = text[:1] in ("+", "-"), text.lstrip("+-")
    if not (digits.isascii() and digits.isdigit()) or len(text) - len(digits) > sign:
        return -1
    return max(-1, int(text))


def _moment(args: Parsed, flag: str) -> str:
    """`--since` or `--until` as the log writes times; "" where not given."""
    if not args.text(flag):
        return ""
    from time import time_ns

    from minidock.cli.moments import parse_moment
    from minidock.spec.timestamp import format_time

    try:
        return format_time(parse_moment(args.text(flag), time_ns()))
    except (ValueError, OverflowError) as error:
        raise ClientError(f'invalid value for "{flag}": {error}') from None


def _print_log(app: App, batch: list[Entry], *, stamp: bool, details: bool) -> None:
    """Each line to the stream it came from, neighbours of the same stream together."""
    from minidock.engine.output import write_all

    texts: list[str] = []
    current = ""
    for stream, when, text in (*batch, ("", "", "")):
        if stream != current:
            if texts:
                data = "".join(texts).encode("utf-8", "replace")
                write_all(app.stderr if current == "stderr" else app.stdout, data)
            texts, current = [], stream
        if stamp or details:
            # `details` shows what a log driver was told to add, which is nothing so far.
            text = (f"{_fixed(when)} " if stamp else "") + (" " if details else "") + text
        texts.append(text)


def _fixed(when: str) -> str:
    """A time with all nine digits, so that lines stand under each other."""
    whole, _, fraction = when.removesuffix("Z").partition(".")
    return f"{whole}.{fraction:0<9}Z"


# ── diff ──


def diff(args: Parsed, app: App) -> int:
    """`minidock diff`"""
    import os

    from minidock.cli.table import cell
    from minidock.engine.listing import lowerdirs
    from minidock.image.diff import changes

    container: Container = app.containers().find(args.positionals[0])
    # A terminal must not act on a file's name; a program wants the name as it is.
    shown = cell if os.isatty(app.stdout) else str
    found = changes(container.upper, lowerdirs(container))
    app.out("".join(f"{change.kind} {shown(change.path)}\n" for change in found))
    return 0
