"""Who we are to a registry: login, logout and the file they share with Docker; credential helpers;
a password typed at a terminal."""

from __future__ import annotations

import base64
import json
import os
import pty
import select
import shutil
import subprocess
import sys
import termios
import time
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
        assert "401 Unauthorized" in wrong.stderr
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


def test_docker_says_and_writes_the_same(minidock, guarded, config: Path, docker_engine) -> None:
    """Both clients, the same words, one after the other: success, failure, again, out, out."""
    theirs = Path(docker_engine.home, "config", "config.json")
    told = []
    for run, file in ((docker_engine, theirs), (minidock, config)):
        steps = []
        for words, typed in (
            (("-u", "clerk", "--password-stdin"), b"no"),
            (("-u", "clerk", "--password-stdin"), PASSWORD.encode() + b"\n"),
            ((), b""),
            (("-u", "clerk", "-p", PASSWORD), b""),
            (("-u", "clerk", "-p", "x", "--password-stdin"), b"x"),
            (("--password-stdin",), b"x"),
            (("-u", "clerk"), b""),
        ):
            done = run("login", *words, guarded.address, stdin=typed)
            err = done.stderr.replace(str(file), "FILE").replace("minidock", "docker")
            steps.append((words, done.returncode, done.stdout, err, *state(file)))
        for _ in (1, 2):
            done = run("logout", guarded.address)
            steps.append((done.returncode, done.stdout, done.stderr, *state(file)))
        told.append(steps)
    for docker, ours in zip(*told, strict=True):
        assert ours == docker


def state(file: Path) -> tuple[str, int]:
    return (file.read_text(), file.stat().st_mode) if file.exists() else ("", 0)


def test_each_uses_what_the_other_knows(minidock, guarded, config: Path, docker_engine) -> None:
    theirs = Path(docker_engine.home, "config", "config.json")
    name = f"{guarded.address}/shared"
    minidock.ok("tag", "busybox", name)
    try:
        assert log_in(minidock, guarded).returncode == 0
        minidock.ok("push", name)
        theirs.parent.mkdir(exist_ok=True)
        shutil.copy(config, theirs)
        assert docker_engine("pull", name).returncode == 0
        docker_engine("rmi", name)
        docker_engine("logout", guarded.address)
        assert docker_engine("pull", name).returncode == 1
        login = ("login", "-u", "clerk", "--password-stdin", guarded.address)
        assert docker_engine(*login, stdin=PASSWORD.encode()).returncode == 0
        shutil.copy(theirs, config)
        minidock.ok("pull", name)
        docker_engine("logout", guarded.address)
    finally:
        minidock("rmi", name)


def test_what_others_wrote_into_the_file_stays(minidock, guarded, config: Path) -> None:
    other = {"auths": {"a.b": {"auth": "YTpi"}}, "HttpHeaders": {"X": "y"}, "detachKeys": "ctrl-a"}
    real = config.with_name("elsewhere.json")
    real.parent.mkdir()
    real.write_text(json.dumps(other))
    config.symlink_to(real)
    assert log_in(minidock, guarded).returncode == 0
    minidock.ok("logout", guarded.address)
    assert json.loads(real.read_text()) == other
    assert config.is_symlink()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "not valid JSON"),
        ("[]", "not an object"),
        ('{"auths": {"%s": {"auth": "?"}}}', "is not base64"),
        ('{"credsStore": "../x"}', "is not the name of a credential helper"),
        ('{"credsStore": "nosuch"}', "docker-credential-nosuch, which the Docker config names"),
    ],
)
def test_a_file_that_is_wrong(minidock, guarded, config: Path, text: str, words: str) -> None:
    config.parent.mkdir()
    config.write_text(text.replace("%s", guarded.address))
    done = minidock("pull", "-q", f"{guarded.address}/x")
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert words in done.stderr


# ── credential helpers ──

HELPER = """#!/bin/sh
# Keeps each entry in a file of its own, named for the server.
read -r input
echo "$1 $input" >> "$KEPT/log"
case $1 in
get)   cat "$KEPT/entry" 2>/dev/null ||
       { echo "credentials not found in native keychain"; exit 1; } ;;
store) echo "$input" > "$KEPT/entry" ;;
erase) rm "$KEPT/entry" ;;
esac
"""


@pytest.fixture
def kept(minidock, config: Path, tmp_path: Path, monkeypatch) -> Path:
    """What the helper `docker-credential-safe` keeps, in `entry`, and heard, in `log`."""
    programs = tmp_path / "bin"
    programs.mkdir()
    helper = programs / "docker-credential-safe"
    helper.write_text(HELPER)
    helper.chmod(0o755)
    monkeypatch.setitem(minidock.env, "PATH", f"{programs}:{os.environ['PATH']}")
    monkeypatch.setitem(minidock.env, "KEPT", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize("kind", ["credsStore", "credHelpers"])
def test_a_helper_keeps_the_secret(minidock, guarded, config: Path, kept: Path, kind: str) -> None:
    config.parent.mkdir()
    value = "safe" if kind == "credsStore" else {guarded.address: "safe"}
    config.write_text(json.dumps({kind: value}))
    login = log_in(minidock, guarded)
    assert (login.returncode, login.stdout, login.stderr) == (0, "Login Succeeded\n", "")
    assert json.loads((kept / "entry").read_text()) == {
        "ServerURL": guarded.address,
        "Username": "clerk",
        "Secret": PASSWORD,
    }
    secret = base64.b64encode(f"clerk:{PASSWORD}".encode()).decode()
    assert secret not in config.read_text()
    name = f"{guarded.address}/helped"
    minidock.ok("tag", "busybox", name)
    try:
        minidock.ok("push", name)
        minidock.ok("logout", guarded.address)
        assert not (kept / "entry").exists()
        assert f"erase {guarded.address}\n" in (kept / "log").read_text()
        assert minidock("push", name).returncode == 1
        minidock.ok("logout", guarded.address)
    finally:
        minidock("rmi", name)


def test_a_helper_that_fails(minidock, guarded, config: Path, kept: Path) -> None:
    config.parent.mkdir()
    config.write_text('{"credsStore": "safe"}')
    (kept / "bin/docker-credential-safe").write_text("#!/bin/sh\necho the safe is shut; exit 2\n")
    done = minidock("pull", "-q", f"{guarded.address}/x")
    assert done.returncode == 1
    assert done.stderr == (
        "Error response from daemon: docker-credential-safe get failed: the safe is shut\n"
    )
    (kept / "bin/docker-credential-safe").write_text("#!/bin/sh\necho nonsense\n")
    done = minidock("pull", "-q", f"{guarded.address}/x")
    assert "gave no credentials but nonsense" in done.stderr


# ── a person at a terminal ──


class Typist:
    """`minidock login` at a terminal of its own."""

    def __init__(self, minidock, *words: str) -> None:
        self.pid, self._fd = pty.fork()
        if not self.pid:
            os.execve(sys.executable, [*minidock.argv, "login", *words], minidock.env)
        self.screen = ""

    def wait_for(self, words: str) -> None:
        limit = time.monotonic() + 30
        while words not in self.screen:
            ready, _, _ = select.select([self._fd], [], [], 1)
            assert time.monotonic() < limit, self.screen
            if ready:
                self.screen += os.read(self._fd, 4096).decode()

    def type(self, text: bytes) -> None:
        os.write(self._fd, text)

    def echoes(self) -> bool:
        return bool(termios.tcgetattr(self._fd)[3] & termios.ECHO)

    def end(self) -> int:
        """Its exit code; afterwards `screen` is all it said."""
        while True:
            try:
                data = os.read(self._fd, 4096)
            except OSError:  # the other side is closed
                break
            if not data:
                break
            self.screen += data.decode()
        os.close(self._fd)
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


def test_typed_at_a_terminal(minidock, guarded, config: Path) -> None:
    typist = Typist(minidock, guarded.address)
    typist.wait_for("Username: ")
    typist.type(b"clerk\n")
    typist.wait_for("Password: ")
    assert not typist.echoes()
    typist.type(PASSWORD.encode() + b"\n")
    typist.wait_for("Login Succeeded")
    assert typist.echoes()
    assert typist.end() == 0
    assert PASSWORD not in typist.screen
    auth = json.loads(config.read_text())["auths"][guarded.address]["auth"]
    assert base64.b64decode(auth).decode() == f"clerk:{PASSWORD}"


def test_what_is_known_and_wrong_is_asked_for_anew(minidock, guarded, config: Path) -> None:
    config.parent.mkdir()
    old = base64.b64encode(b"clerk:old").decode()
    config.write_text(json.dumps({"auths": {guarded.address: {"auth": old}}}))
    typist = Typist(minidock, guarded.address)
    typist.wait_for("Login did not succeed, error: ")
    typist.wait_for("Username (clerk): ")
    typist.type(b"\n")
    typist.wait_for("Password: ")
    typist.type(PASSWORD.encode() + b"\n")
    typist.wait_for("Login Succeeded")
    assert typist.end() == 0


def test_ctrl_c_instead_of_a_password(minidock, guarded, config: Path) -> None:
    typist = Typist(minidock, guarded.address)
    typist.wait_for("Username: ")
    typist.type(b"clerk\n")
    typist.wait_for("Password: ")
    typist.type(b"\x03")
    limit = time.monotonic() + 10
    while not typist.echoes() and time.monotonic() < limit:
        time.sleep(0.01)
    assert typist.echoes(), "the terminal shows again what is typed"
    assert typist.end() == 130
    assert not config.exists()
    assert "Traceback" not in typist.screen
