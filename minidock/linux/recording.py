"""Two more kernels: one that only writes down what it is asked, one that tells while it does.

`TracingKernel` wraps a real kernel and reports each call after it returned: `run --explain` is a
start with this one. `RecordingKernel` makes `minidock explain` possible, and unit tests of plans:
it answers every call with a plausible value and touches nothing. Since Steps reach the kernel
through no other door, what the first one tells is all that was done, and what the second one writes
down is what would be.

notation.py says how a call is shown.

See: strace(1)
"""

from __future__ import annotations

from time import perf_counter_ns

from minidock.linux.flags import BpfCmd, SeccompFilterFlag
from minidock.linux.notation import METHODS, Call, show_call, show_error

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

    from minidock.linux.kernel import Kernel

_NO_CALL = "signal_is_changed"  # Python knows by itself


class TracingKernel:
    """Does what it is asked through another kernel, and hands every `Call` to `tell`."""

    def __init__(self, kernel: Kernel, tell: Callable[[Call], None]) -> None:
        self._kernel = kernel
        self._tell = tell

    def __getattr__(self, name: str) -> Callable[..., Any]:
        call: Callable[..., Any] = getattr(self._kernel, name)
        if name == _NO_CALL:
            return call

        def traced(*args: Any) -> Any:
            before = perf_counter_ns()
            try:
                result = call(*args)
            except OSError as error:
                took = perf_counter_ns() - before
                self._tell(show_call(name, args).but(result=show_error(error), nanoseconds=took))
                raise
            took = perf_counter_ns() - before
            self._tell(show_call(name, args, result).but(nanoseconds=took))
            return result

        return traced

    def fork(self) -> int:
        return self._forked("fork")

    def fork_into(self, cgroup: int) -> int:
        return self._forked("fork_into", cgroup)

    def _forked(self, name: str, *args: int) -> int:
        """Returns twice; the parent tells."""
        before = perf_counter_ns()
        pid: int = getattr(self._kernel, name)(*args)
        if pid:
            took = perf_counter_ns() - before
            self._tell(show_call(name, args, pid).but(nanoseconds=took))
        return pid

    def execve(self, path: str, argv: list[str], envp: list[str]) -> None:
        """Told beforehand, since it does not return; and again when it did, that is, failed."""
        call = show_call("execve", (path, argv, envp)).but(result="")
        self._tell(call)
        try:
            self._kernel.execve(path, argv, envp)
        except OSError as error:
            self._tell(Call(f"<... {call.name} resumed>", (), show_error(error)))
            raise


_OPENS = frozenset((
    "open", "openat", "openat2", "open_tree", "fsopen", "fsmount", "pidfd_open", "socket"
))  # fmt: skip
_ANSWERS: dict[str, object] = {
    "read": b"",
    "listdir": (),
    "readlinkat": "",
    "getcwd": "/",
    "umask": 0o22,
}
_PYTHON_CHANGES = (2, 13, 25)  # SIGINT is handled, SIGPIPE and SIGXFSZ ignored


class RecordingKernel:
    """Touches nothing; remembers every call in `calls` and answers as a kernel might.

    A new descriptor gets the lowest free number, as a process would see it that has `open_fds`.
    All paths are taken to exist, a file read is empty, and a fork answers as it does in the child.
    A subclass that knows better overrides `answer`, and may raise `OSError` there.
    """

    def __init__(self, open_fds: Iterable[int] = (0, 1, 2)) -> None:
        self.calls: list[Call] = []
        self.open_fds = set(open_fds)

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name == _NO_CALL:
            return lambda signum: signum in _PYTHON_CHANGES
        if name not in METHODS:
            raise AttributeError(name)

        def recorded(*args: Any) -> Any:
            try:
                result = self.answer(name, args)
            except OSError as error:
                self.calls.append(show_call(name, args).but(result=show_error(error)))
                raise
            self.calls.append(self._show(name, args, result))
            return result

        return recorded

    def _show(self, name: str, args: tuple[Any, ...], result: Any) -> Call:
        """Of results only descriptors are shown: later calls refer to them. The rest would be
        claims about what was never tried."""
        call = show_call(name, args, result)
        return call if makes_descriptor(name, args) else call.but(result="")

    def answer(self, name: str, args: tuple[Any, ...]) -> Any:
        """What the call `name` returns here."""
        if makes_descriptor(name, args):
            return self.new_descriptor()
        if name == "close":
            self.open_fds.discard(args[0])
        if name == "ioctl":
            return args[2]
        if name == "write":
            return len(args[1])
        return _ANSWERS.get(name, 0)

    def new_descriptor(self) -> int:
        """The lowest number that is free, taken."""
        number = next(n for n in range(len(self.open_fds) + 1) if n not in self.open_fds)
        self.open_fds.add(number)
        return number


def makes_descriptor(name: str, args: tuple[Any, ...]) -> bool:
    """Whether a call returns a new descriptor."""
    if name == "bpf":
        return bool(args[0] == BpfCmd.BPF_PROG_LOAD)
    if name == "ioctl":
        return bool(args[1] == 0x5441)  # TIOCGPTPEER
    if name == "seccomp":
        return bool(args[1] & SeccompFilterFlag.SECCOMP_FILTER_FLAG_NEW_LISTENER)
    return name in _OPENS
