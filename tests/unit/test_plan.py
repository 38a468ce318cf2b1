"""The order of a start: what runtime/plan.py promises, for every way to run and every kind of host.

What is promised of Steps is asked of the plan; what is promised of the kernel is asked of the calls
that the plan makes when it is rehearsed.
"""

from __future__ import annotations

import itertools
import re
from typing import Any

import pytest

from minidock.engine import bundle
from minidock.engine.host_config import defaults
from minidock.isolation.capabilities import LimitBoundingSet, SetCapabilities
from minidock.isolation.cgroups.common import JoinCgroup, MakeCgroup
from minidock.isolation.cgroups.v1 import SetDevices
from minidock.isolation.cgroups.v2 import AttachDeviceFilter
from minidock.isolation.mounts import BindMount, Mount
from minidock.isolation.namespaces import JoinNamespaces, SetHostname, Unshare
from minidock.isolation.overlay import MountOverlay
from minidock.isolation.pivot import PivotRoot
from minidock.isolation.process import (
    CloseDescriptors,
    DieWithMonitor,
    Execute,
)
from minidock.isolation.reaper import ExecuteUnderInit
from minidock.isolation.restrictions import MaskPath, ReadonlyPath, RemountRootReadonly
from minidock.isolation.rootfs import SetPropagation
from minidock.isolation.shared_memory import ShowSharedMemory, TakeSharedMemory
from minidock.isolation.terminal import ConnectStdio, OpenTerminal, ReopenNull
from minidock.isolation.user import BecomeUser, LookUpUser, TakeNumbers
from minidock.linux.cgroupfs import CgroupFacts, Hierarchy
from minidock.linux.flags import CloneFlag
from minidock.linux.host import HostFacts
from minidock.runtime.exec import plan_exec
from minidock.runtime.manner import Manner
from minidock.runtime.plan import plan_container
from minidock.spec.runtime import Spec, parse_process, parse_spec
from minidock.step import ContainerPlan, Step
from minidock.study.rehearse import STDIO, rehearse

V1 = tuple(
    Hierarchy(f"/sys/fs/cgroup/{name}", (name,)) for name in ("devices", "freezer", "memory")
)
CGROUPS = {
    "v1": CgroupFacts(V1),
    "v2": CgroupFacts((), "/sys/fs/cgroup"),
    "hybrid": CgroupFacts(V1, "/sys/fs/cgroup/unified"),
    "hybrid without devices": CgroupFacts(V1[1:], "/sys/fs/cgroup/unified"),
}
OPTIONS: dict[str, dict[str, Any]] = {
    "plain": {},
    "terminal": {"Tty": True},
    "read-only": {"ReadonlyRootfs": True},
    "user": {"User": "1000:1000"},
    "init": {"Init": True},
    "host network": {"NetworkMode": "host"},
    "all": {"Tty": True, "ReadonlyRootfs": True, "Init": True, "User": "7", "AutoRemove": True},
}


def facts(cgroups: str) -> HostFacts:
    return HostFacts((6, 1), (1 << 41) - 1, 40, CGROUPS[cgroups])


def make_spec(options: dict[str, Any]) -> Spec:
    config = {"Hostname": "box", "User": "", "Tty": False, "Env": [], "WorkingDir": "/", **options}
    host = {**defaults(), **options}
    document = bundle.make_spec("c1", "/c/c1", ["/l/2", "/l/1"], config, host, ["true"])
    return parse_spec(document, "/c/c1")


@pytest.fixture(params=itertools.product(OPTIONS, CGROUPS), ids=", on ".join)
def spec_and_plan(request: pytest.FixtureRequest) -> tuple[Spec, ContainerPlan]:
    options, cgroups = request.param
    spec = make_spec(OPTIONS[options])
    return spec, plan_container("c1", spec, facts(cgroups), STDIO)


@pytest.fixture
def plan(spec_and_plan: tuple[Spec, ContainerPlan]) -> ContainerPlan:
    return spec_and_plan[1]


@pytest.fixture
def calls(spec_and_plan: tuple[Spec, ContainerPlan]) -> dict[str, list[str]]:
    """The calls of a rehearsed start, by process, as text."""
    spec, plan = spec_and_plan
    found: dict[str, list[str]] = {}

    def show(event: list[Any]) -> None:
        if event[1] == "call":
            found.setdefault(event[0], []).append(f"{event[2]}({', '.join(event[3])})")

    rehearse(plan, spec, None, show)
    return found


def everything(plan: ContainerPlan) -> tuple[Step, ...]:
    return (*plan.prepare, *plan.enter, *plan.attach, *plan.isolate, *plan.confine)


def places(steps: tuple[Step, ...], *kinds: type[Step]) -> list[int]:
    return [number for number, step in enumerate(steps) if isinstance(step, kinds)]


def first(calls: list[str], pattern: str) -> int:
    return next(number for number, call in enumerate(calls) if re.match(pattern, call))


# ── 1: the cgroup ──


def test_the_cgroup_is_joined_before_its_namespace_is_made(plan: ContainerPlan) -> None:
    joins = places(plan.enter, JoinCgroup)
    (unshare,) = places(plan.enter, Unshare)
    assert joins
    assert max(joins) < unshare
    step = plan.enter[unshare]
    assert isinstance(step, Unshare)
    assert step.flags & CloneFlag.CLONE_NEWCGROUP


def test_what_is_joined_was_made_and_given_its_policy(plan: ContainerPlan) -> None:
    made = {step.directory for step in plan.prepare if isinstance(step, MakeCgroup)}
    joined = {step.file.rpartition("/")[0] for step in plan.enter if isinstance(step, JoinCgroup)}
    assert joined == made
    policy = [s for s in plan.prepare if isinstance(s, SetDevices | AttachDeviceFilter)]
    assert len(policy) == 1
    assert policy[0].directory in made


# ── 2 and 3: mounts ──


def test_propagation_is_cut_before_the_first_mount(calls: dict[str, list[str]]) -> None:
    mounts = [c for c in calls["init"] if re.match("(mount|move_mount|open_tree|pivot_root)", c)]
    assert mounts[0] == 'mount(NULL, "/", NULL, MS_REC|MS_SLAVE, NULL)'
    for process in ("main", "intermediate"):
        assert not [c for c in calls[process] if "mount(" in c]


def test_no_host_is_left_after_the_pivot(plan: ContainerPlan, calls: dict[str, list[str]]) -> None:
    assert isinstance(plan.isolate[-1], PivotRoot)
    assert places(plan.isolate, MountOverlay, BindMount, Mount)
    assert not places(plan.confine, MountOverlay, BindMount, Mount, SetPropagation)
    pivot = first(calls["init"], "pivot_root")
    assert calls["init"][pivot + 1] == 'umount2(".", MNT_DETACH)'
    assert not [call for call in calls["init"][pivot:] if "/c/c1" in call or "/l/" in call]


# ── 4: the user ──


def test_the_user_is_looked_up_in_the_container(plan: ContainerPlan) -> None:
    assert not places(plan.isolate, LookUpUser, TakeNumbers)
    (found,) = places(plan.confine, LookUpUser, TakeNumbers)
    (used,) = places(plan.confine, BecomeUser)
    assert found < used


# ── 5: masks ──


def test_masks_come_after_all_mounts_and_a_read_only_root_last(
    spec_and_plan: tuple[Spec, ContainerPlan],
) -> None:
    spec, plan = spec_and_plan
    steps = everything(plan)
    restrictions = places(steps, MaskPath, ReadonlyPath, RemountRootReadonly)
    # a terminal mounts /dev/console
    assert max(places(steps, MountOverlay, BindMount, Mount, OpenTerminal)) < min(restrictions)
    assert max(restrictions) < min(places(steps, LimitBoundingSet, BecomeUser, SetCapabilities))
    masked = {s.path for s in plan.confine if isinstance(s, MaskPath)}
    readonly = {s.path for s in plan.confine if isinstance(s, ReadonlyPath)}
    assert masked == set(bundle.MASKED_PATHS)
    assert readonly == set(bundle.READONLY_PATHS)
    assert bool(places(steps, RemountRootReadonly)) is spec.root_readonly
    if spec.root_readonly:
        assert places(steps, RemountRootReadonly) == [max(restrictions)]


# ── 6: rights ──


def test_rights_go_in_the_one_order_in_which_they_can(calls: dict[str, list[str]]) -> None:
    init = calls["init"]
    bounding = [n for n, call in enumerate(init) if call.startswith("prctl(PR_CAPBSET_DROP")]
    assert len(bounding) == 41 - len(bundle.CAPABILITIES)
    order = ["setgroups", "setresgid", "setresuid", "capset"]
    found = [first(init, name) for name in order]
    assert max(bounding) < found[0]
    assert found == sorted(found)
    keeps = first(init, r"prctl\(PR_SET_KEEPCAPS, 1\)")
    assert keeps < found[2]


# ── 7: descriptors ──


def test_nothing_is_opened_after_descriptors_are_marked(calls: dict[str, list[str]]) -> None:
    init = calls["init"]
    marked = first(init, r"close_range\(3, 4294967295, CLOSE_RANGE_CLOEXEC\)")
    assert not [call for call in init[marked:] if re.match("open|dup|socket|pipe", call)]


def test_becoming_the_program_is_the_last_thing(
    plan: ContainerPlan, calls: dict[str, list[str]]
) -> None:
    assert isinstance(plan.confine[-1], Execute | ExecuteUnderInit)
    assert places(plan.confine, CloseDescriptors)
    last = calls.get("child of init", calls["init"])[-1]
    assert last.startswith('execve("/usr/bin/true", ["true"], ')
    assert sum("execve" in call for made in calls.values() for call in made) == 1


# ── what the options change ──


def test_options_change_what_they_name_and_nothing_else() -> None:
    def kinds(**options: Any) -> set[type[Step]]:
        plan = plan_container("c1", make_spec(options), facts("v1"), STDIO)
        return {type(step) for step in everything(plan)}

    plain = kinds()
    assert kinds(ReadonlyRootfs=True) ^ plain == {RemountRootReadonly}
    assert kinds(Tty=True) ^ plain == {OpenTerminal, ConnectStdio, ReopenNull}
    assert kinds(Init=True) ^ plain == {Execute, ExecuteUnderInit}
    assert kinds(User="www-data") == plain


def test_the_hosts_network_is_left_alone() -> None:
    plan = plan_container("c1", make_spec({"NetworkMode": "host"}), facts("v2"), STDIO)
    (unshare,) = (step for step in plan.enter if isinstance(step, Unshare))
    assert not unshare.flags & CloneFlag.CLONE_NEWNET
    assert "loopback" not in " ".join(step.describe() for step in everything(plan))


@pytest.mark.parametrize("cgroups", CGROUPS)
def test_the_same_wishes_give_the_same_plan(cgroups: str) -> None:
    plans = [plan_container("c1", make_spec({}), facts(cgroups), STDIO) for _ in range(2)]
    assert plans[0] == plans[1]
    assert plans[0] != plan_container("c1", make_spec({"Tty": True}), facts(cgroups), STDIO)


# ── exec ──


def test_exec_enters_everything_at_once_and_gives_up_the_same_rights() -> None:
    spec = make_spec({})
    config = {"Hostname": "box", "Env": [], "WorkingDir": "/"}
    process = parse_process(bundle.make_process(config, {},
                                                ["ls"], "", False))  # fmt: skip
    start = plan_container("c1", spec, facts("v1"), STDIO)
    joins = tuple(step for step in start.enter if isinstance(step, JoinCgroup))
    plan = plan_exec(4711, spec, process, facts("v1"), STDIO)
    assert plan.enter[: len(joins)] == joins  # before it is where the container could see it
    (enter,) = (step for step in plan.enter if isinstance(step, JoinNamespaces))
    (unshare,) = (step for step in start.enter if isinstance(step, Unshare))
    assert (enter.pid, enter.flags) == (4711, unshare.flags)
    assert not places(everything(plan), SetHostname, MaskPath, Mount, PivotRoot)
    assert plan.confine[-9:-1] == start.confine[-9:-1]


# ── whose child it is ──


def test_only_a_monitored_process_dies_with_its_parent() -> None:
    spec = make_spec({})
    for monitored in (True, False):
        manner = Manner(monitored=monitored)
        start = plan_container("c1", spec, facts("v2"), STDIO, manner)
        more = plan_exec(1, spec, spec.process, facts("v2"), STDIO, manner)
        assert bool(places(start.confine, DieWithMonitor)) is monitored
        assert bool(places(more.confine, DieWithMonitor)) is monitored


# ── the sentences ──


def test_every_step_says_what_it_does_in_one_sentence(plan: ContainerPlan) -> None:
    for step in everything(plan):
        sentence = step.describe()
        assert sentence[0].islower(), sentence
        assert not sentence.endswith("."), sentence
        assert "\n" not in sentence
        assert step.see, f"{type(step).__name__} names no man page"
        for page in step.see:
            assert re.fullmatch(r"[\w.-]+\(\d(const)?\)|Documentation/\S+", page), page


# ── what other containers have ──


def test_shared_memory_is_taken_before_the_host_is_left() -> None:
    spec = make_spec({"IpcMode": "container:x"})
    assert "/dev/shm" not in {mount.destination for mount in spec.mounts}
    manner = Manner(shared_memory="/proc/self/fd/9")
    plan = plan_container("c1", spec, facts("v1"), STDIO, manner)
    left, inside = [type(step) for step in plan.enter], [type(step) for step in plan.isolate]
    assert left.index(TakeSharedMemory) < left.index(Unshare)
    assert inside.index(ShowSharedMemory) < inside.index(PivotRoot)
