"""A plan as bytes, for the process that will apply it.

The OCI runtime's command plans in its own interpreter, which the program in the container must
never get hold of (linux/seal.py); what enters the container is another one, which started in the
meantime and is sent its part of the plan. Steps are data, so there is little to it: each record is
a list of the name of its class and its fields, each named number (a flag word) a dict of one, in
Python's marshal format, which needs no import.

Both ends are the same program, and the sender has all rights over the receiver: nothing is
checked here that a hostile sender could get wrong.
"""

from __future__ import annotations

import marshal
from sys import modules

from minidock.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def encode(value: object) -> bytes:
    """A record, or a tuple of them, with all that is in it. Raises `TypeError` for a value that is
    neither a record, a tuple, a named number nor one of Python's plain ones."""
    return marshal.dumps(_flatten(value))


def decode(data: bytes) -> Any:
    """The reverse. Classes are imported where they are not yet."""
    return _build(marshal.loads(data))


_PLAIN = (str, int, bool, bytes, type(None))


def _flatten(value: object) -> Any:
    kind = type(value)
    if kind in _PLAIN:
        return value
    if kind is tuple:
        return tuple(map(_flatten, value))  # type: ignore[call-overload]  # checked above
    if isinstance(value, Record):
        return [_name(kind), *(_flatten(getattr(value, name)) for name in value._fields)]
    if isinstance(value, int):
        return {_name(kind): int(value)}
    raise TypeError(f"{value!r} cannot be part of a plan that is sent")


def _name(kind: type) -> str:
    return f"{kind.__module__}:{kind.__qualname__}"


def _build(flat: Any) -> Any:
    kind = type(flat)
    if kind is tuple:
        return tuple(map(_build, flat))
    if kind is list:
        return _find(flat[0])(*map(_build, flat[1:]))
    if kind is dict:
        for name, number in flat.items():
            return _find(name)(number)
    return flat


def _find(name: str) -> Any:
    module, _, attribute = name.partition(":")
    if module not in modules:
        __import__(module)
    return getattr(modules[module], attribute)
