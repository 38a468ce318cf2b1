"""The part of `ctypes` that system calls need: its C half, which does all the work. The Python half
makes classes for every C type there is, in both byte orders; importing it takes 2 ms, of which a
container's start would pay for two.

Type checkers see the real thing (syscalls.py says so).

See: ctypes, https://github.com/python/cpython/blob/3.11/Lib/ctypes/__init__.py
"""

from __future__ import annotations

from _ctypes import (
    FUNCFLAG_CDECL,
    FUNCFLAG_PYTHONAPI,
    FUNCFLAG_USE_ERRNO,
    CFuncPtr,
    _SimpleCData,
    addressof,
    byref,
    dlopen,
    get_errno,
    sizeof,
)
from _ctypes import Structure as Structure

__all__ = ["CDLL", "Structure", "addressof", "byref", "get_errno", "sizeof"]

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class c_char(_SimpleCData):  # type: ignore[type-arg]  # noqa: N801 (ctypes' names, here and below)
    _type_ = "c"


class c_char_p(_SimpleCData):  # type: ignore[type-arg]  # noqa: N801
    _type_ = "z"


class c_void_p(_SimpleCData):  # type: ignore[type-arg]  # noqa: N801
    _type_ = "P"


class c_ushort(_SimpleCData):  # type: ignore[type-arg]  # noqa: N801
    _type_ = "H"


class c_int(_SimpleCData):  # type: ignore[type-arg]  # noqa: N801
    _type_ = "i"


class c_uint(_SimpleCData):  # type: ignore[type-arg]  # noqa: N801
    _type_ = "I"


class c_long(_SimpleCData):  # type: ignore[type-arg]  # noqa: N801
    _type_ = "l"


class c_ulong(_SimpleCData):  # type: ignore[type-arg]  # noqa: N801
    _type_ = "L"


# As `ctypes` finds them on every 64-bit Linux; minidock runs on no other.
c_uint32, c_uint64, c_size_t = c_uint, c_ulong, c_ulong


class _Function(CFuncPtr):
    _flags_ = FUNCFLAG_CDECL | FUNCFLAG_USE_ERRNO
    _restype_ = c_int


class _LockedFunction(CFuncPtr):
    """Called without giving the interpreter's lock away."""

    _flags_ = FUNCFLAG_PYTHONAPI | FUNCFLAG_USE_ERRNO
    _restype_ = c_int


class CDLL:
    """A loaded library; its functions are attributes, and keep errno for `get_errno`. `name` None
    is the program itself, which has the C library in it."""

    _kind: type[CFuncPtr] = _Function

    def __init__(self, name: str | None, use_errno: bool = True) -> None:
        self._handle = dlopen(name, 0)  # type: ignore[arg-type]  # typeshed knows no None

    def __getattr__(self, name: str) -> Any:
        function = self._kind((name, self))  # type: ignore[arg-type]  # it reads _handle
        setattr(self, name, function)
        return function


class PyDLL(CDLL):
    """The same with the interpreter's lock held: for Python's own C functions."""

    _kind = _LockedFunction


pythonapi = PyDLL(None)


def create_string_buffer(init: int | bytes) -> Any:
    """Room for so many bytes, or for these and a NUL."""
    size = init if isinstance(init, int) else len(init) + 1
    buffer = (c_char * size)()
    if isinstance(init, bytes):
        buffer.value = init  # type: ignore[misc,assignment]  # not the c_char it knows
    return buffer
