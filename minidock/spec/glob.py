"""Patterns over names, in the dialect of Go's path.Match, which is the one Docker's filters speak.

Python's fnmatch is close but not the same: there `*` also runs across a `/`, so that `images '*'`
would list `registry:5000/team/app` too, and a broken pattern is no error.

    *        any characters but "/"          ?        one character but "/"
    [a-z]    one of these                    [^a-z]   one that is none of these
    \\x       x itself

See: https://pkg.go.dev/path#Match
"""

from __future__ import annotations

from minidock.errors import InvalidInput

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    Token = Callable[[str], bool] | None  # what one character must be; None is a star


def path_match(pattern: str, name: str) -> bool:
    """Whether all of `name` fits. Raises `InvalidInput` in Go's words, whatever the name is."""
    return _fits(_tokens(pattern), name)


def _fits(tokens: list[Token], name: str) -> bool:
    """Try the tokens in order; when one does not fit, let the last star take a character more."""
    at = used = 0
    retry: tuple[int, int] | None = None  # after the last star: its token, and where it ends
    while at < len(name) or used < len(tokens):
        token = tokens[used] if used < len(tokens) else _nothing
        if token is None:
            retry = (used, at)
            used += 1
        elif at < len(name) and token(name[at]):
            used, at = used + 1, at + 1
        elif retry and retry[1] < len(name) and name[retry[1]] != "/":
            star, end = retry
            retry = (star, end + 1)
            used, at = star + 1, end + 1
        else:
            return False
    return True


def _nothing(char: str) -> bool:
    return False


def _tokens(pattern: str) -> list[Token]:
    tokens: list[Token] = []
    rest = list(reversed(pattern))  # pop() takes the next character
    while rest:
        char = rest.pop()
        if char == "*":
            tokens.append(None)
        elif char == "?":
            tokens.append(lambda c: c != "/")
        elif char == "[":
            tokens.append(_character_class(rest))
        else:
            literal = _take(rest) if char == "\\" else char
            tokens.append(literal.__eq__)
    return tokens


def _character_class(rest: list[str]) -> Callable[[str], bool]:
    """What follows a "[", up to and with its "]"."""
    negated = rest[-1:] == ["^"]
    if negated:
        rest.pop()
    ranges: list[tuple[str, str]] = []
    while not (ranges and rest[-1:] == ["]"]):
        low = high = _class_character(rest)
        if rest[-1:] == ["-"]:
            rest.pop()
            high = _class_character(rest)
        ranges.append((low, high))
    rest.pop()
    return lambda c: any(low <= c <= high for low, high in ranges) != negated


def _class_character(rest: list[str]) -> str:
    if rest[-1:] in (["-"], ["]"]):
        raise _bad_pattern()
    char = _take(rest)
    return _take(rest) if char == "\\" else char


def _take(rest: list[str]) -> str:
    if not rest:
        raise _bad_pattern()
    return rest.pop()


def _bad_pattern() -> InvalidInput:
    return InvalidInput("syntax error in pattern")
