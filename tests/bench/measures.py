"""What is measured: each `Measure` is one line of the table, each `Bout` one contestant in it.

A measure runs in rounds, A B C A B C …, so that whatever the machine does meanwhile (a cron job, a
warmer processor) hits all contestants alike, and the ratios are taken within each round. Only
`once` is on the clock: what a round needs before and leaves behind is made and removed by the
bout's other methods. A bout that fails leaves its measure with a reason; the others go on.

What the issue asks for stands here as `asked`: at most this much of the peer's time.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

import commands
import memory
from disk import Disk
from peers import IMAGE, Engine, MinidockOci, Peer, Runc, Runtime
from report import Result, Series

CONTAINER = "bench-one"
COMMITTED = "bench-committed"
IMPORTED = "bench-imported"
RUN = ("run", "--network", "none")
IDLE = ("sleep", "1000000")


@dataclass(frozen=True)
class Inputs:
    """The files the contestants are fed, and how large they are in words."""

    tree: str
    """A tar of the files that one large commit consists of."""
    tree_directory: str
    """The same, unpacked."""
    tree_words: str
    plain: str
    """A root tarball for `import`."""
    packed: str
    """The same through gzip."""
    import_words: str
    listed: int
    """Containers there are when `ps -a` is measured."""
    starts: int
    """Containers that are started one after another, and all at once."""


class Bout:
    """One contestant in one measure. All methods may raise commands.Failed."""

    def __init__(self, name: str) -> None:
        self.name = name

    def prepare(self) -> None:
        """Before the first round."""

    def once(self) -> float:
        """One round: the figure, in the measure's unit."""
        raise NotImplementedError

    def tidy(self) -> None:
        """After each round: remove what `once` made."""

    def finish(self) -> None:
        """After the last round."""


@dataclass(frozen=True)
class Measure:
    """One line of the table."""

    name: str
    title: str
    bouts: Sequence[Bout]
    asked: Mapping[str, float] = field(default_factory=dict)
    """Contestant → the largest ratio of minidock's figure to its own that was asked for."""
    limit: float | None = None
    """The largest figure of minidock's own that was asked for, in `unit`."""
    unit: str = "ms"
    slow: bool = False


class EngineBout(Bout):
    """A bout of a container engine."""

    def __init__(self, engine: Engine) -> None:
        super().__init__(engine.name)
        self.engine = engine

    def finish(self) -> None:
        with suppress(commands.Failed):
            self.engine.remove(CONTAINER)

    def start_idle(self) -> None:
        """A container that sleeps, named CONTAINER."""
        self.engine.run(*RUN, "-d", "--name", CONTAINER, IMAGE, *IDLE)


class RunTrue(EngineBout):
    """From nothing to nothing: create, start, wait, remove."""

    def once(self) -> float:
        return self.engine.milliseconds(*RUN, "--rm", IMAGE, "true")


class ExecTrue(EngineBout):
    """One more process in a running container."""

    def prepare(self) -> None:
        self.start_idle()

    def once(self) -> float:
        return self.engine.milliseconds("exec", CONTAINER, "true")


class CommitFile(EngineBout):
    """What a commit costs where there is next to nothing to store."""

    def prepare(self) -> None:
        self.engine.run(*RUN, "--name", CONTAINER, IMAGE, "sh", "-c", "echo important > /foo")

    def once(self) -> float:
        return self.engine.milliseconds("commit", CONTAINER, COMMITTED)

    def tidy(self) -> None:
        self.engine.run("rmi", COMMITTED)


class CommitTree(CommitFile):
    """What a commit costs where storing is everything."""

    def __init__(self, engine: Engine, tree: str) -> None:
        super().__init__(engine)
        self.tree = tree

    def prepare(self) -> None:
        words = (*RUN, "-i", "--name", CONTAINER, IMAGE, "tar", "-xf", "-", "-C", "/")
        self.engine.run(*words, stdin=self.tree)


class Import(EngineBout):
    """A root tarball becomes an image that can be run."""

    def __init__(self, engine: Engine, tarball: str) -> None:
        super().__init__(engine)
        self.tarball = tarball

    def once(self) -> float:
        return self.engine.milliseconds("import", self.tarball, IMPORTED)

    def tidy(self) -> None:
        self.engine.run("rmi", IMPORTED)


class Listing(EngineBout):
    """Commands that only read, with `containers` to read about: all but one have exited.

    The containers stay for the next such measure, and go when the engine stops.
    """

    def __init__(self, engine: Engine, containers: int, words: Sequence[str]) -> None:
        super().__init__(engine)
        self.containers = containers
        self.words = words

    def prepare(self) -> None:
        here = self.engine.run("ps", "-a", "--format", "{{.Names}}").split()
        if CONTAINER not in here:
            self.start_idle()
            here.append(CONTAINER)
        for _ in range(self.containers - len(here)):
            self.engine.run(*RUN, IMAGE, "true")

    def once(self) -> float:
        return self.engine.milliseconds(*self.words)

    def finish(self) -> None:
        pass


class Beside(EngineBout):
    """Memory of the processes that stay on the host for one idle container, in MB."""

    def __init__(self, engine: Engine, field: str) -> None:
        super().__init__(engine)
        self.field = field

    def once(self) -> float:
        self.start_idle()
        time.sleep(2)  # what only starts a container has ended by then, and what stays is idle
        init = int(self.engine.run("inspect", "--format", "{{.State.Pid}}", CONTAINER))
        return sum(memory.megabytes(pid, self.field) for pid in memory.keepers(init))

    def tidy(self) -> None:
        self.engine.remove(CONTAINER)


class StartsInTurn(EngineBout):
    """Several containers, each when the one before has gone."""

    def __init__(self, engine: Engine, starts: int) -> None:
        super().__init__(engine)
        self.starts = starts

    def once(self) -> float:
        return sum(
            self.engine.milliseconds(*RUN, "--rm", IMAGE, "true") for _ in range(self.starts)
        )


class StartsAtOnce(StartsInTurn):
    """The same number at the same time."""

    def once(self) -> float:
        return self.engine.milliseconds_at_once(self.starts, *RUN, "--rm", IMAGE, "true")


class RemoveRunning(StartsInTurn):
    """The same number, all of them running, with one command."""

    def once(self) -> float:
        for name in self._names():
            self.engine.run(*RUN, "-d", "--name", name, IMAGE, *IDLE)
        return self.engine.milliseconds(*self.engine.removal(*self._names()))

    def finish(self) -> None:
        for name in self._names():
            with suppress(commands.Failed):
                self.engine.remove(name)

    def _names(self) -> list[str]:
        return [f"{CONTAINER}-{number}" for number in range(self.starts)]


class RuntimeBout(Bout):
    """An OCI runtime on a bundle: what the same kernel work costs with no engine around it."""

    def __init__(self, runtime: Runtime) -> None:
        super().__init__("minidock" if isinstance(runtime, MinidockOci) else runtime.name)
        self.runtime = runtime

    def finish(self) -> None:
        with suppress(commands.Failed):
            self.runtime.remove_containers()


class RuntimeRun(RuntimeBout):
    """`runc run`."""

    def once(self) -> float:
        self.runtime.set_process("true")
        bundle = self.runtime.bundle
        return self.runtime.milliseconds("run", "--bundle", bundle, self._container())

    def _container(self) -> str:
        return f"{CONTAINER}-{self.runtime.name}"  # of which a cgroup has its name


class RuntimeExec(RuntimeRun):
    """`runc exec`."""

    def prepare(self) -> None:
        self.runtime.set_process(*IDLE)
        bundle = self.runtime.bundle
        self.runtime.run("run", "--detach", "--bundle", bundle, self._container())

    def once(self) -> float:
        return self.runtime.milliseconds("exec", self._container(), "true")


class Plain(Bout):
    """`cp -a` and `tar`: the files alone, without a store, a digest or a single fsync.

    `target` is a directory that `argv` fills.
    """

    def __init__(self, name: str, argv: Sequence[str], target: str) -> None:
        super().__init__(name)
        self.argv = argv
        self.target = target

    def prepare(self) -> None:
        self.tidy()

    def once(self) -> float:
        return commands.milliseconds(self.argv, env=commands.lean_environment())

    def tidy(self) -> None:
        shutil.rmtree(self.target)
        os.makedirs(self.target)


def all_measures(disk: Disk, peers: Sequence[Peer], inputs: Inputs) -> list[Measure]:
    """Every measure, in the order in which they run and are shown."""
    engines = [peer for peer in peers if isinstance(peer, Engine)]
    runtimes = [peer for peer in peers if isinstance(peer, Runtime)]
    runcs = [runtime for runtime in runtimes if isinstance(runtime, Runc)]
    target = disk.directory("plain")
    return [
        Measure(
            "run",
            "run --rm --network none IMG true",
            [
                *(RunTrue(engine) for engine in engines),
                *(RuntimeRun(runc) for runc in runcs),
            ],
            asked={"docker": 0.25, "podman": 0.40},
        ),
        Measure(
            "exec",
            "exec C true",
            [
                *(ExecTrue(engine) for engine in engines),
                *(RuntimeExec(runc) for runc in runcs),
            ],
            asked={"docker": 0.6, "podman": 0.4},
        ),
        Measure(
            "oci-run",
            "oci run of a bundle: true",
            [RuntimeRun(runtime) for runtime in runtimes],
            asked={"runc": 1.0},
        ),
        Measure(
            "oci-exec",
            "oci exec C true",
            [RuntimeExec(runtime) for runtime in runtimes],
            asked={"runc": 1.0},
        ),
        Measure(
            "commit-file",
            "commit of one file",
            [CommitFile(engine) for engine in engines],
            asked={"docker": 0.65, "podman": 0.55},
        ),
        Measure(
            "commit-tree",
            f"commit of {inputs.tree_words}",
            [
                *(CommitTree(engine, inputs.tree) for engine in engines),
                Plain("cp -a", ["cp", "-a", f"{inputs.tree_directory}/.", target], target),
            ],
            asked={"docker": 0.45, "podman": 0.2},
            slow=True,
        ),
        *(
            Measure(
                name,
                f"import of {inputs.import_words}, {words}",
                [
                    *(Import(engine, tarball) for engine in engines),
                    Plain("tar", ["tar", "-xf", tarball, "-C", target], target),
                ],
                asked={"docker": 0.28, "podman": 0.18},
                slow=True,
            )
            for name, words, tarball in (
                ("import-gzip", "gzip", inputs.packed),
                ("import-plain", "plain", inputs.plain),
            )
        ),
        Measure(
            "pss",
            "PSS of what stays beside one idle container",
            [Beside(engine, "Pss") for engine in engines],
            limit=5.0,
            unit="MB",
            slow=True,
        ),
        Measure(
            "rss",
            "RSS of the same (PSS is less where other programs share the pages)",
            [Beside(engine, "Rss") for engine in engines],
            unit="MB",
            slow=True,
        ),
        Measure(
            "starts-in-turn",
            f"{inputs.starts} × run --rm, one after another",
            [StartsInTurn(engine, inputs.starts) for engine in engines],
            asked={"docker": 0.25, "podman": 0.5},
            slow=True,
        ),
        Measure(
            "starts-at-once",
            f"{inputs.starts} × run --rm, at once",
            [StartsAtOnce(engine, inputs.starts) for engine in engines],
            asked={"docker": 0.25, "podman": 0.5},
            slow=True,
        ),
        Measure(
            "rm-f",
            f"rm -f of {inputs.starts} that run",
            [RemoveRunning(engine, inputs.starts) for engine in engines],
            asked={"docker": 0.3, "podman": 0.3},
            slow=True,
        ),
        *(
            Measure(
                words[0],
                title,
                [Listing(engine, inputs.listed, words) for engine in engines],
                asked={"docker": 1.5, "podman": 1.0},
            )
            for title, words in (
                (f"ps -a with {inputs.listed} containers", ("ps", "-a")),
                ("images", ("images",)),
                ("inspect C", ("inspect", CONTAINER)),
            )
        ),
    ]


def rounds_of(measure: Measure, rounds: int) -> int:
    """Slow measures vary less and cost more: a third of the rounds, but one at least."""
    return max(1, rounds // 3) if measure.slow else rounds


def take(measure: Measure, rounds: int, disk: Disk) -> Result:
    """Run a measure: a warm-up round, then `rounds` that count."""
    failed: dict[str, str] = {}
    values: dict[str, list[float]] = {bout.name: [] for bout in measure.bouts}
    try:
        for number, bout in _schedule(measure, rounds):
            if bout.name in failed:
                continue
            try:
                if number < 0:
                    bout.prepare()
                disk.settle()
                figure = bout.once()
                bout.tidy()
            except commands.Failed as error:
                failed[bout.name] = str(error)
            else:
                if number >= 0:
                    values[bout.name].append(figure)
    finally:
        for bout in measure.bouts:
            bout.finish()
    return Result(
        name=measure.name,
        title=measure.title,
        unit=measure.unit,
        series=tuple(
            Series(name, () if name in failed else tuple(figures), failed.get(name, ""))
            for name, figures in values.items()
        ),
        asked=measure.asked,
        limit=measure.limit,
    )


def _schedule(measure: Measure, rounds: int) -> Iterator[tuple[int, Bout]]:
    """(-1, A) (-1, B) (0, A) (0, B) (1, A) …; round -1 is the warm-up."""
    for number in range(-1, rounds):
        for bout in measure.bouts:
            yield number, bout
