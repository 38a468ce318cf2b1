"""An image's files, seen through its layers without mounting them.

overlayfs would show the same, but asks for privilege: a name counts in the topmost layer that has
it; a character device 0:0 there says that it is gone, and an opaque directory that nothing of the
layers below it shows. Symbolic links lead through the stack again, never to the host.

See: https://docs.kernel.org/filesystems/overlayfs.html, path_resolution(7)
"""

from __future__ import annotations

import errno
import os
import stat

from minidock.image.whiteout import is_opaque, is_whiteout

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

_MAX_LINKS = 40  # as many as the kernel follows
_MAX_FILE_BYTES = 16 << 20


class ImageView:
    """`lowerdirs` are the unpacked layers, topmost first. Methods raise `OSError` as a kernel
    would that has them mounted."""

    def __init__(self, lowerdirs: Sequence[str]) -> None:
        self._lowerdirs = tuple(lowerdirs)

    def stat(self, path: str) -> os.stat_result:
        """stat(2): links are followed."""
        return os.lstat(self._find(path))

    def read(self, path: str) -> bytes:
        """A regular file's content."""
        fd = os.open(self._find(path), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(fd, "rb") as file:
            return file.read(_MAX_FILE_BYTES)

    def _find(self, path: str) -> str:
        """Where on the host the file lies that `path` leads to."""
        done: list[str] = []
        todo = path.split("/")
        links = 0
        while todo:
            name = todo.pop(0)
            if name in ("", "."):
                continue
            if name == "..":
                done = done[:-1]
                continue
            found = self._look_up([*done, name])
            if not stat.S_ISLNK(os.lstat(found).st_mode):
                done.append(name)
                continue
            links += 1
            if links > _MAX_LINKS:
                raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
            target = os.readlink(found)
            done = [] if target.startswith("/") else done
            todo = target.split("/") + todo
        return self._look_up(done)

    def _look_up(self, names: list[str]) -> str:
        """The topmost layer's file of this name; no part of it is followed as a link."""
        layers = self._lowerdirs
        for depth in range(len(names)):
            layers = tuple(self._with_directory(layers, "/".join(names[:depth])))
        path = "/".join(names)
        for layer in layers:
            try:
                about = os.lstat(f"{layer}/{path}")
            except (FileNotFoundError, NotADirectoryError):
                continue
            if is_whiteout(about):
                break
            return f"{layer}/{path}"
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), f"/{path}")

    def _with_directory(self, layers: Sequence[str], path: str) -> list[str]:
        """Which of `layers` have a part in the directory `path`."""
        found = []
        for layer in layers:
            directory = f"{layer}/{path}"
            try:
                about = os.lstat(directory)
            except (FileNotFoundError, NotADirectoryError):
                continue
            if not stat.S_ISDIR(about.st_mode):
                break  # a whiteout, or a file in the directory's place: nothing below counts
            found.append(layer)
            if path and is_opaque(directory):
                break
        return found
