"""start: an order to a monitor, and what comes of it.

Everything about the container stands in its directory by now; the order only says where that is,
and what the monitor should know before it has read anything (monitor_order.py).
"""

from __future__ import annotations

from minidock.engine import bundle
from minidock.engine.events import tell
from minidock.engine.holding import await_free, is_held, lock_of
from minidock.engine.host_config import has_own_networks
from minidock.engine.monitor_order import IS_STARTED, Order

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from minidock.engine.client import MonitorConnection, Outcome
    from minidock.engine.containers import Container


def start(
    container: Container,
    connection: MonitorConnection,
    *,
    attach: bool,
    narrate: Callable[[bytes], None] | None = None,
) -> Outcome:
    """Order a monitor to start the container, and wait until its program runs or cannot.

    The outcome's kind is "started" (its code is then init's PID), "failed" or "lost".
    """
    config, host_config = container.config, container.host_config
    letters = "l"
    letters += "t" if config["Tty"] else ""
    letters += "i" if config["OpenStdin"] else ""
    letters += "o" if config["StdinOnce"] else ""
    letters += "r" if host_config["AutoRemove"] else ""
    letters += "a" if attach else ""
    letters += "e" if narrate else ""
    letters += "h" if _has_check(config) else ""
    letters += "k" if host_config["PidMode"] else ""
    letters += "m" if host_config.get("Memory") else ""
    letters += "n" if has_own_networks(host_config) else ""
    points = container.document.get("MountPoints", ())
    letters += "s" if bundle.known_late(host_config, points) else ""
    if attach:
        tell(container, "attach")
    order = Order(container.directory, container.run_dir, letters)
    # A `cp` may be at its files, or its last monitor; if it is another start, we shall be refused.
    await_free(lock_of(container.directory), lambda: container.state().active)
    connection.order(order.encode())
    outcome = connection.wait_started(narrate)
    if outcome.kind == "failed" and outcome.code == IS_STARTED:
        return _await_other_start(container, outcome)
    return outcome


def _await_other_start(container: Container, refusal: Outcome) -> Outcome:
    """Two commands start the same container at once: it counts as started by both."""
    from time import sleep

    from minidock.engine.client import Outcome

    while not container.state().active:
        if not is_held(lock_of(container.directory)):
            return Outcome("failed", 128, refusal.message)
        sleep(0.005)
    return Outcome("started", 0)


def _has_check(config: dict[str, Any]) -> bool:
    if not config.get("Healthcheck"):
        return False  # the usual case, for which nothing is imported
    from minidock.engine.health import has_check

    return has_check(config)
