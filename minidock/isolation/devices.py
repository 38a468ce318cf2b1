"""/dev: the few devices every program may expect.

A container gets no device of the machine, only the kernel's own: null, zero, full, the random
sources, and `tty`, which stands for whatever terminal a process has; the specification wants these
in every container, and others by name. They are made by mknod(2), one by one, as a rule in an empty
tmpfs. That the container cannot simply make more of them, such as the host's disk, is the business
of the cgroup's device list (isolation/cgroups).

In a user namespace nobody may make device nodes, so there the host's own are shown, each a bind
mount of one file. What is shown is looked at first: it has to be the device that was asked for.

A /dev that is bound from elsewhere is taken as it is.

See: mknod(2), null(4), random(4), tty(4), pts(4),
https://github.com/opencontainers/runtime-spec/blob/main/config-linux.md#default-devices
"""

from __future__ import annotations

import os
import stat

from minidock.errors import StartFailed
from minidock.isolation.detached import attach, clone_tree
from minidock.isolation.mount_target import plain_path
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
_BINDS = frozenset(("bind", "rbind"))

DEFAULT_DEVICES = (
    Device("/dev/null", "c", 1, 3),
    Device("/dev/zero", "c", 1, 5),
    Device("/dev/full", "c", 1, 7),
    Device("/dev/random", "c", 1, 8),
    Device("/dev/urandom", "c", 1, 9),
    Device("/dev/tty", "c", 5, 0),
)
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
                _make_node(kernel, directory, name, device)
            finally:
                kernel.close(directory)


def _make_node(kernel: Kernel, directory: int, name: str, device: Device) -> None:
    number = os.makedev(device.major, device.minor)
    try:
        kernel.mknodat(directory, name, _KINDS[device.kind] | device.mode, number)
    except FileExistsError:
        there = kernel.openat(directory, name, os.O_PATH | os.O_NOFOLLOW)
        try:
            check_device(kernel, there, device)
        finally:
            kernel.close(there)
        return
    if device.uid or device.gid:
        kernel.fchownat(directory, name, device.uid, device.gid)


def check_device(kernel: Kernel, fd: int, device: Device) -> None:
    """Raise `StartFailed` if `fd` is open on anything but this device."""
    about = kernel.fstat(fd)
    same_kind = stat.S_IFMT(about.st_mode) == _KINDS[device.kind]
    if same_kind and (device.kind == "p" or about.st_rdev == _number(device)):
        return
    raise StartFailed(
        f"{device.path} is there already and is not the device {device.major}:{device.minor}"
    )


def _number(device: Device) -> int:
    return os.makedev(device.major, device.minor)


class BindDevice(Step):
    """Show one device node of the host's; for a container in a user namespace."""

    device: Device
    see: ClassVar[tuple[str, ...]] = ("mknod(2)", "user_namespaces(7)", "open_tree(2)")

    def describe(self) -> str:
        return f"show the host's {self.device.path}: in a user namespace none can be made"

    def apply(self, kernel: Kernel, ctx: Context) -> None:
        parent, _, name = self.device.path.rpartition("/")
        node = clone_tree(kernel, self.device.path, recursive=False)
        try:
            check_device(kernel, node, self.device)
            directory = make_directory(kernel, ctx.root, parent or "/")
            try:
                target = place_for_node(kernel, directory, name)
                attach(kernel, node, target)
                kernel.close(target)
            finally:
                kernel.close(directory)
        finally:
            kernel.close(node)


def place_for_node(kernel: Kernel, directory: int, name: str) -> int:
    """An O_PATH descriptor of a file that is no link, made where it is missing."""
    try:
        kernel.close(kernel.openat(directory, name, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
    except FileExistsError:
        pass
    place = kernel.openat(directory, name, os.O_PATH | os.O_NOFOLLOW)
    if stat.S_ISLNK(kernel.fstat(place).st_mode):
        kernel.close(place)
        raise StartFailed(f"{name} in /dev is a symbolic link: refusing to mount a device on it")
    return place


class LinkDevices(Step):
    """The symbolic links that programs expect beside the devices.

    What is there already stays: where /dev is no filesystem of the container's own it may be the
    host's, and a `ptmx` that is a device leads to the same terminals.
    """

    links: tuple[tuple[str, str], ...] = LINKS
    see: ClassVar[tuple[str, ...]] = ("symlink(2)", "pts(4)")

    def describe(self) -> str:
        return "link /dev/stdin, stdout, stderr and fd to the process's own, and ptmx to its pts"

    def apply(self, kernel: Kernel, ctx: Context) -> None:
        directory = make_directory(kernel, ctx.root, "/dev")
        try:
            for target, name in self.links:
                try:
                    kernel.symlinkat(target, directory, name)
                except FileExistsError:
                    continue
        finally:
            kernel.close(directory)


def plan_devices(spec: Spec) -> list[Step]:
    """Nodes and links, unless /dev is bound from elsewhere."""
    for mount in spec.mounts:
        is_bind = mount.kind == "bind" or not _BINDS.isdisjoint(mount.options)
        if is_bind and plain_path(mount.destination) == "/dev":
            return []
    named = {plain_path(device.path) for device in spec.devices}
    missing = (device for device in DEFAULT_DEVICES if device.path not in named)
    devices = (*spec.devices, *missing)
    if not spec.has_namespace("user"):
        return [MakeDevices(devices), LinkDevices()]
    fifos = tuple(device for device in devices if device.kind == "p")
    return [
        *(BindDevice(device) for device in devices if device.kind != "p"),
        *([MakeDevices(fifos)] if fifos else []),
        LinkDevices(),
    ]
