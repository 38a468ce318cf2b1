"""Which images `images` lists, and under which of their names.

An image without a name is *dangling*: its name went to a newer one. One without a name from which
others were committed is *intermediate*, somebody's parent and of no interest by itself; it is
left out unless all are asked for.

The filters are Docker's: different ones must all hold, several values of one must either all hold
(label) or one of them (reference); of several `before` the earliest counts, of several `since` the
latest.

See: moby daemon/images/images.go, docker/cli cli/command/image/list.go
"""

from __future__ import annotations

from minidock.errors import InvalidInput
from minidock.record import Record
from minidock.spec.timestamp import ZERO, parse_time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from minidock.image.store import ImageStore, StoredImage

FILTERS = ("before", "dangling", "label", "reference", "since", "until")
_TRUE, _FALSE = ("true", "1"), ("false", "0")


class Listed(Record):
    """An image and those of its familiar names that were asked for; none for a dangling one. Where
    it was pulled by digest, and so has no tag, `ubuntu@sha256:…` stands for one."""

    image: StoredImage
    references: tuple[str, ...]


def created(image: StoredImage) -> int:
    """When an image was made, in nanoseconds since 1970; Go's zero time, the year 1, where it does
    not say."""
    try:
        return parse_time(image.config.created or ZERO)
    except ValueError:
        return parse_time(ZERO)


def list_images(
    images: ImageStore,
    filters: Mapping[str, Sequence[str]],
    *,
    everything: bool = False,
    until: int | None = None,
) -> list[Listed]:
    """Newest first. `filters` has the values of each filter by its name; that of `until` comes
    as a time, in nanoseconds since 1970.

    Raises `InvalidInput` for a filter that cannot be, `NotFound` where an image it names is not
    there.
    """
    dangling = _dangling(filters)
    passes: list[Callable[[StoredImage], bool]] = [
        *_labels(filters.get("label", ())),
        *_limits(images, filters, "before", min, lambda when, limit: when < limit),
        *_limits(images, filters, "since", max, lambda when, limit: when > limit),
    ]
    if until is not None:
        passes.append(lambda image: created(image) < until)
    patterns = tuple(filters.get("reference", ()))
    found = images.images()
    parents = {image.parent for image in found}
    listed = []
    for image in sorted(found, key=created, reverse=True):
        if not all(test(image) for test in passes):
            continue
        all_names = (*image.references, *_without_tag(image))
        names = tuple(n for n in all_names if not patterns or _matches(patterns, n))
        if names:
            wanted = dangling is not True
        else:
            shown = everything or image.id not in parents
            wanted = shown and dangling is not False and not patterns
        if wanted:
            listed.append(Listed(image, names))
    return listed


def _without_tag(image: StoredImage) -> list[str]:
    """The digests of repositories from which it has no tag."""
    tagged = {name.rpartition(":")[0] for name in image.references}
    return [name for name in image.repo_digests if name.partition("@")[0] not in tagged]


def _dangling(filters: Mapping[str, Sequence[str]]) -> bool | None:
    """True: only these; False: all but these; None: not asked."""
    for name in filters:
        if name not in FILTERS:
            raise InvalidInput(f"invalid filter '{name}'")
    values = filters.get("dangling", ())
    if not values:
        return None
    if any(value in _TRUE for value in values):
        return True
    if any(value in _FALSE for value in values):
        return False
    raise InvalidInput(f"invalid filter 'dangling=[{' '.join(values)}]'")


def _labels(wanted: Sequence[str]) -> list[Callable[[StoredImage], bool]]:
    def has(text: str) -> Callable[[StoredImage], bool]:
        key, equals, value = text.partition("=")

        def test(image: StoredImage) -> bool:
            labels = image.config.config.get("Labels") or {}
            return key in labels and (not equals or labels[key] == value)

        return test

    return [has(text) for text in wanted]


def _limits(
    images: ImageStore,
    filters: Mapping[str, Sequence[str]],
    name: str,
    strictest: Callable[[list[int]], int],
    holds: Callable[[int, int], bool],
) -> list[Callable[[StoredImage], bool]]:
    """`before` and `since`: an image on the right side of the images that are named."""
    if not filters.get(name):
        return []
    limit = strictest([created(images.resolve(image)) for image in filters[name]])
    return [lambda image: holds(created(image), limit)]


def _matches(patterns: Sequence[str], name: str) -> bool:
    """A pattern is for the whole name, `ubuntu:*`, or for the repository, `ubuntu`."""
    from minidock.spec.glob import path_match

    repository = name.partition("@")[0]
    if ":" in repository.rpartition("/")[2]:
        repository = repository.rpartition(":")[0]
    return any(path_match(p, name) or path_match(p, repository) for p in patterns)
