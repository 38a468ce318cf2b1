"""RUN: a program changes files, and what it changed is the new layer.

It runs in a container like any other: the same `create` and the same monitor as `minidock run`, so
the same namespaces, capabilities and filters. Three things are different:

- Its image is not in the store: it is the state that the build has reached, stacked from the
  layers made so far (`_StateImages`).
- Its writable directory is not its own. It lies where half-made layers lie, and becomes a layer
  when the program has ended well: a rename, no copy.
- It ends with the build. If we are killed, its monitor kills it and removes it, and the directory
  goes with the next writer.

With --keep-failed the container of a RUN that fails stays, with a shell as its program, to be
looked at: `minidock start -ai ID`.

See: engine/run.py, engine/monitor.py, run_mounts.py
"""

from __future__ import annotations

import os

from minidock.build.cache import INPUTS, INSTRUCTION
from minidock.build.config import argv
from minidock.build.copy import total
from minidock.build.history import created_by
from minidock.build.options import Cancelled, RunFailed
from minidock.build.run_mounts import Prepared, described_mounts, prepared
from minidock.build.variables import proxies
from minidock.engine import frames
from minidock.engine.client import MonitorConnection
from minidock.engine.containers import Containers
from minidock.engine.monitor_order import Order
from minidock.engine.run import RunOptions, create
from minidock.engine.start import start as start_container
from minidock.engine.statefile import read_json, write_json
from minidock.image.pack import write_layer
from minidock.image.store import ImageStore
from minidock.spec.overlay import escape

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from minidock.build.builder import Build
    from minidock.build.instructions import Run
    from minidock.build.stage import StageBuild, Step
    from minidock.build.state import State
    from minidock.engine.containers import Container
    from minidock.image.mutate import NewLayer
    from minidock.image.store import StoredImage

HOST_NAME = "minidock-build"  # the same each time: programs write it into files
_NOT_FOR_RUN = ("Volumes", "Entrypoint", "Cmd", "Healthcheck", "ExposedPorts", "Labels", "OnBuild")
_KILL = b"\x09"


class _StateImages(ImageStore):
    """The store, in which every name stands for the image being made."""

    def __init__(self, root: str, image: StoredImage) -> None:
        super().__init__(root)
        self._image = image

    def resolve(self, name: str) -> StoredImage:
        return self._image


class _Bound(MonitorConnection):
    """A monitor that ends its container when we are gone."""

    def order(self, text: bytes) -> None:
        order = Order.parse(text.decode("utf-8", "surrogateescape"))
        bound = Order(order.directory, order.run_dir, order.letters.replace("l", "") + "d")
        super().order(bound.encode())


def do_run(stage: StageBuild, state: State, instruction: Run) -> State:
    """RUN, its mounts expanded."""
    build = stage.build_
    stage.await_stages([mount.from_ for mount in instruction.mounts])
    step = stage.begin(instruction)
    arguments = state.arguments
    history = created_by(instruction, state.config, arguments)
    network = instruction.network
    if network == "default":
        network = build.options.network
    mounts, lines = described_mounts(stage, instruction)
    parts = {
        INSTRUCTION: created_by(instruction, state.config),
        **{f"ARG {name}": value for name, value in arguments.items()},
        "network": network,
        "hosts": " ".join(build.options.add_hosts),
        "mounts": mounts,
        "script": instruction.script.content if instruction.script else "",
        INPUTS: total(lines),
    }

    def make(step: Step) -> NewLayer | None:
        with prepared(stage, state, instruction) as extra:
            environment = _environment(build, arguments, extra)
            return _Running(stage, state, step, extra).run(
                argv(instruction.command, state.config), environment, network
            )

    return stage.step(state, step, parts, history, make, inputs=lines)


def _environment(build: Build, arguments: Mapping[str, str], extra: Prepared) -> tuple[str, ...]:
    merged = {**proxies(build.options.arguments), **arguments, **extra.environment}
    return tuple(f"{name}={value}" for name, value in merged.items())


class _Running:
    """The container of one RUN, from its making to its end."""

    def __init__(self, stage: StageBuild, state: State, step: Step, extra: Prepared) -> None:
        self._stage = stage
        self._build = stage.build_
        self._state = state
        self._step = step
        self._extra = extra
        self._keep = self._build.options.keep_failed

    def run(self, words: list[str], environment: tuple[str, ...], network: str) -> NewLayer | None:
        """Do it; the layer. Raises `RunFailed`, `MinidockError`, `OSError`."""
        connection = _Bound(self._build.monitors.take())  # it gets ready while we do
        try:
            container = self._create(words, environment, network)
            upper = self._build.workshop.directory()
            try:
                if not self._keep:
                    os.rmdir(upper)
                    os.rename(container.upper, upper)
                self._change_bundle(container, upper)
                code = self._follow(container, connection)
                if code:
                    self._failed(container, words, code)
                if self._keep:
                    os.rmdir(upper)
                    os.rename(container.upper, upper)
                    self._remove(container)
                return self._adopt(upper)
            except BaseException:
                self._build.workshop.discard(upper)
                raise
        finally:
            connection.close()

    def _create(self, words: list[str], environment: tuple[str, ...], network: str) -> Container:
        build, state = self._build, self._state
        config = {k: v for k, v in state.config.items() if k not in _NOT_FOR_RUN}
        image = state.but(config=config).image()
        options = RunOptions(
            image=self._stage.base,
            command=tuple(words),
            entrypoint="",
            env=environment,
            hostname=None if network == "host" or ":" in network else HOST_NAME,
            auto_remove=not self._keep,
            ephemeral=True,
            host_config=dict(build.options.host_config),
        )
        if network != "default":
            options = options.but(network=network)
        images = _StateImages(build.paths.root, image)
        warn = build.listener.warn
        return create(build.paths, Containers(build.paths), images, options, warn)

    def _change_bundle(self, container: Container, upper: str) -> None:
        """Put in what only a build has: the layer's directory, and RUN's mounts."""
        path = f"{container.directory}/config.json"
        spec = read_json(path)
        assert spec
        root = spec["mounts"][0]
        if not self._keep:
            root["options"] = [
                f"upperdir={escape(upper)}" if option.startswith("upperdir=") else option
                for option in root["options"]
            ]
        spec["mounts"] += self._extra.mounts
        write_json(path, spec, durable=False)

    def _follow(self, container: Container, connection: MonitorConnection) -> int:
        """Start it, pass on what it says, and wait; its exit code."""
        started = False
        try:
            outcome = start_container(container, connection, attach=True)
            if outcome.kind != "started":
                raise RunFailed(outcome.message, code=outcome.code)
            started = True
            self._stage.running(connection)
            if self._stage.has_more_runs:  # whose steps cannot be in the cache now
                self._build.monitors.spawn()
            return self._listen(connection)
        except KeyboardInterrupt:
            self._abandon(connection, started)
            raise
        finally:
            self._stage.running(None)

    def _listen(self, connection: MonitorConnection) -> int:
        while True:
            batch = connection.next_frames()
            if not batch:
                raise RunFailed("the process that looked after it was killed", code=255)
            for kind, payload in batch:
                if kind in (frames.STDOUT, frames.STDERR):
                    self._step.output(payload)
                elif kind == frames.EXITED:
                    return payload[0]

    def _abandon(self, connection: MonitorConnection, started: bool) -> None:
        """The user has had enough. Only when the container is gone, are we."""
        try:
            if not started and connection.wait_started().kind != "started":
                return
            connection.send(frames.SIGNAL, _KILL)
            connection.wait_exited()
        except OSError:
            pass

    def _failed(self, container: Container, words: list[str], code: int) -> None:
        """Raise `RunFailed`, the container kept if that is wanted."""
        if self._build.cancelled:
            if self._keep:
                self._remove(container)
            raise Cancelled
        kept = ""
        if self._keep:
            self._keep_container(container)
            kept = container.id[:12]
        command = " ".join(words)
        message = f'process "{command}" did not complete successfully: exit code: {code}'
        raise RunFailed(message, code=code, kept=kept)

    def _keep_container(self, container: Container) -> None:
        """As the failed program left it, with a shell as its program: for a look inside."""
        image = self._build.workshop.add_image(self._state.image_config(), self._state.layers, ())
        path = f"{container.directory}/config.json"
        spec = read_json(path)
        assert spec
        ours = len(self._extra.mounts)
        spec["mounts"] = spec["mounts"][:-ours] if ours else spec["mounts"]
        spec["process"]["args"] = ["/bin/sh"]
        spec["process"]["terminal"] = True
        spec["process"]["env"] = [*spec["process"]["env"], "TERM=xterm"]
        write_json(path, spec)
        document: dict[str, Any] = dict(container.document)
        document["Image"] = str(image.id)
        document["Path"], document["Args"] = "/bin/sh", []
        config = {**document["Config"], "Cmd": ["/bin/sh"], "Tty": True, "OpenStdin": True}
        document["Config"] = {**config, "StdinOnce": True, "AttachStdin": True}
        write_json(f"{container.directory}/container.json", document)

    def _remove(self, container: Container) -> None:
        from minidock.engine.lifecycle import remove

        remove(container, force=True)

    def _adopt(self, upper: str) -> NewLayer | None:
        """What it changed is the layer."""
        self._extra.stubs.remove(upper)
        epoch = self._build.options.epoch
        if epoch is not None:
            from minidock.build.epoch import clamp_times

            clamp_times(upper, epoch)
        return self._build.workshop.adopt(
            self._state.diff_ids, upper, lambda out: write_layer(upper, out)
        )
