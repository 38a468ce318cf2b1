"""One more process in a running container.

What `run` makes, `exec` finds: a cgroup to join, namespaces to enter. A pidfd of the container's
init stands for all its namespaces at once, and cannot come to mean another process. From there on
the new process gives up its rights just as init did.

See: setns(2), pidfd_open(2)
"""

from __future__ import annotations

from minidock.isolation.cgroups.common import plan_join
from minidock.isolation.idmap import BecomeRootInside, plan_pipes
from minidock.isolation.keyring import NewSessionKeyring
from minidock.isolation.namespaces import CLONE_FLAGS, BecomeUndumpable, JoinNamespaces
from minidock.isolation.process import EnterWorkingDirectory, Execute
from minidock.isolation.seccomp.install import plan_seccomp
from minidock.isolation.terminal import NewSession
from minidock.linux.flags import CloneFlag
from minidock.runtime.attributes import plan_first, plan_limits
from minidock.runtime.manner import MONITORED
from minidock.runtime.surrender import plan_stdio, plan_surrender, plan_user
from minidock.runtime.validate import check_process
from minidock.step import ContainerPlan

TYPE_CHECKING = False
if TYPE_CHECKING:
    from minidock.linux.host import HostFacts
    from minidock.runtime.manner import Manner
    from minidock.spec.runtime import Process, Spec
    from minidock.step import Step


def plan_exec(
    init: int,
    spec: Spec,
    process: Process,
    facts: HostFacts,
    stdio: tuple[int, int, int],
    manner: Manner = MONITORED,
) -> ContainerPlan:
    """Plan one more process in the running container `spec` whose init is the process `init`."""
    check_process(spec, process)
    flags = CloneFlag(0)
    for namespace in spec.namespaces:
        flags |= CLONE_FLAGS[namespace.kind]
    users = spec.has_namespace("user")
    hold_root: tuple[Step, ...] = ()
    change_root: tuple[Step, ...] = ()
    if not spec.makes_namespace("mount"):
        from minidock.isolation.pivot import ChangeRoot, HoldRootOf  # seldom wanted

        hold_root, change_root = (HoldRootOf(init),), (ChangeRoot(),)
    seccomp = plan_seccomp(spec, process, facts, manner.hook_state, "running")
    return ContainerPlan(
        prepare=(),
        enter=(
            *seccomp.enter,
            *plan_pipes(spec, process, stdio),
            *plan_first(process),
            *plan_join(spec, facts.cgroups),
            *hold_root,
            BecomeUndumpable(),
            JoinNamespaces(init, flags),
            *((BecomeRootInside(),) if users else ()),
        ),
        attach=plan_limits(process, from_outside=True) if users else (),
        isolate=change_root,
        confine=(
            NewSession(),
            *plan_stdio(process, stdio, console=False),
            NewSessionKeyring("exec"),
            plan_user(process),
            EnterWorkingDirectory(process.cwd, make=False),
            *plan_surrender(spec, process, facts, manner, seccomp.early),
            *seccomp.last,
            Execute(process.args, process.env),
        ),
    )
