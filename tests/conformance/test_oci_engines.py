"""Podman, Docker and containerd with minidock in the place of runc."""

from __future__ import annotations

import json
import os
import pty
import select
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., "subprocess.CompletedProcess[str]"]
SERVICE = 'trap "echo ending; exit 3" TERM; echo begun; while :; do sleep 0.1; done'
# The limits podman sets by default are above what root may ask for on some machines.
PODMAN_SETTINGS = """\
[containers]
default_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]
[engine]
lock_type = "file"
cgroup_manager = "cgroupfs"
"""


def _need(*programs: str) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root: it starts containers")
    for program in programs:
        if not shutil.which(program):
            pytest.skip(f"needs {program}")


def _runner(argv: list[str], env: dict[str, str], home: str = "/") -> Run:
    def run(*args: str, stdin: bytes = b"") -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [*argv, *args],
            input=stdin,
            capture_output=True,
            env=env,
            cwd=home,  # conmon leaves a file named "oom" where it is
            timeout=60,
            check=False,
        )
        out, err = (s.decode("utf-8", "replace") for s in (done.stdout, done.stderr))
        return subprocess.CompletedProcess(done.args, done.returncode, out, err)

    return run


@pytest.fixture(scope="session")
def runtime(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A program that is `minidock-oci`, of the checkout that is tested."""
    package = Path(__file__).parents[2]
    path = tmp_path_factory.mktemp("bin") / "minidock-oci"
    path.write_text(
        f"#!{sys.executable} -IS\nimport sys\nsys.path.insert(0, {str(package)!r})\n"
        "from minidock.cli.oci import entry\nentry()\n"
    )
    path.chmod(0o755)
    return str(path)


@pytest.fixture(scope="session")
def podman(runtime: str, root_tarball: bytes) -> Iterator[Run]:
    """Podman with stores of its own and minidock as its runtime."""
    _need("podman", "conmon")
    home = tempfile.mkdtemp(prefix="podman-", dir="/tmp")  # conmon's socket paths must be short
    Path(home, "containers.conf").write_text(PODMAN_SETTINGS)
    env = {**os.environ, "CONTAINERS_CONF": f"{home}/containers.conf"}
    argv = ["podman", "--root", f"{home}/root", "--runroot", f"{home}/run"]
    argv += ["--tmpdir", f"{home}/tmp", "--runtime", runtime, "--storage-driver", "overlay"]
    run = _runner(argv, env, home)
    try:
        done = run("import", "-", "busybox", stdin=root_tarball)
        if done.returncode:
            pytest.skip(f"podman does not work here: {done.stderr[-300:]}")
        yield run
    finally:
        run("rm", "-f", "-t", "0", "-a")
        for mount in reversed(Path("/proc/self/mountinfo").read_text().splitlines()):
            if mount.split()[4].startswith(home + "/"):
                subprocess.run(["umount", "-l", mount.split()[4]], check=False)
        shutil.rmtree(home, ignore_errors=True)


@pytest.fixture(scope="session")
def docker(start_docker: Any, runtime: str, root_tarball: bytes) -> Iterator[Run]:
    """A dockerd of its own that starts everything through minidock. Its containerd is that of the
    test of containerd, too."""
    flags = ("--add-runtime", f"minidock={runtime}", "--default-runtime", "minidock")
    with start_docker(*flags) as run:
        done = run("import", "-", "busybox", stdin=root_tarball)
        assert done.returncode == 0, done.stderr
        yield run


@pytest.fixture(params=["podman", "docker"])
def engine(request: pytest.FixtureRequest) -> Run:
    """One of the two, which understand the same words."""
    found: Run = request.getfixturevalue(request.param)
    return found


def ok(run: Run, *args: str, stdin: bytes = b"") -> str:
    done = run(*args, stdin=stdin)
    assert done.returncode == 0, f"{args}: {done.stdout}{done.stderr}"
    return done.stdout


def until(holds: Callable[[], bool]) -> None:
    limit = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < limit
        time.sleep(0.1)


@pytest.fixture
def service(engine: Run) -> Iterator[str]:
    """A container that runs until it is told to end."""
    health = ("--health-cmd", "test -f /healthy", "--health-interval", "500ms")
    if "podman" in str(engine("--version").stdout):
        health = (*health[:2], "--health-interval", "disable")  # it would ask systemd for a timer
    words = ("--network", "none", "--memory", "64m", *health, "busybox", "sh", "-c", SERVICE)
    name = ok(engine, "run", "-d", *words).strip()
    until(lambda: "begun" in engine("logs", name).stdout)
    yield name
    engine("rm", "-f", name)


def test_output_input_and_exit_code(engine: Run) -> None:
    words = ("run", "--rm", "-i", "--network", "none", "busybox", "sh", "-c")
    done = engine(*words, "cat; echo err >&2; exit 7", stdin=b"typed\n")
    assert (done.returncode, done.stdout, done.stderr) == (7, "typed\n", "err\n")


@pytest.mark.parametrize(("program", "code"), [("no-such-program", 127), ("/etc", 126)])
def test_what_cannot_be_executed_gives_the_shells_code(
    engine: Run, program: str, code: int
) -> None:
    done = engine("run", "--rm", "--network", "none", "busybox", program)
    assert done.returncode == code, done.stderr


def test_a_terminal(engine: Run) -> None:
    argv = [*engine("version").args[:-1], "run", "--rm", "-it", "--network", "none", "busybox"]
    done = _in_terminal([*argv, "sh", "-c", "tty; echo seen > /dev/console"], engine)
    assert b"/dev/pts/0" in done, done
    assert b"seen" in done, done


def _in_terminal(argv: list[str], engine: Run) -> bytes:
    """All that a command prints to its terminal."""
    pid, master = pty.fork()
    if pid == 0:
        os.execvpe(argv[0], argv, _environment(engine))
    shown = b""
    try:
        while select.select([master], [], [], 30)[0]:
            shown += os.read(master, 4096)
    except OSError:
        pass  # nobody has it open any more
    os.close(master)
    os.waitpid(pid, 0)
    return shown


def _environment(engine: Run) -> dict[str, str]:
    cells = [cell.cell_contents for cell in engine.__closure__ or ()]  # type: ignore[attr-defined]
    return next(cell for cell in cells if isinstance(cell, dict))


def test_exec(engine: Run, service: str) -> None:
    done = engine("exec", service, "sh", "-c", "echo inside; exit 4")
    assert (done.returncode, done.stdout) == (4, "inside\n")
    done = engine(
        "exec", "-u", "33", "-w", "/tmp", "-e", "A=1", service, "sh", "-c", "id -u; pwd; echo $A"
    )
    assert done.stdout.split() == ["33", "/tmp", "1"]
    assert engine("exec", service, "no-such-program").returncode in (126, 127)


def test_its_memory_is_limited(engine: Run, service: str) -> None:
    stats = ok(engine, "stats", "--no-stream", "--format", "{{.MemUsage}}", service)
    assert stats.split("/")[1].strip() in ("64MiB", "67.11MB")


def test_one_that_takes_too_much_is_killed(engine: Run) -> None:
    words = ("--network", "none", "--memory", "20m", "busybox", "sh", "-c", "tail /dev/zero")
    name = ok(engine, "create", *words).strip()
    assert engine("start", "-a", name).returncode in (0, 137)
    inspected = json.loads(ok(engine, "inspect", name))[0]["State"]
    assert inspected["ExitCode"] == 137
    if "podman" not in engine("--version").stdout:  # conmon misses it on hybrid cgroups, runc's too
        assert inspected["OOMKilled"] is True
    engine("rm", name)


def test_processes_are_listed(engine: Run, service: str) -> None:
    assert "sh -c trap" in ok(engine, "top", service)


def test_pause_and_unpause(engine: Run, service: str) -> None:
    ok(engine, "pause", service)
    assert json.loads(ok(engine, "inspect", service))[0]["State"]["Status"] == "paused"
    ok(engine, "unpause", service)
    assert ok(engine, "exec", service, "echo", "again") == "again\n"


def test_stop_and_start_again(engine: Run, service: str) -> None:
    ok(engine, "stop", "-t", "10", service)
    state = json.loads(ok(engine, "inspect", service))[0]["State"]
    assert (state["Status"], state["ExitCode"]) == ("exited", 3)
    assert "ending" in ok(engine, "logs", service)
    ok(engine, "start", service)
    assert json.loads(ok(engine, "inspect", service))[0]["State"]["Status"] == "running"


def test_a_signal(engine: Run, service: str) -> None:
    ok(engine, "kill", "-s", "TERM", service)
    until(lambda: json.loads(engine("inspect", service).stdout)[0]["State"]["ExitCode"] == 3)


def test_limits_are_changed(docker: Run) -> None:
    name = ok(docker, "run", "-d", "--network", "none", "--memory", "64m", "busybox", "sleep", "99")
    ok(docker, "update", "--memory", "32m", "--memory-swap", "32m", name.strip())
    stats = ok(docker, "stats", "--no-stream", "--format", "{{.MemUsage}}", name.strip())
    assert stats.split("/")[1].strip() == "32MiB"
    docker("rm", "-f", name.strip())


def test_health(engine: Run, service: str) -> None:
    ok(engine, "exec", service, "touch", "/healthy")
    if "podman" in engine("--version").stdout:
        ok(engine, "healthcheck", "run", service)
    until(lambda: "(healthy)" in engine("ps", "--format", "{{.Status}}").stdout)


def test_confinement_is_what_the_engine_asked_for(engine: Run) -> None:
    words = ("run", "--rm", "--network", "none", "--cap-drop", "all", "--read-only", "--user", "33")
    words += ("--security-opt", "no-new-privileges", "busybox", "cat", "/proc/self/status")
    status = dict(line.split(":\t", 1) for line in ok(engine, *words).splitlines())
    assert status["CapBnd"] == status["CapEff"] == "0" * 16
    assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")
    assert status["Uid"].split() == ["33"] * 4


def test_privileged(engine: Run) -> None:
    words = ("run", "--rm", "--network", "none", "--privileged", "busybox", "cat")
    status = dict(
        line.split(":\t", 1) for line in ok(engine, *words, "/proc/self/status").splitlines()
    )
    own = dict(line.split(":\t", 1) for line in Path("/proc/self/status").read_text().splitlines())
    # Of what this host has, all that the engine has heard of.
    assert int(status["CapEff"], 16) & ~int(own["CapBnd"], 16) == 0
    assert int(status["CapEff"], 16) >> 21 & 1 == int(own["CapBnd"], 16) >> 21 & 1, "SYS_ADMIN"


def test_twenty_at_once(engine: Run) -> None:
    def one(number: int) -> str:
        return engine("run", "--rm", "--network", "none", "busybox", "echo", str(number)).stdout

    with ThreadPoolExecutor(20) as pool:
        assert list(pool.map(one, range(20))) == [f"{number}\n" for number in range(20)]


def test_nothing_is_left(engine: Run) -> None:
    """After all of the above: no state of a container that is gone."""
    assert ok(engine, "ps", "-q").split() == []


# ── containerd ──


@pytest.fixture
def ctr(docker: Run, runtime: str) -> Run:
    """containerd's own client, at the containerd that dockerd started."""
    _need("ctr")
    home = docker.home  # type: ignore[attr-defined]
    socket = f"{home}/exec/containerd/containerd.sock"
    return _runner(["ctr", "-a", socket, "-n", f"t{os.getpid()}"], dict(os.environ))


def test_containerd(ctr: Run, runtime: str, rootfs: Path) -> None:
    words = ("run", "--rm", "--runc-binary", runtime, "--rootfs", str(rootfs))
    done = ctr(*words, "c1", "/bin/sh", "-c", "echo inside; exit 5")
    assert (done.returncode, done.stdout) == (5, "inside\n"), done.stderr


def test_containerd_task(ctr: Run, runtime: str, rootfs: Path) -> None:
    words = ("run", "-d", "--runc-binary", runtime, "--rootfs", str(rootfs))
    ok(ctr, *words, "c2", "/bin/sleep", "100")
    done = ctr("task", "exec", "--exec-id", "e1", "c2", "/bin/sh", "-c", "echo in; exit 3")
    assert (done.returncode, done.stdout) == (3, "in\n"), done.stderr
    assert "RUNNING" in ok(ctr, "task", "ls")
    ok(ctr, "task", "pause", "c2")
    assert "PAUSED" in ok(ctr, "task", "ls")
    ok(ctr, "task", "resume", "c2")
    assert "memory" in ok(ctr, "task", "metrics", "c2")
    ok(ctr, "task", "kill", "-s", "KILL", "c2")
    until(lambda: "STOPPED" in ctr("task", "ls").stdout)
    ctr("task", "rm", "c2")  # says the exit code of the task
    ok(ctr, "container", "rm", "c2")
