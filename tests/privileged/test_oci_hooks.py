"""Hooks: programs that are run at points of a container's life, each where it belongs."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.conftest import Oci

# Each hook writes its point, what it reads, and in which namespaces it is.
SCRIPT = (
    'read -r s; echo "$POINT $(readlink /proc/self/ns/mnt) $(readlink /proc/self/ns/net)'
    ' $PWD $s" >> "$OUT"'
)
POINTS = (
    "prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop",
)  # fmt: skip


def hook(point: str, out: Path, script: str = SCRIPT) -> dict[str, Any]:
    env = [f"POINT={point}", f"OUT={out}", "PATH=/usr/bin:/bin"]
    return {"path": "/bin/sh", "args": ["sh", "-c", script], "env": env}


def every_hook(out: Path) -> dict[str, list[dict[str, Any]]]:
    return {point: [hook(point, out)] for point in POINTS}


def test_each_is_run_once_in_its_order_and_namespaces(oci: Oci, tmp_path: Path) -> None:
    out = tmp_path / "out"
    shared = tmp_path / "shared"
    shared.mkdir()

    def change(config: dict[str, Any]) -> None:
        config["hooks"] = every_hook(out)
        config["hooks"]["startContainer"][0]["env"][1] = "OUT=/tmp/out"
        config["mounts"].append(
            {"destination": "/tmp", "source": str(shared), "options": ["bind"], "type": "bind"}
        )
        config["annotations"] = {"a": "b"}

    bundle = oci.bundle("readlink", "/proc/self/ns/mnt", "/proc/self/ns/net", change=change)
    oci.ok("create", "-b", bundle, "c1")
    created = [line.split()[0] for line in out.read_text().splitlines()]
    assert created == ["prestart", "createRuntime", "createContainer"]
    pid = json.loads(oci.ok("state", "c1"))["pid"]
    inside = [os.readlink(f"/proc/{pid}/ns/{kind}") for kind in ("mnt", "net")]
    oci.ok("start", "c1")
    oci.ok("delete", "--force", "c1")
    lines = [*out.read_text().splitlines(), *(shared / "out").read_text().splitlines()]
    seen = {line.split()[0]: line.split(maxsplit=4) for line in lines}
    assert set(seen) == set(POINTS)
    outside = [os.readlink(f"/proc/self/ns/{kind}") for kind in ("mnt", "net")]
    for point in ("prestart", "createRuntime", "poststart", "poststop"):
        assert seen[point][1:3] == outside, point
    for point in ("createContainer", "startContainer"):
        assert seen[point][1:3] == inside, point
    states = {point: json.loads(words[4]) for point, words in seen.items()}
    assert {state["id"] for state in states.values()} == {"c1"}
    assert {state["bundle"] for state in states.values()} == {bundle}
    assert all(state["annotations"] == {"a": "b"} for state in states.values())
    statuses = {point: state["status"] for point, state in states.items()}
    assert statuses == {
        "prestart": "creating",
        "createRuntime": "creating",
        "createContainer": "creating",
        "startContainer": "created",
        "poststart": "running",
        "poststop": "stopped",
    }
    assert states["createRuntime"]["pid"] == states["poststart"]["pid"] == pid
    assert states["createContainer"]["pid"] == states["startContainer"]["pid"] == 1


def test_what_a_runtime_hook_puts_into_the_root_is_there(oci: Oci, tmp_path: Path) -> None:
    """As a driver of a graphics card does: from outside, through init's mount namespace."""
    script = (
        "pid=$(sed 's/.*\"pid\":\\([0-9]*\\).*/\\1/');"
        f" nsenter -t $pid -m mount -t tmpfs -o size=1m hooked {oci.rootfs}/var"
    )

    def change(config: dict[str, Any]) -> None:
        config["hooks"] = {"createRuntime": [hook("createRuntime", tmp_path / "out", script)]}

    done = oci.run("grep", "/var", "/proc/mounts", change=change)
    assert done.stdout.startswith("hooked /var tmpfs"), done.stderr


@pytest.mark.parametrize("point", POINTS[:4])
def test_one_that_fails_stops_the_start(oci: Oci, tmp_path: Path, point: str) -> None:
    script = "echo no good >&2; exit 3"

    def change(config: dict[str, Any]) -> None:
        config["hooks"] = {point: [hook(point, tmp_path / "out", script)]}

    done = oci.run("echo", "ran", change=change)
    assert (done.returncode, done.stdout) == (1, "")
    assert f"error running {point} hook #0: exit status 3: no good" in done.stderr
    assert oci.states() == []


@pytest.mark.parametrize("point", POINTS[4:])
def test_one_that_comes_too_late_to_stop_it_is_told_of(
    oci: Oci, tmp_path: Path, point: str
) -> None:
    out = tmp_path / "out"

    def change(config: dict[str, Any]) -> None:
        config["hooks"] = {point: [hook(point, out, "exit 3"), hook(point, out)]}

    done = oci.run("true", change=change)
    assert done.returncode == 0
    assert f"error running {point} hook #0: exit status 3" in done.stderr
    assert out.read_text().startswith(point), "the next one is run all the same"


def test_one_that_takes_too_long_is_killed(oci: Oci, tmp_path: Path) -> None:
    def change(config: dict[str, Any]) -> None:
        entry = hook("createRuntime", tmp_path / "out", "exec sleep 100")
        config["hooks"] = {"createRuntime": [{**entry, "timeout": 1}]}

    done = oci.run("true", change=change)
    assert done.returncode == 1
    assert "createRuntime hook #0: ran past its timeout of 1 s" in done.stderr


def test_one_that_is_not_there_is_named(oci: Oci) -> None:
    def change(config: dict[str, Any]) -> None:
        config["hooks"] = {"createRuntime": [{"path": "/no/such/hook"}]}

    done = oci.run("true", change=change)
    assert done.returncode == 1
    assert "/no/such/hook: no such file or directory" in done.stderr


def test_nothing_of_our_environment_reaches_one(oci: Oci, tmp_path: Path) -> None:
    out = tmp_path / "out"

    def change(config: dict[str, Any]) -> None:
        script = (
            f"/usr/bin/env > {out}; ls /proc/self/fd >> {out}; grep Sig /proc/self/status >> {out}"
        )
        config["hooks"] = {"createRuntime": [{**hook("", out, script), "env": ["ONE=1"]}]}

    oci.run("true", change=change)
    words = out.read_text().split()
    assert "ONE=1" in words
    assert not any(
        word.startswith(("HOME=", "MINIDOCK", "LC_ALL=", "PATH=/usr/sbin")) for word in words
    )
    assert words[words.index("SigIgn:") + 1].strip("0") == ""
