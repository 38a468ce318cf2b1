"""What it takes to start a container, as a list. Read this first.

A container is a process that was changed in a certain order before it became somebody's program.
This file is that order; everything else explains or applies it.

    phase    which process            what it may count on
    ───────  ───────────────────────  ──────────────────────────────────────────────────────────
    prepare  main, on the host        nothing exists yet
    enter    intermediate             the cgroup exists; joins it, then leaves the host's namespaces
    grant    main, on the host        new users or clocks are there, and intermediate waits
    attach   main, on the host        init's PID is known, and init waits
    isolate  init, PID 1 inside       new namespaces, the old mounts: builds the root, pivots
    confine  init                     the new root is "/": gives up every right, becomes the program

The order within is meaning. These hold, and tests say so:

 1. The cgroup is joined before the cgroup namespace is made (its root is where the process is then)
    and before anything of the image runs. (On v2 init is born in it, and makes that namespace.)
 2. Propagation is cut before the first mount, or the host would see it.
 3. Every mount whose source lies on the host comes before the pivot; afterwards there is no host.
 4. The user is looked up after the pivot, in the container's files, not the host's.
 5. Masks come after all mounts (a mount could uncover what a mask hides) and before the
    capability to mount is given up. A read-only root is last of these.
 6. The bounding set is dropped while CAP_SETPCAP is there, the user changes while CAP_SETUID is,
    and the capabilities themselves go last.
 7. The filter of system calls is loaded while CAP_SYS_ADMIN is there; a process that can gain no
    new privileges needs none for it, and loads it last, when it has no call left to make but one.
 8. Descriptors are marked for closing right before execve, when nobody opens any more.
 9. Namespaces to join are opened while paths are the host's. They are entered with the host's
    rights, then the user namespace, and the others are made inside it, so that its root owns them.
10. No program of a container can trace a process of ours that has entered any namespace.
11. What only the host's root may do comes before the user namespace (the oom score, the owner of
    pipes, all that is mounted from the host) or is done by main (ids, clocks, limits).
12. Limits are set when there is nothing left to open, and before CAP_SYS_RESOURCE goes.
13. In a mount namespace that is not the container's own nothing is mounted, and no root exchanged.
14. Ports of the host are taken before all else: where one is taken already, nothing has begun. The
    cable into a network namespace comes when there is one; what lies inside is configured there.

Any step that fails ends the start; nothing runs half-confined.

See: https://github.com/opencontainers/runtime-spec/blob/main/runtime.md#lifecycle
"""

from __future__ import annotations

from minidock.isolation.cgroups.common import plan_cgroups
from minidock.isolation.devices import plan_devices
from minidock.isolation.idmap import plan_grant, plan_pipes
from minidock.isolation.keyring import NewSessionKeyring
from minidock.isolation.mounts import plan_mounts
from minidock.isolation.namespaces import Unshare, plan_enter, plan_identity, plan_open
from minidock.isolation.pivot import plan_become_root
from minidock.isolation.process import EnterWorkingDirectory, Execute, SetUmask
from minidock.isolation.restrictions import plan_restrictions
from minidock.isolation.rootfs import plan_rootfs
from minidock.isolation.seccomp.install import plan_seccomp
from minidock.isolation.sysctl import plan_sysctl
from minidock.isolation.terminal import NewSession
from minidock.linux.flags import CloneFlag
from minidock.runtime.attributes import plan_first, plan_limits
from minidock.runtime.await_start import plan_await, plan_hold
from minidock.runtime.hooks import plan_before_pivot, plan_before_program, plan_meeting
from minidock.runtime.manner import MONITORED
from minidock.runtime.surrender import plan_stdio, plan_surrender, plan_user
from minidock.runtime.validate import check_spec
from minidock.step import ContainerPlan as ContainerPlan

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from minidock.linux.host import HostFacts
    from minidock.runtime.manner import Manner
    from minidock.spec.runtime import Spec
    from minidock.step import Step

INIT_ANNOTATION = "minidock.init"  # "true": stay as PID 1 beside the program (`--init`)


def plan_container(
    container_id: str,
    spec: Spec,
    facts: HostFacts,
    stdio: tuple[int, int, int],
    manner: Manner = MONITORED,
) -> ContainerPlan:
    """Plan the start of a container. `stdio` are the descriptors that become 0, 1 and 2 where the
    process has no terminal. Raises `StartFailed` for what this host cannot give."""
    check_spec(spec, facts)
    cgroup = plan_cgroups(spec, facts.cgroups)
    mounts = plan_mounts(spec, facts.cgroups)
    if manner.shared_memory:
        from minidock.isolation.shared_memory import share_memory

        share_memory(mounts, manner.shared_memory)
    root_outside, root_inside = _plan_root(spec)
    process = spec.process
    seccomp = plan_seccomp(spec, process, facts, manner.hook_state, "creating")
    return ContainerPlan(
        prepare=(*manner.prepare, *cgroup.prepare, *mounts.prepared),
        enter=(
            *plan_hold(manner),
            *seccomp.enter,
            *plan_open(spec),
            *plan_pipes(spec, process, stdio),
            *plan_first(process),
            *cgroup.join,
            *mounts.sources,
            *root_outside,
            *plan_enter(spec, later=cgroup.namespace_later),
        ),
        grant=plan_grant(spec),
        attach=(
            *(plan_limits(process, from_outside=True) if spec.has_namespace("user") else ()),
            *manner.attach,
        ),
        isolate=(
            *((Unshare(CloneFlag.CLONE_NEWCGROUP),) if cgroup.namespace_later else ()),
            SetUmask(0),
            *root_inside,
            *mounts.mounts,
            *plan_devices(spec),
            *plan_sysctl(spec),
            *plan_identity(spec),
            *manner.inside,
            *plan_before_pivot(spec, manner),
            *plan_become_root(spec, pivot=manner.pivot),
        ),
        confine=(
            NewSession(),
            *plan_stdio(process, stdio, console=spec.makes_namespace("mount")),
            *((NewSessionKeyring(container_id),) if manner.new_keyring else ()),
            plan_user(process),
            EnterWorkingDirectory(process.cwd),
            *mounts.readonly,
            *plan_restrictions(spec),
            *plan_surrender(spec, process, facts, manner, seccomp.early),
            *plan_await(process, manner),
            *plan_before_program(spec, manner),
            *seccomp.last,
            _plan_execute(spec),
        ),
        meet=plan_meeting(spec, manner),
    )


def _plan_root(spec: Spec) -> tuple[Sequence[Step], Sequence[Step]]:
    """What is done for the root filesystem outside the namespaces, and what inside."""
    if spec.has_namespace("user") and spec.makes_namespace("mount"):
        from minidock.isolation.staged_root import plan_staged_root  # seldom wanted

        staged = plan_staged_root(spec)
        return staged.outside, staged.inside
    return (), plan_rootfs(spec)


def _plan_execute(spec: Spec) -> Step:
    if dict(spec.annotations).get(INIT_ANNOTATION) == "true":
        from minidock.isolation.reaper import ExecuteUnderInit  # seldom wanted, and heavy

        return ExecuteUnderInit(spec.process.args, spec.process.env)
    return Execute(spec.process.args, spec.process.env)
