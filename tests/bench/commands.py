"""Running a foreign program to its end, and how long that took.

What is measured is what a user waits for: from before the fork of the client to after its exit,
wall clock. Standard output and error go to files, never to pipes: a pipe would stay open in the
monitor, shim or daemon that a container leaves behind, and whoever reads it to its end would be
timing that process instead of the command.

See: wait4(2), clock_gettime(2)
"""

from __future__ import annotations

import os
import select
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from typing import IO

TIMEOUT_SECONDS = 300


class Failed(Exception):
    """A command could not be run, took too long, or ended with a code other than 0."""


def lean_environment() -> dict[str, str]:
    """What every contestant is started with: nothing of the caller's but PATH and HOME."""
    return {
        "PATH": os.environ.get("PATH", "/usr/sbin:/usr/bin:/sbin:/bin"),
        "HOME": os.environ.get("HOME", "/root"),
        "LANG": "C.UTF-8",
    }


def run(argv: Sequence[str], *, env: Mapping[str, str], stdin: str = os.devnull) -> str:
    """Run to the end and return standard output; raises Failed with the last line of stderr."""
    return _run(argv, env, stdin)[0]


def milliseconds(argv: Sequence[str], *, env: Mapping[str, str], stdin: str = os.devnull) -> float:
    """Run to the end and return the milliseconds of wall clock it took; raises Failed."""
    return _run(argv, env, stdin)[1]


def milliseconds_at_once(argv: Sequence[str], copies: int, *, env: Mapping[str, str]) -> float:
    """Start `copies` of one command at the same time; milliseconds until the last has ended."""
    with ExitStack() as files:
        err = files.enter_context(tempfile.TemporaryFile())
        begin = time.perf_counter_ns()
        processes = [
            subprocess.Popen(
                argv,
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=err,
            )
            for _ in range(copies)
        ]
        codes = [process.wait() for process in processes]
        taken = (time.perf_counter_ns() - begin) / 1e6
        if any(codes):
            bad = [str(code) for code in codes if code]
            told = _last_line(err) or "no word on stderr"
            raise Failed(f"{len(bad)} of {copies} failed (exit code {' '.join(bad)}): {told}")
    return taken


def _run(argv: Sequence[str], env: Mapping[str, str], stdin: str) -> tuple[str, float]:
    with ExitStack() as files:
        source = files.enter_context(open(stdin, "rb"))
        out = files.enter_context(tempfile.TemporaryFile())
        err = files.enter_context(tempfile.TemporaryFile())
        begin = time.perf_counter_ns()
        try:
            process = subprocess.Popen(argv, env=env, stdin=source, stdout=out, stderr=err)
        except OSError as error:
            raise Failed(f"{argv[0]}: {error.strerror}") from error
        try:
            in_time = _ended(process.pid)
            taken = (time.perf_counter_ns() - begin) / 1e6
        finally:
            if process.poll() is None:  # too late, or Ctrl-C: no child outlives this function
                process.kill()
            code = process.wait()
        if not in_time:
            raise Failed(f"not done after {TIMEOUT_SECONDS} s: {' '.join(argv)}")
        if code:
            raise Failed(f"exit code {code}: {_last_line(err) or ' '.join(argv)}")
        out.seek(0)
        return out.read().decode(errors="replace"), taken


def _ended(pid: int) -> bool:
    """Wait until this child has ended, TIMEOUT_SECONDS at most; says whether it has.

    Through a pidfd, because `Popen.wait(timeout)` looks only now and then, at last every 50 ms, and
    would round every figure up to the next look. pidfd_open(2)
    """
    pidfd = os.pidfd_open(pid)
    try:
        return bool(select.select([pidfd], [], [], TIMEOUT_SECONDS)[0])
    finally:
        os.close(pidfd)


def _last_line(file: IO[bytes]) -> str:
    file.seek(0)
    lines = [line for line in file.read().decode(errors="replace").splitlines() if line.strip()]
    # The last word is often not the reason: Docker's clients give a hint ("Run … --help"), make
    # repeats that it failed. The sentence before says what happened.
    told = [line for line in lines if "--help" not in line and not line.startswith("make: ")]
    return told[-1].strip() if told else ""
