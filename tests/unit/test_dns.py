"""DNS messages: questions as programs send them, and bytes that somebody made up."""

from __future__ import annotations

import random
import struct

import pytest

from minidock.network import dns


def question(
    name: str = "web",
    kind: int = dns.A,
    *,
    edns: int = 0,
    flags: int = 0x0100,
    number: int = 0x1234,
) -> bytes:
    labels = b"".join(bytes((len(part),)) + part.encode() for part in name.split(".") if part)
    header = struct.pack(">6H", number, flags, 1, 0, 0, 1 if edns else 0)
    opt = b"\0" + struct.pack(">HHIH", dns.OPT, edns, 0, 0) if edns else b""
    return header + labels + b"\0" + struct.pack(">HH", kind, dns.IN) + opt


def test_a_question() -> None:
    query = dns.parse_query(question("WeB.Shop.Example"))
    assert (query.name, query.kind, query.room, query.edns) == (
        "web.shop.example",
        dns.A,
        512,
        False,
    )


def test_a_question_says_how_much_it_takes() -> None:
    assert dns.parse_query(question(edns=4096)).room == 4096
    assert dns.parse_query(question(edns=100)).room == 512  # RFC 6891: less counts as 512


def test_an_answer_repeats_the_question_and_has_the_addresses() -> None:
    asked = question("WEB", edns=1232)
    query = dns.parse_query(asked)
    reply = dns.answer(query, [dns.address_record("172.18.0.2"), dns.address_record("172.18.0.3")])
    assert struct.unpack(">6H", reply[:12]) == (0x1234, 0x8180, 1, 2, 0, 1)
    assert reply[12:21] == b"\3WEB\0\0\1\0\1"  # the letters as they were sent
    record = b"\xc0\x0c\0\1\0\1" + struct.pack(">IH", 600, 4)
    assert reply[21:37] == record + bytes((172, 18, 0, 2))
    assert dns.answers(reply, asked)


def test_an_ipv6_address() -> None:
    record = dns.address_record("fd00::2")
    assert record[2:4] == b"\0\x1c" and record[-16:].hex() == "fd" + "00" * 14 + "02"


def test_what_has_no_room_is_left_out_and_said_to_be() -> None:
    records = [dns.address_record(f"10.0.0.{n}") for n in range(1, 60)]
    query = dns.parse_query(question())
    reply = dns.answer(query, records)
    assert len(reply) <= 512 and reply[2] & 0x02
    whole = dns.answer(query, records, room=65535)
    assert not whole[2] & 0x02 and struct.unpack(">H", whole[6:8]) == (59,)


def test_the_name_of_an_address() -> None:
    assert dns.asked_address("2.0.18.172.in-addr.arpa") == "172.18.0.2"
    nibbles = ".".join(reversed("fd" + "0" * 29 + "2"))
    assert dns.asked_address(f"{nibbles}.ip6.arpa") == "fd00::2"
    for other in (
        "web",
        "1.2.3.in-addr.arpa",
        "256.0.0.1.in-addr.arpa",
        "g.ip6.arpa",
        ".in-addr.arpa",
    ):
        assert dns.asked_address(other) == ""
    assert dns.name_record("web.shop").endswith(b"\0\x0a\3web\4shop\0")


def test_a_label_with_a_dot_in_it_is_not_two_labels() -> None:
    header = struct.pack(">6H", 1, 0, 1, 0, 0, 0)
    query = dns.parse_query(header + b"\5a.b\xff\0\0" + struct.pack(">HH", 1, 1))
    assert query.name == "a\\.b\\xff\x00"


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"short",
        question()[:-1],
        question()[:15],
        struct.pack(">6H", 1, 0x8000, 1, 0, 0, 0) + question()[12:],  # a reply
        struct.pack(">6H", 1, 0, 2, 0, 0, 0) + question()[12:],  # two questions
        struct.pack(">6H", 1, 0, 1, 0, 0, 0) + b"\xc0\x0c\0\1\0\1",  # a name that points at itself
        struct.pack(">6H", 1, 0, 1, 0, 0, 0) + b"\x3f" * 300,
        question()[:-1] + b"\3",  # class CHAOS
    ],
)
def test_what_is_no_question(message: bytes) -> None:
    with pytest.raises(ValueError):
        dns.parse_query(message)


def test_random_bytes_are_a_question_or_a_value_error() -> None:
    chance = random.Random(5)
    good = question("a.b.c", edns=1232)
    for _ in range(3000):
        message = bytearray(good)
        for _ in range(chance.randrange(4)):
            message[chance.randrange(len(message))] = chance.randrange(256)
        message = message[: chance.randrange(len(message) + 1)]
        try:
            query = dns.parse_query(bytes(message))
        except ValueError:
            continue
        dns.asked_address(query.name)
        assert dns.answers(dns.answer(query), bytes(message))


def test_an_error_for_what_cannot_be_read() -> None:
    assert dns.error(question()[:14], dns.FORMAT_ERROR)[:4] == b"\x12\x34\x81\x81"
    assert dns.error(b"\0" * 11, dns.FORMAT_ERROR) == b""
    assert dns.error(b"\0\0\x80\0" + bytes(8), dns.FORMAT_ERROR) == b""  # to a reply: silence


def test_a_reply_must_fit_the_question() -> None:
    asked = question("web")
    reply = dns.answer(dns.parse_query(asked))
    assert dns.answers(reply, asked)
    assert not dns.answers(b"\0\0" + reply[2:], asked)
    assert not dns.answers(dns.answer(dns.parse_query(question("wab"))), asked)
    assert not dns.answers(asked, asked)
