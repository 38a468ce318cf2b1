"""What a monitor and its clients say to each other: frames on a stream socket.

    byte 0      kind
    bytes 1-4   length of the payload, big-endian
    …           payload

The first client is the command that spawned the monitor; it sends ORDER. Later ones connect to
`attach.sock` and begin with ATTACH. Whoever is attached sends STDIN, STDIN_EOF and RESIZE and gets
STDOUT and STDERR. Every client gets EXITED at the end: so `wait` is a client that only listens.

See: unix(7)
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

# to the monitor
ORDER = 1  # fields separated by NUL, see Order
ATTACH = 2  # from now on STDOUT and STDERR come here
STDIN = 3
STDIN_EOF = 4
RESIZE = 5  # rows, columns: two big-endian 16-bit numbers
FORK = 6  # become the monitor of an `exec`: a fork of the container's answers with READY
GIVE_UP = 7  # of a container that waits to be restarted; EXITED follows, or the end of the socket
SIGNAL = 8  # its number, one byte, for the process; its owner wants it, so no restart follows
SERVE_NAMES = 9  # answer questions about names, from now on; READY, or FAILED, is the answer

# from the monitor
STARTED = 16  # the program runs
FAILED = 17  # exit code as one byte, then the message
STDOUT = 18
STDERR = 19
EXITED = 20  # the exit code, one byte
READY = 22  # to FORK: send the ORDER now; to SERVE_NAMES: done
NARRATION = 21  # what `--explain` tells, UTF-8 text

HEADER = 5
MAX_PAYLOAD = 1 << 20


def frame(kind: int, payload: bytes = b"") -> bytes:
    """One frame, ready to send."""
    return bytes((kind,)) + len(payload).to_bytes(4, "big") + payload


class Parser:
    """Cuts a byte stream into frames. `ValueError` for one that is too long to be meant."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[tuple[int, bytes]]:
        self._buffer += data
        while len(self._buffer) >= HEADER:
            length = int.from_bytes(self._buffer[1:HEADER], "big")
            if length > MAX_PAYLOAD:
                raise ValueError(f"frame of {length} bytes")
            if len(self._buffer) < HEADER + length:
                return
            kind = self._buffer[0]
            payload = bytes(self._buffer[HEADER : HEADER + length])
            del self._buffer[: HEADER + length]
            yield kind, payload
