"""Step: one thing that starting a container does, and the executor that does a list of them.

A plan is a list of Steps, made by pure functions before anything happens. The same list is applied,
printed (`--explain`), rehearsed (`minidock explain`) and tested. So a Step is data: what it will do
is fixed when it is made. The little that cannot be known by then, such as the PID of the process or
the descriptor of its root, comes to `apply` in a `Context`.
"""

from __future__ import annotations

from minidock.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import ClassVar

    from minidock.linux.kernel import Kernel


class Context:
    """What Steps of one container hand to each other while they are applied.

    Attributes:
        root: descriptor (O_PATH) of the container's root filesystem, -1 before it is mounted.
        intermediate, init: PIDs of those processes as the host sees them, 0 before they exist.
        namespaces: descriptors of the namespaces to join, by kind.
        trees: descriptors of mounts taken on the host, by number; see isolation/idmapped.py.
        program: the file to execute, "" until it has been looked for.
        agent, listener: descriptors of a socket and of a filter's, see seccomp/listener.py.
        uid, gid, groups, home: who the process will be; see isolation/user.py.
        cgroup: descriptor of the cgroup (v2) that init is born in, -1 if it joins by itself.
        start_fifo: descriptor of the fifo at which init waits for `start`, -1 without one.
        send_terminal: gives the master side of the container's terminal to who will hold it.
        await_grant: returns when main has done what only the host may do to new namespaces.
        meet: tells main that the root is put together, and waits until it has looked at it.
        ready: tells main that only `start` is missing.
    """

    def __init__(self) -> None:
        self.root = -1
        self.trees: dict[int, int] = {}
        self.intermediate = 0
        self.init = 0
        self.namespaces: dict[str, int] = {}
        self.uid = 0
        self.gid = 0
        self.groups: tuple[int, ...] = ()
        self.home = "/"
        self.cgroup = -1
        self.start_fifo = -1
        self.program = ""
        self.agent = -1
        self.listener = -1
        self.send_terminal: Callable[[int], None] = lambda fd: None
        self.await_grant: Callable[[], None] = lambda: None
        self.meet: Callable[[], None] = lambda: None
        self.ready: Callable[[], None] = lambda: None


class Step(Record):
    """One kernel-visible action.

    `see` names the man pages that tell more. `describe` gives a sentence for a person, in the
    imperative, with the values of this container. `apply` raises `OSError` or a `MinidockError`;
    `undo` takes back what `apply` left on the *host* (what lives in the container's namespaces
    goes with them, and needs none).
    """

    see: ClassVar[tuple[str, ...]] = ()

    def describe(self) -> str:
        raise NotImplementedError(type(self).__name__)

    def apply(self, kernel: Kernel, ctx: Context) -> None:
        raise NotImplementedError(type(self).__name__)

    def undo(self, kernel: Kernel, ctx: Context) -> None:
        """Nothing to take back, unless a Step says otherwise."""


class ContainerPlan(Record):
    """All Steps of one start, by phase; runtime/plan.py says which process applies which."""

    prepare: tuple[Step, ...]
    enter: tuple[Step, ...]
    attach: tuple[Step, ...]
    isolate: tuple[Step, ...]
    confine: tuple[Step, ...]
    grant: tuple[Step, ...] = ()
    meet: tuple[Step, ...] = ()


def execute(
    steps: Sequence[Step],
    kernel: Kernel,
    ctx: Context,
    announce: Callable[[Step], None] | None = None,
) -> None:
    """Apply `steps` in order. When one fails, undo those before it, last first, and raise.

    `announce` hears of each Step before it is applied. The error raised is the Step's own, with a
    note that says which Step it was and where to read about it.
    """
    done: list[Step] = []
    for step in steps:
        if announce:
            announce(step)
        try:
            step.apply(kernel, ctx)
        except BaseException as error:
            pages = f" (see {', '.join(step.see)})" if step.see else ""
            error.add_note(f"while trying to {step.describe()}{pages}")
            undo(done, kernel, ctx, announce)
            raise
        done.append(step)


class TakeBack(Step):
    """What `announce` hears before a Step is undone."""

    step: Step

    def describe(self) -> str:
        return f"take back, since the start has failed: {self.step.describe()}"


def undo(
    done: Sequence[Step],
    kernel: Kernel,
    ctx: Context,
    announce: Callable[[Step], None] | None = None,
) -> None:
    """Take steps back, last first. One that cannot be taken back does not stop the others."""
    for step in reversed(done):
        if announce and type(step).undo is not Step.undo:
            announce(TakeBack(step))
        try:
            step.undo(kernel, ctx)
        except OSError:
            continue  # what stays is what the next command's sweep removes
