"""Generated names: their form, their words, and that chance reaches all of them."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from minidock.engine import namegen
from minidock.engine.namegen import generate_name


def test_the_form() -> None:
    for _ in range(200):
        assert re.fullmatch(r"[a-z]+_[a-z]+", generate_name(0))
        assert re.fullmatch(r"[a-z]+_[a-z]+[0-9]", generate_name(1))
        assert re.fullmatch(r"[a-z]+_[a-z]+[0-9]", generate_name(7))


@pytest.mark.parametrize("words", [namegen._ADJECTIVES, namegen._SURNAMES])
def test_the_words_are_sorted_and_different(words: str) -> None:
    assert words.split() == sorted(set(words.split()))


def test_names_are_many() -> None:
    adjectives, surnames = namegen._ADJECTIVES.split(), namegen._SURNAMES.split()
    assert len(adjectives) * len(surnames) > 200_000
    seen = {generate_name(0) for _ in range(1000)}
    assert len(seen) > 950  # a coincidence or two among a thousand is to be expected
    assert len({name.partition("_")[0] for name in seen}) > len(adjectives) / 2
    assert len({name.partition("_")[2] for name in seen}) > len(surnames) / 2


def test_chance_is_asked_for_every_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(namegen.os, "urandom", bytes)
    first = f"{namegen._ADJECTIVES.split()[0]}_{namegen._SURNAMES.split()[0]}"
    assert generate_name(0) == first
    assert generate_name(3) == first + "0"
    monkeypatch.setattr(namegen.os, "urandom", lambda count: b"\xff" * count)
    assert generate_name(0) != first


def test_it_imports_next_to_nothing() -> None:
    code = "import sys, minidock.engine.namegen; print('random' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=20)
    assert done.stdout == "False\n"
