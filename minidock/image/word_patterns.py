"""The patterns in `${NAME#…}`, `${NAME%…}` and `${NAME/…/…}` of a Dockerfile.

`*` is any text, `?` any character, a backslash takes the next one literally, and a bracket is just
a bracket. They are a shell's, but not all of a shell's.

See: https://docs.docker.com/reference/dockerfile/#environment-replacement
"""

from __future__ import annotations

from minidock.errors import InvalidInput

TYPE_CHECKING = False
if TYPE_CHECKING:
    from re import Pattern


def without_prefix(value: str, pattern: str, *, longest: bool) -> str:
    match = _compiled(pattern, greedy=longest).match(value)
    return value[match.end() :] if match else value


def without_suffix(value: str, pattern: str, *, longest: bool) -> str:
    """A regular expression looks from the left, so each place where the end may begin is tried."""
    fits = _compiled(pattern, greedy=True).fullmatch
    starts = range(len(value) + 1)
    for start in starts if longest else reversed(starts):
        if fits(value, start):
            return value[:start]
    return value


def replaced(value: str, pattern: str, to: str, *, every: bool) -> str:
    # A backslash kept for the pattern's sake is not meant in what takes its place.
    text = to.replace("\\\\", "\0").replace("\\", "").replace("\0", "\\")
    return _compiled(pattern, greedy=True).sub(lambda _: text, value, 0 if every else 1)


def _compiled(pattern: str, *, greedy: bool) -> Pattern[str]:
    import re

    out = ""
    chars = iter(pattern)
    for char in chars:
        if char == "*":
            out += ".*" if greedy else ".*?"
        elif char == "?":
            out += "."
        elif char == "\\":
            escaped = next(chars, "")
            if not escaped or escaped not in "*?\\/}":
                problem = f"invalid escape '\\{escaped}'"
                raise InvalidInput(f"invalid pattern ({pattern}) in substitution: {problem}")
            out += re.escape(escaped)
        else:
            out += re.escape(char)
    return re.compile(out)
