"""Reading argv as pflag does, the library behind Docker's command line.

click could do this, and does it for help and completion; importing it takes 36 ms, more than all
the rest of a `minidock ps` together. What Docker's users type is pflag's dialect anyway, which
click does not speak everywhere: `--rm=false`, `-it=false`, `-n=5`, numbers in Go's notation, and
error messages that scripts know. A test holds the two against each other.

The dialect, in short: `--name=x` or `--name x`; `--rm` or `--rm=false` but never `--rm false`;
`-itd`, `-eA=1`, `-e=A=1` and `-e A=1`; `--` ends the flags. A flag that takes a value takes the
next word whatever it looks like, so `-n -1` needs no care.

See: pflag's flag.go (parseLongArg, parseSingleShortArg), strconv.ParseBool, strconv.ParseInt.
"""

from __future__ import annotations

from minidock.cli.command import Command, Flag, Unsupported, UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Container, Sequence

_TRUE = ("1", "t", "T", "TRUE", "true", "True")
_FALSE = ("0", "f", "F", "FALSE", "false", "False")
HELP = Flag("help", kind="bool", help="Print usage", hidden=True)


class Parsed:
    """What was typed, by the long names of the flags. Asking for an undeclared flag is a KeyError.

    `path` is the command as typed ("container ls"), `positionals` the rest, `notices` what to
    say on stderr before anything else (deprecated flags).
    """

    def __init__(self, command: Command, path: str) -> None:
        self.command = command
        self.path = path
        self.positionals: list[str] = []
        self.notices: list[str] = []
        self._flags = {flag.long: flag for flag in (*command.flags, HELP)}
        self._values: dict[str, bool | str | int] = {}
        self._lists: dict[str, list[str]] = {}

    @property
    def flags(self) -> Container[str]:
        """The long names of the command's flags."""
        return self._flags

    def given(self, long: str) -> bool:
        """Whether the flag was on the command line at all."""
        return self._flags[long].long in self._values or long in self._lists

    def on(self, long: str) -> bool:
        """A flag of kind "bool"."""
        return bool(self._value(long))

    def text(self, long: str) -> str:
        """A flag of kind "text"; "" where neither given nor defaulted."""
        return str(self._value(long) or "")

    def number(self, long: str) -> int:
        """A flag of kind "int"; 0 where neither given nor defaulted."""
        return int(self._value(long) or 0)

    def each(self, long: str) -> tuple[str, ...]:
        """A flag of kind "list": every value, in order."""
        if self._flags[long].kind != "list":
            raise KeyError(long)
        return tuple(self._lists.get(long, ()))

    def _value(self, long: str) -> bool | str | int | None:
        flag = self._flags[long]
        return self._values.get(long, flag.default)

    def set(self, flag: Flag, text: str) -> None:
        """Store a value as typed. Raises ValueError in Go's words."""
        check = flag.check
        if isinstance(check, str):
            from minidock.cli.registry import load

            check = load(check)
        if check is not None:
            text = check(text)
        if flag.kind == "list":
            self._lists.setdefault(flag.long, []).append(text)
        elif flag.kind == "bool":
            self._values[flag.long] = parse_bool(text)
        elif flag.kind == "int":
            self._values[flag.long] = parse_int(text)
        else:
            self._values[flag.long] = text


def parse(command: Command, path: str, argv: Sequence[str]) -> Parsed:
    """Read `argv`, all that follows the command's name. Counts no positionals: `check_count` does.

    Raises UsageError with Docker's text and exit code 125.
    """
    parsed = Parsed(command, path)
    shorts = {flag.short: flag for flag in command.flags if flag.short}
    rest = list(reversed(argv))  # pop() takes the next word
    while rest:
        word = rest.pop()
        if word == "--":
            break
        if len(word) < 2 or word[0] != "-":
            parsed.positionals.append(word)
            if not command.interspersed:
                break
        elif word[1] == "-":
            _long(parsed, word, rest)
        else:
            _shorts(parsed, word, shorts, rest)
    parsed.positionals += reversed(rest)
    return parsed


def _long(parsed: Parsed, word: str, rest: list[str]) -> None:
    name, has_value, value = word[2:].partition("=")
    if not name or name[0] == "-":
        raise bad_usage(parsed, f"bad flag syntax: {word}")
    flag = parsed._flags.get(name)
    if flag is None:
        raise _unknown(parsed, f"unknown flag: --{name}", name)
    if has_value:
        pass
    elif flag.kind == "bool":
        value = "true"
    elif rest:
        value = rest.pop()
    else:
        raise bad_usage(parsed, f"flag needs an argument: --{name}")
    _store(parsed, flag, value)


def _shorts(parsed: Parsed, word: str, shorts: dict[str, Flag], rest: list[str]) -> None:
    letters = word[1:]
    while letters:
        letter, after = letters[0], letters[1:]
        flag = shorts.get(letter)
        if flag is None and letter == "h":
            parsed.notices.append("Flag shorthand -h has been deprecated, use --help")
            flag = HELP
        if flag is None:
            byte = letter.encode("utf-8", "surrogateescape")[:1]  # pflag walks through bytes
            message = f"unknown shorthand flag: '{byte.decode('latin-1')}' in -{letters}"
            raise _unknown(parsed, message, letter)
        if len(after) > 1 and after[0] == "=":  # so `-e=` means the value "="
            value, after = after[1:], ""
        elif flag.kind == "bool":
            value = "true"
        elif after:
            value, after = after, ""
        elif rest:
            value = rest.pop()
        else:
            raise bad_usage(parsed, f"flag needs an argument: '{letter}' in -{letters}")
        _store(parsed, flag, value)
        letters = after


def _store(parsed: Parsed, flag: Flag, text: str) -> None:
    try:
        parsed.set(flag, text)
    except ValueError as error:
        from minidock.spec.quoting import quote

        message = f'invalid argument {quote(text)} for "{flag.spelling}" flag: {error}'
        raise bad_usage(parsed, message) from None
    if flag.deprecated:
        parsed.notices.append(f"Flag --{flag.long} has been deprecated, {flag.deprecated}")


def check_count(parsed: Parsed) -> None:
    """Hold the positionals against `least` and `most`. Raises UsageError, exit code 1."""
    command, count = parsed.command, len(parsed.positionals)
    least, most = command.least, command.most
    if count >= least and (most is None or count <= most):
        return
    verb = "Run"
    if most == 0:
        rule = "accepts no arguments"
    elif most is None:
        rule, verb = f"requires at least {_arguments(least)}", "See"
    elif least == most:
        rule = f"requires {_arguments(least)}"
    elif least == 0:
        rule = f"requires at most {_arguments(most)}"
    else:
        rule = f"requires at least {least} and at most {_arguments(most)}"
    message = f"minidock: 'minidock {parsed.path}' {rule}"
    raise bad_usage(parsed, message, verb=verb, exit_code=1)


def _arguments(count: int) -> str:
    return f"{count} argument{'' if count == 1 else 's'}"


def bad_usage(
    parsed: Parsed, message: str, *, verb: str = "Run", exit_code: int = 125
) -> UsageError:
    """The error with the usage line and the pointer to the help page."""
    usage = parsed.command.usage(parsed.path)
    name = f"minidock {parsed.path}".rstrip()
    text = f"{message}\n\nUsage:  {usage}\n\n{verb} '{name} --help' for more information\n"
    return UsageError(text, exit_code)


def _unknown(parsed: Parsed, message: str, name: str) -> UsageError:
    """An unknown flag, or one that is known and refused (`name` is its long or its one letter)."""
    if parsed.command.unsupported:
        from minidock.cli.registry import load

        table: tuple[Unsupported, ...] = load(parsed.command.unsupported)
        for flag in table:
            if name == (flag.short if len(name) == 1 else flag.long):
                who = f"minidock {parsed.path}".rstrip()
                text = f"{who}: flag --{flag.long} is not supported: {flag.reason}\n"
                return UsageError(text, 125)
    return bad_usage(parsed, message)


def parse_bool(text: str) -> bool:
    """strconv.ParseBool."""
    if text in _TRUE:
        return True
    if text in _FALSE:
        return False
    raise _go_number_error("ParseBool", text, "invalid syntax")


def parse_int(text: str) -> int:
    """strconv.ParseInt(text, 0, 64): also 0x1f, 0o17, 017, 0b11 and 1_000; 64 bits."""
    digits = text.lstrip("+-") if text[:2] not in ("++", "+-", "-+", "--") else ""
    if digits[:1] == "0" and digits[1:2].isdigit():  # Go's old octal form
        digits = "0o" + digits[1:]
    try:
        if digits != digits.strip() or not digits.isascii():
            raise ValueError
        value = int(digits, 0)
    except ValueError:
        raise _go_number_error("ParseInt", text, "invalid syntax") from None
    value = -value if text[0] == "-" else value
    if not -(1 << 63) <= value < 1 << 63:
        raise _go_number_error("ParseInt", text, "value out of range")
    return value


def _go_number_error(function: str, text: str, why: str) -> ValueError:
    from minidock.spec.quoting import quote

    return ValueError(f"strconv.{function}: parsing {quote(text)}: {why}")
