"""What an idle monitor may give back: files' pages that it never changed, and no others."""

from __future__ import annotations

from minidock.engine.rest import clean_areas

# A program and a library as the kernel shows them: text, constants, relocated data that the dynamic
# linker has protected again (r--p, but changed: once while a forked child shares the page, once
# swapped out), data, the heap, the kernel's own page.
SMAPS = b"""\
0041f000-006d2000 r-xp 0001f000 fe:00 9176                 /usr/bin/python3.11
Rss:                2560 kB
Anonymous:             0 kB
Swap:                  0 kB
VmFlags: rd ex mr mw me sd
006d2000-00945000 r--p 002d2000 fe:00 9176                 /usr/bin/python3.11
Rss:                1080 kB
Anonymous:             0 kB
Swap:                  0 kB
00945000-00946000 r--p 00545000 fe:00 9176                 /usr/bin/python3.11
Private_Dirty:         0 kB
Shared_Dirty:          4 kB
Anonymous:             4 kB
Swap:                  0 kB
00946000-00947000 r--p 00546000 fe:00 9176                 /usr/bin/python3.11
Anonymous:             0 kB
Swap:                  4 kB
00947000-00a85000 rw-p 00546000 fe:00 9176                 /usr/bin/python3.11
Anonymous:             0 kB
Swap:                  0 kB
3a08b000-3a136000 rw-p 00000000 00:00 0                    [heap]
Anonymous:           584 kB
Swap:                  0 kB
7f09548e2000-7f09548e4000 r-xp 00000000 00:00 0            [vdso]
Anonymous:             0 kB
Swap:                  0 kB
ffffffffff600000-ffffffffff601000 r-xp 00000000 fe:00 12   /a path with spaces (deleted)
Anonymous:             0 kB
Swap:                  0 kB
"""


def test_only_unchanged_pages_of_files_that_are_only_read() -> None:
    assert clean_areas(SMAPS.splitlines(keepends=True)) == [
        (0x0041F000, 0x006D2000),
        (0x006D2000, 0x00945000),
        (0xFFFFFFFFFF600000, 0xFFFFFFFFFF601000),
    ]
