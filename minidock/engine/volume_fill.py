"""An empty volume begins with what the image has at its place.

An image keeps a database's first files in /var/lib/db and declares that path a VOLUME. Mounted over
it, an empty directory would hide them and belong to root. So when a container is made, each of its
volumes that is still empty is filled with what lies there in the image, with owners, modes and all.

What lies there is what the container would see: the layers stacked, and links resolved inside of
them. So a child stacks them in a mount namespace of its own, as for mountpoints.py, and copies from
there. It copies into `filling.new`, beside the volume's data; when that is complete it gets the
name `filling`, and its entries are moved over. Whoever is killed before has changed nothing, and
whoever is killed after is finished by the next one; nobody who has the volume mounted meanwhile
sees half a file, or can put a link where one is about to be written. A volume that is a filesystem
of its own (`-o type=nfs …`) has no beside: it is mounted in the child, and filled in place.

See: moby's daemon/create_unix.go (populateVolumes)
"""

from __future__ import annotations

import fcntl
import os
import resource
import stat

from minidock.engine.mount_point import mount_points
from minidock.errors import InvalidInput, MinidockError, StoreError
from minidock.linux.flags import CloneFlag, Prctl
from minidock.linux.inroot import open_in_root
from minidock.linux.kernel import LinuxKernel

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any

    from minidock.engine.mount_point import MountPoint

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_SIGKILL = 9
_NEW, _READY = "filling.new", "filling"


def fill_volumes(
    directory: str, lowerdirs: Sequence[str], document: Mapping[str, Any]
) -> list[MountPoint]:
    """Fill those volumes of a container that are empty, and return all its mount points. It lies in
    `directory`, stacks `lowerdirs`, and `document` is its container.json.

    Raises `InvalidInput` where a file lies in the place of a volume, `StoreError`.
    """
    points = mount_points(document)
    volumes = [point for point in points if point.copy and not _is_full(point)]
    if not volumes:
        return points
    message = _in_child(lambda: _fill_all(directory, lowerdirs, volumes))
    if message.startswith("!"):
        raise InvalidInput(message[1:])
    if message:
        raise StoreError(message)
    return points


def _is_full(point: MountPoint) -> bool:
    """Whether there is nothing to be done, as far as that can be seen from here."""
    home = os.path.dirname(point.source)
    if (point.options or {}).get("type") or os.path.isdir(f"{home}/{_READY}"):
        return False
    with os.scandir(point.source) as entries:
        return any(entries)


def _in_child(work: Callable[[], None]) -> str:
    """Do it in a child; "", or what went wrong. It does not outlive us: it holds the volumes, too,
    and whoever clears up after us could not remove them."""
    parent = os.getpid()
    reader, writer = os.pipe2(os.O_CLOEXEC)
    child = os.fork()
    if child == 0:
        code = 1
        try:
            LinuxKernel().prctl(Prctl.PR_SET_PDEATHSIG, _SIGKILL)
            if os.getppid() == parent:
                os.write(writer, _attempt(work))
                code = 0
        finally:
            os._exit(code)
    os.close(writer)
    try:
        with open(reader, "rb") as pipe:
            message = pipe.read()
    except BaseException:
        os.kill(child, _SIGKILL)
        os.waitpid(child, 0)
        raise
    if os.waitpid(child, 0)[1] != 0:
        return "the process that fills volumes from the image was killed"
    return message.decode("utf-8", "surrogateescape")


def _attempt(work: Callable[[], None]) -> bytes:
    message = ""
    try:
        work()
    except InvalidInput as error:
        message = f"!{error.message}"
    except MinidockError as error:
        message = f"cannot fill a volume from the image: {error.message}"
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        message = f"cannot fill a volume from the image: {where}{error.strerror}"
    return message.encode("utf-8", "surrogateescape")[:4000]


def _fill_all(directory: str, lowerdirs: Sequence[str], points: Sequence[MountPoint]) -> None:
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # two for each level of directories
    os.umask(0)
    root = _stack(directory, lowerdirs)
    for point in points:
        try:
            place = open_in_root(LinuxKernel(), root, point.destination, os.O_PATH)
        except OSError:
            continue  # nothing there (or a link in a circle, of which the start will speak)
        if not stat.S_ISDIR(os.fstat(place).st_mode):
            where = f"{directory}/rootfs{point.destination}"
            raise InvalidInput(f"cannot mount volume over existing file, file exists {where}")
        source = os.open(f"/proc/self/fd/{place}", _DIRECTORY)
        _fill(point, source)
        os.close(source)
        os.close(place)


def _stack(directory: str, lowerdirs: Sequence[str]) -> int:
    """A descriptor of the image's root, in a mount namespace that is gone with this process."""
    from minidock.isolation.overlay import MountOverlay, plan_overlay
    from minidock.isolation.rootfs import SetPropagation
    from minidock.step import Context, execute

    kernel = LinuxKernel()
    kernel.unshare(CloneFlag.CLONE_NEWNS)
    steps: list[SetPropagation | MountOverlay] = [SetPropagation()]
    top = lowerdirs[0]
    if len(lowerdirs) > 1:  # overlayfs takes no single one
        top = f"{directory}/rootfs"
        steps.append(plan_overlay(top, tuple(lowerdirs), "", ""))
    execute(steps, kernel, Context())
    return os.open(top, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)


def _fill(point: MountPoint, source: int) -> None:
    """One volume, while nobody else fills it. (The lock is on a file that no container sees.)"""
    home = os.path.dirname(point.source)
    with open(f"{home}/volume.json", "rb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if (point.options or {}).get("type"):
            _fill_in_place(point, source)
        elif not os.path.isdir(f"{home}/{_READY}"):
            if os.listdir(point.source):
                return
            _copy_beside(home, source)
        _move(home)


def _copy_beside(home: str, source: int) -> None:
    from minidock.engine.copy_tree import copy_tree
    from minidock.engine.removal import remove_tree

    remove_tree(f"{home}/{_NEW}")  # of one that was killed
    os.mkdir(f"{home}/{_NEW}", 0o700)
    target = os.open(f"{home}/{_NEW}", _DIRECTORY)
    try:
        copy_tree(source, target)
    except OSError:
        remove_tree(f"{home}/{_NEW}")
        raise
    finally:
        os.close(target)
    os.rename(f"{home}/{_NEW}", f"{home}/{_READY}")


def _move(home: str) -> None:
    """Give the volume all that was copied, and what its directory itself is like."""
    from minidock.engine.copy_tree import copy_attributes
    from minidock.engine.removal import remove_tree

    filled = f"{home}/{_READY}"
    try:
        source = os.open(filled, _DIRECTORY)
    except FileNotFoundError:
        return
    target = os.open(f"{home}/_data", _DIRECTORY | os.O_NOFOLLOW)
    try:
        about = os.fstat(source)  # before its times change
        for name in os.listdir(source):
            try:
                os.stat(name, dir_fd=target, follow_symlinks=False)
            except FileNotFoundError:
                os.rename(name, name, src_dir_fd=source, dst_dir_fd=target)
        copy_attributes(source, target, about)
    finally:
        os.close(source)
        os.close(target)
    remove_tree(filled)


def _fill_in_place(point: MountPoint, source: int) -> None:
    """Of a filesystem in memory nothing would be left when this is done."""
    from minidock.engine.copy_tree import copy_tree
    from minidock.engine.mount_entries import mount_entries
    from minidock.engine.mount_sources import with_addresses
    from minidock.isolation.mounts import plan_mounts
    from minidock.spec.runtime import parse_spec
    from minidock.step import Context, execute

    if (point.options or {}).get("type") == "tmpfs":
        return
    home = os.path.dirname(point.source)
    whole = point.but(destination="/_data", subpath="", writable=True)
    document = {
        "ociVersion": "1.2.0",
        "root": {"path": home},
        "process": {"args": ["-"], "cwd": "/"},
        "mounts": with_addresses(mount_entries([whole], own_users=False)),
        "linux": {"namespaces": [{"type": "mount"}]},
    }
    spec, ctx = parse_spec(document, home), Context()
    ctx.root = os.open(home, os.O_PATH | os.O_DIRECTORY)
    from minidock.linux.cgroupfs import CgroupFacts

    plan = plan_mounts(spec, CgroupFacts())
    execute([*plan.prepared, *plan.mounts], LinuxKernel(), ctx)
    target = os.open(point.source, _DIRECTORY)
    if not os.listdir(target):
        copy_tree(source, target)
