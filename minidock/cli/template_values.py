"""What templates work on, and how Go writes it down.

Go is typed and JSON is not, and the difference shows: a struct prints as `{running 42}`, a map as
`map[a:b]`; an unknown field of a struct is an error, an unknown key of a map is `<no value>`; a
slice that is nil prints as `[]` and is `null` in JSON. So here

    str int float bool None   are themselves (None is a nil pointer)
    list                      a slice; `NilList` one that is nil
    dict                      a struct
    GoMap                     a map
    NoValue                   what a map does not have
    Fields                    a line of a list command: an object with methods

A document is a plain tree of JSON. `marked` makes typed values of it, with what a `Shape` knows;
`as_maps` takes all its objects for maps, as Docker does when a template fails on the types.

See: fmt/print.go, encoding/json, docker/cli cli/command/formatter/reflect.go.
"""

from __future__ import annotations

from minidock.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any


class GoMap(dict[str, object]):
    """A map of Go's, where a plain dict stands for a struct: printed and looked up differently."""

    zero: object = None
    """What `index` finds for a missing key."""
    nil: bool = False
    """Whether JSON says `null`."""


class NilList(list[object]):
    """A Go slice that is nil: `[]` as text, `null` as JSON."""


class NoValue:
    """A key that a map does not have: `<no value>`."""


class Row(dict[str, object]):
    """A whole line of a list as one value."""


class Fields(Record):
    """One line of a list. `values` are texts, or functions: of no argument where a value costs
    something to find out (`Size`), of one for what Docker makes a method (`Label "x"`).

    `type_name` stands in error messages: `*formatter.ContainerContext`.
    """

    type_name: str
    values: Mapping[str, object]

    def plain(self) -> dict[str, object]:
        """What `json` prints: every field that needs no argument, sorted."""
        return Row(
            (name, value() if callable(value) else value)
            for name, value in sorted(self.values.items())
            if not (callable(value) and argument_count(value))
        )


def argument_count(function: Any) -> int:
    """How many arguments must be given."""
    bound = len(function.__defaults__ or ()) + (getattr(function, "__self__", None) is not None)
    return int(function.__code__.co_argcount) - bound


class Shape(Record):
    """What is known about a document besides its JSON, by the names of keys.

    `maps`: objects that are maps, and what `index` gives for a key they do not have. `lists`: nulls
    that are empty lists. `optional`: keys that may be absent, and what they are then. `go_names`:
    what Docker's types call a key, where that is not its name in JSON.
    """

    maps: Mapping[str, object]
    lists: frozenset[str]
    optional: Mapping[str, object]
    go_names: Mapping[str, str]


def marked(value: object, shape: Shape, name: str = "") -> object:
    """A document with its maps as GoMap and its null lists as NilList."""
    if value is None:
        return NilList() if name in shape.lists else _map({}, shape, name, nil=True)
    if isinstance(value, list):
        return [marked(item, shape) for item in value]
    if not isinstance(value, dict):
        return value
    items = {key: marked(item, shape, key) for key, item in value.items()}
    return items if name not in shape.maps and items else _map(items, shape, name)


def _map(items: dict[str, object], shape: Shape, name: str, *, nil: bool = False) -> object:
    if nil and name not in shape.maps:
        return None
    out = GoMap(items)
    out.zero = shape.maps.get(name)
    out.nil = nil
    return out


def as_maps(value: object) -> object:
    """A document with all its objects as GoMap."""
    if isinstance(value, list):
        return [as_maps(item) for item in value]
    if not isinstance(value, dict):
        return value
    out = GoMap((key, as_maps(item)) for key, item in value.items())
    out.zero = NoValue()
    return out


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
        return "{" + " ".join(show(v) for v in value.values()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + " ".join(show(v) for v in value) + "]"
    return str(value)


def _float(value: float) -> str:
    """As few digits as tell the number apart; an exponent below 1e-4 and from 1e21 on."""
    if value.is_integer() and abs(value) < 1e21:
        return f"{value:.0f}"
    return repr(value)


_HTML = str.maketrans({"<": "\\u003c", ">": "\\u003e", "&": "\\u0026"})


def to_json(value: object) -> str:
    """encoding/json on one line, without HTML escapes; but with them for a `Row`, which in Docker
    writes itself and forgets to turn them off."""
    from json import dumps

    text = dumps(_plain(value), ensure_ascii=False, separators=(",", ":"))
    return text.translate(_HTML) if isinstance(value, Row) else text


def _plain(value: object) -> object:
    if isinstance(value, (NilList, NoValue)) or (isinstance(value, GoMap) and value.nil):
        return None
    if isinstance(value, GoMap):
        return {key: _plain(value[key]) for key in sorted(value)}
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, (list, tuple)) else value
