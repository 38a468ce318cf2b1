"""The flags of run and create about what happens while a container lives, and after it has ended:
`--restart` and the health check.

See: docker/cli cli/command/container/opts.go, opts/opts.go (ParseRestartPolicy)
"""

from __future__ import annotations

from minidock.cli.command import ClientError, Flag

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from minidock.cli.parse import Parsed


def _duration(text: str) -> str:
    """Checks a duration such as `1m30s`; ValueError in Go's words."""
    from minidock.errors import InvalidInput
    from minidock.image.healthcheck import parse_duration

    try:
        parse_duration(text)
    except InvalidInput as error:
        raise ValueError(error.message) from None
    return text


_RESTART_HELP = "Restart policy to apply when a container exits"
RESTART = Flag("restart", default="no", help=_RESTART_HELP)
_UNIT = "(ms|s|m|h) (default 0s)"

LIFECYCLE_FLAGS = (
    Flag("health-cmd", help="Command to run to check health"),
    Flag(
        "health-interval",
        value="duration",
        check=_duration,
        help=f"Time between running the check {_UNIT}",
    ),
    Flag("health-retries", kind="int", help="Consecutive failures needed to report unhealthy"),
    Flag(
        "health-start-interval",
        value="duration",
        check=_duration,
        help=f"Time between running the check during the start period {_UNIT}",
    ),
    Flag(
        "health-start-period",
        value="duration",
        check=_duration,
        help="Start period for the container to initialize before starting "
        f"health-retries countdown {_UNIT}",
    ),
    Flag(
        "health-timeout",
        value="duration",
        check=_duration,
        help=f"Maximum time to allow one check to run {_UNIT}",
    ),
    Flag("no-healthcheck", kind="bool", help="Disable any container-specified HEALTHCHECK"),
    RESTART,
)

_ABOUT_HEALTH = [flag.long for flag in LIFECYCLE_FLAGS if flag is not RESTART]
_TIMES = (
    ("health-interval", "Interval"),
    ("health-timeout", "Timeout"),
    ("health-start-period", "StartPeriod"),
    ("health-start-interval", "StartInterval"),
)


def restart_policy(text: str, *, auto_remove: bool = False) -> tuple[str, int]:
    """`--restart`: the policy's name, and how often at most (0: always). The engine knows which
    names there are. Raises `ClientError` for what cannot be read, or goes against `--rm`."""
    name, colon, most = text.partition(":")
    wrong = "invalid restart policy format: "
    if colon and not name:
        raise ClientError(wrong + "no policy provided before colon")
    digits = most[1:] if most[:1] in ("+", "-") else most
    if most and not (digits.isascii() and digits.isdigit() and len(digits) < 19):
        raise ClientError(wrong + "maximum retry count must be an integer")
    if auto_remove and name not in ("", "no"):
        raise ClientError("conflicting options: cannot specify both --restart and --rm")
    return name or "no", int(most or 0)


def health_check(args: Parsed) -> dict[str, Any] | None:
    """The flags as Docker's Healthcheck; None where nothing was said. Raises `ClientError`."""
    if not any(args.given(flag) for flag in _ABOUT_HEALTH):
        return None
    from minidock.image.healthcheck import parse_duration

    check: dict[str, Any] = {}
    if args.text("health-cmd"):
        check["Test"] = ["CMD-SHELL", args.text("health-cmd")]
    for flag, key in _TIMES:
        if args.text(flag) and parse_duration(args.text(flag)):
            check[key] = parse_duration(args.text(flag))
    if args.number("health-retries"):
        check["Retries"] = args.number("health-retries")
    if args.on("no-healthcheck"):
        if check:
            raise ClientError("--no-healthcheck conflicts with --health-* options")
        return {"Test": ["NONE"]}
    for flag, key in (*_TIMES, ("health-retries", "Retries")):
        if check.get(key, 0) < 0:
            raise ClientError(f"--{flag} cannot be negative")
    return check or None
