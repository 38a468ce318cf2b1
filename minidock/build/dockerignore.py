"""`.dockerignore`: what of a directory is no part of the build.

    # a comment, if the line begins with it
    *.log            at the top only
    **/*.o           at any depth, the top included
    node_modules     the directory and all in it
    docs
    !docs/README.md  but not this one: of the lines that match, the last one decides

Patterns are Go's (spec/glob.py) with `**` for any number of directories. A leading slash means
nothing: all patterns begin at the root of the context. A line matches a path also by matching a
directory above it, which is how `docs` excludes `docs/a/b`, and how `!docs` would let it in again.

The same rules serve `COPY --exclude=…`.

See: https://docs.docker.com/build/concepts/context/#dockerignore-files, moby/patternmatcher
"""

from __future__ import annotations

import re

from minidock.errors import InvalidInput
from minidock.record import Record
from minidock.spec.glob import path_match

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable


_CLASS = re.compile(r"(\^?)((?:\\.|[^]\\])+)\]", re.DOTALL)  # what follows a "["
_RANGE = re.compile(r"\\?(.)(?:-\\?(.))?", re.DOTALL)


class _Pattern(Record):
    """`include`: the line had a "!". `parts`: between its slashes."""

    include: bool
    parts: tuple[str, ...]
    fits: re.Pattern[str]


class Ignore:
    """Asked about paths without a leading slash; about those of a directory one after the other it
    is quickest."""

    def __init__(self, patterns: Iterable[str]) -> None:
        """Raises `InvalidInput` in Docker's words."""
        self._patterns = tuple(filter(None, map(_pattern, patterns)))
        # Which patterns matched a directory or something above it; "" is the context itself.
        self._matched: dict[str, tuple[bool, ...]] = {"": (False,) * len(self._patterns)}
        self._exceptions = [p for p in self._patterns if p.include]

    def __bool__(self) -> bool:
        """Whether there is a pattern at all."""
        return bool(self._patterns)

    def excludes(self, path: str) -> bool:
        """Whether the last pattern that matches, if any does, is one without a "!"."""
        above = self._directory(path.rpartition("/")[0])
        excluded = False
        for pattern, by_parent in zip(self._patterns, above, strict=True):
            # A pattern that would change nothing need not be tried.
            if pattern.include == excluded and (by_parent or pattern.fits.match(path)):
                excluded = not pattern.include
        return excluded

    def may_include_below(self, path: str) -> bool:
        """Whether a "!" might let something in that is inside a directory."""
        parts = path.split("/")
        return any(_leads_below(pattern.parts, parts) for pattern in self._exceptions)

    def _directory(self, path: str) -> tuple[bool, ...]:
        known = self._matched.get(path)
        if known is None:
            above = self._directory(path.rpartition("/")[0])
            pairs = zip(self._patterns, above, strict=True)
            known = tuple(up or bool(pattern.fits.match(path)) for pattern, up in pairs)
            self._matched[path] = known
        return known


def read_ignore(text: str, name: str = ".dockerignore") -> Ignore:
    """The lines of a file; `name` is shown in errors. Raises `InvalidInput`."""
    lines = text.removeprefix("\ufeff").splitlines()
    for number, line in enumerate(lines, 1):
        try:
            _pattern("" if line.startswith("#") else line)
        except InvalidInput as error:
            raise InvalidInput(f"{name}:{number}: {error.message}: {line.strip()}") from None
    return Ignore(line for line in lines if not line.startswith("#"))


def _pattern(line: str) -> _Pattern | None:
    text = line.strip()
    include = text.startswith("!")
    if include:
        text = text[1:].strip()
        if not text:
            raise InvalidInput('illegal exclusion pattern: "!"')
    if not text:
        return None
    path_match(text, ".")  # says what is wrong with it
    parts = _clean(text)
    if not parts:
        return None  # `.` and `/`: Docker takes them for nothing, too
    return _Pattern(include, parts, re.compile(_expression(parts), re.DOTALL))


def _clean(text: str) -> tuple[str, ...]:
    parts: list[str] = []
    for part in text.split("/"):
        if part == ".." and parts:
            parts.pop()
        elif part not in ("", ".", ".."):
            parts.append(part)
    return tuple(parts)


def _expression(parts: tuple[str, ...]) -> str:
    """`**` in front of a slash is any number of directories, at the end anything at all."""
    out = ""
    rest = "/".join(parts)
    while rest:
        char, rest = rest[0], rest[1:]
        if char == "*" and rest.startswith("*"):
            rest = rest[1:].removeprefix("/")
            out += "(?:.*/)?" if rest else ".*"
        elif char == "*":
            out += "[^/]*"
        elif char == "?":
            out += "[^/]"
        elif char == "[" and (group := _CLASS.match(rest)):
            out += _character_class(group[1], group[2])
            rest = rest[group.end() :]
        elif char == "\\" and rest:
            out, rest = out + re.escape(rest[0]), rest[1:]
        else:
            out += re.escape(char)
    return out + r"\Z"


def _character_class(negated: str, text: str) -> str:
    """`a-cx`, which path_match has found to be one; a range from z to a has nothing in it."""
    ranges = [(first, last or first) for first, last in _RANGE.findall(text)]
    found = "".join(f"{re.escape(a)}-{re.escape(z)}" for a, z in ranges if a <= z)
    if not found:
        return "[^/]" if negated else "(?!)"
    return f"(?!/)[{negated}{found}]"


def _leads_below(pattern: tuple[str, ...], directory: list[str]) -> bool:
    """Whether something in `directory` can match: its parts fit the pattern's first ones."""
    for part, name in zip(pattern, directory, strict=False):
        if "**" in part:
            return True
        if not path_match(part, name):
            return False
    return True
