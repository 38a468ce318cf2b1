"""Flags of the commands that print a table."""

from __future__ import annotations

from minidock.cli.command import Flag

FORMAT = Flag(
    "format",
    help="""Format output using a custom template:
'table':            Print output in table format with column headers (default)
'table TEMPLATE':   Print output in table format using the given Go template
'json':             Print in JSON format
'TEMPLATE':         Print output using the given Go template.
Refer to https://docs.docker.com/go/formatting/ for more information about formatting output with \
templates""",
)
NO_TRUNC = Flag("no-trunc", kind="bool", help="Don't truncate output")
