"""cgroup v1: one hierarchy for each controller, one file for each wish.

    devices.deny, devices.allow   one rule a write: `a` for everything, or `c 1:3 rwm`
    freezer.state                 FROZEN or THAWED; reading may say FREEZING in between
    tasks                         its threads; writing 0 brings the writing thread in
    cgroup.procs                  its processes

Joining goes through `tasks`, although `cgroup.procs` looks like the right file: writing there makes
the kernel stop all forks of the machine, to catch a process's threads together, and wait for a
grace period of all processors: 10 to 14 ms. Whoever has but one thread can move it alone in 0.05.

See: https://docs.kernel.org/admin-guide/cgroup-v1/, cgroups(7)
"""

from __future__ import annotations

import time

from minidock.isolation.cgroups.control_file import read_control, write_control, write_through
from minidock.step import Step

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import ClassVar

    from minidock.isolation.cgroups.device_policy import DevicePolicy
    from minidock.linux.kernel import Kernel
    from minidock.step import Context

JOIN_FILE = "tasks"


class SetDevices(Step):
    """Write the device policy into the cgroup."""

    directory: str
    policy: DevicePolicy
    see: ClassVar[tuple[str, ...]] = ("cgroups(7)", "mknod(2)")

    def describe(self) -> str:
        return describe_policy(self.policy)

    def apply(self, kernel: Kernel, ctx: Context) -> None:
        default, other = "devices.deny", "devices.allow"
        if self.policy.allow_by_default:
            default, other = other, default
        # A new cgroup has its parent's list; `a` replaces it by a default without exceptions.
        write_through(kernel, f"{self.directory}/{default}", "a")
        if self.policy.exceptions:
            lines = [str(exception) for exception in self.policy.exceptions]
            write_through(kernel, f"{self.directory}/{other}", *lines)


def describe_policy(policy: DevicePolicy) -> str:
    """The sentence for a policy, whichever kernel interface it goes through."""
    default, other = ("allow", "forbid") if policy.allow_by_default else ("forbid", "allow")
    if not policy.exceptions:
        return f"{default} the use of all devices"
    listed = ", ".join(str(exception) for exception in policy.exceptions)
    return f"{default} the use of all devices, but {other} {listed} (r read, w write, m make)"


def freeze(directory: str, timeout: float) -> bool:
    """Stop every process of the cgroup where it is; False if that took longer than `timeout`
    seconds. Then the cgroup is running again."""
    deadline = time.monotonic() + timeout
    pause = 0.0002
    while True:
        # Again each time: a process that was in an uninterruptible wait is tried anew.
        write_control(f"{directory}/freezer.state", "FROZEN")
        if is_frozen(directory):
            return True
        if time.monotonic() > deadline:
            thaw(directory)
            return False
        time.sleep(pause)
        pause = min(2 * pause, 0.02)


def thaw(directory: str) -> None:
    """Let the cgroup's processes go on."""
    write_control(f"{directory}/freezer.state", "THAWED")


def is_frozen(directory: str) -> bool:
    """Whether every process of the cgroup stands still."""
    return read_control(f"{directory}/freezer.state") == "FROZEN\n"
