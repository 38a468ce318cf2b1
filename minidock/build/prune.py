"""builder prune: what builds keep for the next one, and letting go of it.

    layers          those that no image has take room of their own; the others none
    cache mounts    what RUN --mount=type=cache has collected
    downloads       what ADD has fetched

Without `--all` only layers go that no image has. Removing is two things: the files that say that a
layer is kept, and a sweep of the store, which takes what nothing else needs. What nobody has used
for long goes by itself: daily.py.
"""

from __future__ import annotations

import os

from minidock.build.cache import Cache
from minidock.engine.image_removal import image_uses, sweep_mountpoints
from minidock.engine.listing import tree_size
from minidock.engine.removal import remove_tree
from minidock.image.store import ImageStore
from minidock.record import Record
from minidock.spec.digest import chain_ids

TYPE_CHECKING = False
if TYPE_CHECKING:
    from minidock.engine.containers import Containers
    from minidock.engine.paths import Paths

_DIRECTORIES = ("caches", "downloads")


class CacheUsage(Record):
    """`count` things of `size` bytes, which no image has; `shared` more are in images, too."""

    count: int
    size: int
    shared: int


def cache_usage(paths: Paths, images: ImageStore) -> CacheUsage:
    """How much room it takes. Raises `StoreError`."""
    in_images = _chains_of_images(images)
    kept = images.workshop().kept()
    own = [layer for layer in kept if layer.chain not in in_images]
    home = Cache(paths.root).home
    more = [tree_size(path) for path in _more(home)]
    return CacheUsage(
        len(own) + len(more), sum(layer.size for layer in own) + sum(more), len(kept) - len(own)
    )


def _chains_of_images(images: ImageStore) -> set[str]:
    return {str(chain) for image in images.images() for chain in chain_ids(image.diff_ids)}


def _more(home: str) -> list[str]:
    """The directories of cache mounts, and that of downloads."""
    found = [f"{home}/downloads"] if os.path.isdir(f"{home}/downloads") else []
    try:
        with os.scandir(f"{home}/caches") as entries:
            found += [entry.path for entry in entries if entry.is_dir(follow_symlinks=False)]
    except FileNotFoundError:
        pass
    return found


def prune_builds(
    paths: Paths,
    containers: Containers,
    images: ImageStore,
    *,
    everything: bool,
    until: int | None = None,
) -> int:
    """Remove what was last used before `until` (nanoseconds since 1970), or all. Bytes that are
    free now. Raises `StoreError`, `OSError`."""
    cache, workshop = Cache(paths.root), images.workshop()
    in_images = _chains_of_images(images)
    of_images = {str(layer.digest) for image in images.images() for layer in image.layers}
    freed = 0
    for layer in workshop.kept():
        shared = layer.chain in in_images
        if (shared and not everything) or (until is not None and layer.used >= until):
            continue
        workshop.let_go(layer.chain)
        freed += 0 if shared else layer.size
    for key, used in cache.known():
        if until is not None and used >= until:
            continue
        made = cache.find(key)
        if everything or (made and made.layer and str(made.layer.digest) not in of_images):
            cache.forget(key)
    if everything and until is None:
        freed += sum(tree_size(path) for path in _more(cache.home))
        for name in (*_DIRECTORIES, "hashes", "last", "cache"):
            remove_tree(f"{cache.home}/{name}")
    images.sweep(lambda: image_uses(containers))
    sweep_mountpoints(paths, containers, images)
    return freed
