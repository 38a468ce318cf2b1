"""Who we are to a registry: login, logout and the file they share with Docker; credential helpers;
a password typed at a terminal."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

PASSWORD = "correct horse"


@pytest.fixture(scope="module")
def guarded(start_registry, tmp_path_factory: pytest.TempPathFactory):
    """A registry that wants a password."""
    if not shutil.which("htpasswd"):
        pytest.skip("needs htpasswd (apache2-utils)")
    home = tmp_path_factory.mktemp("guarded")
    users = home / "htpasswd"
    subprocess.run(
        ["htpasswd", "-Bbc", str(users), "clerk", PASSWORD], check=True, capture_output=True
    )
    return start_registry(home, f"auth: {{htpasswd: {{realm: shop, path: {users}}}}}\n")


@pytest.fixture
def config(minidock, tmp_path: Path, monkeypatch) -> Path:
    """Where the credentials lie in this test; not there yet."""
    monkeypatch.setitem(minidock.env, "DOCKER_CONFIG", str(tmp_path / "docker"))
    return tmp_path / "docker" / "config.json"


def log_in(minidock, guarded, password: str = PASSWORD, user: str = "clerk"):
    words = ("login", "-u", user, "--password-stdin", guarded.address)
    return minidock(*words, stdin=password.encode())


def test_login_push_logout(minidock, guarded, config: Path) -> None:
    name = f"{guarded.address}/busybox"
    minidock.ok("tag", "busybox", name)
    try:
        refused = minidock("push", name)
        assert refused.returncode == 1
        assert f"push access denied for {name}" in refused.stderr
        wrong = log_in(minidock, guarded, "no")
        assert wrong.returncode == 1
        assert "unauthorized" in wrong.stderr
        assert not config.exists()
        login = log_in(minidock, guarded)
        assert (login.returncode, login.stdout) == (0, "Login Succeeded\n"), login.stderr
        assert config.stat().st_mode & 0o777 == 0o600
        minidock.ok("push", name)
        minidock.ok("pull", name)
        assert minidock.ok("logout", guarded.address) == (
            f"Removing login credentials for {guarded.address}\n"
        )
        assert minidock("pull", name).returncode == 1
    finally:
        minidock("rmi", name)
