"""Reading events: the past, what comes, and which of it is wanted."""

from __future__ import annotations

import json
import os
import threading
import time
from pathlib import Path

import pytest

from minidock.cli.app import App
from minidock.cli.command import UsageError
from minidock.cli.events import EVENTS, events
from minidock.cli.parse import parse
from minidock.engine.event_filters import event_test
from minidock.engine.event_log import EventLog
from minidock.engine.events import emit, log_of, older_of
from minidock.errors import InvalidInput

CONTAINER = "c0" * 32


def tell_some(run_root: str) -> None:
    about = {"image": "debian:12", "name": "web", "tier": "front"}
    emit(run_root, "image", "pull", "debian:12", {"name": "debian"})
    emit(run_root, "container", "start", CONTAINER, about)
    emit(run_root, "container", "exec_start: ls /", CONTAINER, {**about, "execID": "1"})
    emit(run_root, "container", "die", CONTAINER, {**about, "exitCode": "3"})
    emit(run_root, "volume", "create", "data", {"driver": "local"})


@pytest.mark.parametrize(
    ("filters", "actions"),
    [
        ({}, ["pull", "start", "exec_start: ls /", "die", "create"]),
        ({"event": ["start", "die"]}, ["start", "die"]),
        ({"event": ["exec_start"]}, ["exec_start: ls /"]),  # whatever was executed
        ({"event": ["exec_start: ls /"]}, ["exec_start: ls /"]),
        ({"type": ["volume"]}, ["create"]),
        ({"container": ["we"]}, ["start", "exec_start: ls /", "die"]),
        ({"container": ["c0c0"], "event": ["die"]}, ["die"]),
        ({"container": ["eb"]}, []),
        ({"image": ["debian"]}, ["pull", "start", "exec_start: ls /", "die"]),
        ({"image": ["debian:12"], "type": ["image"]}, ["pull"]),
        ({"image": ["deb"]}, []),
        ({"label": ["tier=front"], "event": ["die"]}, ["die"]),
        ({"label": ["tier=front", "none"]}, []),
        ({"volume": ["dat"]}, ["create"]),
        ({"scope": ["swarm"]}, []),
    ],
)
def test_filters(tmp_path: Path, filters: dict[str, list[str]], actions: list[str]) -> None:
    tell_some(str(tmp_path))
    passes = event_test(filters)
    with EventLog(str(tmp_path)) as log:
        assert [event["Action"] for event in log.read() if passes(event)] == actions


def test_an_unknown_filter_is_refused() -> None:
    with pytest.raises(InvalidInput, match="invalid filter 'foo'"):
        event_test({"foo": ["bar"]})


def test_the_older_file_comes_first_and_garbage_is_passed_over(tmp_path: Path) -> None:
    run_root = str(tmp_path)
    emit(run_root, "volume", "create", "one", {})
    os.rename(log_of(run_root), older_of(run_root))
    emit(run_root, "volume", "create", "two", {})
    with open(log_of(run_root), "ab") as file:
        file.write(b'{"Type":"volume","Act\n[1]\n{}\n{"timeNano":1,"Actor":{"ID":"x"}}\n')
    emit(run_root, "volume", "create", "three", {})
    with EventLog(run_root) as log:
        assert [event["Actor"]["ID"] for event in log.read()] == ["one", "two", "three"]
        assert log.read() == []


def test_a_reader_does_not_miss_what_is_written_around_a_rename(tmp_path: Path) -> None:
    run_root = str(tmp_path)
    emit(run_root, "volume", "create", "one", {})
    with EventLog(run_root) as log:
        assert len(log.read()) == 1
        with open(log_of(run_root), "ab") as late:
            os.rename(log_of(run_root), older_of(run_root))
            emit(run_root, "volume", "create", "new", {})
            assert [event["Actor"]["ID"] for event in log.read()] == ["new"]
            late.write(Path(log_of(run_root)).read_bytes().replace(b'"new"', b'"late"'))
        assert [event["Actor"]["ID"] for event in log.read()] == ["late"]


def test_following_shows_at_once_what_comes(tmp_path: Path) -> None:
    run_root = str(tmp_path)
    tell_some(run_root)
    seen: list[tuple[str, float]] = []

    def follow() -> None:
        with EventLog(run_root) as log:
            log.read()
            for batch in log.follow(time.time_ns() + 10**9):
                seen.extend((event["Actor"]["ID"], time.time()) for event in batch)

    reader = threading.Thread(target=follow)
    reader.start()
    time.sleep(0.2)
    told = time.time()
    emit(run_root, "volume", "create", "now", {})
    reader.join(5)
    assert [name for name, _ in seen] == ["now"]
    assert seen[0][1] - told < 0.4  # woken, and not at the next look


class Show:
    """`minidock events`, into a file."""

    def __init__(self, tmp_path: Path) -> None:
        self.run_root = str(tmp_path / "run")
        self._path = tmp_path / "out"

    def past(self, *argv: str) -> list[str]:
        """All up to now. (`--until 0s` would be the last whole second, as in Docker.)"""
        seconds, fraction = divmod(time.time_ns(), 10**9)
        return self("--until", f"{seconds}.{fraction:09d}", *argv)

    def __call__(self, *argv: str) -> list[str]:
        fd = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        try:
            app = App(root="/nonexistent", run_root=self.run_root, stdout=fd)
            assert events(parse(EVENTS, "events", list(argv)), app) == 0
        finally:
            os.close(fd)
        return self._path.read_text().splitlines()


@pytest.fixture
def show(tmp_path: Path) -> Show:
    shown = Show(tmp_path)
    tell_some(shown.run_root)
    return shown


def test_lines_as_docker_writes_them(show: Show, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Asia/Kolkata")
    time.tzset()
    try:
        line = show.past("--since", "1h", "-f", "event=die")[0]
    finally:
        monkeypatch.undo()
        time.tzset()
    when, rest = line.split(" ", 1)
    assert len(when) == len("2026-11-23T10:35:22.100000000+05:30")
    assert when.endswith("+05:30")
    assert rest == (
        f"container die {CONTAINER} (exitCode=3, image=debian:12, name=web, tier=front)"
    )


def test_json_has_the_old_fields_for_containers_and_images(show: Show) -> None:
    found = [json.loads(line) for line in show.past("--format", "json")]
    assert [tuple(event)[:3] for event in found[:2]] == [
        ("status", "id", "Type"),
        ("status", "id", "from"),
    ]
    assert found[1]["from"] == "debian:12"
    assert tuple(found[-1])[:2] == ("Type", "Action")  # a volume has no such past
    assert show.past("--format", "{{json .}}") == show.past("--format", "json")


def test_templates_know_the_fields_of_docker(show: Show) -> None:
    form = "{{.Type}} {{.Action}} {{.Actor.ID}} {{.Actor.Attributes.driver}} {{.Scope}}"
    assert show.past("-f", "type=volume", "--format", form) == ["volume create data local local"]
    with pytest.raises(UsageError) as refused:
        show("--format", "{{.Foo}}")
    assert refused.value.exit_code == 64
    assert "can't evaluate field Foo in type *events.Message" in refused.value.text


def test_spans_of_time(show: Show) -> None:
    with EventLog(show.run_root) as log:
        second = log.read()[1]["timeNano"]
    assert len(show.past("--since", f"{second // 10**9}.{second % 10**9:09d}")) == 4
    assert len(show("--until", f"{second // 10**9}.{second % 10**9:09d}")) == 2
    with pytest.raises(InvalidInput, match=r"`since` time \(20\) cannot be after `until` time"):
        show("--since", "20", "--until", "10")
