"""`python -m minidock` is the `minidock` command."""

from __future__ import annotations

import sys

if __name__ == "__main__":
    try:
        from minidock.cli.main import entry

        entry()
    except KeyboardInterrupt:  # before there was anybody to take care of it
        sys.exit(130)
