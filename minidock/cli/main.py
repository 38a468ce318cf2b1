"""From argv to an exit code.

Nothing is imported here that the typed command does not need: looking a command up costs a
dictionary, and its family's file is the only one of its kind that is loaded. Every way a command
can end badly is turned into words and a number in `_run`, and nowhere else.

Exit codes are Docker's: 125 a flag that is wrong, or a `run` that failed before the container
started; 126 and 127 from `run` where the program cannot be executed or found; 130 interrupted;
1 for the rest.
"""

from __future__ import annotations

import os
import sys

from minidock.cli.app import App, describe
from minidock.cli.command import ClientError, Command, Flag, UsageError
from minidock.cli.parse import Parsed, bad_usage, check_count, parse
from minidock.cli.registry import GROUPS, NEED_MONITOR, find, load
from minidock.engine.output import OutputClosed, open_standard_descriptors
from minidock.errors import MinidockError, StartFailed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import NoReturn

ROOT = Command(
    help="A container runtime in pure Python",
    run="",
    args="COMMAND [ARG...]",
    interspersed=False,
    flags=(
        Flag("debug", "D", "bool", help="Show where in the code an error came from"),
        Flag("root", help="Where images and containers are kept", default="/var/lib/minidock"),
        Flag("run-root", help="Where running containers are known", default="/run/minidock"),
        Flag("version", "v", "bool", help="Print version information and quit"),
    ),
    unsupported="minidock.cli.unsupported:ROOT",
)
_HINT = "in a container, give that one --privileged"
GROUP = Command(help="", run="", interspersed=False)


def main(argv: Sequence[str] | None = None) -> int:
    """The `minidock` command. Returns its exit code; `argv` is without the program's name."""
    open_standard_descriptors()
    app = App(root="/var/lib/minidock", run_root="/run/minidock")
    try:
        return dispatch(app, list(sys.argv[1:] if argv is None else argv), os.environ)
    except UsageError as error:
        app.err(error.text)
        return error.exit_code
    except OutputClosed:
        return 141  # as a program that SIGPIPE ends
    except KeyboardInterrupt:
        return 130
    except OSError as error:
        return app.fail(error)
    except ModuleNotFoundError as error:
        if (error.name or "minidock").startswith("minidock"):
            raise
        app.err(
            f"minidock: the Python package {error.name} is not here: `make install` brings it\n"
        )
        return 1


def entry() -> NoReturn:
    """What the installed `minidock` calls: `main`, and then out at once.

    Python would spend 3 ms on taking its modules apart first. All output is written by then.
    """
    os._exit(main())


def dispatch(app: App, argv: list[str], environ: os._Environ[str] | dict[str, str]) -> int:
    """Read the global options, find the command, run it."""
    tab = environ.get("_MINIDOCK_COMPLETE")
    if tab:
        from minidock.cli.completion import answer

        return answer(tab, app)
    options = parse(ROOT, "", argv)
    app.root = _directory(options, "root", environ.get("MINIDOCK_ROOT"))
    app.run_root = _directory(options, "run-root", environ.get("MINIDOCK_RUN_ROOT"))
    app.debug = options.on("debug")
    words = options.positionals
    for notice in options.notices:
        app.err(notice + "\n")
    if not words:
        return _no_command(app, options)
    if words[0] == "help":
        return _show_help(app, words[1:])
    found = find(words)
    if found is None:
        return _no_such_command(app, ["--help"] if options.on("help") else words)
    path, target, rest = found
    if options.on("help"):
        rest = ["--help"]
    if path in NEED_MONITOR and "--help" not in rest and os.geteuid() == 0:
        from minidock.engine.spawn import spawn_monitor

        try:
            app.monitor = spawn_monitor()
        except PermissionError:  # the first of all system calls that only root may make
            app.err(
                f"minidock: {path} needs CAP_SYS_ADMIN, which root does not have here: {_HINT}\n"
            )
            return 125
    return _run(app, load(target), path, rest)


def _run(app: App, command: Command, path: str, rest: list[str]) -> int:
    args = parse(command, path, rest)
    for notice in args.notices:
        app.err(notice + "\n")
    if args.on("help"):
        return _show_help(app, path.split())
    check_count(args)
    if command.needs_root and os.geteuid() != 0:
        app.err(f"minidock: {path} needs root: try sudo minidock {path}\n")
        return 125 if command.wraps else 1
    function: Callable[[Parsed, App], int] = load(command.run)
    try:
        return function(args, app)
    except OutputClosed:
        raise
    except (MinidockError, OSError) as error:
        return _failed(app, args, error)


def _failed(app: App, args: Parsed, error: MinidockError | OSError) -> int:
    """Docker's words for an error, and its exit code, which depends on the command."""
    wraps = args.command.wraps
    if wraps != "all" and not (wraps == "client" and isinstance(error, ClientError)):
        return app.fail(error)
    pointer = f"Run 'minidock {args.path} --help' for more information"
    app.err(f"minidock: {describe(error)}\n\n{pointer}\n")
    app.trace(error)
    code = error.exit_code if isinstance(error, StartFailed) else 0
    return code if code in (126, 127) else 125


def _no_command(app: App, options: Parsed) -> int:
    if options.on("version"):
        from minidock import __version__

        python = ".".join(str(part) for part in sys.version_info[:3])
        app.out(f"minidock version {__version__}, Python {python}\n")
        return 0
    return _show_help(app, [], to_stderr=not options.on("help"))


def _no_such_command(app: App, words: list[str]) -> int:
    """A group alone, a group with a wrong word, or a wrong word."""
    group = words[0] if words[0] in GROUPS else ""
    if group:
        parsed = parse(GROUP, group, words[1:])  # refuses flags: a group has none
        wanted = parsed.on("help") or "--help" in parsed.positionals
        if wanted or not parsed.positionals:
            return _show_help(app, [group], to_stderr=not wanted)
        raise bad_usage(parsed, _unknown_command(f"{group} {parsed.positionals[0]}"), exit_code=1)
    if "--help" in words:
        return _show_help(app, [])
    app.err(f"{_unknown_command(words[0])}\n\nRun 'minidock --help' for more information\n")
    return 1


def _unknown_command(path: str) -> str:
    return f"minidock: unknown command: minidock {path}"


def _show_help(app: App, words: list[str], *, to_stderr: bool = False) -> int:
    """The help page of the program, a group or a command."""
    from minidock.cli.click_app import help_page

    try:
        page = help_page(words)
    except KeyError as error:
        app.err(f"unknown help topic: {error.args[0]}\n")
        return 1
    (app.err if to_stderr else app.out)(page)
    return 0


def _directory(options: Parsed, flag: str, from_environment: str | None) -> str:
    path = options.text(flag)
    if from_environment and not options.given(flag):
        path = from_environment
    if not path:
        raise UsageError(f"minidock: --{flag} must name a directory\n", 125)
    return os.path.abspath(path)
