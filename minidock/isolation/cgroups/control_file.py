"""A cgroup's files: one small text each, read and written whole.

See: cgroups(7)
"""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from minidock.linux.kernel import Kernel

_MOST = 1 << 22  # a pid takes up to 8 bytes, and there are at most 4 million


def write_through(kernel: Kernel, path: str, *values: str) -> None:
    """What a Step does: write each value with a write(2) of its own. Raises `OSError`."""
    fd = kernel.open(path, os.O_WRONLY)
    try:
        for value in values:
            kernel.write(fd, value.encode())
    finally:
        kernel.close(fd)


def write_control(path: str, value: str) -> None:
    """Steer an existing cgroup. Raises `OSError`."""
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, value.encode())
    finally:
        os.close(fd)


def read_control(path: str) -> str:
    """Ask an existing cgroup. Raises `OSError`."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        chunks = []
        while chunk := os.read(fd, _MOST):
            chunks.append(chunk)
        return b"".join(chunks).decode("ascii")
    finally:
        os.close(fd)
