"""`minidock oci exec`."""

from __future__ import annotations

from minidock.cli.command import Command, Flag
from minidock.cli.oci_start import preserved_descriptors
from minidock.errors import InvalidInput

TYPE_CHECKING = False
if TYPE_CHECKING:
    from minidock.cli.oci import Oci
    from minidock.cli.parse import Parsed
    from minidock.runtime.execute import ExecRequest

EXEC = Command(
    help="Run one more process in a container",
    run="minidock.cli.oci_exec:execute",
    args="ID COMMAND [ARG...]",
    least=1,
    interspersed=False,
    flags=(
        Flag("process", "p", help="A process.json that says everything", value="file"),
        Flag("tty", "t", "bool", help="Give it a terminal"),
        Flag("user", "u", help="Who it is: UID[:GID]", value="user"),
        Flag("additional-gids", "g", "list", help="One more group, by number", value="gid"),
        Flag("env", "e", "list", help="Set a variable", value="NAME=VALUE"),
        Flag("cwd", help="Its working directory", value="dir"),
        Flag("cap", "c", "list", help="Add a capability", value="name"),
        Flag("no-new-privs", kind="bool", help="Let it gain no privileges by execve(2)"),
        Flag("apparmor", help="Its AppArmor profile", value="profile"),
        Flag("process-label", help="Its SELinux label", value="label"),
        Flag("detach", "d", "bool", help="Do not wait for its end"),
        Flag("pid-file", help="Write its PID there", value="file"),
        Flag("console-socket", help="Unix socket to send the terminal's master to", value="path"),
        Flag("preserve-fds", kind="int", help="Pass on this many descriptors, from 3 on"),
        Flag("ignore-paused", kind="bool", help="Allow it in a paused container"),
        Flag("cgroup", "", "list", help="Not supported", hidden=True),
        Flag("no-subreaper", kind="bool", help="Accepted for runc's sake", hidden=True),
    ),
    examples=(
        "minidock oci exec -t web sh",
        "minidock oci exec --process process.json --detach --pid-file pid web",
    ),
)


def execute(args: Parsed, oci: Oci) -> int:
    """`minidock oci exec`"""
    from minidock.runtime.console import ConsoleSocket
    from minidock.runtime.execute import Execution
    from minidock.runtime.foreground import Foreground

    execution = Execution(_request(args, oci), oci.warn)
    terminal, socket = execution.process.terminal, args.text("console-socket")
    entrant = oci.enter(*execution.processes)
    check_console(terminal, socket, detach=args.on("detach"))
    if socket:
        pid = execution.start(entrant, ConsoleSocket(socket).take_terminal)
        return 0 if args.on("detach") else Foreground().wait(pid)
    if args.on("detach"):
        execution.start(entrant, lambda fd: None)
        return 0
    foreground = Foreground()
    return foreground.wait(execution.start(entrant, foreground.take_terminal))


def check_console(terminal: bool, socket: str, *, detach: bool) -> None:
    """Somebody must hold a terminal's other end. Raises `InvalidInput` in runc's words."""
    if terminal and detach and not socket:
        words = "cannot allocate tty if runc will detach without setting console socket"
        raise InvalidInput(words.replace("runc", "minidock"))
    if socket and not (terminal and detach):
        words = "cannot use console socket if runc will not detach or allocate tty"
        raise InvalidInput(words.replace("runc", "minidock"))


def _request(args: Parsed, oci: Oci) -> ExecRequest:
    from minidock.runtime.execute import ExecRequest

    if args.each("cgroup"):
        raise InvalidInput("--cgroup: a process in a cgroup of its own is not supported")
    if not args.text("process") and len(args.positionals) < 2:
        raise InvalidInput("process args cannot be empty")
    return ExecRequest(
        root=oci.root,
        container_id=args.positionals[0],
        process_file=args.text("process"),
        args=tuple(args.positionals[1:]),
        terminal=args.on("tty"),
        cwd=args.text("cwd"),
        env=args.each("env"),
        user=_user(args.text("user")),
        groups=tuple(_id(word, "additional-gids") for word in args.each("additional-gids")),
        capabilities=tuple(_capability(word) for word in args.each("cap")),
        no_new_privileges=args.on("no-new-privs") if args.given("no-new-privs") else None,
        apparmor_profile=args.text("apparmor"),
        selinux_label=args.text("process-label"),
        pid_file=args.text("pid-file"),
        preserved=preserved_descriptors(args),
        ignore_paused=args.on("ignore-paused"),
    )


def _user(word: str) -> tuple[int, int] | None:
    if not word:
        return None
    uid, _, gid = word.partition(":")
    return _id(uid, "user"), _id(gid, "user") if gid else -1


def _id(word: str, flag: str) -> int:
    if not (word.isascii() and word.isdigit() and int(word) < 2**31):
        raise InvalidInput(f"--{flag}: not the number of a user or group: {word!r}")
    return int(word)


def _capability(word: str) -> str:
    name = word.upper()
    return name if name.startswith("CAP_") else f"CAP_{name}"
