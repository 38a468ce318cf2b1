"""The monitor's side of a health check: a probe every so often, for as long as the container runs.

    monitor ──fork──► prober: an `exec` like any other, then health.json, then it exits
       │ timer           │  its exit code says whether the container is still starting
       └─────◄───────────┘  SIGCHLD: the next timer

All the work is the prober's, which is a fork and imports what it needs for itself: beside an idle
container the monitor stays as small as without a check. A prober that is killed counts for nothing,
and the next one comes at its time. While the container is paused none is sent.

See: moby's daemon/health.go
"""

from __future__ import annotations

import os
import select
import time

from minidock.engine.children import forget_children
from minidock.engine.health import STARTING, has_check, setting
from minidock.engine.statefile import read_json

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn

    from minidock.engine.children import Children
    from minidock.engine.containers import Container
    from minidock.engine.loop import Loop

MAX_OUTPUT = 4096  # bytes of a probe's output that are kept
_STILL_STARTING = 1  # the prober's exit code
_SECOND = 10**9


class Probes:
    """The probes of one life of a container."""

    def __init__(self, loop: Loop, children: Children, directory: str, run_dir: str) -> None:
        self._loop = loop
        self._children = children
        self._directory = directory
        self._run_dir = run_dir
        self._started = time.monotonic_ns()
        self._starting = True
        self._prober = 0
        self._timer = 0
        config = (read_json(f"{directory}/container.json") or {}).get("Config", {})
        self._check: dict[str, Any] = config.get("Healthcheck") if has_check(config) else {}
        if self._check:
            self._wait()

    def stop(self) -> None:
        """The container has ended."""
        self._loop.cancel(self._timer)
        self._children.kill(self._prober)

    def _wait(self) -> None:
        since_start = time.monotonic_ns() - self._started
        young = self._starting and since_start < setting(self._check, "StartPeriod")
        interval = setting(self._check, "StartInterval" if young else "Interval")
        self._timer = self._loop.after(interval / _SECOND, self._probe)

    def _probe(self) -> None:
        if os.path.exists(f"{self._run_dir}/paused"):
            return self._wait()
        since_start = time.monotonic_ns() - self._started
        pid = os.fork()
        if pid == 0:
            _be_prober(self._directory, self._run_dir, since_start)
        self._prober = pid
        self._children.also_expect(pid, self._probed)
        return None

    def _probed(self, status: int) -> None:
        self._prober = 0
        if os.WIFEXITED(status):
            self._starting = os.WEXITSTATUS(status) == _STILL_STARTING
        self._wait()


def _be_prober(directory: str, run_dir: str, since_start: int) -> NoReturn:
    """The life of the forked process."""
    code = _STILL_STARTING
    try:
        forget_children()
        os.closerange(3, 1 << 16)  # the monitor's, whose objects are not touched here
        code = _STILL_STARTING if _probe_once(directory, run_dir, since_start) == STARTING else 0
    finally:
        os._exit(code)


def _probe_once(directory: str, run_dir: str, since_start: int) -> str:
    from minidock.engine.containers import Containers
    from minidock.engine.events import tell
    from minidock.engine.health import add_result, status_of
    from minidock.engine.paths import Paths
    from minidock.errors import MinidockError
    from minidock.spec.timestamp import now

    root = os.path.dirname(os.path.dirname(directory))
    container = Containers(Paths(root, os.path.dirname(run_dir))).load(os.path.basename(directory))
    if container is None:
        raise FileNotFoundError(directory)
    begin = now()
    try:
        code, output = _run(container)
    except (MinidockError, OSError) as error:
        code, output = -1, str(error)
    result = {"Start": begin, "End": now(), "ExitCode": code, "Output": output}
    before = status_of(directory)
    status = add_result(directory, container.config["Healthcheck"], result, since_start)
    if status != before:
        tell(container, f"health_status: {status}")
    return status


def _run(container: Container) -> tuple[int, str]:
    """Run the check inside. Its exit code, -1 where there is none, and what it printed. Raises
    `MinidockError` and `OSError` where it cannot be started."""
    from minidock.engine.exec import ExecOptions, execute, fork_monitor
    from minidock.engine.health import command_of

    connection = fork_monitor(container)
    outcome = execute(container, ExecOptions(command_of(container.config)), connection)
    if outcome.kind != "started":
        return -1, outcome.message
    timeout = setting(container.config["Healthcheck"], "Timeout")
    return _listen(connection, timeout)


def _listen(connection: Any, timeout: int) -> tuple[int, str]:
    """Until the check ends by itself, or is killed after `timeout` nanoseconds."""
    from minidock.engine import frames

    output, code, late = bytearray(), -1, False
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLIN)
    deadline = time.monotonic_ns() + timeout
    ended = False
    while not ended:
        left = (deadline - time.monotonic_ns()) / 10**6
        if not late and not connection.has_frames and (left <= 0 or not poll.poll(left)):
            late = True
            connection.send(frames.SIGNAL, bytes((9,)))
        batch = connection.next_frames()
        ended = not batch
        for kind, payload in batch:
            if kind in (frames.STDOUT, frames.STDERR):
                output += payload[: MAX_OUTPUT + 1 - len(output)]
            elif kind == frames.EXITED:
                code, ended = payload[0], True
    text = output[:MAX_OUTPUT].decode("utf-8", "replace")
    text += "..." if len(output) > MAX_OUTPUT else ""
    if not late:
        return code, text
    message = f"Health check exceeded timeout ({_go_duration(timeout)})"
    return -1, f"{message}: {text}" if text else message


def _go_duration(nanoseconds: int) -> str:
    """As Go's time.Duration prints itself: 300ms, 1.5s, 1m0s, 1h0m0s."""
    if nanoseconds < _SECOND:
        for unit, size in (("ms", 10**6), ("µs", 10**3)):
            if nanoseconds >= size:
                return f"{nanoseconds / size:.6f}".rstrip("0").rstrip(".") + unit
        return f"{nanoseconds}ns"
    minutes, rest = divmod(nanoseconds, 60 * _SECOND)
    text = f"{rest / _SECOND:.9f}".rstrip("0").rstrip(".") + "s"
    if minutes >= 60:
        return f"{minutes // 60}h{minutes % 60}m{text}"
    return f"{minutes}m{text}" if minutes else text
