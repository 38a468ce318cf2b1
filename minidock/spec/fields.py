"""JSON of somebody else, read field by field.

An image's documents come from registries and tarballs. What Python's parser gives is a tree of
anything; these few lines turn it into values of the expected kind, or into one error that names
the document and the field, and never into an AttributeError three files later.
"""

from __future__ import annotations

from minidock.errors import BadData, BadJSON
from minidock.spec.digest import DiffID, Digest
from minidock.spec.lean_json import dumps, loads

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Self

# A manifest is a few KiB; registries cap them at 4 MiB, and so do containerd and Podman.
MAX_JSON = 4 << 20

_KINDS = {str: "a string", int: "a number", list: "a list", dict: "an object"}


def load_object(data: bytes, what: str) -> dict[str, Any]:
    """Decode one JSON object. `what` names the document in errors. Raises `BadJSON`."""
    if len(data) > MAX_JSON:
        raise BadJSON(f"{what}: larger than {MAX_JSON} bytes")
    try:
        document = loads(data)
    except RecursionError:
        raise BadJSON(f"{what}: nested too deeply") from None
    except ValueError as error:  # malformed, not UTF-8, NaN, or a number of thousands of digits
        raise BadJSON(f"{what}: not valid JSON: {error}") from None
    if not isinstance(document, dict):
        raise BadJSON(f"{what}: not an object")
    return document


def dump(document: object) -> bytes:
    """The same document always gives the same bytes, so the same digest."""
    return dumps(document).encode()


class Fields:
    """A JSON object whose fields are asked for by name and kind. A null counts as missing."""

    def __init__(self, document: object, what: str, where: str = "") -> None:
        if not isinstance(document, dict):
            raise BadJSON(f"{what}: {where or 'the document'} is not an object")
        self.document: dict[str, Any] = document
        self._what = what
        self._where = where

    def name(self, key: str) -> str:
        """The full path of a field, as errors say it."""
        return f"{self._where}.{key}" if self._where else key

    def error(self, key: str, problem: str) -> BadJSON:
        return BadJSON(f"{self._what}: {self.name(key)} {problem}")

    def _take(self, key: str, kind: type[Any], default: Any) -> Any:
        value = self.document.get(key)
        if value is None:
            if default is None:
                raise self.error(key, "is missing")
            return default
        if not isinstance(value, kind) or isinstance(value, bool):
            raise self.error(key, f"is not {_KINDS[kind]}")
        return value

    def text(self, key: str, default: str | None = "") -> str:
        """A string. With `default=None` it must be there; so for the others."""
        return str(self._take(key, str, default))

    def size(self, key: str) -> int:
        """A number of bytes, 0 or more."""
        value = int(self._take(key, int, None))
        if not 0 <= value < 1 << 63:
            raise self.error(key, f"is out of range: {value}")
        return value

    def flag(self, key: str) -> bool:
        value = self.document.get(key)
        if value is not None and not isinstance(value, bool):
            raise self.error(key, "is not true or false")
        return bool(value)

    def digest(self, key: str) -> Digest:
        text = self.text(key, None)
        try:
            return Digest(text)
        except BadData as error:
            raise self.error(key, f"is {error.message}") from None

    def diff_ids(self, key: str) -> tuple[DiffID, ...]:
        texts = self.texts(key)
        try:
            return tuple(map(DiffID, texts))
        except BadData as error:
            raise self.error(key, f"holds what is {error.message}") from None

    def texts(self, key: str) -> tuple[str, ...]:
        values = self._take(key, list, [])
        if not all(isinstance(v, str) for v in values):
            raise self.error(key, "is not a list of strings")
        return tuple(values)

    def pairs(self, key: str) -> dict[str, str]:
        values = self._take(key, dict, {})
        if not all(isinstance(v, str) for v in values.values()):
            raise self.error(key, "is not an object of strings")
        return dict(values)

    def inner(self, key: str) -> Self:
        """An object inside; a missing one reads like an empty one."""
        return type(self)(self._take(key, dict, {}), self._what, self.name(key))

    def each(self, key: str) -> list[Self]:
        values = self._take(key, list, [])
        what, name = self._what, self.name(key)
        return [type(self)(v, what, f"{name}[{i}]") for i, v in enumerate(values)]

    def rest(self, *known: str) -> dict[str, Any]:
        """The fields that nobody here reads, kept so that they are written back."""
        return {k: v for k, v in self.document.items() if k not in known}
