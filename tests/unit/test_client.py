"""The command's end of a monitor's socket, when the other end is not there any more."""

from __future__ import annotations

import socket

from minidock.engine.client import MonitorConnection


def test_a_monitor_that_died_before_its_order_is_said_to_have() -> None:
    ours, theirs = socket.socketpair()
    theirs.close()
    connection = MonitorConnection(ours)
    connection.order(b"start this")
    outcome = connection.wait_started()
    assert (outcome.kind, outcome.message) == ("lost", "the container's monitor died")
