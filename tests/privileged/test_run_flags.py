"""What the kernel says about a container that was given limits, rights, devices and namespaces."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest

from minidock.engine.cgroup import cgroups_path
from minidock.isolation.cgroups.place import Cgroup, find_cgroup
from minidock.isolation.cgroups.stats import stats
from minidock.linux.cgroupfs import read_cgroup_facts
from minidock.linux.host import start_time


def inside(minidock, script: str, *flags: str) -> str:
    return str(minidock.ok("run", "--rm", *flags, "busybox", "sh", "-c", script))


def background(minidock, *flags: str, script: str = "sleep 1000") -> str:
    """A container that stays; its id."""
    return str(minidock.ok("run", "-d", *flags, "busybox", "sh", "-c", script)).strip()


def init_of(minidock, container: str) -> int:
    return int(minidock.ok("inspect", "-f", "{{.State.Pid}}", container))


def cgroup_of(container: str, parent: str = "") -> Cgroup:
    path = cgroups_path({"CgroupParent": parent}, container)
    return find_cgroup(path, read_cgroup_facts())


def setting(cgroup: Cgroup, controller: str, v1: str, v2: str) -> str:
    directory = cgroup.v1_directory(controller)
    path = f"{directory}/{v1}" if directory else f"{cgroup.unified}/{v2}"
    return Path(path).read_text().strip()


def status(minidock, field: str, *flags: str, command: str = "run") -> str:
    first = ("run", "--rm", *flags, "busybox") if command == "run" else ("exec", *flags)
    line = minidock.ok(*first, "grep", f"^{field}:", "/proc/self/status")
    return str(line.partition(":")[2].strip())


# ── limits ──


def test_limits_are_in_the_cgroup(minidock) -> None:
    flags = "-m 20m --memory-swap 30m --pids-limit 7 --cpus 0.5 -c 512"
    cgroup = cgroup_of(background(minidock, *flags.split()))
    found = stats(cgroup)
    assert found.memory and found.memory.limit == 20 << 20
    assert found.memory.swap_limit == 30 << 20
    assert found.pids and found.pids.limit == 7
    assert setting(cgroup, "cpu", "cpu.cfs_quota_us", "cpu.max").split()[0] == "50000"
    assert setting(cgroup, "cpu", "cpu.shares", "cpu.weight") in ("512", "59")


def test_a_limit_of_processes_holds(minidock) -> None:
    script = "for i in 1 2 3 4 5 6; do sleep 5 & done; echo all"
    done = minidock("run", "--rm", "--pids-limit", "4", "busybox", "sh", "-c", script)
    assert "can't fork" in done.stderr and "all" not in done.stdout


def test_update_changes_a_running_container_and_its_next_start(minidock) -> None:
    container = background(minidock, "-m", "20m")
    minidock.ok("update", "-m", "40m", "--memory-swap", "-1", "--pids-limit", "9", container)
    for _ in range(2):
        found = stats(cgroup_of(container))
        assert found.memory and found.pids
        assert (found.memory.limit, found.pids.limit) == (40 << 20, 9)
        minidock.ok("restart", "-t", "0", container)
    minidock.ok("update", "--pids-limit", "-1", container)
    unlimited = stats(cgroup_of(container)).pids
    assert unlimited and unlimited.limit is None


def test_what_the_kernel_refuses_changes_nothing(minidock) -> None:
    """A limit below what is in use, where nothing can be given back."""
    container = background(minidock, "-m", "40m", script="sleep 1000")
    before = minidock.ok("inspect", container)
    done = minidock("update", "--cpu-rt-runtime", "99", "--cpu-rt-period", "100", container)
    if done.returncode == 0:
        pytest.skip("this kernel takes real-time limits")
    assert done.stderr.startswith(
        f"Error response from daemon: Cannot update container {container}"
    )
    assert minidock.ok("inspect", container) == before


def test_resource_limits_of_the_process(minidock) -> None:
    flags = ("--ulimit", "nofile=100:200", "--ulimit", "core=0")
    assert inside(minidock, "ulimit -Sn; ulimit -Hn; ulimit -c", *flags).split() == [
        "100", "200", "0",
    ]  # fmt: skip
    assert inside(minidock, "cat /proc/self/oom_score_adj", "--oom-score-adj", "500") == "500\n"


def test_cpuset(minidock) -> None:
    assert status(minidock, "Cpus_allowed_list", "--cpuset-cpus", "0") == "0"


def test_the_cgroups_parent(minidock) -> None:
    parent = f"minidock-test-{os.getpid()}"
    container = background(minidock, "--cgroup-parent", f"/x/../{parent}")
    cgroup = cgroup_of(container, parent)
    directories = [d for d in cgroup.directories if os.path.isdir(d)]
    assert directories and all(f"/{parent}/{container}" in d for d in directories)
    minidock.ok("rm", "-f", container)
    assert not [d for d in cgroup.directories if os.path.isdir(d)]
    for directory in directories:
        os.rmdir(os.path.dirname(directory))


# ── rights ──

FOURTEEN = 0xA80425FB
NET_RAW, NET_ADMIN = 1 << 13, 1 << 12


def host_has() -> int:
    line = next(x for x in Path("/proc/self/status").read_text().splitlines() if "CapBnd" in x)
    return int(line.split()[1], 16)


@pytest.mark.parametrize(
    ("flags", "kept"),
    [
        ("--cap-drop net_raw", FOURTEEN & ~NET_RAW),
        ("--cap-add CAP_NET_ADMIN", FOURTEEN | NET_ADMIN),
        ("--cap-drop ALL", 0),
        ("--cap-drop all --cap-add net_raw", NET_RAW),
        ("--cap-add ALL --cap-drop NET_RAW", host_has() & ~NET_RAW),
        ("--privileged", host_has()),
    ],
)
def test_capabilities(minidock, flags: str, kept: int) -> None:
    script = "grep -E 'Cap(Prm|Eff|Bnd)' /proc/self/status"
    text = inside(minidock, script, *flags.split())
    assert {int(line.split()[1], 16) for line in text.splitlines()} == {kept}


def test_an_exec_has_its_containers_rights_or_all(minidock) -> None:
    flags = ("--cap-drop", "ALL", "--security-opt", "no-new-privileges", "--group-add", "50")
    container = background(minidock, *flags)
    assert int(status(minidock, "CapEff", container, command="exec"), 16) == 0
    assert status(minidock, "NoNewPrivs", container, command="exec") == "1"
    assert "50" in status(minidock, "Groups", container, command="exec").split()
    all_of_them = status(minidock, "CapEff", "--privileged", container, command="exec")
    assert int(all_of_them, 16) == host_has()


def test_no_new_privileges(minidock) -> None:
    assert status(minidock, "NoNewPrivs") == "0"
    for option in ("no-new-privileges", "no-new-privileges:true", "no-new-privileges=true"):
        assert status(minidock, "NoNewPrivs", "--security-opt", option) == "1"
    assert status(minidock, "NoNewPrivs", "--security-opt", "no-new-privileges=false") == "0"


def test_groups_by_name_and_number(minidock) -> None:
    flags = ("--group-add", "staff", "--group-add", "4711", "-u", "33:33")
    assert status(minidock, "Groups", *flags).split() == ["33", "50", "4711"]


def test_privileged_sees_and_may_what_the_host_does(minidock) -> None:
    script = (
        "mount -t tmpfs none /tmp && echo mounted; cat /proc/keys >/dev/null && echo keys;"
        "mkdir /sys/fs/cgroup/*/below && echo cgroup; rmdir /sys/fs/cgroup/*/below; ls /dev"
    )
    done = minidock("run", "--rm", "--privileged", "busybox", "sh", "-c", script)
    words = done.stdout.split()
    assert words[:2] == ["mounted", "keys"]
    nodes = {entry.name for entry in os.scandir("/dev") if not entry.is_dir()}
    assert {"kmsg", "loop-control"} & nodes <= set(words)
    missing = (1 << 41) - 1 & ~host_has()
    assert ("grants what this host has, which is all but CAP_" in done.stderr) == bool(missing)


def test_paths_are_hidden_unless_told_otherwise(minidock) -> None:
    script = "wc -c < /proc/interrupts; touch /proc/sys/x 2>&1"
    assert inside(minidock, script + "; true").startswith("0\n")
    shown = inside(minidock, script + "; true", "--security-opt", "systempaths=unconfined")
    assert not shown.startswith("0\n") and "Read-only" not in shown


# ── devices and mounts ──


def test_a_device_is_given(minidock) -> None:
    flags = ("--device", "/dev/zero:/dev/inside:r")
    script = "ls -l /dev/inside; head -c3 /dev/inside | wc -c; echo x > /dev/inside"
    done = minidock("run", "--rm", *flags, "busybox", "sh", "-c", script)
    assert "1,   5" in done.stdout and "3\n" in done.stdout


def test_a_device_that_was_not_given_cannot_be_used(minidock) -> None:
    script = "mknod /dev/made c 10 200 && : < /dev/made && echo opened"  # net/tun
    refused = minidock("run", "--rm", "busybox", "sh", "-c", script)
    assert "opened" not in refused.stdout and "Operation not permitted" in refused.stderr
    rule = ("--device-cgroup-rule", "c 10:200 r")
    assert "opened" in minidock("run", "--rm", *rule, "busybox", "sh", "-c", script).stdout


def test_a_directory_of_devices(minidock) -> None:
    names = inside(minidock, "ls /dev/given", "--device", "/dev/net:/dev/given").split()
    assert names == sorted(os.listdir("/dev/net"))


def test_read_only_with_a_place_to_write(minidock) -> None:
    script = "touch /run/x && echo run; touch /x 2>&1; grep ' /run ' /proc/mounts"
    out = inside(minidock, script, "--read-only", "--tmpfs", "/run:size=1m")
    assert out.startswith("run\n") and "Read-only file system" in out
    assert {"rw", "nosuid", "nodev", "noexec", "size=1024k"} <= set(out.split()[-3].split(","))


def test_shared_memory(minidock) -> None:
    assert "size=1048576k" in inside(minidock, "grep /dev/shm /proc/mounts", "--shm-size", "1g")
    assert inside(minidock, "ls /dev/shm 2>&1 || true", "--ipc", "none").endswith("directory\n")


def test_sysctl(minidock) -> None:
    flags = ("--sysctl", "net.ipv4.ip_forward=1", "--sysctl", "fs.mqueue.msg_max=77")
    script = "cat /proc/sys/net/ipv4/ip_forward /proc/sys/fs/mqueue/msg_max"
    assert inside(minidock, script, *flags) == "1\n77\n"


def test_domain_name(minidock) -> None:
    script = "hostname; cat /proc/sys/kernel/domainname"
    assert inside(minidock, script, "-h", "box", "--domainname", "example") == "box\nexample\n"


# ── namespaces ──


def namespace(minidock, kind: str, *flags: str) -> str:
    return inside(minidock, f"readlink /proc/self/ns/{kind}", *flags).strip()


@pytest.mark.parametrize("kind", ["pid", "ipc", "uts", "cgroup"])
def test_the_hosts_namespace(minidock, kind: str) -> None:
    flag = "--cgroupns" if kind == "cgroup" else f"--{kind}"
    ours = os.readlink(f"/proc/self/ns/{kind}")
    assert namespace(minidock, kind) != ours
    assert namespace(minidock, kind, flag, "host") == ours


def test_another_containers_namespaces(minidock) -> None:
    other = background(minidock, "--name", "other", "--ipc", "shareable")
    for kind in ("pid", "ipc"):
        theirs = os.readlink(f"/proc/{init_of(minidock, other)}/ns/{kind}")
        assert namespace(minidock, kind, f"--{kind}", "container:other") == theirs
    assert "sleep 1000" in inside(minidock, "ps", "--pid", "container:other")


def test_another_containers_shared_memory(minidock) -> None:
    """It lies in a mount of the other's; nothing is mounted on the host for it."""
    background(minidock, "--name", "giver", "--ipc", "shareable", "--shm-size", "1m")
    before = Path("/proc/self/mountinfo").read_text().count("/dev/shm")
    taker = ("--ipc", "container:giver")
    assert inside(minidock, "echo given > /dev/shm/x; df -k /dev/shm | tail -1", *taker).split()[
        1
    ] == "1024"  # fmt: skip
    assert minidock.ok("exec", "giver", "cat", "/dev/shm/x") == "given\n"
    assert Path("/proc/self/mountinfo").read_text().count("/dev/shm") == before
    stays = background(minidock, *taker)
    minidock.ok("rm", "-f", "giver")
    assert minidock.ok("exec", stays, "cat", "/dev/shm/x") == "given\n"
    refused = minidock("run", "--rm", "--ipc", f"container:{stays}", "busybox", "true")
    assert "non-shareable IPC (hint: use IpcMode:shareable" in refused.stderr


def test_the_namespace_joined_is_that_of_this_start(minidock) -> None:
    """The other container is another process after its restart."""
    other = background(minidock, "--name", "first")
    joiner = background(minidock, "--pid", "container:first")
    for _ in range(2):
        pids = [init_of(minidock, c) for c in (other, joiner)]
        theirs, ours = (os.readlink(f"/proc/{pid}/ns/pid") for pid in pids)
        assert theirs == ours
        minidock.ok("restart", "-t", "0", "first")
        minidock.ok("restart", "-t", "0", joiner)
    minidock.ok("stop", "-t", "0", other, joiner)
    done = minidock("start", joiner)
    assert f"container {other} is not running" in done.stderr


@pytest.mark.parametrize("way", ["ends", "is removed", "is stopped"])
def test_in_the_hosts_pid_namespace_nothing_stays_behind(minidock, way: str) -> None:
    script = "sleep 4711 & echo $!; until [ -e /end ]; do sleep 0.1; done"
    container = background(minidock, "--pid", "host", script=script)
    pid = 0
    for _ in range(100):
        text = minidock.ok("logs", container)
        if text:
            pid = int(text)
            break
        time.sleep(0.02)
    assert Path(f"/proc/{pid}/cmdline").read_bytes() == b"sleep\x004711\x00"
    if way == "ends":
        minidock.ok("exec", container, "touch", "/end")
        minidock.ok("wait", container)
    elif way == "is removed":
        minidock.ok("rm", "-f", container)
    else:
        minidock.ok("stop", "-t", "0", container)
    assert start_time(pid) == 0  # gone, or nothing but a zombie


# ── users ──


@pytest.fixture
def shifting(minidock) -> None:
    """Needs a filesystem that can be mounted with other users; tmpfs can since Linux 6.3."""
    done = minidock("run", "--rm", "--userns", "auto", "busybox", "true")
    if "knows no id-mapped mounts" in done.stderr:
        pytest.skip("the filesystem of the tests knows no id-mapped mounts")


@pytest.mark.usefixtures("shifting")
def test_users_that_nobody_else_has(minidock) -> None:
    containers = [background(minidock, "--userns", "auto") for _ in range(2)]
    maps = [Path(f"/proc/{init_of(minidock, c)}/uid_map").read_text().split() for c in containers]
    (zero, first, count), (_, second, _) = maps
    assert (zero, count) == ("0", "65536") and int(second) >= int(first) + 65536
    assert os.stat(f"/proc/{init_of(minidock, containers[0])}").st_uid == int(first)
    shown = json.loads(minidock.ok("inspect", containers[0]))[0]["HostConfig"]["IDMappings"]
    assert shown["UidMap"] == [f"0:{first}:65536"]
    minidock.ok("rm", "-f", containers[0])
    third = background(minidock, "--userns", "auto")
    taken = Path(f"/proc/{init_of(minidock, third)}/uid_map").read_text().split()[1]
    assert taken == first  # which is free again


@pytest.mark.usefixtures("shifting")
def test_what_other_users_write_lies_on_disk_as_the_image_has_it(minidock) -> None:
    script = "touch /new; chown 33:33 /new; echo x >> /etc/passwd; rm /bin/vi; id -u"
    flags = ("--name", "shifted", "--userns", "auto")
    assert minidock.ok("run", *flags, "busybox", "sh", "-c", script) == "0\n"
    upper = minidock.directory(minidock.ok("ps", "-lq", "--no-trunc")) / "upper"
    assert os.stat(upper / "new").st_uid == 33 and os.stat(upper / "etc/passwd").st_uid == 0
    assert "D /bin/vi" in minidock.ok("diff", "shifted")
    minidock.ok("commit", "shifted", "unshifted")
    assert inside_image(minidock, "unshifted", "stat -c %u:%g /new") == "33:33\n"
    minidock.ok("rmi", "-f", "unshifted")


def inside_image(minidock, image: str, script: str) -> str:
    return str(minidock.ok("run", "--rm", image, "sh", "-c", script))


@pytest.mark.usefixtures("shifting")
def test_other_users_are_shown_the_hosts_devices(minidock) -> None:
    flags = ("--userns", "auto", "--device", "/dev/zero:/dev/given:r", "--device", "/dev/null")
    script = "ls -l /dev/given; head -c3 /dev/given | wc -c; echo > /dev/null && echo ok"
    out = inside(minidock, script, *flags)
    assert "1,   5" in out and out.endswith("3\nok\n")


@pytest.mark.usefixtures("shifting")
def test_root_there_is_nobody_here(minidock) -> None:
    container = background(minidock, "--userns", "auto")
    minidock.ok("exec", container, "touch", "/made-by-exec")
    assert minidock.ok("exec", container, "stat", "-c", "%u", "/made-by-exec") == "0\n"
    done = minidock("exec", container, "mknod", "/disk", "b", "8", "0")
    assert "Operation not permitted" in done.stderr


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ("--privileged", "privileged mode is incompatible with user namespaces"),
        ("--network host", "cannot share the host's network namespace when user namespaces are"),
        ("--pid host", "cannot share the host PID namespace when user namespaces are enabled"),
        ("--ipc host", "cannot share the host IPC namespace when user namespaces are enabled"),
    ],
)
def test_what_is_the_hosts_is_not_for_other_users(minidock, flags: str, words: str) -> None:
    done = minidock("run", "--rm", "--userns", "auto", *flags.split(), "busybox", "true")
    assert done.returncode == 125 and words in done.stderr


# ── pause, top, stats ──

COUNT = "i=0; while :; do i=$((i+1)); echo $i > /count; sleep 0.02; done"


def counted(minidock, container: str) -> str:
    try:
        return (minidock.directory(container) / "upper/count").read_text()
    except FileNotFoundError:
        return ""


def test_a_paused_container_stands_still(minidock) -> None:
    container = background(minidock, script=COUNT)
    while not counted(minidock, container):
        time.sleep(0.02)
    minidock.ok("pause", container)
    before = counted(minidock, container)
    time.sleep(0.3)
    assert counted(minidock, container) == before
    assert "(Paused)" in minidock.ok("ps")
    minidock.ok("unpause", container)
    time.sleep(0.3)
    assert counted(minidock, container) != before


def test_commit_leaves_what_is_paused_paused(minidock) -> None:
    container = background(minidock, script=COUNT)
    minidock.ok("pause", container)
    minidock.ok("commit", container, "still")
    assert minidock.ok("inspect", "-f", "{{.State.Status}}", container) == "paused\n"
    before = counted(minidock, container)
    time.sleep(0.2)
    assert counted(minidock, container) == before
    minidock.ok("rmi", "still")


@pytest.mark.parametrize("command", ["kill", "stop -t 1", "rm -f", "restart -t 1"])
def test_a_paused_container_can_be_ended(minidock, command: str) -> None:
    container = background(minidock, "--name", "frozen")
    minidock.ok("pause", "frozen")
    minidock.ok(*command.split(), "frozen", timeout=60)  # what is not thawed never ends
    left = minidock("inspect", "-f", "{{.State.Status}}", container).stdout.strip()
    assert left == {"rm": "", "restart": "running"}.get(command.split()[0], "exited")


def test_how_long_stop_waits(minidock) -> None:
    container = background(
        minidock, "--stop-timeout", "0", script="trap '' TERM; sleep 1000 & wait"
    )
    started = time.monotonic()
    minidock.ok("stop", container)
    assert time.monotonic() - started < 5
    assert minidock.ok("inspect", "-f", "{{.State.ExitCode}}", container) == "137\n"


def test_top_shows_the_containers_processes_and_no_others(minidock) -> None:
    container = background(minidock, script="sleep 4712 & sleep 4713")
    time.sleep(0.2)
    lines = minidock.ok("top", container, "-o", "pid,args").splitlines()
    assert {line.split(maxsplit=1)[1] for line in lines[1:]} == {"sleep 4712", "sleep 4713"}
    assert str(init_of(minidock, container)) in [line.split()[0] for line in lines]


def test_stats_measures(minidock) -> None:
    container = background(minidock, "-m", "50m", "--cpus", "0.5", script="while :; do :; done")
    form = "{{.CPUPerc}} {{.MemUsage}} {{.PIDs}}"
    cpu, used, _, limit, pids = minidock.ok(
        "stats", "--no-stream", "--format", form, container
    ).split()
    assert 10 < float(cpu.rstrip("%")) < 75
    assert (limit, pids) == ("50MiB", "1") and used.endswith("iB")


def test_stats_draws_over_itself(minidock) -> None:
    background(minidock, "--name", "drawn")
    process = minidock.popen("stats", stdout=-1)
    data = b""
    while data.count(b"\033[J") < 2:
        more = os.read(process.stdout.fileno(), 65536)
        assert more, "it ended by itself"
        data += more
    process.terminate()
    process.communicate()
    text = data.decode()
    assert text.startswith("\033[HCONTAINER ID   NAME      CPU %") and text.count("\033[J") >= 2
    assert text.count("drawn") >= 2 and "\n" not in text.replace("\033[K\n", "")
