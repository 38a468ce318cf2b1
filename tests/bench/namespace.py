"""A mount namespace of the bench's own.

The loop filesystem, the overlays that a killed engine leaves and every other mount of a run then
exist nowhere else, and the kernel removes them with the last process of the run: even after a
SIGKILL nothing stays mounted.

It also lets podman run on machines with "hybrid" cgroups. crun refuses to work where cgroup v2 is
mounted beside v1 *and* has controllers of its own (one that no v1 hierarchy took, such as hugetlb).
Hiding the v2 mount from the run makes the machine look like plain v1, for all contestants alike,
and nothing outside notices.

See: mount_namespaces(7), unshare(2), cgroups(7)
"""

from __future__ import annotations

import ctypes
import os
import subprocess

CLONE_NEWNS = 0x00020000
UNIFIED = "/sys/fs/cgroup/unified"


def enter() -> None:
    """Move this process, and so all it will start, to a new mount namespace; raises OSError."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNS):
        raise OSError(ctypes.get_errno(), "unshare: no mount namespace of our own")
    # Otherwise a shared / would carry our mounts to everybody. mount_namespaces(7)
    subprocess.run(["mount", "--make-rprivate", "/"], check=True)


def hide_unified_controllers() -> str:
    """Unmount a hybrid machine's cgroup v2 if it has controllers; says so, or returns ""."""
    try:
        with open(os.path.join(UNIFIED, "cgroup.controllers")) as file:
            controllers = file.read().split()
    except FileNotFoundError:
        return ""
    if not controllers:
        return ""
    subprocess.run(["umount", UNIFIED], check=True)
    return f"hybrid; v2 (controllers: {' '.join(controllers)}) hidden, as crun refuses it"
