"""Which registry is believed: certificates, mirrors, the file that says so, and one that is silent.

0.0.0.0 leads to this machine but is not known to, so it needs TLS as any far host does.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

Settings = Callable[[str], None]


@pytest.fixture
def settings(minidock, tmp_path: Path, monkeypatch) -> Settings:
    """Write the settings that minidock reads in this test."""
    path = tmp_path / "registries.toml"
    monkeypatch.setitem(minidock.env, "MINIDOCK_REGISTRIES", str(path))
    return lambda text: (path.write_text(text), None)[1]


@pytest.fixture(scope="module")
def certified(start_registry, tmp_path_factory: pytest.TempPathFactory):
    """A registry with TLS; `authority` is the file of who signed its certificate."""
    if not shutil.which("openssl"):
        pytest.skip("needs openssl")
    home = tmp_path_factory.mktemp("tls")

    def openssl(*words: str) -> None:
        subprocess.run(["openssl", *words], cwd=home, check=True, capture_output=True, timeout=60)

    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-noenc")
    openssl("req", "-x509", *key, "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=our own")
    openssl("req", "-x509", *key, "-keyout", "key", "-out", "cert", "-subj", "/CN=shop",
            "-CA", "ca.pem", "-CAkey", "ca.key", "-addext", "basicConstraints=CA:FALSE",
            "-addext", "subjectAltName=IP:0.0.0.0")  # fmt: skip
    extra = f"  tls: {{certificate: {home}/cert, key: {home}/key}}\n"
    served = start_registry(home, extra, "0.0.0.0")
    served.authority = str(home / "ca.pem")
    return served


@pytest.fixture
def name(minidock, certified) -> Iterator[str]:
    image = f"{certified.address}/tls/{os.urandom(4).hex()}"
    minidock.ok("tag", "busybox", image)
    yield image
    minidock("rmi", image)


# ── TLS ──


def test_a_certificate_that_nobody_known_signed(minidock, certified, name: str, settings) -> None:
    began = time.monotonic()
    for command in ("pull", "push"):
        done = minidock(command, "-q", name)
        assert done.returncode == 1
        assert done.stderr == (
            "Error response from daemon: "
            f'Get "https://{certified.address}/v2/": tls: unable to get local issuer certificate\n'
        )
    login = minidock("login", "-u", "x", "--password-stdin", certified.address, stdin=b"y")
    assert login.returncode == 1
    assert "tls: unable to get local issuer certificate" in login.stderr
    assert time.monotonic() - began < 20, "it is not tried again"


def test_an_authority_of_our_own(minidock, certified, name: str, settings) -> None:
    settings(f'[registry."{certified.address}"]\nca = "{certified.authority}"\n')
    minidock.ok("push", name)
    minidock.ok("rmi", name)
    assert minidock.ok("pull", "-q", name) == f"{name}:latest\n"
    assert minidock.ok("run", "--rm", name, "echo", "hello") == "hello\n"


def test_an_authority_that_signed_something_else(
    minidock, certified, name: str, settings, tmp_path: Path
) -> None:
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
         "-noenc", "-keyout", "key", "-out", "other.pem", "-subj", "/CN=another"],
        cwd=tmp_path, check=True, capture_output=True, timeout=60,
    )  # fmt: skip
    settings(f'[registry."{certified.address}"]\nca = "{tmp_path}/other.pem"\n')
    done = minidock("pull", "-q", name)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "tls: " in done.stderr


def test_insecure_by_name(minidock, certified, name: str, settings) -> None:
    settings(f'[registry."{certified.address}"]\ninsecure = true\n')
    minidock.ok("push", name)
    minidock.ok("rmi", name)
    done = minidock("pull", "-q", name)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{name}:latest\n", "")


def test_plain_http_is_for_this_machine_and_who_is_listed(
    minidock, start_registry, tmp_path: Path, settings
) -> None:
    served = start_registry(tmp_path, host="0.0.0.0")
    name = f"{served.address}/plain"
    minidock.ok("tag", "busybox", name)
    try:
        done = minidock("push", "-q", name)
        assert (done.returncode, done.stderr.count("\n")) == (1, 1)
        assert f'Get "https://{served.address}/v2/": tls: ' in done.stderr
        settings(f'[registry."{served.address}"]\ninsecure = true\n')
        minidock.ok("push", name)
    finally:
        minidock("rmi", name)


# ── mirrors ──


def test_a_mirror_that_has_it(minidock, start_registry, tmp_path: Path, settings) -> None:
    """The name is the far registry's, which is not even there; the bytes are the mirror's."""
    mirror = start_registry(tmp_path)
    there, name = f"{mirror.address}/goods", "registry.invalid/goods"
    minidock.ok("tag", "busybox", there)
    minidock.ok("push", there)
    minidock.ok("rmi", there)
    settings(
        '[registry."registry.invalid"]\n'
        f'mirrors = ["http://127.0.0.1:{free_port()}", "http://{mirror.address}"]\n'
    )
    assert minidock.ok("pull", "-q", name) == f"{name}:latest\n"
    digests = minidock.ok("inspect", "-f", "{{.RepoDigests}}", name)
    assert "registry.invalid/goods@sha256:" in digests
    minidock.ok("rmi", name)


def test_a_mirror_without_it(minidock, start_registry, tmp_path: Path, settings) -> None:
    """Mirrors are asked first, and never written to."""
    for home in (tmp_path / "mirror", tmp_path / "own"):
        home.mkdir()
    mirror, own = start_registry(tmp_path / "mirror"), start_registry(tmp_path / "own")
    name = f"{own.address}/only/here"
    settings(f'[registry."{own.address}"]\nmirrors = ["http://{mirror.address}"]\n')
    minidock.ok("tag", "busybox", name)
    minidock.ok("push", name)
    assert not (mirror.data / "docker/registry/v2/repositories").exists()
    minidock.ok("rmi", name)
    assert minidock.ok("pull", "-q", name) == f"{name}:latest\n"
    minidock.ok("rmi", name)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


# ── the file ──


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[registry", "Expected"),
        ("\udcff", "codec"),
        ("registries = 1", "registries is unknown"),
        ("registry = 1", "registry is not a table"),
        ('[registry]\n"a.b" = 1', "'a.b' is not a table"),
        ('[registry."a.b"]\ninsecur = true', "'a.b': insecur is unknown"),
        ('[registry."a.b"]\ninsecure = "yes"', "insecure is not true or false"),
        ('[registry."a.b"]\nca = 1', "ca is not a path"),
        ('[registry."a.b"]\nca = "/no/such/file"', "there is no file '/no/such/file'"),
        ('[registry."a.b"]\nmirrors = "https://m"', "mirrors is not a list"),
        ('[registry."a.b"]\nmirrors = ["m:5000"]', "mirrors is not a list of http(s) addresses"),
        ('[registry."a.b"]\ntimeout = "1m"', "timeout is not a number of seconds"),
        ('[registry."a.b"]\ntimeout = 0', "timeout is not a number of seconds"),
    ],
)  # fmt: skip
def test_settings_that_are_wrong(minidock, tmp_path: Path, monkeypatch, text, words) -> None:
    path = tmp_path / "registries.toml"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    monkeypatch.setitem(minidock.env, "MINIDOCK_REGISTRIES", str(path))
    done = minidock("pull", "-q", "a.b/x")
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1), done.stderr
    assert str(path) in done.stderr
    assert words in done.stderr


# ── silence ──


def test_a_registry_that_says_nothing(minidock, settings) -> None:
    """It takes the connection and the question. Nobody waits for ever, and it says meanwhile why
    nothing happens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        held: list[socket.socket] = []

        def accept() -> None:
            try:
                while True:
                    held.append(listener.accept()[0])
            except OSError:
                return

        threading.Thread(target=accept, daemon=True).start()
        address = f"127.0.0.1:{listener.getsockname()[1]}"
        settings(f'[registry."{address}"]\ntimeout = 0.5\n')
        began = time.monotonic()
        done = minidock("pull", f"{address}/x")
        taken = time.monotonic() - began
        listener.shutdown(socket.SHUT_RDWR)
    lines = done.stderr.splitlines()
    assert done.returncode == 1
    assert lines[:-1] == [f"{address}: no answer; trying again"] * 3
    assert lines[-1] == f'Error response from daemon: Get "http://{address}/v2/": no answer'
    assert 2 < taken < 30
