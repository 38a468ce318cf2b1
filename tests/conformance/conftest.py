"""A Docker engine for tests that compare: its own, so that nothing of this machine's is touched."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

STARTS_WITHIN = 30  # seconds

Run = Callable[..., subprocess.CompletedProcess[str]]


StartDocker = Callable[..., AbstractContextManager[Run]]


@pytest.fixture(scope="session")
def start_docker() -> StartDocker:
    """`with start_docker("--add-runtime", …) as docker: docker("images", "-a", stdin=b"")`: an
    engine with these flags beside its own, and Docker's client talking to it. `docker.home` is the
    directory of all it has."""
    return _engine


@pytest.fixture(scope="session")
def docker_engine(start_docker: StartDocker) -> Iterator[Run]:
    """One for all tests that only want to ask Docker."""
    with start_docker() as docker:
        yield docker


@contextmanager
def _engine(*flags: str) -> Iterator[Run]:
    if os.geteuid() != 0:
        pytest.skip("needs root: it starts a dockerd")
    for program in ("docker", "dockerd"):
        if not shutil.which(program):
            pytest.skip(f"needs {program}")
    home = tempfile.mkdtemp(prefix="engine-", dir="/tmp")  # socket paths must be short
    env = {**os.environ, "DOCKER_HOST": f"unix://{home}/s", "DOCKER_CONFIG": f"{home}/config"}
    argv = ["dockerd", "--data-root", f"{home}/data", "--exec-root", f"{home}/exec"]
    argv += ["-p", f"{home}/pid", "-H", f"unix://{home}/s"]
    argv += ["--bridge=none", "--iptables=false", "--ip6tables=false", *flags]
    with open(f"{home}/log", "wb") as log:
        engine = subprocess.Popen(argv, stdout=log, stderr=log)

    def run(*args: str, stdin: bytes = b"") -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            ["docker", *args], input=stdin, capture_output=True, env=env, timeout=60, check=False
        )
        out, err = (s.decode("utf-8", "replace") for s in (done.stdout, done.stderr))
        return subprocess.CompletedProcess(done.args, done.returncode, out, err)

    try:
        limit = time.monotonic() + STARTS_WITHIN
        while run("version").returncode:
            if engine.poll() is not None or time.monotonic() > limit:
                words = Path(home, "log").read_text(errors="replace")[-300:]
                pytest.skip(f"dockerd does not start here: {words}")
            time.sleep(0.2)
        run.home = home  # type: ignore[attr-defined]
        yield run
    finally:
        containers = run("ps", "-aq").stdout.split()
        if containers:
            run("rm", "-f", *containers)
        engine.send_signal(signal.SIGTERM)
        engine.wait(30)
        for mount in reversed(Path("/proc/self/mountinfo").read_text().splitlines()):
            if mount.split()[4].startswith(home + "/"):
                subprocess.run(["umount", "-l", mount.split()[4]], check=False)
        shutil.rmtree(home, ignore_errors=True)
