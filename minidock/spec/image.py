"""The documents an image is made of.

    index.json ──► Manifest ──► ImageConfig      what to run, and the DiffIDs of the layers
    (the tags)        │
                      └───────► layers           one Descriptor each, lowest first

Every arrow is a Descriptor: the digest, size and kind of a blob. Each document names the next by
its digest, so the digest of a manifest stands for the whole image, and nobody can swap a part.
Nothing is ever edited: another environment variable is another config, and so another image.

These documents come from strangers. They become typed, frozen data once, here; what is malformed
is a `BadJSON` that names the field. Fields that minidock does not know are kept and written back.

See: image-spec descriptor.md, manifest.md, image-index.md, config.md
"""

from __future__ import annotations

from minidock.record import Record
from minidock.spec.digest import DiffID, Digest
from minidock.spec.fields import Fields, dump, load_object

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

INDEX = "application/vnd.oci.image.index.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar"
LAYER_GZIP = f"{LAYER}+gzip"
LAYER_ZSTD = f"{LAYER}+zstd"

# What Docker called them before OCI existed; registries still send these.
DOCKER_INDEX = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"
DOCKER_LAYER_GZIP = "application/vnd.docker.image.rootfs.diff.tar.gzip"

INDEXES = (INDEX, DOCKER_INDEX)
MANIFESTS = (MANIFEST, DOCKER_MANIFEST)
CONFIGS = (CONFIG, DOCKER_CONFIG)

REF_NAME = "org.opencontainers.image.ref.name"


class Platform(Record):
    """What a program was compiled for, in Go's words: linux, amd64, v8."""

    os: str
    architecture: str
    variant: str = ""

    def fits(self, wanted: Platform) -> bool:
        """Whether a program for this platform is one for `wanted`, which may leave the variant
        open."""
        same = (self.os, self.architecture) == (wanted.os, wanted.architecture)
        return same and (not wanted.variant or self.variant in ("", wanted.variant))


class Descriptor(Record):
    """Points to a blob. `size` in bytes; `rest` are fields unknown here."""

    media_type: str
    digest: Digest
    size: int
    annotations: Mapping[str, str] = {}
    platform: Platform | None = None
    rest: Mapping[str, Any] = {}

    def to_dict(self) -> dict[str, Any]:
        document: dict[str, Any] = {
            "mediaType": self.media_type,
            "digest": str(self.digest),
            "size": self.size,
        }
        if self.platform:
            document["platform"] = {
                "architecture": self.platform.architecture,
                "os": self.platform.os,
                **({"variant": self.platform.variant} if self.platform.variant else {}),
                **self.rest.get("platform", {}),
            }
        if self.annotations:
            document["annotations"] = dict(self.annotations)
        return {**{k: v for k, v in self.rest.items() if k != "platform"}, **document}


class Index(Record):
    """A list of manifests: the images of a layout, or one image for several platforms."""

    manifests: tuple[Descriptor, ...] = ()
    rest: Mapping[str, Any] = {}

    def to_json(self) -> bytes:
        return dump(
            {
                "schemaVersion": 2,
                "mediaType": INDEX,
                **self.rest,
                "manifests": [m.to_dict() for m in self.manifests],
            }
        )


class Manifest(Record):
    """The parts of one image for one platform."""

    config: Descriptor
    layers: tuple[Descriptor, ...]
    media_type: str = MANIFEST
    rest: Mapping[str, Any] = {}

    def to_json(self) -> bytes:
        return dump(
            {
                "schemaVersion": 2,
                "mediaType": self.media_type,
                **self.rest,
                "config": self.config.to_dict(),
                "layers": [layer.to_dict() for layer in self.layers],
            }
        )


class History(Record):
    """How one layer came about. `empty_layer`: only the config changed, there is no layer."""

    created: str = ""
    created_by: str = ""
    author: str = ""
    comment: str = ""
    empty_layer: bool = False

    def to_dict(self) -> dict[str, Any]:
        document: dict[str, Any] = {
            "created": self.created,
            "created_by": self.created_by,
            "author": self.author,
            "comment": self.comment,
            "empty_layer": self.empty_layer,
        }
        return {key: value for key, value in document.items() if value}


class ImageConfig(Record):
    """How to run an image, and what it consists of. Its digest is the image's id.

    `config` is the container's defaults in Docker's shape: Env, Cmd, Entrypoint, User,
    WorkingDir, Labels, StopSignal, ExposedPorts, Volumes, Healthcheck, OnBuild, Shell.
    `created` is an RFC 3339 time or empty. `rest` are fields unknown here.
    """

    architecture: str
    os: str
    diff_ids: tuple[DiffID, ...] = ()
    history: tuple[History, ...] = ()
    config: Mapping[str, Any] = {}
    created: str = ""
    author: str = ""
    variant: str = ""
    rest: Mapping[str, Any] = {}

    def to_json(self) -> bytes:
        optional = {"created": self.created, "author": self.author, "variant": self.variant}
        return dump(
            {
                **self.rest,
                **{key: value for key, value in optional.items() if value},
                "architecture": self.architecture,
                "os": self.os,
                "config": dict(self.config),
                "rootfs": {"type": "layers", "diff_ids": [str(d) for d in self.diff_ids]},
                "history": [h.to_dict() for h in self.history],
            }
        )


def parse_descriptor(fields: Fields) -> Descriptor:
    """Raises `BadJSON`."""
    platform, rest = None, fields.rest("mediaType", "digest", "size", "annotations", "platform")
    if fields.document.get("platform") is not None:
        inner = fields.inner("platform")
        platform = Platform(
            inner.text("os", None), inner.text("architecture", None), inner.text("variant")
        )
        unknown = inner.rest("os", "architecture", "variant")
        if unknown:
            rest["platform"] = unknown
    return Descriptor(
        fields.text("mediaType", None),
        fields.digest("digest"),
        fields.size("size"),
        fields.pairs("annotations"),
        platform,
        rest,
    )


def parse_index(data: bytes, what: str = "image index") -> Index:
    """Raises `BadJSON`; `what` names the document in it."""
    fields = Fields(load_object(data, what), what)
    _refuse(fields, INDEXES, "layers", "config")
    manifests = tuple(map(parse_descriptor, fields.each("manifests")))
    return Index(manifests, fields.rest("schemaVersion", "mediaType", "manifests"))


def parse_manifest(data: bytes, what: str = "image manifest") -> Manifest:
    """Raises `BadJSON`; `what` names the document in it."""
    fields = Fields(load_object(data, what), what)
    _refuse(fields, MANIFESTS, "manifests", "fsLayers")
    return Manifest(
        parse_descriptor(fields.inner("config")),
        tuple(map(parse_descriptor, fields.each("layers"))),
        fields.text("mediaType", MANIFEST),
        fields.rest("schemaVersion", "mediaType", "config", "layers"),
    )


def _refuse(fields: Fields, media_types: tuple[str, ...], *other: str) -> None:
    """A document must not be readable as both a manifest and an index (CVE-2021-41190)."""
    if fields.text("mediaType", media_types[0]) not in media_types:
        raise fields.error("mediaType", f"is {fields.text('mediaType')[:100]!r}")
    for key in other:
        if key in fields.document:
            raise fields.error(key, "does not belong here")


def parse_image_config(data: bytes, what: str = "image config") -> ImageConfig:
    """Raises `BadJSON`; `what` names the document in it."""
    fields = Fields(load_object(data, what), what)
    rootfs = fields.inner("rootfs")
    return ImageConfig(
        architecture=fields.text("architecture", None),
        os=fields.text("os", None),
        diff_ids=rootfs.diff_ids("diff_ids"),
        history=tuple(map(_history, fields.each("history"))),
        config=_checked_config(fields.inner("config")),
        created=fields.text("created"),
        author=fields.text("author"),
        variant=fields.text("variant"),
        rest=fields.rest(
            *("architecture", "os", "rootfs", "history", "config", "created", "author", "variant")
        ),
    )


def _history(fields: Fields) -> History:
    return History(
        fields.text("created"),
        fields.text("created_by"),
        fields.text("author"),
        fields.text("comment"),
        fields.flag("empty_layer"),
    )


def _checked_config(fields: Fields) -> dict[str, Any]:
    """The container's defaults, after making sure that each has the type others rely on."""
    for key in ("Env", "Cmd", "Entrypoint", "OnBuild", "Shell"):
        if any("\0" in text for text in fields.texts(key)):
            raise fields.error(key, "holds a NUL character")
    for key in ("User", "WorkingDir", "StopSignal"):
        if "\0" in fields.text(key):
            raise fields.error(key, "holds a NUL character")
    fields.pairs("Labels")
    for key in ("ExposedPorts", "Volumes", "Healthcheck"):
        fields.inner(key)
    return fields.document
