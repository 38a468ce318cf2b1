"""`minidock completion bash|zsh|fish`: what makes the Tab key know the commands and flags.

The script that is printed asks minidock again at every Tab (`_MINIDOCK_COMPLETE=…`), and click
answers from the tables.

See: https://click.palletsprojects.com/en/stable/shell-completion/
"""

from __future__ import annotations

from minidock.cli.command import ClientError, Command

TYPE_CHECKING = False
if TYPE_CHECKING:
    from minidock.cli.app import App
    from minidock.cli.parse import Parsed

VARIABLE = "_MINIDOCK_COMPLETE"
SHELLS = ("bash", "fish", "zsh")

COMPLETION = Command(
    help="Generate the autocompletion script for the specified shell",
    run="minidock.cli.completion:completion",
    args="bash|zsh|fish",
    least=1,
    most=1,
    needs_root=False,
    examples=(
        "minidock completion bash > /etc/bash_completion.d/minidock",
        "minidock completion zsh > /usr/local/share/zsh/site-functions/_minidock",
        "minidock completion fish > ~/.config/fish/completions/minidock.fish",
    ),
)


def completion(args: Parsed, app: App) -> int:
    """Print the script for one shell."""
    shell = args.positionals[0]
    if shell not in SHELLS:
        raise ClientError(f'unknown shell "{shell}": must be one of "bash", "zsh" or "fish"')
    return _complete(f"{shell}_source", app)


def answer(instruction: str, app: App) -> int:
    """Answer a Tab key: `instruction` is what the script put into the environment."""
    return _complete(instruction, app)


def _complete(instruction: str, app: App) -> int:
    from click.shell_completion import get_completion_class

    from minidock.cli.click_app import TableGroup

    shell, _, step = instruction.partition("_")
    kind = get_completion_class(shell)
    if kind is None:
        return 1
    speaker = kind(TableGroup(""), {}, "minidock", VARIABLE)
    app.out((speaker.source() if step == "source" else speaker.complete()) + "\n")
    return 0
