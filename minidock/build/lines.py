"""A Dockerfile's text, taken apart into instructions: the layer below their grammar.

Three things decide where an instruction ends:

    # escape=`             a directive, at the very top, may change the escape character
    RUN one && \\           a line that ends in it goes on; comments and empty lines between
        # why               are left out
        two
    COPY <<EOF /motd       a word `<<NAME` takes the lines up to NAME as a document of its own,
    # no comment           in which nothing is special
    EOF

A comment begins at the start of a line only: `RUN echo a # b` gives the shell all of it. The line
breaks of continued lines vanish and what stands before the words of the next line stays.

See: https://docs.docker.com/reference/dockerfile/#format, buildkit frontend/dockerfile/parser
"""

from __future__ import annotations

import re

from minidock.build.errors import located
from minidock.build.instructions import Heredoc, Lines
from minidock.image.words import raw_words
from minidock.record import Record

_DIRECTIVE = re.compile(r"#\s*([a-zA-Z][a-zA-Z0-9]*)\s*=\s*(.+?)\s*$")
_DIRECTIVES = ("syntax", "escape", "check")
_HEREDOC = re.compile(r"\d*<<(-?)([^<]*)")
_WITH_HEREDOCS = re.compile(r"(?i)\s*(?:onbuild[ \t]+)?(?:add|copy|run)(?:\s|$)")
_BLANKS = re.compile(r"[\t\v\f\r ]+")  # Docker's white space; a no-break space is a letter
_BOM = "\ufeff"


class Line(Record):
    """One instruction, however many lines it was written on. `gap`: an empty one was among them."""

    where: Lines
    text: str
    heredocs: tuple[Heredoc, ...] = ()
    gap: bool = False

    @property
    def keyword(self) -> str:
        """Its first word as typed."""
        return _BLANKS.split(self.text.strip(), maxsplit=1)[0]

    @property
    def rest(self) -> str:
        """What follows the keyword."""
        return "".join(_BLANKS.split(self.text.strip(), maxsplit=1)[1:]).strip()


class Text(Record):
    """A Dockerfile taken apart. `directives` is what its `# name=value` lines say."""

    path: str
    lines: tuple[str, ...]  # as they stand, for showing them
    directives: dict[str, str]
    escape: str
    instructions: tuple[Line, ...]


def take_apart(data: bytes, path: str) -> Text:
    """Raises `DockerfileError`."""
    text = data.decode("utf-8", "surrogateescape").removeprefix(_BOM)
    lines = tuple(text.split("\n"))
    directives = _directives(path, lines)
    escape = directives.get("escape", "\\")
    reader = _Reader(path, lines, escape)
    return Text(path, lines, directives, escape, tuple(reader.instructions()))


def heredoc_word(word: str) -> tuple[str, bool, bool] | None:
    """`<<-"EOF"` is (EOF, tabs go: yes, variables: no); None for any other word."""
    match = _HEREDOC.fullmatch(word)
    names = raw_words(match[2]) if match else []
    if match is None or len(names) != 1:
        return None
    name = unquoted(names[0])
    return name, bool(match[1]), name == match[2]


def _directives(path: str, lines: tuple[str, ...]) -> dict[str, str]:
    """They stand on top; the first line that is none, an unknown one too, ends them."""
    found: dict[str, str] = {}
    for number, line in enumerate(lines, 1):
        match = _DIRECTIVE.match(line.strip())
        name = match[1].lower() if match else ""
        if not match or name not in _DIRECTIVES:
            break
        here = Lines(number, number)
        if name in found:
            problem = f"only one {name} parser directive can be used"
            raise located(path, lines, here, problem)
        if name == "escape" and match[2] not in ("\\", "`"):
            problem = f"invalid escape token '{match[2]}' does not match ` or \\"
            raise located(path, lines, here, problem)
        found[name] = match[2]
    return found


class _Reader:
    """Goes through the lines once. `_at` is how many have been taken."""

    def __init__(self, path: str, lines: tuple[str, ...], escape: str) -> None:
        self._path = path
        self._lines = lines
        self._at = 0
        self._continued = re.compile(
            rf"(?:(?<=[^{re.escape(escape)}])|^){re.escape(escape)}[ \t]*$"
        )

    def instructions(self) -> list[Line]:
        found = []
        while self._at < len(self._lines):
            line = self._instruction()
            if line:
                found.append(line)
        return found

    def _instruction(self) -> Line | None:
        first = self._at + 1
        text, goes_on = self._next(strip=True)
        if not text and not goes_on:
            return None
        gap = False
        while goes_on and self._at < len(self._lines):
            if _is_comment(self._lines[self._at]):
                self._at += 1
                continue
            piece, more = self._next(strip=False)
            if not piece.strip() and not more:
                gap = gap or self._at < len(self._lines)  # not for the end of the file
                continue
            text, goes_on = text + piece, more
        line = Line(Lines(first, self._at), text, gap=gap)
        heredocs = self._heredocs(line)
        return line.but(where=Lines(first, self._at), heredocs=heredocs)

    def _next(self, *, strip: bool) -> tuple[str, bool]:
        """The next line without its continuation character, and whether it had one."""
        line = self._lines[self._at].removesuffix("\r")
        self._at += 1
        if strip:
            line = line.lstrip()
        if _is_comment(line):
            return "", False
        match = self._continued.search(line)
        return (line[: match.start()], True) if match else (line, False)

    def _heredocs(self, line: Line) -> tuple[Heredoc, ...]:
        if "<<" not in line.text or not _WITH_HEREDOCS.match(line.text):
            return ()
        if line.rest.startswith("["):
            return ()
        words = map(heredoc_word, raw_words(line.text))
        return tuple(self._heredoc(line, *word) for word in words if word)

    def _heredoc(self, line: Line, name: str, chomp: bool, expand: bool) -> Heredoc:
        content = ""
        while self._at < len(self._lines):
            raw = self._lines[self._at]
            self._at += 1
            if chomp:
                raw = raw.lstrip("\t")
            if raw.removesuffix("\r") == name:
                return Heredoc(name, content, expand)
            content += raw + "\n"
        raise located(
            self._path, self._lines, Lines(line.where.first, self._at), "unterminated heredoc"
        )


def _is_comment(line: str) -> bool:
    return line.lstrip().startswith("#")


def unquoted(word: str) -> str:
    """`E"O"F` and `E\\OF` are EOF."""
    out = quote = ""
    chars = iter(word)
    for char in chars:
        if char == "\\" and quote != "'":
            out += next(chars, "")
        elif quote and char == quote:
            quote = ""
        elif not quote and char in "'\"":
            quote = char
        else:
            out += char
    return out
