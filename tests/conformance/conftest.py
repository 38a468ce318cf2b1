"""A Docker engine and a registry for tests: their own, so nothing of this machine's is touched."""

from __future__ import annotations

import os
import shutil
import signal
import socket
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


@pytest.fixture(scope="session")
def engine_in_memory(
    start_docker: StartDocker, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Run]:
    """For builds: BuildKit synchronises after each step, and a disk takes several times as long."""
    if os.geteuid() != 0:
        pytest.skip("needs root: it mounts")
    data = tmp_path_factory.mktemp("engine")
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2g", "engine", data], check=True)
    try:
        with start_docker("--data-root", str(data)) as docker:
            yield docker
    finally:
        subprocess.run(["umount", "-R", "-l", data], check=True)


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


class Served:
    """A running registry. `address` is what stands before the repository in a name; `host` is how
    this machine calls itself in it: 127.0.0.1 is trusted without TLS, 0.0.0.0 leads there too and
    is not. `extra` is added to its configuration, in the section `http` first."""

    def __init__(self, home: Path, extra: str = "", host: str = "127.0.0.1") -> None:
        if not shutil.which("docker-registry"):
            pytest.skip("needs Debian's docker-registry")
        with socket.socket() as probe:
            probe.bind((host, 0))
            self.address = f"{host}:{probe.getsockname()[1]}"
        self.data = home / "data"
        config = home / "config.yml"
        config.write_text(
            "version: 0.1\nlog: {level: error}\n"
            f"storage: {{filesystem: {{rootdirectory: {self.data}}}, delete: {{enabled: true}}}}\n"
            f"http:\n  addr: {self.address}\n{extra}"
        )
        with open(home / "log", "wb") as log:
            self._process = subprocess.Popen(
                ["docker-registry", "serve", str(config)], stdout=log, stderr=log
            )
        host, _, port = self.address.partition(":")
        limit = time.monotonic() + 20
        while True:
            try:
                socket.create_connection((host, int(port)), 1).close()
                return
            except OSError:
                if self._process.poll() is not None or time.monotonic() > limit:
                    words = (home / "log").read_text(errors="replace")[-300:]
                    pytest.fail(f"docker-registry does not start: {words}")
                time.sleep(0.05)

    def stop(self) -> None:
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(20)


StartRegistry = Callable[..., Served]


@pytest.fixture(scope="session")
def start_registry() -> Iterator[StartRegistry]:
    """`start_registry(tmp_path, extra, host)`: Debian's docker-registry; stopped at the end."""
    running: list[Served] = []

    def start(home: Path, extra: str = "", host: str = "127.0.0.1") -> Served:
        running.append(Served(home, extra, host))
        return running[-1]

    yield start
    for served in running:
        served.stop()
