"""Hooks: programs of the host's administrator that are run at points of a container's life.

    point            who runs it, where                       when                      if it fails
    ───────────────  ───────────────────────────────────────  ────────────────────────  ───────────
    prestart         main, on the host                        the root is put together  no start
    createRuntime    main, on the host                        and init waits            no start
    createContainer  init: new namespaces, the host's files   before it pivots          no start
    startContainer   init, in the container, as its user      right before the program  no start
    poststart        main, on the host                        the program runs          a warning
    poststop         main, on the host                        all is deleted            a warning

That is how Docker's engine gets hold of a new network namespace, and how drivers of graphics cards
bring their libraries into a root filesystem. A hook reads the container's state from its standard
input; it has the environment that its entry gives it, and nothing of ours. One that takes longer
than its `timeout` is killed.

The state goes through a file in memory, and so do its words: a pipe could fill up while nobody
reads it.

See: https://github.com/opencontainers/runtime-spec/blob/main/config.md#posix-platform-hooks,
memfd_create(2), pidfd_open(2)
"""

from __future__ import annotations

import os

from minidock.errors import StartFailed
from minidock.isolation.process import reset_signals
from minidock.linux import signals as signal
from minidock.linux.flags import CloseRangeFlag
from minidock.spec.lean_json import dumps, loads
from minidock.spec.runtime import Hook
from minidock.step import Context, Step

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import ClassVar, NoReturn

    from minidock.linux.kernel import Kernel
    from minidock.runtime.manner import Manner
    from minidock.spec.runtime import Spec

_LONGEST_WORDS = 4096  # bytes of what a failed hook wrote
_NOT_EXECUTED = 127


class MeetHost(Step):
    """Let main run the hooks that want to see the container's root before it is one."""

    see: ClassVar[tuple[str, ...]] = ("unix(7)",)

    def describe(self) -> str:
        return "wait while main runs its hooks: the root is put together, and can still be changed"

    def apply(self, kernel: Kernel, ctx: Context) -> None:
        ctx.meet()


class RunHook(Step):
    """Run one hook to its end. `state` is the container's, without "status" and "pid"; a hook that
    runs `inside` sees the number that init has in there."""

    point: str
    number: int
    hook: Hook
    state: str
    status: str
    inside: bool = False
    see: ClassVar[tuple[str, ...]] = ("fork(2)", "execve(2)", "memfd_create(2)")

    def describe(self) -> str:
        limit = f", for {self.hook.timeout} s at most" if self.hook.timeout else ""
        return f"run the {self.point} hook {self.hook.path}{limit}"

    def apply(self, kernel: Kernel, ctx: Context) -> None:
        pid = os.getpid() if self.inside else ctx.init
        state = {**loads(self.state), "status": self.status, **({"pid": pid} if pid else {})}
        given = kernel.memfd_create("state", os.MFD_CLOEXEC)
        words = kernel.memfd_create("words", os.MFD_CLOEXEC)
        try:
            # At a position, so that the descriptor's own is still at the beginning.
            kernel.pwrite(given, dumps(state).encode(), 0)
            self._run(kernel, given, words)
        finally:
            kernel.close(given)
            kernel.close(words)

    def _run(self, kernel: Kernel, given: int, words: int) -> None:
        child = kernel.fork()
        if child == 0:
            _become(kernel, self.hook, given, words)
        late = self.hook.timeout > 0 and not self._ends_in_time(kernel, child)
        if late:
            kernel.kill(child, signal.SIGKILL)
        status = kernel.wait4(child)
        if late:
            raise self._failed(f"ran past its timeout of {self.hook.timeout} s", kernel, words)
        if status:
            code = os.waitstatus_to_exitcode(status)
            how = f"exit status {code}" if code >= 0 else f"signal {-code}"
            raise self._failed(how, kernel, words)

    def _ends_in_time(self, kernel: Kernel, child: int) -> bool:
        pidfd = kernel.pidfd_open(child)
        try:
            return kernel.poll(pidfd, 1000 * self.hook.timeout)
        finally:
            kernel.close(pidfd)

    def _failed(self, how: str, kernel: Kernel, words: int) -> StartFailed:
        text = kernel.pread(words, _LONGEST_WORDS, 0).decode("utf-8", "replace").strip()
        said = f": {text}" if text else ""
        return StartFailed(f"error running {self.point} hook #{self.number}: {how}{said}")


def _become(kernel: Kernel, hook: Hook, given: int, words: int) -> NoReturn:
    """In the child."""
    try:
        kernel.dup2(given, 0)
        kernel.dup2(words, 1)
        kernel.dup2(words, 2)
        reset_signals(kernel)
        kernel.close_range(3, 0xFFFFFFFF, CloseRangeFlag.CLOSE_RANGE_CLOEXEC)
        kernel.execve(hook.path, list(hook.args) or [hook.path], list(hook.env))
    except OSError as error:
        text = f"{hook.path}: {os.strerror(error.errno or 0).lower()}\n"
        os.write(2, text.encode("utf-8", "surrogateescape"))
    finally:
        os._exit(_NOT_EXECUTED)


def _steps(
    manner: Manner, point: str, hooks: tuple[Hook, ...], status: str, *, inside: bool = False
) -> tuple[Step, ...]:
    if not manner.hook_state:
        return ()
    state = manner.hook_state
    return tuple(
        RunHook(point, number, hook, state, status, inside) for number, hook in enumerate(hooks)
    )


def plan_meeting(spec: Spec, manner: Manner) -> tuple[Step, ...]:
    """What main runs while init waits before the pivot."""
    return (
        *_steps(manner, "prestart", spec.hooks.prestart, "creating"),
        *_steps(manner, "createRuntime", spec.hooks.create_runtime, "creating"),
    )


def plan_before_pivot(spec: Spec, manner: Manner) -> tuple[Step, ...]:
    """What init does when its root is put together: wait for main's hooks, run its own."""
    meet = (MeetHost(),) if plan_meeting(spec, manner) else ()
    own = spec.hooks.create_container
    return (*meet, *_steps(manner, "createContainer", own, "creating", inside=True))


def plan_before_program(spec: Spec, manner: Manner) -> tuple[Step, ...]:
    """What init runs in the container."""
    own = spec.hooks.start_container
    return _steps(manner, "startContainer", own, "created", inside=True)


def run_after(
    point: str,
    spec: Spec,
    hook_state: str,
    pid: int,
    kernel: Kernel,
    warn: Callable[[str], object],
) -> None:
    """Run the "poststart" or "poststop" hooks. One that fails is told of and stops nothing."""
    from minidock.runtime.manner import Manner

    start = point == "poststart"
    hooks = spec.hooks.poststart if start else spec.hooks.poststop
    ctx = Context()
    ctx.init = pid
    status = "running" if start else "stopped"
    for step in _steps(Manner(hook_state=hook_state), point, hooks, status):
        try:
            step.apply(kernel, ctx)
        except StartFailed as error:
            warn(error.message)
        except OSError as error:
            warn(f"error running {point} hook: {os.strerror(error.errno or 0).lower()}")
