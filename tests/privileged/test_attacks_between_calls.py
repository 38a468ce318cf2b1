"""Somebody who acts between two system calls of a Step, whichever two.

A race is a matter of luck; here it is none. The kernel that a Step is given meddles, after its n-th
call, with what the Step is about, as a container would that shares a volume with the one being
started. For every n the Step must fail, or have done what it was to do, and to nothing else.
"""

from __future__ import annotations

import ctypes
import errno
import os
import stat
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from minidock.errors import MinidockError
from minidock.isolation.copy_up import copy_up
from minidock.isolation.devices import MakeDevices
from minidock.isolation.mounts import BindMount, Mount
from minidock.isolation.restrictions import MaskPath
from minidock.isolation.terminal import OpenTerminal
from minidock.linux.flags import CloneFlag, MountFlag
from minidock.linux.kernel import LinuxKernel
from minidock.spec.runtime import Device
from minidock.step import Context

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: it makes mounts")

AT_FDCWD, RENAME_EXCHANGE = -100, 2
MOST_CALLS = 25  # more than any of these Steps makes


class MeddlingKernel:
    """The real one; after its n-th call something happens."""

    def __init__(self, after: int, meddle: Callable[[], object]) -> None:
        self.left = after
        self._meddle = meddle
        self._kernel = LinuxKernel()

    def __getattr__(self, name: str) -> Callable[..., Any]:
        call = getattr(self._kernel, name)

        def meddled(*args: Any) -> Any:
            try:
                return call(*args)
            finally:
                self.left -= 1
                if self.left == 0:
                    self._meddle()

        return meddled


def exchange(one: str, other: str) -> None:
    """Both names at once: renameat2(2)"""
    names = os.fsencode(one), os.fsencode(other)
    libc = ctypes.CDLL(None, use_errno=True)
    failed = libc.renameat2(AT_FDCWD, names[0], AT_FDCWD, names[1], RENAME_EXCHANGE)
    assert not failed or ctypes.get_errno() == errno.EBUSY  # it is a mount point by now


def at_every_point(
    home: Path, build: Callable[[Path], object], attack: Callable[[Path, int], bool]
) -> None:
    """For every n: `build` a directory, and let `attack(directory, n)` meddle after the n-th call,
    in a mount namespace of its own. It says whether the Step was done; undisturbed it must be."""
    for after in range(1, MOST_CALLS):
        directory = home / str(after)
        directory.mkdir()
        build(directory)
        child = os.fork()
        if child == 0:
            code = 2
            try:
                kernel = LinuxKernel()
                kernel.unshare(CloneFlag.CLONE_NEWNS)
                kernel.mount(None, "/", None, MountFlag.MS_REC | MountFlag.MS_PRIVATE, None)
                code = 0 if attack(directory, after) else 1
            except BaseException:  # noqa: BLE001 (a forked child reports everything and ends)
                traceback.print_exc(file=sys.__stderr__)
            finally:
                os._exit(code)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        assert code in (0, 1), f"meddling after call {after}"
    assert code == 0, "when nobody meddles it is done"


def applied(step: Any, kernel: MeddlingKernel, ctx: Context) -> bool:
    try:
        step.apply(kernel, ctx)
    except (OSError, MinidockError):
        return False
    return True


def build_root(top: Path) -> None:
    """A root filesystem with a /dev, and a secret."""
    (top / "dev" / "pts").mkdir(parents=True)
    os.mknod(top / "dev" / "null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
    (top / "secret").write_text("secret")
    (top / "masked").write_text("of the host")


@pytest.mark.parametrize("evil", ["link", "file", "zero"])
def test_a_mask(tmp_path: Path, evil: str) -> None:
    """CVE-2025-31133"""

    def build(top: Path) -> None:
        build_root(top)
        if evil == "link":
            (top / "dev" / "evil").symlink_to("/secret")
        elif evil == "file":
            (top / "dev" / "evil").write_text("")
        else:
            os.mknod(top / "dev" / "evil", stat.S_IFCHR | 0o666, os.makedev(1, 5))

    def attack(top: Path, after: int) -> bool:
        os.chroot(top)
        kernel = MeddlingKernel(after, lambda: exchange("/dev/null", "/dev/evil"))
        done = applied(MaskPath("/masked"), kernel, Context())
        assert not done or os.stat("/masked").st_rdev == os.makedev(1, 3)
        return done

    at_every_point(tmp_path, build, attack)


def test_a_console(tmp_path: Path) -> None:
    """CVE-2025-52565"""

    def build(top: Path) -> None:
        build_root(top)
        (top / "dev" / "evil").symlink_to("/secret")
        (top / "dev" / "console").write_text("")

    def attack(top: Path, after: int) -> bool:
        LinuxKernel().mount("d", f"{top}/dev/pts", "devpts", 0, "newinstance,ptmxmode=0666")
        os.chroot(top)
        os.setsid()
        kernel = MeddlingKernel(after, lambda: exchange("/dev/console", "/dev/evil"))
        ctx = Context()
        held: list[int] = []
        ctx.send_terminal = lambda master: held.append(os.dup(master))
        done = applied(OpenTerminal(), kernel, ctx)
        assert stat.S_ISREG(os.stat("/secret").st_mode), "there is a terminal mounted"
        return done

    at_every_point(tmp_path, build, attack)


@pytest.mark.parametrize("kind", ["bind", "file", "tmpfs", "device"])
def test_a_target(tmp_path: Path, kind: str) -> None:
    """CVE-2021-30465, and the same for device nodes."""

    def build(home: Path) -> None:
        for name in ("root/vol/dir", "canary", "source"):
            (home / name).mkdir(parents=True)
        (home / "file").write_text("")
        (home / "root" / "vol" / "evil").symlink_to("../" * 12 + f"{home}/canary")

    def attack(home: Path, after: int) -> bool:
        steps: dict[str, Any] = {
            "bind": BindMount(f"{home}/source", "/vol/dir/inner", recursive=True),
            "file": BindMount(f"{home}/file", "/vol/dir/inner"),
            "tmpfs": Mount("t", "/vol/dir/inner", "tmpfs"),
            "device": MakeDevices((Device("/vol/dir/inner", "c", 1, 3),)),
        }
        ctx = Context()
        ctx.root = os.open(home / "root", os.O_PATH | os.O_DIRECTORY)
        volume = f"{home}/root/vol"
        kernel = MeddlingKernel(after, lambda: exchange(f"{volume}/dir", f"{volume}/evil"))
        done = applied(steps[kind], kernel, ctx)
        assert os.listdir(home / "canary") == []
        assert f" {home}/canary" not in Path("/proc/self/mountinfo").read_text()
        return done

    at_every_point(tmp_path, build, attack)


@pytest.mark.parametrize("recursive", [True, False])
def test_a_part_of_a_volume(tmp_path: Path, recursive: bool) -> None:
    """What is shown is in the volume, whatever a container that has it makes of the way there."""

    def build(home: Path) -> None:
        for name in ("root", "canary", "volume/dir/inner"):
            (home / name).mkdir(parents=True)
        (home / "volume" / "dir" / "inner" / "ours").touch()
        (home / "canary" / "inner").mkdir()
        (home / "canary" / "inner" / "secret").touch()
        (home / "volume" / "evil").symlink_to(home / "canary")

    def attack(home: Path, after: int) -> bool:
        volume = f"{home}/volume"
        step = BindMount(volume, "/part", recursive=recursive, subpath="dir/inner")
        ctx = Context()
        ctx.root = os.open(home / "root", os.O_PATH | os.O_DIRECTORY)
        kernel = MeddlingKernel(after, lambda: exchange(f"{volume}/dir", f"{volume}/evil"))
        done = applied(step, kernel, ctx)
        assert not done or os.listdir(home / "root" / "part") == ["ours"]
        return done

    at_every_point(tmp_path, build, attack)


def test_a_copy(tmp_path: Path) -> None:
    """`tmpcopyup` of a directory in which another becomes a link to one of the host's."""

    def build(home: Path) -> None:
        for name in ("root/dir", "host", "into"):
            (home / name).mkdir(parents=True)
        (home / "root" / "dir" / "file").write_text("content")
        (home / "root" / "evil").symlink_to(home / "host")
        (home / "host" / "file").write_text("of the host")

    def attack(home: Path, after: int) -> bool:
        source = os.open(home / "root", os.O_PATH | os.O_DIRECTORY)
        target = os.open(home / "into", os.O_RDONLY | os.O_DIRECTORY)
        one, other = f"{home}/root/dir", f"{home}/root/evil"
        try:
            copy_up(MeddlingKernel(after, lambda: exchange(one, other)), source, target)  # type: ignore[arg-type]
        except OSError:
            return False
        for directory, _, names in os.walk(home / "into"):
            for path in (Path(directory) / name for name in names):
                assert path.is_symlink() or path.read_text() == "content"
        return True

    at_every_point(tmp_path, build, attack)
