"""The documents of containers and images, and how `inspect` prints them."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from minidock.cli.inspect import to_indented_json
from minidock.engine.containers import Container
from minidock.engine.holding import hold
from minidock.engine.inspect import inspect_container, inspect_image, with_sizes
from minidock.errors import StoreError
from minidock.image.store import StoredImage
from minidock.linux.host import boot_id, start_time
from minidock.spec.digest import DiffID, Digest
from minidock.spec.image import History, ImageConfig
from minidock.spec.overlay import escape

IMAGE = "sha256:" + "d6" * 32


@pytest.fixture
def container(tmp_path: Path) -> Container:
    """A container as `create` leaves it, with the least that its file says."""
    document: dict[str, Any] = {
        "Id": "ab" * 32,
        "Name": "web",
        "Created": "2026-11-23T10:00:00Z",
        "Image": IMAGE,
        "ImageName": "busybox",
        "Path": "sh",
        "Args": ["-c", "true"],
        "Config": {"Labels": {"a": "b"}, "Env": [], "Tty": True, "Hostname": "h", "StopTimeout": 3},
        "HostConfig": {"NetworkMode": "none", "Init": None, "AutoRemove": True},
    }
    lower = ":".join(escape(path) for path in ("/l/a:b", "/l/c"))
    mount = {"destination": "/", "options": [f"lowerdir={lower}", "upperdir=x"]}
    (tmp_path / "config.json").write_text(json.dumps({"mounts": [mount]}))
    return Container("ab" * 32, "web", str(tmp_path), str(tmp_path / "run"), document)


def start(container: Container, *, alive: bool) -> None:
    pid = os.getpid()
    started = {
        "Pid": pid,
        "StartTime": start_time(pid) if alive else 1,
        "BootId": boot_id(),
        "StartedAt": "2026-11-23T10:00:01Z",
    }
    Path(container.directory, "started.json").write_text(json.dumps(started))


def test_a_created_one(container: Container) -> None:
    document = inspect_container(container)
    assert document["Name"] == "/web"
    assert document["State"] == {
        "Status": "created", "Running": False, "Paused": False, "Restarting": False,
        "OOMKilled": False, "Dead": False, "Pid": 0, "ExitCode": 0, "Error": "",
        "StartedAt": "0001-01-01T00:00:00Z", "FinishedAt": "0001-01-01T00:00:00Z",
    }  # fmt: skip
    assert document["GraphDriver"]["Data"] == {
        "LowerDir": "/l/a:b:/l/c",
        "MergedDir": f"{container.directory}/rootfs",
        "UpperDir": f"{container.directory}/upper",
        "WorkDir": f"{container.directory}/work",
    }
    assert document["LogPath"] == f"{container.directory}/{'ab' * 32}-json.log"
    assert document["ExecIDs"] is None
    assert document["NetworkSettings"]["SandboxKey"] == ""


def test_what_nobody_asked_for_is_filled_in_at_its_place(container: Container) -> None:
    document = inspect_container(container)
    config = document["Config"]
    assert config["Hostname"] == "h" and config["Tty"] is True and config["StopTimeout"] == 3
    assert config["Env"] is None and config["Cmd"] is None and config["User"] == ""
    assert list(config)[:3] == ["Hostname", "Domainname", "User"]
    assert "ExposedPorts" not in config and "StopSignal" not in config
    host = document["HostConfig"]
    assert host["AutoRemove"] is True and host["Memory"] == 0 and host["Binds"] is None
    assert list(host)[:3] == ["Binds", "ContainerIDFile", "LogConfig"]
    assert "Init" not in host  # only where it was asked for
    container.document["HostConfig"].update(Init=True, Novelty=7)
    host = inspect_container(container)["HostConfig"]
    assert host["Init"] is True
    assert list(host)[-1] == "Novelty"


def test_a_running_one_with_execs(container: Container) -> None:
    start(container, alive=True)
    run = Path(container.run_dir)
    run.mkdir()
    for name in ("exec-bb.json", "exec-aa.json", "attach.sock", "exec-cc.json.1.tmp"):
        (run / name).touch()
    (run / "exec-dd.json").touch()  # of a monitor that was killed
    held = [hold(f"{run}/exec-{name}.json") for name in ("aa", "bb")]
    document = inspect_container(container)
    state = document["State"]
    assert (state["Status"], state["Running"], state["Pid"]) == ("running", True, os.getpid())
    assert state["StartedAt"] == "2026-11-23T10:00:01Z"
    assert document["ExecIDs"] == ["aa", "bb"]
    for fd in held:
        os.close(fd)
    assert inspect_container(container)["ExecIDs"] is None
    assert document["NetworkSettings"]["SandboxKey"] == f"/proc/{os.getpid()}/ns/net"
    container.document["HostConfig"]["NetworkMode"] = "host"
    settings = inspect_container(container)["NetworkSettings"]
    assert settings["SandboxKey"] == ""
    assert list(settings["Networks"]) == ["host"]


def test_one_that_ended(container: Container) -> None:
    start(container, alive=False)
    end = {"ExitCode": 137, "FinishedAt": "2026-11-23T10:00:02Z", "OOMKilled": True}
    Path(container.directory, "exited.json").write_text(json.dumps(end))
    Path(container.run_dir).mkdir()
    Path(container.run_dir, "exec-aa.json").touch()  # left by a monitor that was killed
    document = inspect_container(container)
    state = document["State"]
    assert (state["Status"], state["ExitCode"], state["OOMKilled"]) == ("exited", 137, True)
    assert state["FinishedAt"] == "2026-11-23T10:00:02Z"
    assert document["ExecIDs"] is None


def test_without_its_bundle(container: Container) -> None:
    Path(container.directory, "config.json").write_text("")  # what a power cut left
    with pytest.raises(StoreError, match="does not say what lies below"):
        inspect_container(container)


def test_sizes_stand_where_docker_has_them(container: Container) -> None:
    keys = list(with_sizes(inspect_container(container), 5, 105))
    at = keys.index("GraphDriver")
    assert keys[at : at + 4] == ["GraphDriver", "SizeRw", "SizeRootFs", "Mounts"]


class Sizes:
    def size(self, image: StoredImage) -> int:
        return 100 * len(image.diff_ids)


def stored(*layers: str, **config: Any) -> StoredImage:
    diff_ids = tuple(DiffID("sha256:" + letter * 64) for letter in layers)
    whole = ImageConfig(
        "arm64",
        "linux",
        diff_ids,
        (History(comment="first"), History(comment="last")),
        config,
        "2026-11-23T10:00:00Z",
        "me",
        "v8",
    )
    return StoredImage(
        Digest(IMAGE), Digest(IMAGE), whole, ("a:1", "b:2"), (), diff_ids, "sha256:parent"
    )


def test_an_image() -> None:
    image = stored("a", "b", Cmd=["sh"], ExposedPorts={"80/tcp": {}}, Labels=None)
    document = inspect_image(Sizes(), image, "/root")  # type: ignore[arg-type]
    data = document["GraphDriver"]["Data"]
    assert data["LowerDir"] == f"/root/layers/{'a' * 64}"
    assert data["UpperDir"].startswith("/root/layers/")
    assert data["UpperDir"] != f"/root/layers/{'b' * 64}"  # named by the chain, not the layer
    assert list(document["Config"]) == [
        "Cmd", "Entrypoint", "Env", "ExposedPorts", "Labels", "OnBuild", "User", "Volumes",
        "WorkingDir",
    ]  # fmt: skip
    assert document["Config"]["Cmd"] == ["sh"] and document["Config"]["User"] == ""
    assert document["RootFS"]["Layers"] == [str(diff_id) for diff_id in image.diff_ids]
    expected = {
        "Id": IMAGE, "RepoTags": ["a:1", "b:2"], "RepoDigests": [], "Parent": "sha256:parent",
        "Comment": "last", "Author": "me", "Architecture": "arm64", "Variant": "v8", "Size": 200,
    }  # fmt: skip
    assert {key: document[key] for key in expected} == expected


def test_an_image_without_layers() -> None:
    document = inspect_image(Sizes(), stored(), "/root")  # type: ignore[arg-type]
    assert document["GraphDriver"]["Data"] == {} and document["Size"] == 0


@pytest.mark.parametrize(
    "value",
    [[], {}, [[]], [{}], {"a": []}, [1, -2, True, None, "x"], {"a": {"b": [1, {"c": "d"}]}},
     'q"\\\n\t\r\b\x00\x1b é 日本 <&>', 2**63],
)  # fmt: skip
def test_the_layout_is_that_of_json(value: object) -> None:
    assert to_indented_json(value) == json.dumps(value, indent=4, ensure_ascii=False)


def test_what_a_terminal_would_obey_is_escaped() -> None:
    text = "\x7f \x9b \u2028 \udcff é"
    printed = to_indented_json(text)
    assert printed == '"\\u007f \\u009b \\u2028 � é"'
    assert json.loads(printed) == text.replace("\udcff", "�")
