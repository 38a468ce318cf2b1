"""The OCI runtime's commands, one after another, as an engine calls them."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.conftest import Oci


def no_args(config: dict[str, Any]) -> None:
    config["process"]["args"] = ["no-such-program"]


def test_run_gives_the_programs_output_and_exit_code(oci: Oci) -> None:
    done = oci.run("sh", "-c", "echo out; echo err >&2; exit 7")
    assert (done.returncode, done.stdout, done.stderr) == (7, "out\n", "err\n")


def test_run_reads_standard_input(oci: Oci) -> None:
    assert oci.run("cat", stdin=b"typed\n").stdout == "typed\n"


def test_a_signal_is_128_and_its_number(oci: Oci) -> None:
    process = subprocess.Popen([*oci.argv, "run", "-b", oci.bundle("sleep", "100"), "c2"])
    deadline = time.monotonic() + 5
    while oci("kill", "c2", "KILL").returncode:
        assert time.monotonic() < deadline
    assert process.wait(5) == 137


def test_create_start_kill_delete(oci: Oci, tmp_path: Path) -> None:
    bundle = oci.bundle("sh", "-c", "echo begun > /dev/shm/x; exec sleep 100")
    pid_file = tmp_path / "pid"
    oci.ok("create", "-b", bundle, "--pid-file", str(pid_file), "c1")
    pid = int(pid_file.read_text())
    assert b"sleep" not in Path(f"/proc/{pid}/cmdline").read_bytes()
    oci.ok("start", "c1")
    deadline = time.monotonic() + 5
    while b"sleep" not in Path(f"/proc/{pid}/cmdline").read_bytes():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert oci("delete", "c1").returncode == 1, "it runs"
    oci.ok("kill", "c1", "KILL")
    deadline = time.monotonic() + 5
    while oci("delete", "c1").returncode:
        assert time.monotonic() < deadline
    assert oci.states() == []


@pytest.mark.parametrize("word", ["9", "KILL", "SIGKILL", "kill"])
def test_signals_have_names_and_numbers(oci: Oci, word: str) -> None:
    oci.ok("create", "-b", oci.bundle("sleep", "100"), "c1")
    oci.ok("kill", "c1", word)


def test_a_program_that_is_not_there_fails_the_create(oci: Oci) -> None:
    done = oci("create", "-b", oci.bundle(change=no_args), "c1")
    assert done.returncode == 1
    assert 'exec: \\"no-such-program\\": executable file not found in $PATH' in done.stderr
    assert oci.states() == []


def test_errors_are_written_to_the_log_as_json(oci: Oci, tmp_path: Path) -> None:
    log = tmp_path / "log"
    done = oci("--log", str(log), "--log-format", "json", "start", "nothing")
    assert done.returncode == 1
    entry = json.loads(log.read_text())
    assert (entry["level"], entry["msg"]) == ("error", "container does not exist")
    assert done.stderr == "container does not exist\n"


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "a b", "é", "x" * 1025])
def test_an_id_is_no_path(oci: Oci, name: str) -> None:
    done = oci("create", "-b", oci.bundle(), name)
    assert (done.returncode, "invalid container ID format" in done.stderr) == (1, True)


def test_an_id_is_taken_once(oci: Oci) -> None:
    bundle = oci.bundle("sleep", "100")
    oci.ok("create", "-b", bundle, "c1")
    done = oci("create", "-b", bundle, "c1")
    assert (done.returncode, "already exists" in done.stderr) == (1, True)
    oci.ok("start", "c1")


def test_only_a_created_container_can_be_started(oci: Oci) -> None:
    oci.ok("run", "-d", "-b", oci.bundle("sleep", "100"), "c1")
    assert "cannot start an already running container" in oci("start", "c1").stderr
    oci.ok("kill", "c1", "KILL")
    time.sleep(0.1)
    assert "cannot start a container that has stopped" in oci("start", "c1").stderr


def test_descriptors_pass_only_if_asked_for(oci: Oci) -> None:
    read, write = os.pipe()
    bundle = oci.bundle("sh", "-c", "echo through >&3")
    os.dup2(write, 3, inheritable=True) if write != 3 else os.set_inheritable(3, True)
    assert oci("run", "-b", bundle, "c1", pass_fds=(3,)).returncode != 0
    assert oci("run", "--preserve-fds", "1", "-b", bundle, "c2", pass_fds=(3,)).returncode == 0
    assert os.read(read, 100) == b"through\n"
    os.close(read)
    os.close(write)


def test_a_create_that_is_killed_leaves_what_delete_removes(oci: Oci) -> None:
    """At moments spread over the time that a create takes."""
    bundle = oci.bundle("sleep", "100")
    for number in range(20):
        name = f"c{number}"
        process = subprocess.Popen([*oci.argv, "create", "-b", bundle, name])
        time.sleep(0.005 * number)
        process.send_signal(signal.SIGKILL)
        process.wait()
        oci.ok("delete", "--force", name)
        assert name not in oci.states()


ATTACK = """
import os, sys
print("the host's Python", sys.version_info[0])
for flags in (os.O_WRONLY, os.O_RDWR, os.O_WRONLY | os.O_TRUNC):
    try:
        os.open("/proc/self/exe", flags)
        print("opened")
    except OSError as error:
        print(error.strerror)
"""


@pytest.fixture(params=["own interpreter", "immutable copy"])
def attacked(request: pytest.FixtureRequest, oci: Oci, tmp_path: Path) -> Iterator[Oci]:
    """minidock as a checkout runs it, and as an installation does (.ci/install)."""
    if request.param == "own interpreter":
        yield oci
        return
    copy = tmp_path / "python"
    shutil.copy(os.path.realpath(sys.executable), copy)
    if subprocess.run(["chattr", "+i", str(copy)], check=False).returncode:
        pytest.skip("needs a filesystem with immutable files, and the right to make them")
    oci.words[0] = str(copy)
    oci.words[1:1] = ["-IS"]
    oci.words[-1] = f"import sys; sys.path.insert(0, {os.getcwd()!r}); {oci.words[-1]}"
    try:
        yield oci
    finally:
        subprocess.run(["chattr", "-i", str(copy)], check=True)


def test_the_runtimes_own_program_cannot_be_written_to(attacked: Oci) -> None:
    """CVE-2019-5736: a container whose program is /proc/self/exe runs the host's interpreter; on
    run and on exec. It gets the host's libraries to be able to, and all capabilities but one."""

    def change(config: dict[str, Any]) -> None:
        config["process"]["args"] = ["/proc/self/exe", "-IS", "-c", ATTACK]
        places = ("/usr", "/lib", "/lib64", sys.base_prefix)
        config["mounts"] += [
            {"destination": place, "source": place, "type": "bind", "options": ["rbind", "ro"]}
            for place in dict.fromkeys(places)
            if os.path.isdir(place)
        ]
        config["process"]["env"].append(f"PYTHONHOME={sys.base_prefix}")
        config["root"]["readonly"] = False

    done = attacked.run(change=change)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == "the host's Python 3"
    _check_refused(lines)

    def idle(config: dict[str, Any]) -> None:
        change(config)
        config["process"]["args"] = ["sleep", "100"]

    attacked.ok("run", "-d", "-b", attacked.bundle(change=idle), "c1")
    done = attacked("exec", "c1", "/proc/self/exe", "-IS", "-c", ATTACK)
    assert done.returncode == 0, done.stderr
    _check_refused(done.stdout.splitlines())


def _check_refused(lines: list[str]) -> None:
    """A program that runs is always busy; what is asked is whether it could be written to later,
    and that the kernel says only where a file is to be emptied."""
    refused = {"Read-only file system", "Operation not permitted"}
    assert lines[-1] in refused, lines
    assert set(lines[1:]) <= {*refused, "Text file busy"}, lines
