"""Kernel settings that belong to a namespace, and so to one container.

Most of /proc/sys is the whole machine's and stays read-only. A few files under it speak of the
namespace of the process that opens them; these may be set per container, while /proc/sys can still
be written.

See: proc(5), namespaces(7), ip(7)
"""

from __future__ import annotations

import os

from minidock.linux.inroot import open_in_root
from minidock.step import Step

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import ClassVar

    from minidock.linux.kernel import Kernel
    from minidock.spec.runtime import Spec
    from minidock.step import Context


class SetSysctl(Step):
    """Write one value below /proc/sys of the container's own /proc."""

    name: str
    value: str
    see: ClassVar[tuple[str, ...]] = ("proc(5)", "ip(7)")

    def describe(self) -> str:
        return f"set {self.name} to {self.value!r} in the container's namespaces"

    def apply(self, kernel: Kernel, ctx: Context) -> None:
        path = "/proc/sys/" + self.name.replace(".", "/")
        fd = open_in_root(kernel, ctx.root, path, os.O_WRONLY)
        try:
            kernel.write(fd, self.value.encode())
        finally:
            kernel.close(fd)


def plan_sysctl(spec: Spec) -> list[Step]:
    """One write per setting, in the spec's order."""
    return [SetSysctl(name, value) for name, value in spec.sysctl]
