"""A command is a row of data: its arguments, its flags, its help, and the name of a function.

Everything that knows the command line reads the same rows: the lean parser of the fast path
(`parse.py`), the help pages and the shell completion (`click_app.py`), and the tests. So a flag
cannot be accepted and undocumented, nor documented and unknown.

**How a family looks.** Commands that belong together share a file of `cli/`. It holds the rows on
top and one function per command below; `registry.py` says which file a command is in, and only
that file is imported when the command is typed:

    # cli/container_lists.py
    from minidock.cli.command import Command, Flag

    PS = Command(
        help="List containers",
        run="minidock.cli.container_lists:ps",
        most=0,
        flags=(
            Flag("all", "a", "bool", help="Show all containers (default shows just running)"),
            Flag("format", help="…"),
            Flag("last", "n", "int", default=-1, help="Show n last created containers …"),
            Flag("filter", "f", "list", value="filter", check=filter_pair, help="Filter output …"),
        ),
        examples=("minidock ps -a", "minidock ps -q -f status=exited"),
    )

    def ps(args: Parsed, app: App) -> int:
        from minidock.engine.containers import containers   # heavy imports stand in the function
        rows = containers(app.root, everything=args.on("all"), last=args.number("last"))
        app.out(table(rows))
        return 0                                             # the exit code

    # cli/registry.py, one line; the names as on Docker's `Aliases:` line
    ("container ls, container list, container ps, ps", "minidock.cli.container_lists:PS"),

A function gets what was typed (`Parsed`: `args.on("all")`, `args.text("format")`,
`args.number("last")`, `args.each("filter")`, `args.given("last")`, `args.positionals`) and the
`App` (`app.root`, `app.run_root`, `app.out(text)`, `app.err(text)`, `app.each(names, action)`).
It raises `MinidockError` for what the engine finds wrong and `ClientError` for what it finds
wrong itself; both become Docker's words on stderr and Docker's exit code in `main.py`.

Flags that Docker has and minidock does not have yet are rows too, in a table of `Unsupported`
that is looked at only when a flag is unknown: the user reads why, not `unknown flag`.

See: https://pkg.go.dev/github.com/spf13/pflag (the syntax), `docker COMMAND --help` (the texts).
"""

from __future__ import annotations

from minidock.errors import MinidockError
from minidock.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable


class Flag(Record):
    """One option of a command.

    `kind` is "bool", "text", "int", or "list" (a text that may be given more than once).
    `value` is what help shows for the value ("string", "int" and "list" where it is empty).
    `check` gets the text of the value and returns the text to keep; its ValueError becomes
    `invalid argument "x" for "-f, --filter" flag: …`. It may be a "module:NAME", imported when
    the flag is typed. `deprecated` names what to use instead; such a flag works, is hidden, and
    says so on stderr.
    """

    long: str
    short: str = ""
    kind: str = "text"
    help: str = ""
    value: str = ""
    default: bool | str | int | None = None
    check: Callable[[str], str] | str | None = None
    hidden: bool = False
    deprecated: str = ""

    @property
    def spelling(self) -> str:
        """As error messages quote it: `-n, --last`, or `--rm`."""
        return f"-{self.short}, --{self.long}" if self.short else f"--{self.long}"


class Unsupported(Record):
    """A flag of Docker that minidock refuses, and why (the words after the colon)."""

    long: str
    short: str = ""
    reason: str = ""


class Command(Record):
    """One command. `run` and `unsupported` are "module:NAME", imported when needed.

    `least` and `most` count the positional arguments (`most` None: any number). `interspersed`
    False stops at the first positional, so that `run IMAGE ls -l` gives `-l` to ls. `wraps`
    says which errors get Docker's `minidock: …` prefix, its `Run '… --help'` line and exit code
    125: "all" of them (run), only those of the "client" (create), or none ("").
    `needs_root` False lets an unprivileged user try. `description` replaces `help` at the top of
    the help page where one line is not enough.
    """

    help: str
    run: str
    args: str = ""
    flags: tuple[Flag, ...] = ()
    least: int = 0
    most: int | None = None
    interspersed: bool = True
    examples: tuple[str, ...] = ()
    unsupported: str = ""
    wraps: str = ""
    needs_root: bool = True
    description: str = ""

    def usage(self, path: str) -> str:
        """`minidock ps [OPTIONS]`, for the command typed as `path` ("ps", "container ls")."""
        visible = any(not flag.hidden for flag in self.flags)
        words = ("minidock", path, "[OPTIONS]" if visible else "", self.args)
        return " ".join(word for word in words if word)


class ClientError(MinidockError):
    """Something the command line itself found wrong: no `Error response from daemon: ` on it."""


class UsageError(Exception):
    """The command line cannot be read. `text` is all of what goes to stderr."""

    def __init__(self, text: str, exit_code: int) -> None:
        super().__init__(text)
        self.text = text
        self.exit_code = exit_code
