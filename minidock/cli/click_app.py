"""Help pages and shell completion: click, over the same tables as the lean parser.

click is the command line library of this project, but importing it takes 36 ms, and a whole
`minidock ps` takes less. So it comes in where a person reads, and a millisecond is nothing:
`--help` and the Tab key. The commands that click gets are made from the rows of `command.py`,
one by one as click asks for them; a test parses a list of command lines with click and with
`parse.py` and wants the same answer, which keeps the two from drifting apart. What click cannot
read of pflag's dialect (`--rm=false`, `-e=A=1`) it never has to: it completes what comes next.

The pages have the layout of Docker's own (cobra's), line breaks included, and one section more:
`Examples:`.

See: docker/cli cli/cobra.go (usageTemplate), pflag FlagUsagesWrapped.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence

import click

from minidock.cli.command import Command, Flag
from minidock.cli.main import GROUP, ROOT
from minidock.cli.parse import parse_int
from minidock.cli.registry import COMMON, GROUPS, NAMES, TREE, load

_COMMON_WIDTH = 11  # cobra's minNamePadding


def _int(value: int | str) -> int:
    """strconv.ParseInt's notations."""
    return value if isinstance(value, int) else parse_int(value)


class TableCommand(click.Command):
    """A row of the tables as click sees it; its help page is Docker's."""

    def __init__(self, path: str, row: Command) -> None:
        params: list[click.Parameter] = [_option(flag) for flag in row.flags]
        params.append(click.Argument(["positionals"], nargs=-1, type=click.UNPROCESSED))
        super().__init__(path.split()[-1], params=params, help=row.help)
        self.allow_interspersed_args = row.interspersed
        self.path = path
        self.row = row

    def format_help(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the page."""
        formatter.write(command_page(self.path, self.row))


def _option(flag: Flag) -> click.Option:
    names = [f"--{flag.long}", flag.long.replace("-", "_")]
    if flag.short:
        names.insert(0, f"-{flag.short}")
    if flag.kind == "bool":
        return click.Option(names, is_flag=True, default=bool(flag.default), hidden=flag.hidden)
    if flag.kind == "list":
        return click.Option(names, multiple=True, type=click.STRING, hidden=flag.hidden)
    kind = _int if flag.kind == "int" else click.STRING
    return click.Option(names, type=kind, default=flag.default, hidden=flag.hidden)


class TableGroup(click.Group):
    """A group (or, with path "", the program): its commands are loaded as they are asked for."""

    def __init__(self, path: str) -> None:
        params = [_option(flag) for flag in (GROUP if path else ROOT).flags]
        super().__init__(path or "minidock", params=params)
        self.path = path

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names that come next, aliases included."""
        return sorted({name for name, _ in _children(self.path, aliases=True)})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command or group of that name below this one."""
        path = f"{self.path} {cmd_name}".strip()
        if path in GROUPS:
            return TableGroup(path)
        return TableCommand(path, load(NAMES[path][1])) if path in NAMES else None

    def format_help(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the page."""
        formatter.write(group_page(self.path) if self.path else root_page())


def help_page(words: Sequence[str]) -> str:
    """The page for `["container", "ls"]`, `["container"]` or `[]`.

    Raises KeyError with the first word that means nothing.
    """
    command: click.Command = TableGroup("")
    context = click.Context(command, info_name="minidock")
    for word in words:
        below = command.get_command(context, word) if isinstance(command, TableGroup) else None
        if below is None:
            raise KeyError(word)
        command, context = below, click.Context(below, info_name=word, parent=context)
    formatter = context.make_formatter()
    command.format_help(context, formatter)
    return formatter.getvalue()


def command_page(path: str, row: Command) -> str:
    """The help page of one command, for the name it was called by."""
    parts = [f"Usage:  {row.usage(path)}", row.description or row.help]
    names = NAMES[path][0] if path in NAMES else path
    if ", " in names:
        aliases = ", ".join(f"minidock {name}" for name in names.split(", "))
        parts.append(f"Aliases:\n  {aliases}")
    if any(not flag.hidden for flag in row.flags):
        parts.append("Options:\n" + flag_lines(row.flags))
    if row.examples:
        parts.append("Examples:\n" + "\n".join(f"  {line}" for line in row.examples))
    return "\n\n".join(parts) + "\n"


def group_page(path: str) -> str:
    """The help page of a group."""
    commands = [(name, load(NAMES[f"{path} {name}"][1]).help) for name, _ in _children(path)]
    return (
        f"Usage:  minidock {path} COMMAND\n\n{GROUPS[path]}\n\n"
        f"Commands:\n{_command_lines(commands)}\n\n"
        f"Run 'minidock {path} COMMAND --help' for more information on a command.\n"
    )


def root_page() -> str:
    """What `minidock --help` says."""
    top = {name: load(target).help for name, target in _children("", aliases=True) if target}
    common = [(name, top.pop(name)) for name in COMMON if name in top]
    parts = [
        "Usage:  minidock [OPTIONS] COMMAND",
        ROOT.help,
        "Common Commands:\n" + _command_lines(common) if common else "",
        "Management Commands:\n" + _command_lines(sorted(GROUPS.items())),
        "Commands:\n" + _command_lines(sorted(top.items())),
        "Global Options:\n" + flag_lines(ROOT.flags),
        "Run 'minidock COMMAND --help' for more information on a command.",
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _children(path: str, *, aliases: bool = False) -> Iterator[tuple[str, str]]:
    """Names below `path` and where their commands stand ("" for a group), sorted.

    Without `aliases` a command in a group appears once, under the first of its names.
    """
    found = dict.fromkeys(GROUPS, "") if not path else {}
    for names, target in TREE:
        inside = [name for name in names.split(", ") if name.rpartition(" ")[0] == path]
        for name in inside if aliases else inside[:1]:
            found[name.rpartition(" ")[2]] = target
    yield from sorted(found.items())


def _command_lines(commands: Sequence[tuple[str, str]]) -> str:
    width = max(_COMMON_WIDTH, *(len(name) for name, _ in commands)) if commands else 0
    return "\n".join(f"  {name.ljust(width)} {text}" for name, text in commands)


def flag_lines(flags: Sequence[Flag], columns: int = 0) -> str:
    """The Options section in pflag's layout. `columns` 0: as wide as the terminal."""
    shown = sorted((flag for flag in flags if not flag.hidden), key=lambda flag: flag.long)
    left = [_flag_head(flag) for flag in shown]
    indent = max(len(text) for text in left) + 3
    wide = columns or _terminal_width() - 1
    lines = []
    for head, flag in zip(left, shown, strict=True):
        lines.append(head.ljust(indent) + wrap(indent, wide, flag.help + _default(flag)))
    return "\n".join(lines)


def _flag_head(flag: Flag) -> str:
    short = f"  -{flag.short}, " if flag.short else "      "
    kind = {"text": "string", "bool": ""}.get(flag.kind, flag.kind)
    return f"{short}--{flag.long} {flag.value or kind}".rstrip()


def _default(flag: Flag) -> str:
    if not flag.default:
        return ""
    if flag.kind == "bool":
        return " (default true)"
    return f" (default {flag.default})" if flag.kind == "int" else f' (default "{flag.default}")'


def _terminal_width() -> int:
    try:
        return os.get_terminal_size(0).columns or 80
    except OSError:
        return 80


def wrap(indent: int, columns: int, text: str) -> str:
    """pflag's word wrapping: lines may run over by five columns to avoid a lonely last word."""
    pad = "\n" + " " * indent
    room = columns - indent
    start = ""
    if room < 24:  # no space beside the flags: write below them
        indent = 16
        room = columns - indent
        pad = start = "\n" + " " * indent
    if room < 24:
        return text.replace("\n", start)
    slop = 5
    room -= slop
    lines: list[str] = []
    while text or not lines:
        line, text = _cut(room, slop, text)
        lines.append(line.replace("\n", pad))
    return start + pad.join(lines)


def _cut(at: int, slop: int, text: str) -> tuple[str, str]:
    """One line of `text` and what is left of it."""
    if at + slop > len(text.encode()):  # Go counts bytes
        return text, ""
    head = text[:at]
    space = max(head.rfind(" "), head.rfind("\t"), head.rfind("\n"))
    if space <= 0:
        return text, ""
    newline = head.rfind("\n")
    if 0 < newline < space:
        space = newline
    return text[:space], text[space + 1 :]
