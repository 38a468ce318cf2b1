"""The log a monitor writes, read back with Python's own json."""

from __future__ import annotations

import json
from pathlib import Path

from minidock.engine.jsonlog import MAX_LINE, JsonLog


def written(path: Path, *writes: tuple[str, bytes]) -> list[tuple[str, str]]:
    log = JsonLog(str(path))
    for stream, data in writes:
        log.write(stream, data)
    log.close()
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert all(set(line) == {"log", "stream", "time"} for line in lines)
    return [(line["stream"], line["log"]) for line in lines]


def test_a_line_is_an_object_however_it_arrives(tmp_path: Path) -> None:
    seen = written(
        tmp_path / "log",
        ("stdout", b"he"),
        ("stderr", b"E\n"),
        ("stdout", b"llo\nwor"),
        ("stdout", b"ld"),
    )
    assert seen == [("stderr", "E\n"), ("stdout", "hello\n"), ("stdout", "world")]


def test_carriage_returns_end_no_line(tmp_path: Path) -> None:
    assert written(tmp_path / "log", ("stdout", b"10%\r20%\r\n")) == [("stdout", "10%\r20%\r\n")]


def test_what_is_not_utf8_or_needs_quoting(tmp_path: Path) -> None:
    seen = written(tmp_path / "log", ("stdout", b'\xff"\\\x00\x1b[31m\xc3\xa9\n'))
    assert seen == [("stdout", '\ufffd"\\\x00\x1b[31m\u00e9\n')]


def test_long_lines_come_in_pieces(tmp_path: Path) -> None:
    data = b"x" * (2 * MAX_LINE + 10) + b"\n"
    seen = written(tmp_path / "log", ("stdout", data[:5000]), ("stdout", data[5000:]))
    assert "".join(text for _, text in seen).encode() == data
    assert max(len(text) for _, text in seen) <= MAX_LINE
    assert [text.endswith("\n") for _, text in seen] == [False] * (len(seen) - 1) + [True]


def test_a_new_run_appends(tmp_path: Path) -> None:
    written(tmp_path / "log", ("stdout", b"one\n"))
    assert written(tmp_path / "log", ("stdout", b"two\n")) == [
        ("stdout", "one\n"),
        ("stdout", "two\n"),
    ]


def test_escapes_are_dockers(tmp_path: Path) -> None:
    """As Go writes JSON: HTML's characters escaped, one U+FFFD for each byte that is not UTF-8."""
    log = JsonLog(str(tmp_path / "log"))
    log.write("stdout", b'<a href="x">&\xc3\xa9\x1b\r\n')
    log.write("stdout", b"\xe2\x82\xff \xe2\x80\xa8\n")
    log.close()
    first, second = (tmp_path / "log").read_text().splitlines()
    assert first.startswith(
        r'{"log":"\u003ca href=\"x\"\u003e\u0026' + "é" + r'\u001b\r\n","stream":"stdout","time":"'
    )
    assert second.startswith(r'{"log":"\ufffd\ufffd\ufffd \u2028\n","stream"')
