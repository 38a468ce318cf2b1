"""The same bundle run by runc and by minidock: the kernel tells the same of the process, of its
limits and of its namespaces; and what the one refuses the other does not let through."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.conftest import Oci

    Change = Callable[[dict[str, Any]], object]

pytestmark = pytest.mark.skipif(not shutil.which("runc"), reason="runc is not installed")

MAPPINGS = [{"containerID": 0, "hostID": 100000, "size": 65536}]
PROBE = """
grep -E '^(Uid|Gid|Groups|Umask|SigBlk|SigIgn|SigCgt|Cap|NoNewPrivs|Seccomp)' /proc/self/status
cat /proc/self/limits /proc/self/oom_score_adj
for n in cgroup ipc mnt net pid time user uts; do
    [ $(readlink /proc/self/ns/$n) = "$(eval echo \\$host_$n)" ] && echo $n of the host
done
cat /proc/self/uid_map /proc/self/gid_map /proc/self/timens_offsets
cut -d' ' -f17-19,40,41 /proc/self/stat
cat /proc/self/personality 2>&1
cat /proc/sys/kernel/hostname /proc/sys/kernel/domainname /proc/sys/kernel/shmmni
ls -l /proc/self/fd | wc -l
pwd; env | sort; uname -m; tty; id
"""


@pytest.fixture(scope="module")
def rootfs(root_tarball: bytes) -> Iterator[Path]:
    """Where everybody may look: runc goes in by its name, also as a user without rights."""
    with tempfile.TemporaryDirectory(dir="/var/tmp") as directory:
        os.chmod(directory, 0o755)
        with tarfile.open(fileobj=io.BytesIO(root_tarball)) as tar:
            tar.extractall(directory, filter="tar")
        (Path(directory) / "bin/sed").symlink_to("busybox")
        yield Path(directory)


@pytest.fixture
def both(oci: Oci, tmp_path: Path, rootfs: Path) -> Iterator[tuple[Oci, Oci]]:
    home = tmp_path / "runc"
    home.mkdir()
    runc = type(oci)(home, rootfs, ["runc"])
    yield oci, runc
    for name in runc.states():
        runc("delete", "--force", name)


def process(**fields: Any) -> Change:
    return lambda config: config["process"].update(fields)


def linux(**fields: Any) -> Change:
    return lambda config: config["linux"].update(fields)


def capabilities(**sets: list[str]) -> Change:
    return process(capabilities=sets, user={"uid": 33, "gid": 33})


def users(config: dict[str, Any]) -> None:
    config["linux"]["namespaces"].append({"type": "user"})
    config["linux"].update(uidMappings=MAPPINGS, gidMappings=MAPPINGS)


def without(kind: str) -> Change:
    def change(config: dict[str, Any]) -> None:
        spaces = config["linux"]["namespaces"]
        config["linux"]["namespaces"] = [ns for ns in spaces if ns["type"] != kind]
        if kind == "uts":
            config.pop("hostname")

    return change


BIND = ["CAP_NET_BIND_SERVICE"]
WAYS: dict[str, Change] = {
    "plain": lambda config: None,
    "privileges": process(noNewPrivileges=False),
    "user": process(user={"uid": 33, "gid": 50, "additionalGids": [7, 9]}),
    "nobody's number": process(user={"uid": 4321, "gid": 1234}),
    "umask": process(user={"uid": 0, "gid": 0, "umask": 0o27}),
    "no capabilities": process(capabilities={}),
    "ambient": capabilities(
        bounding=BIND, permitted=BIND, effective=BIND, inheritable=BIND, ambient=BIND
    ),
    "bounding only": capabilities(bounding=BIND),
    "limits": process(
        rlimits=[
            {"type": "RLIMIT_NOFILE", "soft": 64, "hard": 128},
            {"type": "RLIMIT_CORE", "soft": 0, "hard": 2**64 - 1},
            {"type": "RLIMIT_NPROC", "soft": 50, "hard": 50},
        ]
    ),
    "oom": process(oomScoreAdj=321),
    "environment": process(env=["PATH=/bin", "A=1", "A=2", "HOME=", "LANG=x"]),
    "directory": process(cwd="/var/www"),
    "sysctl": linux(sysctl={"kernel.shmmni": "99"}),
    "no pid namespace": without("pid"),
    "no network namespace": without("network"),
    "no ipc namespace": without("ipc"),
    "no uts namespace": without("uts"),
    "cgroup namespace": lambda config: config["linux"]["namespaces"].append({"type": "cgroup"}),
    "users": users,
}


def seen(runtime: Oci, change: Change) -> list[str]:
    """What the kernel says, without what differs from run to run."""
    kinds = ("cgroup", "ipc", "mnt", "net", "pid", "time", "user", "uts")
    host = "".join(f"host_{kind}={os.readlink(f'/proc/self/ns/{kind}')}\n" for kind in kinds)

    def both(config: dict[str, Any]) -> None:
        config["process"]["args"] = ["sh", "-c", host.replace("[", "'[").replace("]", "]'") + PROBE]
        change(config)

    done = runtime.run(change=both)
    assert done.returncode == 0, done.stderr
    return list(done.stdout.splitlines())


@pytest.mark.parametrize("way", WAYS)
def test_the_kernel_says_the_same_of_both(both: tuple[Oci, Oci], way: str) -> None:
    ours, theirs = (seen(runtime, WAYS[way]) for runtime in both)
    assert ours == theirs


@pytest.mark.parametrize("kind", ["network", "ipc", "uts"])
def test_a_namespace_by_path(both: tuple[Oci, Oci], kind: str) -> None:
    file = {"network": "net"}.get(kind, kind)
    flag = {"network": "--net"}.get(kind, f"--{kind}")
    with subprocess.Popen(["unshare", flag, "sleep", "100"]) as neighbour:
        path = f"/proc/{neighbour.pid}/ns/{file}"
        while os.readlink(path) == os.readlink(f"/proc/self/ns/{file}"):
            pass

        def change(config: dict[str, Any]) -> None:
            without(kind)(config)
            config["linux"]["namespaces"].append({"type": kind, "path": path})
            config["process"]["args"] = ["readlink", f"/proc/self/ns/{file}"]

        found = [runtime.run(change=change).stdout.strip() for runtime in both]
        assert found == [os.readlink(path)] * 2
        neighbour.kill()


def hostname(config: dict[str, Any]) -> None:
    without("uts")(config)
    config["hostname"] = "box"


def shared_sysctl(config: dict[str, Any]) -> None:
    without("network")(config)
    config["linux"]["sysctl"] = {"net.ipv4.ip_forward": "0"}


def masks(config: dict[str, Any]) -> None:
    without("mount")(config)


IMPOSSIBLE: dict[str, Change] = {
    "a host name without a uts namespace": hostname,
    "masks without a mount namespace": masks,
    "a sysctl of the machine": linux(sysctl={"vm.swappiness": "60"}),
    "a sysctl of the host's network": shared_sysctl,
    "a sysctl that is the host name": linux(sysctl={"kernel.hostname": "x"}),
    "users without mappings": lambda c: c["linux"]["namespaces"].append({"type": "user"}),
    "an unknown limit": process(rlimits=[{"type": "RLIMIT_X", "soft": 1, "hard": 1}]),
    "an oom score out of range": process(oomScoreAdj=2000),
    "a label without SELinux": process(selinuxLabel="a:b:c:d"),
    "a profile without AppArmor": process(apparmorProfile="docker-default"),
    "a network that is none": lambda c: c["linux"]["namespaces"].__setitem__(
        1, {"type": "network", "path": "/etc/passwd"}
    ),
    "two of a kind": lambda c: c["linux"]["namespaces"].append({"type": "pid"}),
}


@pytest.mark.parametrize("name", IMPOSSIBLE)
def test_both_refuse(both: tuple[Oci, Oci], name: str) -> None:
    if "label" in name and os.path.exists("/sys/fs/selinux/enforce"):
        pytest.skip("this host has SELinux")
    if "profile" in name and os.path.exists("/sys/module/apparmor"):
        pytest.skip("this host has AppArmor")
    for runtime in both:
        done = runtime.run("echo", "it ran", change=IMPOSSIBLE[name])
        assert done.returncode != 0, runtime.words
        assert "it ran" not in done.stdout
