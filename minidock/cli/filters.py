"""`--filter name=value`, as the list commands take it.

What the names mean is the engine's affair; here is only how they are written: the name in any
case, spaces around both parts ignored, and an empty filter is none.

See: docker/cli opts/opts.go (FilterOpt)
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable


def filter_pair(text: str) -> str:
    """The `check` of a `--filter` flag. Raises ValueError in Docker's words."""
    if not text:
        return ""
    name, equals, value = text.partition("=")
    if not equals:
        raise ValueError("bad format of filter (expected name=value)")
    return f"{name.strip().lower()}={value.strip()}"


def collect_filters(pairs: Iterable[str]) -> dict[str, list[str]]:
    """The values of each filter by its name, in the order they were given."""
    filters: dict[str, list[str]] = {}
    for pair in pairs:
        if pair:
            name, _, value = pair.partition("=")
            filters.setdefault(name, []).append(value)
    return filters
