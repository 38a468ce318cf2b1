"""`minidock oci --help`, and one page per command: from the rows of their tables.

See: click_app.py, which draws the pages of all other commands
"""

from __future__ import annotations

from minidock.cli.oci import COMMANDS, OCI

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from minidock.cli.oci import Oci


def show_help(oci: Oci, words: Sequence[str]) -> int:
    """Print the page of `words`, a command's name or nothing; the exit code."""
    names = [word for word in words if word not in ("help", "-h")][:1]
    if names and names[0] not in COMMANDS:
        oci.error(f"No help topic for '{names[0]}'")
        return 3
    oci.out(help_page(names[0] if names else ""))
    return 0


def help_page(name: str = "") -> str:
    """The page of one command, or of all of them."""
    from minidock.cli.click_app import _command_lines, command_page
    from minidock.cli.registry import load

    if name:
        return command_page(f"oci {name}", load(COMMANDS[name]))
    page = command_page("oci", OCI)
    lines = _command_lines([(name, load(target).help) for name, target in COMMANDS.items()])
    last = "Run 'minidock oci COMMAND --help' for more information on a command."
    return f"{page}\nCommands:\n{lines}\n\n{last}\n"
