"""The child that is in a container's files, and what the command asks of it.

    command                                   child
      │  fork ──────────────────────────────►  copy_view.py: goes where the files are
      │  ◄──────────────── "there", or why not
      │  {"do": "look", "path": "/etc"} ────►
      │  ◄──────────────── what lies there
      │  {"do": "pack", …} ─────────────────►  a tar into `data`, then whether it is whole
      │  {"do": "extract", …} ──────────────►  reads a tar from `data` …

What goes between the two are lines of JSON on a socket; `data` is a pipe, or the command's standard
output. The child is in a stranger's tree and trusts nothing there; the command trusts what the
child says, since the child's code and memory are ours.

After it has gone there the child imports nothing and looks nothing up: it would be the container's.

See: copy_view.py, unshare(2), socketpair(2)
"""

from __future__ import annotations

import _socket
import os
import stat
import sys

from minidock.engine.copy_names import as_typed, clean
from minidock.engine.tree_writer import TreeWriter
from minidock.errors import MinidockError, NotFound
from minidock.image.pack import TreeTar
from minidock.image.tar_read import TarReader
from minidock.isolation.user import find_identity, read_bounded
from minidock.linux.flags import AT_FDCWD, ResolveFlag
from minidock.linux.kernel import LinuxKernel
from minidock.linux.syscalls import openat2
from minidock.record import Record
from minidock.spec.lean_json import dumps, loads

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, NoReturn

    from minidock.engine.copy_view import View

    Answer = dict[str, Any]

PIECE = 1 << 20  # bytes
_DIRECTORY = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC
_SIGKILL = 9


class Found(Record):
    """What lies at a path, a link not followed. `target`: where a link leads in the end."""

    mode: int
    target: str = ""

    @property
    def is_directory(self) -> bool:
        return stat.S_ISDIR(self.mode)

    @property
    def is_link(self) -> bool:
        return stat.S_ISLNK(self.mode)


class Inside:
    """The command's side. For `with`; `name` is the container's as the user typed it. `close` are
    descriptors that the child must not keep: the command's end of the pipe that is `data`."""

    def __init__(self, view: View, name: str, data: int, close: tuple[int, ...] = ()) -> None:
        self._socket, theirs = _socket.socketpair(
            _socket.AF_UNIX, _socket.SOCK_STREAM | _socket.SOCK_CLOEXEC
        )
        self._rest = b""
        self._pid = os.fork()
        if self._pid == 0:
            for fd in (*close, self._socket.fileno()):
                os.close(fd)
            _be_child(view, name, data, theirs)
        theirs.close()

    def __enter__(self) -> Inside:
        try:
            self.answer()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()
        os.kill(self._pid, _SIGKILL)  # it has done what was asked, or will not any more
        os.waitpid(self._pid, 0)

    def look(self, path: str) -> Found:
        """Raises `NotFound`, `MinidockError`."""
        self.ask("look", path=path)
        answer = self.answer()
        return Found(answer["mode"], answer["target"])

    def ask(self, what: str, **about: object) -> None:
        """Begin something; `answer` returns when it is done."""
        try:
            self._socket.sendall(dumps({"do": what, **about}).encode() + b"\n")
        except (BrokenPipeError, ConnectionResetError):
            pass  # the answer, or that there is none, says why

    def answer(self) -> Answer:
        """Raises `BrokenPipeError` where nobody reads the tar any more, `MinidockError`."""
        while b"\n" not in self._rest:
            data = self._socket.recv(1 << 16)
            if not data:
                raise MinidockError("the process that copies the files has died")
            self._rest += data
        line, _, self._rest = self._rest.partition(b"\n")
        answer: Answer = loads(line)
        if answer.get("closed"):
            raise BrokenPipeError
        if "error" in answer:
            kind = NotFound if answer.get("missing") else MinidockError
            raise kind(answer["error"])
        return answer


# ── in the child ──


def _be_child(view: View, name: str, data: int, socket: _socket.socket) -> NoReturn:
    try:
        child = _Child(name, data)
        socket.sendall(_said(child.go, view))
        rest = b""
        while piece := socket.recv(1 << 16):
            *lines, rest = (rest + piece).split(b"\n")
            for line in lines:
                socket.sendall(_said(child.obey, loads(line)))
    finally:
        os._exit(0)


def _said(act: Callable[[Any], Answer], about: object) -> bytes:
    """What comes out of it, or went wrong, as a line."""
    answer: Answer
    try:
        answer = act(about)
    except BrokenPipeError:
        answer = {"closed": True}
    except MinidockError as error:
        answer = {"error": error.message, "missing": isinstance(error, NotFound)}
    except OSError as error:
        answer = {"error": described(error)}
    return dumps(answer).encode() + b"\n"


def described(error: OSError) -> str:
    """In lower case, as Go's programs say what the kernel says."""
    words = (error.strerror or str(error)).lower()
    name = error.filename
    return f"{os.fsdecode(name)}: {words}" if isinstance(name, (str, bytes)) else words


class _Child:
    def __init__(self, name: str, data: int) -> None:
        self._name = name
        self._data = data

    def go(self, view: View) -> Answer:
        view.enter()
        sys.path.clear()  # what is imported from here on would be the container's
        sys.meta_path.clear()
        return {}

    def obey(self, order: Answer) -> Answer:
        what = order.pop("do")
        if what == "look":
            return self._look(**order)
        try:
            return self._pack(**order) if what == "pack" else self._extract(**order)
        finally:
            os.close(self._data)  # so the other end sees that this was all

    def _look(self, path: str) -> Answer:
        directory, base = self._open_parent(path)
        try:
            status = os.stat(base, dir_fd=directory, follow_symlinks=False)
        except FileNotFoundError:
            raise self._missing(path) from None
        finally:
            os.close(directory)
        is_link = stat.S_ISLNK(status.st_mode)
        target = os.path.realpath(clean(path)) if is_link else ""
        return {"mode": status.st_mode, "target": target}

    def _open_parent(self, path: str) -> tuple[int, str]:
        """The directory in which something lies, open, and what it is called there."""
        typed = as_typed(clean(path), path)
        directory, _, base = typed.rpartition("/")
        try:
            return self._open(directory or "/", _DIRECTORY), base or "."
        except FileNotFoundError:
            raise self._missing(path) from None
        except NotADirectoryError as error:
            raise MinidockError(f"lstat {typed}: not a directory") from error

    def _open(self, path: str, flags: int) -> int:
        return openat2(AT_FDCWD, path, flags, 0, ResolveFlag.RESOLVE_NO_MAGICLINKS)

    def _missing(self, path: str) -> NotFound:
        return NotFound(f"Could not find the file {path} in container {self._name}")

    def _pack(self, path: str, called: str) -> Answer:
        """Write what lies at `path` as a tar in which its name is `called`."""
        directory, base = self._open_parent(path)
        try:
            mode = os.stat(base, dir_fd=directory, follow_symlinks=False).st_mode
            if stat.S_ISSOCK(mode):
                raise MinidockError(f"cannot copy {path}: it is a socket")
            kind = stat.S_IFMT(mode) if stat.S_ISDIR(mode) or stat.S_ISREG(mode) else 0
            tar = Tar(self._write, called, clean(path))
            tar.add(directory, os.fsencode(base), kind, os.fsencode(called))
        except FileNotFoundError:
            raise self._missing(path) from None
        tar.finish()
        return {}

    def _write(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[os.write(self._data, view) :]

    def _extract(self, path: str, user: str, readonly: bool) -> Answer:
        """Read a tar into the directory at `path`. With `user` all becomes that one's. `readonly`
        says that nothing may be written but in volumes."""
        try:
            directory = self._open(as_typed(clean(path), path), os.O_PATH | os.O_CLOEXEC)
        except FileNotFoundError:
            raise self._missing(path) from None
        status = os.fstat(directory)
        if not stat.S_ISDIR(status.st_mode):
            raise MinidockError("extraction point is not a directory")
        in_volume = status.st_dev != os.stat("/").st_dev
        if not in_volume and readonly:
            raise MinidockError("container rootfs is marked read-only")
        if os.fstatvfs(directory).f_flag & os.ST_RDONLY:
            where = "mounted volume" if in_volume else "container rootfs"
            raise MinidockError(f"{where} is marked read-only")
        reader = TarReader(pieces(self._data))
        owner = _look_up(user) if user else None
        writer = TreeWriter(
            reader,
            directory,
            clean(path),
            follow=True,
            owner=lambda header: owner or (header.uid, header.gid),
            path_of=from_inside,
        )
        while header := reader.next():
            writer.add(header)
        writer.finish()
        return {}


def _look_up(user: str) -> tuple[int, int]:
    """The numbers of a user and its group, as the container's files have them."""
    kernel = LinuxKernel()
    texts = (read_bounded(kernel, name) for name in ("/etc/passwd", "/etc/group"))
    identity = find_identity(user, *texts)
    return identity.uid, identity.gid


def from_inside(directory: int, base: bytes) -> bytes:
    """A path to what lies in an open directory, where there is no /proc that knows us."""
    os.fchdir(directory)
    return b"./" + base


class Tar(TreeTar):
    """A tar of what lies at `path`, and is `called` something else in it; written inside."""

    problem = "cannot copy"

    def __init__(self, out: Callable[[bytes], object], called: str, path: str) -> None:
        super().__init__(out)
        self._called, self._path = os.fsencode(called), os.fsencode(path)

    def error(self, name: bytes, problem: str) -> MinidockError:
        return super().error(self._path + name[len(self._called) :], problem)

    def path_of(self, directory: int, base: bytes) -> bytes:
        return from_inside(directory, base)


def pieces(fd: int) -> Callable[[], memoryview]:
    """What comes out of a pipe, piece by piece."""
    room = memoryview(bytearray(PIECE))
    return lambda: room[: os.readv(fd, (room,))]
