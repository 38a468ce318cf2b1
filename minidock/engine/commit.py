"""commit: what a container has written becomes one more layer, so a new image.

The writable directory of a container is already the difference to its image (image/pack.py turns
it into a tarball). What commit adds is the *when* and the *what else*: the container's processes
stand still while its files are read (pause.py), and the new image runs as this container did: its
command, environment, user and so on, with the user's changes (`-c 'CMD …'`) over them.

What is the container's own affair stays behind: its hostname, its terminal, who was attached. The
image specification has no place for them. (Docker writes them into the image nonetheless, and
ignores them there.)

See: moby daemon/commit.go, image-spec config.md
"""

from __future__ import annotations

import os

from minidock.errors import MinidockError, NotFound

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from minidock.engine.containers import Container
    from minidock.image.store import ImageStore, StoredImage
    from minidock.spec.reference import Reference

# How to run an image: image-spec's fields, and Docker's own that other builders know.
_EXECUTION = (
    "User", "ExposedPorts", "Env", "Entrypoint", "Cmd", "Healthcheck", "Volumes", "WorkingDir",
    "OnBuild", "Labels", "StopSignal", "StopTimeout", "Shell", "ArgsEscaped",
)  # fmt: skip
# What a container may have no copy of in its Config is its image's still.
_INHERITED = ("Healthcheck", "Shell", "ArgsEscaped")


def commit(
    container: Container,
    images: ImageStore,
    *,
    reference: Reference | None = None,
    author: str = "",
    comment: str = "",
    changes: Sequence[str] = (),
    pause: bool = True,
) -> StoredImage:
    """Make an image of a container, running or not.

    Raises `NotFound` where the container is removed meanwhile, or its image was by force,
    `InvalidInput` for changes that cannot be, `Conflict` where it cannot be paused; then nothing
    has changed.
    """
    parent = _parent(container, images)
    config = image_config(container.config, parent.config.config, changes)

    def add() -> StoredImage:
        image = images.add_layer(
            parent,
            container.upper,
            config=config,
            author=author,
            comment=comment,
            created_by=" ".join(container.config.get("Cmd") or ()),
            reference=reference,
        )
        _tell(container, image, reference, comment)
        return image

    from minidock.engine.pause import paused

    try:
        if not pause:
            return add()
        with paused(container):
            return add()
    except (MinidockError, OSError) as error:
        if os.path.isdir(container.directory):
            raise
        raise NotFound(f"No such container: {container.id}") from error  # removed meanwhile


def _tell(
    container: Container, image: StoredImage, reference: Reference | None, comment: str
) -> None:
    from minidock.engine.events import tell
    from minidock.engine.image_events import tell_image

    name = reference.familiar if reference else ""
    if name:
        tell_image(os.path.dirname(container.run_dir), "tag", image, name)
    tell(container, "commit", comment=comment, imageID=str(image.id), imageRef=name)


def image_config(
    container: Mapping[str, Any], image: Mapping[str, Any], changes: Sequence[str] = ()
) -> dict[str, Any]:
    """The new image's config: that of the container, with what its image alone knows, changed.

    Raises `InvalidInput`.
    """
    from minidock.image.changes import apply_changes

    merged = {**{key: image[key] for key in _INHERITED if key in image}, **container}
    config = {key: merged[key] for key in _EXECUTION if merged.get(key)}
    return apply_changes(config, changes) if changes else config


def _parent(container: Container, images: ImageStore) -> StoredImage:
    image_id = str(container.document["Image"])
    try:
        return images.resolve(image_id)
    except NotFound as error:
        error.hint = (
            f"Container {container.id[:12]} was made from this image, and it has been removed."
        )
        raise
