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
    from minidock.runtime.plan import ContainerPlan
    from minidock.runtime.sync import Channel
    from minidock.step import Step

    class Observer(Protocol):
        """Who watches a start: gives each process the kernel to use, and hears of its Steps."""

        def kernel(self, process: str) -> Kernel: ...
        def announce(self, process: str) -> Callable[[Step], None] | None: ...


class Unobserved:
    """The usual case: the real kernel, and nobody listening."""

    def kernel(self, process: str) -> Kernel:
        return LinuxKernel()

    def announce(self, process: str) -> Callable[[Step], None] | None:
        return None


def launch(
    plan: ContainerPlan,
    take_terminal: Callable[[int], None],
    observer: Observer,
    before_program: Callable[[int], None],
) -> int:
    """Apply `plan`; return init's PID once it has become the program.

    `before_program` is called with init's PID while init waits: the last moment at which its owner
    can write down that it exists. Raises `StartFailed`, after undoing what was done to the host.
    """
    ctx = Context()
    kernel, announce = observer.kernel("main"), observer.announce("main")
    execute(plan.prepare, kernel, ctx, announce)
    try:
        return _launch_prepared(plan, ctx, take_terminal, observer, before_program)
    except BaseException:
        undo(plan.prepare, kernel, ctx)
        raise


def _launch_prepared(
    plan: ContainerPlan,
    ctx: Context,
    take_terminal: Callable[[int], None],
    observer: Observer,
    before_program: Callable[[int], None],
) -> int:
    kernel, announce = observer.kernel("main"), observer.announce("main")
    ours, theirs = sync.channel_pair()
    intermediate = kernel.fork()
    if intermediate == 0:
        ours.close()
        _intermediate(plan, ctx, theirs, observer)
    theirs.close()
    try:
        # What it had to say is in the socket by the time it is gone. (Init holds that socket too:
        # to wait for a message, or for its end, could be to wait for ever.)
        kernel.wait4(intermediate)
        kind, text, number, _ = ours.receive(wait=False)
        if kind != sync.INIT_PID:
            raise StartFailed(text or "the process that makes the namespaces died", exit_code=128)
        ctx.init = number
        execute(plan.attach, kernel, ctx, announce)
        before_program(ctx.init)
        ours.send(sync.PROCEED)
        sync.wait_for_execve(ours, take_terminal)
    except BaseException:
        if ctx.init:
            _kill(ctx.init)
        raise
    finally:
        ours.close()
    return ctx.init


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


def _intermediate(
    plan: ContainerPlan, ctx: Context, channel: Channel, observer: Observer
) -> NoReturn:
    """Enter cgroup and namespaces, fork init into them, and leave."""
    try:
        kernel = observer.kernel("intermediate")
        execute(plan.enter, kernel, ctx, observer.announce("intermediate"))
        pid = kernel.fork()
        if pid == 0:
            _init(plan, ctx, channel, observer)
        channel.send(sync.INIT_PID, number=pid)
    except BaseException as error:  # noqa: BLE001 (a forked child reports everything and ends)
        channel.report(error)
    finally:
        os._exit(0)


def _init(plan: ContainerPlan, ctx: Context, channel: Channel, observer: Observer) -> NoReturn:
    """PID 1: wait to be attached, build the container around itself, become the program."""
    code = 128
    try:
        kernel, announce = observer.kernel("init"), observer.announce("init")
        ctx.send_terminal = lambda fd: channel.send(sync.TERMINAL, fd=fd)
        if channel.receive()[0] == sync.PROCEED:
            execute(plan.isolate, kernel, ctx, announce)
            execute(plan.confine, kernel, ctx, announce)
    except BaseException as error:  # noqa: BLE001 (a forked child reports everything and ends)
        code = getattr(error, "exit_code", 128)
        channel.report(error)
    finally:
        os._exit(code)
