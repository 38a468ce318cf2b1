"""The same things are done to Docker's containers and images and to minidock's: both tell the same.

Left out is what Docker's own way of doing things adds (it mounts volumes to copy a file), and of
the attributes those that differ by nature: ids, and the time that a container ran, which the
dockerd at hand is too old to tell.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., Any]
JOURNEY = (
    "run --rm --network none --name first -l tier=front busybox true",
    "run -d --network none --name web -l tier=front busybox sleep 100",
    "exec web echo hi there",
    "exec web true",
    "exec web nonsense",
    "pause web",
    "unpause web",
    "top web",
    "rename web site",
    "update --pids-limit 100 site",
    "cp site:/etc/passwd {home}/passwd",
    "cp {home}/passwd site:/tmp/",
    "cp site:/nothing {home}/nothing",
    "commit -m words site image:1",
    "kill -s HUP site",
    "export -o {home}/root.tar site",
    "stop -t 0 site",
    "start site",
    "restart -t 0 site",
    "kill site",
    "stop site",
    "start site",
    "rm -f site",
    "create --network none --name other busybox true",
    "cp {home}/passwd other:/tmp/",
    "start -a other",
    "rm other",
    "tag busybox name:1",
    "tag busybox name:2",
    "rmi name:1",
    "save -o {home}/saved.tar name:2 busybox",
    "rmi name:2 image:1",
    "load -i {home}/saved.tar",
    "rmi name:2",
    "import {home}/root.tar imported:1",
    "rmi imported:1",
    "run -d --network none --name again --restart on-failure:1 busybox false",
    "wait again",
    "run -d --network none --name sick --health-cmd false --health-interval 100ms"
    " --health-retries 1 busybox sleep 100",
)


def told(run: Run, since: float) -> list[str]:
    """What was told since then, in a form that can be compared."""
    done = run(
        "events", "--since", f"{since:.9f}", "--until", f"{time.time():.9f}", "--format", "json"
    )
    assert done.returncode == 0, done.stderr
    lines = []
    for event in map(json.loads, done.stdout.splitlines()):
        if event["Type"] not in ("container", "image"):
            continue
        attributes = dict(event["Actor"]["Attributes"])
        attributes.pop("execDuration", None)
        for key in ("execID", "imageID"):
            if key in attributes:
                attributes[key] = "…"
        if attributes["name"].startswith("sha256:"):
            assert attributes["name"] == event["Actor"]["ID"]
            attributes["name"] = "its id"
        assert event["status"] == event["Action"]
        assert event["id"] == event["Actor"]["ID"]
        lines.append(f"{event['Type']} {event['Action']} {sorted(attributes.items())}")
    return lines


def journey(run: Run, home: Path) -> list[str]:
    home.mkdir()
    since = time.time()
    for line in JOURNEY:
        run(*line.format(home=home).split())
    limit = time.monotonic() + 10
    while not any("health_status" in line for line in told(run, since)):
        assert time.monotonic() < limit
        time.sleep(0.1)
    found = told(run, since)
    # How often it was probed depends on who is faster.
    last = next(i for i, line in enumerate(found) if "health_status" in line)
    run("rm", "-f", "sick", "again")
    return found[: last + 1]


@pytest.fixture(scope="module")
def docker(docker_engine: Run, root_tarball: bytes) -> Iterator[Run]:
    done = docker_engine("import", "-", "busybox", stdin=root_tarball)
    assert done.returncode == 0, done.stderr
    yield docker_engine
    docker_engine("rmi", "-f", "busybox")  # other tests compare whole lists


def test_the_same_is_told(docker: Run, minidock: Any, tmp_path: Path) -> None:
    homes = (tmp_path / "theirs", tmp_path / "ours")
    with ThreadPoolExecutor(2) as pool:  # both at the same time
        theirs, ours = pool.map(journey, (docker, minidock), homes)
    assert ours == theirs


@pytest.mark.parametrize(
    "arguments",
    [
        "--since abc",
        "--since 20 --until 10",
        "--since 2026-01-02 --until 2026-01-01T10:00:00Z",
        "--format {{.Foo}} --until 0s",
        "--format {{ --until 0s",
        "--filter foo --until 0s",
        "nonsense",
    ],
)
def test_the_same_is_refused(docker: Run, minidock: Any, arguments: str) -> None:
    theirs, ours = (run("events", *arguments.split()) for run in (docker, minidock))
    assert ours.returncode == theirs.returncode
    assert ours.stderr == theirs.stderr.replace("docker", "minidock")
