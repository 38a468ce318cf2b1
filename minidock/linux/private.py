"""Directories that are closed to others, at every level that is made.

`os.makedirs(path, mode)` gives its mode to the last level only; those it makes on the way are open
to everybody. A state root made so would show an image's set-uid programs to every local user.

See: mkdir(2)
"""

from __future__ import annotations

import os


def make_private(path: str) -> None:
    """Create what is missing of `path`, mode 0700; what is there stays. Raises `OSError`."""
    parent = os.path.dirname(path)
    if parent and parent != path and not os.path.isdir(parent):
        make_private(parent)
    try:
        os.mkdir(path, 0o700)
    except FileExistsError:
        if not os.path.isdir(path):
            raise
