"""The pure half of the bench: ratios, verdicts, the table, and inputs that never change."""

from __future__ import annotations

import importlib.util
import json
import os
import sys
import tarfile
import zlib
from pathlib import Path
from types import ModuleType

import pytest

BENCH = Path(__file__).parent.parent / "bench"


def load(name: str) -> ModuleType:
    """A module of the bench, which is a program and no package, under a name of its own."""
    spec = importlib.util.spec_from_file_location(f"bench_{name}", BENCH / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up there
    spec.loader.exec_module(module)
    return module


report = load("report")
inputs = load("inputs")


def result(*series: object, **more: object) -> object:
    return report.Result("run", "run --rm", "ms", series, **more)


def test_ratio_is_taken_within_each_round() -> None:
    # The machine was ten times slower in the second round, for both: nothing has changed.
    assert report.ratio([10, 100, 10], [40, 400, 40]) == 0.25


def test_ratio_of_nothing_is_none() -> None:
    assert report.ratio([], [1.0, 2.0]) is None
    assert report.ratio([1.0], [0.0]) is None


@pytest.mark.parametrize(
    ("value", "shown"), [(1528.7, "1529"), (24.83, "24.8"), (3.14159, "3.14"), (0.4123, "0.412")]
)
def test_numbers_have_three_figures(value: float, shown: str) -> None:
    assert report.number(value) == shown


def test_verdict_is_about_what_was_asked() -> None:
    assert report.verdict(0.25, 0.25) == "≤ 0.25 reached"
    assert report.verdict(0.26, 0.25) == "≤ 0.25 missed"
    assert report.verdict(None, 0.25) == "≤ 0.25"
    assert report.verdict(0.1, None) == ""


def test_table_shows_ratio_and_what_was_asked_beside_it() -> None:
    lines = report.table(
        [
            result(
                report.Series("minidock", (20.0, 30.0)),
                report.Series("docker", (200.0, 300.0)),
                asked={"docker": 0.25, "podman": 0.4},
            )
        ],
        {"podman": "podman is not installed"},
    ).splitlines()
    assert lines[2] == "run --rm  [ms, 2 rounds]"
    assert lines[3].split() == ["minidock", "25.0", "20.0", "–", "30.0"]
    assert lines[4].split() == ["docker", "250", "200", "–", "300", "0.100", "≤", "0.25", "reached"]
    assert lines[5].split(maxsplit=2) == ["podman", "-", "podman is not installed"]


def test_limit_is_about_our_own_figure() -> None:
    row = report.table([result(report.Series("minidock", (5.5,)), limit=5.0)], {})
    assert row.endswith("≤ 5 missed")


def test_json_keeps_every_round() -> None:
    whole = json.loads(
        report.to_json(
            {"kernel": "6.1"},
            [result(report.Series("minidock", (1.0, 3.0)), report.Series("docker", (), "broken"))],
            {},
        )
    )
    ours, docker = whole["measures"][0]["contestants"]
    assert ours["values"] == [1.0, 3.0]
    assert ours["median"] == 2.0
    assert (docker["median"], docker["reason"]) == (None, "broken")


def test_unmeasured_names_only_what_has_no_figure_of_ours() -> None:
    good = result(report.Series("minidock", (1.0,)), report.Series("docker", (), "broken"))
    bad = result(
        report.Series("minidock", (), "exit code 125: no"), report.Series("docker", (1.0,))
    )
    assert report.unmeasured([good]) == []
    assert report.unmeasured([bad]) == ["run: exit code 125: no"]


def test_input_has_the_size_asked_for_and_compresses_like_a_distribution(tmp_path: Path) -> None:
    path = str(tmp_path / "tree.tar")
    inputs.write_tree(path, "bench", count=250, total=5_000_000)
    with tarfile.open(path) as archive:
        files = [member for member in archive if member.isreg()]
    assert len(files) == 250
    assert 4_990_000 <= sum(member.size for member in files) <= 5_000_000
    share = len(zlib.compress(Path(path).read_bytes())) / os.path.getsize(path)
    assert 0.3 < share < 0.6


def test_input_is_the_same_every_time(tmp_path: Path) -> None:
    first, second = tmp_path / "1", tmp_path / "2"
    for path in (first, second):
        inputs.write_tree(str(path), "bench", count=20, total=100_000)
        inputs.compress(str(path))
    assert first.read_bytes() == second.read_bytes()
    assert Path(f"{first}.gz").read_bytes() == Path(f"{second}.gz").read_bytes()


def test_root_keeps_the_base_and_fills_up(tmp_path: Path) -> None:
    base, root = tmp_path / "base.tar", tmp_path / "root.tar"
    (tmp_path / "sh").write_bytes(b"#!" * 500)
    with tarfile.open(base, "w") as archive:
        archive.add(tmp_path / "sh", "bin/sh")
    inputs.write_root(str(root), str(base), count=50, total=200_000)
    with tarfile.open(root) as archive:
        members = archive.getmembers()
    assert members[0].name == "bin/sh"
    assert 199_000 <= sum(member.size for member in members) <= 200_000
