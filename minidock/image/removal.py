"""rmi: what goes when a user removes an image. `plan_removal` is a pure function of what there is.

A tag is a name, an image is the thing. `rmi NAME` takes the name away, and the image with it only
if that was its last name; `rmi ID` wants the image gone and is refused while it has several
names, unless forced. Containers protect the image they were made from: a stopped one until forced,
a running one always. An image that others were committed from stays, without a name, for as long as
those exist, and goes with the last of them.

The rules and the words are those of Docker with its classic image store.

See: moby daemon/images/image_delete.go
"""

from __future__ import annotations

from minidock.errors import Conflict, InvalidInput, StoreError
from minidock.image import catalog
from minidock.image.gc import sweep
from minidock.image.layout import tidy
from minidock.record import Record
from minidock.spec.digest import chain_ids
from minidock.spec.reference import parse_reference

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from minidock.image.blobs import Blobs
    from minidock.image.catalog import StoredImage
    from minidock.image.layout import Entry, Layout
    from minidock.image.snapshots import Snapshots
    from minidock.spec.digest import ChainID, Digest


class ImageUse(Record):
    """A container's claim on an image. `container` and `image` are full ids (`image` with
    `sha256:`); `lowerdirs` are the directories it stacks, as `ImageStore.lowerdirs` named them."""

    container: str
    image: str
    running: bool
    lowerdirs: tuple[str, ...] = ()


class Removal(Record):
    """What to do: names to take away, images to delete, and what to tell the user."""

    untag: frozenset[str]
    delete: frozenset[Digest]
    lines: tuple[str, ...]


def plan_removal(
    images: Sequence[StoredImage],
    uses: Sequence[ImageUse],
    used_chains: frozenset[ChainID],
    image: StoredImage,
    *,
    name: str,
    reference: str,
    force: bool,
    prune: bool = True,
) -> Removal:
    """`name` is what the user typed and `reference` the familiar name that is, empty for an id.
    Without `prune` parents stay that nothing needs any more.

    Raises `Conflict`.
    """
    plan = _Plan(images, uses, used_chains, prune=prune)
    if not reference:
        if len(image.references) <= 1:
            plan.check(image, force=force, names_matter=False)
            plan.untag(image, image.references)
        plan.delete(image, force=force, quiet=False)
    else:
        stopped = plan.users(image)
        if not force and len(image.references) == 1 and stopped:
            raise Conflict(
                f'conflict: unable to remove repository reference "{name}" (must force) - '
                f"container {stopped[0].container[:12]} is using its referenced image "
                f"{image.id.short}"
            )
        plan.untag(image, (reference,))
        if not plan.names(image):
            plan.delete(image, force=force, quiet=True)
    return Removal(frozenset(plan.untagged), frozenset(plan.deleted), tuple(plan.lines))


class _Plan:
    def __init__(
        self,
        images: Sequence[StoredImage],
        uses: Sequence[ImageUse],
        used_chains: frozenset[ChainID],
        *,
        prune: bool,
    ) -> None:
        self.lines: list[str] = []
        self.untagged: set[str] = set()
        self.deleted: set[Digest] = set()
        self._images = {image.id: image for image in images}
        self._uses = uses
        self._used_chains = used_chains
        self._prune = prune

    def names(self, image: StoredImage) -> list[str]:
        """The names the image still has."""
        return [name for name in image.references if name not in self.untagged]

    def users(self, image: StoredImage, *, running: bool | None = None) -> list[ImageUse]:
        return [
            use
            for use in self._uses
            if use.image == image.id and (running is None or use.running == running)
        ]

    def untag(self, image: StoredImage, names: Sequence[str]) -> None:
        """Take names away; with the last tag of a repository goes what its registry calls it."""
        for name in names:
            self.untagged.add(name)
            self.lines.append(f"Untagged: {name}")
        left = {_repository(name) for name in self.names(image)}
        for digest in image.repo_digests:
            if digest not in self.untagged and _repository(digest) not in left:
                self.untagged.add(digest)
                self.lines.append(f"Untagged: {digest}")

    def check(self, image: StoredImage, *, force: bool, names_matter: bool = True) -> None:
        """Raise the `Conflict` that forbids deleting an image, if there is one."""
        if any(child.parent == image.id for child in self._images.values()):
            raise _conflict(image, "cannot be forced", "image has dependent child images")
        for use in self.users(image, running=True):
            problem = f"image is being used by running container {use.container[:12]}"
            raise _conflict(image, "cannot be forced", problem)
        if force:
            return
        if names_matter and self.names(image):
            problem = "image is referenced in multiple repositories"
            raise _conflict(image, "must be forced", problem)
        for use in self.users(image, running=False):
            problem = f"image is being used by stopped container {use.container[:12]}"
            raise _conflict(image, "must be forced", problem)

    def delete(self, image: StoredImage, *, force: bool, quiet: bool) -> None:
        """Delete an image, then its parent if that has no other reason to exist.

        `quiet`: what was asked for, taking a name away, is done; that the image must stay is no
        error then.
        """
        try:
            self.check(image, force=force)
        except Conflict:
            if quiet:
                return
            raise
        self.untag(image, self.names(image))
        before = self._chains()
        del self._images[image.id]
        self.deleted.add(image.id)
        self.lines.append(f"Deleted: {image.id}")
        gone = before - self._chains()
        for chain in reversed(chain_ids(image.diff_ids)):
            if chain in gone:
                self.lines.append(f"Deleted: {chain}")
        parent = next((i for i in self._images.values() if i.id == image.parent), None)
        if parent and self._prune:
            self.delete(parent, force=False, quiet=True)

    def _chains(self) -> set[ChainID]:
        """The layers that the images left and the containers need."""
        chains = set(self._used_chains)
        for image in self._images.values():
            chains.update(chain_ids(image.diff_ids))
        return chains


def _repository(name: str) -> str:
    return name.partition("@")[0] if "@" in name else name.rpartition(":")[0]


def _conflict(image: StoredImage, remedy: str, problem: str) -> Conflict:
    return Conflict(f"conflict: unable to delete {image.id.short} ({remedy}) - {problem}")


# ── doing it ─────────────────────────────────────────────────────────────────────────────────────


def remove_image(
    layout: Layout,
    snapshots: Snapshots,
    name: str,
    used_by: Callable[[], Sequence[ImageUse]],
    *,
    force: bool,
    prune: bool = True,
) -> list[str]:
    """Plan and do it under the lock of index.json, then sweep. Returns the lines for the user.

    Raises `NotFound`, `Conflict`, `InvalidInput`; then nothing has changed.
    """
    lines: list[str] = []

    def change(entries: list[Entry]) -> list[Entry]:
        sound = [entry for entry in entries if _is_sound(layout.blobs, entry)]
        for entry in entries:
            if entry not in sound and _is_meant(entry, name):
                lines.append(f"Untagged: {entry.reference or entry.descriptor.digest}")
                return [other for other in entries if other != entry]
        images = catalog.load_all(layout.blobs, sound)
        found = catalog.find(layout.blobs, sound, name)
        uses = used_by()
        plan = plan_removal(
            images,
            uses,
            frozenset(c for u in uses for d in u.lowerdirs if (c := snapshots.chain_of(d))),
            # With all its names, those of other manifests with the same config too.
            next(image for image in images if image.id == found.id),
            name=name,
            reference=_as_reference(found, name),
            force=force,
            prune=prune,
        )
        lines.extend(plan.lines)
        return tidy([e for entry in entries if (e := _after(layout.blobs, entry, plan))])

    layout.update(change)
    sweep(layout, snapshots, lambda: [path for use in used_by() for path in use.lowerdirs])
    return lines


def _is_sound(blobs: Blobs, entry: Entry) -> bool:
    """A spoiled image must not keep anybody from removing it, nor from removing others."""
    try:
        catalog.load(blobs, entry)
    except StoreError:
        return False
    return True


def _is_meant(entry: Entry, name: str) -> bool:
    """Whether a line that cannot be read is what the user named, as its error named it."""
    try:
        reference = parse_reference(name)
    except InvalidInput:  # a full id, for instance
        return entry.descriptor.digest.hex == name.removeprefix("sha256:")
    prefix = name.removeprefix("sha256:")
    return entry.reference == reference or (
        len(prefix) >= 12 and entry.descriptor.digest.hex.startswith(prefix)
    )


def _as_reference(image: StoredImage, name: str) -> str:
    """The familiar reference that `name` is; empty if it names the image by id or digest."""
    if image.id.startswith(name) or image.id.hex.startswith(name):
        return ""
    reference = parse_reference(name)
    return "" if reference.digest else reference.familiar


def _after(blobs: Blobs, entry: Entry, plan: Removal) -> Entry | None:
    """What a line of index.json becomes. An image that lost its last name and stays keeps one."""
    if not _is_sound(blobs, entry):
        return entry
    image = catalog.load(blobs, entry)
    if image and image.id in plan.delete:
        return None
    kept = [n for n in entry.repo_digests if parse_reference(n).familiar not in plan.untag]
    entry = entry.with_repo_digests(kept)
    named = entry.reference
    return entry.tagged(None) if named and named.familiar in plan.untag else entry
