"""What a committed image takes from its container, and from the image below."""

from __future__ import annotations

import pytest

from minidock.engine.commit import image_config
from minidock.errors import InvalidInput

CONTAINER = {
    "Hostname": "48cff2e9be75", "Domainname": "", "User": "5", "AttachStdin": True, "Tty": True,
    "OpenStdin": True, "StdinOnce": True, "Env": ["A=9", "C=3"], "Cmd": ["-c", "echo"],
    "Image": "bb", "Volumes": {"/vv": {}}, "WorkingDir": "/tmp", "Entrypoint": ["/bin/sh"],
    "OnBuild": None, "Labels": {"im": "1"}, "StopSignal": "INT", "ExposedPorts": {"7/tcp": {}},
}  # fmt: skip


def test_how_to_run_is_kept_and_the_container_is_not() -> None:
    assert image_config(CONTAINER, {}) == {
        "User": "5",
        "ExposedPorts": {"7/tcp": {}},
        "Env": ["A=9", "C=3"],
        "Entrypoint": ["/bin/sh"],
        "Cmd": ["-c", "echo"],
        "Volumes": {"/vv": {}},
        "WorkingDir": "/tmp",
        "Labels": {"im": "1"},
        "StopSignal": "INT",
    }


def test_what_only_the_image_knows_is_kept_too_but_triggers_are_not() -> None:
    image = {
        "Healthcheck": {"Test": ["NONE"]},
        "OnBuild": ["RUN x"],
        "Cmd": ["old"],
        "Shell": ["a"],
    }
    config = image_config({"Cmd": ["new"], "OnBuild": None}, image)
    assert config == {"Cmd": ["new"], "Healthcheck": {"Test": ["NONE"]}, "Shell": ["a"]}


def test_changes_come_last() -> None:
    config = image_config(CONTAINER, {}, ["ENV A=1", "CMD ls", "LABEL b=2", "WORKDIR x"])
    assert config["Env"] == ["A=1", "C=3"]
    assert config["Cmd"] == ["/bin/sh", "-c", "ls"]
    assert config["Labels"] == {"im": "1", "b": "2"}
    assert config["WorkingDir"] == "/tmp/x"
    assert CONTAINER["Env"] == ["A=9", "C=3"]


def test_a_change_that_cannot_be() -> None:
    with pytest.raises(InvalidInput, match="from is not a valid change command"):
        image_config(CONTAINER, {}, ["FROM x"])
