"""A container that stands still, so that its files can be read as they were at one moment.

The freezer stops every process of a cgroup; `commit` needs that for as long as it reads the upper
directory. Starting it is a write(2). Ending it is the delicate part: whoever froze a container may
be killed in the middle, and nothing in the kernel would ever let it go on.

So the freeze belongs to a process of its own, the *holder*, which does nothing but wait for its
pipe to end. That happens when the command is done, and just as well when it dies of whatever cause:

    commit ──fork──► holder     takes the lock, freezes
           ◄─"."───             "it stands still"
           reads upper/ …       waits in read(2)
           closes its pipe ───► thaws, exits

The lock is an flock on the container's directory: of two commits at once the second waits, and
cannot be surprised by the first one's thaw. Should the holder be killed too, an empty file
`freezing` beside container.json is left; the next command that asks for the container's state
finds it, finds the lock free, and thaws (`thaw_abandoned`).

A user's `pause` is the other use of the freezer, and a simpler one: it lasts until `unpause`. What
says so is an empty file `paused` in the run directory, written before the first process is stopped
and removed after the last one goes on: whoever is killed in between leaves a container that can be
unpaused. The same lock keeps a commit and a pause from each other; what is paused stays so.

See: cgroups(7), flock(2), https://docs.kernel.org/admin-guide/cgroup-v1/freezer-subsystem.html
"""

from __future__ import annotations

import fcntl
import os

from minidock.engine.cgroup import cgroup_of
from minidock.engine.events import tell
from minidock.errors import Conflict, MinidockError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from minidock.engine.containers import Container
    from minidock.isolation.cgroups.common import Cgroup

MARKER = "freezing"
_PAUSED = "paused"  # in the run directory
_STANDS_STILL = b"."
_OPEN_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


def paused(container: Container) -> Pause:
    """`with paused(container): …`: no process of the container runs. One that is not running, or
    that its user has paused, is left as it is. Raises `Conflict` if a process does not stop."""
    return Pause(container)


class Pause:
    """The command's end of the pipe to the holder."""

    def __init__(self, container: Container) -> None:
        self._container = container
        self._pipe = -1
        self._holder = 0

    def __enter__(self) -> Self:
        answer, say = os.pipe2(os.O_CLOEXEC)
        wait, self._pipe = os.pipe2(os.O_CLOEXEC)
        self._holder = os.fork()
        if self._holder == 0:
            os.close(self._pipe)
            _be_holder(self._container, say, wait)
        os.close(say)
        os.close(wait)
        try:
            with open(answer, "rb") as file:
                told = file.read()
            if told != _STANDS_STILL:
                raise Conflict(told.decode() or "cannot pause the container: its holder was killed")
        except BaseException:
            self._let_go()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        self._let_go()

    def _let_go(self) -> None:
        os.close(self._pipe)
        os.waitpid(self._holder, 0)


def _be_holder(container: Container, say: int, wait: int) -> None:
    """The life of the forked process; does not return."""
    import signal

    try:
        os.setsid()  # Ctrl-C is for the command; its end is all the holder needs to know
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
            signal.signal(number, signal.SIG_IGN)
        try:
            _hold(container, say, wait)
        except MinidockError as error:
            os.write(say, error.message.encode())
        except OSError as error:
            os.write(say, f"cannot pause the container: {error}".encode())
    finally:
        os._exit(0)


def _hold(container: Container, say: int, wait: int) -> None:
    from minidock.isolation.cgroups.common import freeze

    directory = os.open(container.directory, _OPEN_DIRECTORY)
    fcntl.flock(directory, fcntl.LOCK_EX)
    cgroup = cgroup_of(container) if container.state().status == "running" else None
    marker = f"{container.directory}/{MARKER}"
    if cgroup:
        os.close(os.open(marker, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))
    try:
        if cgroup:
            freeze(cgroup)
        os.write(say, _STANDS_STILL)
        os.close(say)
        if cgroup:
            tell(container, "pause")
        os.read(wait, 1)  # until the command ends, one way or the other
    finally:
        if cgroup:
            _thaw(cgroup)
            os.unlink(marker)
            tell(container, "unpause")


def pause(container: Container) -> None:
    """Stop every process of the container until `unpause`. Raises `Conflict` in Docker's words."""
    from minidock.isolation.cgroups.processes import freeze

    with Locked(container):
        state = container.state()
        if state.status == "paused":
            raise Conflict(f"Container {container.id} is already paused")
        if state.status == "restarting":
            wait = "is restarting, wait until the container is running"
            raise Conflict(f"Container {container.id} {wait}")
        if not state.running:
            raise Conflict(f"Container {container.id} is not running")
        marker = f"{container.run_dir}/{_PAUSED}"
        os.close(os.open(marker, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))
        try:
            freeze(cgroup_of(container))
        except BaseException:
            thaw(container)
            raise
    tell(container, "pause")


def unpause(container: Container) -> None:
    """Let it go on. Raises `Conflict` in Docker's words."""
    with Locked(container):
        if container.state().status != "paused":
            raise Conflict(f"Container {container.id} is not paused")
        thaw(container)
    tell(container, "unpause")


def thaw(container: Container) -> None:
    """Let a container go on that its user had paused. One that has ended is fine."""
    _thaw(cgroup_of(container))
    try:
        os.unlink(f"{container.run_dir}/{_PAUSED}")
    except FileNotFoundError:
        pass


class Locked:
    """`with Locked(container): …`: no commit is at work, nor another pause."""

    def __init__(self, container: Container) -> None:
        self._directory = os.open(container.directory, _OPEN_DIRECTORY)

    def __enter__(self) -> None:
        fcntl.flock(self._directory, fcntl.LOCK_EX)

    def __exit__(self, *_: object) -> None:
        os.close(self._directory)


def thaw_abandoned(container: Container) -> None:
    """Let a container go on if a killed commit froze it; not while a commit is at work."""
    try:
        directory = os.open(container.directory, _OPEN_DIRECTORY)
    except FileNotFoundError:
        return  # removed meanwhile
    try:
        fcntl.flock(directory, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if not os.path.exists(f"{container.run_dir}/{_PAUSED}"):
            _thaw(cgroup_of(container))
        os.unlink(f"{container.directory}/{MARKER}")
    except (BlockingIOError, FileNotFoundError):
        pass  # somebody holds it, or thawed it just now
    finally:
        os.close(directory)


def _thaw(cgroup: Cgroup) -> None:
    from minidock.isolation.cgroups.common import thaw

    try:
        thaw(cgroup)
    except OSError:
        pass  # the container has ended, and its cgroup is gone
