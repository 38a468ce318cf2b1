"""Volumes: directories that belong to no container, so that data outlives them all.

A container's own files lie in its upper directory, and go with it. What should stay, or be seen by
several containers, goes into a volume: a directory of the host's that is mounted into each of them.

    volumes/<name>/volume.json    who made it: labels, options, when
    volumes/<name>/_data/         what the containers see
    volumes/<name>/filling/       only while an empty one is filled from an image: volume_fill.py

A volume made without a name gets 64 hex digits for one, and a label that says so: such an
*anonymous* volume goes with its container (`run --rm`, `rm -v`), a named one when it is told to.

Nothing counts who uses a volume: containers say so themselves (container.json, mount_point.py),
and are asked. While a container is being made nobody can ask it yet, so its maker holds a shared
lock on the directories of its volumes; who removes a volume holds an exclusive one while asking.
Both look again, once they have it, whether the directory still is the one of that name. A volume
appears and goes by one rename, so it is there with all its parts or not at all. What begins with a
dot is half-made or half-removed, and the next command that makes or removes a volume clears it.

See: flock(2), rename(2), https://docs.docker.com/engine/storage/volumes/
"""

from __future__ import annotations

import fcntl
import os

from minidock.engine.statefile import read_json, sync_directory, write_json
from minidock.errors import Conflict, InvalidInput, NotFound
from minidock.linux.private import make_private
from minidock.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from minidock.engine.paths import Paths

ANONYMOUS = "com.docker.volume.anonymous"
"""The label of a volume that nobody gave a name."""
DRIVER = "local"
_FIRST = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789")
_LATER = _FIRST | frozenset("_.-")
_TRIES = 10
_LONGEST = 255  # of a file's name. NAME_MAX, path_resolution(7)
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_OPTIONS = ("type", "o", "device", "size")
_NEEDED = {"device": ("type",), "type": ("device",), "o": ("device", "type")}


class Volume(Record):
    """One volume. `labels` and `options` are None where none were given, as `inspect` shows it."""

    name: str
    directory: str
    created: str
    labels: Mapping[str, str] | None = None
    options: Mapping[str, str] | None = None

    @property
    def data(self) -> str:
        """The directory that containers see."""
        return f"{self.directory}/_data"

    @property
    def anonymous(self) -> bool:
        return ANONYMOUS in (self.labels or {})


class Volumes:
    """All volumes below one root."""

    def __init__(self, paths: Paths) -> None:
        self.home = paths.volumes

    def all(self) -> list[Volume]:
        """Every volume, by name."""
        try:
            names = sorted(os.listdir(self.home))
        except FileNotFoundError:
            return []
        return [volume for volume in map(self.load, names) if volume]

    def find(self, name: str) -> Volume:
        """Raises `NotFound` in Docker's words."""
        volume = self.load(name) if _is_name(name) else None
        if volume is None:
            raise NotFound(f"get {name}: no such volume")
        return volume

    def load(self, name: str) -> Volume | None:
        """None for what is no volume."""
        directory = f"{self.home}/{name}"
        document = None if name.startswith(".") else read_json(f"{directory}/volume.json")
        if document is None:
            return None
        labels, options = document.get("Labels"), document.get("Options")
        return Volume(name, directory, str(document.get("CreatedAt", "")), labels, options)

    def create(
        self,
        name: str = "",
        labels: Mapping[str, str] | None = None,
        options: Mapping[str, str] | None = None,
    ) -> tuple[Volume, bool]:
        """The volume of that name, made if it is not there, and whether it was made now. One that
        is there stays as it is. Raises `InvalidInput` in Docker's words."""
        if not name:
            from minidock.engine.containers import new_id

            name, labels = new_id(), {**(labels or {}), ANONYMOUS: ""}
        check_volume(name, options)
        make_private(self.home)
        at_it = os.open(self.home, _DIRECTORY)
        try:
            fcntl.flock(at_it, fcntl.LOCK_SH)  # see sweep
            for _ in range(_TRIES):
                there = self.load(name)
                made = there or self._make(name, labels, options)
                if made:
                    return made, made is not there
        finally:
            os.close(at_it)
        raise Conflict(f"create {name}: the volume is being removed all the time")

    def _make(
        self, name: str, labels: Mapping[str, str] | None, options: Mapping[str, str] | None
    ) -> Volume | None:
        """None where somebody else was faster."""
        from minidock.spec.timestamp import now

        temporary = f"{self.home}/.{os.urandom(8).hex()}.new"
        os.mkdir(temporary, 0o700)
        os.mkdir(f"{temporary}/_data", 0o755)
        os.chmod(f"{temporary}/_data", 0o755)  # whatever the umask: everybody in a container
        document: dict[str, Any] = {
            "CreatedAt": f"{now()[:19]}Z",
            "Driver": DRIVER,
            "Labels": dict(labels) if labels else None,
            "Name": name,
            "Options": dict(options) if options else None,
        }
        write_json(f"{temporary}/volume.json", document)
        try:
            os.rename(temporary, f"{self.home}/{name}")
        except OSError:
            _discard(temporary)
            if os.path.isdir(f"{self.home}/{name}"):
                return None
            raise
        sync_directory(self.home)
        labels, options = document["Labels"], document["Options"]
        return Volume(name, f"{self.home}/{name}", document["CreatedAt"], labels, options)

    def hold(self, name: str) -> int:
        """Keep a volume from being removed, until the descriptor is closed. Raises `NotFound`."""
        return self._lock(name, fcntl.LOCK_SH)

    def lock(self, name: str, *, wait: bool) -> int:
        """Keep everybody else from holding it. Raises `NotFound`; `BlockingIOError` where somebody
        holds it and there is to be no waiting."""
        return self._lock(name, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))

    def _lock(self, name: str, how: int) -> int:
        path = f"{self.home}/{name}"
        while True:
            try:
                fd = os.open(path, _DIRECTORY)
            except FileNotFoundError:
                raise NotFound(f"get {name}: no such volume") from None
            try:
                fcntl.flock(fd, how)
                if _is_still(path, fd):
                    return fd
            except BaseException:
                os.close(fd)
                raise
            os.close(fd)  # removed meanwhile, and perhaps made anew

    def discard(self, name: str) -> None:
        """Remove a volume on which the caller has the exclusive lock."""
        doomed = f"{self.home}/.{os.urandom(8).hex()}.old"
        os.rename(f"{self.home}/{name}", doomed)
        sync_directory(self.home)
        _discard(doomed)

    def sweep(self) -> None:
        """Remove what a killed command left. Not while somebody is making a volume."""
        try:
            left = [name for name in os.listdir(self.home) if name.startswith(".")]
        except FileNotFoundError:
            return
        if not left:
            return
        fd = os.open(self.home, _DIRECTORY)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            for name in left:
                _discard(f"{self.home}/{name}".removesuffix(".removing"))
        except BlockingIOError:
            pass
        finally:
            os.close(fd)


def _is_still(path: str, fd: int) -> bool:
    try:
        return os.path.samestat(os.stat(path), os.fstat(fd))
    except FileNotFoundError:
        return False


def _discard(directory: str) -> None:
    from minidock.engine.removal import remove_tree

    remove_tree(directory)


def _is_name(name: str) -> bool:
    return 1 < len(name) <= _LONGEST and name[0] in _FIRST and set(name) <= _LATER


def check_volume(name: str, options: Mapping[str, str] | None = None) -> None:
    """Raises `InvalidInput` in Docker's words."""
    problem = ""
    if len(name) == 1:
        problem = "volume name is too short, names should be at least two alphanumeric characters"
    elif not _is_name(name) and len(name) <= _LONGEST:
        from minidock.spec.quoting import quote

        problem = (
            f"{quote(name)} includes invalid characters for a local volume name, only "
            '"[a-zA-Z0-9][a-zA-Z0-9_.-]" are allowed. If you intended to pass a host directory, '
            "use absolute path"
        )
    elif len(name) > _LONGEST:
        problem = "file name too long"
    problem = problem or _problem_of(options or {})
    if problem:
        raise InvalidInput(f"create {name}: {problem}")


def check_driver(name: str, driver: str) -> None:
    """Raises `NotFound` in Docker's words for one that is not here: there are no plugins."""
    if driver not in ("", DRIVER):
        raise NotFound(
            f'create {name}: error looking up volume plugin {driver}: plugin "{driver}" not found',
            hint=f'There is one volume driver, "{DRIVER}".',
        )


def _problem_of(options: Mapping[str, str]) -> str:
    for key in options:
        if key not in _OPTIONS:
            return f'invalid option: "{key}"'
    if options.get("size"):
        return "quota size requested but no quota support"
    for key in options:
        for other in _NEEDED.get(key, ()):
            if not options.get(other):
                return f'missing required option: "{other}"'
    return ""


def volume_document(volume: Volume) -> dict[str, object]:
    """What `volume inspect` shows, in Docker's order."""
    return {
        "CreatedAt": volume.created,
        "Driver": DRIVER,
        "Labels": volume.labels,
        "Mountpoint": volume.data,
        "Name": volume.name,
        "Options": volume.options,
        "Scope": "local",
    }
