"""Run a command under ptrace(2), and kill one of its processes at its N-th system call.

    python kill_at.py ROLE N [SEIZE] -- COMMAND…

ROLE says which process: "" is the command itself, "0" its first child, "0.1" the second child of
that, and so on. With SEIZE, a PID, roles are counted from that process instead, which lives already
(a container's monitor, to which `exec` sends its wish). N 0 kills nobody.

Prints one line: how many calls the process made, whether it was killed, and the command's exit
code. Whoever is traced goes on untraced when this ends. What is not in the role is not stopped
at its calls, so its pace stays what it was.

See: ptrace(2)
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

CONT, SEIZE, INTERRUPT, LISTEN, SYSCALL, GETEVENTMSG = 7, 0x4206, 0x4207, 0x4208, 24, 0x4201
SYSGOOD, FORK, VFORK, CLONE, EXEC = 1, 2, 4, 8, 16
EVENT_FORK, EVENT_VFORK, EVENT_CLONE, EVENT_EXEC, EVENT_STOP = 1, 2, 3, 4, 128
WALL = 0x40000000

_libc = ctypes.CDLL(None, use_errno=True)
_libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
_libc.ptrace.restype = ctypes.c_long


def ptrace(request: int, pid: int, data: int = 0) -> bool:
    """False where the process is gone, which may happen at any time."""
    return _libc.ptrace(request, pid, None, data) == 0


def event_message(pid: int) -> int:
    value = ctypes.c_ulong()
    _libc.ptrace(GETEVENTMSG, pid, None, ctypes.addressof(value))
    return value.value


class Tracer:
    def __init__(self, role: str, at: int) -> None:
        self.role = role
        self.at = at
        self.calls = 0
        self.killed = False
        self._roles: dict[int, str | None] = {}
        self._children: dict[int, int] = {}
        self._inside: set[int] = set()  # the calls whose end is awaited
        self._early: set[int] = set()  # children that stopped before their parent told of them

    def seize(self, pid: int, role: str | None) -> None:
        if not ptrace(SEIZE, pid, SYSGOOD | FORK | VFORK | CLONE | EXEC):
            raise SystemExit(f"cannot trace {pid}: {os.strerror(ctypes.get_errno())}")
        self._roles[pid] = role
        ptrace(INTERRUPT, pid)

    def run(self, command: int) -> int:
        """Until the command ends; its exit code."""
        while True:
            pid, status = os.waitpid(-1, WALL)
            if os.WIFSTOPPED(status):
                self._stopped(pid, os.WSTOPSIG(status), status >> 16)
            elif pid == command:
                return os.waitstatus_to_exitcode(status)

    def _stopped(self, pid: int, number: int, event: int) -> None:
        if pid not in self._roles:
            self._early.add(pid)
            return
        deliver = 0
        if number == signal.SIGTRAP | 0x80:
            if self._at_call(pid):
                return
        elif event in (EVENT_FORK, EVENT_VFORK, EVENT_CLONE):
            self._forked(pid, event_message(pid))
        elif event == EVENT_STOP and number != signal.SIGTRAP:
            ptrace(LISTEN, pid)
            return
        elif event == 0:
            deliver = number
        self._go_on(pid, deliver)

    def _go_on(self, pid: int, deliver: int = 0) -> None:
        ptrace(SYSCALL if self._roles[pid] == self.role else CONT, pid, deliver)

    def _at_call(self, pid: int) -> bool:
        """Count it, when it begins. True when that was the last one."""
        if pid in self._inside:
            self._inside.discard(pid)
            return False
        self._inside.add(pid)
        self.calls += 1
        if self.calls == self.at:
            self.killed = True
            os.kill(pid, signal.SIGKILL)
            return True
        return False

    def _forked(self, parent: int, child: int) -> None:
        number = self._children.get(parent, 0)
        self._children[parent] = number + 1
        above = self._roles[parent]
        self._roles[child] = None if above is None else f"{above}.{number}".lstrip(".")
        if child in self._early:
            self._early.discard(child)
            self._go_on(child)


def main() -> None:
    split = sys.argv.index("--")
    role, at, *seize = sys.argv[1:split]
    tracer = Tracer(role, int(at))
    wait, go = os.pipe()
    command = os.fork()
    if command == 0:
        os.read(wait, 1)
        os.execvp(sys.argv[split + 1], sys.argv[split + 1 :])
    tracer.seize(command, None if seize else "")
    for pid in seize:
        tracer.seize(int(pid), "")
    os.write(go, b".")
    code = tracer.run(command)
    print(tracer.calls, int(tracer.killed), code, file=sys.stderr)


main()
