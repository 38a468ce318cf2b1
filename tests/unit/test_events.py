"""The file that events are appended to: whole lines from many writers, and never too long."""

from __future__ import annotations

import json
import multiprocessing
from pathlib import Path
from typing import Any

from minidock.engine import events


def _lines(path: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in Path(path).read_text().splitlines()]


def test_an_event_is_a_line_in_the_shape_of_docker(tmp_path: Path) -> None:
    run_root = str(tmp_path / "run")
    events.emit(run_root, "volume", "create", "db", {"driver": "local"})
    (event,) = _lines(events.log_of(run_root))
    when = event.pop("timeNano")
    assert event.pop("time") == when // 10**9
    actor = {"ID": "db", "Attributes": {"driver": "local"}}
    assert event == {"Type": "volume", "Action": "create", "Actor": actor, "scope": "local"}
    assert Path(events.log_of(run_root)).stat().st_mode & 0o777 == 0o600
    assert Path(run_root).stat().st_mode & 0o777 == 0o700


def test_a_container_is_told_with_its_labels_its_name_and_its_image(tmp_path: Path) -> None:
    config = {"Image": "debian", "Labels": {"tier": "front", "name": "a label"}}
    document = {"Id": "ab" * 32, "Name": "web", "Config": config}
    events.emit_of(str(tmp_path), document, "die", exitCode="0")
    (event,) = _lines(events.log_of(str(tmp_path)))
    assert event["Actor"]["Attributes"] == {
        "tier": "front",
        "name": "web",  # a label does not stand in its way
        "exitCode": "0",
        "image": "debian",
    }


def test_telling_is_never_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("a file where a directory should be")
    events.emit(str(tmp_path / "run"), "volume", "create", "db", {})


def _write_many(run_root: str, writer: int, count: int) -> None:
    for number in range(count):
        events.emit(run_root, "volume", "create", f"{writer}-{number}", {"pad": "x" * 700})


def test_many_writers_lose_nothing_when_the_file_is_full(tmp_path: Path) -> None:
    run_root, count = str(tmp_path), 250  # 850 KB in all: it gets full once
    writers = [
        multiprocessing.Process(target=_write_many, args=(run_root, writer, count))
        for writer in range(4)
    ]
    for process in writers:
        process.start()
    for process in writers:
        process.join()
        assert process.exitcode == 0
    older = _lines(events.older_of(run_root))
    newer = _lines(events.log_of(run_root))
    found = {event["Actor"]["ID"] for event in older + newer}
    assert len(found) == 4 * count
    assert Path(events.older_of(run_root)).stat().st_size < events.MAX_BYTES + (16 << 10)
