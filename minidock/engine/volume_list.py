"""Which volumes a list shows.

Several values of one filter are alternatives, except labels, which must all be there; different
filters must all hold. A volume *dangles* when no container uses it.

See: https://docs.docker.com/reference/cli/docker/volume/ls/, moby's volume/service/convert.go
"""

from __future__ import annotations

from minidock.engine.volume_removal import volume_uses
from minidock.engine.volumes import DRIVER, Volumes
from minidock.errors import InvalidInput

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from minidock.engine.containers import Containers
    from minidock.engine.paths import Paths
    from minidock.engine.volumes import Volume

    Filters = Mapping[str, Sequence[str]]

_FILTERS = ("dangling", "name", "driver", "label")
_WORDS = {"1": True, "true": True, "0": False, "false": False}


def list_volumes(paths: Paths, containers: Containers, filters: Filters) -> list[Volume]:
    """The volumes asked for, by name, `data2` before `data10`. Raises `InvalidInput` in Docker's
    words."""
    for name in filters:
        if name not in _FILTERS:
            raise InvalidInput(f"invalid filter '{name}'")
    dangling = _dangling(filters.get("dangling", ()))
    found = Volumes(paths).all()
    if dangling is not None:
        used = volume_uses(containers)
        found = [volume for volume in found if (volume.name in used) is not dangling]
    return sorted((volume for volume in found if _fits(volume, filters)), key=_natural)


def _natural(volume: Volume) -> list[str | int]:
    """What to compare: text, number, text, …"""
    import re

    parts: list[str] = re.split(r"(\d+)", volume.name)
    return [int(part) if number % 2 else part for number, part in enumerate(parts)]


def _dangling(values: Sequence[str]) -> bool | None:
    for value in values:
        if value not in _WORDS:
            raise InvalidInput(f"invalid filter 'dangling=[{value}]'")
    return all(_WORDS[value] for value in values) if values else None


def _fits(volume: Volume, filters: Filters) -> bool:
    names, drivers = filters.get("name", ()), filters.get("driver", ())
    if names and not any(_matches(name, volume.name) for name in names):
        return False
    if drivers and DRIVER not in drivers:
        return False
    labels = volume.labels or {}
    for wanted in filters.get("label", ()):
        key, equals, value = wanted.partition("=")
        if key not in labels or (equals and labels[key] != value):
            return False
    return True


def _matches(pattern: str, name: str) -> bool:
    """As a regular expression, or as it stands where it is none."""
    import re

    try:
        return pattern in name or re.search(pattern, name) is not None
    except re.error:
        return False
