"""Where things lie on disk.

`root` (/var/lib/minidock) holds what must survive a reboot, `run_root` (/run/minidock) what must
not. Everything is owned by root and closed to others: an image's set-uid programs lie unpacked in
there, and a user who could reach them could run them.
"""

from __future__ import annotations

from minidock.linux.private import make_private
from minidock.record import Record


class Paths(Record):
    """The two roots; every other path derives from them."""

    root: str = "/var/lib/minidock"
    run_root: str = "/run/minidock"

    @property
    def containers(self) -> str:
        return f"{self.root}/containers"

    @property
    def names(self) -> str:
        return f"{self.root}/names"

    @property
    def volumes(self) -> str:
        return f"{self.root}/volumes"

    def container(self, container_id: str) -> str:
        return f"{self.containers}/{container_id}"

    def run_dir(self, container_id: str) -> str:
        return f"{self.run_root}/{container_id}"

    def make(self) -> None:
        """Create what is missing, mode 0700. Raises `OSError`."""
        for path in (self.root, self.containers, self.names, self.run_root):
            make_private(path)
