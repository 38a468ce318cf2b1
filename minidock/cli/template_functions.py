"""The functions a template can call.

Go is typed and templates show it: `upper` takes a string and nothing else, `eq 1 "a"` is an error
and not false, and `%d` of a string prints `%!d(string=x)`. Each function says what it takes as a
string of letters, one per argument: `s` a string, `i` an int, `l` a list of strings, `v` anything,
and `*` for any number more of the last.

See: text/template funcs.go, fmt/print.go, docker/cli templates/templates.go.
"""

from __future__ import annotations

from minidock.cli.template_values import (
    GoMap,
    NoValue,
    is_true,
    show,
    to_json,
    type_name,
)
from minidock.record import Record
from minidock.spec.quoting import quote

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence


_MAX_PAD = 10_000


class Function(Record):
    """`takes`: see above. `call` raises ValueError with Go's words."""

    takes: str
    call: Callable[..., object]


def go_print(*values: object) -> str:
    """fmt.Sprint: a space between two values of which neither is a string."""
    out = ""
    for before, value in zip((None, *values), values, strict=False):
        if out and not isinstance(before, str) and not isinstance(value, str):
            out += " "
        out += show(value)
    return out


def go_println(*values: object) -> str:
    """fmt.Sprintln."""
    return " ".join(show(value) for value in values) + "\n"


def go_printf(form: str, *values: object) -> str:
    """fmt.Sprintf, for the verbs that make sense here."""
    out: list[str] = []
    rest = list(reversed(values))
    pos = 0
    while pos < len(form):
        if form[pos] != "%":
            out.append(form[pos])
            pos += 1
            continue
        pos, flags, width, precision = _directive(form, pos + 1, rest)
        if pos >= len(form):
            out.append("%!(NOVERB)")
            break
        verb = form[pos]
        pos += 1
        if verb == "%":
            out.append("%")
        elif not rest:
            out.append(f"%!{verb}(MISSING)")
        else:
            text = _verb(verb, rest.pop(), flags, precision)
            numeric = verb in "bdoxXeEfFgG" and "0" in flags and "-" not in flags
            if numeric and len(text) < width:
                sign = text[0] if text[:1] in ("+", "-") else ""
                text = sign + text[len(sign) :].rjust(width - len(sign), "0")
            out.append(text.ljust(width) if "-" in flags else text.rjust(width))
    if rest:
        extra = ", ".join(f"{type_name(value)}={show(value)}" for value in reversed(rest))
        out.append(f"%!(EXTRA {extra})")
    return "".join(out)


def _directive(form: str, pos: int, rest: list[object]) -> tuple[int, str, int, int | None]:
    """Flags, width and precision between `%` and the verb, and where the verb is."""
    start = pos
    while pos < len(form) and form[pos] in "-+# 0":
        pos += 1
    flags = form[start:pos]
    pos, width = _count(form, pos, rest)
    precision: int | None = None
    if form[pos : pos + 1] == ".":
        pos, precision = _count(form, pos + 1, rest)
    if width < 0:
        flags, width = flags + "-", -width
    return pos, flags, min(width, 10_000), precision


def _count(form: str, pos: int, rest: list[object]) -> tuple[int, int]:
    if form[pos : pos + 1] == "*":
        value = rest.pop() if rest else 0
        return pos + 1, value if isinstance(value, int) else 0
    start = pos
    while form[pos : pos + 1].isdecimal():
        pos += 1
    return pos, int(form[start:pos] or 0)


def _verb(verb: str, value: object, flags: str, precision: int | None) -> str:
    whole = isinstance(value, int) and not isinstance(value, bool)
    if verb == "T":
        return type_name(value)
    if verb == "v" or (verb == "t" and isinstance(value, bool)):
        text = quote(value) if "#" in flags and isinstance(value, str) else show(value)
        return text if precision is None or not isinstance(value, str) else text[:precision]
    if verb in "sq" and isinstance(value, str):
        text = value if precision is None else value[:precision]
        return quote(text) if verb == "q" else text
    if verb in "sq" and isinstance(value, (list, tuple)):
        return "[" + " ".join(_verb(verb, item, flags, precision) for item in value) + "]"
    if whole and verb in "dboxXcUq" and isinstance(value, int):
        return _integer(verb, value, flags)
    if isinstance(value, float) and verb in "eEfFgG":
        return _signed(f"{value:.{6 if precision is None else precision}{verb}}", flags)
    if isinstance(value, str) and verb in "xX":
        text = value.encode("utf-8", "surrogateescape").hex()
        return text.upper() if verb == "X" else text
    return f"%!{verb}(<nil>)" if value is None else f"%!{verb}({type_name(value)}={show(value)})"


def _integer(verb: str, value: int, flags: str) -> str:
    if verb in "cq" and 0 <= value < 0x110000:
        return chr(value) if verb == "c" else f"'{chr(value)}'"
    if verb == "U":
        return f"U+{value:04X}"
    return _signed(
        f"{value:#{verb}}" if "#" in flags and verb in "xXb" else f"{value:{verb}}", flags
    )


def _signed(text: str, flags: str) -> str:
    return text if text[0] == "-" or "+" not in flags else f"+{text}"


def _kind(value: object) -> str:
    names = {str: "string", bool: "bool", int: "int", float: "float"}
    return names.get(type(value), "")


def go_eq(first: object, *others: object) -> bool:
    """Whether `first` equals any of the others. Values of different kinds are no comparison."""
    if not others:
        raise ValueError("missing argument for comparison")
    for other in others:
        if first is None or other is None:
            if first is other:
                return True
            continue
        if _kind(first) != _kind(other):
            raise ValueError("incompatible types for comparison")
        if not _kind(first):
            raise ValueError(f"non-comparable type {show(first)}: {type_name(first)}")
        if first == other:
            return True
    return False


def _less(first: object, second: object) -> bool:
    if not _kind(first) or not _kind(second) or isinstance(first, bool):
        raise ValueError("invalid type for comparison")
    if isinstance(first, str) and isinstance(second, str):
        return first < second
    if isinstance(first, (int, float)) and _kind(first) == _kind(second):
        return first < second  # type: ignore[operator]
    raise ValueError("incompatible types for comparison")


def go_len(value: object) -> int:
    """Bytes of a string, items of the rest."""
    if isinstance(value, str):
        return len(value.encode("utf-8", "surrogateescape"))
    if isinstance(value, (dict, list, tuple)):
        return len(value)
    if value is None:
        raise ValueError("len of nil pointer")
    raise ValueError(f"len of type {type_name(value)}")


def go_index(value: object, *keys: object) -> object:
    """`index x 1 "a"` is x[1]["a"]."""
    for key in keys:
        if value is None or isinstance(value, NoValue):
            raise ValueError("index of untyped nil")
        if isinstance(value, dict):
            if not isinstance(key, str):
                raise ValueError(f"value has type {type_name(key)}; should be string")
            missing = value.zero if isinstance(value, GoMap) else NoValue()
            value = value.get(key, missing)
        elif isinstance(value, (list, tuple, str)):
            value = _item(value, key)
        else:
            raise ValueError(f"can't index item of type {type_name(value)}")
    return value


def _item(value: Sequence[object], key: object) -> object:
    if not isinstance(key, int) or isinstance(key, bool):
        raise ValueError(f"cannot index slice/array with type {type_name(key)}")
    if isinstance(value, str):
        data = value.encode("utf-8", "surrogateescape")
        if not 0 <= key < len(data):
            raise ValueError("reflect: string index out of range")
        return data[key]
    if not 0 <= key < len(value):
        raise ValueError(f"index out of range: {key}")
    return value[key]


def go_slice(value: object, *bounds: object) -> object:
    """`slice x 1 2` is x[1:2]."""
    if not isinstance(value, (str, list, tuple)):
        raise ValueError(f"can't slice item of type {type_name(value)}")
    if isinstance(value, str):
        if len(bounds) > 2:
            raise ValueError("cannot 3-index slice a string")
        data = value.encode("utf-8", "surrogateescape")
        start, end = _bounds(data, bounds)
        return data[start:end].decode("utf-8", "surrogateescape")
    start, end = _bounds(value, bounds)
    return value[start:end]


def _bounds(value: Sequence[object], bounds: Sequence[object]) -> tuple[int, int]:
    start, end = 0, len(value)
    for at, bound in enumerate(bounds):
        if not isinstance(bound, int) or isinstance(bound, bool):
            raise ValueError(f"cannot index slice/array with type {type_name(bound)}")
        if not 0 <= bound <= len(value):
            raise ValueError(f"index out of range: {bound}")
        start, end = (bound, end) if at == 0 else (start, bound)
    if start > end:
        raise ValueError(f"invalid slice index: {start} > {end}")
    return start, end


def title(text: str) -> str:
    """strings.Title: a capital after everything that is no letter, digit or underscore."""
    before = " "
    out = ""
    for char in text:
        starts = not (before.isalnum() or before == "_")
        out += char.title() if starts else char
        before = char
    return out


def split(text: str, separator: str) -> list[str]:
    """strings.Split."""
    return text.split(separator) if separator else list(text)


def truncate(text: str, length: int) -> str:
    """The first bytes of a text, even if the last character is cut in two."""
    if length < 0:
        raise ValueError(f"runtime error: slice bounds out of range [:{length}]")
    return text.encode("utf-8", "surrogateescape")[:length].decode("utf-8", "surrogateescape")


def pad(text: str, before: int, after: int) -> str:
    """Spaces around what is not empty."""
    if not 0 <= before <= _MAX_PAD or not 0 <= after <= _MAX_PAD:
        raise ValueError(f"cannot pad with {before} and {after} spaces")
    return " " * before + text + " " * after if text else text


FUNCTIONS: Mapping[str, Function] = {
    "eq": Function("vv*", go_eq),
    "ge": Function("vv", lambda a, b: not _less(a, b)),
    "gt": Function("vv", lambda a, b: _less(b, a)),
    "index": Function("vv*", go_index),
    "join": Function("ls", lambda texts, separator: separator.join(texts)),
    "json": Function("v", to_json),
    "le": Function("vv", lambda a, b: not _less(b, a)),
    "len": Function("v", go_len),
    "lower": Function("s", lambda text: text.lower()),
    "lt": Function("vv", _less),
    "ne": Function("vv", lambda a, b: not go_eq(a, b)),
    "not": Function("v", lambda value: not is_true(value)),
    "pad": Function("sii", pad),
    "print": Function("v*", go_print),
    "printf": Function("sv*", go_printf),
    "println": Function("v*", go_println),
    "slice": Function("vv*", go_slice),
    "split": Function("ss", split),
    "title": Function("s", title),
    "truncate": Function("si", truncate),
    "upper": Function("s", lambda text: text.upper()),
}

HEADER_FUNCTIONS: Mapping[str, Function] = {
    **FUNCTIONS,
    "json": Function("s", lambda text: text),
    "lower": Function("s", lambda text: text),
    "title": Function("s", lambda text: text),
    "truncate": Function("si", lambda text, length: text),
    "upper": Function("s", lambda text: text),
}
"""For the header of a `table …` format: a header is not shouted because its column is."""
