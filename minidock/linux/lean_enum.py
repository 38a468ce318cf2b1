"""The part of `enum` that flag words need: names, iteration, `|`. Importing `enum` itself, and
making its classes, takes 9 ms, a sixth of a whole `minidock run`.

Type checkers see the real thing (flags.py says so), so a wrong name is found before it runs.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any, Self


class _Members(type):
    """A class whose integer attributes are its members."""

    _members: dict[str, Any]

    def __iter__(cls) -> Iterator[Any]:
        return iter(cls._members.values())

    def __getitem__(cls, name: str) -> Any:
        return cls._members[name]


class IntEnum(int, metaclass=_Members):
    """Named numbers. `X["NAME"]` raises KeyError, `X(number)` ValueError, as in `enum`."""

    name: str | None

    def __init_subclass__(cls) -> None:
        cls._members = {}
        for name, value in list(vars(cls).items()):
            if type(value) is int:
                member = int.__new__(cls, value)
                member.name = name
                setattr(cls, name, member)
                cls._members[name] = member

    def __new__(cls, value: int) -> Self:
        for member in cls._members.values():
            if member == value:
                return member  # type: ignore[no-any-return]
        raise ValueError(f"{value} is not a valid {cls.__name__}")

    def __repr__(self) -> str:
        return f"{type(self).__name__}.{self.name}"


class IntFlag(IntEnum):
    """Named bits, to be combined."""

    def __new__(cls, value: int) -> Self:
        word = int.__new__(cls, value)
        word.name = None
        return word

    def __or__(self, other: int) -> Self:
        return type(self)(int(self) | other)

    def __and__(self, other: int) -> Self:
        return type(self)(int(self) & other)

    __ror__ = __or__
    __rand__ = __and__

    def __repr__(self) -> str:
        names = [m.name for m in type(self) if int(m) and int(m) & ~int(self) == 0]
        return f"{type(self).__name__}({'|'.join(names) or int(self)})"
