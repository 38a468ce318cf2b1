"""pivot_root: another directory becomes "/", and the old one goes away.

chroot(2) only changes where a process starts to look up names; the old tree stays mounted, and a
process with enough rights climbs back out. pivot_root(2) exchanges the root *mount* of the mount
namespace, so that the old tree can be unmounted: afterwards no path whatever leads to the host's
files, because in this namespace they no longer exist.

The call wants a place inside the new root to put the old one. Given "." for both it stacks the old
root on top of the new one at the same spot, and unmounting "." takes it off again: no directory
needs to be made in the container's root, which may be read-only.

See: pivot_root(2), which describes this use under NOTES
"""

from __future__ import annotations

from minidock.linux.flags import UmountFlag
from minidock.step import Step

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import ClassVar

    from minidock.linux.kernel import Kernel
    from minidock.step import Context


class PivotRoot(Step):
    """Make `new_root` the root of this mount namespace, and let go of the old root."""

    new_root: str
    see: ClassVar[tuple[str, ...]] = ("pivot_root(2)", "umount2(2)")

    def describe(self) -> str:
        return "make the container's filesystem the root, and unmount the host's"

    def apply(self, kernel: Kernel, ctx: Context) -> None:
        # By descriptor, not by name: this is the very mount that all others were made upon.
        kernel.fchdir(ctx.root)
        kernel.pivot_root(".", ".")
        # Lazily: the interpreter and its libraries are still mapped from the old root.
        kernel.umount2(".", UmountFlag.MNT_DETACH)
        kernel.chdir("/")
        kernel.close(ctx.root)
