"""Help pages look as Docker's do, line breaks included; completion knows what can come next."""

from __future__ import annotations

import os
import subprocess
import sys

import click
import pytest

from minidock.cli import click_app
from minidock.cli.click_app import TableCommand, TableGroup, command_page, flag_lines, help_page
from minidock.cli.command import Command, Flag
from minidock.cli.parse import parse
from minidock.cli.registry import GROUPS, NAMES, find, load

FORMAT = """Format output using a custom template:
'table':            Print output in table format with column headers (default)
'table TEMPLATE':   Print output in table format using the given Go template
'json':             Print in JSON format
'TEMPLATE':         Print output using the given Go template.
Refer to https://docs.docker.com/go/formatting/ for more information about formatting output with \
templates"""
PS = Command(
    help="List containers",
    run="x:ps",
    flags=(
        Flag("last", "n", "int", default=-1,
             help="Show n last created containers (includes all states)"),
        Flag("all", "a", "bool", help="Show all containers (default shows just running)"),
        Flag("format", help=FORMAT),
        Flag("filter", "f", "list", value="filter",
             help="Filter output based on conditions provided"),
        Flag("secret", help="Not shown", hidden=True),
    ),
    examples=("minidock ps -a",),
)  # fmt: skip

# `docker ps --help`, 28.2.2, with fewer flags and our examples
PAGE = """\
Usage:  minidock ps [OPTIONS]

List containers

Aliases:
  minidock container ls, minidock container list, minidock container ps, minidock ps

Options:
  -a, --all             Show all containers (default shows just running)
  -f, --filter filter   Filter output based on conditions provided
      --format string   Format output using a custom template:
                        'table':            Print output in table format
                        with column headers (default)
                        'table TEMPLATE':   Print output in table format
                        using the given Go template
                        'json':             Print in JSON format
                        'TEMPLATE':         Print output using the given
                        Go template.
                        Refer to https://docs.docker.com/go/formatting/
                        for more information about formatting output with
                        templates
  -n, --last int        Show n last created containers (includes all
                        states) (default -1)

Examples:
  minidock ps -a
"""


@pytest.fixture(autouse=True)
def eighty_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(click_app, "_terminal_width", lambda: 80)


def test_the_page_of_a_command() -> None:
    assert command_page("ps", PS) == PAGE


def test_defaults_are_shown_as_pflag_shows_them() -> None:
    flags = (
        Flag("pull", default="missing", help="Pull"),
        Flag("pause", "p", "bool", default=True, help="Pause"),
        Flag("rm", kind="bool", default=False, help="Remove"),
        Flag("tail", kind="int", default=0, help="Tail"),
    )
    assert flag_lines(flags).splitlines() == [
        "  -p, --pause         Pause (default true)",
        '      --pull string   Pull (default "missing")',
        "      --rm            Remove",
        "      --tail int      Tail",
    ]


def test_a_narrow_terminal_has_the_text_below_the_flag() -> None:
    flags = (Flag("a-rather-long-name", help="word " * 12 + "end"),)
    lines = flag_lines(flags, columns=44).splitlines()
    assert lines[0].rstrip() == "      --a-rather-long-name string"
    assert all(line.startswith(" " * 16) for line in lines[1:])
    assert all(len(line) <= 44 for line in lines)
    assert " ".join(" ".join(lines[1:]).split()) == "word " * 12 + "end"


@pytest.mark.parametrize("path", [*NAMES, *GROUPS, ""])
def test_every_page_can_be_printed(path: str) -> None:
    page = help_page(path.split())
    assert page.startswith(f"Usage:  minidock {path}".rstrip() + (" " if path else ""))
    assert page.endswith("\n")
    assert not page.endswith("\n\n")
    assert all(line == line.rstrip() for line in page.splitlines())
    if path in NAMES:
        assert "\nExamples:\n  minidock " in page


def test_no_such_page() -> None:
    for words, named in ((["x"], "x"), (["container", "x"], "x"), (["ps", "x"], "x")):
        with pytest.raises(KeyError, match=named):
            help_page(words)


@pytest.mark.parametrize(
    "line",
    [
        "run ubuntu",
        "run -it ubuntu /bin/bash",
        "run -d --rm --name x -e A=1 -eB=2 --env C=3 --env=D ubuntu ls -l --all -- -x",
        "run --network none -w / -u 0:0 --entrypoint= ubuntu",
        "run -- ubuntu --rm",
        "container run --hostname h -h i ubuntu",
        "exec -it -w /tmp c sh -c 'exit 3'",
        "ps",
        "ps -a -q --no-trunc",
        "ps -aqn5",
        "ps -n -1 --filter a=b -f c=d",
        "container ls --last=0x10 --format {{.ID}}",
        "images ubuntu -a",
        "image ls --digests",
        "rm -f a b -- -c",
        "commit -m text -a me c image",
    ],
)
def test_click_and_the_lean_parser_read_the_same(line: str) -> None:
    found = find(line.split())
    assert found is not None
    path, target, _ = found
    import shlex

    argv = shlex.split(line)[len(path.split()) :]
    row: Command = load(target)
    lean = parse(row, path, argv)
    command = TableCommand(path, row)
    context = command.make_context(path, list(argv), resilient_parsing=False)
    assert list(context.params["positionals"]) == lean.positionals
    for flag in row.flags:
        value = context.params[flag.long.replace("-", "_")]
        if flag.kind == "list":
            assert value == lean.each(flag.long)
        elif flag.kind == "bool":
            assert value == lean.on(flag.long)
        elif flag.kind == "int":
            assert (value or 0) == lean.number(flag.long)
        else:
            assert (value or "") == lean.text(flag.long)


def test_click_finds_what_the_registry_has() -> None:
    root = TableGroup("")
    context = click.Context(root)
    names = set(root.list_commands(context))
    assert names >= {name for name in NAMES if " " not in name} | set(GROUPS)
    for group in GROUPS:
        below = root.get_command(context, group)
        assert isinstance(below, TableGroup)
        assert below.list_commands(context)
    assert root.get_command(context, "nonsense") is None


def complete(words: str) -> list[str]:
    """What bash would offer for the last word."""
    environ = {
        **os.environ,
        "_MINIDOCK_COMPLETE": "bash_complete",
        "COMP_WORDS": words,
        "COMP_CWORD": str(len(words.split(" ")) - 1),
    }
    line = [sys.executable, "-m", "minidock"]
    done = subprocess.run(line, env=environ, capture_output=True, text=True, check=True)
    return [answer.partition(",")[2] for answer in done.stdout.split()]


def test_the_tab_key() -> None:
    assert complete("minidock comp") == ["completion"]
    assert "container" in complete("minidock con")
    assert complete("minidock container no") == []
    assert "--root" in complete("minidock --ro")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts(shell: str) -> None:
    line = [sys.executable, "-m", "minidock", "completion", shell]
    done = subprocess.run(line, capture_output=True, text=True, check=True)
    assert "_MINIDOCK_COMPLETE" in done.stdout
