"""Restart policies: whether a container that has ended is started again, and after which pause.

    no                 never
    on-failure[:N]     when its exit code is not 0; with N, that many times at most
    always             whatever the code
    unless-stopped     the same; Docker tells the two apart when its daemon starts

It is the container's own monitor that starts it again, so there is nobody to do it after the
monitor was killed or the machine was booted: then it has ended, `ps` says so, and `start` starts
it. The pause keeps a program that fails at once from eating a processor: 100 ms, twice as long
each time, a minute at most, and from the beginning again once it ran for ten seconds.

What a user stopped or killed stays so until the next `start`, under every policy: whoever is about
to send the signal first leaves an empty file `stopped` in the run directory, which the monitor
looks for when the container has ended.

See: moby's restartmanager/restartmanager.go
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

STOPPED = "stopped"  # the file in the run directory

_FIRST_PAUSE = 0.1  # seconds
_LONGEST_PAUSE = 60.0
_RAN_WELL = 10.0


class Restarts:
    """The restarts of one container since its user started it. `count` is the number so far."""

    def __init__(self) -> None:
        self.count = 0
        self._pause = 0.0

    def pause_before_next(
        self, policy: Mapping[str, object], exit_code: int, ran_seconds: float
    ) -> float | None:
        """Seconds to wait before the container is started again, which counts as one more restart;
        None where it stays ended. `policy` is Docker's {"Name", "MaximumRetryCount"}."""
        if ran_seconds >= _RAN_WELL:
            self._pause = 0.0
        self._pause = min(2 * self._pause, _LONGEST_PAUSE) if self._pause else _FIRST_PAUSE
        name = policy.get("Name")
        if name == "on-failure":
            most = policy.get("MaximumRetryCount")
            again = exit_code != 0 and (not most or self.count < int(str(most)))
        else:
            again = name in ("always", "unless-stopped")
        if not again:
            return None
        self.count += 1
        return self._pause


_POLICIES = ("no", "always", "on-failure", "unless-stopped")


def checked_policy(name: str, most: int) -> dict[str, object]:
    """A policy as Docker has it in its HostConfig. Raises `InvalidInput` in its words."""
    from minidock.errors import InvalidInput

    wrong = "invalid restart policy: "
    if name not in _POLICIES:
        known = "use one of 'no', 'always', 'on-failure', or 'unless-stopped'"
        raise InvalidInput(f"{wrong}unknown policy '{name}'; {known}")
    if name == "on-failure" and most < 0:
        raise InvalidInput(wrong + "maximum retry count cannot be negative")
    if name != "on-failure" and most:
        negative = " and cannot be negative" if most < 0 else ""
        only = "maximum retry count can only be used with 'on-failure'"
        raise InvalidInput(wrong + only + negative)
    return {"Name": name, "MaximumRetryCount": most}
