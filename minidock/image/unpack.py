"""Unpack a layer: a tar stream becomes a directory that overlayfs can stack.

The archive comes from a stranger, and tar is a list of instructions to write files. A program
that follows them with the host's root as its own must get every check right (a `..`, a symbolic
link that an earlier entry put in the way of a later one, a hard link to /etc/shadow, …), and
tarfile, GNU tar, Docker and Podman have each had their advisories for one they missed.

So the work is done by a child process whose root directory *is* the target:

    parent                                             child
      │  fork ───────────────────────────────────────►  keep two descriptors, close the rest
      │                                                 chroot(target), chdir("/")
      │  (writes what a file object gives into a pipe) ──►  headers, files, … until end of stream
      │                                                     whiteouts, directory attributes
      │  ◄─── one message, then end of file ─────────── _exit
      │  waitpid

Whatever a name says, the kernel will not find anything outside for it. After chroot the child
must not import, look up a user or load a codec, because those would be read from the image; it
works on bytes and sends its complaint as bytes.

See: chroot(2), mmap(2), extract.py for the rules inside, tar_read.py for the format
"""

from __future__ import annotations

import errno
import os
from mmap import PAGESIZE, PROT_READ, mmap

from minidock.errors import BadArchive, MinidockError
from minidock.image.extract import LayerWriter
from minidock.image.tar_format import shown
from minidock.image.tar_read import TarReader

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import NoReturn

    from minidock.image.compression import Source

PIECE = 1 << 20  # bytes per read from a file object
SIGKILL = 9  # importing `signal` costs 5 ms
F_SETPIPE_SZ = 1031  # fcntl(2)
_COUNT = 4  # bytes that say how long a piece is

# Errors of the machine. Every other errno while unpacking is a fault of the archive: a name too
# long, a link to nothing, a file where a directory should be.
_MACHINE = (
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EFBIG,
    errno.EIO,
    errno.EROFS,
    errno.ENOMEM,
    errno.EMFILE,
    errno.ENFILE,
    errno.EMLINK,
)


def unpack_layer(
    stream: int | Source, target_dir: str, *, stored: int = -1, overlay_whiteouts: bool = True
) -> int:
    """Write the uncompressed tar `stream` below `target_dir`, an empty directory.

    A descriptor is read by the child itself, which is fastest; a file object is read here, in
    pieces of 1 MiB. If its `read` has also written them to a file, from its beginning on, `stored`
    is a descriptor of that, and the child finds them there without a copy. Either is read to
    its end, behind the end of the archive too; but after an error the rest is left, so whoever
    feeds a pipe must be told (close the descriptor). With `overlay_whiteouts` the marks `.wh.x` and
    `.wh..wh..opq` become overlayfs's; without it they are files like any other. The mode and owner
    of `target_dir` itself stay as they are, but for its set-group-id bit, which would be inherited.

    Raises `BadArchive` if the archive is broken or hostile, `MinidockError` if the machine
    fails (disk full), and what a file object's `read` raises. The half-written directory is then
    the caller's to remove. Needs CAP_SYS_CHROOT and the right to make device nodes.
    """
    if os.listdir(target_dir):
        raise MinidockError(f"cannot unpack a layer into {target_dir}: it is not empty")
    report, child_report = os.pipe()
    if isinstance(stream, int):
        source, feed = os.dup(stream), -1
    else:
        source, feed = os.pipe()
    _widen(source)
    pid = os.fork()
    if pid == 0:
        _child(source, stored, child_report, target_dir, overlay_whiteouts)
    os.close(source)
    os.close(child_report)
    status = None
    try:
        if not isinstance(stream, int):
            _pump(stream, feed, stored)
            feed = -1
        with open(report, "rb", buffering=0, closefd=False) as pipe:
            message = pipe.readall()
        status = os.waitpid(pid, 0)[1]
    finally:
        os.close(report)
        if feed >= 0:
            os.close(feed)
        if status is None:  # we were interrupted, or the stream failed
            os.kill(pid, SIGKILL)
            os.waitpid(pid, 0)
    return _judge(message, os.waitstatus_to_exitcode(status))


def _judge(message: bytes, code: int) -> int:
    """The size that the child reported. Raise its complaint, or that it died without a word."""
    if message[:1] == b"S" and code == 0:
        return int(message[1:])
    text = message[1:].decode("utf-8", "replace")
    if message[:1] == b"A":
        raise BadArchive(text)
    if message[:1] == b"M":
        raise MinidockError(text)
    end = f"was killed by signal {-code}" if code < 0 else f"failed with code {code}"
    raise MinidockError(f"the process that unpacks the layer {end}")


def _pump(stream: Source, feed: int, stored: int) -> None:
    """Put what a file object has to give into the pipe, or how much of it is in `stored` now, and
    close it."""
    try:
        while data := stream.read(PIECE):
            _write(feed, data if stored < 0 else len(data).to_bytes(_COUNT, "little"))
    except BrokenPipeError:
        pass  # the child has seen enough; its report says why
    os.close(feed)


def _write(feed: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(feed, view) :]


def _widen(pipe: int) -> None:
    """Let a pipe hold 1 MiB instead of 64 KiB: fewer switches between the two ends."""
    import fcntl

    try:
        fcntl.fcntl(pipe, F_SETPIPE_SZ, PIECE)
    except OSError:
        pass  # no pipe, or the user's share of pipe memory is used up


def _child(
    source: int, stored: int, report: int, target_dir: str, overlay_whiteouts: bool
) -> NoReturn:
    """Everything the child does. It never returns into the caller's code."""
    code = 1
    try:
        # Only 0, 1, 2, the report (3), the stream (4) and its file (5) stay open. The parent may
        # hold the write end of our stream, and with a copy of that we would never see its end.
        wanted = [os.dup(fd) for fd in (report, source, stored) if fd >= 0]
        report, source, *files = (os.dup2(fd, 3 + i) for i, fd in enumerate(wanted))
        os.closerange(3 + len(wanted), 1 << 20)
        pull = _mapped(source, files[0]) if files else _read(source)
        message = _unpack(pull, target_dir, overlay_whiteouts)
        os.write(report, message[:4000])
        code = 0 if message[:1] == b"S" else 1
    finally:
        os._exit(code)


def _read(source: int) -> Callable[[], memoryview]:
    """The pieces of a stream that comes through a descriptor."""
    room = memoryview(bytearray(PIECE))
    return lambda: room[: os.readv(source, (room,))]


def _mapped(counts: int, file: int) -> Callable[[], memoryview]:
    """The pieces of a stream that lies in a file. The descriptor `counts` says of each how long it
    is; the memory that we see is the one it was written to."""
    there = 0

    def pull() -> memoryview:
        nonlocal there
        start = there
        there += int.from_bytes(os.read(counts, _COUNT), "little")
        if start == there:
            return memoryview(b"")
        before = start % PAGESIZE
        mapped = mmap(file, there - start + before, prot=PROT_READ, offset=start - before)
        return memoryview(mapped)[before:]

    return pull


def _unpack(pull: Callable[[], memoryview], target_dir: str, overlay_whiteouts: bool) -> bytes:
    """Unpack into the target after making it the root. `S` and its size, or what went wrong."""
    writer = None
    try:
        os.chroot(target_dir)
        os.chdir("/")
        reader = TarReader(pull)
        writer = LayerWriter(reader, overlay_whiteouts=overlay_whiteouts)
        while header := reader.next():
            writer.add(header)
        writer.finish()
        reader.drain()
    except BadArchive as error:
        return b"A" + error.message.encode("utf-8", "replace")
    except OSError as error:
        name = shown(writer.name) if writer else target_dir
        text = f"{name}: {error.strerror}".encode("utf-8", "replace")
        if writer is None or error.errno in _MACHINE:
            return b"Mcannot unpack the layer: " + text
        return b"Ainvalid tar archive: " + text
    return b"S%d" % writer.content
