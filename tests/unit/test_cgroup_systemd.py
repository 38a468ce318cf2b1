"""Asking systemd for a cgroup: what a path means, and what goes over its socket.

systemd itself is played by a thread here; tests/privileged/test_systemd_scope.py asks the real one.
"""

import os
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from minidock.errors import BadJSON, StartFailed
from minidock.isolation.cgroups import dbus, systemd
from minidock.isolation.cgroups.common import find_cgroup, plan_cgroups
from minidock.isolation.cgroups.dbus import Bus, BusError, marshal, split, unmarshal
from minidock.isolation.cgroups.systemd import (
    StartScope,
    Unit,
    limit_properties,
    parse_unit,
    scope_properties,
    start_unit,
    unit_path,
)
from minidock.linux.cgroupfs import CgroupFacts
from minidock.linux.kernel import LinuxKernel
from minidock.spec.resources import CPU, Memory, Resources
from minidock.spec.runtime import Process, Spec

V2 = CgroupFacts((), "/sys/fs/cgroup", ("cpu", "io", "memory", "pids"))


# ── names ──


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("machine.slice:libpod:4711", "/machine.slice/libpod-4711.scope"),
        ("a-b.slice:cri:4711", "/a.slice/a-b.slice/cri-4711.scope"),
        (":docker:4711", "/system.slice/docker-4711.scope"),
        ("-.slice:docker:4711", "/docker-4711.scope"),
        ("user.slice::4711", "/user.slice/4711.scope"),
        ("a.slice::a-b.slice", "/a.slice/a-b.slice"),
    ],
)
def test_paths(text: str, path: str) -> None:
    assert parse_unit(text).path == path
    assert find_cgroup(text, V2).unified == f"/sys/fs/cgroup{path}"


@pytest.mark.parametrize(
    "text", ["a.slice:b", "/a/b", "x:b:c", "a--b.slice:b:c", "-a.slice:b:c", "a/b.slice:b:c",
             "a.slice:b:../c", "a.slice:b:"]
)  # fmt: skip
def test_what_is_no_unit(text: str) -> None:
    with pytest.raises(BadJSON, match=r"linux\.cgroupsPath"):
        parse_unit(text)


def test_the_default_is_a_scope_of_its_own() -> None:
    assert unit_path("", "c1") == "system.slice:minidock:c1"
    assert unit_path("a.slice:b:c", "c1") == "a.slice:b:c"
    with pytest.raises(BadJSON):
        unit_path("/minidock/c1", "c1")


# ── properties ──

LIMITS = Resources(
    memory=Memory(limit=64 << 20, reservation=1 << 20),
    cpu=CPU(shares=1024, quota=15_000, period=100_000, cpus="0-2,9"),
    pids_limit=-1,
)


def test_limits_as_properties() -> None:
    found = dict(limit_properties(LIMITS, v2=True))
    assert found == {
        "MemoryMax": ("t", 64 << 20),
        "MemoryLow": ("t", 1 << 20),
        "CPUWeight": ("t", 100),
        "TasksMax": ("t", 2**64 - 1),
        "CPUQuotaPeriodUSec": ("t", 100_000),
        "CPUQuotaPerSecUSec": ("t", 150_000),
        "AllowedCPUs": ("ay", [0b111, 0b10]),
    }
    old = dict(limit_properties(LIMITS, v2=False))
    assert old["MemoryLimit"] == ("t", 64 << 20)
    assert old["CPUShares"] == ("t", 1024)


def test_a_quota_is_rounded_up_to_whole_percents() -> None:
    quota = dict(limit_properties(Resources(cpu=CPU(quota=12_345)), v2=True))
    assert quota["CPUQuotaPerSecUSec"] == ("t", 130_000)
    none = dict(limit_properties(Resources(cpu=CPU(quota=-1)), v2=True))
    assert none["CPUQuotaPerSecUSec"] == ("t", 2**64 - 1)


@pytest.mark.parametrize("cpus", ["x", "-1", "0-99999999999"])
def test_processors_that_make_no_sense(cpus: str) -> None:
    with pytest.raises(StartFailed, match=r"linux\.resources\.cpu\.cpus: not a list of numbers"):
        limit_properties(Resources(cpu=CPU(cpus=cpus)), v2=True)


def test_a_plan_asks_systemd_before_it_writes_limits() -> None:
    spec = Spec("/", Process(("sh",)), cgroups_path="a.slice:cri:c1", resources=LIMITS)
    plan = plan_cgroups(spec.but(resources=LIMITS.but(cpu=CPU())), V2)
    assert plan.prepare == ()
    assert isinstance(plan.join[0], StartScope)
    assert "ask systemd for cri-c1.scope in a.slice" in plan.join[0].describe()
    assert any("memory.max = 67108864" in step.describe() for step in plan.join[1:])


# ── the protocol ──


def test_bytes_as_in_the_specification() -> None:
    # "a(yv)" of one structure: length, padding to 8, y, v = signature "s" and "/x"
    assert marshal("a(yv)", ([(1, ("s", "/x"))],)) == (
        b"\x0b\0\0\0\0\0\0\0\x01\x01s\0\x02\0\0\0/x\0"
    )
    assert marshal("yu", (1, 2)) == b"\x01\0\0\0\x02\0\0\0"
    assert marshal("at", ([],)) == b"\0\0\0\0\0\0\0\0"


@pytest.mark.parametrize(
    ("signature", "kinds"),
    [
        ("", []),
        ("sa(sv)u", ["s", "a(sv)", "u"]),
        ("a{sv}aas", ["a{sv}", "aas"]),
        ("(s(uu))y", ["(s(uu))", "y"]),
    ],
)
def test_signatures(signature: str, kinds: list[str]) -> None:
    assert split(signature) == kinds


def test_values_come_back() -> None:
    values = ["scope", [["PIDs", [7, 8]], ["Slice", "a.slice"]], True, 2**64 - 1, ["ä", "b"]]
    sent = ("scope", [("PIDs", ("au", [7, 8])), ("Slice", ("s", "a.slice"))], True, 2**64 - 1)
    data = marshal("sa(sv)btas", (*sent, ["ä", "b"]))
    assert unmarshal("sa(sv)btas", data, 0) == (values, len(data))


# ── a conversation ──


class Played:
    """systemd, as far as a test needs it: answers each call by a function of the test's."""

    def __init__(self, path: str, answer: Callable[[str, list[Any]], list[bytes]]) -> None:
        self.calls: list[tuple[str, list[Any]]] = []
        self.hello = b""
        self._answer = answer
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(path)
        self._listener.listen()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        connection, _ = self._listener.accept()
        file = connection.makefile("rwb", buffering=0)
        self.hello = file.readline()
        file.write(b"OK 0123456789abcdef\r\n" if b"EXTERNAL" in self.hello else b"REJECTED\r\n")
        assert file.readline() == b"BEGIN\r\n"
        while fixed := file.read(16):
            header_length = int.from_bytes(fixed[12:16], "little")
            body_length = int.from_bytes(fixed[4:8], "little")
            header = fixed + (file.read(header_length + -header_length % 8) or b"")
            body = file.read(body_length) if body_length else b""
            fields = dict(unmarshal("a(yv)", header, 12)[0][0])
            arguments = unmarshal(str(fields.get(8, "")), body or b"", 0)[0]
            self.calls.append((fields[3], arguments))
            self.serial = int.from_bytes(fixed[8:12], "little")
            for message in self._answer(fields[3], arguments):
                file.write(message)

    def close(self) -> None:
        self._listener.close()


def message(kind: int, fields: list[tuple[int, tuple[str, object]]], body: bytes) -> bytes:
    header = marshal("yyyyuua(yv)", (ord("l"), kind, 0, 1, len(body), 99, fields))
    return header + b"\0" * (-len(header) % 8) + body


def reply(serial: int, signature: str, *values: object) -> bytes:
    return message(2, [(5, ("u", serial)), (8, ("g", signature))], marshal(signature, values))


def failure(serial: int, name: str, text: str) -> bytes:
    fields: list[tuple[int, tuple[str, object]]] = [(4, ("s", name)), (5, ("u", serial))]
    return message(3, [*fields, (8, ("g", "s"))], marshal("s", (text,)))


def job_removed(job: str, result: str) -> bytes:
    fields: list[tuple[int, tuple[str, object]]] = [(3, ("s", "JobRemoved")), (8, ("g", "uoss"))]
    return message(4, fields, marshal("uoss", (1, job, "x.scope", result)))


Play = Callable[[Callable[[str, list[Any]], list[bytes]]], Played]


@pytest.fixture
def play(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Play]:
    path = str(tmp_path / "private")
    monkeypatch.setattr(dbus.Bus.__init__, "__defaults__", (path,))
    started: list[Played] = []

    def begin(answer: Callable[[str, list[Any]], list[bytes]]) -> Played:
        started.append(Played(path, answer))
        return started[-1]

    yield begin
    for played in started:
        played.close()


def test_a_scope_is_started_and_waited_for(play: Play) -> None:
    def answer(member: str, arguments: list[Any]) -> list[bytes]:
        return [
            job_removed("/job/1", "done"),  # of somebody else, and too early
            reply(1, "o", "/job/7"),
            job_removed("/job/8", "failed"),
            job_removed("/job/7", "done"),
        ]

    systemd_played = play(answer)
    properties = scope_properties(Unit("a.slice", "cri-1.scope"), LIMITS, v2=True)
    start_unit(LinuxKernel(), Unit("a.slice", "cri-1.scope"), properties)
    assert systemd_played.hello.strip().endswith(str(os.geteuid()).encode().hex().encode())
    ((member, arguments),) = systemd_played.calls
    name, mode, given, others = arguments
    assert (member, name, mode, others) == ("StartTransientUnit", "cri-1.scope", "fail", [])
    assert ["Slice", "a.slice"] in given
    assert ["Delegate", True] in given
    assert ["MemoryMax", 64 << 20] in given
    assert ["AllowedCPUs", [0b111, 0b10]] in given


def test_a_unit_that_failed_earlier_is_forgotten_first(play: Play) -> None:
    answers = iter([
        [failure(1, "org.freedesktop.systemd1.UnitExists", "it exists")],
        [reply(2, "")],
        [reply(3, "o", "/job/7"), job_removed("/job/7", "done")],
    ])  # fmt: skip
    systemd_played = play(lambda member, arguments: next(answers))
    start_unit(LinuxKernel(), Unit("a.slice", "cri-1.scope"), ())
    members = [member for member, _ in systemd_played.calls]
    assert members == ["StartTransientUnit", "ResetFailedUnit", "StartTransientUnit"]


def test_what_systemd_says_is_passed_on(play: Play) -> None:
    play(lambda member, arguments: [failure(1, "org.x.InvalidArgs", "Cannot set property Foo")])
    with pytest.raises(StartFailed, match=r"systemd does not start c\.scope: Cannot set property"):
        start_unit(LinuxKernel(), Unit("a.slice", "c.scope"), ())


def test_a_job_that_fails(play: Play) -> None:
    play(lambda member, arguments: [reply(1, "o", "/job/7"), job_removed("/job/7", "timeout")])
    with pytest.raises(StartFailed, match=r"systemd does not start c\.scope: timeout"):
        start_unit(LinuxKernel(), Unit("a.slice", "c.scope"), ())


def test_without_systemd(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No such file"):
        Bus(LinuxKernel(), str(tmp_path / "nobody"))
    if not os.path.exists("/run/systemd/private"):
        with pytest.raises(StartFailed, match="cannot ask systemd for a cgroup: no such file"):
            systemd.set_properties("c.scope", ())


def test_an_error_has_a_name(play: Play) -> None:
    play(lambda member, arguments: [failure(1, "org.x.NoSuchUnit", "no")])
    bus = Bus(LinuxKernel())
    with pytest.raises(BusError) as caught:
        bus.call("d", "/o", "i", "M", "s", "x")
    assert caught.value.name == "org.x.NoSuchUnit"
    bus.close()
