"""`--userns auto`: users for one container that are nobody's else.

In a user namespace root is some user of the host without any rights (isolation/idmap.py). Should a
program get out of its container, that user is who it is; so no other container may have the same
one. Each gets 65536 ids, from the part of the id space that systemd sets aside for containers and
that /etc/subuid and /etc/subgid give to nobody.

Which are taken is written as symbolic links, `userns/<first id>` → `../containers/<id>`, and holds
for as long as that container is there. Who takes one holds an flock on the directory.

See: user_namespaces(7), subuid(5), https://systemd.io/UIDS-GIDS/, podman-run(1) on --userns=auto
"""

from __future__ import annotations

import fcntl
import os

from minidock.errors import Conflict
from minidock.linux.private import make_private

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

SIZE = 65536
_FIRST, _LAST = 524288, 1879048191


def take_range(root: str, container_id: str) -> int:
    """The first of `SIZE` ids that this container of the state root now has for itself.

    Raises `Conflict` when there are none left, `OSError`.
    """
    directory = f"{root}/userns"
    make_private(directory)
    lock = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        first = free_range(root)
        name = f"{directory}/{first}"
        try:
            os.unlink(name)  # of a container that is no more
        except FileNotFoundError:
            pass
        os.symlink(f"../containers/{container_id}", name)
        return first
    finally:
        os.close(lock)


def free_range(root: str) -> int:
    """The first range that nobody has. Raises `Conflict`."""
    taken = set(_taken(root))
    given = [*_given_away("/etc/subuid"), *_given_away("/etc/subgid")]
    for first in range(_FIRST, _LAST, SIZE):
        if first not in taken and not any(a < first + SIZE and first < b for a, b in given):
            return first
    raise Conflict("every range of user ids for containers is taken")


def _taken(root: str) -> Iterator[int]:
    directory = f"{root}/userns"
    try:
        names = os.listdir(directory)
    except FileNotFoundError:
        return
    for name in names:
        if name.isdigit() and os.path.exists(f"{directory}/{name}"):  # else the link dangles
            yield int(name)


def _given_away(path: str) -> Iterator[tuple[int, int]]:
    """`user:first:count` lines, as the first id and the one after the last."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            lines = file.read().splitlines()
    except OSError:
        return
    for line in lines:
        fields = line.split(":")
        if len(fields) == 3 and fields[1].isdigit() and fields[2].isdigit():
            yield int(fields[1]), int(fields[1]) + int(fields[2])


def mappings(first: int) -> dict[str, list[str]]:
    """As `inspect` shows them, in podman's words: container's first id, host's, how many."""
    return {"UidMap": [f"0:{first}:{SIZE}"], "GidMap": [f"0:{first}:{SIZE}"]}


def from_config(texts: list[str]) -> list[dict[str, int]]:
    """`["0:524288:65536"]` for config.json."""
    keys = ("containerID", "hostID", "size")
    return [dict(zip(keys, map(int, text.split(":")), strict=True)) for text in texts]
