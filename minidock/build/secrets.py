"""Where secrets lie while a RUN can see them: below the run root, which is in memory.

A directory for each RUN that has some, with the number of the building process in its name. It goes
with the RUN; if the build is killed, with the next build.
"""

from __future__ import annotations

import os

PREFIX = "build-"  # of such a directory; the number of the process follows


def clear_secrets(run_root: str) -> None:
    """Remove those of builds that were killed. Raises `OSError`."""
    from minidock.engine.removal import remove_run_dir

    for name in os.listdir(run_root):
        process = name.removeprefix(PREFIX).partition("-")[0]
        if name.startswith(PREFIX) and not os.path.exists(f"/proc/{process}"):
            remove_run_dir(f"{run_root}/{name}")
