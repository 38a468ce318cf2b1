"""cp: files between a container and the host.

    from   a child in the container packs ──tar──► we write it into the host's directory
    to     we pack the host's files ──tar──► a child in the container writes them

Either end may be a tar stream itself: standard output, standard input. The rules of what arrives
where are in copy_names.py; who that child is, and why the container cannot fool it, in
copy_inside.py and copy_view.py.

What a container's tar says is not believed on the host: names stay below the directory that the
user named, and no link is followed there, not even one that was there before (tree_writer.py).

Files keep their mode and their time. In the container they keep their owner's number; with
`archive` (-a) they become the user's that the container runs as. On the host they become the
caller's; with `archive` they keep the number.

See: moby's daemon/archive.go, docker/cli cli/command/container/cp.go
"""

from __future__ import annotations

import os
import stat

from minidock.engine.copy_inside import PIECE, Inside, described, pieces
from minidock.engine.copy_names import Arrival, End, arrival, as_typed, clean, led_to, split
from minidock.engine.copy_view import View
from minidock.engine.events import tell
from minidock.engine.tree_writer import TreeWriter
from minidock.errors import BadArchive, MinidockError
from minidock.image.pack import TreeTar
from minidock.image.tar_read import TarReader
from minidock.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from minidock.engine.containers import Container
    from minidock.image.tar_read import Header

    Watch = Callable[[int], object]
    """Hears how many bytes there are more."""

_MOST_LINKS = 10


class LocalError(MinidockError):
    """What is wrong on the host's side."""


class Wishes(Record):
    """`name` is the container's as the user typed it. `size` hears of the bytes that a tar takes
    up, as they come."""

    name: str
    follow_link: bool = False
    archive: bool = False
    watch: Watch = lambda size: None


# ── from the container ──


def copy_from(container: Container, source: str, destination: str, wishes: Wishes) -> None:
    """To a path of the host's. Raises `LocalError`, `NotFound`, `MinidockError`."""
    destination = as_typed(os.path.abspath(destination), destination)
    check_output(destination)
    with View(container, writable=False) as view, Pipe() as pipe:
        inside = Inside(view, wishes.name, pipe.write, close=(pipe.read,))
        pipe.close_write()
        with inside:
            end = _source_inside(inside, source, wishes)
            place = _arrival(end, _destination_outside(destination))
            inside.ask("pack", path=end.path, called=_called(place.name))
            try:
                _receive(pipe.read, place, wishes)
            except BadArchive:
                inside.answer()  # it was cut short, and this says why
                raise
            inside.answer()
    tell(container, "archive-path")


def copy_out(container: Container, source: str, out: int, wishes: Wishes) -> None:
    """As a tar, to the descriptor `out`. Raises `BrokenPipeError`, `NotFound`, `MinidockError`."""
    with View(container, writable=False) as view, Inside(view, wishes.name, out) as inside:
        end = _source_inside(inside, source, wishes)
        inside.ask("pack", path=end.path, called=_called(split(end.path)[1]))
        inside.answer()
    tell(container, "archive-path")


def _called(name: str) -> str:
    """A name as it stands in a tar: what is in the root has a slash before it."""
    return "" if name == "/" else name


def _source_inside(inside: Inside, path: str, wishes: Wishes) -> End:
    found, end = inside.look(path), End(path)
    if wishes.follow_link and found.is_link:
        end = led_to(path, found.target)
        found = inside.look(end.path)
    return end.but(exists=True, is_directory=found.is_directory)


def _receive(pipe: int, place: Arrival, wishes: Wishes) -> None:
    """Write what comes through the pipe to its place on the host."""
    directory = os.open(place.directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        pull = pieces(pipe)

        def watched() -> memoryview:
            piece = pull()
            wishes.watch(len(piece))
            return piece

        reader = TarReader(watched)
        writer = TreeWriter(
            reader,
            directory,
            clean(place.directory),
            follow=False,
            owner=(lambda header: (header.uid, header.gid)) if wishes.archive else _nobody,
            path_of=lambda fd, base: b"/proc/self/fd/%d/%b" % (fd, base),
        )
        while header := reader.next():
            writer.add(header)
        writer.finish()
    except BadArchive:
        raise
    except MinidockError as error:
        raise LocalError(error.message) from error
    except OSError as error:
        raise LocalError(described(error)) from error
    finally:
        os.close(directory)


def _nobody(_: Header) -> None:
    """Whose it is: whoever writes it."""


def check_output(path: str) -> None:
    """Whether something may be written there. Raises `LocalError` in Docker's words."""
    directory = os.path.dirname(clean(path))
    if not os.path.exists(directory):
        raise LocalError(f'invalid output path: directory "{directory}" does not exist')
    try:
        mode = os.stat(path).st_mode
    except FileNotFoundError:
        return
    except OSError as error:
        raise LocalError(f"stat {described(error)}") from None
    if stat.S_ISBLK(mode) or stat.S_ISCHR(mode):
        why = "must be a directory or a regular file: got a device"
        raise LocalError(f'invalid output path: "{path}" {why}')


def _destination_outside(path: str) -> End:
    """What a path of the host's leads to; the last of its links may lead to nothing yet."""
    first = path
    for _ in range(_MOST_LINKS + 1):
        try:
            mode = os.lstat(path).st_mode
        except FileNotFoundError:
            return End(path)
        except OSError as error:
            raise LocalError(f"lstat {described(error)}") from None
        if not stat.S_ISLNK(mode):
            return End(path, exists=True, is_directory=stat.S_ISDIR(mode))
        path = os.path.join(split(path)[0], os.readlink(path))
    raise LocalError(f"too many symlinks in {first}")


# ── to the container ──


def copy_to(container: Container, source: str, destination: str, wishes: Wishes) -> None:
    """From a path of the host's. Raises `LocalError`, `NotFound`, `MinidockError`."""

    def send(inside: Inside, pipe: Pipe, end: End) -> None:
        path, name = _source_outside(as_typed(os.path.abspath(source), source), wishes)
        place = _arrival(path.but(name=name), end)
        _begin(inside, container, place.directory, wishes)
        pipe.send(lambda write: _pack(path.path, _called(place.name), write), wishes.watch)

    _copy_in(container, destination, wishes, send)


def copy_in(container: Container, stream: int, destination: str, wishes: Wishes) -> None:
    """From a tar, packed or not, that comes from the descriptor `stream`. The same."""
    from minidock.image.compression import Descriptor, Peek, compression_of, decompressed

    def send(inside: Inside, pipe: Pipe, end: End) -> None:
        if not end.is_directory:
            where = f"{wishes.name}:{destination}"
            raise LocalError(f'destination "{where}" must be a directory')
        _begin(inside, container, end.path, wishes)
        packed = Peek(Descriptor(stream))
        plain = decompressed(packed, compression_of(packed.peek(8)))

        def pass_on(write: Callable[[bytes], object]) -> None:
            while data := plain.read(PIECE):
                write(data)

        pipe.send(pass_on, wishes.watch)

    _copy_in(container, destination, wishes, send)


def _copy_in(
    container: Container,
    destination: str,
    wishes: Wishes,
    send: Callable[[Inside, Pipe, End], None],
) -> None:
    with View(container, writable=True) as view, Pipe() as pipe:
        inside = Inside(view, wishes.name, pipe.read, close=(pipe.write,))
        pipe.close_read()
        with inside:
            send(inside, pipe, _destination_inside(inside, destination, wishes))
            inside.answer()
    tell(container, "extract-to-dir")


def _begin(inside: Inside, container: Container, directory: str, wishes: Wishes) -> None:
    user = str(container.config.get("User") or "") if wishes.archive else ""
    readonly = bool(container.host_config.get("ReadonlyRootfs"))
    inside.ask("extract", path=directory, user=user, readonly=readonly)


def _destination_inside(inside: Inside, path: str, wishes: Wishes) -> End:
    found, there = None, path
    try:
        found = inside.look(path)
        if found.is_link:
            there, found = found.target, None
            found = inside.look(there)
    except MinidockError:
        pass  # not there yet; if it cannot be made either, that will be said
    if found and (stat.S_ISBLK(found.mode) or stat.S_ISCHR(found.mode)):
        why = "must be a directory or a regular file: got a device"
        raise LocalError(f'destination "{wishes.name}:{path}" {why}')
    return End(there, exists=bool(found), is_directory=bool(found and found.is_directory))


def _source_outside(path: str, wishes: Wishes) -> tuple[End, str]:
    """What is to be copied, without links in its directory's path, and the name to give it."""
    try:
        if wishes.follow_link:
            end = led_to(path, os.path.realpath(path, strict=True))
        else:
            directory, _, base = path.rpartition("/")
            real = os.path.realpath(directory or "/", strict=True)
            if not os.path.isdir(real):
                raise LocalError("not a directory")
            end = End(f"{real.rstrip('/')}/{base}")
            if path.endswith("/"):
                end = led_to(path, clean(end.path))
        mode = os.lstat(end.path).st_mode
    except OSError as error:
        if isinstance(error, NotADirectoryError):
            raise LocalError("not a directory") from None
        raise LocalError(f"lstat {described(error)}") from None
    return end.but(exists=True, is_directory=stat.S_ISDIR(mode)), end.name


def _pack(path: str, called: str, write: Callable[[bytes], object]) -> None:
    """Write what lies at a path of the host's as a tar in which its name is `called`."""
    directory, base = split(path)
    fd = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        mode = os.stat(base, dir_fd=fd, follow_symlinks=False).st_mode
        if stat.S_ISSOCK(mode):
            raise LocalError(f"cannot copy {path}: it is a socket")
        kind = stat.S_IFMT(mode) if stat.S_ISDIR(mode) or stat.S_ISREG(mode) else 0
        tar = LocalTar(write)
        tar.add(fd, os.fsencode(base), kind, os.fsencode(called))
        tar.finish()
    finally:
        os.close(fd)


class LocalTar(TreeTar):
    """A tar of the host's files."""

    problem = "cannot copy"


# ── both ──


def _arrival(source: End, destination: End) -> Arrival:
    try:
        return arrival(source, destination)
    except MinidockError as error:
        raise LocalError(error.message) from None


class Pipe:
    """For `with`: both ends, closed at its end if they are open still."""

    def __init__(self) -> None:
        self.read, self.write = os.pipe2(os.O_CLOEXEC)

    def __enter__(self) -> Pipe:
        return self

    def __exit__(self, *_: object) -> None:
        self.close_read()
        self.close_write()

    def close_read(self) -> None:
        if self.read >= 0:
            os.close(self.read)
        self.read = -1

    def close_write(self) -> None:
        if self.write >= 0:
            os.close(self.write)
        self.write = -1

    def send(self, produce: Callable[[Callable[[bytes], object]], None], watch: Watch) -> None:
        """Write what is produced, and close it. That nobody reads it is no error: who should have
        says why."""

        def write(data: bytes) -> None:
            view = memoryview(data)
            while view:
                view = view[os.write(self.write, view) :]
            watch(len(data))

        try:
            produce(write)
        except BrokenPipeError:
            pass
        except MinidockError as error:
            raise LocalError(error.message) from error
        except OSError as error:
            raise LocalError(described(error)) from error
        self.close_write()
