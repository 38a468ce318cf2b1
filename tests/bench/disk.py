"""A filesystem of the bench's own: ext4 with a journal, in a sparse file, on a loop device.

Figures taken on whatever filesystem the machine happens to have say more about that filesystem
than about the programs. Commits and imports live by fsync, by the journal and by how full the
block groups are, so every contestant keeps its data on this one fresh filesystem, and it is
synced before each clock starts: nobody pays for pages that the one before left dirty.

The sparse file loses its name as soon as it is mounted. `mount -o loop` makes a loop device that
ends with the last mount of it, and that is in a namespace which ends with the run (namespace.py):
so the space comes back whatever happens, and only an empty directory may stay.

What engines keep only while the machine is up (sockets, PIDs, locks) lies on a tmpfs beside it, as
/run is one.

See: mount(8), loop(4), mke2fs(8), syncfs(2)
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from types import TracebackType

SIZE_BYTES = 12 << 30
INODES = 400_000


class Disk:
    """`with Disk() as disk:` — mounted at `disk.path`, and gone afterwards.

    Names are short because the path of a socket may have 107 bytes. unix(7)
    """

    def __init__(self, size: int = SIZE_BYTES) -> None:
        self._size = size
        self._top = ""
        self._run = ""
        self.path = ""

    def __enter__(self) -> Disk:
        self._top = tempfile.mkdtemp(prefix="mdbench-")
        self.path = os.path.join(self._top, "disk")
        self._run = os.path.join(self._top, "run")
        os.mkdir(self.path)
        os.mkdir(self._run)
        try:
            self._make()
        except BaseException:
            self._remove()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._remove()

    def _make(self) -> None:
        image = os.path.join(self._top, "ext4")
        with open(image, "wb") as file:
            file.truncate(self._size)
        # Inode tables are written now, not by a kernel thread during the first measurements.
        _call(
            *("mkfs.ext4", "-q", "-F", "-O", "has_journal", "-N", str(INODES)),
            *("-E", "lazy_itable_init=0,lazy_journal_init=0", image),
        )
        _call("mount", "-t", "ext4", "-o", "loop", image, self.path)
        os.unlink(image)
        _call("mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", self._run)

    def _remove(self) -> None:
        """Undo whatever of `_make` was done; also unmounts what is still mounted below."""
        for mountpoint in (self._run, self.path):
            if os.path.ismount(mountpoint):
                gone = subprocess.run(["umount", "--recursive", mountpoint], capture_output=True)
                if gone.returncode:
                    # Somebody still holds a file here. The name goes now, the rest when they end.
                    _call("umount", "--recursive", "--lazy", mountpoint)
        shutil.rmtree(self._top, ignore_errors=True)

    def directory(self, *names: str) -> str:
        """A directory below the mountpoint, made if it is missing."""
        path = os.path.join(self.path, *names)
        os.makedirs(path, exist_ok=True)
        return path

    def run_directory(self, *names: str) -> str:
        """A directory on the tmpfs, made if it is missing."""
        path = os.path.join(self._run, *names)
        os.makedirs(path, exist_ok=True)
        return path

    def settle(self) -> None:
        """Write back everything dirty, so that the next clock starts from rest."""
        subprocess.run(["sync", "--file-system", self.path], check=True)

    def describe(self) -> str:
        """One line about the filesystem, for the facts above the table."""
        with open("/proc/self/mounts", errors="replace") as file:
            fields = [line.split() for line in file if line.split()[1] == self.path]
        options = fields[0][3] if fields else "?"
        return f"ext4 with a journal, {self._size >> 30} GB in a sparse file on a loop ({options})"


def _call(*argv: str) -> None:
    done = subprocess.run(argv, capture_output=True, text=True)
    if done.returncode:
        raise OSError(f"{argv[0]}: {done.stderr.strip() or done.returncode}")
