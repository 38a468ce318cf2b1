"""How a process gives up what makes it the host's: the same for a container's init and an `exec`.

The order is that of need: each step is still allowed by what the later ones take away. plan.py
states it as invariants 4 to 8.
"""

from __future__ import annotations

from minidock.isolation.capabilities import plan_capabilities
from minidock.isolation.process import (
    CloseDescriptors,
    DieWithMonitor,
    ForbidNewPrivileges,
    ResetSignals,
    SetUmask,
)
from minidock.isolation.terminal import ConnectStdio, OpenTerminal, OwnStdio, ReopenNull
from minidock.isolation.user import BecomeUser, LookUpUser, TakeNumbers
from minidock.runtime.attributes import plan_kind, plan_limits

TYPE_CHECKING = False
if TYPE_CHECKING:
    from minidock.linux.host import HostFacts
    from minidock.runtime.manner import Manner
    from minidock.spec.runtime import Process, Spec
    from minidock.step import Step


def plan_stdio(process: Process, stdio: tuple[int, int, int], *, console: bool) -> tuple[Step, ...]:
    """A terminal of its own, or the descriptors that become 0, 1 and 2. Only a container's first
    process has a `console`, and its own /dev/null, too: so it is with runc."""
    if process.terminal:
        rows, columns = process.console_size
        return (OpenTerminal(rows, columns, console),)
    connect = ConnectStdio(*stdio)
    return (connect, ReopenNull()) if console else (connect,)


def plan_user(process: Process) -> Step:
    """Who it will be: a name to look up in the container, or numbers as the spec gives them."""
    user = process.user
    if user.username or user.groupnames:
        return LookUpUser(user.username, user.groupnames)
    return TakeNumbers(user.uid, user.gid, user.additional_gids)


def plan_surrender(
    spec: Spec,
    process: Process,
    facts: HostFacts,
    manner: Manner,
    install_filter: tuple[Step, ...] = (),
) -> tuple[Step, ...]:
    """Give up rights, in the one order in which each step is still allowed. `process` is a process
    of the container `spec`; `install_filter` wants CAP_SYS_ADMIN."""
    available = facts.capabilities
    users = spec.has_namespace("user")
    if users:
        available = (2 << facts.last_capability) - 1  # all, over what belongs to the namespace
    bounding, own = plan_capabilities(process.capabilities, available, facts.last_capability)
    return (
        OwnStdio(),
        SetUmask(process.user.umask),
        *plan_kind(spec, process, facts),
        ResetSignals(),
        # Those of a container with users of its own were set by main, see rlimits.py.
        *(() if users else plan_limits(process, from_outside=False)),
        *((ForbidNewPrivileges(),) if process.no_new_privileges else ()),
        bounding,
        *install_filter,
        BecomeUser(),
        *own,
        CloseDescriptors(manner.preserved),
        *((DieWithMonitor(),) if manner.monitored else ()),
    )
