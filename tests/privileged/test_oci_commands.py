"""The OCI runtime's other commands, on a container that runs."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.conftest import Oci


def until(holds: Callable[[], bool]) -> None:
    limit = time.monotonic() + 10
    while not holds():
        assert time.monotonic() < limit
        time.sleep(0.02)


@pytest.fixture
def running(oci: Oci) -> Iterator[Oci]:
    """One container, "c1", that counts in a file of its own."""
    script = "i=0; while :; do i=$((i+1)); echo $i > /dev/shm/count; done"
    oci.ok("run", "-d", "-b", oci.bundle("sh", "-c", script), "c1")
    yield oci


def test_pause_stops_and_resume_goes_on(running: Oci) -> None:
    running.ok("pause", "c1")
    assert json.loads(running.ok("state", "c1"))["status"] == "paused"
    pid = json.loads(running.ok("state", "c1"))["pid"]
    path = Path(f"/proc/{pid}/root/dev/shm/count")
    before = path.read_text()
    time.sleep(0.1)
    assert path.read_text() == before
    done = running("exec", "c1", "true")
    assert (done.returncode, "cannot exec in a paused container" in done.stderr) == (255, True)
    running.ok("resume", "c1")
    until(lambda: path.read_text() != before)
    assert running("resume", "c1").returncode == 1, "it is not paused"


def test_update_changes_what_the_kernel_enforces(running: Oci) -> None:
    running.ok("update", "--pids-limit", "5", "c1")
    script = "for i in 1 2 3 4 5 6; do sleep 5 & done"
    assert "can't fork" in running("exec", "c1", "sh", "-c", script).stderr
    running.ok("update", "-r", "-", "c1", stdin=b'{"pids": {"limit": 100}}')
    until(lambda: running("exec", "c1", "sh", "-c", "sleep 0 & sleep 0 & wait").stderr == "")
    done = running("update", "-r", "-", "c1", stdin=b'{"pids": {"limit": "many"}}')
    assert (done.returncode, "pids.limit" in done.stderr) == (1, True)


def test_stats_are_runcs_document(running: Oci) -> None:
    event = json.loads(running.ok("events", "--stats", "c1"))
    assert (event["type"], event["id"]) == ("stats", "c1")
    assert event["data"]["cpu"]["usage"]["total"] > 0
    assert event["data"]["pids"]["current"] == 1
    assert event["data"]["memory"]["usage"]["usage"] > 0


def test_events_tell_when_memory_runs_out(oci: Oci) -> None:
    def limit(config: dict[str, Any]) -> None:
        config["linux"]["resources"]["memory"] = {"limit": 16 << 20}

    script = "while :; do [ -e /dev/shm/go ] && tail /dev/zero; sleep 0.1; done"
    oci.ok("run", "-d", "-b", oci.bundle("sh", "-c", script, change=limit), "c1")
    words = [*oci.argv, "events", "--interval", "60s", "c1"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as events:
        try:
            time.sleep(0.5)
            oci.ok("exec", "c1", "touch", "/dev/shm/go")
            assert events.stdout
            assert json.loads(events.stdout.readline()) == {"type": "oom", "id": "c1"}
        finally:
            events.kill()


def test_events_end_with_the_container(running: Oci) -> None:
    words = [*running.argv, "events", "--interval", "100ms", "c1"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as events:
        assert events.stdout
        assert json.loads(events.stdout.readline())["type"] == "stats"
        running.ok("kill", "c1", "KILL")
        events.wait(10)


def test_exec_takes_a_process_document(running: Oci, tmp_path: Path) -> None:
    capabilities = "grep CapEff /proc/self/status"
    process = {
        "args": ["sh", "-c", f"id -u; id -G; pwd; echo $A; umask; ulimit -n; {capabilities}"],
        "cwd": "/tmp",
        "env": ["A=1", "PATH=/bin"],
        "user": {"uid": 33, "gid": 50, "additionalGids": [7], "umask": 0o27},
        "rlimits": [{"type": "RLIMIT_NOFILE", "soft": 77, "hard": 77}],
        "capabilities": {"bounding": [], "effective": [], "permitted": []},
    }  # fmt: skip
    path = tmp_path / "process.json"
    path.write_text(json.dumps(process))
    words = running.ok("exec", "--process", str(path), "c1").split()
    assert words == ["33", "50", "7", "/tmp", "1", "0027", "77", "CapEff:", "0" * 16]


def test_exec_in_the_background(running: Oci, tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    running.ok("exec", "--detach", "--pid-file", str(pid_file), "c1", "sleep", "100")
    pid = int(pid_file.read_text())
    assert Path(f"/proc/{pid}/cmdline").read_bytes() == b"sleep\x00100\x00"
    assert pid in json.loads(running.ok("ps", "-f", "json", "c1"))
    assert os.readlink(f"/proc/{pid}/ns/pid") != os.readlink("/proc/self/ns/pid")


def test_exec_adds_what_was_asked_for(running: Oci) -> None:
    script = "grep -E 'CapEff|NoNewPrivs' /proc/self/status"
    plain = running.ok("exec", "c1", "sh", "-c", script).split()
    more = running.ok("exec", "--cap", "CAP_SYS_PTRACE", "c1", "sh", "-c", script).split()
    assert int(more[1], 16) & ~int(plain[1], 16) == 1 << 19
    assert plain[3] == "1", "as the container's own process"
    groups = running.ok("exec", "-u", "33", "-g", "5", "-g", "6", "c1", "id", "-G").split()
    assert {"5", "6"} <= set(groups)


def test_a_pid_file_that_cannot_be_written_stops_the_start(oci: Oci, tmp_path: Path) -> None:
    bundle = oci.bundle("sleep", "100")
    done = oci("create", "-b", bundle, "--pid-file", str(tmp_path / "no" / "such"), "c1")
    assert done.returncode == 1
    assert oci.states() == []
    oci.ok("run", "-d", "-b", bundle, "c1")
    done = oci("exec", "-d", "--pid-file", "/no/such/file", "c1", "sleep", "77")
    assert done.returncode == 255
    until(lambda: len(json.loads(oci.ok("ps", "-f", "json", "c1"))) == 1)


def test_sockets_of_systemd_are_passed_on(oci: Oci) -> None:
    read, write = os.pipe()
    os.dup2(write, 3) if write != 3 else None
    bundle = oci.bundle("sh", "-c", "echo $LISTEN_FDS $LISTEN_PID >&3")
    env = {**os.environ, "LISTEN_FDS": "1"}
    oci.ok("run", "-b", bundle, "c1", pass_fds=(3,), env=env)
    assert os.read(read, 100) == b"1 1\n"
    os.close(read)
    os.close(write)


def test_kill_all_reaches_what_has_no_pid_namespace(oci: Oci) -> None:
    def change(config: dict[str, Any]) -> None:
        config["linux"]["namespaces"].remove({"type": "pid"})

    bundle = oci.bundle("sh", "-c", "sleep 100 & sleep 100 & wait", change=change)
    oci.ok("run", "-d", "-b", bundle, "c1")
    until(lambda: len(json.loads(oci.ok("ps", "-f", "json", "c1"))) == 3)
    oci.ok("kill", "--all", "c1", "KILL")
    until(lambda: json.loads(oci.ok("ps", "-f", "json", "c1")) == [])
    oci.ok("delete", "c1")


def test_a_create_that_was_killed_costs_nobody_else_their_life(oci: Oci) -> None:
    """Its cgroup was that of another container: `delete --force` leaves that one alone."""
    bundle = oci.bundle("sleep", "100")
    oci.ok("run", "-d", "-b", bundle, "c1")
    assert oci("create", "-b", bundle, "c2").returncode == 1, "the cgroup is in use"
    state = json.loads((oci.root / "c1" / "state.json").read_text())
    (oci.root / "c2").mkdir()
    beginning = {**state, "id": "c2", "pid": 0, "start_time": 0, "boot_id": ""}
    (oci.root / "c2" / "state.json").write_text(json.dumps(beginning))
    oci.ok("delete", "--force", "c2")
    assert oci.states() == ["c1"]
    assert json.loads(oci.ok("state", "c1"))["status"] == "running"


def test_capabilities_that_the_host_has_not_are_warned_of(oci: Oci) -> None:
    def change(config: dict[str, Any]) -> None:
        for names in config["process"]["capabilities"].values():
            names.append("CAP_OF_THE_FUTURE")

    done = oci.run("echo", "ran", change=change)
    assert (done.returncode, done.stdout) == (0, "ran\n")
    assert "level=warning" in done.stderr
    assert "CAP_OF_THE_FUTURE" in done.stderr


def test_spec_writes_once(oci: Oci, tmp_path: Path) -> None:
    oci.ok("spec", "-b", str(tmp_path))
    assert json.loads((tmp_path / "config.json").read_text())["process"]["args"] == ["sh"]
    done = oci("spec", "-b", str(tmp_path))
    assert (done.returncode, "exists" in done.stderr) == (1, True)
