"""A log is read from its end, in spans, and whatever a crash did to it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from minidock.engine import logs
from minidock.engine.containers import Container
from minidock.engine.jsonlog import JsonLog
from minidock.engine.logs import LogQuery, read_log, start_of_tail


@pytest.fixture
def container(tmp_path: Path) -> Container:
    return Container("ab" * 32, "web", str(tmp_path), str(tmp_path / "run"), {})


def line(text: str, second: int, stream: str = "stdout") -> str:
    return f'{{"log":"{text}\\n","stream":"{stream}","time":"2026-11-23T10:00:{second:02d}Z"}}\n'


def texts(container: Container, **query: object) -> list[str]:
    batches = read_log(container, LogQuery(**query))
    return [text.removesuffix("\n") for batch in batches for _, _, text in batch]


def write(container: Container, text: str) -> None:
    Path(container.log_path).write_text(text)


def test_what_the_monitor_writes(container: Container) -> None:
    log = JsonLog(container.log_path)
    log.write("stdout", b"one\ntwo \x1b[31m \xff\n")
    log.write("stderr", b"three")
    log.close()
    (entries,) = read_log(container, LogQuery())
    assert [(stream, text) for stream, _, text in entries] == [
        ("stdout", "one\n"),
        ("stdout", "two \x1b[31m �\n"),
        ("stderr", "three"),
    ]


def test_no_log_and_an_empty_one(container: Container) -> None:
    assert texts(container) == texts(container, follow=True) == texts(container, tail=3) == []
    write(container, "")
    assert texts(container) == texts(container, follow=True) == texts(container, tail=3) == []


@pytest.mark.parametrize("chunk", [1, 7, 64, 1 << 18])
@pytest.mark.parametrize("count", [0, 1, 2, 9, 10, 11, 1000])
def test_tail(
    container: Container, count: int, chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logs, "_CHUNK", chunk)
    write(container, "".join(line(f"{i}" * i, i) for i in range(10)))
    expected = [f"{i}" * i for i in range(10)]
    assert texts(container, tail=count) == (expected[-count:] if count else [])
    assert texts(container, tail=-1) == expected


def test_tail_reads_only_the_end_of_a_large_file(tmp_path: Path) -> None:
    path = tmp_path / "log"
    with path.open("wb") as file:
        file.seek(1 << 40)  # a sparse terabyte
        file.write(b"\nlast but one\nlast\n")
    fd = os.open(path, os.O_RDONLY)
    try:
        start = start_of_tail(fd, 2)
        assert os.pread(fd, 100, start) == b"last but one\nlast\n"
    finally:
        os.close(fd)


def test_spans(container: Container) -> None:
    write(container, "".join(line(str(i), i) for i in range(10)))
    assert texts(container, since="2026-11-23T10:00:07Z") == ["7", "8", "9"]
    assert texts(container, since="2026-11-23T10:00:06.999999999Z") == ["7", "8", "9"]
    assert texts(container, since="2026-11-23T10:00:07.000000001Z") == ["8", "9"]
    assert texts(container, until="2026-11-23T10:00:01Z") == ["0", "1"]
    assert texts(container, until="2026-11-23T10:00:00.5Z", follow=True) == ["0"]
    both = {"since": "2026-11-23T10:00:02Z", "until": "2026-11-23T10:00:03.1Z"}
    assert texts(container, **both) == ["2", "3"]
    assert texts(container, tail=1, **both) == []  # the last line of all, and it is too new


@pytest.mark.parametrize(
    ("damaged", "expected"),
    [
        (line("a", 1) + '{"log":"half', ["a"]),
        (line("a", 1) + '{"log":"half' + line("b", 2), ["a", "b"]),
        (line("a", 1) + "\0" * 5000 + line("b", 2), ["a", "b"]),
        (line("a", 1) + "\0" * (3 << 20) + "\n" + line("b", 2), ["a", "b"]),
        (line("a", 1) + "\n\n[]\n{}\nnull\n7\n" + line("b", 2), ["a", "b"]),
        (line("a", 1) + '{"log":7,"stream":"stdout","time":"x"}\n' + line("b", 2), ["a", "b"]),
        (line("a", 1) + "[" * 100_000 + "\n" + line("b", 2), ["a", "b"]),
        (line("a", 1) + '{"log":"\\ud800","stream":"stdout","time":"t"}\n', ["a", "\ud800"]),
        (
            '{"log":"{\\"log\\":\\"inner\\"}\\n","stream":"stdout","time":"t"}\n',
            ['{"log":"inner"}'],
        ),
    ],
)
def test_a_damaged_log_is_read_as_far_as_it_goes(
    container: Container, damaged: str, expected: list[str]
) -> None:
    write(container, damaged)
    assert texts(container) == expected


def test_a_damaged_log_where_json_was_never_imported(container: Container) -> None:
    """The parser's C half borrows its complaint from the Python half, if that is there."""
    write(container, '{"log":"half' + line("b", 2) + '{"log"' + "\n" + "[1,\n")
    script = """
import sys
sys.path.insert(0, sys.argv[1])
from minidock.engine.containers import Container
from minidock.engine.logs import LogQuery, read_log
assert "json" not in sys.modules
container = Container("ab" * 32, "web", sys.argv[2], "", {})
print([text for batch in read_log(container, LogQuery()) for _, _, text in batch])
"""
    top = str(Path(__file__).parents[2])
    argv = [sys.executable, "-ISc", script, top, container.directory]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("['b\\n']\n", "")


def test_bytes_that_are_no_text(container: Container) -> None:
    good = line("b", 2).encode()
    Path(container.log_path).write_bytes(b'{"log":"\xff\xfe\n' + b"\x80" * 100 + b"\n" + good)
    assert texts(container) == ["b"]


def test_a_link_in_place_of_the_log_is_not_followed(container: Container, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text(line("secret", 1))
    Path(container.log_path).symlink_to(secret)
    with pytest.raises(OSError, match="Too many levels"):
        texts(container)
