"""Give back what an idle monitor will not need: the interpreter's code that ran only at its start.

A monitor stays beside its container for weeks, and sleeps. Most of the pages it has mapped are
Python's own program file: parsing, importing, unmarshalling, of which it will use next to nothing
again. MADV_DONTNEED takes such a page out of this process's page table; whoever touches it later
finds it in the page cache, as at the first time. That is allowed only where no page was changed (a
changed one would be lost), and the kernel says where that is.

It nearly halves what a monitor weighs, from 7.5 MB to about 4.3, and takes a millisecond.

See: madvise(2), proc_pid_smaps(5)
"""

from __future__ import annotations

from minidock.linux.memory import drop_and_wait

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable


def rest(epoll: int, seconds: float) -> None:
    """Unmap every page of files that this process only reads, and sleep until `epoll` has something
    to tell, or `seconds` have passed (-1: for ever). Never raises: what cannot be given back is
    kept."""
    areas: list[tuple[int, int]] = []
    try:
        with open("/proc/self/smaps", "rb") as smaps:
            areas = clean_areas(smaps)
    except OSError:
        pass
    # Backwards, since this very loop brings pages of Python, which lies lowest, in again.
    drop_and_wait(reversed(areas), epoll, int(seconds * 1000) + 1 if seconds >= 0 else -1)


def clean_areas(smaps: Iterable[bytes]) -> list[tuple[int, int]]:
    """(start, end) of each mapping of a file that cannot be written and of which no page was
    changed before that (the dynamic linker changes some, and then protects them).

    A changed page is no longer the file's, but anonymous, also while a forked child still shares it
    (so it is no use to ask for Private_Dirty); or it has been swapped out.

    006d2000-00945000 r--p 002d2000 fe:00 9176     /usr/bin/python3.11
    Rss:                1080 kB
    Anonymous:             0 kB
    Swap:                  0 kB
    """
    found: list[tuple[int, int]] = []
    area, candidate = b"", False
    for line in smaps:
        if not line[:1].isupper():  # names of fields are capitalized, addresses hexadecimal
            area, rights, _, _, inode = line.split(maxsplit=5)[:5]
            candidate = rights in (b"r-xp", b"r--p") and inode != b"0"
        elif candidate and line.startswith((b"Anonymous:", b"Swap:")):
            candidate = line.split()[1] == b"0"
            if candidate and line.startswith(b"Swap:"):
                start, _, end = area.partition(b"-")
                found.append((int(start, 16), int(end, 16)))
    return found
