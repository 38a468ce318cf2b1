"""commit: what comes out of a container, and that the container always goes on."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from minidock.engine.commit import commit
from minidock.engine.containers import Containers
from minidock.engine.paths import Paths
from minidock.errors import NotFound
from minidock.image.store import ImageStore

COUNT = "i=0; while true; do i=$((i+1)); echo $i > /count; done"


@pytest.fixture
def counting(minidock: Any) -> Iterator[tuple[Any, str]]:
    """A container that writes to a file without pause; images of the test are removed."""
    container = minidock.ok("run", "-d", "busybox", "sh", "-c", COUNT).strip()
    yield minidock, container
    minidock.ok("rm", "-f", container)
    remove_images(minidock)


def remove_images(minidock: Any) -> None:
    """All but the session's."""
    names = minidock.ok("images", "--format", "{{.Repository}}:{{.Tag}} {{.ID}}").split("\n")
    for line in names:
        if line and not line.startswith("busybox:"):
            name, image_id = line.split()
            minidock.ok("rmi", "-f", image_id if "<none>" in name else name)


def big_file(minidock: Any, container: str, megabytes: int = 200) -> None:
    """Something that takes a commit a while."""
    command = f"dd if=/dev/urandom of=/big bs=1M count={megabytes}"
    minidock.ok("exec", container, "sh", "-c", command)


def freezer_state(container: str) -> str:
    """What the kernel says: FROZEN, FREEZING or THAWED (1 or 0 on cgroup v2)."""
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        point = Path(line.split()[4])
        for name in ("freezer.state", "cgroup.freeze"):
            path = point / "minidock" / container / name
            if path.exists():
                return path.read_text().strip()
    raise AssertionError("no freezer")


def counts(minidock: Any, container: str) -> bool:
    """Whether the container's process is at work."""
    path = minidock.directory(container) / "upper" / "count"
    for _ in range(100):
        before = path.read_text() if path.exists() else ""
        time.sleep(0.05)
        if path.exists() and path.read_text() != before:
            return True
    return False


def wait_until_frozen(container: str) -> None:
    for _ in range(2000):
        if freezer_state(container) in ("FROZEN", "1"):
            return
        time.sleep(0.002)
    raise AssertionError("the commit never froze the container")


def test_a_commit_is_an_image_that_runs(minidock: Any) -> None:
    minidock.ok("run", "--name", "made", "busybox", "sh", "-c", "echo text > /foo; rm /etc/group")
    image_id = minidock.ok("commit", "made", "made-image").strip()
    assert image_id.startswith("sha256:") and len(image_id) == 71
    assert minidock.ok("run", "--rm", "made-image", "cat", "/foo") == "text\n"
    assert "group" not in minidock.ok("run", "--rm", "made-image", "ls", "/etc").split()
    assert "group" in minidock.ok("run", "--rm", "busybox", "ls", "/etc").split()
    remove_images_and(minidock, "made")


def remove_images_and(minidock: Any, *containers: str) -> None:
    minidock.ok("rm", "-f", *containers)
    remove_images(minidock)


def test_the_new_image_runs_as_the_container_did(minidock: Any) -> None:
    minidock.ok(
        *("create", "--name", "as", "-e", "A=1", "-w", "/tmp", "-u", "33", "-l", "k=v"),
        *("--stop-signal", "INT", "busybox", "sh", "-c", "id -u; pwd; echo $A"),
    )
    minidock.ok("commit", "-a", "me", "-m", "why", "-c", "ENV B=2", "as", "as-image")
    assert minidock.ok("run", "--rm", "as-image") == "33\n/tmp\n1\n"
    (image,) = json.loads(minidock.ok("image", "inspect", "as-image"))
    config = {key: value for key, value in image["Config"].items() if value}
    assert config == {
        "User": "33",
        "Env": ["A=1", "B=2"],
        "Cmd": ["sh", "-c", "id -u; pwd; echo $A"],
        "WorkingDir": "/tmp",
        "Labels": {"k": "v"},
        "StopSignal": "INT",
    }
    assert (image["Author"], image["Comment"]) == ("me", "why")
    history = minidock.ok("history", "--no-trunc", "as-image").splitlines()[1]
    assert "sh -c id -u; pwd; echo $A" in history and history.endswith("why")
    remove_images_and(minidock, "as")


def test_an_unchanged_container_adds_no_layer(minidock: Any) -> None:
    minidock.ok("create", "--name", "same", "busybox", "true")
    minidock.ok("commit", "same", "same-image")
    layers = [
        json.loads(minidock.ok("image", "inspect", name))[0]["RootFS"]["Layers"]
        for name in ("busybox", "same-image")
    ]
    assert layers[0] == layers[1]
    remove_images_and(minidock, "same")


def test_a_running_container_stands_still_and_goes_on(counting: tuple[Any, str]) -> None:
    minidock, container = counting
    big_file(minidock, container)
    commit = minidock.popen("commit", container, "still", stdout=subprocess.DEVNULL)
    wait_until_frozen(container)
    assert commit.wait(60) == 0
    assert counts(minidock, container)


def test_without_pause_it_never_stands_still(counting: tuple[Any, str]) -> None:
    minidock, container = counting
    big_file(minidock, container, 50)
    commit = minidock.popen("commit", "--pause=false", container, "moving")
    seen = set()
    while commit.poll() is None:
        seen.add(freezer_state(container))
        time.sleep(0.001)
    assert commit.returncode == 0
    assert seen <= {"THAWED", "0"}


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_commit_that_is_killed_leaves_nothing_frozen(
    counting: tuple[Any, str], number: int
) -> None:
    minidock, container = counting
    big_file(minidock, container)
    commit = minidock.popen("commit", container, "killed", stderr=subprocess.DEVNULL)
    wait_until_frozen(container)
    commit.send_signal(number)
    commit.wait(60)
    assert counts(minidock, container)
    if commit.returncode:  # otherwise it had done its work before the signal came
        assert "killed" not in minidock.ok("images", "killed").split()


def test_the_next_command_thaws_what_nobody_is_left_to_thaw(counting: tuple[Any, str]) -> None:
    minidock, container = counting
    big_file(minidock, container)
    commit = minidock.popen("commit", container, "killed", stderr=subprocess.DEVNULL)
    wait_until_frozen(container)
    for child in children(commit.pid):  # the holder before the command, so that it cannot thaw
        os.kill(child, signal.SIGKILL)
    commit.kill()
    commit.wait(60)
    assert freezer_state(container) in ("FROZEN", "1")
    assert "Up" in minidock.ok("ps")
    assert counts(minidock, container)


def children(pid: int) -> list[int]:
    return [int(p) for p in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def test_many_commits_of_one_container_at_once(counting: tuple[Any, str]) -> None:
    minidock, container = counting
    commits = [
        minidock.popen("commit", container, f"many:{i}", stdout=subprocess.PIPE) for i in range(5)
    ]
    ids = {commit.communicate(timeout=60)[0] for commit in commits}
    assert all(commit.returncode == 0 for commit in commits)
    assert len(ids) == 5
    tags = minidock.ok("images", "many", "--format", "{{.Tag}}").split()
    assert sorted(tags) == ["0", "1", "2", "3", "4"]
    assert counts(minidock, container)


def test_an_image_removed_by_force_cannot_be_committed_on(minidock: Any) -> None:
    minidock.ok("tag", "busybox", "kept")  # so that the layer stays
    minidock.ok("run", "--name", "base", "busybox", "touch", "/a")
    minidock.ok("commit", "base", "doomed")
    minidock.ok("create", "--name", "orphan", "doomed", "true")
    minidock.ok("rmi", "-f", "doomed")
    done = minidock("commit", "orphan", "x")
    assert done.returncode == 1
    assert done.stderr.startswith("Error response from daemon: No such image: sha256:")
    assert minidock("start", "-a", "orphan").returncode == 0  # its layers are there still
    assert minidock("inspect", "x").returncode == 1
    remove_images_and(minidock, "base", "orphan")


def test_changes_that_cannot_be_change_nothing(counting: tuple[Any, str]) -> None:
    minidock, container = counting
    before = minidock.ok("images", "-a")
    done = minidock("commit", "-c", "FROM x", container, "x")
    assert done.returncode == 1
    assert done.stderr == "Error response from daemon: from is not a valid change command\n"
    assert minidock.ok("images", "-a", "-q").split() == [
        line.split()[2] for line in before.splitlines()[1:]
    ]


def test_the_layer_of_mount_points_goes_with_the_image(minidock: Any) -> None:
    layers = minidock.root / "mountpoints"
    before = set(os.listdir(layers)) if layers.is_dir() else set()
    minidock.ok("run", "--name", "one", "busybox", "touch", "/a")
    minidock.ok("commit", "one", "two")
    minidock.ok("run", "--name", "user", "two", "true")
    made = set(os.listdir(layers)) - before
    assert len(made) >= 1
    minidock.ok("rmi", "-f", "two")
    assert made <= set(os.listdir(layers))  # the container could be started again
    assert minidock("start", "-a", "user").returncode == 0
    minidock.ok("rm", "one", "user")
    minidock.ok("tag", "busybox", "other")
    minidock.ok("rmi", "other")
    left = set(os.listdir(layers))
    assert len(left - before) <= 1  # busybox's own


@pytest.mark.parametrize("pause", [True, False])
def test_a_container_that_is_removed_meanwhile(minidock: Any, pause: bool) -> None:
    """`commit` had found it, then somebody's `rm -f` was faster: no path of ours is shown."""
    name = minidock.ok("create", "busybox", "true").strip()
    root = str(minidock.root)
    container = Containers(Paths(root, str(minidock.run_root))).find(name)
    minidock.ok("rm", name)
    with pytest.raises(NotFound) as caught:
        commit(container, ImageStore(root), pause=pause)
    assert caught.value.message == f"No such container: {name}"
