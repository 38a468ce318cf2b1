"""top: a container's processes, as ps(1) of the host shows them.

ps knows how to describe processes, in any columns one likes; what it does not know is which of them
are a container's. The cgroup does. So ps is run on the host with the user's options, and its lines
are chosen by their PID. Nothing is run in the container, which may have no ps, or one that lies.

See: ps(1), cgroups(7), moby's daemon/top_unix.go
"""

from __future__ import annotations

from minidock.engine.cgroup import cgroup_of
from minidock.engine.events import tell
from minidock.errors import Conflict, InvalidInput, MinidockError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from minidock.engine.containers import Container

DEFAULT = "-ef"


def processes_of(container: Container, options: Sequence[str]) -> list[list[str]]:
    """The titles, then a row for each process.

    Raises `Conflict` where it does not run, `MinidockError` with what ps had to say.
    """
    from minidock.isolation.cgroups.processes import processes

    state = container.state()
    if state.status == "restarting":
        wait = "is restarting, wait until the container is running"
        raise Conflict(f"Container {container.id} {wait}")
    if not state.running:
        raise Conflict(f"Container {container.id} is not running")
    words = (" ".join(options) or DEFAULT).split(" ")
    _check_options(" ".join(words))
    pids = processes(cgroup_of(container))
    rows = choose(_ps(words, pids), set(pids))
    tell(container, "top")
    return rows


def _check_options(text: str) -> None:
    """Another column could call itself PID, and its numbers would be taken for one."""
    import re

    match = re.search(r"\s+([^\s]*)=\s*(PID[^\s]*)", text)
    if match and match[1] != "pid":
        raise InvalidInput(f'specifying "{match[1]}={match[2]}" is not allowed')


def _ps(words: list[str], pids: Sequence[int]) -> str:
    """With `-q` ps looks at these processes only; some of its options do not go with that."""
    only = f"-q{','.join(map(str, pids))}"
    found = _run([*words, only]) or _run(words)
    if not found:
        raise MinidockError("ps: it printed nothing")
    return found


def _run(words: list[str]) -> str:
    import subprocess

    try:
        done = subprocess.run(["ps", *words], capture_output=True, check=False)
    except FileNotFoundError:
        raise MinidockError('exec: "ps": executable file not found in $PATH') from None
    if done.returncode == 0:
        return done.stdout.decode("utf-8", "surrogateescape")
    if words[-1].startswith("-q"):
        return ""
    said = done.stderr.decode("utf-8", "surrogateescape").partition("\n")[0]
    raise MinidockError(f"ps: {said}" if said else f"ps: exit status {done.returncode}")


def choose(text: str, pids: set[int]) -> list[list[str]]:
    """From the output of ps, the titles and the lines of these processes, in columns."""
    lines = [line.split() for line in text.splitlines() if line.strip()]
    titles = lines[0] if lines else []
    if "PID" not in titles:
        raise MinidockError("Couldn't find PID field in ps output")
    column, width = titles.index("PID"), len(titles)
    rows = [titles]
    ours = False
    for fields in lines[1:]:
        number = fields[column] if column < len(fields) else ""
        if number == "-":  # a thread, whose process stands above it
            if ours:
                rows.append(_row(fields, width))
            continue
        if not number.isdigit():
            raise MinidockError(f"Unexpected pid '{number}'")
        ours = int(number) in pids
        if ours:
            rows.append(_row(fields, width))
    return rows


def _row(fields: list[str], width: int) -> list[str]:
    """The last column is the command line, which may have spaces."""
    return [*fields[: width - 1], " ".join(fields[width - 1 :])]
