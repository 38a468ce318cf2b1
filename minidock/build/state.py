"""An image in the making: what an instruction is given, and what it leaves to the next one."""

from __future__ import annotations

from minidock.errors import InvalidInput
from minidock.image.catalog import StoredImage
from minidock.image.mutate import MAX_LAYERS
from minidock.record import Record
from minidock.spec.digest import DiffID, Digest
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

    from minidock.build.cache import Made
    from minidock.spec.image import Platform

_NOBODY = Digest("sha256:" + "0" * 64)


class State(Record):
    """`key` is the cache key of all so far. `created` is when its last layer was made; `above` the
    instructions since then, which only changed the config. `inherited` counts the layers that were
    there before the stage began."""

    key: str
    platform: Platform
    config: Mapping[str, Any] = {}
    diff_ids: tuple[DiffID, ...] = ()
    layers: tuple[Descriptor, ...] = ()
    history: tuple[History, ...] = ()
    created: str = ""
    author: str = ""
    arguments: Mapping[str, str] = {}
    above: tuple[str, ...] = ()
    cmd_set: bool = False
    made_here: bool = False
    base: str = ""  # the id of the image that FROM names
    inherited: int = 0

    def with_layer(self, key: str, made: Made, created_by: str, comment: str) -> State:
        """After a step. Raises `InvalidInput` where there are too many layers."""
        history = History(made.created, created_by, self.author, comment)
        new = self.but(key=key, created=made.created, above=(), made_here=True)
        if made.layer is None or made.diff_id is None:
            return new.but(history=(*self.history, history.but(empty_layer=True)))
        if len(self.diff_ids) >= MAX_LAYERS:
            raise InvalidInput("max depth exceeded")
        return new.but(
            diff_ids=(*self.diff_ids, made.diff_id),
            layers=(*self.layers, made.layer),
            history=(*self.history, history),
        )

    def image(self) -> StoredImage:
        """As if it were in the store: for whoever wants to stack its layers, or run in it. Its id
        is that of the image it is built upon, which cannot be removed while a RUN runs."""
        config = self.image_config()
        image_id = Digest(self.base) if self.base else _NOBODY
        return StoredImage(image_id, _NOBODY, config, (), self.layers, self.diff_ids)

    def image_config(self) -> ImageConfig:
        """The document."""
        return ImageConfig(
            self.platform.architecture,
            self.platform.os,
            self.diff_ids,
            self.history,
            self.config,
            self.created,
            self.author,
            self.platform.variant,
        )


def in_oci_words(layer: Descriptor) -> Descriptor:
    """A manifest is either Docker's or OCI's, and new ones are OCI's."""
    if layer.media_type == DOCKER_LAYER_GZIP:
        return layer.but(media_type=LAYER_GZIP)
    return layer
