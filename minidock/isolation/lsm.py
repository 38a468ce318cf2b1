"""Labels of the kernel's security modules, AppArmor and SELinux.

Such a module asks, at each thing a process does, whether a policy written by the administrator
lets *this kind of program* do it, root or not. The kind is a label on the process: the name of a
profile (AppArmor) or a context such as `system_u:system_r:container_t:s0:c1,c2` (SELinux). A
process says beforehand which label its next execve(2) shall give it, by writing to a file below
/proc/self/attr.

Where a label is asked for on a host without the module the start fails: who asked relies on it.

See: proc_pid_attr(5), apparmor(7), https://docs.kernel.org/admin-guide/LSM/
"""

from __future__ import annotations

import os

from minidock.errors import StartFailed
from minidock.linux.procfs import write_procfs
from minidock.step import Step

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import ClassVar

    from minidock.linux.host import HostFacts
    from minidock.linux.kernel import Kernel
    from minidock.spec.runtime import Process
    from minidock.step import Context


class LabelProgram(Step):
    """Say which label the program will get. `attribute` is below /proc/self/attr."""

    field: str
    attribute: str
    text: str
    see: ClassVar[tuple[str, ...]] = ("proc_pid_attr(5)",)

    def describe(self) -> str:
        return f"have the next execve give the program the security label of {self.text!r}"

    def apply(self, kernel: Kernel, ctx: Context) -> None:
        try:
            write_procfs(kernel, -1, f"self/attr/{self.attribute}", self.text.encode())
        except OSError as error:
            why = os.strerror(error.errno or 0).lower()
            raise StartFailed(f"the kernel refuses {self.field} ({self.text!r}): {why}") from error


def plan_labels(process: Process, facts: HostFacts) -> tuple[Step, ...]:
    """Nothing where the spec says nothing. Raises `StartFailed` for a module that is not there."""
    steps: list[Step] = []
    if process.apparmor_profile:
        field = "process.apparmorProfile"
        if not facts.apparmor:
            raise StartFailed(f"{field} is set, but this host has no AppArmor")
        text = f"exec {process.apparmor_profile}"
        steps.append(LabelProgram(field, facts.apparmor, text))
    if process.selinux_label:
        field = "process.selinuxLabel"
        if not facts.selinux:
            raise StartFailed(f"{field} is set, but this host has no SELinux")
        steps.append(LabelProgram(field, "exec", process.selinux_label))
    return tuple(steps)
