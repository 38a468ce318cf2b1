"""Health checks: what a check is made of, and what a result makes of the container's status."""

from __future__ import annotations

from pathlib import Path

import pytest

from minidock.cli.command import ClientError, Command
from minidock.cli.lifecycle_flags import LIFECYCLE_FLAGS, health_check, restart_policy
from minidock.cli.parse import parse
from minidock.engine import health
from minidock.engine.probe import _go_duration
from minidock.engine.restart import checked_policy
from minidock.errors import InvalidInput

SECOND = 10**9
RUN = Command(help="", run="", flags=LIFECYCLE_FLAGS)


def follow(codes: list[int], check: dict[str, int], *, every: int = SECOND) -> list[str]:
    """The statuses after results that come `every` nanoseconds."""
    status, streak, seen = health.STARTING, 0, []
    for number, code in enumerate(codes):
        status, streak = health.next_status(
            status, streak, check, {"ExitCode": code}, (number + 1) * every
        )
        seen.append(status)
    return seen


def test_three_failures_in_a_row_are_unhealthy_and_one_success_is_not() -> None:
    assert follow([1, 0, 1, 1, 0, 1, 1, 1, 0], {}) == [
        "starting", "healthy", "healthy", "healthy", "healthy",
        "healthy", "healthy", "unhealthy", "healthy",
    ]  # fmt: skip


def test_failures_in_the_start_period_count_only_after_a_success() -> None:
    check = {"StartPeriod": 4 * SECOND, "Retries": 1}
    assert follow([1, -1, 1, 1], check) == ["starting", "starting", "starting", "unhealthy"]
    assert follow([1, 0, 1], check) == ["starting", "healthy", "unhealthy"]


def test_five_results_are_kept_over_restarts(tmp_path: Path) -> None:
    here = str(tmp_path)
    health.begin(here)
    for number in range(7):
        status = health.add_result(here, {}, {"ExitCode": 0, "Output": str(number)}, 0)
        assert status == "healthy"
    health.begin(here)
    known = health.read_json(f"{here}/health.json") or {}
    assert (known["Status"], known["FailingStreak"]) == ("starting", 0)
    assert [result["Output"] for result in known["Log"]] == list("23456")


def test_the_users_words_go_over_the_images() -> None:
    image = {"Test": ["CMD", "x"], "Interval": SECOND, "Retries": 5}
    assert health.merge_check(None, image) is image
    assert health.merge_check(None, None) is None
    merged = health.merge_check({"Retries": 2, "Timeout": SECOND}, image)
    assert merged == {"Test": ["CMD", "x"], "Interval": SECOND, "Timeout": SECOND, "Retries": 2}
    none = health.merge_check({"Test": ["NONE"]}, image)
    assert none is not None
    assert none["Test"] == ["NONE"]
    assert not health.has_check({"Healthcheck": none})
    with pytest.raises(InvalidInput, match="Timeout in Healthcheck cannot be less than 1ms"):
        health.merge_check({"Timeout": 1000}, None)


def test_the_command_of_a_check() -> None:
    check = {"Test": ["CMD-SHELL", "a || b"]}
    assert health.command_of({"Healthcheck": check}) == ("/bin/sh", "-c", "a || b")
    config = {"Healthcheck": check, "Shell": ["/bin/bash", "-ec"]}
    assert health.command_of(config) == ("/bin/bash", "-ec", "a || b")
    assert health.command_of({"Healthcheck": {"Test": ["CMD", "a", "b"]}}) == ("a", "b")
    assert not health.has_check({"Healthcheck": {"Interval": SECOND}})
    assert not health.has_check({})


@pytest.mark.parametrize(
    ("words", "check"),
    [
        ([], None),
        (["--health-cmd", "true"], {"Test": ["CMD-SHELL", "true"]}),
        (["--health-interval", "1m30s"], {"Interval": 90 * SECOND}),
        (["--health-interval", "0"], None),
        (
            ["--health-retries=4", "--health-start-period=2ms", "--health-start-interval=1h"],
            {"Retries": 4, "StartPeriod": 2_000_000, "StartInterval": 3600 * SECOND},
        ),
        (["--no-healthcheck"], {"Test": ["NONE"]}),
    ],
)
def test_flags(words: list[str], check: object) -> None:
    assert health_check(parse(RUN, "run", words)) == check


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--health-timeout=-1s"], "--health-timeout cannot be negative"),
        (["--health-retries=-1"], "--health-retries cannot be negative"),
        (
            ["--no-healthcheck", "--health-cmd", "x"],
            "--no-healthcheck conflicts with --health-* options",
        ),
    ],
)
def test_what_cannot_be_meant(words: list[str], message: str) -> None:
    with pytest.raises(ClientError) as caught:
        health_check(parse(RUN, "run", words))
    assert caught.value.message == message


@pytest.mark.parametrize(
    ("text", "policy"),
    [
        ("", ("no", 0)),
        ("no", ("no", 0)),
        ("always:", ("always", 0)),
        ("on-failure:3", ("on-failure", 3)),
        ("unless-stopped:0", ("unless-stopped", 0)),
    ],
)
def test_restart_policies(text: str, policy: tuple[str, int]) -> None:
    assert restart_policy(text) == policy
    assert checked_policy(*policy) == {"Name": policy[0], "MaximumRetryCount": policy[1]}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "foo",
            "invalid restart policy: unknown policy 'foo'; "
            "use one of 'no', 'always', 'on-failure', or 'unless-stopped'",
        ),
        (
            "always:3",
            "invalid restart policy: maximum retry count can only be used with 'on-failure'",
        ),
        (
            "no:-3",
            "invalid restart policy: maximum retry count can only be used with 'on-failure' "
            "and cannot be negative",
        ),
        ("on-failure:-1", "invalid restart policy: maximum retry count cannot be negative"),
    ],
)
def test_policies_that_there_are_not(text: str, message: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        checked_policy(*restart_policy(text))
    assert caught.value.message == message


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (":3", "no policy provided before colon"),
        ("on-failure:x", "maximum retry count must be an integer"),
        ("on-failure:3:4", "maximum retry count must be an integer"),
    ],
)
def test_policies_that_cannot_be_read(text: str, message: str) -> None:
    with pytest.raises(ClientError) as caught:
        restart_policy(text)
    assert caught.value.message == f"invalid restart policy format: {message}"


def test_a_container_that_is_to_be_removed_cannot_be_restarted() -> None:
    message = "^conflicting options: cannot specify both --restart and --rm$"
    with pytest.raises(ClientError, match=message):
        restart_policy("always", auto_remove=True)
    assert restart_policy("no", auto_remove=True) == ("no", 0)


@pytest.mark.parametrize(
    ("nanoseconds", "text"),
    [
        (300_000_000, "300ms"),
        (1_500_000, "1.5ms"),
        (2 * SECOND, "2s"),
        (90 * SECOND, "1m30s"),
        (60 * SECOND, "1m0s"),
        (3600 * SECOND, "1h0m0s"),
        (1_500_000_000, "1.5s"),
    ],
)
def test_durations_as_go_prints_them(nanoseconds: int, text: str) -> None:
    assert _go_duration(nanoseconds) == text
