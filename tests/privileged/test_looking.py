"""ps, logs, diff and inspect of containers that really run."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any


def inspect(minidock: Any, name: str, *flags: str) -> dict[str, Any]:
    (document,) = json.loads(minidock.ok("inspect", *flags, name))
    return dict(document)


def line(minidock: Any, name: str, *flags: str) -> str:
    """The line of `ps` about one container."""
    return str(minidock.ok("ps", "-a", *flags, "-f", f"name=^{name}$").splitlines()[1])


def until(condition: Callable[[], bool]) -> None:
    for _ in range(200):
        if condition():
            return
        time.sleep(0.02)
    raise AssertionError("waited for four seconds")


def test_a_life(minidock: Any) -> None:
    minidock.ok("create", "--name", "life", "busybox", "sh", "-c", "sleep 100; exit 3")
    assert "Created" in line(minidock, "life")
    assert minidock.ok("ps", "-q") == ""
    minidock.ok("start", "life")
    assert " Up " in line(minidock, "life")
    document = inspect(minidock, "life")
    pid = document["State"]["Pid"]
    assert Path(f"/proc/{pid}/cmdline").read_bytes() == b"sh\0-c\0sleep 100; exit 3\0"
    assert os.readlink(f"/proc/{pid}/ns/net") == os.readlink(
        document["NetworkSettings"]["SandboxKey"]
    )
    assert minidock.ok("ps", "-q").strip() == document["Id"][:12]
    minidock.ok("kill", "life")
    minidock.ok("wait", "life")
    assert "Exited (137) " in line(minidock, "life")
    state = inspect(minidock, "life")["State"]
    assert (state["Status"], state["ExitCode"], state["Pid"]) == ("exited", 137, 0)
    assert state["StartedAt"] < state["FinishedAt"]
    assert minidock.ok("ps", "-q") == ""


def test_the_truth_when_nobody_saw_the_end(minidock: Any) -> None:
    minidock.ok("run", "-d", "--name", "unseen", "busybox", "sleep", "100")
    container_id = inspect(minidock, "unseen")["Id"]
    started = json.loads((minidock.directory(container_id) / "started.json").read_text())
    os.kill(started["MonitorPid"], signal.SIGKILL)
    os.kill(started["Pid"], signal.SIGKILL)
    until(lambda: minidock.ok("ps", "-q") == "")
    assert "Exited (255) " in line(minidock, "unseen")


def test_files_that_inspect_names_are_there(minidock: Any) -> None:
    minidock.ok("run", "--name", "files", "busybox", "sh", "-c", "echo out; echo x > /file")
    document = inspect(minidock, "files")
    assert Path(document["HostsPath"]).read_text().startswith("127.0.0.1\tlocalhost")
    assert Path(document["HostnamePath"]).read_text().strip() == document["Id"][:12]
    assert Path(document["ResolvConfPath"]).is_file()
    assert json.loads(Path(document["LogPath"]).read_text())["log"] == "out\n"
    data = document["GraphDriver"]["Data"]
    assert Path(data["UpperDir"], "file").read_text() == "x\n"
    assert any(Path(lower, "bin/busybox").is_file() for lower in data["LowerDir"].split(":"))
    image = inspect(minidock, "busybox")
    assert image["Id"] == document["Image"]
    assert Path(image["GraphDriver"]["Data"]["UpperDir"], "bin/busybox").is_file()


def test_execs_are_known_while_they_run(minidock: Any) -> None:
    minidock.ok("run", "-d", "--name", "execs", "busybox", "sleep", "100")
    assert inspect(minidock, "execs")["ExecIDs"] is None
    minidock.ok("exec", "-d", "execs", "sleep", "0.5")
    (exec_id,) = inspect(minidock, "execs")["ExecIDs"]
    assert len(exec_id) == 64
    until(lambda: inspect(minidock, "execs")["ExecIDs"] is None)


def test_sizes(minidock: Any) -> None:
    script = "head -c 1500 /dev/zero > /a; ln /a /b; ln -s 12345 /c; mkdir /d; rm /bin/ls"
    minidock.ok("run", "--name", "sizes", "busybox", "sh", "-c", script)
    size = inspect(minidock, "busybox")["Size"]
    document = inspect(minidock, "sizes", "-s")
    assert (document["SizeRw"], document["SizeRootFs"]) == (1505, 1505 + size)
    assert "SizeRw" not in inspect(minidock, "sizes")
    assert "1.5kB (virtual " in line(minidock, "sizes", "-s")


def test_an_image_whose_name_moved(minidock: Any) -> None:
    minidock.ok("tag", "busybox", "name:1")
    minidock.ok("run", "--name", "moved", "name:1", "true")
    assert line(minidock, "moved").split()[1] == "name:1"
    minidock.ok("commit", "moved", "name:1")
    image_id = inspect(minidock, "busybox")["Id"]
    assert line(minidock, "moved").split()[1] == image_id.removeprefix("sha256:")[:12]
    assert line(minidock, "moved", "--no-trunc").split()[1] == image_id
    minidock.ok("run", "--name", "child", "name:1", "true")
    listed = minidock.ok("ps", "-a", "-f", "ancestor=busybox", "--no-trunc", "-q").split()
    assert inspect(minidock, "child")["Id"] in listed  # made from what was made from it
    listed = minidock.ok("ps", "-a", "-f", "ancestor=name:1", "--no-trunc", "-q").split()
    assert listed == [inspect(minidock, "child")["Id"]]
    minidock.ok("rm", "child", "moved")
    minidock.ok("rmi", "name:1")


# ── logs ──


def test_streams_stay_apart(minidock: Any) -> None:
    minidock("run", "--name", "two", "busybox", "sh", "-c", "echo out; echo err >&2; printf end")
    done = minidock("logs", "two")
    assert (done.returncode, done.stdout, done.stderr) == (0, "out\nend", "err\n")
    assert minidock.ok("logs", "-n", "1", "two") == "end"


def test_following_ends_with_the_container(minidock: Any) -> None:
    script = "for i in 1 2 3 4 5; do echo $i; sleep 0.2; done; printf end"
    minidock.ok("run", "-d", "--name", "follow", "busybox", "sh", "-c", script)
    begun = time.monotonic()
    assert minidock.ok("logs", "-f", "follow") == "1\n2\n3\n4\n5\nend"
    assert 0.5 < time.monotonic() - begun < 10
    assert minidock.ok("logs", "-f", "-n", "2", "follow") == "5\nend"


def test_following_a_container_that_removes_itself(minidock: Any) -> None:
    script = "sleep 0.5; echo last"
    minidock.ok("run", "-d", "--rm", "--name", "follow-rm", "busybox", "sh", "-c", script)
    assert minidock.ok("logs", "-f", "follow-rm") == "last\n"
    done = minidock("logs", "follow-rm")
    assert done.stderr == "Error response from daemon: No such container: follow-rm\n"


def test_following_shows_lines_as_they_come(minidock: Any) -> None:
    minidock.ok("run", "-d", "--name", "live", "busybox", "sh", "-c", "echo a; sleep 100")
    with minidock.popen("logs", "-f", "live", stdout=subprocess.PIPE) as reader:
        assert reader.stdout.readline() == b"a\n"  # while the container runs
        minidock.ok("kill", "live")
        assert reader.wait(10) == 0


def test_following_ends_when_the_monitor_is_killed(minidock: Any) -> None:
    minidock.ok("run", "-d", "--name", "orphan", "busybox", "sh", "-c", "echo a; sleep 100")
    container_id = inspect(minidock, "orphan")["Id"]
    started = json.loads((minidock.directory(container_id) / "started.json").read_text())
    with minidock.popen("logs", "-f", "orphan", stdout=subprocess.PIPE) as reader:
        assert reader.stdout.readline() == b"a\n"
        os.kill(started["MonitorPid"], signal.SIGKILL)
        assert reader.wait(10) == 0  # nobody writes that log any more


def test_a_log_goes_on_behind_half_a_line(minidock: Any) -> None:
    minidock.ok("run", "--name", "torn", "busybox", "echo", "one")
    log = Path(inspect(minidock, "torn")["LogPath"])
    with log.open("a") as file:
        file.write('{"log":"half a li')
    assert minidock.ok("logs", "torn") == "one\n"
    minidock.ok("start", "-a", "torn")
    assert minidock.ok("logs", "torn") == "one\none\n"


def test_much_output_and_its_end(minidock: Any) -> None:
    minidock.ok("run", "--name", "much", "busybox", "sh", "-c", "seq 200000")
    assert minidock.ok("logs", "much").split() == [str(n) for n in range(1, 200001)]
    assert minidock.ok("logs", "-n", "2", "much") == "199999\n200000\n"


# ── diff ──


def test_diff_of_one_that_runs_and_of_one_that_ended(minidock: Any) -> None:
    script = "echo x > /root/new; rm /bin/ls; touch /ready; sleep 100"
    minidock.ok("run", "-d", "--name", "changed", "busybox", "sh", "-c", script)
    expected = "C /bin\nD /bin/ls\nA /ready\nC /root\nA /root/new\n"
    until(lambda: minidock.ok("diff", "changed") == expected)
    minidock.ok("kill", "changed")
    minidock.ok("wait", "changed")
    assert minidock.ok("diff", "changed") == expected


def test_nothing_changed(minidock: Any) -> None:
    """Not even by the mounts that a container gets."""
    minidock.ok("run", "--name", "same", "busybox", "true")
    assert minidock.ok("diff", "same") == ""
