"""cgroup v2: one hierarchy, and files of the same kind everywhere in it.

    cgroup.procs     its processes; writing 0 brings the writing process in
    cgroup.freeze    1 or 0; `frozen` in cgroup.events tells when it has come about
    cgroup.kill      writing 1 kills everything in it, whatever forks meanwhile (Linux 5.14)
    cgroup.events    `populated` and `frozen`; poll(2) reports POLLPRI when they change

Two rules of v2 shape where a container may stand. A cgroup other than the root either holds
processes or hands controllers to its children, never both ("no internal processes"): so `/minidock`
itself stays empty, and containers stand below it. And where systemd runs, it owns the tree: it
leaves alone what it did not make directly below the root, so `/minidock` lies there, as Docker's
`/docker` does.

Joining is dear. To move a process that runs, the kernel stops all forks of the machine, and waits
for a grace period of all processors: 19 ms here, whoever is moved (on v1 a process with one thread
may move itself in 0.1). To be born in a cgroup takes no time: clone3(2) with CLONE_INTO_CGROUP. So
init is; only who comes later, with `exec`, has to move.

There is no file for devices: a program decides, see device_filter.py.

See: https://docs.kernel.org/admin-guide/cgroup-v2.html, cgroups(7), bpf(2)
"""

from __future__ import annotations

import os
import select
import time

from minidock.isolation.cgroups.control_file import read_control, write_control
from minidock.isolation.cgroups.v1 import describe_policy
from minidock.step import Step

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import ClassVar

    from minidock.isolation.cgroups.device_policy import DevicePolicy
    from minidock.linux.kernel import Kernel
    from minidock.step import Context

JOIN_FILE = "cgroup.procs"


class AttachDeviceFilter(Step):
    """Load the device policy as a BPF program and attach it to the cgroup."""

    directory: str
    policy: DevicePolicy
    see: ClassVar[tuple[str, ...]] = ("bpf(2)", "cgroups(7)", "mknod(2)")

    def describe(self) -> str:
        return f"{describe_policy(self.policy)}; a BPF program will decide each time"

    def apply(self, kernel: Kernel, ctx: Context) -> None:
        from minidock.isolation.cgroups.device_filter import assemble, encode
        from minidock.linux.flags import BpfAttachFlag, BpfAttachType, BpfCmd, BpfProgType

        program = assemble(self.policy)
        load: dict[str, int | bytes] = {
            "prog_type": BpfProgType.BPF_PROG_TYPE_CGROUP_DEVICE,
            "insn_cnt": len(program),
            "insns": encode(program),
            "license": b"",  # only programs that call certain kernel functions must name one
        }
        loaded = kernel.bpf(BpfCmd.BPF_PROG_LOAD, load)
        try:
            cgroup = kernel.open(self.directory, os.O_RDONLY | os.O_DIRECTORY)
            try:
                attach: dict[str, int | bytes] = {
                    "target_fd": cgroup,
                    "attach_bpf_fd": loaded,
                    "attach_type": BpfAttachType.BPF_CGROUP_DEVICE,
                    # Others may add programs of theirs; systemd does. All must agree.
                    "attach_flags": BpfAttachFlag.BPF_F_ALLOW_MULTI,
                }
                kernel.bpf(BpfCmd.BPF_PROG_ATTACH, attach)
            finally:
                kernel.close(cgroup)
        finally:
            kernel.close(loaded)


def freeze(directory: str, timeout: float) -> bool:
    """Stop every process of the cgroup where it is; False if that took longer than `timeout`
    seconds. Then the cgroup is running again."""
    deadline = time.monotonic() + timeout
    events = os.open(f"{directory}/cgroup.events", os.O_RDONLY | os.O_CLOEXEC)
    try:
        poll = select.poll()
        poll.register(events, select.POLLPRI)
        write_control(f"{directory}/cgroup.freeze", "1")
        # Reading re-arms the poll: what changes afterwards is reported.
        while "frozen 1" not in os.pread(events, 4096, 0).decode("ascii"):
            left = deadline - time.monotonic()
            if left <= 0:
                thaw(directory)
                return False
            poll.poll(left * 1000)
        return True
    finally:
        os.close(events)


def thaw(directory: str) -> None:
    """Let the cgroup's processes go on."""
    write_control(f"{directory}/cgroup.freeze", "0")


def is_frozen(directory: str) -> bool:
    """Whether every process of the cgroup stands still."""
    return "frozen 1" in read_control(f"{directory}/cgroup.events")


def kill(directory: str) -> bool:
    """Kill every process of the cgroup at once; False on a kernel before 5.14."""
    try:
        write_control(f"{directory}/cgroup.kill", "1")
    except FileNotFoundError:
        return not os.path.isdir(directory)
    return True
