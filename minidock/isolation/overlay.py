"""overlayfs: many read-only layers and one writable directory, seen as one tree.

An image's layers are directories that never change. overlayfs stacks them: a name is looked up from
the top layer downwards, and the first hit counts. On top lies the container's own `upperdir`.
Writing to a file of a lower layer copies it up first; deleting one leaves a *whiteout* in upperdir,
a character device numbered 0:0. So upperdir always holds exactly what this container changed, and
`diff` and `commit` have only to read it. `workdir`, on the same filesystem, is where overlayfs
prepares a file before it renames it into place.

The mount is made in the container's own mount namespace: when the last process in there is gone the
kernel unmounts it, whatever happened to us.

See: https://docs.kernel.org/filesystems/overlayfs.html, mount(2)
"""

from __future__ import annotations

import os

from minidock.errors import BadJSON
from minidock.isolation.mount_options import parse_options
from minidock.linux.flags import MountFlag
from minidock.spec.overlay import escape, split_layers, unescape
from minidock.step import Step

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import ClassVar

    from minidock.linux.kernel import Kernel
    from minidock.spec.runtime import Spec
    from minidock.step import Context

NO_FLAGS = MountFlag(0)
_DIRECTORIES = ("lowerdir", "upperdir", "workdir")
PAGE = 4096  # mount(2) copies one page of option text and no more


class MountOverlay(Step):
    """Stack the image's layers and the container's own directory.

    With `workdir_of_mount` the lower layers are named relative to that directory, which becomes
    the working directory first: with 127 layers their full names would not fit into one page.
    """

    target: str
    lowerdirs: tuple[str, ...]
    upperdir: str
    workdir: str
    flags: MountFlag = NO_FLAGS
    extra: str = ""
    stand_in: str = ""
    see: ClassVar[tuple[str, ...]] = ("mount(2)", "Documentation/filesystems/overlayfs.rst")

    def describe(self) -> str:
        layers = "one read-only layer" if len(self.lowerdirs) == 1 else "read-only layers"
        count = "" if len(self.lowerdirs) == 1 else f"{len(self.lowerdirs)} "
        if not self.upperdir:
            return f"stack {count}{layers} at {self.target}"
        return f"stack {count}{layers} below the container's own writable directory"

    def data(self) -> str:
        """The option text; ':' separates layers and ',' options, so both are escaped in names."""
        names = [os.path.relpath(d, self.stand_in) if self.stand_in else d for d in self.lowerdirs]
        lower = ":".join(escape(name) for name in names)
        options = [f"lowerdir={lower}"]
        if self.upperdir:  # without it the stack can only be read
            options.append(f"upperdir={escape(self.upperdir)}")
            options.append(f"workdir={escape(self.workdir)}")
        return ",".join(options + ([self.extra] if self.extra else []))

    def apply(self, kernel: Kernel, ctx: Context) -> None:
        if self.stand_in:
            kernel.chdir(self.stand_in)
        kernel.mount("overlay", self.target, "overlay", self.flags, self.data())


def plan_overlay(
    target: str,
    lowerdirs: tuple[str, ...],
    upperdir: str,
    workdir: str,
    flags: MountFlag = NO_FLAGS,
    extra: str = "",
) -> MountOverlay:
    """The mount, with relative names for the layers where full ones would be too long."""
    step = MountOverlay(target, lowerdirs, upperdir, workdir, flags, extra)
    if len(os.fsencode(step.data())) >= PAGE:
        return step.but(stand_in=os.path.commonpath(lowerdirs))
    return step


def plan_root_overlay(spec: Spec) -> MountOverlay | None:
    """The root filesystem as the spec's first mount describes it; None where it has none at "/"."""
    if not spec.mounts or spec.mounts[0].destination != "/" or spec.mounts[0].kind != "overlay":
        return None
    words = spec.mounts[0].options
    named = {key: value for key, _, value in (o.partition("=") for o in words)}
    if any(key not in named for key in _DIRECTORIES):
        raise BadJSON(f"config.json: mounts[0].options lacks one of {', '.join(_DIRECTORIES)}")
    options = parse_options(tuple(o for o in words if o.partition("=")[0] not in _DIRECTORIES))
    return plan_overlay(
        spec.root_path,
        split_layers(named["lowerdir"]),
        unescape(named["upperdir"]),
        unescape(named["workdir"]),
        options.flags,
        ",".join(options.data),
    )
