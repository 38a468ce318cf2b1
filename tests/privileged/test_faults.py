"""SIGKILL at any moment leaves a machine that heals itself."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest


def descendants(pid: int) -> set[int]:
    """Of a command: its monitor and launcher, and what these started."""
    parents = {}
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = entry.read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        parents[int(entry.parent.name)] = int(fields[1])
    found = {pid}
    while more := {child for child, parent in parents.items() if parent in found} - found:
        found |= more
    return found - {pid}


def kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


@pytest.mark.parametrize("victim", ["command", "monitor and launcher", "all"])
@pytest.mark.parametrize("flags", [("-d",), ("--rm",)])
def test_killed_while_starting(minidock, victim: str, flags: tuple[str, ...]) -> None:
    for step in range(12):
        process = minidock.popen(
            "run",
            *flags,
            "busybox",
            "sleep",
            "0.2",
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        time.sleep(0.02 + 0.006 * step)
        if victim != "command":
            for pid in descendants(process.pid):
                kill(pid)
        if victim != "monitor and launcher":
            process.kill()
        process.wait(20)
    time.sleep(0.5)
    # What is left tells the truth, and goes.
    for line in minidock.ok("ps", "-a", "--format", "{{.ID}} {{.State}}").splitlines():
        assert line.split()[1] in ("created", "exited"), line
    ids = minidock.ok("ps", "-aq").split()
    if ids:
        minidock.ok("rm", *ids)
    assert minidock.ok("run", "--rm", "busybox", "echo", "well") == "well\n"


def test_leftovers_of_a_killed_create_go_with_the_next(minidock) -> None:
    half = minidock.root / "containers" / ("f" * 64)
    half.mkdir(parents=True)
    (half / "upper").mkdir()
    going = minidock.root / "containers" / ("e" * 64 + ".removing")
    (going / "upper" / "deep").mkdir(parents=True)
    minidock.ok("run", "--rm", "busybox", "true")
    assert not half.exists()
    assert not going.exists()


def test_a_container_to_be_removed_whose_monitor_died_goes_with_the_next(minidock) -> None:
    name = minidock.ok("run", "-d", "--rm", "busybox", "sleep", "100").strip()
    directory = minidock.directory(name)
    kill(json.loads((directory / "started.json").read_text())["MonitorPid"])
    time.sleep(0.3)
    minidock.ok("run", "--rm", "busybox", "true")
    assert not directory.exists()


def test_concurrent_removals_do_not_trip_over_each_other(minidock) -> None:
    name = minidock.ok("run", "-d", "busybox", "sleep", "100").strip()
    removing = [minidock.popen("rm", "-f", name, stderr=subprocess.PIPE) for _ in range(6)]
    errors = b"".join(process.communicate(timeout=60)[1] for process in removing)
    assert b"Traceback" not in errors
    assert not minidock.directory(name).exists()


def test_the_same_name_is_given_once(minidock) -> None:
    racing = [
        minidock.popen("create", "--name", "one", "busybox", "true", stdout=subprocess.DEVNULL,
                       stderr=subprocess.DEVNULL)
        for _ in range(8)
    ]  # fmt: skip
    assert sorted(process.wait(60) for process in racing) == [0] + [1] * 7


@pytest.fixture
def bystander() -> Iterator[subprocess.Popen[bytes]]:
    """A process that nobody here has any business with."""
    process = subprocess.Popen(["sleep", "1000"])
    yield process
    process.kill()
    process.wait()


def fake_start(minidock, container_id: str, **fields: object) -> None:
    """Write something else into a container's started.json."""
    path = minidock.directory(container_id) / "started.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))


def state(minidock, container_id: str) -> str:
    return minidock.ok("inspect", "-f", "{{.State.Status}}", container_id).strip()


def test_a_number_that_another_process_has_by_now_is_never_signalled(
    minidock, bystander: subprocess.Popen[bytes]
) -> None:
    name = minidock.ok("run", "-d", "--restart", "always", "busybox", "sleep", "100").strip()
    started = json.loads((minidock.directory(name) / "started.json").read_text())
    kill(started["MonitorPid"])
    while state(minidock, name) == "running":
        time.sleep(0.02)
    fake_start(minidock, name, Pid=bystander.pid, MonitorPid=bystander.pid)
    assert state(minidock, name) == "exited"
    assert minidock("kill", name).returncode == 1
    minidock.ok("stop", "-t", "0", name)
    assert minidock("exec", name, "true").returncode == 1
    minidock.ok("start", name)
    minidock.ok("stop", "-t", "0", name)
    fake_start(minidock, name, Pid=bystander.pid, MonitorPid=bystander.pid)
    minidock.ok("rm", "-f", name)
    assert bystander.poll() is None


def test_after_a_reboot_it_has_ended_and_starts_again(
    minidock, bystander: subprocess.Popen[bytes]
) -> None:
    """The same number and the same start time mean nothing on another boot."""
    name = minidock.ok("run", "-d", "--restart", "always", "busybox", "sleep", "100").strip()
    directory = minidock.directory(name)
    kill(json.loads((directory / "started.json").read_text())["MonitorPid"])
    while state(minidock, name) == "running":
        time.sleep(0.02)
    shutil.rmtree(minidock.run_root)  # it does not survive a boot
    stat = Path(f"/proc/{bystander.pid}/stat").read_text().rpartition(")")[2].split()
    now = {"Pid": bystander.pid, "StartTime": int(stat[19])}
    fake_start(minidock, name, **now)
    assert state(minidock, name) == "running"  # so far it is the right one, for all we know
    fake_start(minidock, name, **now, BootId="11111111-2222-3333-4444-555555555555")
    assert state(minidock, name) == "exited"
    assert minidock.ok("inspect", "-f", "{{.State.ExitCode}}", name) == "255\n"
    minidock.ok("stop", "-t", "0", name)
    minidock.ok("start", name)
    assert state(minidock, name) == "running"
    assert minidock.ok("exec", name, "echo", "well") == "well\n"
    minidock.ok("rm", "-f", name)
    assert bystander.poll() is None


def test_two_starts_at_once_start_it_once(minidock) -> None:
    name = minidock.ok("create", "busybox", "sleep", "100").strip()
    starting = [minidock.popen("start", name, stdout=subprocess.DEVNULL) for _ in range(4)]
    assert [process.wait(60) for process in starting] == [0] * 4
    assert minidock.ok("exec", name, "echo", "well") == "well\n"
    seen = minidock.ok("exec", name, "ps")
    assert seen.count("sleep 100") == 1
    minidock.ok("stop", "-t", "0", name)
    assert state(minidock, name) == "exited"


def test_init_reaps_orphans_and_passes_signals_on(minidock) -> None:
    """Without `--init` the orphans of this program would stay as zombies."""
    program = "for i in 1 2 3 4 5; do (sleep 0.1 &) ; done; trap 'exit 7' TERM; sleep 1; echo up;"
    program += " while :; do sleep 0.05; done"
    name = minidock.ok("run", "-d", "--init", "busybox", "sh", "-c", program).strip()
    for _ in range(100):
        if minidock.ok("logs", name):
            break
        time.sleep(0.1)
    zombies = "for s in /proc/[0-9]*/stat; do cut -d')' -f2 $s; done | grep -c ' Z '"
    assert minidock("exec", name, "sh", "-c", zombies).stdout.strip() == "0"
    begin = time.monotonic()
    minidock.ok("stop", name)
    assert time.monotonic() - begin < 5
    assert minidock.ok("inspect", "-f", "{{.State.ExitCode}}", name) == "7\n"


def test_an_exec_hears_of_its_end_when_the_container_is_killed(minidock) -> None:
    name = minidock.ok("run", "-d", "busybox", "sleep", "100").strip()
    inside = [minidock.popen("exec", name, "sleep", "100") for _ in range(3)]
    for _ in range(100):
        if minidock.ok("exec", name, "ps").count("sleep 100") == 4:
            break
        time.sleep(0.1)
    minidock.ok("kill", name)
    assert [process.wait(30) for process in inside] == [137] * 3


def test_what_stays_in_a_cgroup_goes_with_a_later_command(minidock) -> None:
    """Somebody moved a process of the host in there."""
    name = minidock.ok("run", "-d", "busybox", "sleep", "100").strip()
    cgroups = list(Path("/sys/fs/cgroup").glob(f"**/minidock/{name}"))
    assert cgroups
    guest = subprocess.Popen(["sleep", "1000"])
    try:
        (cgroups[0] / "cgroup.procs").write_text(str(guest.pid))
        minidock.ok("rm", "-f", name)
        assert minidock.ok("ps", "-aq") == ""
        assert cgroups[0].exists()
    finally:
        guest.kill()
        guest.wait()
    minidock.ok("run", "--rm", "busybox", "true")
    assert not any(cgroup.exists() for cgroup in cgroups)
