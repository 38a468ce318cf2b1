"""`minidock explain run …`: what a start would do, told without doing any of it.

The plan is the one `run` would make, from the same options, image and facts of this machine; but
its Steps get a kernel that touches nothing. To be worth reading it has to answer as the real one
would, since a Step may act on an answer: mkdir where openat2 said ENOENT, mask only what is there,
run the program that is found in $PATH. So `ImaginedKernel` keeps in mind what has been mounted and
made by then, and for the rest looks: into the image's layers, or at /proc and /sys, which are the
same for every process of this kernel.

Where the image cannot be read, everything in it is taken to be there, and whose numbers a user's
name stands for remains a `?`.

See: runtime/launch.py, whose order this follows
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from posixpath import normpath

from minidock.errors import StartFailed
from minidock.isolation.reaper import NAME
from minidock.isolation.user import LookUpUser, TakeNumbers
from minidock.linux.flags import FilesystemType, Ioctl, MountFlag
from minidock.linux.notation import UNKNOWN
from minidock.linux.recording import RecordingKernel
from minidock.runtime.launch import (
    AWAIT_GRANT,
    AWAIT_INTERMEDIATE,
    FORK_INIT,
    FORK_INTERMEDIATE,
    GRANTED,
    LET_GO,
    RUNS,
)
from minidock.step import Context

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from minidock.linux.notation import Call
    from minidock.spec.runtime import Spec
    from minidock.step import ContainerPlan, Step
    from minidock.study.layers import ImageView

STDIO = (4, 5, 6)
"""The descriptors that become 0, 1 and 2. (Number 3 leads to the monitor, 7 tells what is done. A
container with a terminal has only one from outside, so these two come earlier.)"""
_PASSWD = b"root:x:0:0:root:/root:/bin/sh\n"
_SELDOM = (
    "/usr/local/sbin",
    "/usr/local/bin",
    "/usr/sbin",
)  # of $PATH; most programs are further on
_NULL = os.makedev(1, 3)
_TYPES = {
    "": FilesystemType.OVERLAYFS_SUPER_MAGIC,  # what the image lies on
    "proc": FilesystemType.PROC_SUPER_MAGIC,
    "sysfs": FilesystemType.SYSFS_MAGIC,
    "tmpfs": FilesystemType.TMPFS_MAGIC,
    "devpts": FilesystemType.DEVPTS_SUPER_MAGIC,
    "cgroup": FilesystemType.CGROUP_SUPER_MAGIC,
    "cgroup2": FilesystemType.CGROUP2_SUPER_MAGIC,
}


def rehearse(
    plan: ContainerPlan,
    spec: Spec,
    image: ImageView | None,
    show: Callable[[list[Any]], object],
    *,
    interactive: bool = False,
) -> None:
    """Go through a start and hand its events to `show`; see runtime/narrate.py for their form.

    Raises `StartFailed` or `OSError` where the real start would.
    """
    kernel = ImaginedKernel(spec, image, interactive=interactive)
    ctx = Context()

    def tell(process: str) -> None:
        for number, call in enumerate(kernel.calls):
            name = f"child of {process}" if 0 <= kernel.child_from <= number else process
            show([name, "call", call.name, list(call.arguments), call.result])
        kernel.calls.clear()

    def remark(process: str, words: tuple[str, ...]) -> None:
        show([process, "step", words[0], list(words[1:])])

    def go(process: str, steps: Sequence[Step]) -> None:
        for step in steps:
            show([process, "step", step.describe(), list(step.see)])
            try:
                _apply(step, kernel, ctx)
            finally:
                tell(process)

    go("main", plan.prepare)
    channel = kernel.new_descriptor(), kernel.new_descriptor()

    def as_main(steps: Sequence[Step]) -> None:
        """With main's descriptors: those that intermediate has opened since it has not."""
        others, kernel.open_fds = kernel.open_fds, set(of_main)
        go("main", steps)
        kernel.open_fds = others

    def grant() -> None:
        tell("intermediate")
        remark("main", AWAIT_GRANT)
        as_main(plan.grant)
        remark("main", GRANTED)

    ctx.await_grant = grant
    ctx.intermediate = UNKNOWN
    remark("main", FORK_INTERMEDIATE)
    kernel.calls.append(kernel.told("fork"))
    tell("main")
    of_main = kernel.open_fds - {channel[1]}
    kernel.open_fds.discard(channel[0])
    go("intermediate", plan.enter)
    remark("intermediate", FORK_INIT)
    into = ("fork",) if ctx.cgroup < 0 else ("fork_into", ctx.cgroup)
    kernel.calls.append(kernel.told(*into))
    tell("intermediate")
    remark("main", AWAIT_INTERMEDIATE)
    kernel.calls.append(kernel.told("wait4", UNKNOWN))
    tell("main")
    as_main(plan.attach)
    remark("main", LET_GO)
    go("init", (*plan.isolate, *plan.confine))
    remark("main", RUNS)


def _apply(step: Step, kernel: ImaginedKernel, ctx: Context) -> None:
    try:
        step.apply(kernel, ctx)
    except StartFailed:
        if kernel.image or not isinstance(step, LookUpUser | TakeNumbers):
            raise
        ctx.uid = ctx.gid = UNKNOWN  # the name is in an image that is not here
        ctx.groups, ctx.home = (UNKNOWN,), "?"


class ImaginedKernel(RecordingKernel):
    """Answers as the kernel would in the process that becomes the container.

    Paths are the container's, once they are below its root; `_files` says which path an open
    descriptor has, `_mounted` what lies where, `_made` what has been made.
    """

    def __init__(self, spec: Spec, image: ImageView | None, *, interactive: bool) -> None:
        super().__init__(range(6) if spec.process.terminal else range(8))
        self.image = image
        self.child_from = -1  # from which of the calls on a child makes them
        self._root = spec.root_path
        self._inside = False  # after the pivot
        self._files: dict[int, str] = {}
        self._of_container: set[int] = set()  # descriptors of files there, not of the host's
        self._mounted: dict[str, str] = {}
        self._fresh: dict[int, str] = {}  # filesystems that are mounted nowhere yet
        self._made: set[str] = set()
        self._nodes = {"/dev/pts/ptmx": (stat.S_IFCHR | 0o666, os.makedev(5, 2))}
        self._drained: set[int] = set()
        self._cwd = "/"
        self._stdio = (_NULL if not interactive else 0, 0, 0)
        if spec.process.terminal:
            self._stdio = (os.makedev(136, 0),) * 3

    def told(self, name: str, *args: Any) -> Any:
        """A call that is made outside of the Steps, without a result."""
        return self._show(name, args, UNKNOWN)

    def answer(self, name: str, args: tuple[Any, ...]) -> Any:
        special = getattr(type(self), f"_{name}", None)
        if special:
            return special(self, *args)
        return super().answer(name, args)

    # ── what is where ──

    def _filesystem(self, path: str) -> tuple[str, str]:
        """The mount point that a path lies on, and what is mounted there ("" for the image)."""
        where = path
        while where not in self._mounted and where != "/":
            where = os.path.dirname(where)
        return where, self._mounted.get(where, "")

    def _about(self, path: str) -> os.stat_result:
        """stat(2) of a path in the container. Raises `FileNotFoundError`."""
        path = normpath(path if path.startswith("/") else f"{self._cwd.rstrip('/')}/{path}")
        where, kind = self._filesystem(path)
        if path in self._nodes:
            return _status(*self._nodes[path])
        if path in self._made or path == where:
            return _status(stat.S_IFDIR | 0o755)
        if kind in ("proc", "sysfs"):
            return os.stat(path)
        if kind:
            raise _missing(path)
        if self.image:
            return self.image.stat(path)
        if os.path.dirname(path) in _SELDOM:
            raise _missing(path)
        return _status(stat.S_IFREG | 0o755)

    def _new(self, path: str, *, inside: bool) -> int:
        number = self.new_descriptor()
        self._files[number] = path
        self._of_container.discard(number)
        if inside:
            self._of_container.add(number)
        return number

    def _at(self, dirfd: int, path: str) -> str:
        return normpath(f"{self._files.get(dirfd, '').rstrip('/')}/{path}")

    # ── the calls that matter ──

    def _open(self, path: str, flags: int, mode: int = 0) -> int:
        if not self._inside:
            is_root = self._is_root(path)
            return self._new("/" if is_root else path, inside=is_root)
        if flags & os.O_CREAT:
            self._made.add(path)
        elif self.image or path not in ("/etc/passwd", "/etc/group"):
            self._about(path)
        return self._new(path, inside=True)

    def _openat(self, dirfd: int, path: str, flags: int, mode: int = 0) -> int:
        if flags & os.O_CREAT:
            self._nodes[self._at(dirfd, path)] = (stat.S_IFREG | mode, 0)
        return self._new(self._at(dirfd, path), inside=dirfd in self._of_container)

    def _openat2(self, dirfd: int, path: str, flags: int, mode: int, resolve: int) -> int:
        inside = dirfd in self._of_container
        if inside:
            self._about(self._at(dirfd, path))
        return self._new(self._at(dirfd, path), inside=inside)

    def _open_tree(self, dirfd: int, path: str, flags: int) -> int:
        if path:
            inside = self._inside or self._is_root(path)
            return self._new("/" if self._is_root(path) else path, inside=inside)
        return self._new(self._files[dirfd], inside=dirfd in self._of_container)

    def _is_root(self, path: str) -> bool:
        """Before the pivot: whether a path leads to what will be the root."""
        return self._root == (self._cwd if path == "." else path)

    def _clone(self, flags: int) -> int:
        return UNKNOWN

    def _fsopen(self, fsname: str, flags: int) -> int:
        context = self.new_descriptor()
        self._fresh[context] = fsname
        return context

    def _fsmount(self, fd: int, flags: int, attr_flags: int) -> int:
        tree = self.new_descriptor()
        self._fresh[tree] = self._fresh[fd]
        return tree

    def _close(self, fd: int) -> int:
        self.open_fds.discard(fd)
        self._drained.discard(fd)
        self._files.pop(fd, None)
        self._fresh.pop(fd, None)
        return 0

    def _read(self, fd: int, count: int) -> bytes:
        if fd in self._drained:
            return b""
        self._drained.add(fd)
        if fd not in self._files:
            return b""  # a socket: nobody answers
        path = self._files[fd]
        # Ours: what we have ignored it will inherit, and a cpuset its parent's processors.
        if os.path.dirname(path) in self._made and fd not in self._of_container:
            return b"\n"  # a new cgroup says nothing yet
        if path == "/proc/self/status" or fd not in self._of_container:
            with open(path, "rb") as file:
                return file.read(count)
        if not self._inside and path.startswith("/sys/fs/cgroup/"):
            try:
                with open(path, "rb") as file:
                    return file.read(count)
            except FileNotFoundError:
                return b""  # of a cgroup that would be new by then
        if self.image:
            return self.image.read(path)
        return _PASSWD if path == "/etc/passwd" else b""

    def _stat(self, path: str) -> os.stat_result:
        if not self._inside and path.startswith("/proc/"):
            return os.stat(path)
        return self._about(path)

    def _fstat(self, fd: int) -> os.stat_result:
        if fd in STDIO and fd not in self._files:
            fd = STDIO.index(fd)  # still where it came from
        if fd < len(self._stdio):
            device = self._stdio[fd]
            return _status(stat.S_IFCHR | 0o666 if device else stat.S_IFIFO | 0o600, device)
        path = self._files[fd]
        if fd in self._of_container:
            return self._about(path)
        if path.startswith(("/proc/", "/dev/")):
            return os.stat(path)
        # What is not there yet is a volume, but for the few files beside the root.
        missing = not os.path.exists(path) and not path.startswith(os.path.dirname(self._root))
        directory = missing or os.path.isdir(path) or path in self._made  # such as the cgroup
        mode = stat.S_IFDIR | 0o755 if directory else stat.S_IFREG | 0o644
        return os.stat_result((mode, 0, 0, 1, 0, 0, UNKNOWN, 0, 0, 0))

    def _fstatfs(self, fd: int) -> int:
        kind = self._filesystem(self._files[fd])[1] if fd in self._of_container else ""
        return _TYPES.get(kind, 0)

    def _ioctl(self, fd: int, request: int, argument: int | bytes) -> int | bytes:
        if request == Ioctl.NS_GET_NSTYPE:
            with open(self._files[fd], "rb") as file:  # one that exists, and may be looked at
                return fcntl.ioctl(file, request, argument)
        answer: int | bytes = super().answer("ioctl", (fd, request, argument))
        if request == Ioctl.TIOCGPTPEER and isinstance(answer, int):
            self._files[answer] = "/dev/pts/0"
            self._of_container.add(answer)
        return answer

    def _mkdir(self, path: str, mode: int) -> int:
        if self._inside:
            try:
                self._about(path)
            except FileNotFoundError:
                self._made.add(path)
                return 0
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), path)
        parent = os.path.dirname(path)
        if parent not in (*self._made, self._root) and not os.path.isdir(parent):
            raise _missing(path)
        self._made.add(path)
        return 0

    def _mkdirat(self, dirfd: int, path: str, mode: int) -> int:
        self._made.add(self._at(dirfd, path))
        return 0

    def _mknodat(self, dirfd: int, path: str, mode: int, device: int) -> int:
        self._nodes[self._at(dirfd, path)] = (mode, device)
        return 0

    def _move_mount(
        self, from_dfd: int, from_path: str, to_dfd: int, to_path: str, flags: int
    ) -> int:
        if from_dfd in self._fresh:
            self._mounted[self._files[to_dfd]] = self._fresh[from_dfd]
            return 0
        source = self._files[from_dfd]
        outside = from_dfd not in self._of_container
        if outside and source.startswith("/dev/"):  # one of the host's devices, shown inside
            about = os.stat(source)
            self._nodes[self._files[to_dfd]] = (about.st_mode, about.st_rdev)
        return 0

    def _symlinkat(self, target: str, dirfd: int, path: str) -> int:
        self._made.add(self._at(dirfd, path))
        return 0

    def _mount(
        self, source: str | None, target: str, kind: str | None, flags: int, data: str | None
    ) -> int:
        if target.startswith("/proc/self/fd/"):
            target = self._files[int(target.rpartition("/")[2])]
        elif self._inside:
            self._about(target)
        if kind and not flags & MountFlag.MS_REMOUNT and target != self._root:
            self._mounted[target] = kind
        return 0

    def _pivot_root(self, new_root: str, put_old: str) -> int:
        self._inside = True
        return 0

    def _chroot(self, path: str) -> int:
        self._inside = True
        return 0

    def _chdir(self, path: str) -> int:
        if self._inside:
            self._about(path)
        self._cwd = path
        return 0

    def _getcwd(self) -> str:
        return self._cwd

    def fork(self) -> int:
        """Only `--init` forks within a Step (isolation/reaper.py): PID 1 changes its name, closes
        what it holds and begins to wait; the child goes on, and becomes the program."""
        own = self.told("set_name", NAME), self.told("close_range", 3, 0xFFFFFFFF, 0)
        self.calls += [self.told("fork"), *own]
        self.child_from = len(self.calls)
        return 0

    def _show(self, name: str, args: tuple[Any, ...], result: Any) -> Call:
        call = super()._show(name, args, result)
        if call.arguments[1:2] == ("TIOCSPGRP",):  # the number of a process that is not there
            return call.but(arguments=(*call.arguments[:2], "[?]"))
        return call


def _missing(path: str) -> FileNotFoundError:
    return FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)


def _status(mode: int, device: int = 0) -> os.stat_result:
    return os.stat_result((mode, 0, 0, 1, 0, 0, 0, 0, 0, 0), {"st_rdev": device})
