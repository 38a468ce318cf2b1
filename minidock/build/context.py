"""What a build is given: a directory, a tar on standard input, or a Dockerfile alone.

The Dockerfile may lie outside the context (`-f ../Dockerfile`), or come from standard input. What
must not be seen by the build stands in `.dockerignore`, or in `NAME.dockerignore` beside a
Dockerfile of that name, which then counts alone.

A tar is unpacked into the store's place for half-made things, by the same child with the tar as its
root that unpacks layers: so it may be as hostile as a layer may.

See: docker/cli cli/command/image/build/context.go
"""

from __future__ import annotations

import os

from minidock.build.directory import Directory
from minidock.build.dockerignore import read_ignore
from minidock.build.hashes import Hashes
from minidock.errors import InvalidInput, MinidockError, NotFound
from minidock.image.stack import Stack
from minidock.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from minidock.build.cache import Cache
    from minidock.build.dockerignore import Ignore
    from minidock.image.workshop import Workshop

_MAX_DOCKERFILE = 1 << 24
_REMOTE = ("http://", "https://", "git://", "git@", "ssh://", "github.com/", "oci-layout://")


class Context(Record):
    """`path` is "" where there is none. `name` stands for it from build to build."""

    path: str
    name: str
    dockerfile: bytes
    dockerfile_name: str
    ignore: Ignore | None = None
    temporary: str = ""

    def tree(self) -> Directory | Stack:
        """Its files, for one thread. A `Directory` must be closed."""
        return Directory(self.path, self.ignore) if self.path else Stack(())

    def hashes(self, cache: Cache) -> Hashes:
        """What its files had in them last time."""
        return Hashes(cache.hashes_path(self.name))


def open_context(where: str, dockerfile: str, stdin: int, workshop: Workshop) -> Context:
    """Find everything. `dockerfile` is -f's value or "". Raises `InvalidInput`, `NotFound` in
    Docker's words, `BadArchive`."""
    if where == "-" and dockerfile == "-":
        raise InvalidInput(
            "invalid argument: can't use stdin for both build context and dockerfile"
        )
    if where.startswith(_REMOTE) or where.endswith(".git"):
        raise InvalidInput(
            f"cannot build from {where}: there is no git here, and nothing is fetched",
            hint="Clone or download it yourself, and build the directory.",
        )
    if where == "-":
        return _from_stdin(stdin, dockerfile, workshop)
    if not os.path.isdir(where):
        kind = "not a directory" if os.path.exists(where) else "not found"
        if kind == "not found":
            raise NotFound(f'unable to prepare context: path "{where}" not found')
        raise InvalidInput(f'unable to prepare context: path "{where}" is {kind}')
    path = os.path.realpath(where)
    return _with_dockerfile(path, path, dockerfile, stdin)


def _with_dockerfile(
    path: str, name: str, dockerfile: str, stdin: int, inside: str = ""
) -> Context:
    if dockerfile == "-":
        with open(stdin, "rb", closefd=False) as file:
            data = file.read(_MAX_DOCKERFILE + 1)
        return Context(path, name, _checked(data), "Dockerfile", _ignore(path, ""))
    wanted = dockerfile or "Dockerfile"
    file_path = wanted if dockerfile and not inside else f"{path}/{wanted}"
    if not dockerfile and not os.path.exists(file_path) and os.path.exists(f"{path}/dockerfile"):
        file_path = f"{path}/dockerfile"
    try:
        data = _read_inside(path, wanted) if inside else _read(file_path)
    except OSError as error:
        words = os.strerror(error.errno or 0).lower()
        problem = f"failed to read dockerfile: open {wanted}: {words}"
        raise NotFound(f"failed to solve: {problem}") from None
    beside = "" if inside else f"{file_path}.dockerignore"
    shown = os.path.basename(file_path)
    return Context(path, name, _checked(data), shown, _ignore(path, beside))


def _checked(data: bytes) -> bytes:
    if len(data) > _MAX_DOCKERFILE:
        raise InvalidInput("the Dockerfile is larger than 16 MiB")
    return data


def _read(path: str) -> bytes:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    with open(fd, "rb") as file:
        return file.read(_MAX_DOCKERFILE + 1)


def _read_inside(path: str, name: str) -> bytes:
    """A file of an unpacked context, which may be a link to anywhere: but not here."""
    from minidock.image.stack import read_text, resolve

    with Directory(path) as tree:
        node = resolve(tree, name)
        if node is None or not node.is_file:
            raise FileNotFoundError(2, "no such file or directory", name)
        return read_text(tree, name, _MAX_DOCKERFILE + 1)


def _ignore(path: str, beside: str) -> Ignore | None:
    from minidock.image.stack import read_text

    data = b""
    try:
        data = _read(beside) if beside else b""
    except OSError:
        beside = ""
    if not beside and path:
        with Directory(path) as tree:
            data = read_text(tree, ".dockerignore", _MAX_DOCKERFILE)
    text = data.decode("utf-8", "surrogateescape")
    return read_ignore(text, os.path.basename(beside) or ".dockerignore") or None


def _from_stdin(stdin: int, dockerfile: str, workshop: Workshop) -> Context:
    from minidock.image.compression import Descriptor, Peek, compression_of, decompressed
    from minidock.image.unpack import unpack_layer

    packed = Peek(Descriptor(stdin))
    head = packed.peek(512)
    compression = compression_of(head)
    if not compression and head[257:262] != b"ustar":
        data = b""
        while piece := packed.read(1 << 16):
            data += piece
            _checked(data)
        if dockerfile:
            raise InvalidInput(
                "ambiguous Dockerfile source: both stdin and flag correspond to Dockerfiles"
            )
        return Context("", "", data, "Dockerfile")
    temporary = workshop.directory()
    try:
        unpack_layer(decompressed(packed, compression), temporary, overlay_whiteouts=False)
        context = _with_dockerfile(temporary, "-", dockerfile, -1, inside=temporary)
    except BaseException:
        workshop.discard(temporary)
        raise
    return context.but(temporary=temporary)


def is_remote(text: str) -> bool:
    """Whether ADD would have to fetch it."""
    return text.startswith(("http://", "https://"))


def refuse_git(text: str) -> None:
    """Raises `MinidockError` for what ADD would have to clone."""
    if text.startswith(("git@", "git://", "ssh://")) or text.partition("#")[0].endswith(".git"):
        raise MinidockError(
            f"ADD {text}: Git repositories are not supported",
            hint="Clone it beside the Dockerfile, and COPY it.",
        )
