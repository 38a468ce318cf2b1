"""Quotes, backslashes and $variables in the arguments of a Dockerfile instruction.

`ENV GREETING="hello $NAME"` is neither taken literally nor run by a shell: Docker has rules of its
own, which look like a shell's without splitting, globs or commands:

    'text'             literally
    "text"             with variables; a backslash only before " $ or backslash
    \\x                 the character x
    $NAME  ${NAME}     its value, or nothing
    ${NAME:-word}      word if NAME is unset or empty; without the colon, only if unset
    ${NAME:+word}      word if NAME is set and not empty
    ${NAME:?word}      an error with `word` if NAME is unset or empty
    ${NAME#pattern}    its value without the shortest beginning that fits; ## without the longest
    ${NAME%pattern}    the same of its end; %% without the longest
    ${NAME/pattern/to} its value with `to` for the first match, // for each; `*` takes all it can

In a pattern `*` is any text and `?` any character; a backslash takes their meaning away. A
Dockerfile may use another escape character than the backslash (`# escape=`).

Errors are Docker's. See: buildkit frontend/dockerfile/shell/lex.go
"""

from __future__ import annotations

from minidock.errors import InvalidInput
from minidock.image.word_patterns import replaced, without_prefix, without_suffix

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

_NAME_START = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_")
_DIGITS = frozenset("0123456789")
_SPECIAL = frozenset("@*#?-$!")  # the shell's own parameters, which are never set here


def expand(word: str, env: Mapping[str, str], escape: str = "\\") -> str:
    """The text that `word` stands for. Raises `InvalidInput`."""
    return _Lexer(word, env, escape).run()[0]


def expand_words(word: str, env: Mapping[str, str], escape: str = "\\") -> list[str]:
    """The same, split where white space was not quoted: `80 $PORTS` may be any number of words."""
    return _Lexer(word, env, escape).run()[1]


def expand_document(text: str, env: Mapping[str, str]) -> str:
    """A here-document: quotes are just characters. A backslash still takes the next character."""
    return _Lexer(text, env, "\\", quotes="").run()[0]


def raw_words(text: str, escape: str = "\\") -> list[str]:
    """Split at white space outside quotes; quotes and escapes stay for `expand`."""
    words = []
    word = quote = ""
    chars = iter(text)
    for char in chars:
        if not quote and char.isspace():
            if word:
                words.append(word)
            word = ""
            continue
        word += char
        if char == escape and quote != "'":
            word += next(chars, "")
        elif quote:
            quote = "" if char == quote else quote
        elif char in "'\"":
            quote = char
    return [*words, word] if word else words


def name_values(name: str, arguments: str, escape: str = "\\") -> list[tuple[str, str]]:
    """`a=b c="d e"`, or the old form `a b c` with one value to the end of the line, for the
    instruction `name`; nothing is expanded. Raises `InvalidInput`."""
    words = raw_words(arguments, escape)
    if not words:
        raise InvalidInput(f"{name} requires at least one argument")
    if "=" not in words[0]:
        parts = arguments.split(None, 1)
        if len(parts) < 2:
            raise InvalidInput(f"{name} must have two arguments")
        return [(parts[0], parts[1])]
    pairs = []
    for word in words:
        key, equals, value = word.partition("=")
        if not equals:
            raise InvalidInput(
                f'Syntax error - can\'t find = in "{word}". Must be of the form: name=value'
            )
        pairs.append((key, value))
    return pairs


def json_list(text: str) -> list[str] | None:
    """The exec form; None for what is not JSON, which makes it shell form. What follows the list is
    not looked at, as in Docker. Raises `InvalidInput`."""
    import json

    if not text.startswith("["):
        return None
    try:
        values, _ = json.JSONDecoder().raw_decode(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(values, list):
        return None
    if not all(isinstance(value, str) for value in values):
        raise InvalidInput("when using JSON array syntax, arrays must be comprised of strings only")
    return values


def first_word(text: str) -> tuple[str, str]:
    """The first word and what follows the white space behind it."""
    word, *rest = text.split(None, 1)
    return word, rest[0] if rest else ""


class _Lexer:
    def __init__(self, text: str, env: Mapping[str, str], escape: str, quotes: str = "'\"") -> None:
        self._text = text
        self._env = env
        self._escape = escape
        self._quotes = quotes
        self._at = 0
        self._words: list[str] = []
        self._word = ""

    def run(self) -> tuple[str, list[str]]:
        try:
            text = self._until("")
        except InvalidInput as error:
            quoted = self._text.replace("\\", "\\\\").replace('"', '\\"')
            raise InvalidInput(f'failed to process "{quoted}": {error.message}') from None
        except RecursionError:
            raise InvalidInput("substitutions are nested too deeply") from None
        self._end_word()
        return text, self._words

    def _peek(self) -> str:
        return self._text[self._at : self._at + 1]

    def _next(self) -> str:
        char = self._peek()
        self._at += 1
        return char

    def _until(self, stop: str, *, pattern: bool = False) -> str:
        """Everything up to `stop`, which is taken too; empty: up to the end. What was escaped in a
        pattern stays escaped."""
        out = ""
        while char := self._peek():
            if char == stop:
                self._next()
                return out
            if char == "'" and self._quotes:
                out += self._quoted(self._single())
            elif char == '"' and self._quotes:
                out += self._quoted(self._double())
            elif char == "$":
                out += self._plain(self._dollar())
            elif char == self._escape:
                self._next()
                out += self._quoted(("\\" if pattern else "") + self._next())
            else:
                out += self._plain(self._next())
        if stop:
            raise InvalidInput(f"unexpected end of statement while looking for matching {stop}")
        return out

    def _quoted(self, text: str) -> str:
        self._word += text
        return text

    def _plain(self, text: str) -> str:
        for char in text:
            if char.isspace():
                self._end_word()
            else:
                self._word += char
        return text

    def _end_word(self) -> None:
        if self._word:
            self._words.append(self._word)
        self._word = ""

    def _single(self) -> str:
        start = self._at + 1
        end = self._text.find("'", start)
        if end < 0:
            raise _unmatched("single-quote")
        self._at = end + 1
        return self._text[start:end]

    def _double(self) -> str:
        self._next()
        out = ""
        while char := self._peek():
            if char == '"':
                self._next()
                return out
            if char == "$":
                out += self._dollar()
                continue
            self._next()
            if char == self._escape:
                following = self._next()
                if not following:
                    break
                char = following if following in ('"', "$", char) else char + following
            out += char
        raise _unmatched("double-quote")

    def _dollar(self) -> str:
        self._next()
        if self._peek() != "{":
            name = self._name()
            return self._env.get(name, "") if name else "$"
        self._next()
        if not self._peek():
            raise InvalidInput("syntax error: missing '}'")
        if self._peek() in "{}:":
            raise InvalidInput("syntax error: bad substitution")
        name = self._name()
        char = self._next()
        if char == "}" and name:
            return self._env.get(name, "")
        colon = char == ":"
        if colon:
            char = self._next()
        if not char:
            raise InvalidInput("syntax error: missing '}'")
        if not name or char not in ("-+?" if colon else "-+?#%/"):
            raise InvalidInput(f"unsupported modifier ({char}) in substitution")
        if char in "#%/":
            return self._edited(name, char)
        return self._substitute(name, char, colon=colon)

    def _edited(self, name: str, modifier: str) -> str:
        """`${NAME#…}`, `${NAME%…}`, `${NAME/…/…}`, and each with the modifier doubled."""
        doubled = self._peek() == modifier
        if doubled:
            self._next()
        value = self._env.get(name, "")
        if modifier == "/":
            pattern = self._operand("/")
            return replaced(value, pattern, self._operand("}"), every=doubled)
        pattern = self._operand("}")
        cut = without_prefix if modifier == "#" else without_suffix
        return cut(value, pattern, longest=doubled)

    def _operand(self, stop: str) -> str:
        words, word = self._words, self._word
        try:
            text = self._until(stop, pattern=True)
        except InvalidInput as error:
            if error.message.endswith(f"matching {stop}"):
                where = "'/' in ${}" if stop == "/" else "'}'"
                raise InvalidInput(f"syntax error: missing {where}") from None
            raise
        self._words, self._word = words, word
        return text

    def _substitute(self, name: str, modifier: str, *, colon: bool) -> str:
        words, word = self._words, self._word
        try:
            alternative = self._until("}")
        except InvalidInput as error:
            if error.message.endswith("matching }"):
                raise InvalidInput("syntax error: missing '}'") from None
            raise
        self._words, self._word = words, word  # the result is split, not what it is made of
        value = self._env.get(name)
        given = value is not None and not (colon and not value)
        if modifier == "+":
            return alternative if given else ""
        if given:
            return value or ""
        if modifier == "-":
            return alternative
        problem = "not allowed to be empty" if colon and value == "" else "not allowed to be unset"
        raise InvalidInput(f"{name}: {alternative or f'is {problem}'}")

    def _name(self) -> str:
        start = self._at
        first = self._peek()
        if first and first in _SPECIAL:
            self._next()
        elif first in _DIGITS:
            while self._peek() in _DIGITS:
                self._next()
        elif first in _NAME_START:
            while self._peek() in _NAME_START or self._peek() in _DIGITS:
                self._next()
        return self._text[start : self._at]


def _unmatched(what: str) -> InvalidInput:
    return InvalidInput(f"unexpected end of statement while looking for matching {what}")
