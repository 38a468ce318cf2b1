"""From stages to an image: which are built, and in what order.

    FROM debian AS compile     ┐
    FROM debian AS docs        ├ at the same time, each in a thread of its own
    FROM scratch               ┘
    COPY --from=compile …      waits here for `compile`, and here alone
    COPY --from=docs …

A stage that the wanted one does not need is not built. Which ones it needs stands in its FROM, COPY
and RUN; only what ONBUILD instructions of a base image name is not known before, and a stage that
turns out to be wanted then is begun then.

When a stage fails the others are told to stop; their containers are killed.

See: stage.py
"""

from __future__ import annotations

import time
from _thread import allocate_lock
from hashlib import sha256
from itertools import count

from minidock.build.cache import Cache, Made, key_of
from minidock.build.errors import did_you_mean
from minidock.build.instructions import Copy, Run
from minidock.build.options import Cancelled
from minidock.build.secrets import clear_secrets
from minidock.build.stage import StageBuild
from minidock.build.state import in_oci_words
from minidock.build.variables import expanded_stage, global_arguments, platform_arguments
from minidock.errors import InvalidInput
from minidock.image.catalog import host_platform
from minidock.spec.timestamp import format_time

TYPE_CHECKING = False
if TYPE_CHECKING:
    import _socket
    from collections.abc import Sequence
    from typing import Any

    from minidock.build.context import Context
    from minidock.build.hashes import Hashes
    from minidock.build.instructions import Dockerfile, Stage
    from minidock.build.options import BuildOptions, Listener
    from minidock.build.state import State
    from minidock.engine.paths import Paths
    from minidock.image.stack import Tree
    from minidock.image.store import ImageStore, StoredImage
    from minidock.image.workshop import Workshop
    from minidock.spec.image import ImageConfig, Platform
    from minidock.spec.reference import Reference

INLINE_CACHE = "io.minidock.build.cache"  # in an image's config: keys of its steps


class Monitors:
    """Monitors that were started before they are needed: each takes 40 ms to get ready, in which
    there is something else to do."""

    def __init__(self) -> None:
        self._ready: list[_socket.socket] = []

    def add(self, socket: _socket.socket) -> None:
        self._ready.append(socket)

    def spawn(self) -> None:
        """Start one for later."""
        from minidock.engine.spawn import spawn_monitor

        if not self._ready:
            self.add(spawn_monitor())

    def take(self) -> _socket.socket:
        """One to be given an order."""
        from minidock.engine.spawn import spawn_monitor

        try:
            return self._ready.pop()
        except IndexError:
            return spawn_monitor()

    def close(self) -> None:
        """Those that were not needed end."""
        while self._ready:
            self._ready.pop().close()


class Build:
    """One `minidock build`, while the store is held. What all stages share."""

    def __init__(
        self,
        paths: Paths,
        images: ImageStore,
        context: Context,
        dockerfile: Dockerfile,
        options: BuildOptions,
        listener: Listener,
    ) -> None:
        self.paths = paths
        self.images = images
        self.workshop: Workshop = images.workshop()
        self.context = context
        self.dockerfile = dockerfile
        self.options = options
        self.listener = listener
        self.cache = Cache(paths.root)
        self.platform: Platform = options.platform or host_platform()
        self.outer = self._global_arguments()
        self.stages = [expanded_stage(s, self.outer, dockerfile) for s in dockerfile.stages]
        self.target = self._find_target()
        self.hashes: Hashes = context.hashes(self.cache)
        self.stage_hashes: Hashes | None = None
        self.keys: dict[str, str] = {}
        name = f"{context.name}\0{context.dockerfile_name}\0{options.target}"
        self._last_name = sha256(name.encode("utf-8", "surrogateescape")).hexdigest()[:32]
        self.last = self.cache.last(self._last_name)
        self._numbers = count(1)
        self._lock = allocate_lock()
        self._builds: dict[int, StageBuild] = {}
        self._cancelled = False
        self.monitors = Monitors()
        self.fresh: set[str] = set()  # the keys of what was made in this build
        self._making: dict[str, Any] = {}

    def _global_arguments(self) -> dict[str, str]:
        host = _platform_text(host_platform())
        platform = platform_arguments(host, _platform_text(self.platform), self.options.target)
        return global_arguments(self.dockerfile, self.options.arguments, platform)

    # ── which stages ──

    def _find_target(self) -> int:
        wanted = self.options.target.lower()
        if not wanted:
            return len(self.stages) - 1
        found = self.find_stage(wanted, len(self.stages))
        if found is None:
            typed = self.options.target
            suggestion = did_you_mean(typed, (stage.name for stage in self.stages if stage.name))
            raise InvalidInput(f'target stage "{typed}" could not be found{suggestion}')
        return found

    def find_stage(self, name: str, before: int) -> int | None:
        """The stage that a FROM or `--from` in stage number `before` means, if it is one."""
        for number in reversed(range(before)):
            if self.stages[number].name and self.stages[number].name == name.lower():
                return number
        if name.isdigit() and int(name) < before:
            return int(name)
        return None

    def _base_stage(self, number: int) -> int | None:
        """FROM takes names only: a number would be an image's."""
        name = self.stages[number].base
        return None if name.isdigit() else self.find_stage(name, number)

    def _needed_by(self, number: int) -> list[int]:
        found = [self._base_stage(number)]
        for instruction in self.stages[number].instructions:
            names: Sequence[str] = ()
            if isinstance(instruction, Copy):
                names = (instruction.from_,)
            elif isinstance(instruction, Run):
                names = tuple(mount.from_ for mount in instruction.mounts)
            found += [self.find_stage(name, number) for name in names if name]
        return [number for number in found if number is not None]

    # ── doing it ──

    def build(self) -> State:
        """Build the wanted stage, and what it needs. Raises `StepFailed`, `MinidockError`."""
        clear_secrets(self.paths.run_root)
        self._add_cache_sources()
        needed, pending = set(), [self.target]
        while pending:
            number = pending.pop()
            if number not in needed:
                needed.add(number)
                pending += self._needed_by(number)
        for number in sorted(needed):
            self._builds[number] = StageBuild(self, number, self.stages[number])
        try:
            if len(needed) == 1:
                return self._builds[self.target].build()
            return self._in_threads(sorted(needed))
        finally:
            self.monitors.close()
            self._remember()
            self.hashes.save()
            if self.stage_hashes:
                self.stage_hashes.save()

    def _remember(self) -> None:
        """What `--explain-cache` will compare the next build with, also if this one has failed."""
        keys = {**self.last, **self.keys}
        if keys != self.last:
            self.cache.set_last(self._last_name, keys)

    def _in_threads(self, needed: list[int]) -> State:
        import threading

        threads = []
        for number in needed[:-1]:
            thread = threading.Thread(target=self._builds[number].attempt, daemon=True)
            threads.append(thread)
            thread.start()
        try:
            return self._builds[needed[-1]].build()
        except Cancelled:
            raise self._first_failure() from None
        finally:
            if any(thread.is_alive() for thread in threads):
                # All that the target needs is done, unless it failed.
                self.cancel()
            for thread in threads:
                thread.join()

    def _first_failure(self) -> BaseException:
        failures = [b.failure for b in self._builds.values() if b.failure]
        real = [f for f in failures if not isinstance(f, Cancelled)]
        return (real or failures or [Cancelled()])[0]

    def stage(self, number: int) -> State:
        """What a stage has become; waits for it. Raises `Cancelled` if it fails."""
        with self._lock:
            build = self._builds.get(number)
            is_new = build is None
            if build is None:  # an ONBUILD instruction asks for it
                build = self._builds[number] = StageBuild(self, number, self.stages[number])
        return build.build() if is_new else build.result()

    def base_stage(self, number: int) -> State | None:
        """The stage that FROM names in stage `number`; None for an image."""
        found = self._base_stage(number)
        return None if found is None else self.stage(found)

    def cancel(self) -> None:
        """Let every stage stop at its next step, and kill what they run."""
        self._cancelled = True
        for build in list(self._builds.values()):
            build.interrupt()

    @property
    def cancelled(self) -> bool:
        return self._cancelled

    def check(self) -> None:
        """Raises `Cancelled`."""
        if self._cancelled:
            raise Cancelled

    def next_number(self) -> int:
        return next(self._numbers)

    def hashes_of(self, tree: Tree) -> Hashes:
        """Where the digests of a tree's files are remembered."""
        from minidock.build.directory import Directory

        if isinstance(tree, Directory):
            return self.hashes
        if self.stage_hashes is None:
            from minidock.build.hashes import Hashes

            self.stage_hashes = Hashes(self.cache.hashes_path("stages"))
        return self.stage_hashes

    def only_once(self, key: str) -> Any:
        """For `with`: of two stages that come to the same step, one does it and the other finds it
        done."""
        with self._lock:
            return self._making.setdefault(key, allocate_lock())

    def is_fresh(self, number: int) -> bool:
        """Whether nothing of the cache may be used for a stage."""
        options, stage = self.options, self.stages[number]
        return options.no_cache or stage.name in options.no_cache_stages

    def now(self) -> str:
        """The time to be written down: SOURCE_DATE_EPOCH, if that is set."""
        epoch = self.options.epoch
        return format_time(time.time_ns() if epoch is None else epoch * 1_000_000_000)

    def finish(self, state: State, references: Sequence[Reference]) -> StoredImage:
        """Make the image, under these names."""
        if self.options.squash:
            from minidock.build.squash import squashed

            state = squashed(self, state)
        layers = tuple(map(in_oci_words, state.layers))
        config = self.image_config(state)
        return self.workshop.add_image(config, layers, references)

    def image_config(self, state: State) -> ImageConfig:
        """The document of the finished image."""
        labels = dict(self.options.labels)
        if labels:
            merged = {**(state.config.get("Labels") or {}), **labels}
            state = state.but(config={**state.config, "Labels": merged})
        if self.options.epoch is not None:
            state = state.but(created=self.now())
        elif not state.made_here:
            state = state.but(created=self._created(state))
        config = state.image_config()
        return (
            config.but(rest={INLINE_CACHE: self._steps()}) if self.options.inline_cache else config
        )

    def _created(self, state: State) -> str:
        """Of an image without a step of its own: when it was made first."""
        parts = {"image": repr(sorted(state.config.items())), "base": state.key}
        key = key_of("", parts)
        known = None if self.options.no_cache else self.cache.find(key)
        if known:
            return known.created
        from minidock.build.cache import Entry

        made = Made(self.now())
        self.cache.put(key, Entry("", parts, made))
        return made.created

    # ── --cache-from ──

    def _steps(self) -> list[dict[str, Any]]:
        """What a later `--cache-from` needs to know."""
        found = []
        for key in self.keys.values():
            made = self.cache.find(key)
            if made:
                layer = made.layer.to_dict() if made.layer else None
                found.append(
                    {
                        "key": key,
                        "created": made.created,
                        "layer": layer,
                        "diffID": str(made.diff_id) if made.diff_id else None,
                        "size": made.size,
                    }
                )
        return found

    def _add_cache_sources(self) -> None:
        if not self.options.cache_from:
            return
        from minidock.build.cache_from import steps_of

        for name in self.options.cache_from:
            self.cache.add_source(steps_of(self, name))


def _platform_text(platform: Platform) -> str:
    return "/".join(filter(None, (platform.os, platform.architecture, platform.variant)))


def stage_title(stages: Sequence[Stage], number: int) -> str:
    """`compile`, `stage-1`; nothing where there is but one."""
    if len(stages) == 1:
        return ""
    return stages[number].name or f"stage-{number}"
