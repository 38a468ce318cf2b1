"""madvise(2) and epoll_wait(2), without `ctypes`: its C half is enough for two calls.

The rest of `ctypes` would cost 300 KB, in a process that wants to become small (engine/rest.py).
"""

from __future__ import annotations

import _ctypes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

MADV_DONTNEED = 4

_Simple: Any = _ctypes._SimpleCData  # (generic for type checkers only)
_THIS_PROGRAM: Any = None


class _Word(_Simple):  # type: ignore[misc]
    """A value as wide as an address; a plain int would be passed as 32 bits."""

    _type_ = "P"


class _Event(_ctypes.Structure):
    """Room for one `struct epoll_event`: 12 bytes, on some processors 16."""

    _fields_ = (("events", _Word), ("data", _Word))


def _function(name: str) -> int:
    return _ctypes.dlsym(_ctypes.dlopen(_THIS_PROGRAM, 0), name)


_madvise = _function("madvise")
_epoll_wait = _function("epoll_wait")


def drop_and_wait(areas: Iterable[tuple[int, int]], epoll: int, milliseconds: int) -> None:
    """MADV_DONTNEED for each (start, end), then sleep until a descriptor watched by `epoll` is
    ready, at most so long; -1 is for ever. What is ready remains to be asked for. madvise(2),
    epoll_wait(2)

    Between the last page that is given back and the sleep there is next to no Python: everything
    that runs there is mapped again, 64 KB around each place.
    """
    call, advice = _ctypes.call_function, _Word(MADV_DONTNEED)
    advised = [(_Word(start), _Word(end - start), advice) for start, end in areas]
    event = _Event()
    waiting = (_Word(epoll), _ctypes.byref(event), _Word(1), _Word(milliseconds & 0xFFFFFFFF))
    for arguments in advised:
        call(_madvise, arguments)
    call(_epoll_wait, waiting)
