"""Dockerfiles as people write them: packages from a mirror, a database, a web application.

Built, run, and asked something. The C program ends in an image of one file: BuildKit must come to
the same one. They use the host's network: another test flushes all of nftables' rules meanwhile, as
firewalls do, and with them the bridges' way out until a container starts again.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from conformance.judges import Case, buildkit, differences, read_images

REPOSITORY = Path(__file__).parents[2]
DEBIAN = REPOSITORY / "rootfs" / "debian.tar"
REAL = Path(__file__).with_name("dockerfiles") / "real"
AUTHORITIES = "/etc/ssl/certs/ca-certificates.crt"
MIRROR = ("deb.debian.org", 80)
TIMEOUT = 180

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not DEBIAN.exists(), reason="there is no rootfs/debian.tar: make it first"),
]


@pytest.fixture(scope="module")
def builds(minidock_home: Any) -> Iterator[dict[str, Future[str]]]:
    """All of them, two at a time: they mostly wait for the mirror."""
    try:
        socket.create_connection(MIRROR, timeout=5).close()
    except OSError as error:
        pytest.skip(f"Debian's mirror is out of reach: {error}")
    minidock_home.ok("import", str(DEBIAN), "debian")
    ours = AUTHORITIES if os.path.exists(AUTHORITIES) else os.devnull

    def build(name: str) -> str:
        flags = ["--network", "host", "--secret", f"id=authorities,src={ours}"]
        flags += ["-t", f"real/{name}"]
        return str(minidock_home.ok("build", *flags, str(REAL / name), timeout=TIMEOUT))

    names = sorted(path.name for path in REAL.iterdir())
    with ThreadPoolExecutor(2) as pool:
        results = {name: pool.submit(build, name) for name in names}
    yield results  # all are over: after a test all containers are removed, a build's too
    minidock_home("rmi", "-f", *(f"real/{name}" for name in names), "debian")


@pytest.fixture
def start(minidock: Any, builds: dict[str, Future[str]]) -> Any:
    """`ask = start(name)`; `ask(command, …)` until it succeeds: what it says."""

    def started(name: str) -> Any:
        builds[name].result()
        container = minidock.ok("run", "-d", f"real/{name}").strip()

        def ask(*command: str) -> str:
            for _ in range(60):
                done = minidock("exec", container, *command)
                if not done.returncode:
                    break
                time.sleep(0.2)
            assert done.returncode == 0, done.stdout + done.stderr + minidock.ok("logs", container)
            return str(done.stdout)

        return ask

    return started


def test_nginx(start: Any) -> None:
    request = r'exec 3<>/dev/tcp/127.0.0.1/80; printf "GET / HTTP/1.0\r\n\r\n" >&3; cat <&3'
    assert start("nginx")("bash", "-c", request).endswith("\r\n\r\n<h1>made in a build</h1>\n")


def test_postgresql(start: Any) -> None:
    ask = start("postgresql")
    assert ask("psql", "-Atc", "select sum(kilos) from fruit", "postgres") == "7\n"
    assert ask("whoami") == "postgres\n"


def test_a_python_web_application(start: Any) -> None:
    ask = start("python")
    fetch = "import urllib.request as u; print(u.urlopen('http://127.0.0.1:8000/you').read())"
    assert ask("python3", "-c", fetch) == "b'hello you\\n'\n"
    assert ask("ls", "-A") in (".bash_logout\n.bashrc\n.profile\nDockerfile\napp.py\n",
                               ".bash_logout\n.bashrc\n.profile\napp.py\nDockerfile\n")  # fmt: skip


def test_a_c_program_in_an_image_of_its_own(
    minidock: Any, builds: dict[str, Future[str]], engine_in_memory: Any, tmp_path: Path
) -> None:
    builds["c"].result()
    assert minidock.ok("run", "--rm", "real/c") == "hello world\n"
    assert minidock.ok("run", "--rm", "real/c", "you") == "hello you\n"

    ours, theirs, base = (tmp_path / name for name in ("ours.tar", "theirs.tar", "base.tar"))
    minidock.ok("save", "-o", str(ours), "real/c")
    minidock.ok("save", "-o", str(base), "debian")
    engine_in_memory("load", "-i", str(base))
    case = Case("c", b"", None, [], [], "buildkit", steps=True)
    buildkit(engine_in_memory, REAL / "c", case, "real/c", network="host")
    engine_in_memory("save", "-o", str(theirs), "real/c")
    engine_in_memory("rmi", "-f", "real/c", "debian")
    images = [read_images(path)["real/c"] for path in (ours, theirs)]
    assert differences(*images, case) == []
    assert set(images[0].tree) == {"bin", "bin/hello"}
