"""From run's flags to Docker's HostConfig, and from there to config.json."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from minidock.cli.command import ClientError
from minidock.cli.container_run import RUN
from minidock.cli.host_config import host_config
from minidock.cli.parse import parse
from minidock.engine import bundle, grants
from minidock.engine.host_config import checked, defaults
from minidock.engine.limit_rules import Support, check_limits
from minidock.engine.posture import CAPABILITIES
from minidock.engine.settle import settle_for
from minidock.engine.tmpfs import tmpfs_options
from minidock.errors import Conflict, InvalidInput, NotFound
from minidock.linux.cgroupfs import CgroupFacts, Hierarchy
from minidock.spec.resources import Resources
from minidock.spec.runtime import Spec, parse_spec


def asked(*flags: str) -> dict[str, Any]:
    """What the flags say, without the daemon's half."""
    return host_config(parse(RUN, "run", [*flags, "image"]))


def complete(*flags: str) -> dict[str, Any]:
    def nobody(name: str) -> Any:
        raise NotFound(f"No such container: {name}")

    return {**defaults(), **checked(asked(*flags), nobody, lambda text: None)}


def spec_of(*flags: str, settle: bool = True) -> Spec:
    config = {"Hostname": "box", "User": "", "Tty": False, "Env": [], "WorkingDir": "/"}
    host = complete(*flags)
    made = bundle.make_spec("c1", "/c/c1", ["/l/1"], config, host, ["true"])
    if settle and bundle.known_late(host):
        made, _ = settle_for(made, host, lambda container_id: None)
    return parse_spec(made, "/c/c1")


@pytest.mark.parametrize(
    ("flags", "fields"),
    [
        ("-m 20m --memory-swap -1", {"Memory": 20 << 20, "MemorySwap": -1}),
        ("--memory-swappiness 0", {"MemorySwappiness": 0}),
        ("--memory-swappiness -1", {}),
        ("--cpus 1.5 -c 5", {"NanoCpus": 1500000000, "CpuShares": 5}),
        ("--pids-limit 0 --oom-score-adj 0 --shm-size 0", {}),
        ("--oom-kill-disable=false --privileged=false", {}),
        ("--cap-add x --cap-add y", {"CapAdd": ["x", "y"]}),
        ("--device /dev/null", {"Devices": [("/dev/null", "/dev/null", "rwm")]}),
        ("--device /dev/./null:rw", {"Devices": [("/dev/null", "/dev/null", "rw")]}),
        ("--device /dev/null:/dev/x:r", {"Devices": [("/dev/null", "/dev/x", "r")]}),
        (
            "--device-read-bps /dev/a:1k --device-write-iops /dev/b:2",
            {
                "BlkioDeviceReadBps": [{"Path": "/dev/a", "Rate": 1024}],
                "BlkioDeviceWriteIOps": [{"Path": "/dev/b", "Rate": 2}],
            },
        ),
        (
            "--ulimit nofile=5:9 --ulimit core=0 --ulimit nofile=7",
            {
                "Ulimits": [
                    {"Name": "core", "Hard": 0, "Soft": 0},
                    {"Name": "nofile", "Hard": 7, "Soft": 7},
                ]
            },
        ),
        ("--tmpfs /x --tmpfs /y:size=1m", {"Tmpfs": {"/x": "", "/y": "size=1m"}}),
        ("--sysctl net.x=1 --sysctl net.x=2", {"Sysctls": {"net.x": "2"}}),
        ("--annotation a=b=c --annotation d", {"Annotations": {"a": "b=c", "d": ""}}),
        ("--security-opt no-new-privileges", {"SecurityOpt": ["no-new-privileges"]}),
        (
            "--security-opt systempaths=unconfined",
            {"SecurityOpt": [], "MaskedPaths": [], "ReadonlyPaths": []},
        ),
    ],
)  # fmt: skip
def test_flags_say(flags: str, fields: dict[str, Any]) -> None:
    if "Devices" in fields:
        keys = ("PathOnHost", "PathInContainer", "CgroupPermissions")
        fields = {"Devices": [dict(zip(keys, d, strict=True)) for d in fields["Devices"]]}
    assert asked(*flags.split()) == fields


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ("--memory-swappiness 101", "invalid value: 101. Valid memory swappiness range is 0-100"),
        ("--device x", "x is not an absolute path"),
        ("--device /dev/null:/x:z", "bad mode specified: z"),
        ("--device /dev/null:rr", "rr is not an absolute path"),
        ("--device a:b:c:d", "bad format for path: a:b:c:d"),
        ("--pid x", "--pid: invalid PID mode"),
        ("--pid container:", "--pid: invalid PID mode"),
        ("--uts container:x", "--uts: invalid UTS mode"),
        ("--userns x", "--userns: invalid USER mode"),
        ("--cgroupns x", "--cgroupns: invalid CGROUP mode"),
        ("--security-opt x", 'Invalid --security-opt: "x"'),
        ("--security-opt seccomp=/nosuch", "opening seccomp profile (/nosuch) failed: open"),
    ],
)
def test_the_client_refuses(flags: str, words: str) -> None:
    with pytest.raises(ClientError) as caught:
        asked(*flags.split())
    assert words in caught.value.message


def test_a_seccomp_profile_is_taken_in_without_its_spaces(tmp_path: Path) -> None:
    profile = tmp_path / "profile.json"
    profile.write_text('{\n  "defaultAction": "SCMP_ACT_ALLOW",  "é": [1, 2]\n}\n')
    found = asked("--security-opt", f"seccomp={profile}")["SecurityOpt"]
    assert found == ['seccomp={"defaultAction":"SCMP_ACT_ALLOW","é":[1,2]}']
    profile.write_text("root:")
    with pytest.raises(ClientError) as caught:
        asked("--security-opt", f"seccomp={profile}")
    why = "invalid character 'r' looking for beginning of value"
    assert caught.value.message.endswith(f"failed: {why}")


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ("--cap-add x", 'invalid CapAdd: unknown capability: "CAP_X"'),
        ("--cap-drop x", 'invalid CapDrop: unknown capability: "CAP_X"'),
        ("--oom-score-adj 1001", "Invalid value 1001, range for oom score adj is [-1000, 1000]"),
        ("--ipc x", "invalid IPC mode: x"),
        ("--ipc container:web", "No such container: web"),
        ("--pid container:web", "No such container: web"),
        ("--tmpfs x", "invalid mount path: 'x' mount path must be absolute"),
        ("--tmpfs /", "invalid specification: destination can't be '/'"),
        ("--tmpfs /x:y", 'invalid tmpfs option ["y"]'),
        ("--annotation =x", "invalid Annotations: the empty string is not permitted"),
        ("--isolation x", "invalid isolation 'x' on linux"),
        ("--runtime runc", "unknown or invalid runtime name: runc"),
        ("--security-opt x=y", 'invalid --security-opt 2: "x=y"'),
        ("--security-opt no-new-privileges=x", 'invalid --security-opt 2: "no-new-privileges=x"'),
        ("--security-opt label=type:x", "minidock gives containers no SELinux label"),
    ],
)
def test_the_engine_refuses(flags: str, words: str) -> None:
    with pytest.raises((InvalidInput, NotFound)) as caught:
        complete(*flags.split())
    assert words in caught.value.message


def test_capabilities_are_shown_in_one_form() -> None:
    flags = "--cap-add net_admin --cap-add CAP_NET_ADMIN --cap-add All --cap-drop chown"
    config = complete(*flags.split())
    assert (config["CapAdd"], config["CapDrop"]) == (["ALL", "CAP_NET_ADMIN"], ["CAP_CHOWN"])


def test_which_capabilities_are_kept() -> None:
    held, _ = grants.host_capabilities()

    def kept(**config: Any) -> list[str]:
        return grants.capabilities(config, CAPABILITIES)

    assert kept() == CAPABILITIES
    assert kept(CapDrop=["ALL"]) == []
    assert kept(CapDrop=["ALL"], CapAdd=["CAP_CHOWN"]) == ["CAP_CHOWN"]
    assert kept(CapAdd=["ALL"], CapDrop=["CAP_CHOWN"]) == [c for c in held if c != "CAP_CHOWN"]
    assert kept(CapAdd=["CAP_SYS_PTRACE"]) == [*CAPABILITIES, "CAP_SYS_PTRACE"]
    assert kept(CapAdd=["CAP_KILL"], CapDrop=["CAP_KILL"])[-1] == "CAP_KILL"  # as Docker
    assert kept(Privileged=True, CapDrop=["ALL"]) == held


# ── config.json ──


def test_limits_in_the_words_of_the_specification() -> None:
    flags = "-m 20m --memory-reservation 10m --cpus 0.5 -c 1 --pids-limit 7"
    resources = spec_of(*flags.split()).resources
    memory, cpu = resources.memory, resources.cpu
    assert (memory.limit, memory.swap, memory.reservation) == (20 << 20, 40 << 20, 10 << 20)
    assert (cpu.quota, cpu.period, cpu.shares) == (50_000, 100_000, 2)
    assert resources.pids_limit == 7


def test_nothing_asked_nothing_limited() -> None:
    spec = spec_of()
    assert spec.resources == Resources(devices=spec.resources.devices)
    assert (spec.process.rlimits, spec.process.no_new_privileges) == ((), False)


def test_process_attributes() -> None:
    flags = (
        "--ulimit nofile=5:-1 --oom-score-adj 7 --security-opt no-new-privileges --group-add video "
        "--security-opt apparmor=mine"
    )
    process = spec_of(*flags.split()).process
    (limit,) = process.rlimits
    assert (limit.kind, limit.soft, limit.hard) == ("RLIMIT_NOFILE", 5, 2**64 - 1)
    assert (process.oom_score_adj, process.no_new_privileges) == (7, True)
    assert process.user.groupnames == ("video",)
    assert process.apparmor_profile == "mine"
    assert spec_of("--security-opt", "apparmor=unconfined").process.apparmor_profile == ""


def test_the_hosts_namespaces_are_not_made_anew() -> None:
    def kinds(*flags: str) -> set[str]:
        return {namespace.kind for namespace in spec_of(*flags).namespaces}

    plain = {"mount", "uts", "ipc", "pid", "cgroup", "network"}
    assert kinds() == plain
    for flag in ("pid", "ipc", "uts"):
        assert kinds(f"--{flag}", "host") == plain - {flag}
    assert kinds("--cgroupns", "host") == plain - {"cgroup"}
    assert spec_of("--uts", "host").hostname == ""


def mounts(*flags: str) -> dict[str, tuple[str, ...]]:
    return {mount.destination: mount.options for mount in spec_of(*flags).mounts}


def test_shared_memory() -> None:
    assert "size=65536k" in mounts()["/dev/shm"]
    assert "size=1048576k" in mounts("--shm-size", "1g")["/dev/shm"]
    assert "size=1001" in mounts("--shm-size", "1001")["/dev/shm"]
    assert "/dev/shm" not in mounts("--ipc", "none")
    assert "rbind" in mounts("--ipc", "host")["/dev/shm"]


def test_tmpfs_takes_the_place_of_what_is_there() -> None:
    found = mounts("--tmpfs", "/dev/shm:size=1m", "--tmpfs", "/b/c", "--tmpfs", "/b")
    assert found["/dev/shm"] == ("noexec", "nosuid", "nodev", "rprivate", "size=1m")
    assert [path for path in found if path.startswith("/b")] == ["/b", "/b/c"]  # outer ones first
    assert not [path for path in mounts("--tmpfs", "/dev") if path.startswith("/dev/")]


def test_of_two_tmpfs_options_the_last_counts() -> None:
    assert tmpfs_options("exec,size=1m,size=2m,ro") == [
        "nosuid", "nodev", "rprivate", "exec", "size=2m", "ro",
    ]  # fmt: skip


def test_privileged() -> None:
    spec = spec_of("--privileged")
    held, _ = grants.host_capabilities()
    assert list(spec.process.capabilities.effective) == held
    assert (spec.masked_paths, spec.readonly_paths) == ((), ())
    assert [(rule.allow, rule.kind) for rule in spec.resources.devices] == [(True, "a")]
    assert {"/dev/null", "/dev/tty"} <= {device.path for device in spec.devices}
    assert not {"/dev/ptmx", "/dev/console"} & {device.path for device in spec.devices}
    options = {mount.destination: mount.options for mount in spec.mounts}
    assert "ro" not in options["/sys"] and "ro" not in options["/sys/fs/cgroup"]
    assert complete("--privileged")["SecurityOpt"] == ["label=disable"]


def test_devices_are_looked_up_when_it_starts() -> None:
    late = spec_of("--device", "/dev/zero:/dev/x:r", settle=False)
    assert "/dev/x" not in {device.path for device in late.devices}
    spec = spec_of("--device", "/dev/zero:/dev/x:r", "--device-cgroup-rule", "b 8:* rwm")
    (node,) = [device for device in spec.devices if device.path == "/dev/x"]
    assert (node.kind, node.major, node.minor) == ("c", 1, 5)
    given, rule = spec.resources.devices[-2:]
    assert (given.major, given.minor, given.access) == (1, 5, "r")
    assert (rule.kind, rule.major, rule.minor, rule.access) == ("b", 8, None, "rwm")


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ("--device /dev/nosuch", 'adding custom device "/dev/nosuch": no such file or directory'),
        ("--device /etc/passwd", 'adding custom device "/etc/passwd": not a device node'),
        ("--device-read-bps /dev/nosuch:1", "stat /dev/nosuch: no such file or directory"),
    ],
)
def test_devices_that_are_not_there(flags: str, words: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        spec_of(*flags.split())
    assert words in caught.value.message


def test_a_container_that_is_gone_cannot_be_joined() -> None:
    config = {**complete(), "PidMode": "container:abc"}
    linux: dict[str, Any] = {"devices": [], "resources": {"devices": []}, "namespaces": []}
    document = {"mounts": [], "linux": linux}
    with pytest.raises(Conflict, match="No such container: abc"):
        settle_for(document, config, lambda container_id: None)


# ── what the kernel can do ──


def machine(tmp_path: Path, *files: str) -> Support:
    """One whose cgroup v1 hierarchies have these files."""
    names = {file.partition(".")[0] for file in files}
    for name in names:
        (tmp_path / name).mkdir()
    for file in files:
        (tmp_path / file.partition(".")[0] / file).write_text("0-1\n")
    return Support(CgroupFacts(tuple(Hierarchy(str(tmp_path / n), (n,)) for n in sorted(names))))


def test_what_the_kernel_cannot_keep_is_taken_out_with_a_warning(tmp_path: Path) -> None:
    config = {"Memory": 20 << 20, "BlkioWeight": 5, "CpuShares": 3, "PidsLimit": 3}
    config |= {"MemorySwappiness": 3}
    said = check_limits(config, support=machine(tmp_path, "memory.limit_in_bytes", "cpu.shares"))
    assert [words.rpartition(". ")[2] for words in said] == [
        "Memory limited without swap.",
        "Memory swappiness discarded.",
        "PIDs limit discarded.",
        "Weight discarded.",
    ]
    assert config == {"Memory": 20 << 20, "MemorySwap": -1, "BlkioWeight": 0, "CpuShares": 3}


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"Memory": 1}, "Minimum memory limit allowed is 6MB"),
        ({"MemoryReservation": 1}, "Minimum memory reservation allowed is 6MB"),
        ({"Memory": 7 << 20, "MemoryReservation": 8 << 20}, "can not be less than memory reservat"),
        ({"MemorySwap": 7 << 20}, "You should always set the Memory limit when using Memoryswap"),
        ({"Memory": 9 << 20, "MemorySwap": 8 << 20}, "Minimum memoryswap limit should be larger"),
        ({"NanoCpus": 1, "CpuPeriod": 1}, "Nano CPUs and CPU Period cannot both be set"),
        ({"NanoCpus": 1, "CpuQuota": 1}, "Nano CPUs and CPU Quota cannot both be set"),
        ({"NanoCpus": -1}, "Range of CPUs is from 0.01 to "),
        ({"NanoCpus": 10**15}, "Range of CPUs is from 0.01 to "),
        ({"CpuPeriod": 10}, "CPU cfs period can not be less than 1ms (i.e. 1000) or larger than"),
        ({"CpuQuota": 10}, "CPU cfs quota can not be less than 1ms (i.e. 1000)"),
        ({"CpuShares": -1}, "shares: invalid argument"),
        ({"CpusetCpus": "0-9"}, "Requested CPUs are not available - requested 0-9, available: 0-1"),
        ({"CpusetMems": "5"}, "Requested memory nodes are not available - requested 5, available"),
        ({"CpusetCpus": "1-0"}, "Invalid value 1-0 for cpuset cpus: invalid format: 1-0"),
        ({"CpusetCpus": "0-99999999999"}, "value of out range, maximum is 8192"),
        ({"CpusetMems": "y"}, "Invalid value y for cpuset mems: invalid format: y"),
        ({"BlkioWeight": 5}, "Range of blkio weight is from 10 to 1000"),
        ({"CpuRealtimePeriod": 1, "CpuRealtimeRuntime": 2}, "cpu real-time runtime cannot be"),
    ],
)  # fmt: skip
def test_limits_that_make_no_sense(tmp_path: Path, config: dict[str, int], words: str) -> None:
    files = (
        "memory.limit_in_bytes memory.memsw.limit_in_bytes memory.soft_limit_in_bytes cpu.shares "
        "cpu.cfs_quota_us cpuset.cpus cpuset.mems blkio.weight"
    )
    with pytest.raises(InvalidInput) as caught:
        check_limits(config, support=machine(tmp_path, *files.split()))
    assert words in caught.value.message


@pytest.mark.parametrize(
    ("parent", "path"),
    [
        ("", "/minidock/id"), ("x", "/x/id"), ("/x/y/", "/x/y/id"), ("/x/../../y", "/y/id"),
        ("..", "/id"),
    ],
)  # fmt: skip
def test_where_the_cgroup_lies(parent: str, path: str) -> None:
    assert bundle.cgroups_path({"CgroupParent": parent}, "id") == path
