"""What `ps` and /proc/PID/cmdline show of a process of ours that stays.

The kernel reads a command line from the process's own memory, where execve(2) has put it: so it can
be written over. Where the last byte of that area is not zero any more, the kernel takes the whole
for one string and stops at its first zero, an old agreement with programs such as sendmail. (To
move the area, PR_SET_MM, takes a privilege that is given up by then.)

See: proc_pid_cmdline(5), PR_SET_MM(2const)
"""

from __future__ import annotations

import ctypes
import os
import sys


def set_title(text: str) -> None:
    """Show `text`, as much of it as there was of the old command line. Nothing is done where that
    is not found, in front of the environment, as execve(2) lays it out."""
    old = b"".join(os.fsencode(word) + b"\0" for word in sys.orig_argv)
    environ = ctypes.POINTER(ctypes.c_void_p).in_dll(ctypes.CDLL(None), "environ")
    end = environ[0] if environ else None
    if not end or ctypes.string_at(end - len(old), len(old)) != old:
        return
    title = os.fsencode(text)[: len(old) - 2]
    new = title + bytes(len(old) - len(title) - 1) + b"\1"
    ctypes.memmove(end - len(old), new, len(new))
