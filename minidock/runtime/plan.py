"""What it takes to start a container, as a list. Read this first.

A container is a process that was changed in a certain order before it became somebody's program.
This file is that order; everything else explains or applies it.

    phase    which process            what it may count on
    ───────  ───────────────────────  ──────────────────────────────────────────────────────────
    prepare  main, on the host        nothing exists yet
    enter    intermediate             the cgroup exists; joins it, then leaves the host's namespaces
    attach   main, on the host        init's PID is known, and init waits
    isolate  init, PID 1 inside       new namespaces, the old mounts: builds the root, pivots
    confine  init                     the new root is "/": gives up every right, becomes the program

The order within is meaning. These hold, and tests say so:

 1. The cgroup is joined before the cgroup namespace is made (its root is where the process is then)
    and before anything of the image runs.
 2. Propagation is cut before the first mount, or the host would see it.
 3. Every mount whose source lies on the host comes before the pivot; afterwards there is no host.
 4. The user is looked up after the pivot, in the container's files, not the host's.
 5. Masks come after all mounts (a mount could uncover what a mask hides) and before the
    capability to mount is given up. A read-only root is last of these.
 6. The bounding set is dropped while CAP_SETPCAP is there, the user changes while CAP_SETUID is,
    and the capabilities themselves go last.
 7. Descriptors are marked for closing right before execve, when nobody opens any more.

Any step that fails ends the start; nothing runs half-confined.

See: https://github.com/opencontainers/runtime-spec/blob/main/runtime.md#lifecycle
"""

from __future__ import annotations

from minidock.isolation.capabilities import plan_capabilities
from minidock.isolation.cgroups.common import plan_cgroups
from minidock.isolation.devices import plan_devices
from minidock.isolation.keyring import NewSessionKeyring
from minidock.isolation.mounts import SetPropagation, plan_mounts, plan_restrictions
from minidock.isolation.namespaces import (
    CLONE_FLAGS,
    BecomeUndumpable,
    JoinNamespaces,
    plan_identity,
    plan_unshare,
)
from minidock.isolation.overlay import plan_rootfs
from minidock.isolation.pivot import PivotRoot
from minidock.isolation.process import (
    CloseDescriptors,
    DieWithMonitor,
    EnterWorkingDirectory,
    Execute,
    ExecuteUnderInit,
    ResetSignals,
    SetUmask,
)
from minidock.isolation.sysctl import plan_sysctl
from minidock.isolation.terminal import ConnectStdio, NewSession, OpenTerminal, OwnStdio
from minidock.isolation.user import BecomeUser, LookUpUser, TakeNumbers
from minidock.linux.flags import CloneFlag
from minidock.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from minidock.linux.host import HostFacts
    from minidock.spec.runtime import Namespace, Process, Spec
    from minidock.step import Step

INIT_ANNOTATION = "minidock.init"  # "true": stay as PID 1 beside the program (`--init`)


class ContainerPlan(Record):
    """All Steps of one start, by phase."""

    prepare: tuple[Step, ...]
    enter: tuple[Step, ...]
    attach: tuple[Step, ...]
    isolate: tuple[Step, ...]
    confine: tuple[Step, ...]


def plan_container(
    container_id: str, spec: Spec, facts: HostFacts, stdio: tuple[int, int, int]
) -> ContainerPlan:
    """Plan the start of a container. `stdio` are the descriptors that become 0, 1 and 2 where the
    process has no terminal. Raises `StartFailed` for what this host cannot give."""
    cgroup = plan_cgroups(spec, facts.cgroups)
    process = spec.process
    return ContainerPlan(
        prepare=(*cgroup.prepare,),
        enter=(*cgroup.join, *plan_unshare(spec)),
        attach=(),
        isolate=(
            SetUmask(0),
            SetPropagation(),
            *plan_rootfs(spec),
            *plan_mounts(spec, facts.cgroups),
            *plan_devices(spec),
            *plan_sysctl(spec),
            *plan_identity(spec),
            PivotRoot(spec.root_path),
        ),
        confine=(
            NewSession(),
            *_plan_stdio(process, stdio, console=True),
            NewSessionKeyring(container_id),
            _plan_user(process),
            EnterWorkingDirectory(process.cwd),
            *plan_restrictions(spec),
            *_plan_surrender(process, facts),
            _plan_execute(spec),
        ),
    )


def plan_exec(
    init: int,
    cgroup_join: tuple[Step, ...],
    namespaces: tuple[Namespace, ...],
    process: Process,
    facts: HostFacts,
    stdio: tuple[int, int, int],
) -> ContainerPlan:
    """Plan one more process in the running container whose init is the process `init`."""
    flags = CloneFlag(0)
    for namespace in namespaces:
        flags |= CLONE_FLAGS[namespace.kind]
    return ContainerPlan(
        prepare=(),
        enter=(*cgroup_join, BecomeUndumpable(), JoinNamespaces(init, flags)),
        attach=(),
        isolate=(),
        confine=(
            NewSession(),
            *_plan_stdio(process, stdio, console=False),
            NewSessionKeyring("exec"),
            _plan_user(process),
            EnterWorkingDirectory(process.cwd, make=False),
            *_plan_surrender(process, facts),
            Execute(process.args, process.env),
        ),
    )


def _plan_stdio(
    process: Process, stdio: tuple[int, int, int], *, console: bool
) -> tuple[Step, ...]:
    if process.terminal:
        rows, columns = process.console_size
        return (OpenTerminal(rows, columns, console),)
    return (ConnectStdio(*stdio),)


def _plan_user(process: Process) -> Step:
    user = process.user
    if user.username or not user.uid:
        return LookUpUser(user.username)
    return TakeNumbers(user.uid, user.gid, user.additional_gids)


def _plan_surrender(process: Process, facts: HostFacts) -> tuple[Step, ...]:
    """Give up rights, in the one order in which each step is still allowed."""
    bounding, own = plan_capabilities(
        process.capabilities, facts.capabilities, facts.last_capability
    )
    return (
        OwnStdio(),
        SetUmask(process.user.umask),
        bounding,
        BecomeUser(),
        own,
        ResetSignals(),
        CloseDescriptors(),
        DieWithMonitor(),
    )


def _plan_execute(spec: Spec) -> Step:
    kind = ExecuteUnderInit if dict(spec.annotations).get(INIT_ANNOTATION) == "true" else Execute
    return kind(spec.process.args, spec.process.env)
