"""Which events `events --filter` shows.

Values of one filter are alternatives, but for labels, which must all be there; different filters
must all hold. Containers, networks and volumes may be named by the beginning of an id or a name; an
image by its whole name, with or without the tag.

See: moby's daemon/events/filter.go
"""

from __future__ import annotations

from minidock.errors import InvalidInput

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any

    Event = dict[str, Any]
    Test = Callable[[Event], bool]

_ACTORS = ("config", "container", "daemon", "network", "node", "plugin", "secret", "service",
           "volume")  # fmt: skip
_WITH_MORE = ("health_status", "exec_create", "exec_start")  # whose action goes on behind a colon


def event_test(filters: Mapping[str, Sequence[str]]) -> Test:
    """Whether an event passes. Raises `InvalidInput` for a filter that there is not."""
    tests = [_test(name, values) for name, values in filters.items() if values]
    return lambda event: all(test(event) for test in tests)


def _test(name: str, values: Sequence[str]) -> Test:
    if name in _ACTORS:
        return lambda event: (
            _begins(event["Actor"]["ID"], values) or _begins(_attribute(event, "name"), values)
        )
    if name == "type":
        return lambda event: event["Type"] in values
    if name == "scope":
        return lambda event: event["scope"] in values
    if name == "event":
        if any(value in _WITH_MORE for value in values):
            return lambda event: _begins(event["Action"], values)
        return lambda event: event["Action"] in values
    if name == "label":
        return lambda event: all(_has_label(event, value) for value in values)
    if name == "image":
        return lambda event: _is_about_image(event, values)
    raise InvalidInput(f"invalid filter '{name}'")


def _attribute(event: Event, name: str) -> str:
    return str(event["Actor"]["Attributes"].get(name, ""))


def _begins(text: str, beginnings: Sequence[str]) -> bool:
    return text.startswith(tuple(beginnings))


def _has_label(event: Event, wanted: str) -> bool:
    """Labels stand among the other attributes."""
    key, equals, value = wanted.partition("=")
    attributes = event["Actor"]["Attributes"]
    return key in attributes and (not equals or attributes[key] == value)


def _is_about_image(event: Event, wanted: Sequence[str]) -> bool:
    name = _attribute(event, "name" if event["Type"] == "image" else "image")
    names = (event["Actor"]["ID"], name)
    return any(text in wanted or _without_tag(text) in wanted for text in names if text)


def _without_tag(name: str) -> str:
    repository, colon, tag = name.rpartition(":")
    return repository if colon and "/" not in tag else name
