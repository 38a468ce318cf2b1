"""New images out of old ones. An image is never edited: a change makes another image.

Pure functions: they compute documents and write nothing.

See: image-spec config.md (history, rootfs.diff_ids)
"""

from __future__ import annotations

from minidock.errors import InvalidInput
from minidock.record import Record
from minidock.spec.digest import EMPTY_LAYER
from minidock.spec.image import (
    DOCKER_LAYER_GZIP,
    LAYER_GZIP,
    Descriptor,
    History,
    ImageConfig,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from minidock.spec.digest import DiffID
    from minidock.spec.image import Platform

# Docker's limit too: the names of all layers must fit into one page of mount options.
MAX_LAYERS = 125


class NewLayer(Record):
    """A layer whose blob is in the store. `size` is the bytes of its files."""

    descriptor: Descriptor
    diff_id: DiffID
    size: int


def first_image(
    platform: Platform, layer: NewLayer, config: Mapping[str, Any], history: History
) -> tuple[ImageConfig, tuple[Descriptor, ...]]:
    """An image of one layer: what `import` makes."""
    image = ImageConfig(
        platform.architecture,
        platform.os,
        (layer.diff_id,),
        (history,),
        config,
        created=history.created,
        author=history.author,
        variant=platform.variant,
    )
    return image, (layer.descriptor,)


def append_layer(
    parent: ImageConfig,
    layers: tuple[Descriptor, ...],
    layer: NewLayer,
    config: Mapping[str, Any],
    history: History,
) -> tuple[ImageConfig, tuple[Descriptor, ...]]:
    """The parent with one more layer on top: what `commit` makes.

    A layer that changes nothing is left out; the history says so (Docker does the same). Raises
    `InvalidInput` if there are too many.
    """
    if len(parent.diff_ids) >= MAX_LAYERS:
        raise InvalidInput("max depth exceeded")
    empty = layer.diff_id == EMPTY_LAYER
    image = parent.but(
        diff_ids=parent.diff_ids if empty else (*parent.diff_ids, layer.diff_id),
        history=(*parent.history, history.but(empty_layer=empty)),
        config=config,
        created=history.created,
        author=history.author,
    )
    descriptors = tuple(map(_in_oci_words, layers))
    return image, descriptors if empty else (*descriptors, layer.descriptor)


def _in_oci_words(layer: Descriptor) -> Descriptor:
    """A manifest is either Docker's or OCI's, and new ones are OCI's."""
    if layer.media_type == DOCKER_LAYER_GZIP:
        return layer.but(media_type=LAYER_GZIP)
    return layer
