"""Health checks: what a container's are, what they have found, and what follows from it.

A container with a check is *starting* until a probe has succeeded, then *healthy*; after so many
failures in a row it is *unhealthy* until one succeeds again. Failures in the start period do not
count while it is starting. The last five results are kept in `health.json` in the container's
directory, which the monitor's probes replace (probe.py), and which is there from the first start
on:

    {"Status": "healthy", "FailingStreak": 0,
     "Log": [{"Start": "2026-…", "End": "2026-…", "ExitCode": 0, "Output": "…"}]}

A check in Docker's shape: {"Test": ["CMD-SHELL", "…"], "Interval": nanoseconds, "Timeout",
"StartPeriod", "StartInterval", "Retries"}; where a value is missing or 0, the default holds.

See: moby's daemon/health.go, api/types/container/health.go
"""

from __future__ import annotations

from minidock.engine.statefile import read_json, write_json

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from minidock.engine.containers import Container, State

STARTING, HEALTHY, UNHEALTHY = "starting", "healthy", "unhealthy"
NONE = "none"  # a container without a check, for `ps --filter health=none`

_SECOND = 10**9
_DEFAULTS = {
    "Interval": 30 * _SECOND,
    "Timeout": 30 * _SECOND,
    "StartPeriod": 0,
    "StartInterval": 5 * _SECOND,
    "Retries": 3,
}
_LEAST = 10**6
_KEPT = 5


# ── the check ──


def merge_check(user: dict[str, Any] | None, image: dict[str, Any] | None) -> dict[str, Any] | None:
    """The user's words over the image's, value by value. Raises `InvalidInput` for times that
    Docker's engine refuses."""
    if user is None:
        return image
    merged = {**(image or {}), **{key: value for key, value in user.items() if value}}
    for key in ("Interval", "Timeout", "StartPeriod", "StartInterval"):
        if 0 < merged.get(key, 0) < _LEAST:
            from minidock.errors import InvalidInput

            raise InvalidInput(f"{key} in Healthcheck cannot be less than 1ms")
    order = ("Test", *_DEFAULTS)
    return {key: merged[key] for key in order if key in merged}


def has_check(config: dict[str, Any]) -> bool:
    """Whether a container of this `Config` is probed."""
    test = (config.get("Healthcheck") or {}).get("Test") or [""]
    return test[0] in ("CMD", "CMD-SHELL")


def setting(check: dict[str, Any], key: str) -> int:
    """A number of the check, or its default; times in nanoseconds."""
    return int(check.get(key) or 0) or _DEFAULTS[key]


def command_of(config: dict[str, Any]) -> tuple[str, ...]:
    """The program to run inside, and its arguments."""
    kind, *words = config["Healthcheck"]["Test"]
    shell = config.get("Shell") or ["/bin/sh", "-c"]
    return tuple(words) if kind == "CMD" else (*shell, *words)


# ── what was found ──


def begin(directory: str) -> None:
    """A new start: nothing is known yet. What earlier probes said is kept, as Docker does."""
    known = read_json(_path(directory)) or {}
    _write(directory, {"Status": STARTING, "FailingStreak": 0, "Log": known.get("Log", [])})


def status_of(directory: str) -> str:
    """What was found last."""
    return str((read_json(_path(directory)) or {}).get("Status", STARTING))


def add_result(
    directory: str, check: dict[str, Any], result: dict[str, Any], since_start: int
) -> str:
    """Write down what a probe found, `since_start` nanoseconds after the container's start; the
    container's status from now on."""
    known = read_json(_path(directory)) or {"Status": STARTING, "FailingStreak": 0, "Log": []}
    status, streak = next_status(
        known["Status"], known["FailingStreak"], check, result, since_start
    )
    log = [*known["Log"], result][-_KEPT:]
    _write(directory, {"Status": status, "FailingStreak": streak, "Log": log})
    return status


def next_status(
    status: str, streak: int, check: dict[str, Any], result: dict[str, Any], since_start: int
) -> tuple[str, int]:
    """The status and the number of failures in a row, after one more result."""
    if result["ExitCode"] == 0:
        return HEALTHY, 0
    if status == STARTING and since_start < setting(check, "StartPeriod"):
        return status, streak
    streak += 1
    return (UNHEALTHY if streak >= setting(check, "Retries") else status), streak


def health_of(container: Container, state: State) -> dict[str, Any] | None:
    """State.Health of `inspect`; None where there is no check, or was no start yet. Nobody looks
    after one that does not run: it counts as unhealthy, as in Docker."""
    if not has_check(container.config) or state.status == "created":
        return None
    found = read_json(_path(container.directory)) or {"FailingStreak": 0, "Log": []}
    status = found.get("Status", STARTING) if state.status == "running" else UNHEALTHY
    return {"Status": status, "FailingStreak": found["FailingStreak"], "Log": found["Log"]}


def _path(directory: str) -> str:
    return f"{directory}/health.json"


def _write(directory: str, health: dict[str, Any]) -> None:
    write_json(_path(directory), health, durable=False)
