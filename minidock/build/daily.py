"""Once a day a build tidies up after the others: layers go that no image has, and that no build has
used for two months.

    build/pruned        an empty file; its time says when that was done last

Usually nothing is to be done, so nothing is imported to find that out.
"""

from __future__ import annotations

import os
import time

from minidock.linux.private import make_private

TYPE_CHECKING = False
if TYPE_CHECKING:
    from minidock.engine.containers import Containers
    from minidock.engine.paths import Paths
    from minidock.image.store import ImageStore

_DAY = 24 * 3600 * 1_000_000_000
_KEPT = 60 * _DAY


def prune_daily(paths: Paths, containers: Containers, images: ImageStore) -> None:
    """Do it if it is time. Raises `MinidockError`, `OSError`."""
    stamp = f"{paths.root}/build/pruned"
    now = time.time_ns()
    try:
        if now - os.stat(stamp).st_mtime_ns < _DAY:
            return
        os.utime(stamp)
    except FileNotFoundError:  # the first build of all
        make_private(os.path.dirname(stamp))
        with open(stamp, "wb"):
            return
    from minidock.build.prune import prune_builds

    prune_builds(paths, containers, images, everything=False, until=now - _KEPT)
