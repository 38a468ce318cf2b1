"""Removing what a container left on disk.

The tree was written by somebody else. No name in it is followed (unlink, rmdir and an open that
refuses links), and it may be nested deeper than any path or any recursion allows: so directories
are not walked into but pulled up, next to the root of what is removed, and emptied there.

See: unlink(2), openat(2), path_resolution(7)
"""

from __future__ import annotations

import os


def remove_container_files(directory: str) -> None:
    """Remove a container's directory and the name that points to it. Raises `OSError`."""
    names = os.path.join(os.path.dirname(os.path.dirname(directory)), "names")
    doom(directory)  # first: a container that is still there must not have lost its name
    release_names(names, os.path.basename(directory))
    remove_tree(directory)


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
    """Remove a flat directory such as /run/minidock/<id>."""
    try:
        for entry in os.listdir(path):
            os.unlink(f"{path}/{entry}")
        os.rmdir(path)
    except FileNotFoundError:
        pass


def remove_tree(top: str) -> None:
    """Remove a directory with everything in it. One that is not there is removed already."""
    doomed = doom(top)
    _empty(doomed)
    _remove_empty(doomed)


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
                    lifted = f".removing-{os.getpid()}-{number}"
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
