"""SOURCE_DATE_EPOCH: nothing in a layer is later than a given moment.

A compiler run today gives the same bytes as yesterday, and files with another time. So times
after the moment (the commit's, usually) are set back to it; what is older stays. Then the same
build gives the same digest.

See: https://reproducible-builds.org/docs/source-date-epoch/
"""

from __future__ import annotations

import os

_SECOND = 1_000_000_000
_OPEN = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def clamp_times(top: str, epoch: int) -> None:
    """Set back what is later than `epoch` (seconds) in a directory that nobody uses."""
    latest = epoch * _SECOND
    for _, directories, files, fd in os.fwalk(top, topdown=False):
        for name in (*files, *directories):
            status = os.stat(name, dir_fd=fd, follow_symlinks=False)
            if status.st_mtime_ns > latest:
                times = (latest, latest)
                os.utime(name, ns=times, dir_fd=fd, follow_symlinks=False)
