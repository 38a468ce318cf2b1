"""What an idle monitor may give back: files' pages that it never changed, and no others."""

from __future__ import annotations

import os
import select
import subprocess
import sys
import threading
import time

from minidock.engine.rest import clean_areas, rest

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


def test_it_sleeps_until_there_is_something_to_do() -> None:
    receiving, sending = os.pipe()
    with select.epoll() as epoll:
        epoll.register(receiving, select.EPOLLIN)
        begin = time.monotonic()
        rest(epoll.fileno(), 0.1)
        assert 0.1 <= time.monotonic() - begin < 5

        threading.Timer(0.2, os.write, (sending, b"x")).start()
        begin = time.monotonic()
        rest(epoll.fileno(), -1)
        assert 0.1 < time.monotonic() - begin < 5
        assert epoll.poll(0) == [(receiving, select.EPOLLIN)]  # it has taken nothing away
    os.close(receiving)
    os.close(sending)


RESTING = """
import select
from minidock.engine.rest import rest
print(open("/proc/self/statm").read(), flush=True)
rest(select.epoll().fileno(), -1)
"""


def test_what_it_gives_back_stays_away_while_it_sleeps() -> None:
    command = [sys.executable, "-c", RESTING]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as sleeper:
        assert sleeper.stdout
        before = int(sleeper.stdout.readline().split()[2])  # pages of files, statm's "shared"
        limit = time.monotonic() + 20
        while pages_of_files(sleeper.pid) > before / 2:
            assert time.monotonic() < limit
            time.sleep(0.05)
        time.sleep(0.1)
        assert pages_of_files(sleeper.pid) < before / 2
        sleeper.kill()


def pages_of_files(pid: int) -> int:
    with open(f"/proc/{pid}/statm") as statm:
        return int(statm.read().split()[2])
