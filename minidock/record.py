"""Frozen data with named fields: what `dataclasses` gives, without what importing it costs.

`@dataclass(frozen=True)` would say the same, but the module behind it pulls in `inspect`, `ast`
and `tokenize`: 20 ms, where a whole `minidock run` takes about 50. Type checkers treat a `Record`
as a frozen dataclass (PEP 681), so a wrong field name is still found before the program runs.

    class Point(Record):
        x: int
        y: int = 0

    Point(1)            # Point(x=1, y=0)
    Point(1).but(y=5)   # Point(x=1, y=5); the first one never changes
"""

from __future__ import annotations

TYPE_CHECKING = False  # the one in `typing` costs 3 ms to import; checkers know it by its name
if TYPE_CHECKING:
    from typing import Any, Self, dataclass_transform
else:

    def dataclass_transform(**_: object):  # type: ignore[no-untyped-def]
        return lambda cls: cls


@dataclass_transform(frozen_default=True)
class Record:
    """Base of immutable value types. Fields are the annotated names, in order, base class first.

    A class attribute of the same name is the field's default; names annotated `ClassVar` and
    names with a leading underscore are no fields. Two records are equal when their types and all
    their fields are.
    """

    _fields: tuple[str, ...] = ()

    def __init_subclass__(cls) -> None:
        own = [
            name
            for name, kind in cls.__annotations__.items()
            if not name.startswith("_") and "ClassVar" not in str(kind)
        ]
        cls._fields = (*(f for f in cls._fields if f not in own), *own)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        names = self._fields
        if len(args) > len(names):
            raise TypeError(f"{type(self).__name__} takes {len(names)} values, {len(args)} given")
        values = dict(zip(names, args, strict=False))
        for name, value in kwargs.items():
            if name not in names or name in values:
                raise TypeError(f"{type(self).__name__}: unexpected value for {name!r}")
            values[name] = value
        for name in names:
            if name not in values:
                try:
                    values[name] = getattr(type(self), name)
                except AttributeError:
                    raise TypeError(f"{type(self).__name__}: {name!r} is missing") from None
        self.__dict__.update(values)

    def but(self, **changes: Any) -> Self:
        """A copy with some fields replaced."""
        return type(self)(**{**self.__dict__, **changes})

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"{type(self).__name__} is immutable; use .but({name}=…)")

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and self.__dict__ == other.__dict__

    def __hash__(self) -> int:
        return hash((type(self), *(self.__dict__[name] for name in self._fields)))

    def __repr__(self) -> str:
        fields = ", ".join(f"{name}={self.__dict__[name]!r}" for name in self._fields)
        return f"{type(self).__name__}({fields})"
