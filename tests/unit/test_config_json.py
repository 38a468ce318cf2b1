"""config.json: what is unknown or impossible is refused, and the error names the field."""

from __future__ import annotations

from typing import Any

import pytest

from minidock.errors import BadJSON
from minidock.spec.runtime import parse_spec

GOOD: dict[str, Any] = {
    "ociVersion": "1.2.0",
    "process": {"args": ["sh"], "cwd": "/"},
    "root": {"path": "rootfs"},
    "linux": {},
}


def changed(path: str, value: object) -> dict[str, Any]:
    """GOOD with one field set; `path` is the field's name with dots."""
    document = {key: dict(v) if isinstance(v, dict) else v for key, v in GOOD.items()}
    *outer, last = path.split(".")
    place: Any = document
    for key in outer:
        place = place.setdefault(key, {})
    place[last] = value
    return document


def test_paths_are_taken_from_the_bundle() -> None:
    spec = parse_spec(GOOD, "/bundle")
    assert (spec.root_path, spec.process.args) == ("/bundle/rootfs", ("sh",))


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        ("ociVersion", "2.0.0", "ociVersion is not 1.x"),
        ("ociVersion", None, "ociVersion is missing"),
        ("root.path", None, "root.path is missing"),
        ("root.readonly", "yes", "root.readonly is not true or false"),
        ("process.args", [], "process.args is empty"),
        ("process.args", ["a\0b"], "process.args holds a NUL byte"),
        ("process.cwd", "relative", "process.cwd is not absolute"),
        ("process.user", {"uid": 2**32}, "process.user.uid is out of range"),
        ("process.user", {"gid": -1}, "process.user.gid is out of range"),
        ("process.user", {"umask": 0o1000}, "process.user.umask is out of range"),
        ("process.user", {"additionalGids": [-1]}, "process.user.additionalGids"),
        ("process.oomScoreAdj", 1001, "process.oomScoreAdj is out of range"),
        ("process.rlimits", [{"type": "RLIMIT_NOFILE", "soft": 2, "hard": 1}], "is above hard"),
        ("process.rlimits", [{"type": "RLIMIT_NOFILE", "soft": 2}], "rlimits[0].hard is missing"),
        ("process.scheduler", {"nice": 1}, "process.scheduler.policy is missing"),
        ("process.scheduler", {"policy": "SCHED_OTHER", "nice": 20}, "scheduler.nice is out of"),
        ("process.ioPriority", {"priority": 1}, "process.ioPriority.class is missing"),
        ("process.ioPriority", {"class": "IOPRIO_CLASS_BEST"}, "ioPriority.class is unknown"),
        ("mounts", [{"type": "tmpfs"}], "mounts[0].destination is missing"),
        ("mounts", ["x"], "mounts[0] is not an object"),
        ("hooks", {"prestart": [{"path": "rel"}]}, "hooks.prestart[0].path is not absolute"),
        ("hooks", {"poststop": [{"path": "/x", "timeout": 0}]}, "poststop[0].timeout is not"),
        ("linux.namespaces", [{"type": "disk"}], "linux.namespaces[0].type is unknown"),
        ("linux.namespaces", [{"type": "pid"}, {"type": "pid"}], "namespaces has two of a kind"),
        ("linux.namespaces", [{"type": "pid", "path": "x"}], "namespaces[0].path is not absolute"),
        ("linux.uidMappings", [{"hostID": 1, "size": 1}], "uidMappings[0].containerID is missing"),
        ("linux.timeOffsets", {"realtime": {"secs": 1}}, "timeOffsets.realtime is not a clock"),
        ("linux.devices", [{"path": "/dev/x", "type": "q"}], "devices[0].type is unknown"),
        ("linux.rootfsPropagation", "public", "linux.rootfsPropagation is unknown"),
        ("linux.personality", {"domain": "BSD"}, "linux.personality.domain is unknown"),
        ("linux.intelRdt", {"closID": "x"}, "linux.intelRdt is not supported"),
        ("linux.resources", {"devices": [{"access": "rx"}]}, "devices[0].access is not of r, w"),
        ("linux.resources", {"memory": {"limit": -2}}, "resources.memory.limit is out of range"),
        ("linux.resources", {"cpu": {"shares": "many"}}, "resources.cpu.shares is not a number"),
        ("linux.resources", {"blockIO": {"weight": 1001}}, "blockIO.weight is out of range"),
    ],
)
def test_the_error_names_the_field(path: str, value: object, words: str) -> None:
    with pytest.raises(BadJSON) as raised:
        parse_spec(changed(path, value), "/bundle")
    assert raised.value.message.startswith("config.json: ")
    assert words in raised.value.message


def test_what_is_not_known_is_passed_over() -> None:
    """The specification: a runtime must not fail because of a property it does not know."""
    assert parse_spec({**GOOD, "zos": {}, "annotations": {"a": "b"}}, "/b").annotations == (
        ("a", "b"),
    )
