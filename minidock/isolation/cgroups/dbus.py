"""As much of D-Bus as it takes to ask systemd for a cgroup.

D-Bus is a protocol for calling methods of objects in other processes. A message is a header (who is
called: an object's path, an interface, a member) and a body of values, whose types are spelled in a
*signature*; every value begins at a multiple of its size.

    y byte   b boolean   u uint32   t uint64   s text   o object path   g signature
    a… an array of …     (…) a structure      v a variant: a signature, then a value of it

systemd listens on a socket of its own, /run/systemd/private, which speaks the same protocol without
a bus daemon in between: root may talk to it directly, and that works before there is a daemon, too.

See: https://dbus.freedesktop.org/doc/dbus-specification.html, org.freedesktop.systemd1(5), unix(7)
"""

from __future__ import annotations

import os
import struct

from minidock.errors import StartFailed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from minidock.linux.kernel import Kernel

PRIVATE_SOCKET = "/run/systemd/private"
_AF_UNIX, _SOCK_STREAM = 1, 1
_METHOD_CALL, _METHOD_RETURN, _ERROR, _SIGNAL = 1, 2, 3, 4
# header fields
_PATH, _INTERFACE, _MEMBER, _ERROR_NAME, _REPLY_SERIAL, _DESTINATION, _SIGNATURE = (
    1, 2, 3, 4, 5, 6, 8,
)  # fmt: skip
_MAX_MESSAGE = 1 << 24
_NUMBERS = {
    "y": "B",
    "b": "I",
    "n": "h",
    "q": "H",
    "i": "i",
    "u": "I",
    "x": "q",
    "t": "Q",
    "d": "d",
}
_TEXT = "so"


class BusError(StartFailed):
    """The other side answered with an error; `name` is its kind."""

    def __init__(self, name: str, message: str) -> None:
        super().__init__(message)
        self.name = name


class Message:
    """What has come: `fields` by number, and the values of the body."""

    def __init__(self, kind: int, fields: dict[int, Any], body: list[Any]) -> None:
        self.kind = kind
        self.fields = fields
        self.body = body


class Bus:
    """A conversation with the object manager of one process. Raises `OSError` and `BusError`."""

    def __init__(self, kernel: Kernel, address: str = PRIVATE_SOCKET) -> None:
        self._kernel = kernel
        self._serial = 0
        self._received = b""
        self._fd = kernel.socket(_AF_UNIX, _SOCK_STREAM)
        try:
            kernel.connect(self._fd, address)
            self._authenticate()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        self._kernel.close(self._fd)

    def call(
        self, destination: str, path: str, interface: str, member: str, signature: str, *args: Any
    ) -> list[Any]:
        """Call a method and wait for what it returns; signals that come before are dropped."""
        self._serial += 1
        serial = self._serial
        self._send(destination, path, interface, member, signature, args)
        while True:
            message = self.receive()
            if message.fields.get(_REPLY_SERIAL) != serial:
                continue
            if message.kind == _ERROR:
                text = str(message.body[0]) if message.body else "no reason given"
                raise BusError(str(message.fields.get(_ERROR_NAME, "")), text)
            return message.body

    def wait_for_signal(self, member: str) -> list[Any]:
        """The body of the next signal of this name."""
        while True:
            message = self.receive()
            if message.kind == _SIGNAL and message.fields.get(_MEMBER) == member:
                return message.body

    def receive(self) -> Message:
        """The next message, whatever it is."""
        fixed = self._take(16)
        if fixed[0] != ord("l"):
            raise StartFailed("systemd answers in another byte order")
        length, _, header = struct.unpack_from("<III", fixed, 4)
        if length + header > _MAX_MESSAGE:
            raise StartFailed("systemd sends a message that is too long")
        data = fixed + self._take(_padded(header, 8) + length)
        fields, _ = unmarshal("a(yv)", data, 12)
        named: dict[int, Any] = dict(fields[0])
        body, _ = unmarshal(str(named.get(_SIGNATURE, "")), data[16 + _padded(header, 8) :], 0)
        return Message(fixed[1], named, body)

    def _authenticate(self) -> None:
        """EXTERNAL: the kernel says who we are; we only say the same in hexadecimal digits."""
        who = str(os.geteuid()).encode().hex()
        self._write(f"\0AUTH EXTERNAL {who}\r\n".encode())
        while b"\r\n" not in self._received:
            self._fill()
        answer, _, self._received = self._received.partition(b"\r\n")
        if not answer.startswith(b"OK "):
            raise StartFailed(f"systemd refuses us: {answer.decode('ascii', 'replace')}")
        self._write(b"BEGIN\r\n")

    def _send(
        self,
        destination: str,
        path: str,
        interface: str,
        member: str,
        signature: str,
        args: tuple[Any, ...],
    ) -> None:
        body = marshal(signature, args)
        fields = [(_PATH, ("o", path)), (_INTERFACE, ("s", interface)), (_MEMBER, ("s", member))]
        if destination:
            fields.append((_DESTINATION, ("s", destination)))
        if signature:
            fields.append((_SIGNATURE, ("g", signature)))
        version, flags = 1, 0
        numbers = (ord("l"), _METHOD_CALL, flags, version, len(body), self._serial)
        header = marshal("yyyyuua(yv)", (*numbers, fields))
        self._write(header + b"\0" * (-len(header) % 8) + body)

    def _write(self, data: bytes) -> None:
        while data:
            data = data[self._kernel.write(self._fd, data) :]

    def _fill(self) -> None:
        more = self._kernel.read(self._fd, 65536)
        if not more:
            raise StartFailed("systemd has closed the connection")
        self._received += more

    def _take(self, count: int) -> bytes:
        while len(self._received) < count:
            self._fill()
        taken, self._received = self._received[:count], self._received[count:]
        return taken


# ── values ──


def marshal(signature: str, values: Any) -> bytes:
    """Values as bytes; a variant is given as (signature, value)."""
    out = bytearray()
    for kind, value in zip(split(signature), values, strict=True):
        _put(out, kind, value)
    return bytes(out)


def unmarshal(signature: str, data: bytes, at: int) -> tuple[list[Any], int]:
    """The values that lie in `data` from the offset `at` on, and the offset behind them. A variant
    becomes its value alone."""
    values = []
    for kind in split(signature):
        value, at = _get(data, at, kind)
        values.append(value)
    return values, at


def split(signature: str) -> list[str]:
    """Into complete types: "sa(sv)u" → s, a(sv), u."""
    kinds = []
    while signature:
        end = 0
        while signature[end] == "a":
            end += 1
        depth = 0
        while True:
            depth += (signature[end] in "({") - (signature[end] in ")}")
            end += 1
            if not depth:
                break
        kinds.append(signature[:end])
        signature = signature[end:]
    return kinds


def _alignment(kind: str) -> int:
    if kind[0] in _NUMBERS:
        return struct.calcsize(_NUMBERS[kind[0]])
    return {"(": 8, "{": 8, "g": 1, "v": 1}.get(kind[0], 4)


def _padded(number: int, alignment: int) -> int:
    return number + -number % alignment


def _put(out: bytearray, kind: str, value: Any) -> None:
    out += b"\0" * (-len(out) % _alignment(kind))
    if kind in _NUMBERS:
        out += struct.pack("<" + _NUMBERS[kind], value)
    elif kind in _TEXT:
        data = value.encode()
        out += struct.pack("<I", len(data)) + data + b"\0"
    elif kind == "g":
        out += bytes((len(value),)) + value.encode() + b"\0"
    elif kind == "v":
        _put(out, "g", value[0])
        _put(out, *value)
    elif kind[0] in "({":
        for inner, item in zip(split(kind[1:-1]), value, strict=True):
            _put(out, inner, item)
    else:  # an array: its length in bytes, without the padding before its first element
        length_at = len(out)
        out += b"\0\0\0\0"
        out += b"\0" * (-len(out) % _alignment(kind[1:]))
        begin = len(out)
        for item in value:
            _put(out, kind[1:], item)
        struct.pack_into("<I", out, length_at, len(out) - begin)


def _get(data: bytes, at: int, kind: str) -> tuple[Any, int]:
    at = _padded(at, _alignment(kind))
    if kind in _NUMBERS:
        form = "<" + _NUMBERS[kind]
        return struct.unpack_from(form, data, at)[0], at + struct.calcsize(form)
    if kind in _TEXT:
        (length,) = struct.unpack_from("<I", data, at)
        return data[at + 4 : at + 4 + length].decode(), at + 5 + length
    if kind == "g":
        return data[at + 1 : at + 1 + data[at]].decode(), at + 2 + data[at]
    if kind == "v":
        inner, at = _get(data, at, "g")
        return _get(data, at, inner)
    if kind[0] in "({":
        return unmarshal(kind[1:-1], data, at)
    (length,) = struct.unpack_from("<I", data, at)
    at = _padded(at + 4, _alignment(kind[1:]))
    end, items = at + length, []
    while at < end:
        item, at = _get(data, at, kind[1:])
        items.append(item)
    return items, at
