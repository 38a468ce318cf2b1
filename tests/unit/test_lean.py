"""The lean stand-ins do what the modules they stand for do."""

from __future__ import annotations

import enum
import json

import pytest

from minidock.linux import lean_enum
from minidock.spec.lean_json import dumps, loads


class Lean(lean_enum.IntFlag):
    A = 1
    B = 2
    C = 64


class Real(enum.IntFlag):
    A = 1
    B = 2
    C = 64


@pytest.mark.parametrize("kind", [Lean, Real])
def test_flags(kind) -> None:
    both = kind.A | kind.C
    assert both == 65
    assert isinstance(both, kind)
    assert isinstance(both & kind.C, kind)
    assert [m.name for m in kind] == ["A", "B", "C"]
    assert kind["B"] == 2
    assert kind(0) | kind.A == kind.A
    with pytest.raises(KeyError):
        kind["D"]


def test_numbers_have_names() -> None:
    class Number(lean_enum.IntEnum):
        ONE = 1
        TWO = 2

    assert Number(2).name == "TWO"
    assert Number["ONE"] == 1
    with pytest.raises(ValueError, match="3 is not a valid Number"):
        Number(3)


GOOD = [
    '{"a":[1,2.5,-3e2,true,false,null,"x\\u00e9\\ud83d\\ude00\\n"]}',
    "[]",
    " 0 \n",
    '"\\u0000"',
    "{}",
]
BAD = [
    "",
    "{",
    "[1,]",
    '{"a":1,}',
    "NaN",
    "Infinity",
    "01",
    '"\t"',
    "nul",
    "1 2",
    "{'a':1}",
    '"\\x"',
    "[1}",
]


@pytest.mark.parametrize("text", GOOD)
def test_reading_is_that_of_json(text: str) -> None:
    assert loads(text) == loads(text.encode()) == json.loads(text)


@pytest.mark.parametrize("text", BAD)
def test_what_is_not_json(text: str) -> None:
    with pytest.raises(ValueError):
        loads(text)


def test_what_is_not_utf8_or_too_deep() -> None:
    with pytest.raises(ValueError):
        loads(b'"\xff"')
    with pytest.raises(RecursionError):
        loads("[" * 100_000)


@pytest.mark.parametrize("text", GOOD)
def test_writing_is_that_of_json(text: str) -> None:
    value = json.loads(text)
    assert dumps(value) == json.dumps(value, separators=(",", ":"))


def test_what_cannot_be_written() -> None:
    for value in (float("nan"), float("inf"), b"bytes", {1, 2}):
        with pytest.raises((ValueError, TypeError)):
            dumps({"a": value})
