"""Finding containers, their names, and what is true of them."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from minidock.engine.containers import Containers, new_id
from minidock.engine.paths import Paths
from minidock.errors import Conflict, InvalidInput, NotFound
from minidock.linux.host import boot_id, start_time


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    paths = Paths(str(tmp_path / "root"), str(tmp_path / "run"))
    paths.make()
    return paths


def make(paths: Paths, name: str, container_id: str = "", **files: object) -> str:
    container_id = container_id or new_id()
    Containers(paths).reserve_name(name, container_id)
    directory = Path(paths.container(container_id))
    directory.mkdir()
    document = {"Id": container_id, "Name": name, "Created": "", "Config": {}, "HostConfig": {}}
    (directory / "container.json").write_text(json.dumps(document))
    for file, content in files.items():
        (directory / f"{file}.json").write_text(json.dumps(content))
    return container_id


def test_by_id_name_and_prefix(paths: Paths) -> None:
    one = make(paths, "web", "ab" + "1" * 62)
    two = make(paths, "db", "ab" + "2" * 62)
    containers = Containers(paths)
    assert containers.find(one).name == "web"
    assert containers.find("db").id == two
    assert containers.find("/db").id == two
    assert containers.find("ab1").id == one
    with pytest.raises(InvalidInput, match="multiple IDs found with provided prefix: ab"):
        containers.find("ab")
    for nothing in ("", "nosuch", "abc", "../containers", "f" * 64):
        with pytest.raises(NotFound, match="No such container: "):
            containers.find(nothing)


def test_a_name_goes_before_a_prefix_of_an_id(paths: Paths) -> None:
    make(paths, "other", "ab" + "1" * 62)
    named = make(paths, "ab1", "cd" + "2" * 62)
    assert Containers(paths).find("ab1").id == named


def test_a_name_is_unique_until_its_container_is_gone(paths: Paths) -> None:
    holder = make(paths, "web")
    with pytest.raises(Conflict, match=f'name "/web" is already in use by container "{holder}"'):
        Containers(paths).reserve_name("web", new_id())
    os.remove(f"{paths.container(holder)}/container.json")
    os.rmdir(paths.container(holder))
    Containers(paths).reserve_name("web", new_id())


@pytest.mark.parametrize("name", ["a", "", "-ab", ".ab", "a/b", "../x", "a b", "ä" * 3, "a\n"])
def test_names_that_are_none(paths: Paths, name: str) -> None:
    with pytest.raises(InvalidInput, match=r"only \[a-zA-Z0-9\]\[a-zA-Z0-9_.-\] are allowed"):
        Containers(paths).reserve_name(name, new_id())


def test_half_made_directories_are_no_containers(paths: Paths) -> None:
    os.mkdir(paths.container(new_id()))
    os.mkdir(paths.container(new_id()) + ".removing")
    empty = new_id()
    os.mkdir(paths.container(empty))
    Path(paths.container(empty), "container.json").write_text("")  # after a power cut
    assert Containers(paths).all() == []


def started(**changes: object) -> dict[str, object]:
    me = os.getpid()
    facts: dict[str, object] = {"Pid": me, "StartTime": start_time(me), "BootId": boot_id()}
    return {**facts, "StartedAt": "2026-01-01T00:00:00Z", **changes}


def state(paths: Paths, **files: object) -> tuple[str, int]:
    found = Containers(paths).find(make(paths, f"n{new_id()[:8]}", **files)).state()
    return found.status, found.exit_code


def test_states(paths: Paths) -> None:
    assert state(paths) == ("created", 0)
    assert state(paths, started=started()) == ("running", 0)
    assert state(paths, started=started(), exited={"ExitCode": 3}) == ("running", 0)
    assert state(paths, exited={"ExitCode": 127, "Error": "no"}) == ("created", 127)


def test_a_process_is_trusted_only_with_start_time_and_boot(paths: Paths) -> None:
    ended = {"ExitCode": 3, "FinishedAt": "2026-01-01T00:00:01Z"}
    assert state(paths, started=started(StartTime=1), exited=ended) == ("exited", 3)
    assert state(paths, started=started(BootId="another"), exited=ended) == ("exited", 3)
    assert state(paths, started=started(Pid=2**22 - 1), exited=ended) == ("exited", 3)


def test_an_end_that_nobody_saw_is_255(paths: Paths) -> None:
    assert state(paths, started=started(BootId="another")) == ("exited", 255)


def test_an_id_never_looks_like_a_number() -> None:
    assert not any(new_id()[:12].isdigit() for _ in range(3000))
