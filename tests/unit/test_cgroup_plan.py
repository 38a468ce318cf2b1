"""Where the cgroup lies, and in which order it is made, set and joined, on each kind of host."""

import errno
import os

import pytest

from minidock.errors import BadJSON, StartFailed
from minidock.isolation.cgroups import v1, v2
from minidock.isolation.cgroups.common import (
    Cgroup,
    JoinCgroup,
    MakeCgroup,
    OpenCgroup,
    cgroup_directories,
    find_cgroup,
    leftovers,
    plan_cgroups,
    plan_join,
    remove,
)
from minidock.isolation.cgroups.limits import CopyCpuset, HandDown, SetLimits
from minidock.isolation.cgroups.mounts import cgroup_mounts
from minidock.isolation.cgroups.place import CONTROLLERS
from minidock.linux.cgroupfs import CgroupFacts, Hierarchy
from minidock.linux.flags import MountFlag
from minidock.linux.recording import RecordingKernel
from minidock.spec.resources import CPU, DeviceRule, HugepageLimit, Memory, Network, Resources
from minidock.spec.runtime import Namespace, Process, Spec
from minidock.step import Context, execute

DEVICES = Hierarchy("/sys/fs/cgroup/devices", ("devices",))
FREEZER = Hierarchy("/sys/fs/cgroup/freezer", ("freezer",))
MEMORY = Hierarchy("/sys/fs/cgroup/memory", ("memory",))
TIME = Hierarchy("/sys/fs/cgroup/cpuacct", ("cpuacct",))
TAGS = Hierarchy("/sys/fs/cgroup/net_cls", ("net_cls",))
V1 = CgroupFacts((MEMORY, DEVICES, FREEZER, TIME, TAGS))
HYBRID = CgroupFacts((MEMORY, DEVICES, FREEZER, TIME, TAGS), "/sys/fs/cgroup/unified")
V2 = CgroupFacts((), "/sys/fs/cgroup")


def spec(path: str = "/minidock/c1", rules: tuple[DeviceRule, ...] = ()) -> Spec:
    return Spec("/rootfs", Process(("sh",)), cgroups_path=path, resources=Resources(rules))


def calls(steps: tuple[object, ...]) -> list[str]:
    kernel = RecordingKernel()
    execute(steps, kernel, Context())  # type: ignore[arg-type]
    return [str(call) for call in kernel.calls if call.name != "close"]


@pytest.mark.parametrize("facts", [V1, HYBRID], ids=["v1", "hybrid"])
def test_on_v1_the_hierarchies_that_every_container_joins(facts: CgroupFacts) -> None:
    names = ("devices", "freezer", "memory", "cpuacct")
    found = [f"/sys/fs/cgroup/{name}/minidock/c1" for name in names]
    plan = plan_cgroups(spec(), facts)
    assert plan.prepare[:4] == tuple(map(MakeCgroup, found))
    assert isinstance(plan.prepare[4], v1.SetDevices)
    assert plan.join == tuple(JoinCgroup(f"{directory}/tasks") for directory in found)
    assert cgroup_directories(spec(), facts) == (*found, "/sys/fs/cgroup/net_cls/minidock/c1")


def test_on_v2_one_directory_and_a_program() -> None:
    plan = plan_cgroups(spec(), V2)
    assert plan.prepare[0] == MakeCgroup("/sys/fs/cgroup/minidock/c1")
    assert isinstance(plan.prepare[1], v2.AttachDeviceFilter)
    assert plan.join == (JoinCgroup("/sys/fs/cgroup/minidock/c1/cgroup.procs"),)


def test_v2_takes_the_part_that_v1_does_not_have() -> None:
    facts = CgroupFacts((DEVICES,), "/sys/fs/cgroup/unified")
    plan = plan_cgroups(spec(), facts)
    assert isinstance(plan.prepare[2], v1.SetDevices)
    assert plan.join == (
        JoinCgroup("/sys/fs/cgroup/devices/minidock/c1/tasks"),
        JoinCgroup("/sys/fs/cgroup/unified/minidock/c1/cgroup.procs"),
    )


def test_controllers_mounted_together_have_one_directory() -> None:
    facts = CgroupFacts((Hierarchy("/cg/both", ("devices", "freezer")),))
    assert cgroup_directories(spec(), facts) == ("/cg/both/minidock/c1",)
    assert len(plan_cgroups(spec(), facts).join) == 1


def test_what_is_written_on_v1() -> None:
    rules = (DeviceRule(False), DeviceRule(True, "c", 10, 229, "rwm"))
    written = [c for c in calls(plan_cgroups(spec(rules=rules), V1).prepare) if "write" in c]
    assert written[:3] == [
        'write(3, "a", 1)',
        'write(3, "c 10:229 rwm", 12)',
        'write(3, "c *:* m", 7)',
    ]
    assert written[-1] == 'write(3, "c 136:* rwm", 11)'


def test_everything_allowed_on_v1_is_one_write() -> None:
    prepared = calls(plan_cgroups(spec(rules=(DeviceRule(True),)), V1).prepare)
    assert prepared[4:] == [
        'openat(AT_FDCWD, "/sys/fs/cgroup/devices/minidock/c1/devices.allow",'
        " O_WRONLY|O_CLOEXEC) = 3",
        'write(3, "a", 1)',
    ]


def test_what_is_called_on_v2() -> None:
    mkdir, load, opened, attach = calls(plan_cgroups(spec(), V2).prepare)
    assert mkdir == 'mkdir("/sys/fs/cgroup/minidock/c1", 0755)'
    assert load.startswith("bpf(BPF_PROG_LOAD, {prog_type=BPF_PROG_TYPE_CGROUP_DEVICE, insn_cnt=")
    assert load.endswith(" = 3")
    assert opened == (
        'openat(AT_FDCWD, "/sys/fs/cgroup/minidock/c1", O_RDONLY|O_CLOEXEC|O_DIRECTORY) = 4'
    )
    assert attach == (
        "bpf(BPF_PROG_ATTACH, {target_fd=4, attach_bpf_fd=3, attach_type=BPF_CGROUP_DEVICE,"
        " attach_flags=BPF_F_ALLOW_MULTI}, 16)"
    )


def test_a_child_joins_by_writing_0() -> None:
    assert calls(plan_cgroups(spec(), V2).join) == [
        'openat(AT_FDCWD, "/sys/fs/cgroup/minidock/c1/cgroup.procs", O_WRONLY|O_CLOEXEC) = 3',
        'write(3, "0", 1)',
    ]


def test_the_sentences() -> None:
    plan = plan_cgroups(spec(), V1)
    assert plan.prepare[0].describe() == "make the cgroup /sys/fs/cgroup/devices/minidock/c1"
    assert (
        plan.prepare[-1]
        .describe()
        .startswith("forbid the use of all devices, but allow c *:* m, b *:* m, c 1:3 rwm, ")
    )
    assert "join the cgroup /sys/fs/cgroup/devices/minidock/c1," in plan.join[0].describe()


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("/minidock/c1", "/sys/fs/cgroup/minidock/c1"),
        ("/kubepods/burstable//pod1/c1/", "/sys/fs/cgroup/kubepods/burstable/pod1/c1"),
        ("c1", "/sys/fs/cgroup/minidock/c1"),
    ],
)
def test_paths(path: str, found: str) -> None:
    assert find_cgroup(path, V2).directories == (found,)


@pytest.mark.parametrize(
    "path", ["", "/", "/minidock/../..", "..", "a:b", "a:b:", "a:b:c/d", "x:b:c"]
)
def test_a_path_that_cannot_be_meant(path: str) -> None:
    with pytest.raises(BadJSON, match=r"linux\.cgroupsPath"):
        plan_cgroups(spec(path), V2)


def test_a_host_without_the_devices_controller_is_refused() -> None:
    with pytest.raises(StartFailed, match="no cgroup hierarchy is mounted that controls devices"):
        plan_cgroups(spec(), CgroupFacts((FREEZER, MEMORY)))


def test_a_failed_start_leaves_no_directory(tmp_path: object) -> None:
    facts = CgroupFacts((), str(tmp_path))  # no cgroupfs there: the program cannot be attached

    class NoBpf(RecordingKernel):
        mkdir = staticmethod(os.mkdir)
        rmdir = staticmethod(os.rmdir)

        def bpf(self, cmd: int, attr: dict[str, int | bytes]) -> int:
            raise OSError(22, "Invalid argument")

    with pytest.raises(OSError, match="Invalid argument") as caught:
        execute(plan_cgroups(spec(), facts).prepare, NoBpf(), Context())
    assert "while trying to forbid the use of all devices" in caught.value.__notes__[0]
    assert os.listdir(f"{tmp_path}/minidock") == []


def test_the_container_sees_its_own_cgroups_read_only() -> None:
    first, *shown, last = cgroup_mounts(HYBRID)
    assert first[:3] == ("tmpfs", "/sys/fs/cgroup", "tmpfs")
    assert [(m[1], m[2], m[4]) for m in shown] == [
        ("/sys/fs/cgroup/devices", "cgroup", "devices"),
        ("/sys/fs/cgroup/freezer", "cgroup", "freezer"),
        ("/sys/fs/cgroup/memory", "cgroup", "memory"),
        ("/sys/fs/cgroup/cpuacct", "cgroup", "cpuacct"),
    ]
    assert last[3] & MountFlag.MS_REMOUNT
    for mount in (*shown, last):
        assert mount[3] & MountFlag.MS_RDONLY


def test_without_a_cgroup_namespace_the_directories_are_bound() -> None:
    together = Hierarchy("/sys/fs/cgroup/cpu,cpuacct", ("cpu", "cpuacct"))
    facts = CgroupFacts((DEVICES, FREEZER, together))
    mounts = cgroup_mounts(facts, spec(), "/sys/fs/cgroup", readonly=False)
    bound = [(source, target) for source, target, _, flags, _ in mounts if source.startswith("/")]
    assert bound == [
        ("/sys/fs/cgroup/devices/minidock/c1", "/sys/fs/cgroup/devices"),
        ("/sys/fs/cgroup/freezer/minidock/c1", "/sys/fs/cgroup/freezer"),
        ("/sys/fs/cgroup/cpu,cpuacct/minidock/c1", "/sys/fs/cgroup/cpu,cpuacct"),
        ("/sys/fs/cgroup/cpu,cpuacct/minidock/c1", "/sys/fs/cgroup/cpu"),
        ("/sys/fs/cgroup/cpu,cpuacct/minidock/c1", "/sys/fs/cgroup/cpuacct"),
    ]
    assert not any(flags & MountFlag.MS_RDONLY for _, _, _, flags, _ in mounts)


def test_v2_is_one_mount() -> None:
    ((_, target, kind, flags, data),) = cgroup_mounts(V2)
    assert (target, kind, data) == ("/sys/fs/cgroup", "cgroup2", "")
    assert flags == (
        MountFlag.MS_RDONLY | MountFlag.MS_NOSUID | MountFlag.MS_NODEV | MountFlag.MS_NOEXEC
    )


def test_leftovers_are_old_and_nobodys(tmp_path: object) -> None:
    facts = CgroupFacts((), str(tmp_path))
    os.makedirs(f"{tmp_path}/minidock/gone")
    os.makedirs(f"{tmp_path}/minidock/kept")
    now = os.stat(f"{tmp_path}/minidock/gone").st_ctime
    (found,) = leftovers(facts, {"kept"}, now + 61)
    assert found.directories == (f"{tmp_path}/minidock/gone",)
    assert leftovers(facts, {"kept"}, now + 59) == []


def test_leftovers_where_there_never_was_a_container(tmp_path: object) -> None:
    assert leftovers(CgroupFacts((), str(tmp_path)), (), 0) == []


def test_removal_takes_the_directories_below_along(tmp_path: object) -> None:
    os.makedirs(f"{tmp_path}/c1/a/b")
    assert remove(Cgroup((), f"{tmp_path}/c1"))
    assert os.listdir(str(tmp_path)) == []
    assert remove(Cgroup((), f"{tmp_path}/c1")), "gone already is as good"


# ── limits ──

ALL_V1 = CgroupFacts(tuple(Hierarchy(f"/cg/{name}", (name,)) for name, _, _ in CONTROLLERS))
ALL_V2 = CgroupFacts((), "/cg", ("cpuset", "cpu", "io", "memory", "hugetlb", "pids", "rdma"))


def limited(resources: Resources, path: str = "/minidock/c1") -> Spec:
    return Spec("/rootfs", Process(("sh",)), cgroups_path=path, resources=resources)


def test_a_hierarchy_is_joined_when_something_is_asked_of_it() -> None:
    joined = [step.file for step in plan_cgroups(limited(Resources()), ALL_V1).join]
    assert "/cg/cpuset/minidock/c1/tasks" not in joined
    plan = plan_cgroups(limited(Resources(cpu=CPU(cpus="0"))), ALL_V1)
    assert JoinCgroup("/cg/cpuset/minidock/c1/tasks") in plan.join


def test_a_cpuset_has_its_parents_before_anybody_joins() -> None:
    plan = plan_cgroups(limited(Resources(cpu=CPU(cpus="0"))), ALL_V1)
    copy = plan.prepare.index(CopyCpuset("/cg/cpuset", "/cg/cpuset/minidock/c1"))
    (limits,) = (i for i, step in enumerate(plan.prepare) if isinstance(step, SetLimits))
    assert copy < limits


def test_on_v2_controllers_are_handed_down_from_the_root() -> None:
    plan = plan_cgroups(limited(Resources(cpu=CPU(cpus="0"))), ALL_V2)
    controllers = ("memory", "pids", "cpu", "io", "cpuset")
    assert plan.prepare[:3] == (
        HandDown("/cg", controllers),
        HandDown("/cg/minidock", controllers),
        MakeCgroup("/cg/minidock/c1"),
    )


BORN = ALL_V2.but(clone_into=True)


def test_on_v2_init_is_born_in_the_cgroup_and_makes_the_namespace() -> None:
    private = spec().but(namespaces=(Namespace("pid"), Namespace("cgroup")))
    plan = plan_cgroups(private, BORN)
    assert plan.join == (OpenCgroup("/cg/minidock/c1"),)
    assert plan.namespace_later == "cgroup"
    ctx = Context()
    execute(plan.join, RecordingKernel(), ctx)
    assert ctx.cgroup == 3
    assert plan_cgroups(spec(), BORN).namespace_later == "", "there is none to make"


@pytest.mark.parametrize(
    ("facts", "namespaces"),
    [
        (ALL_V2, ()),  # clone3 is not to be had
        (BORN, (Namespace("user"),)),
        (BORN, (Namespace("cgroup", "/proc/7/ns/cgroup"),)),
    ],
)
def test_who_cannot_be_born_there_joins(
    facts: CgroupFacts, namespaces: tuple[Namespace, ...]
) -> None:
    plan = plan_cgroups(spec().but(namespaces=namespaces), facts)
    assert plan.join == (JoinCgroup("/cg/minidock/c1/cgroup.procs"),)
    assert plan.namespace_later == ""
    assert plan_join(spec(), BORN) == (JoinCgroup("/cg/minidock/c1/cgroup.procs"),), "exec"


def test_a_hybrid_machine_is_asked_where_it_has_the_controller() -> None:
    facts = HYBRID.but(unified_controllers=("hugetlb",))
    plain = plan_cgroups(limited(Resources()), facts)
    assert not any("unified" in step.file for step in plain.join)
    plan = plan_cgroups(limited(Resources(hugepages=(HugepageLimit("2MB", 1 << 21),))), facts)
    unified = "/sys/fs/cgroup/unified/minidock/c1"
    assert plan.join[-1] == JoinCgroup(f"{unified}/cgroup.procs")
    (limits,) = (step for step in plan.prepare if isinstance(step, SetLimits))
    assert limits.directory == unified


@pytest.mark.parametrize(
    ("resources", "facts", "words"),
    [
        (Resources(memory=Memory(limit=1)), CgroupFacts((DEVICES, FREEZER)),
         "memory.limit: this host has no cgroup controller memory"),
        (Resources(memory=Memory(swappiness=10)), ALL_V2,
         "memory.swappiness: cgroup v2 has nothing like it"),
        (Resources(network=Network(class_id=1)), ALL_V2,
         "network.classID: cgroup v2 has nothing like it"),
        (Resources(unified=(("memory.high", "1"),)), ALL_V1,
         "unified['memory.high']: this host has cgroup v1"),
        (Resources(unified=(("misc.max", "1"),)), ALL_V2,
         "unified['misc.max']: this host's cgroup v2 has no controller misc"),
        (Resources(unified=(("../x.y", "1"),)), ALL_V2,
         "unified['../x.y']: not of the form CONTROLLER.PARAMETER"),
        (Resources(memory=Memory(swap=1)), ALL_V2, "memory.swap: cgroup v2 needs memory.limit"),
        (Resources(memory=Memory(limit=2, swap=1)), ALL_V2, "memory.swap is memory and swap"),
    ],
)  # fmt: skip
def test_what_cannot_be_limited_is_an_error(
    resources: Resources, facts: CgroupFacts, words: str
) -> None:
    with pytest.raises(StartFailed) as caught:
        plan_cgroups(limited(resources), facts)
    assert caught.value.message.startswith(f"linux.resources.{words}")


def test_what_is_so_anyway_needs_no_controller() -> None:
    nothing = Resources(
        memory=Memory(limit=-1, swappiness=-1, disable_oom_killer=False), pids_limit=0
    )
    for facts in (CgroupFacts((DEVICES, FREEZER)), V2, ALL_V2):
        plan_cgroups(limited(nothing), facts)


def test_a_value_the_kernel_does_not_take_names_its_field() -> None:
    class Refuses(RecordingKernel):
        def write(self, fd: int, data: bytes) -> int:
            if data == b"0-99":
                raise OSError(errno.EINVAL, "")
            return len(data)

    with pytest.raises(StartFailed) as caught:
        steps = plan_cgroups(limited(Resources(cpu=CPU(cpus="0-99"))), ALL_V2).prepare
        execute(steps, Refuses(), Context())
    assert caught.value.message == (
        "linux.resources.cpu.cpus: cannot write '0-99' to cpuset.cpus: invalid argument"
    )


def test_somebody_elses_cgroup_may_be_there_when_it_is_empty() -> None:
    class Exists(RecordingKernel):
        inside = b""

        def mkdir(self, path: str, mode: int) -> None:
            raise FileExistsError(path)

        def read(self, fd: int, count: int) -> bytes:
            return self.inside

    steps = plan_cgroups(limited(Resources(), "/libpod_parent/c1"), V1).prepare[:1]
    kernel = Exists()
    execute(steps, kernel, Context())
    assert not any(call.name == "rmdir" for call in kernel.calls)
    kernel.inside = b"17\n"
    with pytest.raises(StartFailed, match="is in use by process 17"):
        execute(steps, kernel, Context())
