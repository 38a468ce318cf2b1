"""stats: what containers use, once or again and again.

While it goes on, the table is drawn over itself: the cursor goes to the upper left corner, each
line is cleared behind its end, and what is left of a longer table below it.
"""

from __future__ import annotations

from minidock.cli.command import Command, Flag
from minidock.cli.list_flags import FORMAT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from minidock.cli.app import App
    from minidock.cli.parse import Parsed
    from minidock.engine.containers import Container, Containers
    from minidock.engine.usage import Usage

STATS = Command(
    help="Display a live stream of container(s) resource usage statistics",
    run="minidock.cli.container_stats:stats",
    args="[CONTAINER...]",
    flags=(
        Flag("all", "a", "bool", help="Show all containers (default shows just running)"),
        FORMAT,
        Flag(
            "no-stream",
            kind="bool",
            help="Disable streaming stats and only pull the first result",
        ),
        Flag("no-trunc", kind="bool", help="Do not truncate output"),
    ),
    examples=(
        "minidock stats",
        "minidock stats --no-stream web db",
        "minidock stats --format '{{.Name}}: {{.MemUsage}}'",
    ),
)

_FIRST = 0.5  # seconds between the two readings that a percentage needs
_EVERY = 1.0
_HOME, _CLEAR_LINE, _CLEAR_BELOW = "\033[H", " \033[K\n", "\033[J"
_HEADERS = {
    "Container": "CONTAINER",
    "Name": "NAME",
    "ID": "CONTAINER ID",
    "CPUPerc": "CPU %",
    "MemUsage": "MEM USAGE / LIMIT",
    "MemPerc": "MEM %",
    "NetIO": "NET I/O",
    "BlockIO": "BLOCK I/O",
    "PIDs": "PIDS",
}
_COLUMNS = ("ID", "Name", "CPUPerc", "MemUsage", "MemPerc", "NetIO", "BlockIO", "PIDs")


def stats(args: Parsed, app: App) -> int:
    """`minidock stats`"""
    import time

    containers = app.containers()
    chosen = _Chosen(containers, args.positionals, everything=args.on("all"))
    code = sum(app.fail(error) for error in chosen.errors)
    if code:
        return 1
    form, cut = args.text("format"), not args.on("no-trunc")
    if form not in ("", "table"):
        _format(form, [])  # what is wrong with it is said before anything is waited for
    chosen.read()
    pause = _FIRST
    while True:
        if chosen.any_runs or not args.on("no-stream"):
            time.sleep(pause)
        text = _table(form, chosen.read(), cut=cut)
        if args.on("no-stream"):
            app.out(text)
            return 0
        lines = "".join(line + _CLEAR_LINE for line in text.splitlines())
        app.out(_HOME + lines + _CLEAR_BELOW)
        pause = _EVERY


class _Chosen:
    """The containers to show, each with its latest reading; `errors` for names that mean none."""

    def __init__(self, containers: Containers, names: list[str], *, everything: bool) -> None:
        from minidock.engine.usage import Usage, machine_memory
        from minidock.errors import MinidockError

        self._containers = containers
        self._everything = everything
        self._nothing = Usage()
        self._memory = machine_memory()
        self._before: dict[str, Usage] = {}
        self._named: dict[str, Container] = {}
        self._all = not names
        self.errors: list[MinidockError] = []
        for name in names:
            try:
                self._named.setdefault(name, containers.find(name))
            except MinidockError as error:
                self.errors.append(error)

    def _now(self) -> dict[str, Container]:
        """By the name to show in the column CONTAINER."""
        if not self._all:
            return self._named
        found = self._containers.all()
        return {c.id[:12]: c for c in found if self._everything or c.state().running}

    @property
    def any_runs(self) -> bool:
        return any(usage.at for usage in self._before.values())

    def read(self) -> list[tuple[str, Container, Usage, float]]:
        """Name, container, what it uses, and its share of processors since the last reading."""
        from minidock.engine.usage import usage_of

        found = []
        readings = {}
        for name, container in self._now().items():
            usage = usage_of(container, self._memory)
            percent = usage.cpu_percent(self._before.get(container.id, self._nothing))
            readings[container.id] = usage
            found.append((name, container, usage, percent))
        self._before = readings
        return found


def _table(form: str, rows: list[tuple[str, Container, Usage, float]], *, cut: bool) -> str:
    lines = [_fields(*row, cut=cut) for row in rows]
    if form not in ("", "table"):
        return _format(form, lines)
    from minidock.cli.table import table

    header = [_HEADERS[name] for name in _COLUMNS]
    return table(header, ([line[name] for name in _COLUMNS] for line in lines))


def _format(form: str, lines: list[dict[str, str]]) -> str:
    """Raises `TemplateError`."""
    from minidock.cli.template import Fields, format_rows

    kind = "*container.statsContext"
    rows = [Fields(kind, dict(line)) for line in lines]
    return format_rows(form, rows, _HEADERS)


def _fields(
    name: str, container: Container, usage: Usage, percent: float, *, cut: bool
) -> dict[str, str]:
    from minidock.cli.units import bytes_size, human_size

    return {
        "BlockIO": f"{human_size(usage.read)} / {human_size(usage.written)}",
        "CPUPerc": f"{percent:.2f}%",
        "Container": name,
        "ID": container.id[:12] if cut else container.id,
        "MemPerc": f"{usage.memory_percent:.2f}%",
        "MemUsage": f"{bytes_size(usage.memory)} / {bytes_size(usage.memory_limit)}",
        "Name": container.name,
        "NetIO": f"{human_size(usage.received)} / {human_size(usage.sent)}",
        "PIDs": str(usage.processes),
    }
