"""Ranges of user ids: nobody has two, nobody has another's, and what is free is used again."""

from __future__ import annotations

from pathlib import Path

from minidock.engine import id_ranges
from minidock.engine.id_ranges import SIZE, free_range, from_config, mappings, take_range


def container(root: Path, name: str) -> str:
    (root / "containers" / name).mkdir(parents=True)
    return name


def test_each_container_has_its_own(tmp_path: Path) -> None:
    root = str(tmp_path)
    first, second = (take_range(root, container(tmp_path, name)) for name in ("a", "b"))
    assert second >= first + SIZE
    assert free_range(root) not in (first, second)


def test_the_range_of_a_removed_container_is_free(tmp_path: Path) -> None:
    root = str(tmp_path)
    first = take_range(root, container(tmp_path, "a"))
    take_range(root, container(tmp_path, "b"))
    (tmp_path / "containers/a").rmdir()
    assert free_range(root) == first
    assert take_range(root, container(tmp_path, "c")) == first
    assert (tmp_path / "userns" / str(first)).readlink() == Path("../containers/c")


def test_what_is_given_to_users_is_left_alone(tmp_path: Path, monkeypatch) -> None:
    given = [(id_ranges._FIRST + 5, id_ranges._FIRST + SIZE + 6)]
    monkeypatch.setattr(id_ranges, "_given_away", lambda path: given)
    assert free_range(str(tmp_path)) == id_ranges._FIRST + 2 * SIZE


def test_subordinate_ids_are_read(tmp_path: Path) -> None:
    file = tmp_path / "subuid"
    file.write_text("# comment\nme:100000:65536\n\nbroken:x:1\nyou:165536:65536\n")
    assert list(id_ranges._given_away(str(file))) == [(100000, 165536), (165536, 231072)]
    assert list(id_ranges._given_away(str(tmp_path / "none"))) == []


def test_what_inspect_shows_is_what_the_runtime_gets() -> None:
    shown = mappings(524288)
    assert shown["UidMap"] == shown["GidMap"] == ["0:524288:65536"]
    assert from_config(shown["UidMap"]) == [{"containerID": 0, "hostID": 524288, "size": 65536}]
