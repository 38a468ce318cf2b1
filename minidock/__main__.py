"""`python -m minidock` is the `minidock` command."""

from __future__ import annotations

from minidock.cli.main import entry

if __name__ == "__main__":
    entry()
