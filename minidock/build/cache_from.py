"""`--cache-from IMAGE`: an image that brings its cache along.

Built with `--build-arg BUILDKIT_INLINE_CACHE=1` (Docker's word for it), an image's config holds the
keys of the steps that made it, and which of its layers each made. So a machine that has never built
it can pull it, and need not make again what has not changed. Images without it are of no use here,
and none is no error: there is nothing to take from the cache on the first build of all.
"""

from __future__ import annotations

from minidock.build.cache import Made
from minidock.errors import BadData, MinidockError
from minidock.spec.digest import DiffID
from minidock.spec.reference import parse_reference

TYPE_CHECKING = False
if TYPE_CHECKING:
    from minidock.build.builder import Build


def steps_of(build: Build, name: str) -> dict[str, Made]:
    """The steps that an image brings along, by their keys."""
    from minidock.build.builder import INLINE_CACHE

    if name.startswith("type=registry"):
        fields = dict(field.partition("=")[::2] for field in name.split(","))
        name = fields.get("ref", "")
    try:
        image = build.images.resolve(name)
    except MinidockError:
        fetch = build.options.fetch
        if fetch is None:
            return {}
        try:
            fetch(parse_reference(name), build.platform)
            image = build.images.resolve(name)
        except MinidockError as error:
            build.listener.warn(f"--cache-from {name}: {error.message}")
            return {}
    by_diff_id = dict(zip(image.diff_ids, image.layers, strict=True))
    found = {}
    for step in image.config.rest.get(INLINE_CACHE) or ():
        try:
            made = Made(str(step["created"]))
            if step.get("diffID"):
                diff_id = DiffID(step["diffID"])
                made = Made(made.created, by_diff_id[diff_id], diff_id, int(step["size"]))
            found[str(step["key"])] = made
        except (KeyError, TypeError, ValueError, BadData):
            continue
    return found
