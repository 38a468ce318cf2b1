"""Removing what a container left on disk.

The tree was written by somebody else. No name in it is followed (unlink, rmdir and an open that
refuses links), and it may be nested deeper than any path or any recursion allows: so directories
are not walked into but pulled up, next to the root of what is removed, and emptied there.

See: unlink(2), openat(2), path_resolution(7)
"""

from __future__ import annotations

import os
from _thread import get_native_id

_ENOTEMPTY = 39

ANONYMOUS_VOLUMES = "anonymous-volumes"
"""A file beside container.json: the names of the volumes that may go with it, one a line."""
DOOMED_VOLUMES = "doomed-volumes"
"""The same, when they do go."""


def remove_container_files(directory: str, run_root: str, *, volumes: bool = False) -> None:
    """Remove a container's directory, the name that points to it, and the anonymous volumes that go
    with it: with `volumes`, or if it was run with `--rm`, or never came to be. Raises `OSError`."""
    root = os.path.dirname(os.path.dirname(directory))
    _decide_on_volumes(directory, volumes)
    doomed = doom(directory)  # first: a container that is there must not have lost its name
    release_names(f"{root}/names", os.path.basename(directory))
    if os.path.exists(f"{doomed}/{DOOMED_VOLUMES}"):
        from minidock.engine.volume_removal import remove_doomed

        remove_doomed(root, run_root, f"{doomed}/{DOOMED_VOLUMES}")
    remove_tree(directory)


def _decide_on_volumes(directory: str, volumes: bool) -> None:
    """Write it down before anything is gone: who goes on after us must not guess."""
    names = ANONYMOUS_VOLUMES, DOOMED_VOLUMES
    kept, doomed = (f"{directory}/{name}" for name in names)
    if not (os.path.exists(kept) or os.path.exists(doomed)):
        return
    unborn = not os.path.exists(f"{directory}/container.json")
    goes = volumes or unborn or os.path.exists(f"{directory}/auto-remove")
    try:
        os.rename(*((kept, doomed) if goes else (doomed, kept)))
    except FileNotFoundError:
        pass  # so it is already


def release_names(names: str, container_id: str) -> None:
    """Drop every name that points to this container."""
    try:
        entries = os.listdir(names)
    except FileNotFoundError:
        return
    for entry in entries:
        path = f"{names}/{entry}"
        try:
            if os.readlink(path).endswith("/" + container_id):
                os.unlink(path)
        except OSError:
            continue  # not a link, or gone meanwhile


def remove_run_dir(path: str) -> None:
    """Remove a flat directory such as /run/minidock/<id>, of which nobody looks after any more; and
    what its container has on networks still."""
    try:
        entries = os.listdir(path)
        if any(entry == "network.json" or entry.startswith("lease-") for entry in entries):
            from minidock.engine.disconnect import disconnect

            disconnect(path, dead=True)
            entries = os.listdir(path)
        for entry in entries:
            os.unlink(f"{path}/{entry}")
        os.rmdir(path)
    except FileNotFoundError:
        pass


def remove_tree(top: str) -> None:
    """Remove a directory with everything in it. One that is not there is removed already."""
    doomed = doom(top)
    while True:
        _empty(doomed)
        try:
            _remove_empty(doomed)
            return
        except OSError as error:
            # Somebody else is removing it, too, and lifted something up after we had looked.
            if error.errno != _ENOTEMPTY:
                raise


def doom(top: str) -> str:
    """Give a directory the name under which no reader takes it for a container; that name."""
    doomed = f"{top}.removing"
    try:
        os.rename(top, doomed)
    except FileNotFoundError:
        pass
    except OSError:  # ENOTEMPTY: an earlier removal was interrupted
        _empty(doomed)
        os.rename(top, doomed)
    return doomed


def _empty(top: str) -> None:
    """Two commands may be at it at once: what the other has taken is gone, which is the aim."""
    number = 0
    pending = [""]
    while pending:
        relative = pending.pop()
        path = f"{top}/{relative}" if relative else top
        try:
            entries = list(os.scandir(path))
        except FileNotFoundError:
            continue
        for entry in entries:
            try:
                if not entry.is_dir(follow_symlinks=False):
                    os.unlink(entry.path)
                elif relative:
                    number += 1
                    lifted = f".removing-{get_native_id()}-{number}"
                    os.rename(entry.path, f"{top}/{lifted}")
                    pending.append(lifted)
                else:
                    pending.append(entry.name)
            except FileNotFoundError:
                continue
        if relative:
            _remove_empty(path)


def _remove_empty(path: str) -> None:
    try:
        os.rmdir(path)
    except FileNotFoundError:
        pass
