"""run: what a user sees, and the exit codes scripts rely on."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

RUN = ("run", "--rm", "busybox")


def test_output_streams_and_exit_code(minidock) -> None:
    done = minidock(*RUN, "sh", "-c", "echo out; echo err >&2; exit 42")
    assert (done.stdout, done.stderr, done.returncode) == ("out\n", "err\n", 42)


@pytest.mark.parametrize(
    ("command", "code", "words"),
    [
        (["nosuch"], 127, 'exec: "nosuch": executable file not found in $PATH'),
        (["/nosuch"], 127, 'exec: "/nosuch": stat /nosuch: no such file or directory'),
        (["/etc"], 126, 'exec: "/etc": is a directory'),
        (["/etc/passwd"], 126, 'exec: "/etc/passwd": permission denied'),
        ([""], 127, 'exec: "": executable file not found in $PATH'),
    ],
)
def test_programs_that_cannot_be_started(
    minidock, command: list[str], code: int, words: str
) -> None:
    done = minidock(*RUN, *command)
    assert done.returncode == code
    first, blank, pointer = done.stderr.split("\n")[:3]
    assert first.startswith("minidock: Error response from daemon: ")
    assert first.endswith(f"{words}: unknown")
    assert (blank, pointer) == ("", "Run 'minidock run --help' for more information")


def test_a_script_whose_interpreter_is_missing(minidock) -> None:
    make = "printf '#!/nosuch\\n' > /script; chmod +x /script"
    minidock.ok("run", "--name", "script", "busybox", "sh", "-c", make)
    minidock.ok("commit", "script", "with-script")
    done = minidock("run", "--rm", "with-script", "/script")
    assert done.returncode == 127
    assert "exec /script: no such file or directory" in done.stderr
    minidock.ok("rmi", "-f", "with-script")


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["-u", "nosuch"], "unable to find user nosuch: no matching entries in passwd file"),
        (["-u", "4294967296"], "uids and gids must be in range 0-2147483647"),
        (["-w", "relative"], "the working directory 'relative' is invalid, it needs to be an"),
        (["--name", "a b"], "Invalid container name (a b), only [a-zA-Z0-9][a-zA-Z0-9_.-] are"),
        (["--stop-signal", "FOO"], "FOO"),
    ],
)
def test_requests_that_make_no_sense(minidock, flags: list[str], words: str) -> None:
    done = minidock("run", "--rm", *flags, "busybox", "true")
    assert done.returncode == 125
    assert words in done.stderr


def test_a_failed_start_leaves_a_created_container_that_says_why(minidock) -> None:
    assert minidock("run", "--name", "broken", "busybox", "nosuch").returncode == 127
    (document,) = json.loads(minidock.ok("inspect", "broken"))
    assert document["State"]["Status"] == "created"
    assert document["State"]["ExitCode"] == 127
    assert "executable file not found" in document["State"]["Error"]


def test_a_failed_start_with_rm_leaves_nothing(minidock) -> None:
    minidock("run", "--rm", "--name", "broken", "busybox", "nosuch")
    assert minidock.ok("ps", "-aq") == ""


def test_killed_by_a_signal(minidock) -> None:
    assert minidock(*RUN, "sh", "-c", "kill -9 $$; sleep 1").returncode in (0, 137)
    name = minidock.ok("run", "-d", "busybox", "sleep", "100").strip()
    minidock.ok("kill", name)
    assert minidock.ok("wait", name) == "137\n"


def test_a_fresh_container_each_time(minidock) -> None:
    minidock.ok(*RUN, "touch", "/foo")
    assert minidock(*RUN, "ls", "/foo").returncode == 1


def test_standard_input_passes_unharmed_to_its_end(minidock) -> None:
    data = os.urandom(3_000_000)
    done = subprocess.run(
        [*minidock.argv, "run", "-i", "--rm", "busybox", "cat"],
        input=data,
        capture_output=True,
        env=minidock.env,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0
    assert done.stdout == data


def test_without_i_there_is_no_input(minidock) -> None:
    assert minidock.ok(*RUN, "cat", stdin=b"not for you") == ""


def test_environment(minidock, tmp_path: Path) -> None:
    file = tmp_path / "env"
    file.write_text("# comment\nFROM_FILE=1\n\nOVER=file\n")
    done = minidock.ok(
        "run", "--rm", "-e", "OVER=flag", "-e", "GIVEN=a=b", "--env-file", str(file), "-h", "box",
        "busybox", "env",
    )  # fmt: skip
    values = dict(line.split("=", 1) for line in done.splitlines())
    assert values == {
        "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "HOSTNAME": "box",
        "FROM_FILE": "1",
        "OVER": "flag",
        "GIVEN": "a=b",
        "HOME": "/root",
    }


def test_user_and_working_directory(minidock) -> None:
    done = minidock.ok(
        "run", "--rm", "-u", "www-data", "-w", "/made/here", "busybox",
        "sh", "-c", "id -u; id -g; id -G; echo $HOME; pwd",
    )  # fmt: skip
    assert done.split("\n")[:-1] == ["33", "33", "33 50", "/var/www", "/made/here"]


def test_entrypoint(minidock) -> None:
    assert minidock.ok("run", "--rm", "--entrypoint", "echo", "busybox", "a", "b") == "a b\n"


def test_nothing_to_run(minidock) -> None:
    done = minidock("run", "--rm", "busybox")
    assert done.returncode == 125
    assert "No command specified" in done.stderr


def test_read_only(minidock) -> None:
    done = minidock("run", "--rm", "--read-only", "busybox", "touch", "/x")
    assert done.returncode == 1
    assert "Read-only file system" in done.stderr


@pytest.mark.parametrize("name", ["hosts", "hostname", "resolv.conf"])
def test_read_only_holds_for_what_is_mounted_in_etc(minidock, name: str) -> None:
    command = ("busybox", "sh", "-c", f"echo >> /etc/{name}")
    assert minidock("run", "--rm", *command).returncode == 0
    assert minidock("run", "--rm", "--read-only", *command).returncode != 0


def test_detached_with_cidfile_name_and_labels(minidock, tmp_path: Path) -> None:
    cidfile = tmp_path / "cid"
    printed = minidock.ok(
        "run",
        "-d",
        "--name",
        "web",
        "-l",
        "a=b",
        "--cidfile",
        str(cidfile),
        "busybox",
        "sleep",
        "100",
    )
    assert len(printed) == 65
    assert cidfile.read_text() == printed.strip()
    again = minidock("run", "--cidfile", str(cidfile), "busybox", "true")
    assert again.returncode == 125
    clash = minidock("run", "--name", "web", "busybox", "true")
    assert clash.returncode == 125
    assert (
        f'Conflict. The container name "/web" is already in use by container "{printed.strip()}". '
        "You have to remove (or rename) that container to be able to reuse that name."
    ) in clash.stderr


def test_an_image_that_is_not_here(minidock) -> None:
    done = minidock("run", "127.0.0.1:1/nosuch", "true")
    assert done.returncode == 125
    lines = done.stderr.splitlines()
    assert lines[0] == "Unable to find image '127.0.0.1:1/nosuch:latest' locally"
    refused = 'Get "http://127.0.0.1:1/v2/": connect: connection refused'
    assert f"minidock: Error response from daemon: {refused}" in lines  # after it has tried again
    never = minidock("run", "--pull", "never", "nosuch", "true")
    assert "No such image: nosuch:latest" in never.stderr


def test_signals_are_passed_on(minidock) -> None:
    script = "trap 'echo got it; exit 3' TERM; echo ready; while :; do sleep 0.05; done"
    process = minidock.popen(*RUN, "sh", "-c", script, stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"ready\n"
    process.send_signal(signal.SIGTERM)
    assert process.stdout.read() == b"got it\n"
    assert process.wait(20) == 3


def test_stop_asks_first_and_kills_later(minidock) -> None:
    script = "trap 'exit 7' USR1; while :; do sleep 0.05; done"
    name = minidock.ok("run", "-d", "--stop-signal", "USR1", "busybox", "sh", "-c", script).strip()
    time.sleep(0.3)
    assert minidock.ok("stop", name) == name + "\n"
    assert minidock.ok("wait", name) == "7\n"
    minidock.ok("start", name)
    minidock.ok("stop", "-s", "TERM", "-t", "0", name)
    assert minidock.ok("wait", name) == "137\n"


def test_init_reaps_and_passes_signals_on(minidock) -> None:
    script = "(sleep 0.1 &) ; trap 'exit 5' TERM; while :; do sleep 0.05; done"
    name = minidock.ok("run", "-d", "--init", "busybox", "sh", "-c", script).strip()
    time.sleep(0.6)
    states = minidock.ok("exec", name, "sh", "-c", "cat /proc/[0-9]*/stat")
    assert " Z " not in states
    minidock.ok("stop", name)
    assert minidock.ok("wait", name) == "5\n"


def test_ps_inside_shows_no_path_of_the_host(minidock) -> None:
    """The init of ours is the host's Python, whose command line names the source directory."""
    name = minidock.ok("run", "-d", "--init", "busybox", "sleep", "100").strip()
    seen = minidock.ok("exec", name, "cat", "/proc/1/cmdline", "/proc/1/comm")
    assert seen == "minidock-init -- sleep 100\0minidock-init\n"


def test_restart_is_a_new_process_with_the_same_files(minidock) -> None:
    script = "echo $$ >> /runs; sleep 100"
    name = minidock.ok("run", "-d", "busybox", "sh", "-c", script).strip()
    minidock.ok("restart", "-t", "0", name)
    time.sleep(0.3)
    assert minidock.ok("exec", name, "cat", "/runs") == "1\n1\n"


def test_rm_refuses_a_running_container(minidock) -> None:
    minidock.ok("run", "-d", "--name", "busy", "busybox", "sleep", "100")
    done = minidock("rm", "busy")
    assert done.returncode == 1
    assert done.stderr == (
        'Error response from daemon: cannot remove container "busy": container is running: '
        "stop the container before removing or force remove\n"
    )
    assert minidock.ok("rm", "-f", "busy") == "busy\n"
    assert minidock.ok("ps", "-aq") == ""


def test_rename(minidock) -> None:
    minidock.ok("run", "-d", "--name", "old", "busybox", "sleep", "100")
    minidock.ok("rename", "old", "new")
    assert minidock("inspect", "old").returncode == 1
    assert minidock.ok("inspect", "-f", "{{.Name}}", "new") == "/new\n"
    minidock.ok("run", "--rm", "--name", "old", "busybox", "true")


def test_exec(minidock) -> None:
    name = minidock.ok("run", "-d", "-e", "A=1", "busybox", "sleep", "100").strip()
    assert minidock.ok("exec", "-e", "B=2", name, "sh", "-c", "echo $A$B") == "12\n"
    assert minidock.ok("exec", "-i", name, "cat", stdin=b"through") == "through"
    assert minidock.ok(
        "exec", "-u", "33:50", "-w", "/tmp", name, "sh", "-c", "id -u; id -g; pwd"
    ) == ("33\n50\n/tmp\n")
    assert minidock("exec", name, "sh", "-c", "exit 9").returncode == 9
    assert minidock("exec", name, "nosuch").returncode == 127
    assert minidock("exec", name, "/etc").returncode == 126
    assert minidock.ok("exec", "-d", name, "touch", "/done") == ""
    time.sleep(0.3)
    minidock.ok("exec", name, "ls", "/done")
    assert " Z " not in minidock.ok("exec", name, "sh", "-c", "cat /proc/[0-9]*/stat")


def test_exec_needs_a_running_container(minidock) -> None:
    minidock.ok("run", "--name", "ended", "busybox", "true")
    done = minidock("exec", "ended", "true")
    assert done.returncode == 1
    assert done.stderr.startswith("Error response from daemon: container ")
    assert done.stderr.endswith(" is not running\n")


def test_a_container_outlives_the_command_that_started_it(minidock) -> None:
    process = minidock.popen(
        "run", "--name", "tough", "busybox", "sh", "-c",
        "echo up; sleep 0.5; echo still; sleep 100", stdout=subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout.readline() == b"up\n"
    process.kill()
    process.wait()
    time.sleep(0.8)
    assert minidock.ok("inspect", "-f", "{{.State.Running}}", "tough") == "true\n"
    assert minidock.ok("logs", "tough") == "up\nstill\n"


def test_a_killed_monitor_is_not_lied_about(minidock) -> None:
    name = minidock.ok("run", "-d", "busybox", "sleep", "100").strip()
    started = json.loads((minidock.directory(name) / "started.json").read_text())
    os.kill(started["MonitorPid"], signal.SIGKILL)
    deadline = time.monotonic() + 10
    while Path(f"/proc/{started['Pid']}").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert (
        minidock.ok("inspect", "-f", "{{.State.Status}} {{.State.ExitCode}}", name)
        == "exited 255\n"
    )
    minidock.ok("start", name)
    assert minidock.ok("exec", name, "echo", "again") == "again\n"


def test_log_lines_are_dockers(minidock) -> None:
    name = minidock.ok(
        "run", "-d", "busybox", "sh", "-c", "echo 'a\"b'; echo e >&2; printf end"
    ).strip()
    minidock.ok("wait", name)
    path = minidock.directory(name) / f"{name}-json.log"
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    seen = sorted((line["stream"], line["log"]) for line in lines)
    assert seen == [("stderr", "e\n"), ("stdout", 'a"b\n'), ("stdout", "end")]
    assert all(line["time"].endswith("Z") and len(line["time"]) > 20 for line in lines)


def test_many_at_once(minidock) -> None:
    running = [minidock.popen(*RUN, "sh", "-c", f"exit {i}") for i in range(1, 13)]
    assert [p.wait(60) for p in running] == list(range(1, 13))
