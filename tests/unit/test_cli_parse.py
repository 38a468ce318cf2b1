"""The lean parser: pflag's dialect and Docker's words for what is wrong.

The expected texts were printed by Docker's own client, 28.2.2, with its name changed.
"""

from __future__ import annotations

import pytest

from minidock.cli.command import Command, Flag, Unsupported, UsageError
from minidock.cli.parse import Parsed, check_count, parse, parse_bool, parse_int

UNSUPPORTED = (Unsupported("publish", "p", "container networks come later"),)


def pair(text: str) -> str:
    if "=" not in text:
        raise ValueError("bad format of filter (expected name=value)")
    return text


RUN = Command(
    help="Create and run a new container from an image",
    run="x:run",
    args="IMAGE [COMMAND] [ARG...]",
    least=1,
    interspersed=False,
    unsupported=f"{__name__}:UNSUPPORTED",
    flags=(
        Flag("env", "e", "list"),
        Flag("hostname", "h"),
        Flag("interactive", "i", "bool"),
        Flag("name"),
        Flag("rm", kind="bool"),
        Flag("sig-proxy", kind="bool", default=True),
        Flag("tty", "t", "bool"),
    ),
)
PS = Command(
    help="List containers",
    run="x:ps",
    most=0,
    flags=(
        Flag("all", "a", "bool"),
        Flag("filter", "f", "list", check=pair),
        Flag("last", "n", "int", default=-1),
        Flag("quiet", "q", "bool"),
        Flag("time", hidden=True, deprecated="use --timeout instead"),
    ),
)


@pytest.fixture(autouse=True)
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    """The table of unsupported flags is found by the name of this module."""
    import sys
    import types

    module = types.ModuleType(__name__)
    module.__dict__["UNSUPPORTED"] = UNSUPPORTED
    monkeypatch.setitem(sys.modules, __name__, module)


def run(*argv: str) -> Parsed:
    return parse(RUN, "run", argv)


def ps(*argv: str) -> Parsed:
    return parse(PS, "ps", argv)


def message(command: Command, path: str, *argv: str) -> tuple[str, int]:
    """What goes wrong: the first line and the exit code; the rest is checked to be the usage."""
    with pytest.raises(UsageError) as caught:
        check_count(parse(command, path, argv))
    first, _, rest = caught.value.text.partition("\n\n")
    assert rest.startswith(f"Usage:  {command.usage(path)}\n\n")
    assert rest.endswith(f" 'minidock {path} --help' for more information\n")
    return first, caught.value.exit_code


def test_what_is_not_given_has_its_default() -> None:
    args = run("ubuntu")
    assert (args.on("rm"), args.on("sig-proxy"), args.text("name")) == (False, True, "")
    assert args.each("env") == ()
    assert ps().number("last") == -1
    assert not args.given("sig-proxy")


@pytest.mark.parametrize("argv", [["-it"], ["-i", "-t"], ["-ti"], ["--interactive", "--tty=1"]])
def test_short_flags_stand_together(argv: list[str]) -> None:
    args = run(*argv, "ubuntu")
    assert args.on("interactive")
    assert args.on("tty")


@pytest.mark.parametrize(
    ("argv", "value"),
    [
        (["-eFOO=1"], "FOO=1"),
        (["-e", "FOO=1"], "FOO=1"),
        (["-e=FOO=1"], "FOO=1"),
        (["--env=FOO=1"], "FOO=1"),
        (["--env", "FOO=1"], "FOO=1"),
        (["-ite", "FOO=1"], "FOO=1"),
        (["-e="], "="),  # pflag: an = with nothing behind it is the value itself
        (["--env="], ""),
        (["-e", "-x"], "-x"),  # the next word, whatever it looks like
        (["--env", "--"], "--"),
    ],
)
def test_ways_to_give_a_value(argv: list[str], value: str) -> None:
    assert run(*argv, "ubuntu").each("env") == (value,)


def test_a_list_keeps_its_order_and_another_flag_its_last_value() -> None:
    args = run("-e", "A", "--name", "x", "-eB", "--name=y", "--env=C", "ubuntu")
    assert args.each("env") == ("A", "B", "C")
    assert args.text("name") == "y"
    assert args.given("name")


def test_the_command_in_the_container_keeps_its_flags() -> None:
    assert run("--rm", "ubuntu", "ls", "-l", "--", "-x").positionals == [
        "ubuntu", "ls", "-l", "--", "-x",
    ]  # fmt: skip
    assert run("--", "-strange", "--rm").positionals == ["-strange", "--rm"]


def test_elsewhere_flags_may_follow_arguments() -> None:
    command = PS.but(most=None)
    args = parse(command, "ps", ["x", "-a", "-", "y", "--", "-q"])
    assert args.positionals == ["x", "-", "y", "-q"]
    assert args.on("all")
    assert not args.on("quiet")


@pytest.mark.parametrize(
    ("text", "number"),
    [("5", 5), ("-1", -1), ("+3", 3), ("0x10", 16), ("010", 8), ("0b11", 3), ("1_0", 10)],
)
def test_numbers_in_go_notation(text: str, number: int) -> None:
    assert ps("-n", text).number("last") == number
    assert ps(f"-n={text}").number("last") == number
    assert ps(f"-n{text}").number("last") == number
    assert ps(f"--last={text}").number("last") == number


@pytest.mark.parametrize("text", ["", "x", "1.5", "08", "0x", " 1", "1 ", "--1", "+-1", "٣", "_1"])
def test_what_is_no_number(text: str) -> None:
    with pytest.raises(ValueError, match=r"strconv.ParseInt: parsing .*: invalid syntax"):
        parse_int(text)


def test_a_number_has_64_bits() -> None:
    assert parse_int("9223372036854775807") == 2**63 - 1
    assert parse_int("-9223372036854775808") == -(2**63)
    with pytest.raises(ValueError, match="value out of range"):
        parse_int("9223372036854775808")


def test_bools_are_pflags() -> None:
    assert all(parse_bool(text) for text in ("1", "t", "T", "TRUE", "true", "True"))
    assert not any(parse_bool(text) for text in ("0", "f", "F", "FALSE", "false", "False"))
    for text in ("yes", "on", "tRUE", "2", ""):
        with pytest.raises(ValueError, match="invalid syntax"):
            parse_bool(text)
    assert not run("--rm=false", "x").on("rm")
    assert not run("--sig-proxy=0", "x").on("sig-proxy")
    assert run("--rm", "false").positionals == ["false"]  # a bool takes no word
    assert not run("-it=false", "x").on("tty")


@pytest.mark.parametrize(
    ("argv", "text"),
    [
        (["--foo"], "unknown flag: --foo"),
        (["--foo=bar"], "unknown flag: --foo"),
        (["--nam", "x"], "unknown flag: --nam"),
        (["-z"], "unknown shorthand flag: 'z' in -z"),
        (["-itz", "x"], "unknown shorthand flag: 'z' in -z"),
        (["-i=", "x"], "unknown shorthand flag: '=' in -="),
        (["-i é"], "unknown shorthand flag: ' ' in - é"),
        (["-é"], "unknown shorthand flag: 'Ã' in -é"),
        (["-=x"], "unknown shorthand flag: '=' in -=x"),
        (["--=x"], "bad flag syntax: --=x"),
        (["---x"], "bad flag syntax: ---x"),
        (["--name"], "flag needs an argument: --name"),
        (["-e"], "flag needs an argument: 'e' in -e"),
        (["-ite"], "flag needs an argument: 'e' in -e"),
        (["-h"], "flag needs an argument: 'h' in -h"),
        (
            ["--rm=x", "i"],
            'invalid argument "x" for "--rm" flag: strconv.ParseBool: parsing "x": invalid syntax',
        ),
        (
            ["-it=x", "i"],
            'invalid argument "x" for "-t, --tty" flag: '
            'strconv.ParseBool: parsing "x": invalid syntax',
        ),
    ],
)
def test_bad_flags(argv: list[str], text: str) -> None:
    assert message(RUN, "run", *argv) == (text, 125)


def test_bad_values() -> None:
    assert message(PS, "ps", "-n", "x") == (
        'invalid argument "x" for "-n, --last" flag: strconv.ParseInt: parsing "x": invalid syntax',
        125,
    )
    assert message(PS, "ps", "-f", "x") == (
        'invalid argument "x" for "-f, --filter" flag: bad format of filter (expected name=value)',
        125,
    )


@pytest.mark.parametrize(
    ("least", "most", "count", "text"),
    [
        (0, 0, 1, "accepts no arguments"),
        (1, None, 0, "requires at least 1 argument"),
        (2, None, 1, "requires at least 2 arguments"),
        (0, 1, 2, "requires at most 1 argument"),
        (1, 1, 0, "requires 1 argument"),
        (2, 2, 3, "requires 2 arguments"),
        (1, 2, 0, "requires at least 1 and at most 2 arguments"),
    ],
)
def test_how_many_arguments(least: int, most: int | None, count: int, text: str) -> None:
    command = Command(help="", run="", least=least, most=most)
    line, code = message(command, "rename", *["x"] * count)
    assert (line, code) == (f"minidock: 'minidock rename' {text}", 1)


def test_at_least_says_see_and_the_others_run() -> None:
    with pytest.raises(UsageError) as caught:
        check_count(run())
    assert caught.value.text == (
        "minidock: 'minidock run' requires at least 1 argument\n\n"
        "Usage:  minidock run [OPTIONS] IMAGE [COMMAND] [ARG...]\n\n"
        "See 'minidock run --help' for more information\n"
    )


@pytest.mark.parametrize("argv", [["-p", "80:80"], ["--publish=80:80"], ["-itp80:80"]])
def test_a_flag_that_comes_later_says_so(argv: list[str]) -> None:
    with pytest.raises(UsageError) as caught:
        run(*argv, "ubuntu")
    assert caught.value.exit_code == 125
    assert caught.value.text == (
        "minidock run: flag --publish is not supported: container networks come later\n"
    )


def test_help_is_a_flag_everywhere_and_h_too_unless_it_is_taken() -> None:
    assert ps("--help").on("help")
    assert not ps("--help=false").on("help")
    args = ps("-h")
    assert args.on("help")
    assert args.notices == ["Flag shorthand -h has been deprecated, use --help"]
    assert run("-h", "box", "ubuntu").text("hostname") == "box"
    assert message(PS, "ps", "-hx") == ("unknown shorthand flag: 'x' in -x", 125)


def test_a_deprecated_flag_works_and_says_so() -> None:
    args = ps("--time=5")
    assert args.text("time") == "5"
    assert args.notices == ["Flag --time has been deprecated, use --timeout instead"]


def test_an_undeclared_flag_is_a_mistake_of_ours() -> None:
    args = run("x")
    for ask in (args.on, args.text, args.number, args.each, args.given):
        with pytest.raises(KeyError):
            ask("nonsense")
