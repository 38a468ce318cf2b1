"""The places of mounts, which must not become part of an image.

`RUN --mount=type=secret,id=key` shows a file at /run/secrets/key. A mount needs something to lie
on, so where the image has no such path the runtime makes an empty directory and an empty file, in
the layer that is being made: *stubs*. When the program has ended they are removed again, unless it
has put something there; and so is a directory that is in the layer only because a stub was made in
it.

The program was free to make links of anything, so every step is taken by a call that follows none.

See: openat2(2)
"""

from __future__ import annotations

import os
import stat

from minidock.build.directory import RESOLVE_BENEATH, RESOLVE_NO_SYMLINKS
from minidock.build.sources import clean
from minidock.image.stack import resolve, resolve_as_far
from minidock.linux.syscalls import openat2

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType

    from minidock.image.stack import Tree

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_PLAINLY = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS
_ON_OTHER_MOUNTS = ("dev", "proc", "sys")
_OVERLAYS_OWN = {"trusted.overlay.origin", "trusted.overlay.impure"}


class Stubs:
    """Those of one RUN; `base` is the image that it sees."""

    def __init__(self, base: Tree) -> None:
        self._base = base
        self._stubs: list[tuple[str, int]] = []  # real path, how many of its last parts are new

    def add(self, target: str) -> None:
        """Something will be mounted there."""
        path = clean(target)
        if path.partition("/")[0] in _ON_OTHER_MOUNTS:
            return
        node, missing = resolve_as_far(self._base, path)
        if missing:
            self._stubs.append(("/".join((node.path, *missing)).strip("/"), len(missing)))

    def remove(self, upper: str) -> None:
        """Take them out of the new layer."""
        for path, new in self._stubs:
            parts = path.split("/")
            for end in range(len(parts), len(parts) - new, -1):
                if not _remove_empty(upper, "/".join(parts[:end])):
                    break
            else:
                self._tidy_above(upper, parts[: len(parts) - new])

    def _tidy_above(self, upper: str, parts: list[str]) -> None:
        """A directory that is in the layer only because a stub was made in it."""
        while parts:
            path = "/".join(parts)
            node = resolve(self._base, path, follow=False)
            with _Opened(upper, path) as fd:
                if node is None or fd < 0 or not _unchanged(fd, node.status):
                    return
            if not _remove_empty(upper, path):
                return
            parts = parts[:-1]


def _unchanged(fd: int, before: os.stat_result) -> bool:
    """Whether a directory that was copied up looks as it did."""
    now = os.fstat(fd)
    same = all(getattr(now, n) == getattr(before, n) for n in ("st_mode", "st_uid", "st_gid"))
    return same and set(os.listxattr(fd)) <= _OVERLAYS_OWN


class _Opened:
    """A directory of the layer, for `with`; -1 if it is none, or a link is on the way: RUN may have
    made what it liked."""

    def __init__(self, upper: str, path: str) -> None:
        self._upper, self._path = upper, path
        self._fd = -1

    def __enter__(self) -> int:
        top = os.open(self._upper, _DIRECTORY)
        try:
            self._fd = openat2(top, self._path or ".", _DIRECTORY, 0, _PLAINLY)
        except OSError:
            pass
        finally:
            os.close(top)
        return self._fd

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        if self._fd >= 0:
            os.close(self._fd)


def _remove_empty(upper: str, path: str) -> bool:
    """Remove an empty directory or file of the layer."""
    parent, _, name = path.rpartition("/")
    with _Opened(upper, parent) as fd:
        try:
            status = os.stat(name, dir_fd=fd, follow_symlinks=False)
            if stat.S_ISDIR(status.st_mode):
                os.rmdir(name, dir_fd=fd)
            elif stat.S_ISREG(status.st_mode) and status.st_size == 0:
                os.unlink(name, dir_fd=fd)
            else:
                return False
        except (OSError, ValueError):
            return False
    return True
