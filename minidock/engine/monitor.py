"""The monitor: a small process beside each container, which outlives the command that made it.

Somebody must hold a container's terminal or pipes, write its log, wait for it, and write down how
it ended, after `run -d` has long returned. Docker has a daemon and a shim per container for that,
Podman has conmon; here it is this file: a fresh interpreter (so that nothing of the command's
memory stays), sealed against the container (linux/seal.py), which imports next to nothing.

    command ──ORDER──► monitor ◄── reports ── launcher: starts init, exits
       ▲                 │  ▲
       │                 │  └── init becomes its child (it is a subreaper)
       └──── frames ─────┘

spawn.py tells how the three come to be.

The monitor of an `exec` is a fork of the container's, and the same program: it holds the streams of
one more process and reports its end, without a log, a socket or a file.

See: PR_SET_CHILD_SUBREAPER(2const), pidfd_open(2), wait(2)
"""

from __future__ import annotations

import _socket
import os
import time

from minidock.engine import frames
from minidock.engine.aftermath import kill_children, reap_all
from minidock.engine.children import Children
from minidock.engine.host_side import HostSide
from minidock.engine.jsonlog import JsonLog
from minidock.engine.loop import READ, Loop
from minidock.engine.monitor_order import IS_STARTED, Order
from minidock.engine.session import Client, Pipes, Streams
from minidock.engine.spawn import become_monitor, fork_launcher
from minidock.runtime.sync import (
    CGROUPS,
    FAILED,
    INIT_PID,
    NAMES,
    PORT,
    PROCEED,
    TERMINAL,
    Channel,
)
from minidock.spec.timestamp import format_time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from minidock.engine.probe import Probes
    from minidock.engine.restart import Restarts

_SIGKILL = 9
_IDLE = 1.0  # seconds without anything to do, after which it rests
_LINGER = 0.05  # seconds to wait for the last output of a process whose pipes others hold open


class Monitor:
    """One container, or one process executed in it, from the order to its end."""

    def __init__(self, command: _socket.socket, launcher: Channel) -> None:
        self._loop = Loop()
        self._children = Children(self._loop)
        self._launcher = launcher
        self._order: Order | None = None
        self._log: JsonLog | None = None
        self._clients: list[Client] = []
        self._command = self._add_client(command)
        self._streams: Streams | None = None
        self._narration = -1
        self._pending: tuple[int, dict[int, str]] = (-1, {})
        self._pid = 0
        self._wanted = False
        self._host: HostSide | None = None
        self._started = 0.0
        self._probes: Probes | None = None
        self._restarts: Restarts | None = None
        self._last_end: dict[str, object] = {}  # while it waits to be restarted
        self._timer = 0
        self._ended = False

    def run(self) -> None:
        while not self._ended:
            if not self._loop.turn(_IDLE):
                from minidock.engine.rest import rest

                rest(self._loop.fileno(), self._loop.idle_for())
                self._loop.turn()

    # ── what clients say ──

    def _add_client(self, sock: _socket.socket) -> Client:
        client = Client(sock, self._loop, self._hear)
        self._clients.append(client)
        return client

    def _hear(self, client: Client, kind: int, payload: bytes) -> None:
        if kind == 0:
            self._client_lost(client)
        elif kind == frames.ORDER and client is self._command and not self._order:
            try:
                self._obey(Order.parse(payload.decode("utf-8", "surrogateescape")))
            except OSError as error:
                self._refuse(f"the monitor cannot start: {error}")
        elif kind == frames.FORK and not client.attached:
            self._fork_for_exec(client)
        elif kind == frames.GIVE_UP:
            self._give_up(client)
        elif kind == frames.SERVE_NAMES and self._host:
            self._host.names.make(self._pid, client)
        elif kind == frames.SIGNAL and len(payload) == 1:
            self._signal(payload[0])
        elif kind == frames.ATTACH and self._streams:
            self._streams.attach(client)
        elif self._streams and client.attached:
            if kind == frames.STDIN:
                self._streams.type(payload)
            elif kind == frames.STDIN_EOF and self._order and "o" in self._order:
                self._streams.end_input()
            elif kind == frames.RESIZE:
                self._streams.resize(payload, redraw=client is not self._command)

    def _client_lost(self, client: Client) -> None:
        self._clients.remove(client)
        if client is self._command and self._order and "d" in self._order:
            self._signal(_SIGKILL)
        if self._streams:
            self._streams.detach(client)
            order = self._order
            if client.attached and order and "o" in order and "t" not in order:
                self._streams.end_input()
        if not self._order:
            self._ended = True  # the command failed before it had an order to give

    def _fork_for_exec(self, client: Client) -> None:
        """Leave this client to a fork of ours, which will hold the streams of its `exec`."""
        pid = os.fork()
        if pid == 0:
            become_monitor(client.fileno())
        self._clients.remove(client)
        client.close()

    def _signal(self, number: int) -> None:
        if self._pid:
            self._wanted = True
            os.kill(self._pid, number)  # our child, and not waited for yet: the number is its own

    # ── the start ──

    def _obey(self, order: Order) -> None:
        try:
            self._host = HostSide(self._loop, order)
        except BlockingIOError:
            return self._refuse("the container has been started meanwhile", IS_STARTED)
        self._order = order
        return self._pass_on(order)

    def _pass_on(self, order: Order) -> None:
        """Give the launcher its order, with the container's ends of its pipes."""
        ends = Pipes(terminal="t" in order, stdin="i" in order)
        if "e" in order:
            self._narration, narration = os.pipe2(os.O_CLOEXEC)
            ends.theirs.append(narration)
            self._loop.watch(self._narration, READ, self._hear_narration)
        for fd in ends.theirs:
            self._launcher.send(PROCEED, order.text(), fd=fd)
            os.close(fd)
        log = None
        if "l" in order:
            name = os.path.basename(order.directory)
            log = JsonLog(f"{order.directory}/{name}-json.log")
        self._log = log
        self._pending = (ends.stdin, ends.outputs)
        self._loop.watch(self._launcher.fileno(), READ, lambda _: self._hear_launcher())

    def _stream(self) -> None:
        """The program runs: begin to pass on what it says and hears."""
        assert self._order and self._host
        stdin, outputs = self._pending
        self._streams = Streams(self._loop, stdin, outputs, self._log)
        if "a" in self._order and not self._command.gone:
            self._streams.attach(self._command)
        self._host.accept(self._add_client)

    def _hear_narration(self, events: int) -> None:
        self._narrate()

    def _narrate(self) -> bool:
        """Pass on what the processes of the start tell (`--explain`). False at its end."""
        data = os.read(self._narration, 1 << 16)
        if data:
            self._command.send(frames.NARRATION, data)
            return True
        self._loop.forget(self._narration)
        os.close(self._narration)
        self._narration = -1
        return False

    def _hear_launcher(self) -> None:
        kind, text, number, fd = self._launcher.receive()
        assert self._host
        if kind == TERMINAL:
            self._pending = (fd, {fd: "stdout"})
        elif kind == PORT:
            self._host.ports.take(text, fd)
        elif kind == NAMES:
            self._host.names.take(fd)
        elif kind == CGROUPS:
            self._host.cgroups = [path for path in text.split("\n") if path]
        elif kind == INIT_PID and self._order:
            while self._narration >= 0 and self._narrate():
                pass  # all of it, before the program's first word
            self._pid = number
            self._started = time.monotonic()
            self._stream()
            self._command.send(frames.STARTED, b"%d" % number)
            self._retire_launcher()
            self._children.expect(number, self._process_ended)
            if "d" in self._order and self._command.gone:
                self._signal(_SIGKILL)
            if "h" in self._order:
                from minidock.engine.probe import Probes

                directory, run_dir = self._order.directory, self._order.run_dir
                self._probes = Probes(self._loop, self._children, directory, run_dir)
            if "m" in self._order:
                self._host.watch_memory()
        else:
            while self._narration >= 0 and self._narrate():
                pass
            if kind != FAILED:
                text, number = "the process that starts the container was killed", 128
                self._abandon_start(text)
            self._start_failed(text, number or 128)

    def _retire_launcher(self) -> None:
        self._loop.forget(self._launcher.fileno())
        self._launcher.close()

    def _refuse(self, message: str, code: int = 128) -> None:
        """Nothing was begun; the launcher ends when its channel closes."""
        self._command.send(frames.FAILED, bytes((code,)) + message.encode("utf-8", "replace"))
        self._end()

    def _abandon_start(self, why: str) -> None:
        """The launcher is gone in the middle; init may be about to become the program."""
        assert self._order and self._host
        kill_children()
        if "x" not in self._order and "r" not in self._order:
            now = format_time(time.time_ns())
            record: dict[str, object] = {"ExitCode": 128, "Error": why, "FinishedAt": now}
            if self._order.restarts:
                record["RestartCount"] = self._order.restarts
            self._host.write_end(record)

    def _start_failed(self, message: str, code: int) -> None:
        assert self._host
        self._retire_launcher()
        reap_all()
        self._host.clean_up()
        self._command.send(frames.FAILED, bytes((code & 255,)) + message.encode("utf-8", "replace"))
        self._end()

    # ── the end ──

    def _process_ended(self, status: int) -> None:
        self._pid = 0
        if self._probes:
            self._probes.stop()
            self._probes = None
        assert self._order and self._host
        self._host.close_names()
        code = os.waitstatus_to_exitcode(status)
        code = code if code >= 0 else 128 - code
        finished = time.time_ns()
        if "k" in self._order:
            from minidock.engine.cgroup import kill_rest

            kill_rest(self._order.directory)
        oom_killed = self._host.was_oom_killed(code)
        if self._streams:
            # A container's processes are all dead now, so its pipes end. Those of an `exec` may be
            # held open by a child that went into the background: not waited for.
            while self._streams.open and self._loop.turn(_LINGER):
                pass
            self._streams.finish()
        from minidock.engine.obituary import tell_of_end

        ran = time.monotonic() - self._started
        told = self._host.stop_watching()
        tell_of_end(self._order, code, ran, oom_killed=oom_killed and not told)
        pause = self._record(code, finished, oom_killed=oom_killed)
        if pause is None:
            self._host.clean_up()
            self._tell_end(code)
            self._end()
        else:
            self._host.rest_between_lives()
            self._tell_end(code)
            self._let_go(pause)

    def _record(self, code: int, finished: int, *, oom_killed: bool) -> float | None:
        """Write exited.json. Seconds until the container is to be started again, or None."""
        assert self._order and self._host
        if "x" in self._order or "r" in self._order:
            return None
        record: dict[str, object] = {"ExitCode": code, "FinishedAt": format_time(finished)}
        if oom_killed:
            record["OOMKilled"] = True
        pause = self._pause_before_restart(code)
        if pause is not None and self._restarts:
            record["RestartCount"] = self._restarts.count
            self._last_end = dict(record)
            record["Restarting"] = True
        self._host.write_end(record)
        return pause

    def _tell_end(self, code: int) -> None:
        for client in list(self._clients):
            client.send(frames.EXITED, bytes((code,)))

    # ── once more ──

    def _pause_before_restart(self, code: int) -> float | None:
        """What the container's policy says, which `update` may have changed since its start."""
        assert self._order
        from minidock.engine.restart import STOPPED, Restarts
        from minidock.engine.statefile import read_json

        document = read_json(f"{self._order.directory}/container.json") or {}
        policy = document.get("HostConfig", {}).get("RestartPolicy") or {}
        if self._wanted or os.path.exists(f"{self._order.run_dir}/{STOPPED}"):
            return None
        self._restarts = self._restarts or Restarts()
        ran = time.monotonic() - self._started
        return self._restarts.pause_before_next(policy, code, ran)

    def _let_go(self, pause: float) -> None:
        """Between two lives: only the socket stays, with whoever waits on it."""
        if self._streams:
            self._streams.close()
            self._streams = None
        self._timer = self._loop.after(pause, self._start_again)

    def _start_again(self) -> None:
        from minidock.engine.restart import STOPPED

        assert self._order and self._host and self._restarts
        self._timer = 0
        if os.path.exists(f"{self._order.run_dir}/{STOPPED}"):
            return self._stay_ended()
        self._order = self._host.order = self._order.again(self._restarts.count)
        self._children.remember()
        self._launcher = fork_launcher("run")
        return self._pass_on(self._order)

    def _give_up(self, client: Client) -> None:
        """Do not restart. Who asks for that when the container runs already must look again."""
        if self._timer:
            self._loop.cancel(self._timer)
            self._stay_ended()
        else:
            self._clients.remove(client)
            client.close()

    def _stay_ended(self) -> None:
        assert self._host
        self._host.write_end(self._last_end)
        self._host.clean_up()
        self._tell_end(int(str(self._last_end["ExitCode"])))
        self._end()

    def _end(self) -> None:
        for client in self._clients:
            client.drain()
        self._ended = True
