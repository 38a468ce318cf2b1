"""Three processes start a container: main, intermediate and init.

Why not one? Because unshare(CLONE_NEWPID) does not move the caller into the new PID namespace, only
the child it forks next: somebody has to be outside and fork, that is *intermediate*, and the child
is *init*, number 1 inside. And because some things must be done to init from outside, with the
host's rights, once its number is known: that is *main*, which stays on the host.

Intermediate ends at once. Init then is the child of whoever declared itself a subreaper above: the
monitor, or the shim of another engine, which will wait(2) for it.

sync.py draws what they say to each other.

See: clone(2), fork(2), PR_SET_CHILD_SUBREAPER(2const), pid_namespaces(7)
"""

from __future__ import annotations

import os

from minidock.errors import StartFailed
from minidock.linux import signals as signal
from minidock.linux.kernel import LinuxKernel
from minidock.runtime import sync
from minidock.step import Context, execute, undo

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import NoReturn, Protocol

    from minidock.linux.kernel import Kernel
    from minidock.runtime.entrant import Entrant, Fork
    from minidock.runtime.sync import Channel
    from minidock.step import ContainerPlan, Step

    class Observer(Protocol):
        """Who watches a start: gives each process the kernel to use, hears of its Steps, of what
        happens between them (a sentence, then man pages), and when main waits for the others."""

        def kernel(self, process: str) -> Kernel: ...
        def announce(self, process: str) -> Callable[[Step], None] | None: ...
        def remark(self, process: str, words: tuple[str, ...]) -> None: ...
        def waits(self) -> None: ...


class Unobserved:
    """The usual case: the real kernel, and nobody listening."""

    def kernel(self, process: str) -> Kernel:
        return LinuxKernel()

    def announce(self, process: str) -> Callable[[Step], None] | None:
        return None

    def remark(self, process: str, words: tuple[str, ...]) -> None:
        pass

    def waits(self) -> None:
        pass


# What happens between the Steps, in the words of `--explain`.
FORK_INTERMEDIATE = (
    "fork a child, intermediate, since whoever makes the namespaces must not be on the host",
    "fork(2)",
    "clone(2)",
)
AWAIT_GRANT = (
    "hear from intermediate that its new user or time namespace is there, and waits for the host",
    "unix(7)",
)
GRANTED = ("let intermediate go on: the host has done what only the host may do", "unix(7)")
FORK_INIT = (
    "fork again: a PID namespace begins with the next child, which is init, number 1 in there",
    "fork(2)",
    "pid_namespaces(7)",
)
AWAIT_INTERMEDIATE = (
    "wait for intermediate to end, having sent init's number; the monitor now is init's parent",
    "wait4(2)",
    "PR_SET_CHILD_SUBREAPER(2const)",
)
LET_GO = (
    "tell init, which has waited, to go on; it runs when execve has closed its end of the socket",
    "unix(7)",
)
RUNS = ("see that end of the socket closed: init has become the program", "execve(2)")
KILL_INIT = ("kill init: the start has failed", "kill(2)")


def launch(
    plan: ContainerPlan,
    take_terminal: Callable[[int], None],
    observer: Observer,
    before_program: Callable[[int], None],
    entrant: Entrant | Fork | None = None,
) -> int:
    """Apply `plan`; return init's PID once it has become the program, or waits for `start`.

    `before_program` is called with init's PID while init waits: the last moment at which its owner
    can write down that it exists. With an `entrant`, that process is intermediate; without, a fork
    of this one, which must be sealed then. Raises `StartFailed`, after undoing what was done to
    the host.
    """
    ctx = Context()
    kernel, announce = observer.kernel("main"), observer.announce("main")
    execute(plan.prepare, kernel, ctx, announce)
    try:
        return _launch_prepared(plan, ctx, take_terminal, observer, before_program, entrant)
    except BaseException:
        undo(plan.prepare, kernel, ctx, announce)
        raise


def _launch_prepared(
    plan: ContainerPlan,
    ctx: Context,
    take_terminal: Callable[[int], None],
    observer: Observer,
    before_program: Callable[[int], None],
    entrant: Entrant | Fork | None,
) -> int:
    kernel, announce = observer.kernel("main"), observer.announce("main")
    if entrant:
        ours, child = entrant.begin(plan)
    else:
        ours, child = _fork_intermediate(plan, ctx, kernel, observer)
    try:
        if plan.grant:
            ctx.intermediate = child
            _grant(plan, ctx, ours, observer)
        # What it had to say is in the socket by the time it is gone. (Init holds that socket too:
        # to wait for a message, or for its end, could be to wait for ever.)
        kernel.wait4(child)
        kind, text, number, _ = ours.receive(wait=False)
        if kind != sync.INIT_PID:
            raise StartFailed(text or "the process that makes the namespaces died", exit_code=128)
        ctx.init = number
        execute(plan.attach, kernel, ctx, announce)
        before_program(ctx.init)
        observer.remark("main", LET_GO)
        ours.send(sync.PROCEED, number=ctx.init)
        sync.wait_for_execve(ours, take_terminal, lambda: execute(plan.meet, kernel, ctx, announce))
        observer.remark("main", RUNS)
    except BaseException:
        if ctx.init:
            observer.remark("main", KILL_INIT)
            _kill(kernel, ctx.init)
        raise
    finally:
        ours.close()
    return ctx.init


def _fork_intermediate(
    plan: ContainerPlan, ctx: Context, kernel: Kernel, observer: Observer
) -> tuple[Channel, int]:
    """A child that is intermediate, and the channel to it."""
    ours, theirs = sync.channel_pair()
    observer.remark("main", FORK_INTERMEDIATE)
    child = kernel.fork()
    if child == 0:
        ours.close()
        intermediate(plan, ctx, theirs, observer)
    theirs.close()
    return ours, child


def _grant(plan: ContainerPlan, ctx: Context, ours: Channel, observer: Observer) -> None:
    """Do to intermediate's new namespaces what only the host may do, while it waits."""
    observer.waits()
    # Nobody else holds the other end yet, so this returns when intermediate dies, too.
    kind, text, number, _ = ours.receive()
    if kind != sync.GRANT:
        code = number if kind == sync.FAILED else 128
        raise StartFailed(text or "the process that makes the namespaces died", exit_code=code)
    observer.remark("main", AWAIT_GRANT)
    execute(plan.grant, observer.kernel("main"), ctx, observer.announce("main"))
    observer.remark("main", GRANTED)
    ours.send(sync.PROCEED)


def _kill(kernel: Kernel, pid: int) -> None:
    try:
        kernel.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


def intermediate(
    plan: ContainerPlan, ctx: Context, channel: Channel, observer: Observer
) -> NoReturn:
    """Enter cgroup and namespaces, fork init into them, and leave."""
    try:
        kernel = observer.kernel("intermediate")
        ctx.await_grant = lambda: _await_grant(channel)
        execute(plan.enter, kernel, ctx, observer.announce("intermediate"))
        observer.remark("intermediate", FORK_INIT)
        pid = kernel.fork() if ctx.cgroup < 0 else kernel.fork_into(ctx.cgroup)
        if pid == 0:
            _init(plan, ctx, channel, observer)
        channel.send(sync.INIT_PID, number=pid)
    except BaseException as error:  # noqa: BLE001 (a forked child reports everything and ends)
        channel.report(error)
    finally:
        os._exit(0)


def _await_grant(channel: Channel) -> None:
    channel.send(sync.GRANT)
    if channel.receive()[0] != sync.PROCEED:
        os._exit(0)  # it was refused, or main is gone: who knows why says so


def _init(plan: ContainerPlan, ctx: Context, channel: Channel, observer: Observer) -> NoReturn:
    """PID 1: wait to be attached, build the container around itself, become the program."""
    code = 128
    try:
        kernel, announce = observer.kernel("init"), observer.announce("init")
        ctx.send_terminal = lambda fd: channel.send(sync.TERMINAL, fd=fd)
        ctx.meet = lambda: _meet(channel)
        ctx.ready = lambda: channel.send(sync.READY)
        kind, _, ctx.init, _ = channel.receive()
        if kind == sync.PROCEED:
            execute(plan.isolate, kernel, ctx, announce)
            execute(plan.confine, kernel, ctx, announce)
    except BaseException as error:  # noqa: BLE001 (a forked child reports everything and ends)
        code = getattr(error, "exit_code", 128)
        channel.report(error)
    finally:
        os._exit(code)


def _meet(channel: Channel) -> None:
    """Tell main that the root is put together, and wait for it."""
    channel.send(sync.MOUNTED)
    if channel.receive()[0] != sync.PROCEED:
        raise StartFailed("the command that starts the container has ended")
