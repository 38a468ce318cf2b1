"""The order of a start with namespaces that are joined, and with users and clocks of its own: what
runtime/plan.py promises about them."""

from __future__ import annotations

import re
from typing import Any

import pytest

from minidock.engine import bundle
from minidock.engine.host_config import defaults
from minidock.errors import StartFailed
from minidock.isolation.capabilities import LimitBoundingSet
from minidock.isolation.cgroups.common import JoinCgroup
from minidock.isolation.idmap import AwaitGrant, BecomeRootInside, SetTimeOffsets, WriteIDMap
from minidock.isolation.namespaces import (
    BecomeUndumpable,
    JoinNamespace,
    JoinNamespaces,
    OpenNamespace,
    Unshare,
)
from minidock.isolation.oom import SetOomScore
from minidock.isolation.process import CloseDescriptors, ResetSignals
from minidock.isolation.rlimits import SetRlimit
from minidock.isolation.rootfs import OpenRootfs
from minidock.isolation.staged_root import BindCarriedRoot, ShiftLayers, StandInRoot
from minidock.linux.cgroupfs import CgroupFacts
from minidock.linux.flags import CloneFlag
from minidock.linux.host import HostFacts
from minidock.runtime.exec import plan_exec
from minidock.runtime.plan import plan_container
from minidock.spec.runtime import Spec, parse_spec
from minidock.step import ContainerPlan, Step
from minidock.study.rehearse import STDIO, rehearse

FACTS = HostFacts((6, 1), (1 << 41) - 1, 40, CgroupFacts((), "/sys/fs/cgroup"))
MAPPINGS = [{"containerID": 0, "hostID": 100000, "size": 65536}]
FLAGS = CloneFlag


def document() -> dict[str, Any]:
    config = {"Hostname": "box", "User": "", "Tty": False, "Env": [], "WorkingDir": "/"}
    made = bundle.make_spec("c1", "/c/c1", ["/l/2", "/l/1"], config, defaults(), ["true"])
    made["linux"]["sysctl"] = {}
    return made


def with_users(made: dict[str, Any]) -> dict[str, Any]:
    made["linux"]["namespaces"].append({"type": "user"})
    made["linux"]["uidMappings"] = made["linux"]["gidMappings"] = MAPPINGS
    return made


def with_path(made: dict[str, Any], kind: str, path: str) -> dict[str, Any]:
    spaces = [ns for ns in made["linux"]["namespaces"] if ns["type"] != kind]
    made["linux"]["namespaces"] = [*spaces, {"type": kind, "path": path}]
    return made


def plan(made: dict[str, Any]) -> ContainerPlan:
    return plan_container("c1", parse_spec(made, "/c/c1"), FACTS, STDIO)


def kinds(steps: tuple[Step, ...], *wanted: type[Step]) -> list[type[Step]]:
    return [type(step) for step in steps if isinstance(step, wanted)]


def place(steps: tuple[Step, ...], kind: type[Step], number: int = 0) -> int:
    return [n for n, step in enumerate(steps) if isinstance(step, kind)][number]


def unshared(steps: tuple[Step, ...]) -> list[CloneFlag]:
    return [step.flags for step in steps if isinstance(step, Unshare)]


# ── 9: the order of namespaces ──


def test_what_is_joined_was_opened_first_of_all() -> None:
    enter = plan(with_path(with_path(document(), "network", "/run/a"), "pid", "/run/b")).enter
    opened = [step.kind for step in enter if isinstance(step, OpenNamespace)]
    joined = [step.kind for step in enter if isinstance(step, JoinNamespace)]
    assert sorted(opened) == sorted(joined) == ["network", "pid"]
    assert place(enter, OpenNamespace, -1) < place(enter, JoinCgroup) < place(enter, JoinNamespace)
    (rest,) = unshared(enter)
    assert not rest & (FLAGS.CLONE_NEWNET | FLAGS.CLONE_NEWPID)
    assert rest & FLAGS.CLONE_NEWNS


def test_a_namespace_of_mounts_is_joined_last() -> None:
    made = with_path(with_path(document(), "network", "/run/a"), "mount", "/run/m")
    made["mounts"], made["linux"]["maskedPaths"], made["linux"]["readonlyPaths"] = [], [], []
    joined = [step.kind for step in plan(made).enter if isinstance(step, JoinNamespace)]
    assert joined == ["network", "mount"]


def test_users_come_after_what_is_joined_and_before_what_is_made() -> None:
    enter = plan(with_path(with_users(document()), "network", "/run/a")).enter
    order = kinds(enter, JoinNamespace, AwaitGrant, BecomeRootInside)
    assert order == [JoinNamespace, AwaitGrant, BecomeRootInside]
    stage, users, rest = unshared(enter)
    assert (stage, users) == (FLAGS.CLONE_NEWNS, FLAGS.CLONE_NEWUSER)
    made = ("CLONE_NEWNS", "CLONE_NEWUTS", "CLONE_NEWIPC", "CLONE_NEWPID", "CLONE_NEWCGROUP")
    assert all(rest & FLAGS[name] for name in made)
    assert not rest & FLAGS.CLONE_NEWUSER
    assert isinstance(enter[-1], Unshare)


def test_joined_users_come_after_all_else_that_is_joined() -> None:
    made = with_path(with_path(document(), "user", "/run/u"), "network", "/run/a")
    steps = plan(made).enter
    joined = [step.kind for step in steps if isinstance(step, JoinNamespace)]
    assert joined == ["network", "user"]
    assert place(steps, JoinNamespace, -1) + 1 == place(steps, BecomeRootInside)
    assert place(steps, Unshare, -1) > place(steps, BecomeRootInside)


def test_main_grants_ids_and_clocks_and_nothing_else() -> None:
    assert plan(document()).grant == ()
    users = plan(with_users(document()))
    assert kinds(users.grant, Step) == [WriteIDMap, WriteIDMap]
    made = with_users(document())
    made["linux"]["namespaces"].append({"type": "time"})
    made["linux"]["timeOffsets"] = {"boottime": {"secs": 1}}
    both = plan(made)
    assert kinds(both.grant, Step) == [WriteIDMap, WriteIDMap, SetTimeOffsets]
    assert unshared(both.enter)[1] == FLAGS.CLONE_NEWUSER | FLAGS.CLONE_NEWTIME
    made = document()
    made["linux"]["namespaces"].append({"type": "time"})
    assert plan(made).grant == ()
    assert unshared(plan(made).enter)[0] & FLAGS.CLONE_NEWTIME
    made["linux"]["timeOffsets"] = {"boottime": {"secs": 1}}
    assert kinds(plan(made).enter, AwaitGrant) == [AwaitGrant]
    assert kinds(plan(made).grant, Step) == [SetTimeOffsets]


def test_a_grant_is_rehearsed_where_it_happens() -> None:
    made = with_users(document())
    told: list[str] = []

    def show(event: list[Any]) -> None:
        if event[1] == "call":
            told.append(f"{event[0]}: {event[2]}({', '.join(event[3])})")

    rehearse(plan(made), parse_spec(made, "/c/c1"), None, show)
    calls = [line for line in told if re.search(r"CLONE_NEWUSER|uid_map|setresuid", line)]
    assert [line.partition("(")[0] for line in calls[:3]] == [
        "intermediate: unshare", "main: openat", "intermediate: setresuid",
    ]  # fmt: skip


# ── 10: nobody traces us ──


@pytest.mark.parametrize(
    "change", [lambda d: d, with_users, lambda d: with_path(d, "pid", "/run/b")]
)
def test_nothing_is_entered_before_nobody_can_trace_us(change: Any) -> None:
    made = change(document())
    enter = plan(made).enter
    entered = [n for n, s in enumerate(enter) if isinstance(s, JoinNamespace | Unshare)]
    # The stage is a copy of the host's mounts that nobody else is in.
    entered = [n for n in entered if not isinstance(enter[n + 1 : n + 2] or [None], StandInRoot)]
    first = next(n for n in entered if getattr(enter[n], "flags", None) != FLAGS.CLONE_NEWNS)
    assert place(enter, BecomeUndumpable) < first
    spec = parse_spec(made, "/c/c1")
    more = plan_exec(9, spec, spec.process, FACTS, STDIO).enter
    assert place(more, BecomeUndumpable) < place(more, JoinNamespaces)


# ── 11 and 12: who does what, and when ──


def test_what_needs_the_hosts_rights_comes_before_the_users() -> None:
    made = with_users(document())
    made["process"]["oomScoreAdj"] = 5
    made["process"]["rlimits"] = [{"type": "RLIMIT_NOFILE", "soft": 1, "hard": 1}]
    made_plan = plan(made)
    enter = made_plan.enter
    assert place(enter, SetOomScore) < place(enter, Unshare)
    assert place(enter, StandInRoot) < place(enter, AwaitGrant)
    assert kinds(made_plan.attach, SetRlimit) == [SetRlimit]
    assert not kinds(made_plan.confine, SetRlimit)
    spec = parse_spec(made, "/c/c1")
    more = plan_exec(9, spec, spec.process, FACTS, STDIO)
    assert place(more.enter, SetOomScore) < place(more.enter, JoinNamespaces)
    assert place(more.enter, JoinNamespaces) < place(more.enter, BecomeRootInside)
    assert kinds(more.attach, SetRlimit) == [SetRlimit]


def test_limits_are_set_late_and_while_there_is_the_right_to() -> None:
    made = document()
    made["process"]["rlimits"] = [{"type": "RLIMIT_NOFILE", "soft": 1, "hard": 1}]
    confine = plan(made).confine
    assert place(confine, ResetSignals) < place(confine, SetRlimit)  # that one opens a file
    assert place(confine, SetRlimit) < place(confine, LimitBoundingSet)
    assert place(confine, SetRlimit) < place(confine, CloseDescriptors)


def test_the_root_is_built_outside_only_for_who_could_not_reach_it() -> None:
    plain, users = plan(document()), plan(with_users(document()))
    assert kinds(plain.isolate, OpenRootfs, BindCarriedRoot) == [OpenRootfs]
    assert not kinds(plain.enter, StandInRoot)
    assert kinds(users.isolate, OpenRootfs, BindCarriedRoot) == [BindCarriedRoot]
    assert kinds(users.enter, ShiftLayers) == []
    made = with_users(document())
    made["mounts"][0]["uidMappings"] = made["mounts"][0]["gidMappings"] = MAPPINGS
    shifted = plan(made).enter
    (step,) = (step for step in shifted if isinstance(step, ShiftLayers))
    assert [source for source, _ in step.directories] == ["/l/2", "/l/1", "/c/c1"]
    assert place(shifted, ShiftLayers) < place(shifted, StandInRoot)


# ── refusals that need no kernel ──


def test_only_root_makes_containers() -> None:
    with pytest.raises(StartFailed, match="CAP_SYS_ADMIN"):
        plan_container("c1", parse_spec(document(), "/c"), FACTS.but(rights=0), STDIO)


def test_labels_are_for_hosts_that_have_them() -> None:
    made = document()
    made["process"]["apparmorProfile"] = "docker-default"
    made["process"]["selinuxLabel"] = "a:b:c:d"
    with pytest.raises(StartFailed, match=r"process\.apparmorProfile"):
        plan(made)
    spec = parse_spec(made, "/c/c1")
    with pytest.raises(StartFailed, match=r"process\.selinuxLabel"):
        plan_container("c1", spec, FACTS.but(apparmor="exec"), STDIO)
    facts = FACTS.but(apparmor="apparmor/exec", selinux=True)
    confine = plan_container("c1", spec, facts, STDIO).confine
    labels = [step for step in confine if type(step).__name__ == "LabelProgram"]
    assert [(s.attribute, s.text) for s in labels] == [  # type: ignore[attr-defined]
        ("apparmor/exec", "exec docker-default"), ("exec", "a:b:c:d"),
    ]  # fmt: skip


def test_user_namespaces_have_every_capability_over_what_is_theirs() -> None:
    made = document()
    for kind in ("bounding", "permitted"):
        made["process"]["capabilities"][kind] = ["CAP_SYS_RESOURCE"]
    made["process"]["capabilities"]["effective"] = []
    without = FACTS.but(capabilities=FACTS.capabilities & ~(1 << 24))
    with pytest.raises(StartFailed, match=r"process\.capabilities\.bounding: CAP_SYS_RESOURCE"):
        plan_container("c1", parse_spec(made, "/c"), without, STDIO)

    def spec() -> Spec:
        return parse_spec(with_users(made), "/c")

    (limit,) = (
        step
        for step in plan_container("c1", spec(), without, STDIO).confine
        if isinstance(step, LimitBoundingSet)
    )
    assert limit.keep == 1 << 24
