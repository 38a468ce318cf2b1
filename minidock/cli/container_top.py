"""top: the processes of a container, seen from the host."""

from __future__ import annotations

from minidock.cli.command import Command

TYPE_CHECKING = False
if TYPE_CHECKING:
    from minidock.cli.app import App
    from minidock.cli.parse import Parsed

_WIDTH = 20  # of a column, at least: Docker's

TOP = Command(
    help="Display the running processes of a container",
    run="minidock.cli.container_top:top",
    args="CONTAINER [ps OPTIONS]",
    least=1,
    interspersed=False,
    examples=("minidock top web", "minidock top web -o pid,user,cmd"),
)


def top(args: Parsed, app: App) -> int:
    """`minidock top`"""
    from minidock.cli.table import align, cell
    from minidock.engine.top import processes_of

    name, *options = args.positionals
    container = app.containers().find(name)
    rows = processes_of(container, options)
    lines = ("\t".join(cell(text) for text in row) for row in rows)
    app.out(align("\n".join(lines) + "\n", min_width=_WIDTH))
    return 0
