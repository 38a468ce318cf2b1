"""What the kernel makes of a container's cgroup, on every interface this machine has.

A hybrid machine is asked twice: as it is (v1), and as if it had nothing but its unified hierarchy
(v2).
"""

import errno
import os
import signal
import stat
import time
import uuid
from collections.abc import Callable, Iterator
from typing import NamedTuple

import pytest

from minidock.errors import Conflict
from minidock.isolation.cgroups import common
from minidock.isolation.cgroups.common import (
    Cgroup,
    CgroupPlan,
    find_cgroup,
    joined_cgroup,
    plan_cgroups,
)
from minidock.isolation.cgroups.control_file import read_control
from minidock.isolation.cgroups.mounts import cgroup_mounts
from minidock.linux import syscalls
from minidock.linux.cgroupfs import CgroupFacts, read_cgroup_facts
from minidock.linux.flags import CloneFlag, MountFlag
from minidock.linux.kernel import LinuxKernel
from minidock.spec.resources import DeviceRule, Resources
from minidock.spec.runtime import Process, Spec
from minidock.step import Context, execute, undo

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root to make cgroups")

PARENT = f"/minidock-test-{os.getpid()}"


def _v1() -> CgroupFacts | None:
    facts = read_cgroup_facts()
    has_all = all(facts.hierarchy_of(controller) for controller in ("devices", "freezer"))
    return CgroupFacts(facts.v1) if has_all else None


def _v2() -> CgroupFacts | None:
    facts = read_cgroup_facts()
    return facts.but(v1=()) if facts.unified else None


@pytest.fixture(autouse=True)
def ours(monkeypatch: pytest.MonkeyPatch) -> None:
    """What lies below the tests' parent is as much ours as containers of the engine."""
    monkeypatch.setattr(common, "PARENT", PARENT)


@pytest.fixture(params=["v1", "v2"])
def facts(request: pytest.FixtureRequest) -> CgroupFacts:
    found = _v1() if request.param == "v1" else _v2()
    if found is None:
        pytest.skip(f"this machine has no cgroup {request.param} with devices and freezer")
    return found


class Prepared(NamedTuple):
    cgroup: Cgroup
    plan: CgroupPlan
    facts: CgroupFacts


@pytest.fixture
def prepared(facts: CgroupFacts) -> Iterator[Prepared]:
    """A cgroup, made and given its policy; whatever is in it afterwards is killed and removed."""
    yield from _prepare(facts)


def _prepare(facts: CgroupFacts, rules: tuple[DeviceRule, ...] = ()) -> Iterator[Prepared]:
    path = f"{PARENT}/{uuid.uuid4().hex}"
    spec = Spec("/", Process(("true",)), cgroups_path=path, resources=Resources(rules))
    plan, cgroup = plan_cgroups(spec, facts), joined_cgroup(spec, facts)
    try:
        execute(plan.prepare, LinuxKernel(), Context())
        yield Prepared(cgroup, plan, facts)
    finally:
        assert common.kill(cgroup)
        _reap_all()
        assert common.remove(cgroup), "the cgroup stays"
        for directory in cgroup.directories:
            os.rmdir(os.path.dirname(directory))


def _reap_all() -> None:
    try:
        while os.waitpid(-1, 0):
            pass
    except ChildProcessError:
        pass


def start(plan: CgroupPlan, program: Callable[[], object]) -> int:
    """Fork, join, then run `program` in the child; its OSError becomes the exit code."""
    ready, theirs = os.pipe()
    pid = os.fork()
    if pid:
        os.close(theirs)
        assert os.read(ready, 1) == b"1", "the child could not join"
        os.close(ready)
        return pid
    code = 255
    try:
        execute(plan.join, LinuxKernel(), Context())
        os.write(theirs, b"1")
        program()
        code = 0
    except OSError as error:
        code = error.errno or 255
    finally:
        os._exit(code)


def outcome(plan: CgroupPlan, program: Callable[[], object]) -> str:
    """How `program` ends inside: "ok" or the name of an errno."""
    code = os.waitstatus_to_exitcode(os.waitpid(start(plan, program), 0)[1])
    return errno.errorcode.get(code, str(code)) if code else "ok"


def forever() -> None:
    while True:
        time.sleep(60)


def members(cgroup: Cgroup) -> set[int]:
    """PIDs as each of the directories lists them; they must agree."""
    lists = {read_control(f"{d}/cgroup.procs") for d in cgroup.directories}
    assert len(lists) == 1
    return set(map(int, lists.pop().split()))


# ── being in it ──


def test_the_child_is_in_it_and_so_are_its_children(prepared: Prepared) -> None:
    pid = start(prepared.plan, lambda: (os.fork(), forever()))
    deadline = time.monotonic() + 5
    while len(members(prepared.cgroup)) < 2 and time.monotonic() < deadline:
        time.sleep(0.001)
    assert pid in members(prepared.cgroup)
    assert common.processes(prepared.cgroup) == tuple(sorted(members(prepared.cgroup)))
    assert len(common.processes(prepared.cgroup)) == 2
    assert os.getpid() not in common.processes(prepared.cgroup)


def test_processes_below_are_counted_too(prepared: Prepared) -> None:
    below = f"{prepared.cgroup.directories[0]}/below"
    os.mkdir(below)
    name = "cgroup.procs"
    pid = start(prepared.plan, forever)
    with open(f"{below}/{name}", "w") as file:
        file.write(str(pid))
    assert common.processes(prepared.cgroup) == (pid,)


# ── devices ──


def _node(path: str, kind: int, major: int, minor: int) -> str:
    os.mknod(path, kind | 0o600, os.makedev(major, minor))
    return path


def _a_disk() -> tuple[int, int]:
    """A block device that this host itself may open (some keep root from their own disk)."""
    for entry in os.scandir("/dev"):
        about = entry.stat(follow_symlinks=False)
        if stat.S_ISBLK(about.st_mode) and not _refused(entry.path):
            return os.major(about.st_rdev), os.minor(about.st_rdev)
    pytest.skip("this machine has no disk that may be opened")


def _refused(path: str) -> bool:
    try:
        os.close(os.open(path, os.O_RDONLY | os.O_NONBLOCK))
    except OSError as error:
        return error.errno == errno.EPERM  # a drive without a medium is none of our concern
    return False


def _open(path: str, flags: int) -> Callable[[], object]:
    return lambda: os.open(path, flags | os.O_NONBLOCK)


def test_a_disk_of_the_host_can_be_made_but_not_opened(prepared: Prepared, tmp_path: str) -> None:
    numbers = _a_disk()
    path = f"{tmp_path}/disk"
    assert outcome(prepared.plan, lambda: _node(path, stat.S_IFBLK, *numbers)) == "ok"
    assert not _refused(path), "the host may"
    assert outcome(prepared.plan, _open(path, os.O_RDONLY)) == "EPERM"
    assert outcome(prepared.plan, _open(path, os.O_WRONLY)) == "EPERM"


@pytest.mark.parametrize(
    ("numbers", "inside"),
    [((1, 3), "ok"), ((1, 5), "ok"), ((1, 9), "ok"), ((5, 2), "ok"), ((1, 11), "EPERM")],
    ids=["null", "zero", "urandom", "ptmx", "kmsg"],
)
def test_devices(prepared: Prepared, tmp_path: str, numbers: tuple[int, int], inside: str) -> None:
    path = _node(f"{tmp_path}/device", stat.S_IFCHR, *numbers)
    if numbers == (5, 2):
        path = "/dev/ptmx"  # elsewhere it opens only beside a mounted devpts
    os.close(os.open(path, os.O_RDWR))
    assert outcome(prepared.plan, _open(path, os.O_RDWR)) == inside


def test_an_allowed_device_must_allow_all_that_is_asked(facts: CgroupFacts, tmp_path: str) -> None:
    rules = (DeviceRule(False), DeviceRule(True, "c", 1, 11, "r"))
    path = _node(f"{tmp_path}/kmsg", stat.S_IFCHR, 1, 11)
    for prepared in _prepare(facts, rules):
        assert outcome(prepared.plan, _open(path, os.O_RDONLY)) == "ok"
        assert outcome(prepared.plan, _open(path, os.O_RDWR)) == "EPERM"


def test_everything_but_one(facts: CgroupFacts, tmp_path: str) -> None:
    rules = (DeviceRule(True), DeviceRule(False, "c", 1, 11, "w"))
    path = _node(f"{tmp_path}/kmsg", stat.S_IFCHR, 1, 11)
    for prepared in _prepare(facts, rules):
        assert outcome(prepared.plan, _open(path, os.O_RDONLY)) == "ok"
        assert outcome(prepared.plan, _open(path, os.O_RDWR)) == "EPERM"
        assert outcome(prepared.plan, _open("/dev/null", os.O_RDWR)) == "ok"


def test_a_rule_can_forbid_making_a_node(facts: CgroupFacts, tmp_path: str) -> None:
    rules = (DeviceRule(True), DeviceRule(False, "b", None, None, "m"))
    for prepared in _prepare(facts, rules):
        node = lambda: _node(f"{tmp_path}/disk", stat.S_IFBLK, 8, 0)  # noqa: E731 (read once)
        assert outcome(prepared.plan, node) == "EPERM"


# ── freezing and killing ──


class Counter:
    """A child that counts in memory shared with the test."""

    def __init__(self, plan: CgroupPlan) -> None:
        import mmap

        self._memory = mmap.mmap(-1, 8)
        self.pid = start(plan, self._count)

    def _count(self) -> None:
        number = 0
        while True:
            number += 1
            self._memory[:8] = number.to_bytes(8, "little")
            time.sleep(0.0005)

    def moves(self) -> bool:
        before = self._memory[:8]
        time.sleep(0.05)
        return self._memory[:8] != before


def test_freeze_and_thaw(prepared: Prepared) -> None:
    counter = Counter(prepared.plan)
    assert counter.moves()
    assert not common.is_frozen(prepared.cgroup)
    common.freeze(prepared.cgroup)
    assert common.is_frozen(prepared.cgroup)
    assert not counter.moves()
    common.thaw(prepared.cgroup)
    assert counter.moves()
    assert not common.is_frozen(prepared.cgroup)


def test_an_empty_cgroup_freezes_too(prepared: Prepared) -> None:
    common.freeze(prepared.cgroup)
    assert common.is_frozen(prepared.cgroup)
    common.thaw(prepared.cgroup)


def _uninterruptible() -> None:
    """vfork(2): the parent waits for the child, and no signal nor freezer gets in between."""
    import ctypes

    code = ctypes.CDLL(None).syscall
    if not code(58):  # __NR_vfork on x86-64
        time.sleep(1.5)
        os._exit(0)


def test_kill_outruns_a_process_that_forks_without_end(prepared: Prepared) -> None:
    def multiply() -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)
        while True:
            if os.fork():
                time.sleep(0.002)
            else:
                time.sleep(0.05)
                os.fork()
                time.sleep(0.2)
                os._exit(0)

    start(prepared.plan, multiply)
    time.sleep(0.3)
    assert len(common.processes(prepared.cgroup)) > 5
    assert common.kill(prepared.cgroup)
    assert common.processes(prepared.cgroup) == ()


def test_kill_reaches_a_frozen_container(prepared: Prepared) -> None:
    start(prepared.plan, forever)
    common.freeze(prepared.cgroup)
    assert common.kill(prepared.cgroup)
    assert common.processes(prepared.cgroup) == ()


# ── removing ──


def test_removal_waits_for_the_last_process(prepared: Prepared) -> None:
    pid = start(prepared.plan, forever)
    assert not common.remove(prepared.cgroup, timeout=0.05)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    assert common.remove(prepared.cgroup)
    assert not any(map(os.path.exists, prepared.cgroup.directories))


def test_removal_takes_cgroups_along_that_the_container_made(prepared: Prepared) -> None:
    for directory in prepared.cgroup.directories:
        os.makedirs(f"{directory}/a/b")
    assert common.remove(prepared.cgroup)


def test_removal_by_the_id_of_a_container() -> None:
    container_id = uuid.uuid4().hex
    facts = read_cgroup_facts()
    cgroup = find_cgroup(f"/minidock/{container_id}", facts)
    spec = Spec("/", Process(("true",)), cgroups_path=f"/minidock/{container_id}")
    execute(plan_cgroups(spec, facts).prepare, LinuxKernel(), Context())
    assert sum(map(os.path.isdir, cgroup.directories)) >= len(
        joined_cgroup(spec, facts).directories
    )
    assert common.remove_cgroups(container_id)
    assert not any(map(os.path.exists, cgroup.directories))
    assert common.remove_cgroups(container_id), "gone already is as good"


def test_undo_removes_what_prepare_made(prepared: Prepared) -> None:
    undo(prepared.plan.prepare, LinuxKernel(), Context())
    assert not any(map(os.path.exists, prepared.cgroup.directories))


def test_a_restart_begins_with_a_fresh_cgroup(prepared: Prepared) -> None:
    common.freeze(prepared.cgroup)  # as an earlier run might have left it
    execute(prepared.plan.prepare, LinuxKernel(), Context())
    assert not common.is_frozen(prepared.cgroup)


def test_a_cgroup_that_is_in_use_is_not_taken_over(prepared: Prepared) -> None:
    start(prepared.plan, forever)
    with pytest.raises(OSError) as caught:
        execute(prepared.plan.prepare, LinuxKernel(), Context())
    assert caught.value.errno == errno.EBUSY
    assert len(common.processes(prepared.cgroup)) == 1


# ── what the container sees ──


def test_the_container_sees_its_own_cgroup_and_cannot_change_it(prepared: Prepared) -> None:
    def look() -> None:
        syscalls.unshare(CloneFlag.CLONE_NEWNS | CloneFlag.CLONE_NEWCGROUP)
        syscalls.mount(None, "/", None, MountFlag.MS_REC | MountFlag.MS_PRIVATE, None)
        syscalls.umount2("/sys/fs/cgroup", 2)
        for source, target, kind, flags, data in cgroup_mounts(prepared.facts):
            os.path.isdir(target) or os.mkdir(target)
            syscalls.mount(source, target, kind or None, flags, data or None)
        shown = ["/sys/fs/cgroup"]
        if prepared.cgroup.v1:
            names = sorted(controller for controller, _ in prepared.cgroup.v1)
            assert sorted(os.listdir("/sys/fs/cgroup")) == names
            shown = [f"/sys/fs/cgroup/{name}" for name in names]
        for directory in shown:
            with open(f"{directory}/cgroup.procs") as file:
                assert file.read().split() == [str(os.getpid())]
        for directory in {"/sys/fs/cgroup", *shown}:
            try:
                os.mkdir(f"{directory}/below")
            except OSError as error:
                assert error.errno == errno.EROFS
            else:
                raise AssertionError(f"{directory} can be written to")

    assert outcome(prepared.plan, look) == "ok"


def test_a_process_that_cannot_be_stopped_is_reported(prepared: Prepared) -> None:
    if os.uname().machine != "x86_64":
        pytest.skip("calls vfork by its number on x86-64")
    start(prepared.plan, _uninterruptible)
    time.sleep(0.1)
    # The child of vfork is stopped; newer kernels count its waiting parent as stopped as well.
    try:
        common.freeze(prepared.cgroup, timeout=0.2)
    except Conflict as error:
        assert "cannot pause the container" in error.message
        assert not common.is_frozen(prepared.cgroup)
    else:
        assert common.is_frozen(prepared.cgroup)
        common.thaw(prepared.cgroup)
