"""Where a running container's monitor listens: `attach.sock` in its run directory.

The kernel takes 108 bytes for the name of a socket, and an id alone has 64. So the directory is
opened, and the socket named through the descriptor, whatever the state root is called.

See: unix(7)
"""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

NAME = "attach.sock"


def with_directory(directory: str, action: Callable[[str], object]) -> None:
    """Call `action` (bind or connect) with a short name of the socket. Raises `OSError`."""
    fd = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        action(f"/proc/self/fd/{fd}/{NAME}")
    finally:
        os.close(fd)
