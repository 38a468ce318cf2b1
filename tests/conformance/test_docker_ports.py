"""Ports, beside Docker: what `port`, `ps` and `inspect` say where nothing is published."""

from __future__ import annotations

from typing import Any

import pytest


@pytest.fixture(scope="module")
def both(docker_engine: Any, minidock_home: Any, root_tarball: bytes) -> Any:
    docker_engine("import", "-", "busybox", stdin=root_tarball)
    made = ("run", "-d", "--network", "none", "--name", "ports", "--expose", "80-82")
    for run in (docker_engine, minidock_home):
        done = run(*made, "--expose", "53/udp", "-p", "8080:443", "busybox", "sleep", "60")
        assert done.returncode == 0, done.stderr
    yield docker_engine, minidock_home
    for run in (docker_engine, minidock_home):
        run("rm", "-f", "ports")


@pytest.mark.parametrize(
    "words",
    [
        ("port", "ports"),
        ("port", "ports", "80"),
        ("port", "ports", "81/udp"),
        ("port", "ports", "x"),
        ("port", "ports", "70000"),
        ("port", "ports", "80/tcp/x"),
        ("port", "nosuch"),
        ("port",),
        ("ps", "--filter", "name=ports", "--format", "{{.Ports}}"),
        ("ps", "-q", "--filter", "publish=8080"),
        ("inspect", "--format", "{{json .HostConfig.PortBindings}}", "ports"),
        ("inspect", "--format", "{{json .Config.ExposedPorts}}", "ports"),
        ("inspect", "--format", "{{json .NetworkSettings.Ports}}", "ports"),
        ("run", "--rm", "-p", "x", "busybox"),
        ("run", "--rm", "-p", "1-2:1-3", "busybox"),
        ("run", "--rm", "--expose", "9-8", "busybox"),
    ],
)
def test_same_words(both: Any, words: tuple[str, ...]) -> None:
    theirs, ours = (run(*words) for run in both)
    for done in (theirs, ours):
        done.stderr = done.stderr.replace("docker", "minidock").replace('"', "")
    assert (ours.returncode, ours.stdout, ours.stderr) == (
        theirs.returncode, theirs.stdout, theirs.stderr)  # fmt: skip
