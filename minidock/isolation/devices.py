"""/dev: the few devices every program may expect.

A container gets no device of the machine, only the kernel's own: null, zero, full, the random
sources, and `tty`, which stands for whatever terminal a process has. They are made in an empty
tmpfs by mknod(2), one by one. That the container cannot simply make more of them, such as the
host's disk, is the business of the cgroup's device list (isolation/cgroups).

See: mknod(2), null(4), random(4), tty(4), pts(4)
"""

from __future__ import annotations

import os
import stat

from minidock.linux.inroot import make_directory
from minidock.spec.runtime import Device
from minidock.step import Step

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import ClassVar

    from minidock.linux.kernel import Kernel
    from minidock.spec.runtime import Spec
    from minidock.step import Context

_KINDS = {"c": stat.S_IFCHR, "u": stat.S_IFCHR, "b": stat.S_IFBLK, "p": stat.S_IFIFO}

# What a runtime supplies in any case. config-linux.md, Default Devices
EXPECTED = tuple(
    Device(f"/dev/{name}", "c", major, minor)
    for name, major, minor in (
        ("null", 1, 3), ("zero", 1, 5), ("full", 1, 7), ("random", 1, 8), ("urandom", 1, 9),
        ("tty", 5, 0),
    )
)  # fmt: skip

LINKS = (
    ("pts/ptmx", "ptmx"),
    ("/proc/self/fd", "fd"),
    ("/proc/self/fd/0", "stdin"),
    ("/proc/self/fd/1", "stdout"),
    ("/proc/self/fd/2", "stderr"),
)


class MakeDevices(Step):
    """Fill the container's /dev."""

    devices: tuple[Device, ...]
    see: ClassVar[tuple[str, ...]] = ("mknod(2)", "null(4)", "random(4)", "tty(4)")

    def describe(self) -> str:
        names = ", ".join(device.path.rpartition("/")[2] for device in self.devices)
        return f"make the devices every program may expect: {names}"

    def apply(self, kernel: Kernel, ctx: Context) -> None:
        for device in self.devices:
            parent, _, name = device.path.rpartition("/")
            directory = make_directory(kernel, ctx.root, parent or "/")
            try:
                mode = _KINDS[device.kind] | device.mode
                number = os.makedev(device.major, device.minor)
                kernel.mknodat(directory, name, mode, number)
                if device.uid or device.gid:
                    kernel.fchownat(directory, name, device.uid, device.gid)
            finally:
                kernel.close(directory)


class LinkDevices(Step):
    """The symbolic links that programs expect beside the devices."""

    links: tuple[tuple[str, str], ...] = LINKS
    see: ClassVar[tuple[str, ...]] = ("symlink(2)", "pts(4)")

    def describe(self) -> str:
        return "link /dev/stdin, stdout, stderr and fd to the process's own, and ptmx to its pts"

    def apply(self, kernel: Kernel, ctx: Context) -> None:
        directory = make_directory(kernel, ctx.root, "/dev")
        try:
            for target, name in self.links:
                kernel.symlinkat(target, directory, name)
        finally:
            kernel.close(directory)


def plan_devices(spec: Spec) -> list[Step]:
    """Nodes and links, where the spec mounts a /dev of the container's own."""
    if not any(mount.destination == "/dev" for mount in spec.mounts):
        return []
    given = {device.path for device in spec.devices}
    missing = tuple(device for device in EXPECTED if device.path not in given)
    return [MakeDevices((*missing, *spec.devices)), LinkDevices()]
