"""What config.json says of a process, and what the kernel then says of it.

One field of a working bundle is changed; a probe inside prints what the kernel knows.
"""

from __future__ import annotations

import os
import shutil
from typing import Any

import pytest

Config = dict[str, Any]


def probe(oci: Any, script: str, change: Any = None) -> str:
    """What a shell script prints in a container with a changed config.json."""
    done = oci.run("sh", "-c", script, change=change)
    assert done.returncode == 0, done.stderr
    return str(done.stdout)


def refusal(oci: Any, change: Any) -> str:
    """Why a container does not start."""
    done = oci.run("true", change=change)
    assert done.returncode != 0, "it ran"
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    return str(done.stderr)


def process(**fields: Any) -> Any:
    """A change of `process`."""
    return lambda config: config["process"].update(fields)


def linux(**fields: Any) -> Any:
    """A change of `linux`."""
    return lambda config: config["linux"].update(fields)


def status(oci: Any, field: str, change: Any = None) -> list[str]:
    """The words of one line of /proc/self/status, read by the container's own process."""
    done = oci.run("grep", f"^{field}:", "/proc/self/status", change=change)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()[1:]


# ── resource limits ──


def test_limits_are_the_processes_own(oci: Any) -> None:
    limits = [
        {"type": "RLIMIT_NOFILE", "soft": 123, "hard": 456},
        {"type": "RLIMIT_CORE", "soft": 0, "hard": 2**64 - 1},
        {"type": "RLIMIT_STACK", "soft": 1 << 20, "hard": 2 << 20},
    ]
    out = probe(oci, "cat /proc/self/limits", process(rlimits=limits))
    rows = {line[:26].strip(): line[26:].split()[:2] for line in out.splitlines()}
    assert rows["Max open files"] == ["123", "456"]
    assert rows["Max core file size"] == ["0", "unlimited"]
    assert rows["Max stack size"] == [str(1 << 20), str(2 << 20)]


def test_a_limit_too_low_for_the_runtime_is_set_all_the_same(oci: Any) -> None:
    limits = [{"type": "RLIMIT_NOFILE", "soft": 3, "hard": 3}]
    done = oci.run("grep", "open files", "/proc/1/limits", change=process(rlimits=limits))
    assert done.returncode != 0  # it has no descriptor left to open that file with
    assert "open files" not in done.stdout
    limits[0]["soft"] = limits[0]["hard"] = 4
    done = oci.run("grep", "open files", "/proc/1/limits", change=process(rlimits=limits))
    assert done.stdout.split()[3:5] == ["4", "4"]


@pytest.mark.parametrize(
    ("limits", "words"),
    [
        ([("RLIMIT_PIZZA", 1, 1)], "process.rlimits: 'RLIMIT_PIZZA' is not"),
        ([("RLIMIT_CPU", 1, 1), ("RLIMIT_CPU", 2, 2)], "process.rlimits: RLIMIT_CPU is there twi"),
        ([("RLIMIT_CPU", 2, 1)], "process.rlimits[0].soft"),
        ([("RLIMIT_CPU", -1, 1)], "process.rlimits[0].soft"),
    ],
)
def test_impossible_limits_are_named(oci: Any, limits: Any, words: str) -> None:
    given = [{"type": kind, "soft": soft, "hard": hard} for kind, soft, hard in limits]
    assert words in refusal(oci, process(rlimits=given))


def test_raising_a_limit_needs_the_right_to(oci: Any) -> None:
    import resource

    if int(_own_status("CapEff"), 16) >> 24 & 1:
        pytest.skip("this host has CAP_SYS_RESOURCE: every limit can be raised")
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    limits = [{"type": "RLIMIT_NOFILE", "soft": 10, "hard": hard + 1}]
    words = refusal(oci, process(rlimits=limits))
    assert "process.rlimits: RLIMIT_NOFILE" in words
    assert "CAP_SYS_RESOURCE" in words


def _own_status(field: str) -> str:
    with open("/proc/self/status", encoding="ascii") as file:
        return next(line.split()[1] for line in file if line.startswith(field + ":"))


# ── oom score, personality, scheduling ──


@pytest.mark.parametrize("adjustment", [0, 7, 1000])
def test_oom_score(oci: Any, adjustment: int) -> None:
    out = probe(oci, "cat /proc/self/oom_score_adj", process(oomScoreAdj=adjustment))
    assert out == f"{adjustment}\n"


def test_oom_score_that_this_host_cannot_give(oci: Any) -> None:
    if int(_own_status("CapEff"), 16) >> 24 & 1:
        pytest.skip("this host has CAP_SYS_RESOURCE: the score can be lowered")
    assert "process.oomScoreAdj: -900" in refusal(oci, process(oomScoreAdj=-900))


def test_oom_score_out_of_range(oci: Any) -> None:
    assert "process.oomScoreAdj" in refusal(oci, process(oomScoreAdj=1001))


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="i686 is what x86-64 shows itself as")
def test_personality(oci: Any) -> None:
    assert probe(oci, "uname -m", linux(personality={"domain": "LINUX32"})) == "i686\n"
    assert probe(oci, "uname -m", linux(personality={"domain": "LINUX"})) == "x86_64\n"
    assert "personality.domain" in refusal(oci, linux(personality={"domain": "LINUX64"}))


def scheduled(oci: Any, **scheduler: Any) -> tuple[int, int, int]:
    """(nice, real-time priority, policy) as /proc/self/stat has them. proc_pid_stat(5)"""
    done = oci.run("cat", "/proc/self/stat", change=process(scheduler=scheduler))
    assert done.returncode == 0, done.stderr
    fields = done.stdout.rpartition(")")[2].split()
    return int(fields[16]), int(fields[37]), int(fields[38])


def test_scheduler(oci: Any) -> None:
    assert scheduled(oci, policy="SCHED_OTHER", nice=5) == (5, 0, 0)
    assert scheduled(oci, policy="SCHED_BATCH", nice=-3) == (-3, 0, 3)
    assert scheduled(oci, policy="SCHED_IDLE")[2] == 5


@pytest.mark.skipif(
    os.path.exists("/sys/fs/cgroup/cpu/cpu.rt_runtime_us"),
    reason="this kernel gives no real-time work to a v1 cgroup without a share for it",
)
def test_real_time_scheduler(oci: Any) -> None:
    assert scheduled(oci, policy="SCHED_FIFO", priority=7)[1:] == (7, 1)
    assert scheduled(oci, policy="SCHED_RR", priority=1, flags=["SCHED_FLAG_RESET_ON_FORK"]) == (
        0, 1, 2,
    )  # fmt: skip


def test_scheduler_with_a_deadline(oci: Any) -> None:
    times = {"runtime": 10_000_000, "deadline": 30_000_000, "period": 30_000_000}
    assert scheduled(oci, policy="SCHED_DEADLINE", **times)[2] == 6


@pytest.mark.parametrize(
    ("scheduler", "field"),
    [
        ({"policy": "SCHED_PIZZA"}, "process.scheduler.policy"),
        ({"nice": 3}, "process.scheduler.policy"),
        ({"policy": "SCHED_OTHER", "nice": 20}, "process.scheduler.nice"),
        ({"policy": "SCHED_OTHER", "priority": 1}, "process.scheduler.priority"),
        ({"policy": "SCHED_OTHER", "runtime": 1}, "process.scheduler.runtime"),
        ({"policy": "SCHED_OTHER", "flags": ["SCHED_FLAG_PIZZA"]}, "process.scheduler.flags"),
        ({"policy": "SCHED_FIFO", "priority": 0}, "process.scheduler"),
        ({"policy": "SCHED_DEADLINE", "runtime": 5, "deadline": 1}, "process.scheduler"),
    ],
)
def test_impossible_schedulers_are_named(oci: Any, scheduler: Any, field: str) -> None:
    assert field in refusal(oci, process(scheduler=scheduler))


def test_io_priority(oci: Any) -> None:
    done = oci.run("busybox", "ionice", "-p", "1", change=process(
        ioPriority={"class": "IOPRIO_CLASS_BE", "priority": 6}))  # fmt: skip
    assert done.stdout == "best-effort: prio 6\n"
    done = oci.run("busybox", "ionice", "-p", "1", change=process(
        ioPriority={"class": "IOPRIO_CLASS_IDLE"}))  # fmt: skip
    assert done.stdout.startswith("idle")


@pytest.mark.parametrize(
    "priority",
    [{"priority": 3}, {"class": "IOPRIO_CLASS_PIZZA"}, {"class": "IOPRIO_CLASS_BE", "priority": 8}],
)
def test_impossible_io_priorities_are_named(oci: Any, priority: Any) -> None:
    assert "process.ioPriority" in refusal(oci, process(ioPriority=priority))


# ── who it is ──


def test_user_in_numbers(oci: Any) -> None:
    user = {"uid": 4321, "gid": 1234, "additionalGids": [7, 8]}
    assert status(oci, "Uid", process(user=user)) == ["4321"] * 4
    assert status(oci, "Gid", process(user=user)) == ["1234"] * 4
    assert sorted(status(oci, "Groups", process(user=user))) == ["7", "8"]


def test_root_in_numbers_has_the_groups_it_was_given_and_no_others(oci: Any) -> None:
    user = {"uid": 0, "gid": 5, "additionalGids": [9]}
    assert status(oci, "Gid", process(user=user)) == ["5"] * 4
    assert status(oci, "Groups", process(user=user)) == ["9"]
    assert status(oci, "Groups", process(user={"uid": 0, "gid": 0})) == []


@pytest.mark.parametrize(("umask", "shown"), [(None, "0022"), (0, "0000"), (0o27, "0027")])
def test_umask(oci: Any, umask: int | None, shown: str) -> None:
    user = {"uid": 0, "gid": 0, **({} if umask is None else {"umask": umask})}
    assert status(oci, "Umask", process(user=user)) == [shown]


@pytest.mark.parametrize("number", [2**31, 2**32, 2**64, -1])
@pytest.mark.parametrize("field", ["uid", "gid", "additionalGids"])
def test_ids_out_of_range_are_errors_and_never_root(oci: Any, field: str, number: int) -> None:
    user = {"uid": 1, "gid": 1, field: [number] if field == "additionalGids" else number}
    assert f"process.user.{field}" in refusal(oci, process(user=user))


@pytest.mark.parametrize("wanted", [True, False])
def test_no_new_privileges(oci: Any, wanted: bool) -> None:
    assert status(oci, "NoNewPrivs", process(noNewPrivileges=wanted)) == [str(int(wanted))]


# ── capabilities ──


def capability_sets(oci: Any, user: int = 0, **sets: list[str]) -> dict[str, int]:
    full = {"bounding": [], "effective": [], "permitted": [], "inheritable": [], "ambient": []}
    change = process(capabilities={**full, **sets}, user={"uid": user, "gid": user})
    done = oci.run("grep", "^Cap", "/proc/self/status", change=change)
    assert done.returncode == 0, done.stderr
    return {line[3:6]: int(line.split()[1], 16) for line in done.stdout.splitlines()}


def test_ambient_capabilities_survive_for_another_user(oci: Any) -> None:
    names = ["CAP_NET_BIND_SERVICE"]
    bit = 1 << 10
    assert capability_sets(
        oci, 1000, bounding=names, effective=names, permitted=names, inheritable=names,
        ambient=names,
    ) == {"Inh": bit, "Prm": bit, "Eff": bit, "Bnd": bit, "Amb": bit}  # fmt: skip


def test_ambient_capabilities_that_are_not_inheritable_are_none(oci: Any) -> None:
    names = ["CAP_NET_BIND_SERVICE"]
    assert capability_sets(
        oci, 1000, bounding=names, effective=names, permitted=names, ambient=names
    ) == {"Inh": 0, "Prm": 0, "Eff": 0, "Bnd": 1 << 10, "Amb": 0}


def test_no_capabilities_at_all(oci: Any) -> None:
    assert set(capability_sets(oci).values()) == {0}


def test_sets_are_what_they_are(oci: Any) -> None:
    found = capability_sets(
        oci,
        bounding=["CAP_CHOWN", "CAP_KILL"],
        permitted=["CAP_CHOWN", "CAP_KILL"],
        effective=["CAP_CHOWN"],
        inheritable=["CAP_KILL"],
    )
    # execve by root: permitted becomes inheritable plus bounding, effective all of it
    assert found == {"Inh": 1 << 5, "Prm": 0x21, "Eff": 0x21, "Bnd": 0x21, "Amb": 0}


@pytest.mark.parametrize("kind", ["bounding", "effective", "permitted", "inheritable", "ambient"])
def test_unknown_capabilities_are_warned_of(oci: Any, kind: str) -> None:
    """config.md: "Any value which cannot be mapped to the relevant kernel interface, or cannot be
    granted otherwise, MUST be logged as a warning by the runtime." (`minidock run` refuses it.)"""
    done = oci.run("true", change=process(capabilities={kind: ["CAP_PIZZA"]}))
    assert done.returncode == 0
    assert "level=warning" in done.stderr
    assert "CAP_PIZZA" in done.stderr


def test_what_is_effective_must_be_permitted(oci: Any) -> None:
    words = refusal(oci, process(capabilities={"effective": ["CAP_CHOWN"]}))
    assert "process.capabilities.effective: CAP_CHOWN" in words


def test_a_capability_that_this_host_has_not_got(oci: Any) -> None:
    if int(_own_status("CapBnd"), 16) >> 24 & 1:
        pytest.skip("this host has all of them")
    names = ["CAP_SYS_RESOURCE"]
    done = oci.run("grep", "CapBnd", "/proc/self/status", change=process(
        capabilities={"bounding": [*names, "CAP_CHOWN"]}))  # fmt: skip
    assert done.stdout.split() == ["CapBnd:", "0000000000000001"]
    assert "CAP_SYS_RESOURCE" in done.stderr


# ── labels ──


def test_labels_of_modules_that_this_host_has_not_got(oci: Any) -> None:
    if os.path.exists("/sys/fs/selinux/enforce") or os.path.exists("/sys/module/apparmor"):
        pytest.skip("this host has one")
    assert "process.apparmorProfile" in refusal(oci, process(apparmorProfile="docker-default"))
    label = "system_u:system_r:container_t:s0"
    assert "process.selinuxLabel" in refusal(oci, process(selinuxLabel=label))


# ── names and settings of the machine ──


def test_hostname_and_domainname(oci: Any) -> None:
    def change(config: Config) -> None:
        config.update(hostname="box", domainname="example.org")

    script = "cat /proc/sys/kernel/hostname /proc/sys/kernel/domainname"
    before = os.uname().nodename
    assert probe(oci, script, change) == "box\nexample.org\n"
    assert os.uname().nodename == before


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("net.ipv4.ip_forward", "1"),
        ("net/ipv4/ip_forward", "1"),
        ("kernel.shmmni", "17"),
        ("kernel.msgmax", "1234"),
        ("kernel.sem", "111\t222\t33\t44"),
        ("fs.mqueue.msg_max", "13"),
        ("kernel.domainname", "example.com"),
    ],
)
def test_sysctls_of_the_container(oci: Any, name: str, value: str) -> None:
    path = "/proc/sys/" + name.replace(".", "/")
    with open(path, encoding="ascii") as file:
        before = file.read()
    assert probe(oci, f"cat {path}", linux(sysctl={name: value})) == f"{value}\n"
    with open(path, encoding="ascii") as file:
        assert file.read() == before, "the host's own was changed"


def test_a_sysctl_with_a_dot_in_a_part_of_its_name(oci: Any) -> None:
    # There is no interface eth0.1 here, so the error tells which file was looked for.
    words = refusal(oci, linux(sysctl={"net/ipv4/conf/eth0.1/forwarding": "1"}))
    assert "no such file" in words
    for name in ("net.ipv4.conf.lo.forwarding", "net/ipv4/conf/lo/forwarding"):
        path = "/proc/sys/net/ipv4/conf/lo/forwarding"
        assert probe(oci, f"cat {path}", linux(sysctl={name: "1"})) == "1\n"


@pytest.mark.parametrize(
    "name",
    [
        "kernel.panic",
        "vm.swappiness",
        "kernel.core_pattern",
        "kernel.shm",
        "net",
        "net/../kernel/core_pattern",
        "net.ipv4//ip_forward",
        "kernel.hostname",
        "fs.file-max",
        "",
        "/",
        "network.ipv4",
    ],
)
def test_sysctls_of_the_machine_are_refused(oci: Any, name: str) -> None:
    words = refusal(oci, linux(sysctl={name: "1"}))
    assert "linux.sysctl" in words
    assert name in words


@pytest.mark.parametrize(
    ("name", "kind"),
    [("net.ipv4.ip_forward", "network"), ("kernel.msgmax", "ipc"), ("kernel.domainname", "uts")],
)
def test_sysctls_of_a_shared_namespace_are_refused(oci: Any, name: str, kind: str) -> None:
    def change(config: Config) -> None:
        config.pop("hostname")
        spaces = config["linux"]["namespaces"]
        config["linux"]["namespaces"] = [ns for ns in spaces if ns["type"] != kind]
        config["linux"]["sysctl"] = {name: "1"}

    assert f"linux.sysctl: {name}" in refusal(oci, change)


def test_a_value_the_kernel_refuses(oci: Any) -> None:
    words = refusal(oci, linux(sysctl={"kernel.shmmni": "pizza"}))
    assert "linux.sysctl: kernel.shmmni cannot be set to 'pizza': invalid argument" in words


def test_console_size(oci: Any) -> None:
    """Without a terminal it has no meaning, and is no error."""
    assert probe(oci, "echo fine", process(consoleSize={"height": 30, "width": 90})) == "fine\n"


@pytest.mark.skipif(not shutil.which("setpriv"), reason="needs setpriv (Debian package util-linux)")
def test_root_without_roots_rights_is_told_so(oci: Any) -> None:
    oci.words = ["setpriv", "--bounding-set=-sys_admin", *oci.words]
    words = refusal(oci, lambda config: None)
    assert "CAP_SYS_ADMIN" in words
    assert words.count("\n") == 1
