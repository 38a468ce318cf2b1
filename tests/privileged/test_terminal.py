"""A terminal is a real one: typed at through a pseudoterminal, as a person would."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Iterator

import pytest


class Typist:
    """A command on a pseudoterminal of its own."""

    def __init__(self, minidock, *args: str, rows: int = 24, columns: int = 80) -> None:
        self.master, slave = pty.openpty()
        self.resize(rows, columns)
        self.before = termios.tcgetattr(slave)
        self.slave = slave
        self.process = subprocess.Popen(
            [*minidock.argv, *args],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env={**minidock.env, "TERM": "xterm"},
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )
        self.seen = ""

    def resize(self, rows: int, columns: int) -> None:
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def type(self, text: str) -> None:
        os.write(self.master, text.encode())

    def expect(self, pattern: str, seconds: float = 15) -> re.Match[str]:
        """Read until `pattern` appears; what was before it is forgotten."""
        deadline = time.monotonic() + seconds
        while True:
            found = re.search(pattern, self.seen)
            if found:
                self.seen = self.seen[found.end() :]
                return found
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self.master], [], [], left)[0]:
                raise AssertionError(f"no {pattern!r} in {self.seen!r}")
            self.seen += os.read(self.master, 65536).decode("utf-8", "replace")

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        os.close(self.master)
        os.close(self.slave)


@pytest.fixture
def typist(minidock) -> Iterator[object]:
    open_ones: list[Typist] = []

    def start(*args: str, **kwargs: int) -> Typist:
        open_ones.append(Typist(minidock, *args, **kwargs))
        return open_ones[-1]

    yield start
    for one in open_ones:
        one.close()


def test_size_follows_the_window(typist) -> None:
    shell = typist("run", "-it", "--rm", "busybox", "sh", rows=30, columns=100)
    shell.expect("# ")
    shell.type("stty size\r")
    shell.expect("30 100\r\n")
    shell.resize(50, 132)
    shell.process.send_signal(signal.SIGWINCH)
    shell.expect("# ")
    shell.type("stty size\r")
    shell.expect("50 132\r\n")
    shell.type("exit 3\r")
    assert shell.process.wait(10) == 3


def test_ctrl_c_goes_in_and_the_shell_survives(typist) -> None:
    shell = typist("run", "-it", "--rm", "busybox", "sh")
    shell.expect("# ")
    shell.type("sleep 100\r")
    time.sleep(0.3)
    shell.type("\x03")
    shell.expect("# ")
    shell.type("echo alive\r")
    shell.expect("\nalive\r\n")  # what it printed, not the echo of what was typed
    shell.expect("# ")
    shell.type("\x04")  # Ctrl-D ends the shell
    assert shell.process.wait(10) in (0, 130)


def test_job_control(typist) -> None:
    shell = typist("run", "-it", "--rm", "busybox", "sh")
    shell.expect("# ")
    shell.type("sleep 100\r")
    time.sleep(0.3)
    shell.type("\x1a")  # Ctrl-Z
    shell.expect("Stopped")
    shell.type("jobs; tty; kill -9 %1\r")
    shell.expect("sleep 100")
    shell.expect("/dev/pts/0")


@pytest.mark.parametrize("end", ["exit", "detach", "kill"])
def test_the_terminal_gets_its_mode_back(typist, minidock, end: str) -> None:
    shell = typist("run", "-it", "--name", "raw", "busybox", "sh")
    shell.expect("# ")
    assert termios.tcgetattr(shell.slave) != shell.before  # raw while attached
    if end == "exit":
        shell.type("exit\r")
    elif end == "detach":
        shell.type("\x10\x11")
    else:
        minidock.ok("kill", "raw")
    shell.process.wait(10)
    assert termios.tcgetattr(shell.slave) == shell.before


def test_detach_and_attach(typist, minidock) -> None:
    shell = typist("run", "-it", "--name", "kept", "busybox", "sh")
    shell.expect("# ")
    shell.type("X=remembered\r")
    shell.expect("# ")
    shell.type("\x10\x11")
    assert shell.process.wait(10) == 0
    assert minidock.ok("inspect", "-f", "{{.State.Status}}", "kept") == "running\n"
    again = typist("attach", "kept")
    again.type("echo $X\r")
    again.expect("remembered\r\n")
    again.type("\x10\x11")
    again.expect("read escape sequence")
    assert again.process.wait(10) == 1


def test_who_attaches_again_is_drawn_the_screen_again(typist, minidock) -> None:
    """The window has the size it had, so the kernel would send no SIGWINCH by itself."""
    program = "trap 'echo drawn' WINCH; echo ready; while :; do sleep 0.1; done"
    shell = typist("run", "-it", "--name", "drawn", "busybox", "sh", "-c", program)
    shell.expect("ready")
    shell.type("\x10\x11")
    assert shell.process.wait(10) == 0
    for _ in range(2):
        again = typist("attach", "drawn")
        again.expect("drawn\r\n", seconds=5)
        again.type("\x10\x11")
        again.process.wait(10)
    shell = typist("exec", "drawn", "stty", "-F", "/dev/console", "size")
    shell.expect("24 80")


def test_a_lone_ctrl_p_is_passed_on(typist) -> None:
    shell = typist("run", "-it", "--rm", "busybox", "sh", "-c", "stty raw; head -c 2 | od -An -tx1")
    time.sleep(1)
    shell.type("\x10a")
    shell.expect("10 61")
    shell.process.wait(10)


def test_exec_has_a_terminal_too(typist, minidock) -> None:
    minidock.ok("run", "-d", "--name", "web", "busybox", "sleep", "100")
    shell = typist("exec", "-it", "web", "sh", rows=40, columns=90)
    shell.expect("# ")
    shell.type("tty; stty size; exit 6\r")
    shell.expect("/dev/pts/0\r\n40 90\r\n")
    assert shell.process.wait(10) == 6


def test_a_terminal_is_needed_for_it(minidock) -> None:
    done = minidock("run", "-it", "--rm", "busybox", "sh")
    assert (done.returncode, done.stderr) == (1, "the input device is not a TTY\n")
    assert minidock.ok("ps", "-aq") == ""


def test_t_without_i_joins_both_streams(minidock) -> None:
    done = minidock("run", "-t", "--rm", "busybox", "sh", "-c", "echo out; echo err >&2; tty")
    assert done.stdout == "out\r\nerr\r\n/dev/pts/0\r\n"
    assert done.stderr == ""


def test_the_console_is_the_terminal(minidock) -> None:
    out = minidock.ok("run", "-t", "--rm", "busybox", "sh", "-c", "echo hello > /dev/console; env")
    assert out.startswith("hello\r\n")
    assert "TERM=xterm\r\n" in out
