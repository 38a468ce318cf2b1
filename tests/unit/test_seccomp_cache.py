"""Compiled filters are kept, and a file that somebody else could have written is not believed."""

import os
import stat
from pathlib import Path
from typing import Any

import pytest

from minidock.errors import BadJSON, StartFailed
from minidock.isolation.seccomp import cache
from minidock.isolation.seccomp.cache import ready_filter
from minidock.linux.host import HostFacts
from minidock.spec.lean_json import dumps

PROFILE = dumps(
    {
        "defaultAction": "SCMP_ACT_ERRNO",
        "syscalls": [{"names": ["read", "openat"], "action": "SCMP_ACT_ALLOW"}],
    }
)


@pytest.fixture
def facts(tmp_path: Path) -> HostFacts:
    return HostFacts((6, 1), 0, 40, filter_cache=str(tmp_path / "run" / "seccomp"))


@pytest.fixture
def compilations(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Which profiles were compiled."""
    seen: list[str] = []
    real = cache._compile

    def compiling(profile: str, facts: HostFacts) -> Any:
        seen.append(profile)
        return real(profile, facts)

    monkeypatch.setattr(cache, "_compile", compiling)
    return seen


def the_file(facts: HostFacts) -> Path:
    (file,) = Path(facts.filter_cache).iterdir()
    return file


def test_the_second_time_it_is_read(facts: HostFacts, compilations: list[str]) -> None:
    first = ready_filter(PROFILE, facts)
    assert ready_filter(PROFILE, facts) == first
    assert len(compilations) == 1
    assert first == ready_filter(PROFILE, facts.but(filter_cache=""))


def test_everything_that_matters_is_in_the_name(facts: HostFacts, compilations: list[str]) -> None:
    for other in (facts, facts.but(kernel=(6, 2)), facts.but(machine="aarch64")):
        ready_filter(PROFILE, other)
    ready_filter(PROFILE.replace("openat", "open"), facts)
    assert len(compilations) == 4


def test_a_changed_compiler_is_noticed(
    facts: HostFacts, compilations: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    ready_filter(PROFILE, facts)
    real = os.stat

    def later(path: str, **more: Any) -> os.stat_result:
        status = real(path, **more)
        if not str(path).endswith("compiler.py"):
            return status
        return os.stat_result(status, {"st_mtime_ns": status.st_mtime_ns + 1})

    monkeypatch.setattr(cache.os, "stat", later)
    ready_filter(PROFILE, facts)
    assert len(compilations) == 2


def test_nobody_else_can_read_or_write_there(facts: HostFacts) -> None:
    ready_filter(PROFILE, facts)
    directory = Path(facts.filter_cache)
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert stat.S_IMODE(the_file(facts).stat().st_mode) == 0o600


@pytest.mark.parametrize("mode", [0o701, 0o720, 0o777])
def test_an_open_directory_is_not_used(
    facts: HostFacts, compilations: list[str], mode: int
) -> None:
    ready_filter(PROFILE, facts)
    Path(facts.filter_cache).chmod(mode)
    ready_filter(PROFILE, facts)
    assert len(compilations) == 2


@pytest.mark.parametrize("damage", ["cut", "changed", "empty", "no lines", "longer"])
def test_a_damaged_file_is_made_again(
    facts: HostFacts, compilations: list[str], damage: str
) -> None:
    first = ready_filter(PROFILE, facts)
    content = the_file(facts).read_bytes()
    the_file(facts).write_bytes(
        {
            "cut": content[:-8],
            "changed": content[:-1] + bytes([content[-1] ^ 1]),
            "empty": b"",
            "no lines": b"x" * 200,
            "longer": content + b"\0" * 8,
        }[damage]
    )
    assert ready_filter(PROFILE, facts) == first
    assert ready_filter(PROFILE, facts) == first
    assert len(compilations) == 2


def test_a_file_that_others_may_write_or_a_link_is_not_read(
    facts: HostFacts, compilations: list[str], tmp_path: Path
) -> None:
    ready_filter(PROFILE, facts)
    file = the_file(facts)
    file.chmod(0o606)
    ready_filter(PROFILE, facts)
    file.rename(tmp_path / "elsewhere")
    (tmp_path / "elsewhere").chmod(0o600)
    file.symlink_to(tmp_path / "elsewhere")
    ready_filter(PROFILE, facts)
    assert len(compilations) == 3


def test_where_nothing_can_be_kept_it_works_all_the_same(facts: HostFacts, tmp_path: Path) -> None:
    (tmp_path / "run").write_text("a file where the directory should be")
    assert ready_filter(PROFILE, facts).program


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ({}, "linux.seccomp.defaultAction is missing"),
        ({"defaultAction": "SCMP_ACT_HUG"}, r"defaultAction is unknown: 'SCMP_ACT_HUG'"),
        (
            {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"action": "SCMP_ACT_LOG"}]},
            r"linux.seccomp.syscalls\[0\].names is empty",
        ),
        (
            {
                "defaultAction": "SCMP_ACT_ALLOW",
                "syscalls": [
                    {
                        "names": ["read"],
                        "action": "SCMP_ACT_LOG",
                        "args": [{"index": 6, "value": 0, "op": "SCMP_CMP_EQ"}],
                    }
                ],
            },
            r"syscalls\[0\].args\[0\].index is out of range: 6",
        ),
    ],
)
def test_a_bad_profile_names_the_field(
    facts: HostFacts, document: dict[str, Any], words: str
) -> None:
    with pytest.raises(BadJSON, match=words):
        ready_filter(dumps(document), facts)
    assert not Path(facts.filter_cache).exists()


def test_an_unknown_machine(facts: HostFacts) -> None:
    with pytest.raises(StartFailed, match="the system calls of vax are not known"):
        ready_filter(PROFILE, facts.but(machine="vax"))


def test_the_oldest_are_forgotten(facts: HostFacts, compilations: list[str]) -> None:
    directory = Path(facts.filter_cache)
    directory.mkdir(parents=True, mode=0o700)
    for number in range(100):
        old = directory / f"old-{number:03d}"
        old.write_bytes(b"")
        os.utime(old, ns=(number, number))
    ready_filter(PROFILE, facts)
    left = sorted(path.name for path in directory.iterdir())
    assert [name for name in left if name.startswith("old-")] == [
        f"old-{number:03d}" for number in range(37, 100)
    ]
    ready_filter(PROFILE, facts)
    assert len(compilations) == 1, "the new one is kept"
