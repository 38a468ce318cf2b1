"""`--tmpfs PATH[:options]`: a filesystem in memory, which goes with the container.

Options are those of mount(8). What is not said is the safe side: no programs, no devices, no
set-user-id. Of two that contradict each other the last counts, so `exec` undoes `noexec`.

See: tmpfs(5), mount(8), moby/sys mount (MergeTmpfsOptions)
"""

from __future__ import annotations

import os

from minidock.errors import InvalidInput

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_DEFAULT = ("noexec", "nosuid", "nodev", "rprivate")
_FLAGS = {  # option -> what it decides
    "ro": "rw", "rw": "rw", "suid": "suid", "nosuid": "suid", "dev": "dev", "nodev": "dev",
    "exec": "exec", "noexec": "exec", "sync": "sync", "async": "sync", "dirsync": "dirsync",
    "remount": "remount", "mand": "mand", "nomand": "mand", "atime": "atime", "noatime": "atime",
    "diratime": "diratime", "nodiratime": "diratime", "bind": "bind", "rbind": "bind",
    "unbindable": "propagation", "runbindable": "propagation", "private": "propagation",
    "rprivate": "propagation", "shared": "propagation", "rshared": "propagation",
    "slave": "propagation", "rslave": "propagation", "relatime": "relatime",
    "norelatime": "relatime", "strictatime": "strictatime", "nostrictatime": "strictatime",
    "defaults": "defaults",
}  # fmt: skip
_VALUES = ("size", "mode", "uid", "gid", "nr_inodes", "nr_blocks", "mpol")
_USELESS = ("defaults", "remount", "bind", "rbind")  # allowed, and without meaning here


def check_tmpfs(mounts: dict[str, str]) -> None:
    """Raises `InvalidInput` in Docker's words."""
    for destination, options in mounts.items():
        if not destination.startswith("/"):
            raise InvalidInput(f"invalid mount path: '{destination}' mount path must be absolute")
        if os.path.normpath(destination).strip("/") == "":
            raise InvalidInput("invalid specification: destination can't be '/'")
        tmpfs_options(options)


def tmpfs_mounts(mounts: dict[str, str]) -> list[dict[str, Any]]:
    """Entries for config.json, outer ones before those that lie in them."""
    entries = {
        os.path.normpath(destination): tmpfs_options(options)
        for destination, options in mounts.items()
    }
    return [
        {"destination": path, "type": "tmpfs", "source": "tmpfs", "options": entries[path]}
        for path in sorted(entries, key=lambda path: (path.count("/"), path))
    ]


def tmpfs_options(text: str) -> list[str]:
    """The defaults with `text` (`size=64m,exec`) over them. Raises `InvalidInput`."""
    chosen: dict[str, str] = {}
    for option in (*_DEFAULT, *(text.split(",") if text else ())):
        name, has_value, _ = option.partition("=")
        decides = _FLAGS.get(option) if not has_value else (name if name in _VALUES else None)
        if decides is None:
            raise InvalidInput(f'invalid tmpfs option ["{option}"]')
        chosen.pop(decides, None)
        chosen[decides] = option
    return [option for option in chosen.values() if option not in _USELESS]
