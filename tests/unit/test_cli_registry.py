"""Every registered command is whole: it can be imported, has help, an example, and a function."""

from __future__ import annotations

import inspect
import shlex

import pytest

from minidock.cli.command import Command, Unsupported
from minidock.cli.main import ROOT
from minidock.cli.parse import check_count, parse
from minidock.cli.registry import COMMON, GROUPS, NAMES, TREE, find, load

ROWS = [pytest.param(names, target, id=names.split(", ")[0]) for names, target in TREE]


@pytest.mark.parametrize(("names", "target"), ROWS)
def test_a_row_is_whole(names: str, target: str) -> None:
    command = load(target)
    assert isinstance(command, Command)
    assert command.help
    assert not command.help.endswith(".")  # as Docker's
    function = load(command.run)
    assert list(inspect.signature(function).parameters) == ["args", "app"]
    assert function.__doc__


@pytest.mark.parametrize(("names", "target"), ROWS)
def test_flags_are_whole(names: str, target: str) -> None:
    command: Command = load(target)
    longs = [flag.long for flag in command.flags]
    shorts = [flag.short for flag in command.flags if flag.short]
    assert len(set(longs)) == len(longs)
    assert len(set(shorts)) == len(shorts)
    for flag in command.flags:
        assert flag.kind in ("bool", "text", "int", "list"), flag
        assert flag.help or flag.hidden, flag
        assert len(flag.short) <= 1, flag
        types = {"bool": bool, "text": str, "int": int, "list": type(None)}
        assert flag.default is None or type(flag.default) is types[flag.kind], flag


@pytest.mark.parametrize(("names", "target"), ROWS)
def test_refused_flags_are_not_taken_ones(names: str, target: str) -> None:
    command: Command = load(target)
    if not command.unsupported:
        return
    table: tuple[Unsupported, ...] = load(command.unsupported)
    assert not {no.long for no in table} & {flag.long for flag in command.flags}
    taken = {flag.short for flag in command.flags if flag.short}
    assert not {no.short for no in table if no.short} & taken
    assert all(no.reason and not no.reason.endswith(".") for no in table)


@pytest.mark.parametrize(("names", "target"), ROWS)
def test_examples_can_be_typed(names: str, target: str) -> None:
    command: Command = load(target)
    assert command.examples
    for example in command.examples:
        words = shlex.split(example, comments=True)
        if ">" in words:
            words = words[: words.index(">")]
        start = words.index("minidock")
        options = parse(ROOT, "", words[start + 1 :])
        found = find(options.positionals)
        assert found is not None, example
        path, where, rest = found
        assert where == target, example
        check_count(parse(command, path, rest))


def test_names_are_unique_and_their_groups_exist() -> None:
    every = [name for names, _ in TREE for name in names.split(", ")]
    assert len(set(every)) == len(every)
    assert not set(every) & set(GROUPS)
    assert {name.split()[0] for name in every if " " in name} <= set(GROUPS)


def test_finding() -> None:
    assert find(["completion", "bash"]) == ("completion", NAMES["completion"][1], ["bash"])
    assert find(["nonsense"]) is None
    assert find(["image"]) is None
    assert find(["image", "nonsense"]) is None


def test_what_is_common_is_top_level() -> None:
    assert not any(" " in name for name in COMMON)
