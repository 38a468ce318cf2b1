"""The command line: what a person or a script types, and what it prints. Start at `command.py`."""
