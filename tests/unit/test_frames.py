"""Frames survive any way a stream socket cuts them."""

from __future__ import annotations

import pytest

from minidock.engine import frames


@pytest.mark.parametrize("size", [1, 2, 5, 6, 1000])
def test_cut_anywhere(size: int) -> None:
    sent = [(frames.STDIN, b""), (frames.STDOUT, b"x" * 700), (frames.EXITED, b"\x07")]
    stream = b"".join(frames.frame(kind, payload) for kind, payload in sent)
    parser, seen = frames.Parser(), []
    for start in range(0, len(stream), size):
        seen += parser.feed(stream[start : start + size])
    assert seen == sent


def test_a_length_that_cannot_be_meant() -> None:
    with pytest.raises(ValueError):
        list(frames.Parser().feed(b"\x01\xff\xff\xff\xff"))
