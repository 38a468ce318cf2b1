"""madvise(2), without `ctypes`: its C half is enough for one call.

The rest of `ctypes` would cost 300 KB, in a process that wants to become small (engine/rest.py).
"""

from __future__ import annotations

import _ctypes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

MADV_DONTNEED = 4

_Simple: Any = _ctypes._SimpleCData  # (generic for type checkers only)
_THIS_PROGRAM: Any = None


class _Word(_Simple):  # type: ignore[misc]
    """A value as wide as an address; a plain int would be passed as 32 bits."""

    _type_ = "P"


_madvise = _ctypes.dlsym(_ctypes.dlopen(_THIS_PROGRAM, 0), "madvise")


def madvise(address: int, length: int, advice: int) -> int:
    """0, or -1 where the kernel refuses. madvise(2)"""
    return int(_ctypes.call_function(_madvise, (_Word(address), _Word(length), advice)))
