"""Attributes of a process that most containers do not ask for.

Each has a file of its own in isolation/, which is imported here, while planning, and only where
something is asked for: a start takes some twenty milliseconds, and each such file a tenth of one.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from minidock.linux.host import HostFacts
    from minidock.spec.runtime import Process, Spec
    from minidock.step import Step


def plan_first(process: Process) -> tuple[Step, ...]:
    """What needs the host's rights, and comes before any namespace is entered."""
    if process.oom_score_adj is None:
        return ()
    from minidock.isolation.oom import plan_oom_score

    return plan_oom_score(process)


def plan_limits(process: Process, *, from_outside: bool) -> tuple[Step, ...]:
    """Resource limits. Raises `StartFailed` for what is none."""
    if not process.rlimits:
        return ()
    from minidock.isolation.rlimits import plan_rlimits

    return plan_rlimits(process, from_outside=from_outside)


def plan_kind(spec: Spec, process: Process, facts: HostFacts) -> tuple[Step, ...]:
    """Labels, personality, scheduling: what kind of process it will be. Raises `StartFailed`."""
    steps: tuple[Step, ...] = ()
    if process.apparmor_profile or process.selinux_label:
        from minidock.isolation.lsm import plan_labels

        steps += plan_labels(process, facts)
    if spec.personality:
        from minidock.isolation.personality import plan_personality

        steps += plan_personality(spec)
    if process.scheduler or process.io_priority:
        from minidock.isolation.scheduling import plan_scheduling

        steps += plan_scheduling(process)
    return steps
