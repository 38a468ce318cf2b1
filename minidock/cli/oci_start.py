"""`minidock oci` create, run, start, kill, delete: the life of a container."""

from __future__ import annotations

import os

from minidock.cli.command import Command, Flag
from minidock.errors import InvalidInput

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from minidock.cli.oci import Oci
    from minidock.cli.parse import Parsed
    from minidock.runtime.creation import Request

_BUNDLE = (
    Flag("bundle", "b", help="The bundle's directory (default: the current one)", value="dir"),
    Flag("console-socket", value="path", help="Unix socket to send the terminal's master to"),
    Flag("pid-file", value="file", help="Write the PID of the container's init there"),
    Flag("preserve-fds", kind="int", help="Pass on this many descriptors, from 3 on"),
    Flag("no-pivot", kind="bool", help="Do not use pivot_root(2): the root is a ramdisk"),
    Flag("no-new-keyring", kind="bool", help="Keep the caller's session keyring"),
)
CREATE = Command(
    help="Create a container: everything but running its program",
    run="minidock.cli.oci_start:create",
    args="ID",
    least=1,
    most=1,
    flags=_BUNDLE,
    examples=("minidock oci create -b /containers/web web && minidock oci start web",),
)
RUN = Command(
    help="Create a container and run its program",
    run="minidock.cli.oci_start:run",
    args="ID",
    least=1,
    most=1,
    flags=(
        *_BUNDLE,
        Flag("detach", "d", "bool", help="Do not wait for its end"),
        Flag("keep", kind="bool", help="Do not delete the container when it has ended"),
        Flag("no-subreaper", kind="bool", help="Accepted for runc's sake", hidden=True),
    ),
    examples=("minidock oci run -b /containers/web web",),
)
START = Command(
    help="Run the program of a created container",
    run="minidock.cli.oci_start:start",
    args="ID",
    least=1,
    most=1,
    examples=("minidock oci start web",),
)
KILL = Command(
    help="Send a signal to a container's init",
    run="minidock.cli.oci_start:kill",
    args="ID [SIGNAL]",
    least=1,
    most=2,
    flags=(Flag("all", "a", "bool", help="Send it to every process of the container"),),
    examples=("minidock oci kill web KILL", "minidock oci kill web 15"),
)
DELETE = Command(
    help="Remove what is left of a container",
    run="minidock.cli.oci_start:delete_container",
    args="ID",
    least=1,
    most=1,
    flags=(Flag("force", "f", "bool", help="Kill it first, if it still runs"),),
    examples=("minidock oci delete -f web",),
)


def _request(args: Parsed, oci: Oci) -> Request:
    from minidock.runtime.creation import Request

    return Request(
        root=oci.root,
        container_id=args.positionals[0],
        bundle=os.path.abspath(args.text("bundle") or "."),
        pid_file=args.text("pid-file"),
        preserved=preserved_descriptors(args),
        new_keyring=not args.on("no-new-keyring"),
        pivot=not args.on("no-pivot"),
        systemd_cgroup=oci.systemd_cgroup,
        listen_fds=_listen_fds(),
    )


def preserved_descriptors(args: Parsed) -> int:
    """How many the program inherits, those that systemd opened for us included. sd_listen_fds(3)

    Raises `InvalidInput`."""
    from minidock.runtime.entrant import MOST_PRESERVED

    preserved = args.number("preserve-fds") + _listen_fds()
    if not 0 <= preserved <= MOST_PRESERVED:
        raise InvalidInput(f"cannot pass on {preserved} descriptors, {MOST_PRESERVED} at most")
    return preserved


def _listen_fds() -> int:
    number = os.environ.get("LISTEN_FDS", "")
    return int(number) if number.isascii() and number.isdigit() else 0


def create(args: Parsed, oci: Oci) -> int:
    """`minidock oci create`"""
    from minidock.runtime.creation import Creation

    creation = Creation(_request(args, oci), oci.warn, wait=True)
    take_terminal = _console(args, creation.process.terminal, detach=True)
    creation.start(oci.enter(creation.process), take_terminal)
    return 0


def _console(args: Parsed, terminal: bool, *, detach: bool) -> Callable[[int], None]:
    """Who takes the terminal's master where we do not stay. Raises `MinidockError`."""
    from minidock.cli.oci_exec import check_console

    socket = args.text("console-socket")
    check_console(terminal, socket, detach=detach)
    if not socket:
        return lambda fd: None
    from minidock.runtime.console import ConsoleSocket

    return ConsoleSocket(socket).take_terminal


def run(args: Parsed, oci: Oci) -> int:
    """`minidock oci run`"""
    from minidock.runtime.creation import Creation
    from minidock.runtime.foreground import Foreground
    from minidock.runtime.lifecycle import delete

    request = _request(args, oci)
    creation = Creation(request, oci.warn, wait=False)
    take_terminal = _console(args, creation.process.terminal, detach=args.on("detach"))
    if args.on("detach"):
        creation.start(oci.enter(creation.process), take_terminal)
        return 0
    foreground = Foreground()
    pid = creation.start(oci.enter(creation.process), foreground.take_terminal)
    code = foreground.wait(pid)
    if not args.on("keep"):
        delete(oci.root, request.container_id, oci.warn, force=True)
    return code


def start(args: Parsed, oci: Oci) -> int:
    """`minidock oci start`"""
    from minidock.runtime import lifecycle

    lifecycle.start(oci.root, args.positionals[0], oci.warn)
    return 0


def kill(args: Parsed, oci: Oci) -> int:
    """`minidock oci kill`"""
    from minidock.linux.signals import SIGTERM
    from minidock.runtime import lifecycle

    signum = signal_number(args.positionals[1]) if args.positionals[1:] else SIGTERM
    lifecycle.kill(oci.root, args.positionals[0], signum, everything=args.on("all"))
    return 0


def signal_number(word: str) -> int:
    """`9`, `KILL` or `SIGKILL`. Raises `InvalidInput`."""
    from minidock.linux import signals

    if word.isascii() and word.isdigit() and 0 <= int(word) <= 64:
        return int(word)
    name = word.upper().removeprefix("SIG")
    number = getattr(signals, f"SIG{name}", None)
    if not isinstance(number, int) or name.startswith("_"):
        raise InvalidInput(f"unknown signal {word!r}")
    return int(number)


def delete_container(args: Parsed, oci: Oci) -> int:
    """`minidock oci delete`"""
    from minidock.runtime import lifecycle

    lifecycle.delete(oci.root, args.positionals[0], oci.warn, force=args.on("force"))
    return 0
