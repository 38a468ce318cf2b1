"""A cgroup that systemd makes: asked of the real one, where it is PID 1 of the machine.

`make test-vm` boots one. systemctl(1) says what systemd itself believes.
"""

import io
import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from minidock.errors import StartFailed
from minidock.isolation.cgroups import common
from minidock.isolation.cgroups.common import find_cgroup, plan_cgroups
from minidock.isolation.cgroups.limits import update
from minidock.linux.cgroupfs import read_cgroup_facts
from minidock.linux.kernel import LinuxKernel
from minidock.spec.resources import CPU, Memory, Resources
from minidock.spec.runtime import Process, Spec
from minidock.step import Context, execute

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0
    or not os.path.exists("/run/systemd/private")
    or not shutil.which("systemctl"),
    reason="needs root, on a machine whose PID 1 is systemd",
)
MIB = 1 << 20


def start(spec: Spec) -> int:
    """Fork; the child asks for the scope, stands in it, and stays. Its error is the test's."""
    plan = plan_cgroups(spec, read_cgroup_facts())
    ready, theirs = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            execute(plan.join, LinuxKernel(), Context())
            os.write(theirs, b"ok")
            while True:
                time.sleep(60)
        except (StartFailed, OSError) as error:
            os.write(theirs, str(error).encode())
        finally:
            os._exit(1)
    os.close(theirs)
    said = os.read(ready, 4096).decode()
    os.close(ready)
    if said != "ok":
        os.waitpid(pid, 0)
        raise StartFailed(said)
    return pid


def end(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


def shown(unit: str, name: str) -> str:
    asked = ["systemctl", "show", "--value", "--property", name, unit]
    return subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip()


@pytest.fixture
def path() -> Iterator[str]:
    name = uuid.uuid4().hex[:12]
    yield f"minidocktest-deep.slice:cri:{name}"
    for _ in range(100):  # the scope goes with its last process
        if shown(f"cri-{name}.scope", "LoadState") == "not-found":
            break
        time.sleep(0.05)
    else:
        pytest.fail("the scope stays")
    subprocess.run(["systemctl", "stop", "minidocktest.slice"], check=True)


def spec(path: str, resources: Resources) -> Spec:
    return Spec("/", Process(("true",)), cgroups_path=path, resources=resources)


def test_a_scope_with_limits(path: str) -> None:
    limits = Resources(
        memory=Memory(limit=64 * MIB), pids_limit=20, cpu=CPU(shares=1024, quota=50_000)
    )
    pid = start(spec(path, limits))
    try:
        unit = f"cri-{path.rpartition(':')[2]}.scope"
        where = f"/minidocktest.slice/minidocktest-deep.slice/{unit}"
        lines = Path(f"/proc/{pid}/cgroup").read_text().splitlines()
        facts = read_cgroup_facts()
        if not facts.v1:
            assert lines == [f"0::{where}"]
        cgroup = find_cgroup(path, facts)
        assert common.processes(cgroup) == (pid,)
        assert shown(unit, "ActiveState") == "active"
        assert shown(unit, "TasksMax") == "20"
        assert shown(unit, "MemoryMax" if not facts.v1 else "MemoryLimit") == str(64 * MIB)
        assert shown(unit, "CPUQuotaPerSecUSec") == "500ms"
        assert shown(unit, "Delegate") == "yes"
        update(cgroup, Resources(memory=Memory(limit=80 * MIB)))
        subprocess.run(["systemctl", "daemon-reload"], check=True)
        if not facts.v1:
            assert shown(unit, "MemoryMax") == str(80 * MIB)
            assert Path(f"{cgroup.unified}/memory.max").read_text().strip() == str(80 * MIB)
            assert Path(f"{cgroup.unified}/cpu.max").read_text().split()[0] == "50000"
    finally:
        end(pid)


def test_a_scope_is_left_by_nobody(path: str) -> None:
    pid = start(spec(path, Resources()))
    cgroup = find_cgroup(path, read_cgroup_facts())
    assert common.kill(cgroup)
    os.waitpid(pid, 0)
    assert common.remove(cgroup)


def test_a_name_that_is_taken(path: str) -> None:
    pid = start(spec(path, Resources()))
    try:
        with pytest.raises(StartFailed, match="systemd does not start cri-"):
            start(spec(path, Resources()))
    finally:
        end(pid)


def test_the_oci_runtime_with_a_scope(path: str, tmp_path: Path, root_tarball: bytes) -> None:
    root = tmp_path / "bundle" / "rootfs"
    root.mkdir(parents=True)
    with tarfile.open(fileobj=io.BytesIO(root_tarball)) as tar:
        tar.extractall(root, filter="fully_trusted")
    kinds = ("mount", "pid", "ipc", "uts", "network", "cgroup")
    config = {
        "ociVersion": "1.2.0",
        "root": {"path": "rootfs"},
        "process": {
            "args": ["sh", "-c", "cat /proc/1/cgroup; grep -c . /proc/self/mountinfo"],
            "env": ["PATH=/bin"],
            "cwd": "/",
            "user": {"uid": 0, "gid": 0},
        },
        "mounts": [{"destination": "/proc", "type": "proc", "source": "proc"}],
        "linux": {
            "cgroupsPath": path,
            "namespaces": [{"type": kind} for kind in kinds],
            "resources": {"memory": {"limit": 64 * MIB}, "pids": {"limit": 20}},
        },
    }
    (root.parent / "config.json").write_text(json.dumps(config))
    argv = [sys.executable, "-m", "minidock", "oci", "--root", str(tmp_path / "state")]
    argv += ["--systemd-cgroup", "run", "--bundle", str(root.parent), "scoped"]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    *places, _ = done.stdout.splitlines()
    assert "0::/" in places, "its own cgroup is the root of its namespace"
