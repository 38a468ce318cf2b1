"""Names in an archive, and where they lead once links are followed.

A name in a layer is relative to the root of the container, whatever it looks like: `./etc/motd`,
`/etc/motd` and `etc//motd` are one file (GNU tar and Docker read them so). `..` is taken back
textually, and may not climb above the root.

A parent directory may be a symbolic link that the layer itself has made: tools that concatenate
packages put `lib -> usr/lib` first and `lib/libc.so` later, and Docker follows it. The kernel
would follow it too, and since the root of the process is the target it could not even lead out; but
`etc -> /etc` means one thing in a chroot and another to whoever unpacks without one, so that only
relative links that stay inside are followed here, step by step.

Functions raise `ValueError` with the reason; the caller adds which entry it was.

See: path_resolution(7); moby's chrootarchive
"""

from __future__ import annotations

import os
import stat

from minidock.image.tar_format import shown

MAX_SYMLINKS = 40  # of one path, as in the kernel: path_resolution(7)


def clean(name: bytes) -> bytes:
    """The name without `.`, `..`, doubled and outer slashes; empty for the root."""
    if b"//" not in name and b"/." not in name and name[:1] not in (b".", b"/"):
        return name.removesuffix(b"/")
    parts: list[bytes] = []
    for part in name.split(b"/"):
        if part == b"..":
            if not parts:
                raise ValueError("'..' leads out of the archive's root")
            parts.pop()
        elif part not in (b"", b"."):
            parts.append(part)
    return b"/".join(parts)


def prefix_ends(path: bytes) -> list[int]:
    """Where the prefixes of a path end: `a/b/c` → those of `a`, `a/b` and `a/b/c`."""
    ends = [index for index, byte in enumerate(path) if byte == ord("/")]
    return [*ends, len(path)] if path else []


def follow(link: bytes) -> bytes:
    """The real directory that a symbolic link leads to, as a path below this process's root.

    All but the last part of `link` must be real directories.
    """
    real = link.split(b"/")[:-1]
    wanted = [link.rpartition(b"/")[2]]  # the parts still to go, the next one last
    hops = 0
    while wanted:
        part = wanted.pop()
        if part in (b"", b"."):
            continue
        if part == b"..":
            if not real:
                raise ValueError("leads out of the archive's root")
            real.pop()
            continue
        path = b"/".join((*real, part))
        try:
            mode = os.lstat(path).st_mode
        except FileNotFoundError:
            raise ValueError("leads to nothing") from None
        if stat.S_ISDIR(mode):
            real.append(part)
        elif stat.S_ISLNK(mode) and hops < MAX_SYMLINKS:
            hops += 1
            target = os.readlink(path)
            if target.startswith(b"/"):
                raise ValueError(f"leads to the absolute {shown(target)}")
            wanted += target.split(b"/")[::-1]
        else:
            raise ValueError("does not lead to a directory")
    return b"/".join(real)
