"""One stage: from its FROM through its instructions, one state after the other.

Most instructions only change the config, and cost nothing. RUN, COPY, ADD and WORKDIR make a layer;
each of them is a *step*, with a number and a title for who watches, and a key in the cache:

    key known, layer still there ─────────────► take it
    otherwise ─► do it in a new directory ─► pack that ─► it is the layer, and the key is known

See: run.py, copying.py
"""

from __future__ import annotations

from _thread import allocate_lock

from minidock.build.cache import ABOVE, INSTRUCTION, Entry, Made, key_of, why_different, why_found
from minidock.build.config import configured
from minidock.build.dockerfile import parse_triggers
from minidock.build.history import created_by
from minidock.build.instructions import Add, Arg, Cmd, Copy, Env, Maintainer, Run, Workdir
from minidock.build.options import Cancelled, RunFailed, StepFailed
from minidock.build.state import State
from minidock.build.variables import declared, expanded, stage_variables, undeclared
from minidock.errors import MinidockError, NotFound
from minidock.spec.image import History

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from minidock.build.builder import Build
    from minidock.build.instructions import Instruction, Lines, Stage
    from minidock.engine.client import MonitorConnection
    from minidock.image.mutate import NewLayer
    from minidock.image.store import StoredImage
    from minidock.spec.image import Platform

_DEFAULT_PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_COMMENT = "minidock.build"
_STEPS = (Run, Copy, Add, Workdir)


class Step:
    """A step that is being done."""

    def __init__(self, build: Build, number: int, title: str, where: Lines) -> None:
        self.build = build
        self.number = number
        self.title = title
        self.where = where

    def output(self, data: bytes) -> None:
        self.build.listener.output(self.number, data)


class StageBuild:
    """The building of one stage."""

    def __init__(self, build: Build, number: int, stage: Stage) -> None:
        self.build_ = build
        self.number = number
        self.failure: BaseException | None = None
        self._stage = stage
        self._state: State | None = None
        self._title = ""
        self._count = 0
        self._total = 0
        self._over = allocate_lock()
        self._over.acquire()
        self._running: MonitorConnection | None = None
        self._step: Step | None = None
        self.has_more_runs = False

    @property
    def base(self) -> str:
        """What FROM names."""
        return self._stage.base

    # ── as a whole ──

    def build(self) -> State:
        """Do it, in this thread. Raises what goes wrong."""
        try:
            self._state = self._build()
            return self._state
        except BaseException as error:
            self.failure = error
            raise
        finally:
            self._over.release()

    def attempt(self) -> None:
        """Do it, in a thread of its own; what goes wrong is in `failure`."""
        try:
            self.build()
        except BaseException:  # noqa: BLE001 - kept, and raised again by who waits for the stage
            self.build_.cancel()

    def result(self) -> State:
        """What it has become; waits. Raises `Cancelled` if it failed."""
        while not self._over.acquire(timeout=1):  # so that Ctrl-C is noticed
            pass
        self._over.release()
        if self._state is None:
            raise Cancelled
        return self._state

    def running(self, connection: MonitorConnection | None) -> None:
        """What is to be killed if the build is given up."""
        self._running = connection
        if connection and self.build_.cancelled:
            self.interrupt()

    def interrupt(self) -> None:
        """Kill the container that runs, if one does."""
        from minidock.engine import frames

        connection = self._running
        if connection:
            try:
                connection.send(frames.SIGNAL, b"\x09")
            except OSError:
                pass  # it has ended by itself

    def _build(self) -> State:
        from minidock.build.builder import stage_title

        self._title = stage_title(self.build_.stages, self.number)
        instructions = self._stage.instructions
        steps = sum(isinstance(instruction, _STEPS) for instruction in instructions)
        inherited = self.build_.base_stage(self.number)
        self._total = steps + (inherited is None and self._stage.base != "scratch")
        state = self._from(inherited)
        triggers = parse_triggers(state.config.get("OnBuild") or (), self._stage.base)
        if triggers:
            self._total += sum(isinstance(instruction, _STEPS) for instruction in triggers)
            config = {k: v for k, v in state.config.items() if k != "OnBuild"}
            state = state.but(config=config)
        instructions = (*triggers, *instructions)
        runs = sum(isinstance(instruction, Run) for instruction in instructions)
        for instruction in instructions:
            self.build_.check()
            runs -= isinstance(instruction, Run)
            self.has_more_runs = runs > 0
            self._step = None
            try:
                state = self._do(state, instruction)
            except (MinidockError, OSError) as error:
                if self._step:
                    raise self._failed(self._step, error) from error
                raise StepFailed(0, instruction.original, instruction.where, error) from error
        return state

    # ── FROM ──

    def _from(self, inherited: State | None) -> State:
        stage = self._stage
        if inherited:
            return self._begun(inherited)
        if stage.base == "scratch":
            return self._begun(State("scratch", self._platform(), {"WorkingDir": "/"}))
        self._count += 1
        step = self._begin(f"FROM {stage.base}", stage.where)
        try:
            image = self.find_image(stage.base, self._platform())
        except (MinidockError, OSError) as error:
            raise self._failed(step, error) from error
        self.build_.listener.cached(step.number, "")
        config = image.config
        return self._begun(
            State(
                f"image {image.id}",
                self._platform().but(
                    os=config.os, architecture=config.architecture, variant=config.variant
                ),
                {key: value for key, value in config.config.items() if value is not None},
                config.diff_ids,
                image.layers,
                config.history,
                config.created,
                config.author,
                base=str(image.id),
            )
        )

    def _begun(self, state: State) -> State:
        env = state.config.get("Env") or []
        config = dict(state.config)
        if not any(entry.startswith("PATH=") for entry in env):
            config["Env"] = [*env, _DEFAULT_PATH]
        return state.but(
            config=config,
            above=(),
            cmd_set=False,
            inherited=len(state.diff_ids),
        )

    def _platform(self) -> Platform:
        if not self._stage.platform:
            return self.build_.platform
        from minidock.image.platforms import parse_platform

        return parse_platform(self._stage.platform)

    def find_image(self, name: str, platform: Platform) -> StoredImage:
        """An image by name, fetched where it is not here. Raises `MinidockError`."""
        from minidock.spec.reference import is_identifier, parse_reference

        build = self.build_
        fetch = build.options.fetch
        is_id = is_identifier(name.removeprefix("sha256:"))
        if not (build.options.pull and fetch and not is_id):
            try:
                image = build.images.resolve(name)
                mine = image.config
                if (mine.os, mine.architecture) == (platform.os, platform.architecture):
                    return image
            except NotFound:
                pass
        if fetch is None or is_id:
            raise NotFound(f"No such image: {name}")
        fetch(parse_reference(name), platform)
        return build.images.resolve(name)

    # ── what follows ──

    def _do(self, state: State, instruction: Instruction) -> State:
        options = self.build_.options
        variables = stage_variables(
            state.arguments, state.config.get("Env") or (), options.arguments
        )
        instruction = expanded(instruction, variables, self.build_.dockerfile.escape)
        config = configured(state.config, instruction, cmd_set=state.cmd_set)
        if isinstance(instruction, Run):
            from minidock.build.run import do_run

            return do_run(self, state, instruction)
        if isinstance(instruction, Copy | Add):
            from minidock.build.copying import do_copy

            return do_copy(self, state, instruction)
        if isinstance(instruction, Workdir):
            from minidock.build.copying import do_workdir

            return do_workdir(self, state.but(config=config), instruction)
        text = created_by(instruction, state.config)
        if isinstance(instruction, Arg):
            found = declared(instruction, options.arguments, self.build_.outer)
            values = tuple((name, found.get(name)) for name, _ in instruction.variables)
            text = created_by(instruction.but(variables=values), state.config)
            return self._noted(state.but(arguments={**state.arguments, **found}), text)
        if isinstance(instruction, Maintainer):
            state = state.but(author=instruction.name)
        if isinstance(instruction, Env):
            state = state.but(arguments=undeclared(state.arguments, instruction))
        if isinstance(instruction, Cmd):
            state = state.but(cmd_set=True)
        known = text or instruction.original
        state = state.but(
            config=config,
            key=key_of(state.key, {INSTRUCTION: known}),
            above=(*state.above, known),
        )
        return self._noted(state, text) if text else state

    def _noted(self, state: State, text: str) -> State:
        """With a line of history for an instruction that made no layer."""
        created = state.created if self.build_.options.epoch is None else self.build_.now()
        entry = History(created, text, state.author, _COMMENT, empty_layer=True)
        return state.but(history=(*state.history, entry))

    # ── steps ──

    def _prefix(self) -> str:
        name = f"{self._title} " if self._title else ""
        return f"[{name}{self._count}/{self._total}] "

    def _begin(self, title: str, where: Lines) -> Step:
        self.build_.check()
        number = self.build_.next_number()
        title = self._prefix() + title
        self.build_.listener.begin(number, title)
        return Step(self.build_, number, title, where)

    def await_stages(self, names: Sequence[str]) -> None:
        """Wait for those of these that are stages. Raises `Cancelled` if one fails."""
        for name in names:
            number = self.build_.find_stage(name, self.number) if name else None
            if number is not None:
                self.build_.stage(number)

    def begin(self, instruction: Instruction) -> Step:
        """Begin with an instruction that makes a layer."""
        self._count += 1
        self._step = self._begin(instruction.original, instruction.where)
        return self._step

    def _failed(self, step: Step, error: Exception) -> StepFailed:
        self.build_.listener.failed(step.number)
        return StepFailed(step.number, step.title, step.where, error)

    def step(
        self,
        state: State,
        step: Step,
        parts: Mapping[str, str],
        history: str,
        make: Callable[[Step], NewLayer | None],
        *,
        inputs: Sequence[str] = (),
        independent: bool = False,
    ) -> State:
        """Take what the step made last time, or make it. `parts` are what its key is made of,
        beside the state; `independent` (--link): without the state."""
        build = self.build_
        parent = "" if independent else state.key
        if not independent:
            base = state.base.removeprefix("sha256:")[:12]
            parts = {"the base image": base, ABOVE: "\n".join(state.above), **parts}
        if build.options.epoch is not None:
            parts = {**parts, "SOURCE_DATE_EPOCH": str(build.options.epoch)}
        key = key_of(parent, parts)
        place = f"{self.number}/{self._count}"
        build.keys[place] = key
        with build.only_once(key):
            made = self._found_or_made(state, step, key, place, parent, parts, inputs, make)
        return state.with_layer(key, made, history, _COMMENT)

    def _found_or_made(
        self,
        state: State,
        step: Step,
        key: str,
        place: str,
        parent: str,
        parts: Mapping[str, str],
        inputs: Sequence[str],
        make: Callable[[Step], NewLayer | None],
    ) -> Made:
        build = self.build_
        anew = build.is_fresh(self.number) and key not in build.fresh
        made = None if anew else build.cache.find(key)
        if made and made.layer and made.diff_id:
            layer = made.layer, made.diff_id, made.size
            if not build.workshop.find(state.diff_ids, *layer):
                made = None
        if made:
            build.cache.use(key)
            build.listener.cached(step.number, why_found(made) if build.options.explain else "")
            return made
        why = self._why(place, parent, parts, inputs) if build.options.explain else ""
        build.listener.work(step.number, why)
        made = self._make(step, make)
        build.cache.put(key, Entry(parent, parts, made), inputs)
        build.fresh.add(key)
        build.listener.done(step.number)
        return made

    def _make(self, step: Step, make: Callable[[Step], NewLayer | None]) -> Made:
        self.build_.check()
        try:
            layer = make(step)
        except (MinidockError, OSError, RunFailed) as error:
            if self.build_.cancelled:
                raise Cancelled from error
            raise self._failed(step, error) from error
        if layer is None:
            return Made(self.build_.now())
        return Made(self.build_.now(), layer.descriptor, layer.diff_id, layer.size)

    def _why(self, place: str, parent: str, parts: Mapping[str, str], inputs: Sequence[str]) -> str:
        """Why it was not in the cache."""
        build = self.build_
        if build.is_fresh(self.number):
            return "it was not to be looked for (--no-cache)"
        before = build.last.get(place, "")
        entry = build.cache.entry(before) if before else None
        return why_different(entry, parent, parts, build.cache.inputs(before), inputs)
