"""Two locks for a store that many commands use at once, none of them a daemon.

    images/lock         shared by everybody who adds something or is about to point to a layer;
                        exclusive for the one who sweeps
    images/index.lock   exclusive while index.json is read, changed and replaced

A sweeper removes what nothing points to. What an import has just written is exactly that, until
its tag is set at the very end: so an import holds the first lock for as long as it runs, and a
sweeper that cannot have it alone leaves the garbage for the next one instead of waiting. It also
works the other way round: whoever gets the lock alone knows that no writer lives, and so that every
half-written thing belongs to one that was killed.

flock(2) belongs to an open file: the kernel drops it with the process, however that ends, and the
file can stay where it is.

See: flock(2)
"""

from __future__ import annotations

import fcntl
import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self


class Lock:
    """`with Lock(path, fcntl.LOCK_SH): …` Waits, unless LOCK_NB is given: see `held`."""

    def __init__(self, path: str, operation: int) -> None:
        self.held = False
        self._path = path
        self._operation = operation
        self._fd = -1

    def __enter__(self) -> Self:
        self._fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._fd, self._operation)
            self.held = True
        except BlockingIOError:
            pass
        except BaseException:
            os.close(self._fd)
            raise
        return self

    def share(self) -> None:
        """Go on with a shared lock. Not atomic: somebody may have it alone in between."""
        fcntl.flock(self._fd, fcntl.LOCK_SH)
        self.held = True

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        self.held = False
        os.close(self._fd)


def shared(path: str) -> Lock:
    return Lock(path, fcntl.LOCK_SH)


def exclusive(path: str) -> Lock:
    return Lock(path, fcntl.LOCK_EX)


def alone(path: str) -> Lock:
    """Exclusive if nobody else has it now. Look at `held`."""
    return Lock(path, fcntl.LOCK_EX | fcntl.LOCK_NB)
