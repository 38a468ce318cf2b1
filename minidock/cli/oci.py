"""minidock oci: the OCI runtime, with runc's command line, for engines that drive one.

    podman --runtime /usr/local/bin/minidock-oci run …
    dockerd --add-runtime minidock=/usr/local/bin/minidock-oci
    ctr run --runc-binary /usr/local/bin/minidock-oci …

`minidock-oci create …` and `minidock oci create …` are the same. The options before the command
are runc's; where it writes an error is what engines rely on: to standard error as a line for a
person, and with `--log FILE --log-format json` to that file as an object with `msg`, from which
they tell their user. Exit codes are runc's: 1, or 255 from `exec`.

Half the time of a start is that of an interpreter; so for the commands that bring a process into a
container the second one, if it is needed, is started before anything else is even looked at
(runtime/entrant.py).

See: runc(8), https://github.com/opencontainers/runtime-tools/blob/master/docs/command-line-interface.md
"""

from __future__ import annotations

import gc
import os
import sys

from minidock.cli.command import Command, Flag, UsageError
from minidock.cli.parse import Parsed, parse
from minidock.engine.output import open_standard_descriptors, write_all
from minidock.errors import MinidockError, StartFailed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import NoReturn

    from minidock.cli.app import App
    from minidock.runtime.entrant import Entrant, Fork
    from minidock.spec.runtime import Process

SPEC_VERSION = "1.2.0"
DEFAULT_ROOT = "/run/minidock-oci"
ENTER = frozenset(("create", "run", "exec"))  # these bring a process into a container
COMMANDS = {
    "create": "minidock.cli.oci_start:CREATE",
    "run": "minidock.cli.oci_start:RUN",
    "exec": "minidock.cli.oci_exec:EXEC",
    "start": "minidock.cli.oci_start:START",
    "kill": "minidock.cli.oci_start:KILL",
    "delete": "minidock.cli.oci_start:DELETE",
    "state": "minidock.cli.oci_look:STATE",
    "list": "minidock.cli.oci_look:LIST",
    "ps": "minidock.cli.oci_look:PS",
    "pause": "minidock.cli.oci_change:PAUSE",
    "resume": "minidock.cli.oci_change:RESUME",
    "update": "minidock.cli.oci_change:UPDATE",
    "events": "minidock.cli.oci_change:EVENTS",
    "spec": "minidock.cli.oci_bundle:SPEC",
    "features": "minidock.cli.oci_bundle:FEATURES",
}
FLAGS = (
    Flag("root", help="Where the state of containers is kept", default=DEFAULT_ROOT),
    Flag("log", value="file", help="Write errors to this file, too"),
    Flag("log-format", value="text|json", help="How they are written there", default="text"),
    Flag("debug", kind="bool", help="Show where in the code an error came from"),
    Flag("systemd-cgroup", kind="bool", help='A cgroupsPath is "slice:prefix:name"'),
    Flag("rootless", help="Accepted for runc's sake", default="auto", hidden=True),
    Flag("criu", help="Accepted for runc's sake", hidden=True),
    Flag("version", "v", "bool", help="Print version information and quit"),
)
OCI = Command(
    help="An OCI runtime for Podman, Docker and containerd",
    run="minidock.cli.oci:oci",
    args="COMMAND [ARG...]",
    flags=FLAGS,
    interspersed=False,
    needs_root=False,
    examples=(
        "minidock oci spec -b demo && minidock oci run -b demo c1",
        "minidock oci list",
    ),
    description="""\
An OCI runtime for Podman, Docker and containerd

It has runc's commands and options. The program minidock-oci is the same:
  podman --runtime $(command -v minidock-oci) run --rm -it debian
  dockerd --add-runtime minidock=$(command -v minidock-oci)
  ctr run --rm --runc-binary $(command -v minidock-oci) IMAGE c1""",
)


class Oci:
    """What a command gets besides its arguments."""

    def __init__(self, options: Parsed, name: str, entrant: Entrant | None) -> None:
        self.root = os.path.abspath(options.text("root"))
        self.systemd_cgroup = options.on("systemd-cgroup")
        self.debug = options.on("debug")
        self._entrant = entrant
        self.name = name
        self._log = options.text("log")
        self._json = options.text("log-format") == "json"

    def enter(self, *processes: Process) -> Entrant | Fork:
        """Who enters a container with these processes in it: the entrant that was started early,
        or a fork of us. Raises `OSError` where the kernel refuses to seal one."""
        from minidock.runtime.entrant import Fork, may_fork, spawn_entrant

        return self._entrant or (Fork() if may_fork(processes) else spawn_entrant())

    def out(self, text: str) -> None:
        """Write to standard output, now."""
        write_all(1, text.encode("utf-8", "surrogateescape"))

    def error(self, message: str, level: str = "error") -> None:
        """Tell the engine and the person. Nobody listening is no reason to fail again."""
        line = self._line(message, level)
        try:
            if self._log:
                flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
                fd = os.open(self._log, flags, 0o644)
                write_all(fd, line)
                os.close(fd)
                line = message.encode("utf-8", "surrogateescape") + b"\n"
            if level == "error" or not self._log:
                write_all(2, line)
        except OSError:
            pass

    def warn(self, message: str) -> None:
        """Tell of something that stops nothing."""
        self.error(message, "warning")

    def _line(self, message: str, level: str) -> bytes:
        import time

        from minidock.spec.lean_json import dumps

        moment = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        clean = message.encode("utf-8", "replace").decode()
        if self._json:
            return dumps({"level": level, "msg": clean, "time": moment}).encode() + b"\n"
        return f'time="{moment}" level={level} msg={dumps(clean)}\n'.encode()


NOT_ROOT = "root's rights are needed (CAP_SYS_ADMIN), and this root has not got them"


def entry() -> NoReturn:
    """What `minidock-oci` calls."""
    gc.disable()  # nothing here lives long enough to be worth looking at
    open_standard_descriptors()
    os._exit(main(sys.argv[1:]))


def oci(args: Parsed, app: App) -> int:
    """`minidock oci`: the words behind it were split off already; they are put together again."""
    words = [f"--{name}={value}" for name, value in _given(args)]
    return main([*words, *args.positionals])


def _given(args: Parsed) -> list[tuple[str, str]]:
    return [
        (f.long, str(args.on(f.long)).lower() if f.kind == "bool" else args.text(f.long))
        for f in FLAGS
        if args.given(f.long)
    ]


def main(argv: Sequence[str]) -> int:
    """The OCI runtime; returns its exit code."""
    try:
        options = parse(OCI, "oci", argv)
    except UsageError as error:
        write_all(2, error.text.encode("utf-8", "surrogateescape"))
        return 1
    words = options.positionals
    name = words[0] if words else ""
    try:
        entrant = _early(name, words)
    except PermissionError:
        context = Oci(options, name, None)
        context.error(f"minidock {name} failed: {NOT_ROOT}")
        return 1
    context = Oci(options, name, entrant)
    try:
        return _dispatch(options, context, words)
    except UsageError as error:
        write_all(2, error.text.encode("utf-8", "surrogateescape"))
        context.error(error.text.partition("\n")[0])
        return 1
    except BrokenPipeError:
        return 141
    except KeyboardInterrupt:
        return 130


def _early(name: str, words: list[str]) -> Entrant | None:
    if name not in ENTER or "--help" in words:
        return None
    from minidock.linux.seal import is_sealed
    from minidock.runtime.entrant import spawn_entrant

    try:
        return None if is_sealed() else spawn_entrant()
    except OSError:
        if os.geteuid() == 0:
            raise
        return None  # the command says that it needs root


def _dispatch(options: Parsed, context: Oci, words: list[str]) -> int:
    if options.on("version"):
        return _version(context)
    if not words or options.on("help") or words[0] in ("help", "-h"):
        from minidock.cli.oci_help import show_help

        return show_help(context, words)
    if words[0] not in COMMANDS:
        context.error(f"No help topic for '{words[0]}'")
        return 3
    from minidock.cli.registry import load

    command: Command = load(COMMANDS[words[0]])
    args = parse(command, f"oci {words[0]}", words[1:])
    if args.on("help"):
        from minidock.cli.oci_help import show_help

        return show_help(context, words[:1])
    _check_count(args, context)
    try:
        function: Callable[[Parsed, Oci], int] = load(command.run)
        return function(args, context)
    except (MinidockError, OSError) as error:
        context.error(_words(error, context.name))
        if context.debug:
            import traceback

            write_all(2, "".join(traceback.format_exception(error)).encode())
        return 255 if context.name == "exec" else 1


def _words(error: MinidockError | OSError, name: str) -> str:
    """runc's words, which engines search for `executable file not found` and the like."""
    message = error.message if isinstance(error, MinidockError) else ""
    if isinstance(error, (OSError, StartFailed)):
        from minidock.runtime.sync import describe_error

        message = f"unable to start container process: {describe_error(error)}"
    if name == "exec":
        return f"exec failed: {message}"
    return f"minidock {name} failed: {message}" if name in ENTER else message


def _check_count(args: Parsed, context: Oci) -> None:
    command, count = args.command, len(args.positionals)
    if count < command.least or (command.most is not None and count > command.most):
        exact = command.least == command.most or not command.least
        rule = "exactly" if exact else "a minimum of"
        message = f'minidock: "{context.name}" requires {rule} {command.least} argument(s)'
        raise UsageError(f"{message}\n\nUsage:  {command.usage(args.path)}\n", 1)


def _version(context: Oci) -> int:
    from minidock import __version__

    # Engines look for lines of this form: `NAME version X`, then `spec: Y`.
    context.out(f"minidock version {__version__}\nspec: {SPEC_VERSION}\n")
    return 0
