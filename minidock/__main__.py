"""`python -m minidock` is the `minidock` command."""

from __future__ import annotations

import sys

from minidock.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
