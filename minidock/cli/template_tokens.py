"""Go's template language, cut into tokens: text, and what stands between `{{` and `}}`.

Spaces inside an action are tokens too, because they separate operands (`.A .B` are two, `.A.B` is
one). `{{- ` takes the space before it out of the text, ` -}}` that after it. Messages of errors
are Go's, because scripts and people know them.

See: Go's text/template/parse/lex.go.
"""

from __future__ import annotations

from minidock.cli.command import ClientError
from minidock.record import Record

_SPACE = " \t\r\n"
_KEYWORDS = ("break", "continue", "else", "end", "if", "range", "with", "nil", "true", "false")
_STRING_ESCAPES = {
    "a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v",
    "\\": "\\", "'": "'", '"': '"',
}  # fmt: skip
_NUMBERED_ESCAPES = {"x": 2, "u": 4, "U": 8}


class TemplateError(ClientError):
    """A template that cannot be read or executed; `message` begins with `template: :1…`."""


class Token(Record):
    """`kind`: text, {{, }}, field, variable, identifier, keyword, number, string, char, space, eof;
    or the punctuation itself. `value` is what a literal means, `text` how it was written."""

    kind: str
    text: str
    pos: int
    value: object = None


def tokens(source: str) -> list[Token]:
    """Cut a template into tokens. Raises TemplateError."""
    out: list[Token] = []
    pos = 0
    trim = False  # the action before ended with `-}}`
    while True:
        start = source.find("{{", pos)
        text = source[pos:] if start < 0 else source[pos:start]
        trims_before = (
            start >= 0 and source[start + 2 : start + 3] == "-" and _space_at(source, start + 3)
        )
        if trim:
            text = text.lstrip(_SPACE)
        if trims_before:
            text = text.rstrip(_SPACE)
        if text:
            out.append(Token("text", text, pos))
        if start < 0:
            out.append(Token("eof", "EOF", len(source)))
            return out
        inside = start + (4 if trims_before else 2)
        if source.startswith("/*", inside):
            pos, trim = _comment(source, inside)
        else:
            out.append(Token("{{", "{{", start))
            pos, trim = _action(source, inside, out)


def _space_at(source: str, pos: int) -> bool:
    return source[pos : pos + 1] in _SPACE and pos < len(source)


def _comment(source: str, pos: int) -> tuple[int, bool]:
    end = source.find("*/", pos)
    if end < 0:
        raise parse_error(source, pos, "unclosed comment")
    end += 2
    trim = _trims_after(source, end)
    end += 2 if trim else 0
    if not source.startswith("}}", end):
        raise parse_error(source, pos, "comment ends before closing delimiter")
    return end + 2, trim


def _trims_after(source: str, pos: int) -> bool:
    return _space_at(source, pos) and source.startswith("-}}", pos + 1)


def _action(source: str, pos: int, out: list[Token]) -> tuple[int, bool]:
    """Tokens up to `}}`. Returns where the text goes on, and whether it is trimmed there."""
    depth = 0
    while True:
        trim = _trims_after(source, pos)
        if trim or source.startswith("}}", pos):
            if depth:
                raise parse_error(source, pos, "unclosed left paren")
            end = pos + (4 if trim else 2)
            out.append(Token("}}", "}}", end - 2))
            return end, trim
        if pos >= len(source):
            raise parse_error(source, pos, "unclosed action")
        token = _token(source, pos)
        depth += {"(": 1, ")": -1}.get(token.kind, 0)
        if depth < 0:
            raise parse_error(source, pos, "unexpected right paren")
        out.append(token)
        pos += len(token.text)


def _token(source: str, pos: int) -> Token:
    char, following = source[pos], source[pos + 1 : pos + 2]
    if char in _SPACE:
        end = pos
        while _space_at(source, end) and (end == pos or not _trims_after(source, end)):
            end += 1
        return Token("space", source[pos:end], pos)
    if char == ":":
        if following != "=":
            raise parse_error(source, pos, "expected :=")
        return Token(":=", ":=", pos)
    if char in "=|(),":
        return Token(char, char, pos)
    if char in "\"'":
        return _quoted(source, pos, char)
    if char == "`":
        end = source.find("`", pos + 1)
        if end < 0:
            raise parse_error(source, pos, "unterminated raw quoted string")
        return Token("string", source[pos : end + 1], pos, source[pos + 1 : end])
    if char.isdigit() or (char in "+-" or (char == "." and following.isdigit())):
        return _number(source, pos)
    if char == "." or char == "$" or _is_word(char):
        return _word(source, pos)
    raise parse_error(source, pos, f"unexpected {go_char(char)} in command")


def _is_word(char: str) -> bool:
    return char == "_" or char.isalnum()


def _word(source: str, pos: int) -> Token:
    end = pos + 1
    while end < len(source) and _is_word(source[end]):
        end += 1
    text = source[pos:end]
    after = source[end : end + 1]
    if after and after not in _SPACE + ".,|:()=" and not source.startswith("}}", end):
        raise parse_error(source, pos, f"bad character {go_char(after)}")
    if text[0] == ".":
        return Token("field" if len(text) > 1 else ".", text, pos, text[1:])
    if text[0] == "$":
        return Token("variable", text, pos)
    return Token("keyword" if text in _KEYWORDS else "identifier", text, pos)


def _quoted(source: str, pos: int, mark: str) -> Token:
    what = "quoted string" if mark == '"' else "character constant"
    value = ""
    at = pos + 1
    while source[at : at + 1] != mark:
        char = source[at : at + 1]
        if char in ("", "\n"):
            raise parse_error(source, pos, f"unterminated {what}")
        if char != "\\":
            value += char
            at += 1
            continue
        code = source[at + 1 : at + 2]
        length = _NUMBERED_ESCAPES.get(code, 0)
        if code in ("", "\n"):
            raise parse_error(source, pos, f"unterminated {what}")
        try:
            value += (
                chr(int(source[at + 2 : at + 2 + length], 16)) if length else _STRING_ESCAPES[code]
            )
        except (KeyError, ValueError, OverflowError):
            raise parse_error(source, pos, "invalid syntax") from None
        at += 2 + length
    text = source[pos : at + 1]
    if mark == '"':
        return Token("string", text, pos, value)
    if len(value) != 1:
        raise parse_error(source, pos, f"malformed character constant: {text}")
    return Token("number", text, pos, ord(value))


def _number(source: str, pos: int) -> Token:
    end = pos + 1
    while end < len(source) and (_is_word(source[end]) or source[end] in ".+-"):
        if source[end] in "+-" and source[end - 1] not in "eE":
            break
        end += 1
    text = source[pos:end]
    if text.isdecimal() and (len(text) > 20 or int(text) >= 1 << 64):
        raise parse_error(source, pos, f'integer overflow: "{text}"')
    try:
        return Token("number", text, pos, _parse_number(text))
    except ValueError:
        raise parse_error(source, pos, f'bad number syntax: "{text}"') from None


def _parse_number(text: str) -> int | float:
    """An int wherever the value is whole, as Go's constants: `1e3` is one. Raises ValueError."""
    try:
        from minidock.cli.parse import parse_int

        return parse_int(text)
    except ValueError:
        value = float(text)
        if value != value or abs(value) == float("inf"):
            raise
        return int(value) if value.is_integer() and abs(value) < 1 << 63 else value


def go_char(char: str) -> str:
    """Go's %#U: `U+007D '}'`."""
    return f"U+{ord(char):04X}" + (f" '{char}'" if char.isprintable() else "")


def parse_error(source: str, pos: int, message: str) -> TemplateError:
    """`template: :LINE: message`"""
    return TemplateError(f"template: :{source.count(chr(10), 0, pos) + 1}: {message}")
