"""Mark and sweep: remove what nothing points to.

Blobs and layers are shared, so no command can know that the one it lets go of was the last. The
sweeper starts from what is certainly needed, marks everything it can reach, and removes the rest:

    index.json ─► manifests ─► configs, layer blobs          images/blobs
                      └──────► ChainIDs                      layers
    containers ─► the layers their root filesystem stacks    layers
    kept ─► layers of builds, which are in no image yet      layers, images/blobs

What is not in index.json *yet* looks like garbage too. So whoever writes holds the store's lock
shared, and the sweeper needs it alone (locks.py). If it cannot have it, it does nothing: the
garbage harms nobody and the next sweep takes it. What is removed is first renamed into `layers/new`
under the lock, in no time, and deleted after it, so that nobody waits for a deletion.
"""

from __future__ import annotations

import os

from minidock.errors import BadJSON, StoreError
from minidock.image.kept import kept_layers
from minidock.image.locks import alone
from minidock.image.partial import is_kept
from minidock.record import Record
from minidock.spec.digest import ChainID, Digest, chain_ids
from minidock.spec.image import (
    CONFIGS,
    INDEXES,
    MANIFESTS,
    Descriptor,
    parse_image_config,
    parse_index,
    parse_manifest,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from types import TracebackType

    from minidock.image.blobs import Blobs
    from minidock.image.layout import Layout
    from minidock.image.snapshots import Snapshots


class Marked(Record):
    """What must stay."""

    blobs: frozenset[Digest]
    chains: frozenset[ChainID]


class Writing:
    """`with Writing(layout, snapshots): …` adds things: the sweeper waits, the directories exist.

    On the way in, if nobody else is at work, the half-made things of killed writers go.
    """

    def __init__(self, layout: Layout, snapshots: Snapshots) -> None:
        self._layout = layout
        self._snapshots = snapshots
        self._lock = alone(layout.lock_path)

    def __enter__(self) -> None:
        self._layout.make()
        self._snapshots.make()
        self._lock.__enter__()
        try:
            if self._lock.held:
                clear_leftovers(self._layout.blobs, self._snapshots)
            self._lock.share()
        except BaseException:
            self._lock.__exit__(None, None, None)
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        self._lock.__exit__(kind, error, None)


def clear_leftovers(blobs: Blobs, snapshots: Snapshots) -> None:
    """Remove everything half-made. Only for who holds the lock alone.

    What a living process is writing is left: `tag` replaces index.json under that file's own lock.
    So is a download that was interrupted less than a day ago.
    """
    for name in os.listdir(blobs.ingest):
        if is_left_over(blobs, name):
            try:
                os.unlink(f"{blobs.ingest}/{name}")
            except FileNotFoundError:
                continue  # it had just been renamed into its place
    snapshots.clear_new()


def is_left_over(blobs: Blobs, name: str) -> bool:
    """Whether a file in `ingest` is of a writer that is gone, and nobody will go on with it."""
    writer = name.partition("-")[0]
    return not is_kept(blobs.ingest, name) and not os.path.exists(f"/proc/{writer}")


def sweep(
    layout: Layout, snapshots: Snapshots, used_lowerdirs: Callable[[], Iterable[str]]
) -> bool:
    """Remove what neither images nor containers need. False if somebody was writing meanwhile.

    `used_lowerdirs()`: the directories that containers stack, as `ImageStore.lowerdirs` named them.
    Asked for under the lock: before, one could be made that is not among them. If an image is so
    damaged that it cannot be marked, nothing is swept either: raises `StoreError`.
    """
    with alone(layout.lock_path) as lock:
        if not lock.held:
            return False
        marked = mark(layout)
        used = {chain for path in used_lowerdirs() if (chain := snapshots.chain_of(path))}
        keep = marked.chains | used
        for digest in layout.blobs.all():
            if digest not in marked.blobs:
                layout.blobs.remove(digest)
        for chain in snapshots.all():
            if chain not in keep:
                snapshots.discard(chain)
        snapshots.drop_links(keep)
    with alone(layout.lock_path) as lock:
        if lock.held:
            clear_leftovers(layout.blobs, snapshots)
    return True


def mark(layout: Layout) -> Marked:
    """Everything that index.json leads to, and what is kept. A blob that is missing leads nowhere
    further."""
    blobs: set[Digest] = set()
    chains: set[ChainID] = set()
    pending = [entry.descriptor for entry in layout.entries()]
    while pending:
        descriptor = pending.pop()
        if descriptor.digest in blobs:
            continue
        blobs.add(descriptor.digest)
        if not layout.blobs.has(descriptor.digest):
            continue  # another platform's manifest, or damage: either way nothing to keep alive
        try:
            pending += _children(layout.blobs, descriptor, chains)
        except BadJSON as error:
            raise StoreError(error.message) from None
    for layer in kept_layers(layout):
        blobs.add(layer.digest)
        chains.add(layer.chain)
    return Marked(frozenset(blobs), frozenset(chains))


def _children(blobs: Blobs, descriptor: Descriptor, chains: set[ChainID]) -> list[Descriptor]:
    """What a blob points to; the layers that its config names go into `chains`."""
    what = f"blob {descriptor.digest.short}"
    if descriptor.media_type in INDEXES:
        return list(parse_index(blobs.read(descriptor, what), what).manifests)
    if descriptor.media_type in MANIFESTS:
        manifest = parse_manifest(blobs.read(descriptor, what), what)
        config = manifest.config
        # A config of another kind (a signature, a chart) is just a blob.
        if config.media_type in CONFIGS and blobs.has(config.digest):
            parsed = parse_image_config(blobs.read(config, what), what)
            chains.update(chain_ids(parsed.diff_ids))
        return [config, *manifest.layers]
    return []
