"""Limits as the kernel enforces them: somebody in the cgroup tries to get more.

Each test runs for every version of cgroups that this machine has with the controller it needs: on a
machine with v1 that is v1; `make test-vm` boots one with v2.
"""

import errno
import mmap
import os
import select
import signal
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from minidock.errors import StartFailed
from minidock.isolation.cgroups import common
from minidock.isolation.cgroups.common import Cgroup, CgroupPlan, find_cgroup, plan_cgroups
from minidock.isolation.cgroups.limits import update
from minidock.isolation.cgroups.oom import OOMNotifier, oom_kills
from minidock.isolation.cgroups.place import V2_NAMES
from minidock.isolation.cgroups.stats import stats
from minidock.linux.cgroupfs import CgroupFacts, read_cgroup_facts
from minidock.linux.kernel import LinuxKernel
from minidock.spec.resources import (
    CPU,
    BlockIO,
    DeviceRule,
    HugepageLimit,
    Memory,
    Resources,
    Throttle,
)
from minidock.spec.runtime import Process, Spec
from minidock.step import Context, execute

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root to make cgroups")

PARENT = f"/minidock-limits-{os.getpid()}"
MIB = 1 << 20


class Container:
    """A cgroup with limits, in which the test starts what it likes."""

    def __init__(self, facts: CgroupFacts, resources: Resources) -> None:
        path = f"{PARENT}/{uuid.uuid4().hex}"
        self.facts = facts
        self.spec = Spec("/", Process(("true",)), cgroups_path=path, resources=resources)
        self.cgroup: Cgroup = find_cgroup(path, facts)
        self.plan: CgroupPlan = plan_cgroups(self.spec, facts)
        execute(self.plan.prepare, LinuxKernel(), Context())

    def start(self, program: Callable[[], object]) -> int:
        """Fork, join, run; the child's OSError becomes its exit code."""
        ready, theirs = os.pipe()
        pid = os.fork()
        if pid:
            os.close(theirs)
            assert os.read(ready, 1) == b"1", "the child could not join"
            os.close(ready)
            return pid
        code = 255
        try:
            execute(self.plan.join, LinuxKernel(), Context())
            os.write(theirs, b"1")
            program()
            code = 0
        except OSError as error:
            code = error.errno or 255
        finally:
            os._exit(code)

    def run(self, program: Callable[[], object]) -> int:
        """The exit code; below zero the signal that ended it."""
        return os.waitstatus_to_exitcode(os.waitpid(self.start(program), 0)[1])

    def read(self, controller: str, v1: str, v2: str) -> str:
        directory = self.cgroup.v1_directory(controller)
        unified = self.cgroup.v2_directory(controller)
        return Path(f"{directory}/{v1}" if directory else f"{unified}/{v2}").read_text().strip()

    def close(self) -> None:
        assert common.kill(self.cgroup)
        try:
            while os.waitpid(-1, 0):
                pass
        except ChildProcessError:
            pass
        assert common.remove(self.cgroup), "the cgroup stays"
        for directory in self.cgroup.directories:
            try:
                os.rmdir(os.path.dirname(directory))
            except FileNotFoundError:
                continue


Make = Callable[..., Container]


@pytest.fixture(params=["v1", "v2"])
def make(request: pytest.FixtureRequest) -> Iterator[Make]:
    """`make(resources, "memory")`: a container, where this version has the controller."""
    found = read_cgroup_facts()
    facts = CgroupFacts(found.v1) if request.param == "v1" else found.but(v1=())
    with ExitStack() as stack:

        def container(resources: Resources, *controllers: str) -> Container:
            for controller in ("devices", *controllers):
                there = facts.hierarchy_of(controller) or (
                    facts.unified and V2_NAMES[controller] in ("", *facts.unified_controllers)
                )
                if not there:
                    pytest.skip(f"this machine has no controller {controller} in {request.param}")
            made = Container(facts, resources)
            stack.callback(made.close)
            return made

        yield container


def forever() -> None:
    while True:
        time.sleep(60)


def use(size: int) -> mmap.mmap:
    """Take memory, and touch each page of it."""
    memory = mmap.mmap(-1, size, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    for page in range(0, size, 4096):
        memory[page] = 1
    return memory


def memory_limit(mebibytes: int) -> Memory:
    return Memory(limit=mebibytes * MIB, swap=mebibytes * MIB if _swap_is_counted() else None)


def _swap_is_counted() -> bool:
    facts = read_cgroup_facts()
    hierarchy = facts.hierarchy_of("memory")
    if hierarchy:
        return os.path.exists(f"{hierarchy.mount_point}/memory.memsw.limit_in_bytes")
    return "SwapTotal:              0" not in Path("/proc/meminfo").read_text()


# ── memory ──


def test_who_takes_more_memory_is_killed_and_it_is_known_why(make: Make) -> None:
    container = make(Resources(memory=memory_limit(20)), "memory")
    assert container.run(lambda: use(4 * MIB)) == 0
    assert oom_kills(container.cgroup) == 0
    assert container.run(lambda: use(60 * MIB)) == -signal.SIGKILL
    assert oom_kills(container.cgroup) == 1
    memory = stats(container.cgroup).memory
    assert memory
    assert (memory.limit, memory.oom_kills) == (20 * MIB, 1)


def test_who_is_killed_otherwise_was_not_out_of_memory(make: Make) -> None:
    container = make(Resources(), "memory")
    pid = container.start(forever)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    assert oom_kills(container.cgroup) == 0


def test_a_kill_below_counts_too(make: Make) -> None:
    container = make(Resources(memory=memory_limit(20)), "memory")
    place = container.cgroup.v1_directory("memory") or container.cgroup.unified
    os.mkdir(f"{place}/below")

    def move_and_use() -> None:
        Path(f"{place}/below/cgroup.procs").write_text("0")
        use(60 * MIB)

    assert container.run(move_and_use) == -signal.SIGKILL
    assert oom_kills(container.cgroup) == 1


def test_being_told_of_a_kill_when_it_happens(make: Make) -> None:
    container = make(Resources(memory=memory_limit(20)), "memory")
    with OOMNotifier(container.cgroup) as notifier:
        poll = select.poll()
        poll.register(notifier.fileno(), notifier.event)
        assert poll.poll(50) == []
        assert container.run(lambda: use(60 * MIB)) == -signal.SIGKILL
        killed, deadline = 0, time.monotonic() + 5
        while not killed and time.monotonic() < deadline:
            if poll.poll(1000):
                killed = notifier.acknowledge()
        assert killed == 1


def test_without_an_oom_killer_the_process_waits(make: Make) -> None:
    resources = Resources(memory=memory_limit(20).but(disable_oom_killer=True))
    try:
        container = make(resources, "memory")
    except StartFailed as error:
        assert "disableOOMKiller: cgroup v2 has nothing like it" in error.message
        return
    pid = container.start(lambda: use(60 * MIB))
    time.sleep(0.3)
    assert os.waitpid(pid, os.WNOHANG) == (0, 0)
    assert "under_oom 1" in container.read("memory", "memory.oom_control", "")


@pytest.mark.parametrize("steps", [(40, 20, 80, 20), (20, 40)])
def test_memory_limits_go_up_and_down(make: Make, steps: tuple[int, ...]) -> None:
    """On v1 memory may never be more than memory and swap, in between either."""
    container = make(Resources(memory=memory_limit(steps[0])), "memory")
    container.start(forever)
    for mebibytes in steps[1:]:
        update(container.cgroup, Resources(memory=memory_limit(mebibytes)), container.facts)
        limit = container.read("memory", "memory.limit_in_bytes", "memory.max")
        assert limit == str(mebibytes * MIB)
    update(container.cgroup, Resources(memory=Memory(limit=-1)), container.facts)
    memory = stats(container.cgroup).memory
    assert memory
    assert memory.limit is None


def test_an_update_leaves_the_rest_as_it_is(make: Make) -> None:
    container = make(Resources(memory=memory_limit(20), pids_limit=9), "memory", "pids")
    update(container.cgroup, Resources(pids_limit=10), container.facts)
    assert container.read("pids", "pids.max", "pids.max") == "10"
    limit = container.read("memory", "memory.limit_in_bytes", "memory.max")
    assert limit == str(20 * MIB)


def test_a_change_that_is_refused_in_part_changes_nothing(make: Make) -> None:
    container = make(Resources(memory=memory_limit(20), pids_limit=9), "memory", "cpuset", "pids")
    container.start(forever)
    asked = Resources(memory=memory_limit(40), pids_limit=10, cpu=CPU(cpus="4000"))
    with pytest.raises(StartFailed, match=r"linux\.resources\.cpu\.cpus"):
        update(container.cgroup, asked, container.facts)
    assert container.read("pids", "pids.max", "pids.max") == "9"
    limit = container.read("memory", "memory.limit_in_bytes", "memory.max")
    assert limit == str(20 * MIB)


def test_who_has_ended_has_no_limits_to_change(make: Make) -> None:
    container = make(Resources())
    common.remove(container.cgroup)
    with pytest.raises(FileNotFoundError):
        update(container.cgroup, Resources(pids_limit=3), container.facts)
    assert not any(map(os.path.isdir, container.cgroup.directories))


def test_a_limit_below_what_is_used_is_refused(make: Make) -> None:
    container = make(Resources(), "memory")
    ready, theirs = os.pipe()

    def use_and_wait() -> None:
        memory = use(30 * MIB)
        os.write(theirs, b".")
        forever()
        memory.close()

    container.start(use_and_wait)
    os.read(ready, 1)
    asked = Memory(limit=10 * MIB, check_before_update=True)
    with pytest.raises(StartFailed, match=r"linux\.resources\.memory\.limit: "):
        update(container.cgroup, Resources(memory=asked), container.facts)
    os.close(ready)
    os.close(theirs)


# ── processes ──


def test_a_fork_bomb_stops_at_the_limit(make: Make) -> None:
    container = make(Resources(pids_limit=8), "pids")

    def fork_without_end() -> None:
        for _ in range(100):
            if os.fork() == 0:
                forever()

    assert container.run(fork_without_end) == errno.EAGAIN
    assert len(common.processes(container.cgroup)) == 7
    pids = stats(container.cgroup).pids
    assert pids
    assert (pids.current, pids.limit) == (7, 8)


# ── processor ──


def burn(seconds: float) -> None:
    """Use that much of a processor's time, however long it takes to get it."""
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass


def test_a_quota_of_processor_time(make: Make) -> None:
    container = make(Resources(cpu=CPU(quota=5_000, period=100_000)), "cpu", "cpuacct")
    began = time.monotonic()
    assert container.run(lambda: burn(0.1)) == 0
    assert time.monotonic() - began > 1
    used = stats(container.cgroup).cpu
    assert used
    assert 0.08e9 < used.total < 0.5e9
    assert used.throttled_periods >= 3
    assert used.throttled_time > 0.1e9


def test_a_quota_and_a_period_can_change_apart(make: Make) -> None:
    container = make(Resources(cpu=CPU(quota=20_000, period=50_000)), "cpu")
    for change, found in (
        (CPU(quota=30_000), (30_000, 50_000)),
        (CPU(period=200_000), (30_000, 200_000)),
        (CPU(quota=1_000, period=1_000), (1_000, 1_000)),
        (CPU(quota=900_000, period=1_000_000, burst=100_000), (900_000, 1_000_000)),
    ):
        update(container.cgroup, Resources(cpu=change), container.facts)
        if container.cgroup.v1:
            quota = container.read("cpu", "cpu.cfs_quota_us", "")
            assert (int(quota), int(container.read("cpu", "cpu.cfs_period_us", ""))) == found
        else:
            assert container.read("cpu", "", "cpu.max") == "{} {}".format(*found)
    assert container.read("cpu", "cpu.cfs_burst_us", "cpu.max.burst") == "100000"


def test_shares(make: Make) -> None:
    container = make(Resources(cpu=CPU(shares=512)), "cpu")
    assert container.read("cpu", "cpu.shares", "cpu.weight") in ("512", "59")


def test_idle_takes_only_what_nobody_else_wants(make: Make) -> None:
    container = make(Resources(cpu=CPU(shares=512, idle=1)), "cpu")
    assert container.read("cpu", "cpu.idle", "cpu.idle") == "1"
    update(container.cgroup, Resources(cpu=CPU(shares=1024, idle=0)), container.facts)
    assert container.read("cpu", "cpu.shares", "cpu.weight") in ("1024", "100")


def allowed_cpus(pid: int) -> str:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("Cpus_allowed_list:"):
            return line.split()[1]
    raise AssertionError


@pytest.fixture
def last_cpu() -> str:
    if (os.cpu_count() or 1) < 2:
        pytest.skip("this machine has but one processor")
    return str(max(os.sched_getaffinity(0)))


def test_processors_are_chosen(make: Make, last_cpu: str) -> None:
    container = make(Resources(cpu=CPU(cpus=last_cpu, mems="0")), "cpuset")
    pid = container.start(forever)
    assert allowed_cpus(pid) == last_cpu


def test_processors_that_are_not_there(make: Make) -> None:
    with pytest.raises(StartFailed, match=r"linux\.resources\.cpu\.cpus: cannot write '4000'"):
        make(Resources(cpu=CPU(cpus="4000")), "cpuset")


def test_an_update_brings_a_container_into_what_it_had_not_joined(
    make: Make, last_cpu: str
) -> None:
    container = make(Resources(), "cpuset")
    first = container.start(lambda: (os.fork(), forever()))
    time.sleep(0.1)
    inside = common.processes(container.cgroup)
    assert len(inside) == 2
    update(container.cgroup, Resources(cpu=CPU(cpus=last_cpu)), container.facts)
    assert {allowed_cpus(pid) for pid in inside} == {last_cpu}
    assert not common.is_frozen(container.cgroup)
    container.plan = container.plan.but(join=common.plan_join(container.spec, container.facts))
    assert allowed_cpus(container.start(forever)) == last_cpu, "executed afterwards"
    assert first in inside


def test_an_update_leaves_a_paused_container_paused(make: Make, last_cpu: str) -> None:
    container = make(Resources(), "cpuset")
    pid = container.start(forever)
    common.freeze(container.cgroup)
    update(container.cgroup, Resources(cpu=CPU(cpus=last_cpu)), container.facts)
    assert common.is_frozen(container.cgroup)
    common.thaw(container.cgroup)
    assert allowed_cpus(pid) == last_cpu


# ── disks ──


@contextmanager
def a_disk(directory: Path) -> Iterator[str]:
    """A loop device of 16 MiB."""
    image = directory / "disk"
    image.write_bytes(bytes(16 * MIB))
    made = subprocess.run(["losetup", "--find", "--show", image], capture_output=True, text=True)
    if made.returncode:
        pytest.skip(f"no loop device: {made.stderr.strip()}")
    device = made.stdout.strip()
    try:
        yield device
    finally:
        subprocess.run(["losetup", "--detach", device], check=True)


def write_directly(device: str, mebibytes: int) -> None:
    page = mmap.mmap(-1, MIB // 4)
    fd = os.open(device, os.O_WRONLY | os.O_DIRECT)
    for _ in range(mebibytes * 4):
        os.write(fd, page)
    os.close(fd)


def test_writing_to_a_disk_is_slowed_down_and_counted(make: Make, tmp_path: Path) -> None:
    with a_disk(tmp_path) as device:
        number = os.stat(device).st_rdev
        major, minor = os.major(number), os.minor(number)
        slow = BlockIO(write_bps=(Throttle(major, minor, 2 * MIB),))
        container = make(Resources((DeviceRule(True),), block_io=slow), "blkio")
        began = time.monotonic()
        assert container.run(lambda: write_directly(device, 2)) == 0
        assert 0.6 < time.monotonic() - began < 8
        found = stats(container.cgroup).block_io
        assert found
        (disk,) = (d for d in found if (d.major, d.minor) == (major, minor))
        assert disk.write_bytes == 2 * MIB
        assert disk.writes >= 8
        assert disk.read_bytes == 0
        fast = BlockIO(write_bps=(Throttle(major, minor, 0),))
        update(container.cgroup, Resources(block_io=fast), container.facts)
        began = time.monotonic()
        assert container.run(lambda: write_directly(device, 2)) == 0
        assert time.monotonic() - began < 0.6


def test_a_weight_where_the_kernel_has_one(make: Make) -> None:
    try:
        container = make(Resources(block_io=BlockIO(weight=500)), "blkio")
    except StartFailed as error:
        assert error.message.startswith("linux.resources.blockIO.weight: this kernel has no ")
        return
    file = Path(container.cgroup.v1_directory("blkio") or container.cgroup.unified)
    names = ("blkio.bfq.weight", "blkio.weight", "io.bfq.weight", "io.weight")
    found = next(file / name for name in names if (file / name).exists())
    assert found.read_text().split()[-1] == ("4950" if found.name == "io.weight" else "500")


# ── huge pages ──


def test_huge_pages(make: Make) -> None:
    container = make(Resources(hugepages=(HugepageLimit("2MB", 4 * MIB),)), "hugetlb")
    limit = container.read("hugetlb", "hugetlb.2MB.limit_in_bytes", "hugetlb.2MB.max")
    assert limit == str(4 * MIB)
    assert "2MB" in {h.page_size for h in stats(container.cgroup).hugepages}


# ── v2 ──


def test_what_v2_has_is_written_as_it_is(make: Make) -> None:
    try:
        container = make(Resources(unified=(("memory.high", "8388608"),)), "memory")
    except StartFailed as error:
        assert "unified['memory.high']: this host has cgroup v1" in error.message
        return
    assert container.read("memory", "", "memory.high") == "8388608"


def test_no_internal_processes() -> None:
    """A cgroup with processes cannot hand controllers down, and says so."""
    facts = read_cgroup_facts()
    if not facts.unified_controllers:
        pytest.skip("this machine's cgroup v2 has no controller")
    parent = f"{facts.unified}{PARENT}"
    os.mkdir(parent)
    pid = os.fork()
    if pid == 0:
        forever()
    try:
        Path(f"{parent}/cgroup.procs").write_text(str(pid))
        with pytest.raises(StartFailed, match="has processes of its own, so it cannot hand down"):
            Container(facts, Resources(unified=((_a_setting(facts), "max"),)))
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        for name in (*facts.v1, parent):
            directory = name if isinstance(name, str) else f"{name.mount_point}{PARENT}"
            if os.path.isdir(directory):
                os.rmdir(directory)


def _a_setting(facts: CgroupFacts) -> str:
    if "hugetlb" in facts.unified_controllers:
        return "hugetlb.2MB.max"
    return "pids.max"


# ── counting ──


def test_what_was_used_is_counted(make: Make) -> None:
    container = make(Resources(), "memory", "pids", "cpuacct")
    ready, theirs = os.pipe()

    def work() -> None:
        memory = use(30 * MIB)
        burn(0.2)
        os.write(theirs, b".")
        forever()
        memory.close()

    container.start(work)
    os.read(ready, 1)
    found = stats(container.cgroup)
    assert found.memory
    assert found.cpu
    assert found.pids
    assert 30 * MIB <= found.memory.rss < 60 * MIB
    assert found.memory.usage >= found.memory.rss
    assert found.memory.used == found.memory.usage - found.memory.inactive_file
    assert found.memory.limit is None
    assert dict(found.memory.details)["inactive_file"] >= 0
    assert 0.1e9 < found.cpu.total < 2e9
    assert found.cpu.user + found.cpu.system == pytest.approx(found.cpu.total, rel=0.3)
    assert (found.pids.current, found.pids.limit) == (1, None)
    os.close(ready)
    os.close(theirs)


def test_nothing_is_counted_of_what_is_gone(make: Make) -> None:
    container = make(Resources())
    common.remove(container.cgroup)
    with pytest.raises(FileNotFoundError):
        stats(container.cgroup)
