"""The functions a template can call, and how Go writes a value down.

Go is typed and templates show it: `upper` takes a string and nothing else, `eq 1 "a"` is an error
and not false, and `%d` of a string prints `%!d(string=x)`. Each function says what it takes as a
string of letters, one per argument: `s` a string, `i` an int, `l` a list of strings, `v` anything,
and `*` for any number more of the last.

See: text/template funcs.go, fmt/print.go, docker/cli templates/templates.go.
"""

from __future__ import annotations

from minidock.cli.units import quote
from minidock.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence


class Function(Record):
    """`takes`: see above. `call` raises ValueError with Go's words."""

    takes: str
    call: Callable[..., object]


class GoMap(dict[str, object]):
    """A map of Go's, where a plain dict stands for a struct: printed and looked up differently."""

    zero: object = None
    """What `index` finds for a missing key."""


class NilList(list[object]):
    """A Go slice that is nil: `[]` as text, `null` as JSON."""


class NoValue:
    """A key that a map does not have: `<no value>`."""


def is_true(value: object) -> bool:
    """Go templates' truth: not false, zero, nil or empty. A struct is always true."""
    if isinstance(value, dict) and not isinstance(value, GoMap):
        return True
    return bool(value) and not isinstance(value, NoValue)


def type_name(value: object) -> str:
    """The name of a value's type in messages."""
    names = {str: "string", bool: "bool", int: "int", float: "float64", type(None): "<nil>"}
    if isinstance(value, dict):
        return "map[string]interface {}"
    return "[]interface {}" if isinstance(value, list) else names.get(type(value), "interface {}")


def show(value: object) -> str:
    """fmt's %v."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None:
        return "<nil>"
    if isinstance(value, NoValue):
        return "<no value>"
    if isinstance(value, float):
        return _float(value)
    if isinstance(value, GoMap):
        return "map[" + " ".join(f"{k}:{show(v)}" for k, v in sorted(value.items())) + "]"
    if isinstance(value, dict):
        return "{" + " ".join(show(v) for v in value.values()) + "}" if value else "map[]"
    if isinstance(value, (list, tuple)):
        return "[" + " ".join(show(v) for v in value) + "]"
    return str(value)


def _float(value: float) -> str:
    """As few digits as tell the number apart; an exponent below 1e-4 and from 1e21 on."""
    if value.is_integer() and abs(value) < 1e21:
        return f"{value:.0f}"
    return repr(value)


class Row(dict[str, object]):
    """A whole line of a list as one value."""


_HTML = str.maketrans({"<": "\\u003c", ">": "\\u003e", "&": "\\u0026"})


def to_json(value: object) -> str:
    """encoding/json on one line, without HTML escapes; but with them for a `Row`, which in Docker
    writes itself and forgets to turn them off."""
    from json import dumps

    text = dumps(_plain(value), ensure_ascii=False, separators=(",", ":"))
    return text.translate(_HTML) if isinstance(value, Row) else text


def _plain(value: object) -> object:
    if isinstance(value, (NilList, NoValue)):
        return None
    if isinstance(value, GoMap):
        return {key: _plain(value[key]) for key in sorted(value)}
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, (list, tuple)) else value


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
    return f"%!{verb}({type_name(value)}={show(value)})"


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
        if not _kind(first) or not _kind(other):
            raise ValueError("non-comparable types" if not _kind(first) else "non-comparable type")
        if _kind(first) != _kind(other):
            raise ValueError("incompatible types for comparison")
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
    start, end = 0, len(value)
    for at, bound in enumerate(bounds):
        if not isinstance(bound, int) or isinstance(bound, bool):
            raise ValueError(f"cannot index slice/array with type {type_name(bound)}")
        if not 0 <= bound <= len(value):
            raise ValueError(f"index out of range: {bound}")
        start, end = (bound, end) if at == 0 else (start, bound)
    if start > end:
        raise ValueError(f"invalid slice index: {start} > {end}")
    return value[start:end]


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


def pad(text: str, before: int, after: int) -> str:
    """Spaces around what is not empty."""
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
    "truncate": Function("si", lambda text, length: text[:length]),
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
