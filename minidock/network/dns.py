"""DNS messages: as much of them as it takes to answer for containers.

A message is a header of six 16-bit numbers, a question, and lists of records:

    id | flags | questions | answers | authorities | additional records
    question   name, type, class
    record     name, type, class, seconds to keep it, length, data

A name is a list of labels, each with its length in front, and ends with an empty one. In a record
two bytes beginning with the bits 11 stand for a name that the message has already: here always the
question's, at byte 12. What asks may be any program of a container, so a message is bytes that
somebody may have made up: whatever is wrong with it is a `ValueError`, and nothing else.

See: RFC 1035 (section 4), RFC 3596 (AAAA), RFC 6891 (EDNS)
"""

from __future__ import annotations

import _socket

from minidock.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

A, PTR, MX, AAAA, OPT = 1, 12, 15, 28, 41  # types
IN = 1  # the class of everything
NO_ERROR, FORMAT_ERROR, SERVER_FAILURE, NO_SUCH_NAME, NOT_IMPLEMENTED, REFUSED = range(6)

_RESPONSE, _TRUNCATED, _WANTED, _AVAILABLE = 0x8000, 0x0200, 0x0100, 0x0080  # last: recursion
_OPCODE = 0x7800
_HEADER = 12
_THE_QUESTIONS = b"\xc0\x0c"
_SMALLEST, _OURS = 512, 1232  # bytes of a datagram: what everybody takes, and what we say we do
_MAX_NAME = 255
KEEP = 600  # seconds, as Docker


class Query(Record):
    """A question that was asked. `name` is in lower case and without the last dot; `question` the
    bytes, to be repeated as they came; `room` how large an answer may be (over UDP)."""

    identity: bytes
    flags: int
    name: str
    kind: int
    question: bytes
    room: int
    edns: bool


def parse_query(message: bytes) -> Query:
    """Raises `ValueError` for what is no question."""
    if len(message) < _HEADER:
        raise ValueError("shorter than a header")
    flags, questions = _number(message, 2), _number(message, 4)
    if flags & _RESPONSE or questions != 1:
        raise ValueError("not one question")
    labels, end = _labels(message)
    question = message[_HEADER : end + 4]
    if len(question) != end + 4 - _HEADER or _number(message, end + 2) != IN:
        raise ValueError("a question without an end, or of another class")
    name = b".".join(label.replace(b".", b"\\.") for label in labels)
    edns = message[end + 4 : end + 7] == b"\0\0\x29" and len(message) >= end + 9
    room = max(_SMALLEST, _number(message, end + 7)) if edns else _SMALLEST
    text = name.decode("ascii", "backslashreplace").lower()
    return Query(message[:2], flags, text, _number(message, end), question, room, edns)


def _labels(message: bytes) -> tuple[list[bytes], int]:
    """The name that begins after the header, and where it ends."""
    labels: list[bytes] = []
    at = _HEADER
    while True:
        length = message[at] if at < len(message) else 255
        if length > 63 or at - _HEADER > _MAX_NAME:
            raise ValueError("a name without an end, or one that points elsewhere")
        at += 1
        if not length:
            return labels, at
        labels.append(message[at : at + length])
        at += length


def _number(message: bytes, at: int) -> int:
    return int.from_bytes(message[at : at + 2], "big")


def is_standard(query: Query) -> bool:
    """Whether it asks for a name, and does not want to notify or update."""
    return not query.flags & _OPCODE


def answer(
    query: Query, records: Sequence[bytes] = (), code: int = NO_ERROR, room: int = 0
) -> bytes:
    """The response with these `record`s, or as many of them as there is room for."""
    flags = _RESPONSE | _AVAILABLE | query.flags & (_OPCODE | _WANTED) | code
    more = b"\0\0\x29" + _OURS.to_bytes(2, "big") + bytes(6) if query.edns else b""
    left = (room or query.room) - _HEADER - len(query.question) - len(more)
    fitting = []
    for record in records:
        left -= len(record)
        if left < 0:
            flags |= _TRUNCATED
            break
        fitting.append(record)
    numbers = (flags, 1, len(fitting), 0, 1 if more else 0)
    header = query.identity + b"".join(number.to_bytes(2, "big") for number in numbers)
    return header + query.question + b"".join(fitting) + more


def error(message: bytes, code: int) -> bytes:
    """The response to something that could not be read; "" where there is nothing to respond to."""
    if len(message) < _HEADER or message[2] & 0x80:
        return b""
    flags = _RESPONSE | _AVAILABLE | _number(message, 2) & (_OPCODE | _WANTED) | code
    return message[:2] + flags.to_bytes(2, "big") + bytes(8)


def address_record(address: str) -> bytes:
    """Says that the question's name has this address."""
    if ":" in address:
        return _record(AAAA, _socket.inet_pton(_socket.AF_INET6, address))
    return _record(A, _socket.inet_aton(address))


def name_record(name: str) -> bytes:
    """Says that the question's address has this name."""
    labels = (label.encode("ascii", "replace")[:63] for label in name.split("."))
    return _record(PTR, b"".join(bytes((len(label),)) + label for label in labels) + b"\0")


def _record(kind: int, data: bytes) -> bytes:
    numbers = kind.to_bytes(2, "big") + IN.to_bytes(2, "big") + KEEP.to_bytes(4, "big")
    return _THE_QUESTIONS + numbers + len(data).to_bytes(2, "big") + data


def asked_address(name: str) -> str:
    """`4.3.2.1.in-addr.arpa` → "1.2.3.4"; of 32 nibbles below ip6.arpa an IPv6 address in its
    usual form. "" for every other name."""
    if name.endswith(".in-addr.arpa"):
        parts = name.removesuffix(".in-addr.arpa").split(".")
        numbers = all(part.isascii() and part.isdigit() and int(part) < 256 for part in parts)
        return ".".join(reversed(parts)) if numbers and len(parts) == 4 else ""
    if name.endswith(".ip6.arpa"):
        nibbles = name.removesuffix(".ip6.arpa").split(".")
        if len(nibbles) == 32 and all(n in "0123456789abcdef" and len(n) == 1 for n in nibbles):
            whole = bytes.fromhex("".join(reversed(nibbles)))
            return _socket.inet_ntop(_socket.AF_INET6, whole)
    return ""


def answers(reply: bytes, query: bytes) -> bool:
    """Whether `reply` is one to `query`: the same number, the same question (in any case)."""
    if len(reply) < _HEADER or reply[:2] != query[:2] or not reply[2] & 0x80:
        return False
    try:
        end = _labels(query)[1] + 4
        same = reply[_HEADER:end].lower() == query[_HEADER:end].lower()
    except ValueError:
        return False
    return same or _number(reply, 4) == 0  # an error may come without the question


def code_of(reply: bytes) -> int:
    """The response code of a reply that has a header."""
    return reply[3] & 0x0F
