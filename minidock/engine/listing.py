"""Which containers a list shows, and what they take up on disk.

Without a filter: those that run. `-a` adds the others, `-n` shows the newest few whatever they
do, and asking for a status or giving a limit means that stopped ones are wanted too. Several
values of one filter are alternatives (`status=exited`, `status=created`), except labels, which
must all be there; different filters must all hold.

See: https://docs.docker.com/reference/cli/docker/container/ls/#filter, moby's daemon/list.go
"""

from __future__ import annotations

import os

from minidock.engine.health import HEALTHY, NONE, STARTING, UNHEALTHY, health_of
from minidock.engine.statefile import read_json
from minidock.errors import InvalidInput, MinidockError, NotFound, StoreError
from minidock.record import Record
from minidock.spec.timestamp import ZERO

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from minidock.engine.containers import Container, Containers, State
    from minidock.image.store import ImageStore

    Filters = Mapping[str, Sequence[str]]
    Test = Callable[[Container, State], bool]

MAX_DEPTH = 256  # of directories that are walked, see tree_size
_OPEN_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
STATUSES = ("created", "running", "paused", "restarting", "removing", "exited", "dead")
_HEALTH = (NONE, STARTING, HEALTHY, UNHEALTHY)
_FLAG_WORDS = {"1": True, "true": True, "0": False, "false": False}


class Listed(Record):
    """One line of the list. `image` is what to show for the container's image: the name it was
    started by, or the id where that name means another image by now."""

    container: Container
    state: State
    image: str


def list_containers(
    containers: Containers,
    images: ImageStore,
    *,
    everything: bool = False,
    last: int = -1,
    filters: Filters | None = None,
) -> list[Listed]:
    """The containers asked for, newest first; `last` above 0 limits their number.

    Raises `InvalidInput` and `NotFound` for filters that cannot be, in Docker's words.
    """
    tests = _tests(containers, images, filters or {})
    everything = everything or last > 0 or "status" in (filters or {})
    names = ImageNames(images)
    found: list[Listed] = []
    for container in containers.all():
        state = container.state()
        if not everything and not state.active:
            continue
        if all(test(container, state) for test in tests):
            found.append(Listed(container, state, names.shown(container)))
            if len(found) == last:
                break
    return found


class ImageNames:
    """What the names of images mean now; each is looked up once."""

    def __init__(self, images: ImageStore) -> None:
        self._images = images
        self._ids: dict[str, str] = {}

    def shown(self, container: Container) -> str:
        """The name of the container's image; its id (`sha256:…`) where the container was started
        by id, or where the name has been removed or moved to another image."""
        name, image_id = container.document["ImageName"], str(container.document["Image"])
        if name == image_id.removeprefix("sha256:")[:12]:
            return image_id
        return str(name) if self._id_of(name) == image_id else image_id

    def _id_of(self, name: str) -> str:
        if name not in self._ids:
            try:
                self._ids[name] = str(self._images.resolve(name).id)
            except MinidockError:  # removed, or damaged: `ps` has to work all the same
                self._ids[name] = ""
        return self._ids[name]


# ── filters ──


def _tests(containers: Containers, images: ImageStore, filters: Filters) -> list[Test]:
    """One test per filter."""
    unknown = sorted(set(filters) - set(_FILTERS))
    if unknown:
        raise InvalidInput(f"invalid filter '{unknown[0]}'")
    return [
        _FILTERS[name](values, containers, images)
        for name, values in filters.items()
        if values  # `--filter ""` is nothing
    ]


def _by_id(values: Sequence[str], containers: Containers, _: ImageStore) -> Test:
    """The beginning of an id, if there is only one such container."""
    known = [container.id for container in containers.all()]
    wanted = set()
    for value in values:
        matches = [i for i in known if value and i.startswith(value)]
        if len(matches) == 1:
            wanted.add(matches[0])
    return lambda container, _: container.id in wanted


def _by_name(values: Sequence[str], *_: object) -> Test:
    """A regular expression, searched in the name with and without its slash."""
    import re

    patterns = []
    for value in values:
        try:
            patterns.append(re.compile(value))
        except re.error:
            patterns.append(re.compile(re.escape(value)))

    def test(container: Container, _: State) -> bool:
        names = (container.name, "/" + container.name)
        return any(pattern.search(name) for pattern in patterns for name in names)

    return test


def _by_label(values: Sequence[str], *_: object) -> Test:
    """`key` or `key=value`; all of them."""
    wanted = [value.partition("=") for value in values]

    def test(container: Container, _: State) -> bool:
        labels = container.document["Config"].get("Labels") or {}
        return all(key in labels and (not eq or labels[key] == text) for key, eq, text in wanted)

    return test


def _by_exit_code(values: Sequence[str], *_: object) -> Test:
    codes = {_number(value) for value in values}

    def test(_: Container, state: State) -> bool:
        ended = not state.active and state.started_at != ZERO
        return ended and state.exit_code in codes

    return test


def _number(text: str) -> int:
    """strconv.Atoi."""
    digits = text[1:] if text[:1] in ("+", "-") else text
    if not (digits.isascii() and digits.isdigit()):
        raise InvalidInput(f'strconv.Atoi: parsing "{text}": invalid syntax')
    if len(digits) > 18:
        raise InvalidInput(f'strconv.Atoi: parsing "{text}": value out of range')
    return int(text)


def _by_status(values: Sequence[str], *_: object) -> Test:
    for value in values:
        if value not in STATUSES:
            raise InvalidInput(f"invalid filter 'status={value}'")
    return lambda _, state: state.status in values


def _by_ancestor(values: Sequence[str], _: Containers, images: ImageStore) -> Test:
    """The image, or one that was committed from it, however many times."""
    wanted = set()
    for value in values:
        try:
            wanted.add(str(images.resolve(value).id))
        except (InvalidInput, NotFound):
            continue  # no image, so no container of it
    parents = {str(image.id): image.parent for image in images.images()} if wanted else {}

    def test(container: Container, _: State) -> bool:
        image = str(container.document["Image"])
        seen = set()
        while image and image not in wanted and image not in seen:
            seen.add(image)
            image = parents.get(image, "")
        return image in wanted

    return test


def _age(container: Container) -> tuple[str, str]:
    return str(container.document.get("Created")), container.id


def _before(values: Sequence[str], containers: Containers, _: ImageStore) -> Test:
    limit = _age(_known(containers, values[-1]))
    return lambda container, _: _age(container) < limit


def _since(values: Sequence[str], containers: Containers, _: ImageStore) -> Test:
    limit = _age(_known(containers, values[-1]))
    return lambda container, _: _age(container) > limit


def _known(containers: Containers, reference: str) -> Container:
    try:
        return containers.find(reference)
    except NotFound:
        raise NotFound(f"no such container {reference}".rstrip()) from None


def networks_of(container: Container) -> dict[str, str]:
    """The networks that a container is on, or will be when it runs, by name, with their ids where
    they are known."""
    mode = str(container.document["HostConfig"]["NetworkMode"])
    wanted = container.document.get("Networks", {mode: {}})
    now = (read_json(f"{container.run_dir}/network.json") or {}).get("Networks") or {}
    return {name: str(now.get(name, {}).get("NetworkID", "")) for name in wanted}


def _by_network(values: Sequence[str], *_: object) -> Test:
    """By name, or by the whole id."""

    def test(container: Container, _: State) -> bool:
        networks = networks_of(container)
        return any(value in networks or value in networks.values() for value in values if value)

    return test


def _by_volume(values: Sequence[str], *_: object) -> Test:
    """A volume's name, a directory of the host's, or a path of the container's."""

    def test(container: Container, _: State) -> bool:
        points = container.document.get("MountPoints", ())
        places = {
            place for p in points for place in (p.get("Name") or p["Source"], p["Destination"])
        }
        return not places.isdisjoint(values)

    return test


def _by_health(values: Sequence[str], *_: object) -> Test:
    for value in values:
        if value not in _HEALTH:
            raise InvalidInput(f"unrecognized filter value for health: {value}")

    def test(container: Container, state: State) -> bool:
        health = health_of(container, state)
        return (health["Status"] if health else NONE) in values

    return test


def _by_task(values: Sequence[str], *_: object) -> Test:
    """Tasks belong to Docker's swarm; no container here is one."""
    for value in values:
        if value not in _FLAG_WORDS:
            raise InvalidInput(f"invalid filter 'is-task=[{value}]'")
    return lambda *_: not all(_FLAG_WORDS[value] for value in values)


def _by_published_port(values: Sequence[str], *_: object) -> Test:
    from minidock.engine.port_filters import by_published_port

    return by_published_port(values)


def _by_exposed_port(values: Sequence[str], *_: object) -> Test:
    from minidock.engine.port_filters import by_exposed_port

    return by_exposed_port(values)


_FILTERS: Mapping[str, Callable[[Sequence[str], Containers, ImageStore], Test]] = {
    "ancestor": _by_ancestor,
    "before": _before,
    "exited": _by_exit_code,
    "expose": _by_exposed_port,
    "health": _by_health,
    "id": _by_id,
    "is-task": _by_task,
    "isolation": lambda *_: lambda *_: True,  # of Windows; here there is only one way
    "label": _by_label,
    "name": _by_name,
    "network": _by_network,
    "publish": _by_published_port,
    "since": _since,
    "status": _by_status,
    "volume": _by_volume,
}


# ── files ──


def lowerdirs(container: Container) -> tuple[str, ...]:
    """The directories below the container's own, topmost first. Raises `StoreError`."""
    from minidock.spec.overlay import split_layers

    spec = read_json(f"{container.directory}/config.json") or {}
    for mount in spec.get("mounts", []):
        if mount.get("destination") == "/":
            for option in mount.get("options", []):
                if option.startswith("lowerdir="):
                    return split_layers(option.removeprefix("lowerdir="))
    raise StoreError(f"container {container.id}: config.json does not say what lies below it")


class Sizes:
    """What containers take up on disk. The size of each image is found out once."""

    def __init__(self, images: ImageStore) -> None:
        self._images = images
        self._known: dict[str, int] = {}

    def of(self, container: Container) -> tuple[int, int]:
        """Bytes that the container wrote, and bytes of its whole root filesystem."""
        written = tree_size(container.upper)
        return written, written + self._image_size(str(container.document["Image"]))

    def _image_size(self, image_id: str) -> int:
        if image_id not in self._known:
            try:
                self._known[image_id] = self._images.size(self._images.resolve(image_id))
            except NotFound:
                self._known[image_id] = 0
        return self._known[image_id]


def tree_size(top: str) -> int:
    """Bytes in the files and links of a tree, hard links counted once, directories not at all.

    The container may be writing meanwhile. No name is followed: a directory that was swapped for a
    link to the host's `/` is not walked. Docker counts in the same way. moby's pkg/directory
    """
    linked: set[tuple[int, int]] = set()
    fd = os.open(top, _OPEN_DIRECTORY)
    try:
        return _tree_size(fd, linked, 0)
    finally:
        os.close(fd)


def _tree_size(directory: int, linked: set[tuple[int, int]], depth: int) -> int:
    total = 0
    with os.scandir(directory) as entries:
        for entry in entries:
            try:
                if entry.is_dir(follow_symlinks=False):
                    if depth < MAX_DEPTH:  # a descriptor each; what lies deeper is not counted
                        total += _inner_size(directory, entry.name, linked, depth)
                    continue
                status = entry.stat(follow_symlinks=False)
            except (FileNotFoundError, NotADirectoryError):
                continue  # vanished, or no directory any more
            if status.st_nlink > 1:
                if (status.st_dev, status.st_ino) in linked:
                    continue
                linked.add((status.st_dev, status.st_ino))
            total += status.st_size
    return total


def _inner_size(parent: int, name: str, linked: set[tuple[int, int]], depth: int) -> int:
    fd = os.open(name, _OPEN_DIRECTORY, dir_fd=parent)
    try:
        return _tree_size(fd, linked, depth + 1)
    finally:
        os.close(fd)
