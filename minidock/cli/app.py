"""What a command gets besides its arguments: where the state lies, where output goes.

Output is written through, never kept: the processes a command forks would otherwise carry copies
of a half-filled buffer and print it again. Text is UTF-8 whatever the locale says, and bytes
that are not UTF-8 (file names) come out as they went in (PEP 383).
"""

from __future__ import annotations

import os

from minidock.cli.command import ClientError
from minidock.engine.output import write_all
from minidock.errors import MinidockError

TYPE_CHECKING = False
if TYPE_CHECKING:
    import _socket
    from collections.abc import Callable, Iterable

    from minidock.engine.containers import Containers


DAEMON = "Error response from daemon: "
"""There is no daemon, but scripts search for these words."""


class App:
    """`root` and `run_root` are absolute paths; `stdin`, `stdout`, `stderr` file descriptors."""

    def __init__(
        self,
        *,
        root: str,
        run_root: str,
        debug: bool = False,
        stdin: int = 0,
        stdout: int = 1,
        stderr: int = 2,
    ) -> None:
        self.root = root
        self.run_root = run_root
        self.debug = debug
        self.stdin = stdin
        self.stdout = stdout
        self.stderr = stderr
        self.monitor: _socket.socket | None = None  # spawned early; see engine/spawn.py

    def containers(self) -> Containers:
        """Those below the two roots."""
        from minidock.engine.containers import Containers
        from minidock.engine.paths import Paths

        return Containers(Paths(self.root, self.run_root))

    def out(self, text: str) -> None:
        """Write to standard output, now. Raises `OutputClosed` and other `OSError`."""
        write_all(self.stdout, text.encode("utf-8", "surrogateescape"))

    def err(self, text: str) -> None:
        """Write to standard error, now. A closed stderr is nobody's problem."""
        try:
            write_all(self.stderr, text.encode("utf-8", "surrogateescape"))
        except OSError:
            pass

    def warn(self, text: str) -> None:
        """Say what of the user's wishes is not granted, without giving up."""
        from minidock.spec.quoting import visible

        self.err(f"WARNING: {visible(text)}\n")

    def fail(self, error: MinidockError | OSError) -> int:
        """Say what went wrong and go on; returns 1, the exit code of a command that had errors."""
        prefix = "minidock: " if isinstance(error, OSError) else ""
        self.err(f"{prefix}{describe(error)}\n")
        self.trace(error)
        return 1

    def trace(self, error: BaseException) -> None:
        """With `--debug`, show where in the code an error came from."""
        if self.debug:
            import traceback

            self.err("".join(traceback.format_exception(error)))

    def each(self, names: Iterable[str], action: Callable[[str], str | None]) -> int:
        """Do `action` to every name, as `rm`, `stop` or `start` do: an error stops only its own.

        What `action` returns is printed as a line. Returns the exit code.
        """
        code = 0
        for name in names:
            try:
                line = action(name)
            except MinidockError as error:
                code = self.fail(error)
            else:
                if line is not None:
                    self.out(line + "\n")
        return code


def describe(error: MinidockError | OSError) -> str:
    """An error in the words that go to stderr, without a newline at the end."""
    from minidock.spec.quoting import visible

    if isinstance(error, OSError):
        return visible(_describe_os_error(error))
    text = error.message if isinstance(error, ClientError) else f"{DAEMON}{error.message}"
    return visible(f"{text}\n{error.hint}" if error.hint else text)


def _describe_os_error(error: OSError) -> str:
    """One line: the file, the kernel's words, and what the executor of a plan noted.

    A user without privilege is told that this is what is missing.
    """
    what = ": ".join(str(part) for part in (error.filename, error.filename2) if part)
    words = error.strerror or str(error) or type(error).__name__
    line = "; ".join((f"{what}: {words}" if what else words, *getattr(error, "__notes__", ())))
    if isinstance(error, PermissionError) and os.geteuid() != 0:
        line += " (minidock needs root here: try sudo)"
    return line
