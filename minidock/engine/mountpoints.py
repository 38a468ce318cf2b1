"""The places a container needs in its root filesystem, and an image may lack.

/proc, /sys, /dev and three files in /etc are mounted over, so they must exist; and programs look
for two more names that Docker puts into every container, /.dockerenv and /etc/mtab. Making them in
the container's own writable directory would show them in `diff` and put them into every `commit`.
So they are made once per image, in a thin read-only layer that lies between the image and the
container.

It is made as the container would see it: with the image's layers stacked, in a mount namespace of
a child, so that an /etc that is a link, or has an unusual owner, stays what it is.

See: mount(2), https://docs.kernel.org/filesystems/overlayfs.html
"""

from __future__ import annotations

import os
from _thread import get_native_id

from minidock.errors import StoreError
from minidock.linux.private import make_private

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

DIRECTORIES = ("/proc", "/sys", "/dev")
FILES = ("/etc/hosts", "/etc/hostname", "/etc/resolv.conf")
DOCKERENV = "/.dockerenv"  # empty; by it programs know that they are in a container


def mountpoint_layer(root: str, chain: str, lowerdirs: Sequence[str]) -> tuple[str, ...]:
    """The layer to put on top of `lowerdirs`: one directory, or none where nothing is missing.

    `chain` is the hex ChainID of the image's layers, which names the result. Raises `StoreError`.
    """
    home = f"{root}/mountpoints/{chain}"
    if not os.path.isdir(home):
        _make(home, lowerdirs)
    layer = f"{home}/fs"
    return (layer,) if os.listdir(layer) else ()


def _make(home: str, lowerdirs: Sequence[str]) -> None:
    from minidock.engine.removal import remove_tree

    # A number of this thread's: stages of a build begin at the same time with the same image.
    temporary = f"{home}.{get_native_id()}.tmp"
    make_private(os.path.dirname(home))
    remove_tree(temporary)  # of a killed command that had our number
    try:
        for name in ("", "/fs", "/work", "/merged"):
            os.mkdir(temporary + name, 0o700)
        top = os.stat(lowerdirs[0])
        os.chmod(f"{temporary}/fs", top.st_mode & 0o7777)
        os.chown(f"{temporary}/fs", top.st_uid, top.st_gid)
        _fill_in_child(temporary, lowerdirs)
        for name in ("work", "merged"):
            remove_tree(f"{temporary}/{name}")
        os.rename(temporary, home)
    except BaseException as error:
        remove_tree(temporary)
        if not (isinstance(error, OSError) and os.path.isdir(home)):  # another command was faster
            raise


def _fill_in_child(temporary: str, lowerdirs: Sequence[str]) -> None:
    child = os.fork()
    if child == 0:
        code = 1
        try:
            _fill(temporary, lowerdirs)
            code = 0
        finally:
            os._exit(code)
    if os.waitpid(child, 0)[1] != 0:
        raise StoreError(f"cannot stack the image's layers in {temporary}")


def _fill(temporary: str, lowerdirs: Sequence[str]) -> None:
    """In a child: mount in a namespace of our own, then make what is not there."""
    from minidock.isolation.overlay import plan_overlay
    from minidock.isolation.rootfs import SetPropagation
    from minidock.linux.flags import CloneFlag
    from minidock.linux.inroot import make_directory, make_file
    from minidock.linux.kernel import LinuxKernel
    from minidock.step import Context, execute

    kernel, ctx = LinuxKernel(), Context()
    kernel.unshare(CloneFlag.CLONE_NEWNS)
    overlay = plan_overlay(
        f"{temporary}/merged", tuple(lowerdirs), f"{temporary}/fs", f"{temporary}/work"
    )
    execute([SetPropagation(), overlay], kernel, ctx)
    os.umask(0o022)
    root = os.open(f"{temporary}/merged", os.O_PATH | os.O_DIRECTORY)
    for make, paths in ((make_directory, DIRECTORIES), (make_file, FILES)):
        for path in paths:
            try:
                os.close(make(kernel, root, path))
            except OSError:
                continue  # a file where a directory belongs: the container's start will say so
    try:
        os.close(make_file(kernel, root, DOCKERENV, 0o755))
        etc = make_directory(kernel, root, "/etc")
        os.symlink("/proc/mounts", "mtab", dir_fd=etc)
        os.close(etc)
    except OSError:
        pass  # the image has its own
