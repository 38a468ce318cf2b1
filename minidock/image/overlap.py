"""Two halves of a stream's work at the same time.

Hashing, decompressing and writing each keep a processor busy, and none of them needs Python while
it does: sha256, isal and write(2) release the interpreter's lock. So one thread beside the
caller's is enough to use two processors, and waiting for the disk costs nothing while there is
something else to do. Pieces pass through a queue of limited length, so that memory is limited too.

    Ahead     pull: a thread reads from a source before the caller asks
    Behind    push: a thread feeds a sink after the caller has gone on

A thread starts with the first piece and not before: the caller may fork until then, and small
streams may need none. What `threading` and `queue` are made of is used directly: importing those
two takes 7 ms, as long as hashing and writing 8 MB.
"""

from __future__ import annotations

from _queue import SimpleQueue
from _thread import start_new_thread

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import Self

    from minidock.image.compression import Source

_DEPTH = 16  # pieces of up to 1 MiB that wait in the queue
_WORTHWHILE = 8 << 20  # bytes; below, a thread is not worth its start


class Ahead:
    """A source that is read in advance, for `with`.

    What the source raises is raised by `read`. When the `with` is left by an exception the thread
    is not waited for: it may be waiting for a terminal itself.
    """

    def __init__(self, source: Source) -> None:
        self._source = source
        self._pieces: SimpleQueue[bytes | BaseException] = SimpleQueue()
        self._room = _room()
        self._ended: SimpleQueue[None] = SimpleQueue()
        self._size = 0
        self._left = False

    def __enter__(self) -> Self:
        return self

    def read(self, size: int) -> bytes:
        """The next piece; b"" at the end, however often."""
        if not self._size:
            self._size = size
            start_new_thread(self._work, ())
        piece = self._pieces.get()
        if isinstance(piece, BaseException):
            self._pieces.put(piece)
            raise piece
        if not piece:
            self._pieces.put(piece)
        self._room.put(None)
        return piece

    def _work(self) -> None:
        try:
            while not self._left and (data := self._source.read(self._size)):
                self._pieces.put(data)
                self._room.get()
            self._pieces.put(b"")
        except BaseException as error:  # noqa: BLE001 - raised again, in the thread that reads
            self._pieces.put(error)
        self._ended.put(None)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        self._left = True
        self._room.put(None)
        if kind is None and self._size:
            self._ended.get()


class Behind:
    """A sink that is fed in the background once a stream turns out to be large, for `with`.

    What the sink raises is raised by the next call, or on leaving. Leaving waits for the thread.
    """

    def __init__(self, sink: Callable[[bytes], object]) -> None:
        self._sink = sink
        self._direct = 0
        self._worker: _Worker | None = None

    def __enter__(self) -> Self:
        return self

    def __call__(self, data: bytes) -> None:
        if self._direct < _WORTHWHILE:
            self._direct += len(data)
            self._sink(data)
            return
        if self._worker is None:
            self._worker = _Worker(self._sink)
        self._worker.give(data)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        if self._worker:
            self._worker.finish()
            if kind is None:
                self._worker.check()


class _Worker:
    def __init__(self, sink: Callable[[bytes], object]) -> None:
        self._sink = sink
        self._error: BaseException | None = None
        self._pieces: SimpleQueue[bytes] = SimpleQueue()
        self._room = _room()
        self._ended: SimpleQueue[None] = SimpleQueue()
        start_new_thread(self._work, ())

    def give(self, data: bytes) -> None:
        self.check()
        self._room.get()
        self._pieces.put(data)

    def finish(self) -> None:
        self._pieces.put(b"")
        self._ended.get()

    def check(self) -> None:
        if self._error:
            raise self._error

    def _work(self) -> None:
        while data := self._pieces.get():
            try:
                if not self._error:
                    self._sink(data)
            except BaseException as error:  # noqa: BLE001 - raised again, in the thread that gives
                self._error = error
            self._room.put(None)
        self._ended.put(None)


def _room() -> SimpleQueue[None]:
    """A semaphore: who wants to add a piece takes one out, who has used one up puts one back."""
    room: SimpleQueue[None] = SimpleQueue()
    for _ in range(_DEPTH):
        room.put(None)
    return room
