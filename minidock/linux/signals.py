"""signal(7), as `signal` has it, without what that module adds: it dresses every number up as an
enum, which takes 4 ms to import.

See: signal(7), sigaction(2), pidfd_send_signal(2)
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from signal import *  # noqa: F403 (a module's stand-in has the module's names)
else:
    from _signal import *  # noqa: F403 (the C half of `signal`)
