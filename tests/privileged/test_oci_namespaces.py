"""Namespaces that a config.json asks for: made, joined by path, shared with the host; users and
clocks of their own. A probe inside prints what the kernel says."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

Config = dict[str, Any]
MAPPINGS = [{"containerID": 0, "hostID": 100000, "size": 65536}]
FILES = {"mount": "mnt", "network": "net"}


@pytest.fixture
def neighbour() -> Iterator[int]:
    """A process with namespaces of its own, except for users and mounts."""
    command = ["unshare", "--net", "--ipc", "--uts", "--cgroup", "sleep", "1000"]
    process = subprocess.Popen(command)
    ours = os.stat("/proc/self/ns/net").st_ino
    while os.stat(f"/proc/{process.pid}/ns/net").st_ino == ours:
        time.sleep(0.01)
    while Path(f"/proc/{process.pid}/comm").read_text() != "sleep\n":
        time.sleep(0.01)
    yield process.pid
    process.kill()
    process.wait()


def number(kind: str, pid: int | str = "self") -> str:
    return os.readlink(f"/proc/{pid}/ns/{FILES.get(kind, kind)}")


def seen(oci: Any, change: Any, *kinds: str) -> list[str]:
    """The namespaces that a container's process is in."""
    words = " ".join(f"/proc/self/ns/{FILES.get(kind, kind)}" for kind in kinds)
    done = oci.run("sh", "-c", f"for n in {words}; do readlink $n; done", change=change)
    assert done.returncode == 0, done.stderr
    return list(done.stdout.split())


def refusal(oci: Any, change: Any) -> str:
    done = oci.run("true", change=change)
    assert done.returncode != 0, "it ran"
    assert "Traceback" not in done.stderr
    return str(done.stderr)


def join(**paths: str) -> Any:
    """Join these; the others are made."""

    def change(config: Config) -> None:
        others = [ns for ns in config["linux"]["namespaces"] if ns["type"] not in paths]
        joined = [{"type": kind, "path": path} for kind, path in paths.items()]
        config["linux"]["namespaces"] = [*others, *joined]
        if "uts" in paths:
            config.pop("hostname")

    return change


def without(*kinds: str) -> Any:
    def change(config: Config) -> None:
        spaces = config["linux"]["namespaces"]
        config["linux"]["namespaces"] = [ns for ns in spaces if ns["type"] not in kinds]
        if "uts" in kinds:
            config.pop("hostname")

    return change


# ── joining ──


@pytest.mark.parametrize("kind", ["network", "ipc", "uts", "cgroup"])
def test_joined_by_path(oci: Any, neighbour: int, kind: str) -> None:
    path = f"/proc/{neighbour}/ns/{FILES.get(kind, kind)}"
    assert seen(oci, join(**{kind: path}), kind) == [number(kind, neighbour)]


def test_several_at_once(oci: Any, neighbour: int) -> None:
    kinds = ("network", "ipc", "uts")
    paths = {kind: f"/proc/{neighbour}/ns/{FILES.get(kind, kind)}" for kind in kinds}
    found = seen(oci, join(**paths), *kinds, "mount", "pid")
    assert found[:3] == [number(kind, neighbour) for kind in kinds]
    assert found[3] != number("mount")
    assert found[4] != number("pid")


def test_a_path_that_is_a_bind_mount(oci: Any, neighbour: int, tmp_path: Path) -> None:
    """So `ip netns` keeps them, and so Podman hands them over."""
    place = tmp_path / "netns"
    place.touch()
    subprocess.run(["mount", "--bind", f"/proc/{neighbour}/ns/net", str(place)], check=True)
    try:
        assert seen(oci, join(network=str(place)), "network") == [number("network", neighbour)]
    finally:
        subprocess.run(["umount", str(place)], check=True)


def test_a_joined_network_stays_as_it_is(oci: Any, neighbour: int) -> None:
    """`lo` of a new network is brought up; that of somebody else is theirs to bring up."""
    path = f"/proc/{neighbour}/ns/net"
    flags = "cat /sys/class/net/lo/flags"
    assert oci.run("sh", "-c", flags).stdout == "0x9\n"
    assert oci.run("sh", "-c", flags, change=join(network=path)).stdout == "0x8\n"


def test_process_numbers_of_another_container(oci: Any) -> None:
    bundle = oci.bundle("sleep", "100")
    oci.ok("run", "--detach", "--bundle", bundle, "first")
    pid = _init_of(oci, "first")
    script = "readlink /proc/self/ns/pid; cat /proc/1/cmdline | tr '\\0' ' '; echo; echo $$"
    done = oci.run("sh", "-c", script, change=join(pid=f"/proc/{pid}/ns/pid"))
    assert done.returncode == 0, done.stderr
    space, first, own = done.stdout.splitlines()
    assert space == number("pid", pid)
    assert first.startswith("sleep 100")
    assert int(own) > 1


def _init_of(oci: Any, name: str) -> int:
    import json

    return int(json.loads(oci.ok("state", name))["pid"])


def test_the_hosts_process_numbers(oci: Any) -> None:
    done = oci.run("sh", "-c", "echo $$; readlink /proc/self/ns/pid", change=without("pid"))
    assert done.returncode == 0, done.stderr
    own, space = done.stdout.splitlines()
    assert int(own) > 1
    assert space == number("pid")


@pytest.mark.parametrize("kind", ["network", "ipc", "uts"])
def test_the_hosts_own(oci: Any, kind: str) -> None:
    assert seen(oci, without(kind), kind) == [number(kind)]


@pytest.mark.parametrize("name", ["here", "directory", "fifo", "dangling"])
def test_what_is_no_namespace(oci: Any, tmp_path: Path, name: str) -> None:
    (tmp_path / "here").touch()
    (tmp_path / "directory").mkdir()
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "dangling").symlink_to("nowhere")
    words = refusal(oci, join(network=str(tmp_path / name)))
    assert f"linux.namespaces: network: path '{tmp_path / name}'" in words


@pytest.mark.parametrize(
    ("kind", "file"), [("network", "uts"), ("pid", "net"), ("user", "mnt"), ("time", "ipc")]
)
def test_a_namespace_of_another_kind(oci: Any, kind: str, file: str) -> None:
    words = refusal(oci, join(**{kind: f"/proc/self/ns/{file}"}))
    assert f"linux.namespaces: {kind}: path '/proc/self/ns/{file}': is not a {kind} namesp" in words


def test_what_is_the_hosts_is_not_changed_by_way_of_a_path(oci: Any) -> None:
    """A path may lead to the host's own namespace. That is as good as leaving it out, as long as
    nothing in it is to be set."""
    host = f"/proc/{os.getpid()}/ns"
    assert seen(oci, join(network=f"{host}/net"), "network") == [number("network")]

    def named(config: Config) -> None:
        join(uts=f"{host}/uts")(config)
        config["hostname"] = "owned"

    def forwarding(config: Config) -> None:
        join(network=f"{host}/net")(config)
        config["linux"]["sysctl"] = {"net.ipv4.ip_forward": "1"}

    before = os.uname().nodename
    for change in (named, forwarding, join(user=f"{host}/user")):
        assert "is the host's own" in refusal(oci, change)
    assert os.uname().nodename == before


# ── combinations that cannot be meant ──


def hostname_without_uts(config: Config) -> None:
    without("uts")(config)
    config["hostname"] = "box"


def domainname_without_uts(config: Config) -> None:
    without("uts")(config)
    config["domainname"] = "box"


def offsets_without_time(config: Config) -> None:
    config["linux"]["timeOffsets"] = {"monotonic": {"secs": 1}}


def mappings_without_user(config: Config) -> None:
    config["linux"]["gidMappings"] = MAPPINGS


def user_without_mappings(config: Config) -> None:
    config["linux"]["namespaces"].append({"type": "user"})


def two_of_a_kind(config: Config) -> None:
    config["linux"]["namespaces"].append({"type": "pid"})


def masks_without_mounts(config: Config) -> None:
    without("mount")(config)


def long_hostname(config: Config) -> None:
    config["hostname"] = "x" * 65


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (hostname_without_uts, "hostname is set, but there is no uts namespace"),
        (domainname_without_uts, "domainname is set, but there is no uts namespace"),
        (offsets_without_time, "linux.timeOffsets is set, but"),
        (mappings_without_user, "linux.gidMappings is set, but there is no user namespace"),
        (user_without_mappings, "linux.uidMappings is empty, but a user namespace"),
        (two_of_a_kind, "linux.namespaces has two of a kind"),
        (masks_without_mounts, "linux.maskedPaths is set, but there is no mount namespace"),
        (long_hostname, "hostname is longer than 64 bytes"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_impossible_combinations_are_named(oci: Any, change: Any, words: str) -> None:
    assert words in refusal(oci, change)


# ── clocks ──


def test_clocks_set_off(oci: Any) -> None:
    def change(config: Config) -> None:
        config["linux"]["namespaces"].append({"type": "time"})
        config["linux"]["timeOffsets"] = {
            "monotonic": {"secs": 5000, "nanosecs": 7},
            "boottime": {"secs": 1_000_000},
        }

    before = float(Path("/proc/uptime").read_text().split()[0])
    done = oci.run("sh", "-c", "cat /proc/uptime /proc/self/timens_offsets", change=change)
    assert done.returncode == 0, done.stderr
    uptime, monotonic, boottime = (line.split() for line in done.stdout.splitlines())
    assert 1_000_000 <= float(uptime[0]) - before < 1_000_060
    assert monotonic == ["monotonic", "5000", "7"]
    assert boottime == ["boottime", "1000000", "0"]


def test_a_time_namespace_without_offsets(oci: Any) -> None:
    def change(config: Config) -> None:
        config["linux"]["namespaces"].append({"type": "time"})

    (space,) = seen(oci, change, "time")
    assert space != number("time")


def test_offsets_that_would_be_before_boot(oci: Any) -> None:
    def change(config: Config) -> None:
        config["linux"]["namespaces"].append({"type": "time"})
        config["linux"]["timeOffsets"] = {"boottime": {"secs": -(2**40)}}

    words = refusal(oci, change)
    assert "the kernel refuses linux.timeOffsets: numerical result out of range" in words
    assert words.count("\n") == 1, "two processes tell of it"


# ── users ──


def users(config: Config) -> None:
    config["linux"]["namespaces"].append({"type": "user"})
    config["linux"]["uidMappings"] = MAPPINGS
    config["linux"]["gidMappings"] = MAPPINGS


def test_root_inside_is_nobody_outside(oci: Any) -> None:
    bundle = oci.bundle("sleep", "100", change=users)
    oci.ok("run", "--detach", "--bundle", bundle, "users")
    pid = _init_of(oci, "users")
    outside = dict(
        line.split(":\t") for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line
    )
    assert outside["Uid"].split() == ["100000"] * 4
    assert outside["Gid"].split() == ["100000"] * 4
    assert outside["Groups"].split() == []
    inside = oci.ok("exec", "users", "sh", "-c", "id -u; cat /proc/self/uid_map")
    assert inside.split() == ["0", "0", "100000", "65536"]


def test_all_namespaces_belong_to_the_new_users(oci: Any) -> None:
    """Whoever is root inside may set what is the container's: so says the kernel only where the
    namespace was made inside the user namespace."""

    def change(config: Config) -> None:
        users(config)
        for kind in ("bounding", "effective", "permitted"):
            config["process"]["capabilities"][kind] = ["CAP_SYS_ADMIN", "CAP_NET_ADMIN"]

    script = "hostname changed && hostname && mount -t tmpfs none /tmp && ifconfig lo 127.0.0.9"
    done = oci.run("sh", "-c", script, change=change)
    assert (done.returncode, done.stdout) == (0, "changed\n"), done.stderr


def test_a_users_own_capabilities_end_at_the_host(oci: Any) -> None:
    """All capabilities inside, more than this host itself may have; outside none."""

    def change(config: Config) -> None:
        users(config)
        for kind in ("bounding", "effective", "permitted"):
            config["process"]["capabilities"][kind].append("CAP_SYS_RESOURCE")
            config["process"]["capabilities"][kind].append("CAP_SYS_ADMIN")

    bounding = oci.run("grep", "CapBnd", "/proc/self/status", change=change)
    assert int(bounding.stdout.split()[1], 16) >> 24 & 1, "no CAP_SYS_RESOURCE inside"
    assert bounding.stderr == ""
    before = Path("/proc/sys/kernel/panic").read_text()
    script = "mount -o remount,bind,rw /proc/sys && echo 77 > /proc/sys/kernel/panic; echo $?"
    done = oci.run("sh", "-c", script, change=change)
    assert done.stdout == "1\n"
    assert "can't create /proc/sys/kernel/panic: Permission denied" in done.stderr
    assert Path("/proc/sys/kernel/panic").read_text() == before


def test_a_user_of_the_container_is_mapped(oci: Any) -> None:
    def change(config: Config) -> None:
        users(config)
        config["process"]["user"] = {"uid": 33, "gid": 33, "additionalGids": [50]}

    done = oci.run("sh", "-c", "id -u; id -G", change=change)
    assert done.stdout.split() == ["33", "33", "50"]


def test_output_can_be_opened_again_by_name(oci: Any) -> None:
    """The pipes come from outside, and belonged to a root that does not exist inside."""
    import subprocess as sp

    for user in (0, 33):

        def change(config: Config, user: int = user) -> None:
            users(config)
            config["process"]["user"] = {"uid": user, "gid": user}

        bundle = oci.bundle("sh", "-c", "echo by name > /dev/stdout", change=change)
        done = sp.run(
            [*oci.argv, "run", "--bundle", bundle, f"pipe{user}"], capture_output=True, check=False
        )
        assert (done.stdout, done.stderr) == (b"by name\n", b"")


def test_limits_and_scores_with_users(oci: Any) -> None:
    """These need the host's rights, which nobody inside has."""

    def change(config: Config) -> None:
        users(config)
        config["process"]["oomScoreAdj"] = 55
        config["process"]["rlimits"] = [{"type": "RLIMIT_NOFILE", "soft": 99, "hard": 999}]

    done = oci.run("sh", "-c", "cat /proc/self/oom_score_adj; ulimit -n; ulimit -Hn", change=change)
    assert done.stdout.split() == ["55", "99", "999"]


def test_sysctls_with_users(oci: Any) -> None:
    def change(config: Config) -> None:
        users(config)
        config["linux"]["sysctl"] = {"net.ipv4.ip_forward": "1"}

    done = oci.run("cat", "/proc/sys/net/ipv4/ip_forward", change=change)
    assert done.stdout == "1\n", done.stderr


def test_users_and_clocks_together(oci: Any) -> None:
    def change(config: Config) -> None:
        users(config)
        config["linux"]["namespaces"].append({"type": "time"})
        config["linux"]["timeOffsets"] = {"boottime": {"secs": 77}}

    done = oci.run("sh", "-c", "id -u; grep boot /proc/self/timens_offsets", change=change)
    assert done.stdout.split() == ["0", "boottime", "77", "0"], done.stderr


def test_users_and_somebody_elses_network(oci: Any, neighbour: int) -> None:
    """A network that belongs to the host's users is joined before there are users of its own.
    (The kernel then lets nobody inside mount a sysfs for it.)"""

    def change(config: Config) -> None:
        users(config)
        join(network=f"/proc/{neighbour}/ns/net")(config)
        config["mounts"] = [m for m in config["mounts"] if m["type"] != "sysfs"]
        config["linux"]["maskedPaths"] = []

    assert seen(oci, change, "network") == [number("network", neighbour)]


def test_the_users_of_another_container(oci: Any) -> None:
    bundle = oci.bundle("sleep", "100", change=users)
    oci.ok("run", "--detach", "--bundle", bundle, "first")
    pid = _init_of(oci, "first")
    change = join(user=f"/proc/{pid}/ns/user", pid=f"/proc/{pid}/ns/pid")
    done = oci.run("sh", "-c", "id -u; readlink /proc/self/ns/user", change=change)
    assert done.stdout.split() == ["0", number("user", pid)], done.stderr


@pytest.mark.parametrize(
    ("uids", "words"),
    [
        ([{"containerID": 1, "hostID": 1, "size": 9}], "linux.uidMappings maps no id to 0"),
        ([{"containerID": 0, "hostID": 1, "size": 0}], "linux.uidMappings maps no id to 0"),
        (
            [*MAPPINGS, {"containerID": 9, "hostID": 900000, "size": 1}],
            "linux.uidMappings[1] overlaps",
        ),
        (
            [*MAPPINGS, {"containerID": 90000, "hostID": 100009, "size": 1}],
            "linux.uidMappings[1] overlaps",
        ),
        ([{"containerID": 0, "hostID": 2**32 - 2, "size": 9}], "linux.uidMappings[0] is out of"),
        ([{"containerID": 0, "hostID": -1, "size": 9}], "linux.uidMappings[0].hostID"),
        (
            [{"containerID": 2 * n, "hostID": 100000 + 2 * n, "size": 1} for n in range(341)],
            "linux.uidMappings has more than 340",
        ),
    ],
)
def test_impossible_mappings_are_named(oci: Any, uids: Any, words: str) -> None:
    def change(config: Config) -> None:
        users(config)
        config["linux"]["uidMappings"] = uids

    assert words in refusal(oci, change)


@pytest.mark.parametrize(
    ("user", "field"),
    [
        ({"uid": 65536, "gid": 0}, "process.user.uid: 65536"),
        ({"uid": 0, "gid": 65536}, "process.user.gid: 65536"),
        ({"uid": 0, "gid": 0, "additionalGids": [1, 70000]}, "process.user.additionalGids: 70000"),
    ],
)
def test_users_that_are_not_mapped_are_named(oci: Any, user: Any, field: str) -> None:
    def change(config: Config) -> None:
        users(config)
        config["process"]["user"] = user

    assert field in refusal(oci, change)


# ── exec ──


def test_exec_is_in_every_namespace_of_the_container(oci: Any) -> None:
    def change(config: Config) -> None:
        users(config)
        config["linux"]["namespaces"] += [{"type": "time"}, {"type": "cgroup"}]
        config["linux"]["timeOffsets"] = {"boottime": {"secs": 99}}
        config["process"]["user"] = {"uid": 33, "gid": 33}

    bundle = oci.bundle("sleep", "100", change=change)
    oci.ok("run", "--detach", "--bundle", bundle, "all")
    pid = _init_of(oci, "all")
    kinds = ("user", "mount", "pid", "uts", "ipc", "network", "time", "cgroup")
    files = " ".join(f"/proc/self/ns/{FILES.get(kind, kind)}" for kind in kinds)
    script = f"for n in {files}; do readlink $n; done"
    found = oci.ok("exec", "--user", "0", "all", "sh", "-c", script).split()
    assert found == [number(kind, pid) for kind in kinds]
    assert oci.ok("exec", "--user", "5:6", "all", "sh", "-c", "id -u; id -g").split() == ["5", "6"]


@pytest.mark.parametrize("cwd", ["/", "/var"])
def test_exec_without_a_mount_namespace_is_not_on_the_host(oci: Any, cwd: str) -> None:
    """init has changed its root. That is in no namespace: who only enters those stands in the
    host's root."""

    def change(config: Config) -> None:
        without("mount")(config)
        config["mounts"] = []
        config["linux"]["maskedPaths"] = config["linux"]["readonlyPaths"] = []
        config["root"]["readonly"] = False

    bundle = oci.bundle("sleep", "100", change=change)
    oci.ok("run", "--detach", "--bundle", bundle, "chrooted")
    seen_by_init = sorted(os.listdir(f"/proc/{_init_of(oci, 'chrooted')}/root"))
    assert seen_by_init == sorted(os.listdir(oci.rootfs))
    out = oci.ok("exec", "--cwd", cwd, "chrooted", "sh", "-c", "pwd; ls -a / ..")
    assert out.splitlines()[0] == cwd
    listed = out.partition("/:\n")[2].split("\n\n")[0].split()
    assert sorted(set(listed) - {".", ".."}) == seen_by_init
