"""What is known of a container between two commands: its state directory.

The OCI runtime has no daemon: `create`, `start` and `delete` are three processes, and what they
tell each other lies in `--root`, one directory per container:

    /run/minidock-oci/<id>/
        state.json      who it is, and the PID of its init
        config.json     the bundle's, as it was at `create`; later changes do not count
        exec.fifo       init waits at it; it goes when `start` has been there
        lock            held with flock(2) by the command that is changing the container

The directory's mkdir(2) is what makes an id unique. A PID alone proves nothing: it is believed only
together with the start time of its process and the id of this boot. `/run` does not survive a
boot, so nothing is synced to disk; but every file is replaced in one rename(2), so that a reader,
or whoever comes after a kill -9, finds a whole one.

See: https://github.com/opencontainers/runtime-spec/blob/main/runtime.md#state
"""

from __future__ import annotations

import fcntl
import os
import stat
import time

from minidock.errors import Conflict, InvalidInput, NotFound
from minidock.linux.host import boot_id, start_time
from minidock.record import Record
from minidock.spec.lean_json import dumps, loads

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

OCI_VERSION = "1.2.0"
DEFAULT_ROOT = "/run/minidock-oci"
_LONGEST_ID = 1024
_WAIT_FOR_LOCK = 10.0  # seconds


class ContainerState(Record):
    """What state.json says. `pid` is 0 until there is an init; `created` is RFC 3339; `late_hooks`
    has the points after the start that have hooks ("poststart poststop")."""

    id: str
    bundle: str
    rootfs: str
    created: str
    annotations: tuple[tuple[str, str], ...] = ()
    cgroups_path: str = ""
    systemd_cgroup: bool = False
    pid: int = 0
    start_time: int = 0
    boot_id: str = ""
    late_hooks: str = ""

    def alive(self) -> bool:
        """Whether init, that very process, has not ended."""
        return (
            self.pid > 0
            and self.boot_id == boot_id()
            and start_time(self.pid) == self.start_time != 0
        )


def hook_state(state: ContainerState) -> str:
    """The state of a container as hooks read it, but for "status" and "pid"."""
    document = {"ociVersion": OCI_VERSION, "id": state.id, "bundle": state.bundle}
    return dumps({**document, "annotations": dict(state.annotations)})


class StateDirectory:
    """The directory of one container, made or not."""

    def __init__(self, root: str, container_id: str) -> None:
        """Raises `InvalidInput` for an id that could be a path."""
        check_id(container_id)
        self.id = container_id
        self.path = f"{root}/{container_id}"
        self.fifo = f"{self.path}/exec.fifo"
        self.config = f"{self.path}/config.json"

    def make(self) -> None:
        """Take the id. Raises `Conflict` where somebody has it."""
        os.makedirs(os.path.dirname(self.path), 0o700, exist_ok=True)
        try:
            os.mkdir(self.path, 0o711)
        except FileExistsError:
            raise Conflict("container with given ID already exists") from None

    def make_fifo(self) -> None:
        os.mkfifo(self.fifo, 0o600)

    def lock(self, timeout: float = _WAIT_FOR_LOCK) -> Lock:
        """Keep other commands from changing the container: a context manager.

        Raises `NotFound` where there is none, `Conflict` when another one takes too long."""
        return Lock(self.path, timeout)

    def busy(self) -> bool:
        """Whether a command is changing the container at this moment."""
        try:
            Lock(self.path, 0).__exit__()
        except Conflict:
            return True
        except NotFound:
            pass
        return False

    def load(self) -> ContainerState:
        """Raises `NotFound` where there is no such container, or one that was just being made, and
        `InvalidInput` where it is another runtime's."""
        try:
            with open(f"{self.path}/state.json", "rb") as file:
                fields: dict[str, Any] = loads(file.read())
            known = {name: fields[name] for name in ContainerState._fields}
            known["annotations"] = tuple(sorted(known["annotations"].items()))
        except (FileNotFoundError, NotADirectoryError):
            raise NotFound("container does not exist") from None
        except (ValueError, KeyError, TypeError, AttributeError):
            raise InvalidInput(f"{self.path}/state.json is not of minidock's making") from None
        return ContainerState(**known)

    def save(self, state: ContainerState) -> None:
        """Replace state.json. Raises `OSError`; the old one stays then."""
        fields = {"ociVersion": OCI_VERSION, **state.__dict__}
        fields["annotations"] = dict(state.annotations)
        self.write("state.json", dumps(fields).encode())

    def write(self, name: str, content: bytes) -> None:
        replace_file(f"{self.path}/{name}", content)

    def waits(self) -> bool:
        """Whether init waits for `start`, given that it is alive."""
        try:
            return stat.S_ISFIFO(os.stat(self.fifo).st_mode)
        except OSError:
            return False

    def remove(self) -> None:
        """Give the id back. The lock goes last: who waits for it finds that all is gone."""
        names = [entry for entry in _names(self.path) if entry != "lock"]
        for name in (*names, "lock"):
            try:
                os.unlink(f"{self.path}/{name}")
            except FileNotFoundError:
                continue
        try:
            os.rmdir(self.path)
        except FileNotFoundError:
            pass


class Lock:
    """flock(2) on a container's `lock`; the kernel drops it with its holder."""

    def __init__(self, directory: str, timeout: float) -> None:
        deadline = time.monotonic() + timeout
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
        try:
            self._fd = os.open(f"{directory}/lock", flags, 0o600)
        except (FileNotFoundError, NotADirectoryError):
            raise NotFound("container does not exist") from None
        while True:
            try:
                fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    os.close(self._fd)
                    raise Conflict("another command is changing the container") from None
            time.sleep(0.005)
        if os.fstat(self._fd).st_nlink == 0:  # whoever had it has removed the container
            os.close(self._fd)
            raise NotFound("container does not exist")

    def __enter__(self) -> Lock:
        return self

    def __exit__(self, *error: object) -> None:
        os.close(self._fd)


def check_id(container_id: str) -> None:
    """runc's rule: letters, digits, and `_+-.`, at most 1024. Raises `InvalidInput`."""
    word = container_id.replace("_", "").replace("+", "").replace("-", "").replace(".", "")
    good = not word or (word.isalnum() and word.isascii())
    if not container_id or not good or len(container_id) > _LONGEST_ID:
        raise InvalidInput("invalid container ID format")
    if container_id in (".", ".."):
        raise InvalidInput("invalid container ID format")


def containers(root: str) -> Iterator[StateDirectory]:
    """Every container that has a directory, in the order of their names."""
    for name in sorted(_names(root)):
        try:
            yield StateDirectory(root, name)
        except InvalidInput:
            continue


def replace_file(path: str, content: bytes) -> None:
    """Write a file that is the old one or the new one at any moment, mode 0644 as runc's."""
    temporary = f"{os.path.dirname(path)}/.{os.path.basename(path)}.{os.getpid()}"
    try:
        with open(temporary, "wb", 0) as file:
            while content:
                content = content[file.write(content) or 0 :]
        os.rename(temporary, path)
    except OSError:
        try:
            os.unlink(temporary)
        except OSError:
            pass
        raise


def _names(path: str) -> list[str]:
    try:
        return os.listdir(path)
    except (FileNotFoundError, NotADirectoryError):
        return []
