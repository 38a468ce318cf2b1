"""A file that should not be there.

Python looks for Ctrl-C when a system call returns, so between a rename(2) that worked and the line
after it there is room for a KeyboardInterrupt: whoever cleans up finds that the temporary file is
gone. Then all is well, and the interruption must not become an error about a file.

See: unlink(2), rename(2)
"""

from __future__ import annotations

import os


def remove_file(path: str) -> None:
    """unlink(2); fine where there is none. Raises `OSError` for anything else."""
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass
