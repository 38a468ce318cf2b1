"""The two ways to leave the host's root behind, by the calls they make."""

from __future__ import annotations

from typing import Any

from minidock.isolation.pivot import MoveRoot, PivotRoot
from minidock.linux.recording import RecordingKernel
from minidock.step import Context

MOUNTINFO = b"""\
22 27 0:21 / /proc rw - proc proc rw
23 27 0:22 / /sys rw - sysfs sysfs rw
27 1 254:0 / / rw - ext4 /dev/vda rw
31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw
40 27 0:21 / /srv/a\\040b rw - proc proc rw
50 27 0:41 / /b/rootfs/proc rw - proc proc rw
51 27 0:41 / /b/rootfs2/proc rw - proc proc rw
"""


class Kernel(RecordingKernel):
    """Has these mounts, of which one is locked to its parent."""

    def __init__(self) -> None:
        super().__init__()
        self.unread = MOUNTINFO

    def answer(self, name: str, args: tuple[Any, ...]) -> Any:
        if name == "read":
            content, self.unread = self.unread, b""
            return content
        if name == "umount2" and args[0] == "/sys":
            raise OSError(22, "Invalid argument")
        return super().answer(name, args)


def calls(step: MoveRoot | PivotRoot) -> list[str]:
    kernel = Kernel()
    step.apply(kernel, Context())
    return [str(call) for call in kernel.calls]


def test_without_pivot_the_hosts_proc_and_sys_go_first() -> None:
    made = calls(MoveRoot("/b/rootfs"))
    gone = [call for call in made if call.startswith("umount2") or '"tmpfs"' in call]
    assert gone == [
        'umount2("/b/rootfs2/proc", MNT_DETACH)',
        'umount2("/srv/a b", MNT_DETACH)',
        'umount2("/sys", MNT_DETACH) = -1 EINVAL (Invalid argument)',
        'mount("tmpfs", "/sys", "tmpfs", MS_RDONLY, NULL)',
        'umount2("/proc", MNT_DETACH)',
    ]
    assert made.index(gone[-1]) < made.index('mount(".", "/", NULL, MS_MOVE, NULL)')
    assert made[-3:-1] == ['chroot(".")', 'chdir("/")']


def test_a_connected_root_is_cut_off_before_it_is_unmounted() -> None:
    made = calls(PivotRoot("/b/rootfs", connected=True))
    pivot, cut = made.index('pivot_root(".", ".")'), 'mount(NULL, ".", NULL, MS_REC|MS_SLAVE, NULL)'
    assert made[pivot + 1].startswith("fchdir(")
    assert pivot < made.index(cut) < made.index('umount2(".", MNT_DETACH)')
    assert cut not in calls(PivotRoot("/b/rootfs"))
