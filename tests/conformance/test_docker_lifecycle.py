"""Restart policies and health checks beside Docker: counts, statuses, what `inspect` says, and the
words for what cannot be meant. An engine older than 28 is forgiven its words, nothing else."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

Run = Callable[..., subprocess.CompletedProcess[str]]
IMAGE = "lifecycle"
TIMED = re.compile(r"(Less than a second|\d+ seconds?|About a minute)")
WORDS_OF_28 = (
    # 25.0 says what there is
    (r"invalid restart policy '(\w+)'",
     r"invalid restart policy: unknown policy '\1'; use one of 'no', 'always', 'on-failure', or"
     " 'unless-stopped'"),
    (r"maximum retry count cannot be used with restart policy '\S+'",
     "invalid restart policy: maximum retry count can only be used with 'on-failure'"),
    (r"daemon: maximum retry count cannot be negative",
     "daemon: invalid restart policy: maximum retry count cannot be negative"),
    # 28.0 begins errors with a small letter, and spells as Americans do
    (r"Cannot kill container: it: Container", "cannot kill container: it: container"),
    (r"Unrecognised filter value", "unrecognized filter value"),
    # 25.0 names the container as the user did
    (r"You cannot remove a restarting container \S+ Stop the container before attempting removal or"
     r" force remove",
     'cannot remove container "it": container is restarting: stop the container before removing or'
     " force remove"),
)  # fmt: skip


def normal(text: str) -> str:
    for pattern, words in WORDS_OF_28:
        text = re.sub(pattern, words, text)
    text = re.sub(r"\b[0-9a-f]{64}\b", "<id>", text)
    return TIMED.sub("<time>", text).replace("minidock", "docker")


def ask(run: Run, line: str) -> tuple[int, str, str]:
    done = run(*shlex.split(line))
    return done.returncode, normal(done.stdout), normal(done.stderr)


@pytest.fixture(scope="module")
def imported(docker_engine: Run, minidock_home: Any, root_tarball: bytes) -> Iterator[list[Run]]:
    runs = [docker_engine, minidock_home]
    for run in runs:
        assert run("import", "-", IMAGE, stdin=root_tarball).returncode == 0
        check = "HEALTHCHECK --interval=300ms --retries=2 CMD test -e /well"
        done = run("import", "-c", check, "-", f"{IMAGE}:checked", stdin=root_tarball)
        assert done.returncode == 0
    yield runs
    minidock_home("rmi", IMAGE, f"{IMAGE}:checked")


@pytest.fixture
def both(imported: list[Run]) -> Iterator[list[Run]]:
    yield imported
    for run in imported:
        ids = run("ps", "-aq").stdout.split()
        if ids:
            run("rm", "-f", *ids)


def inspect(run: Run) -> dict[str, Any]:
    """What does not depend on the moment."""
    document = json.loads(run("inspect", "it").stdout)[0]
    state = document["State"]
    health = state.get("Health")
    return {
        **{key: state[key] for key in ("Status", "Running", "Paused", "Restarting", "OOMKilled")},
        "ExitCode": state["ExitCode"],
        "Health": health["Status"] if health else None,
        "Streak": health["FailingStreak"] if health else None,
        "RestartCount": document["RestartCount"],
        "RestartPolicy": document["HostConfig"]["RestartPolicy"],
        "Healthcheck": document["Config"].get("Healthcheck"),
    }


def settled(run: Run, **wanted: object) -> dict[str, Any]:
    """Its state as soon as it is as wanted; or after some seconds, for the test to complain of."""
    deadline = time.monotonic() + 15
    while True:
        found = inspect(run)
        if wanted.items() <= found.items() or time.monotonic() > deadline:
            return found
        time.sleep(0.02)


def same(both: list[Run], **wanted: object) -> dict[str, Any]:
    theirs, ours = (settled(run, **wanted) for run in both)
    if "Streak" not in wanted:
        theirs["Streak"] = ours["Streak"]  # it grows while we look
    assert ours == theirs
    assert wanted.items() <= ours.items()
    return ours


def same_answers(both: list[Run], *lines: str) -> None:
    for line in lines:
        theirs, ours = (ask(run, line) for run in both)
        assert ours == theirs, line


RUN = "run --network none --name it"


@pytest.mark.parametrize(
    "flags",
    [
        *(f"--restart '{policy}'" for policy in (
            "foo", "Always", "always:3", "no:1", "unless-stopped:2", "on-failure:-1",
            "on-failure:x", "on-failure:3:4", ":3", "always:1x",
        )),
        "--rm --restart always",
        "--rm --restart no",
        "--rm --restart on-failure:3",
        "--health-cmd true --no-healthcheck",
        "--no-healthcheck --health-retries 1",
        *(f"--health-{time}={value}" for time in ("interval", "timeout", "start-period")
          for value in ("foo", "1", "-1s", "1us", "0", "", "1h1")),
        "--health-retries=x",
        "--health-retries=-1",
    ],
)  # fmt: skip
def test_what_cannot_be_meant(both: list[Run], flags: str) -> None:
    same_answers(both, f"{RUN} {flags} {IMAGE} true")


def test_on_failure(both: list[Run]) -> None:
    same_answers(both, f"{RUN} --restart on-failure:2 {IMAGE} sh -c 'echo x; exit 3'")
    same(both, Status="exited", RestartCount=2, ExitCode=3)
    same_answers(both, "logs it", "ps -a --format '{{.Names}} {{.State}} {{.Status}}'")
    for run in both:
        run("start", "it")
    same(both, Status="exited", RestartCount=2)


def test_restarting(both: list[Run]) -> None:
    same_answers(both, f"{RUN} -d --restart always {IMAGE} sh -c 'exit 3'")
    for run in both:  # the seventh pause is of 6.4 seconds: time enough to ask
        settled(run, RestartCount=7, Status="restarting")
        assert inspect(run)["Running"]
    same_answers(
        both,
        "ps --format '{{.Names}} {{.State}} {{.Status}}'",
        "ps -q --filter status=running",
        "exec it true",
        "attach it",
        "rm it",
        "start it",
        "stop it",
    )
    same(both, Status="exited", ExitCode=3, RestartCount=7)
    same_answers(both, "kill it", "wait it", "rm it")


@pytest.mark.parametrize("how", ["stop -t 1 it", "kill it", "kill -s TERM it"])
def test_ended_by_a_user(both: list[Run], how: str) -> None:
    program = "sh -c 'trap \"exit 5\" TERM; while :; do sleep 0.05; done'"
    same_answers(both, f"{RUN} -d --restart unless-stopped {IMAGE} {program}")
    time.sleep(0.5)
    same_answers(both, how)
    same(both, Status="exited", RestartCount=0)


def test_health(both: list[Run]) -> None:
    """The image's check, and the user's words over it."""
    same_answers(
        both,
        "create --network none --name it --health-retries 1 --health-interval 1500ms"
        f" {IMAGE}:checked sleep 100",
    )
    same(both, Status="created", Health=None)
    same_answers(both, "start it", "ps --format '{{.Status}}'")
    assert same(both, Health="unhealthy")["Healthcheck"]["Retries"] == 1
    same_answers(both, "ps --format '{{.Status}}'", "exec it touch /well")
    same(both, Health="healthy", Streak=0)
    same_answers(
        both,
        "ps --format '{{.Status}}' --filter health=healthy",
        "ps -q --filter health=none --filter health=unhealthy",
        "ps --filter health=foo",
        "pause it",
        "ps --format '{{.Status}}'",
    )
    same(both, Status="paused", Health="unhealthy")
    same_answers(both, "unpause it", "stop -t 0 it", "ps -a --format '{{.Status}}'")
    same(both, Status="exited", Health="unhealthy")


def results(run: Run) -> list[tuple[int, str]]:
    """(exit code, output) of each probe."""
    log = json.loads(run("inspect", "-f", "{{json .State.Health.Log}}", "it").stdout)
    return [(result["ExitCode"], result["Output"]) for result in log]


@pytest.mark.parametrize(
    "check",
    [
        "exit 2",
        "echo hello",
        "yes | head -c 4096",
        "yes | head -c 4097",
        "sleep 60",
        "printf '\\377x'",
        "nonesuch",
        "id -u; pwd; echo $HOME $A",
    ],
)
def test_what_a_probe_finds(both: list[Run], check: str) -> None:
    flags = "--health-interval 100ms --health-timeout 1s -u 33 -w /tmp -e A=b"
    first = []
    for run in both:
        line = f"{RUN} -d {flags} --health-cmd {shlex.quote(check)} {IMAGE} sleep 100"
        assert ask(run, line)[0] == 0
        deadline = time.monotonic() + 10
        while not results(run) and time.monotonic() < deadline:
            time.sleep(0.05)
        first.append(results(run)[0])
    assert first[1] == first[0]


def test_no_healthcheck(both: list[Run]) -> None:
    same_answers(both, f"{RUN} -d --no-healthcheck {IMAGE}:checked sleep 100")
    time.sleep(0.5)
    same(both, Health=None, Status="running")
    same_answers(both, "ps --format '{{.Status}}'")
