"""`run` and `exec` in the foreground: a terminal of the container's, and signals on their way."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import termios
import time
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.conftest import Oci


class Typist:
    """Somebody at a terminal in which a command runs."""

    def __init__(self, argv: list[str], rows: int = 30, columns: int = 100) -> None:
        ready, go = os.pipe()
        self.pid, self.terminal = pty.fork()
        if self.pid == 0:
            os.read(ready, 1)
            os.execvp(argv[0], argv)
        self.resize(rows, columns)
        os.write(go, b"x")
        os.close(go)
        os.close(ready)
        self.seen = b""

    def resize(self, rows: int, columns: int) -> None:
        fcntl.ioctl(self.terminal, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def type(self, text: bytes) -> None:
        os.write(self.terminal, text)

    def until(self, text: bytes) -> None:
        while text not in self.seen:
            assert select.select([self.terminal], [], [], 10)[0], self.seen
            self.seen += os.read(self.terminal, 4096)

    def end(self) -> int:
        """Wait; the exit code."""
        try:
            while select.select([self.terminal], [], [], 10)[0]:
                self.seen += os.read(self.terminal, 4096)
        except OSError:
            pass  # nobody has it open any more
        os.close(self.terminal)
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


def with_terminal(config: dict[str, Any]) -> None:
    config["process"]["terminal"] = True
    config["process"]["env"].append("PS1=ready> ")


def test_a_shell_in_a_terminal(oci: Oci) -> None:
    bundle = oci.bundle("sh", change=with_terminal)
    typist = Typist([*oci.argv, "run", "-b", bundle, "c1"])
    typist.until(b"ready> ")
    typist.type(b"tty; stty size; ls -l /dev/console | cut -c1\r")
    typist.until(b"/dev/pts/0\r\n30 100\r\nc\r\n")
    typist.type(b"sleep 100\r")
    time.sleep(0.5)
    typist.type(b"\x03")  # Ctrl-C
    typist.until(b"^C\r\nready> ")
    typist.type(b"echo $? interrupted\r")
    typist.until(b"130 interrupted\r\n")
    typist.resize(20, 70)
    time.sleep(0.3)
    typist.type(b"stty size; exit 7\r")
    assert typist.end() == 7
    assert b"20 70" in typist.seen


def test_exec_in_a_terminal(oci: Oci) -> None:
    oci.ok("run", "-d", "-b", oci.bundle("sleep", "100"), "c1")
    typist = Typist([*oci.argv, "exec", "-t", "c1", "sh", "-c", "tty; read -r x; exit $x"])
    typist.until(b"/dev/pts/0")
    typist.type(b"9\r")
    assert typist.end() == 9


def test_our_terminal_is_as_it_was(oci: Oci) -> None:
    """Raw while the container's process has it, and then not any more."""
    bundle = oci.bundle("true", change=with_terminal)
    command = " ".join(f"'{word}'" for word in [*oci.argv, "run", "-b", bundle, "c1"])
    typist = Typist(["sh", "-c", f"stty -a > {oci.home}/a; {command}; stty -a > {oci.home}/b"])
    assert typist.end() == 0
    assert (oci.home / "a").read_text() == (oci.home / "b").read_text() != ""


def test_a_lot_of_output_is_all_there(oci: Oci) -> None:
    bundle = oci.bundle("sh", "-c", "seq 1 20000", change=with_terminal)
    typist = Typist([*oci.argv, "run", "-b", bundle, "c1"])
    assert typist.end() == 0
    assert typist.seen.split() == [b"%d" % number for number in range(1, 20001)]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1])
def test_a_signal_reaches_the_process(oci: Oci, number: signal.Signals) -> None:
    script = f"trap 'echo got it; exit 5' {int(number)}; echo ready; while :; do sleep 0.1; done"
    bundle = oci.bundle("sh", "-c", script)
    with subprocess.Popen(
        [*oci.argv, "run", "-b", bundle, "c1"], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
        process.send_signal(number)
        assert process.stdout.readline() == "got it\n"
        assert process.wait(10) == 5
    assert oci.states() == []


def test_a_terminal_without_anybody_to_hold_it_is_refused(oci: Oci) -> None:
    bundle = oci.bundle("true", change=with_terminal)
    done = oci("create", "-b", bundle, "c1")
    assert (done.returncode, "without setting console socket" in done.stderr) == (1, True)
    done = oci("run", "--console-socket", "/tmp/none", "-b", oci.bundle("true"), "c1")
    assert (done.returncode, "cannot use console socket" in done.stderr) == (1, True)
    assert oci.states() == []
