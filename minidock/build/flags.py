"""The flags between an instruction's name and its arguments: `COPY --from=build --link a /b`.

They are all `--name=value`, or a bare `--name` for a switch. What is no flag ends them, so that
`RUN --mount=… ls --all` keeps the second one for `ls`.

See: buildkit frontend/dockerfile/instructions/bflag.go
"""

from __future__ import annotations

from minidock.build.errors import did_you_mean
from minidock.errors import InvalidInput
from minidock.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping


class Flags(Record):
    """What was said; a switch is "true" or "false"."""

    values: Mapping[str, tuple[str, ...]]

    def text(self, name: str, default: str = "") -> str:
        return self.values[name][-1] if name in self.values else default

    def all(self, name: str) -> tuple[str, ...]:
        return self.values.get(name, ())

    def on(self, name: str) -> bool:
        return self.text(name) == "true"


TEXT = "text"
TEXTS = "texts"  # may be given more than once
SWITCH = "switch"


def split_flags(arguments: str) -> tuple[list[str], str]:
    """The words in front that begin with `--`, unquoted, and the rest."""
    words: list[str] = []
    rest = arguments.lstrip()
    while rest.startswith("--"):
        word, rest = _word(rest)
        if word == "--":
            break
        words.append(word)
        rest = rest.lstrip()
    return words, rest.strip()


def _word(text: str) -> tuple[str, str]:
    """Up to the white space that is not quoted. The escape character here is always a backslash."""
    out = quote = ""
    at = 0
    while at < len(text):
        char = text[at]
        if not quote and char.isspace():
            break
        if char == "\\" and at + 1 < len(text):
            at += 1
            out += text[at]
        elif quote and char == quote:
            quote = ""
        elif not quote and char in "'\"":
            quote = char
        elif char != "\\":
            out += char
        at += 1
    return out, text[at:]


def parse_flags(words: list[str], known: Mapping[str, str]) -> Flags:
    """`known` says of each flag what it is. Raises `InvalidInput`."""
    values: dict[str, tuple[str, ...]] = {}
    for word in words:
        typed, equals, value = word.partition("=")
        name = typed[2:]
        if name not in known:
            raise InvalidInput(f"unknown flag: {typed}{did_you_mean(name, known)}")
        if name in values and known[name] != TEXTS:
            raise InvalidInput(f"duplicate flag specified: {typed}")
        if known[name] == SWITCH:
            value = _switch(typed, value, given=bool(equals))
        elif not equals:
            raise InvalidInput(f"missing a value on flag: {typed}")
        values[name] = (*values.get(name, ()), value)
    return Flags(values)


def _switch(typed: str, value: str, *, given: bool) -> str:
    if given and not value:
        raise InvalidInput(f"missing a value on flag: {typed}")
    lower = value.lower() or "true"
    if lower not in ("true", "false"):
        raise InvalidInput(f"expecting boolean value for flag {typed}, not: {value}")
    return lower
