"""Removing trees that somebody else made."""

from __future__ import annotations

import os
import threading
from pathlib import Path

from minidock.engine.removal import remove_container_files, remove_tree


def test_a_tree_deeper_than_any_path_goes(tmp_path: Path) -> None:
    top = tmp_path / "top"
    top.mkdir()
    here = os.open(top, os.O_DIRECTORY)
    for _ in range(3000):  # 3000 * len("directory/") is far more than PATH_MAX
        os.mkdir("directory", dir_fd=here)
        os.close(os.open("file", os.O_CREAT | os.O_WRONLY, dir_fd=here))
        deeper = os.open("directory", os.O_DIRECTORY, dir_fd=here)
        os.close(here)
        here = deeper
    os.close(here)
    remove_tree(str(top))
    assert list(tmp_path.iterdir()) == []


def test_links_are_removed_not_followed(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "precious").write_text("stays")
    top = tmp_path / "top"
    (top / "sub").mkdir(parents=True)
    (top / "sub" / "link").symlink_to(outside)
    (top / "link").symlink_to(outside)
    remove_tree(str(top))
    assert not top.exists()
    assert (outside / "precious").read_text() == "stays"


def test_an_interrupted_removal_is_finished_by_the_next(tmp_path: Path) -> None:
    top = tmp_path / "top"
    half = tmp_path / "top.removing"
    for directory in (top, half):
        directory.mkdir()
        (directory / "file").write_text("")
    remove_tree(str(top))
    assert list(tmp_path.iterdir()) == []


def test_two_may_remove_the_same_at_once(tmp_path: Path) -> None:
    """A monitor its `--rm` container, and a command what it takes for an interrupted removal."""
    problems: list[OSError] = []

    def remove(top: Path) -> None:
        try:
            remove_tree(str(top))
        except OSError as error:
            problems.append(error)

    for number in range(15):
        top = tmp_path / str(number)
        (top / "work/work/incompat/volatile").mkdir(parents=True)
        for name in ("a", "b", "upper"):
            (top / name).mkdir()
            (top / name / "sub").mkdir()
        threads = [threading.Thread(target=remove, args=(top,)) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert problems == []
    assert list(tmp_path.iterdir()) == []


def test_only_the_containers_own_names_are_released(tmp_path: Path) -> None:
    mine, other = "a" * 64, "b" * 64
    for container in (mine, other):
        (tmp_path / "containers" / container).mkdir(parents=True)
    names = tmp_path / "names"
    names.mkdir()
    (names / "mine").symlink_to(f"../containers/{mine}")
    (names / "other").symlink_to(f"../containers/{other}")
    remove_container_files(str(tmp_path / "containers" / mine), str(tmp_path / "run"))
    assert [p.name for p in names.iterdir()] == ["other"]
    assert [p.name for p in (tmp_path / "containers").iterdir()] == [other]
