"""The documents of an image: what is read is written back, and what is wrong is named."""

from __future__ import annotations

import json
from typing import Any

import pytest

from minidock.errors import BadJSON
from minidock.spec.digest import Digest
from minidock.spec.image import (
    CONFIG,
    LAYER_GZIP,
    MANIFEST,
    REF_NAME,
    parse_image_config,
    parse_index,
    parse_manifest,
)

DIGEST = "sha256:" + "a" * 64


def descriptor(**more: Any) -> dict[str, Any]:
    return {"mediaType": LAYER_GZIP, "digest": DIGEST, "size": 7, **more}


def manifest(**more: Any) -> dict[str, Any]:
    config = descriptor(mediaType=CONFIG)
    return {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": config,
        "layers": [descriptor()],
        **more,
    }


def config(**more: Any) -> dict[str, Any]:
    return {
        "architecture": "amd64",
        "os": "linux",
        "config": {"Env": ["A=1"], "Healthcheck": {"Test": ["NONE"]}, "Strange": [1]},
        "rootfs": {"type": "layers", "diff_ids": [DIGEST]},
        "history": [{"created": "2026-11-23T10:00:00Z", "created_by": "x", "empty_layer": True}],
        **more,
    }


def index(**more: Any) -> dict[str, Any]:
    entry = descriptor(
        mediaType=MANIFEST,
        platform={"architecture": "arm64", "os": "linux", "variant": "v8", "os.features": ["x"]},
        annotations={REF_NAME: "ubuntu:latest"},
        artifactType="x/y",
    )
    return {"schemaVersion": 2, "manifests": [entry], "annotations": {"a": "b"}, **more}


def test_documents_survive_reading_and_writing() -> None:
    for document, parse in (
        (manifest(annotations={"x": "y"}, subject=descriptor()), parse_manifest),
        (config(author="me", created="2026-11-23T10:00:00Z", docker_version="1"), _config),
        (index(), parse_index),
    ):
        data = json.dumps(document).encode()
        parsed = parse(data)  # type: ignore[operator]
        written = json.loads(parsed.to_json())
        assert written == {**written, **document}
        assert parse(parsed.to_json()) == parsed  # type: ignore[operator]


def _config(data: bytes) -> Any:
    return parse_image_config(data)


def test_what_is_written_does_not_depend_on_the_order_it_was_read_in() -> None:
    one = parse_manifest(json.dumps(manifest()).encode())
    other = parse_manifest(json.dumps(dict(reversed(manifest().items()))).encode())
    assert one.to_json() == other.to_json()


def test_fields_are_typed() -> None:
    parsed = parse_manifest(json.dumps(manifest()).encode())
    assert parsed.config.media_type == CONFIG
    assert isinstance(parsed.layers[0].digest, Digest)
    entry = parse_index(json.dumps(index()).encode()).manifests[0]
    assert entry.platform is not None
    assert (entry.platform.architecture, entry.platform.variant) == ("arm64", "v8")
    assert parse_image_config(json.dumps(config()).encode()).history[0].empty_layer


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"config": None}, "image manifest: config.mediaType is missing"),
        ({"config": []}, "image manifest: config is not an object"),
        ({"layers": {}}, "image manifest: layers is not a list"),
        ({"layers": [1]}, "image manifest: layers[0] is not an object"),
        ({"layers": [descriptor(size=-1)]}, "image manifest: layers[0].size is out of range: -1"),
        ({"layers": [descriptor(size=True)]}, "image manifest: layers[0].size is not a number"),
        (
            {"layers": [descriptor(digest="sha256:../x")]},
            "image manifest: layers[0].digest is not a sha256 digest: 'sha256:../x'",
        ),
        (
            {"layers": [descriptor(annotations={"a": 1})]},
            "image manifest: layers[0].annotations is not an object of strings",
        ),
        ({"mediaType": "text/html"}, "image manifest: mediaType is 'text/html'"),
        # CVE-2021-41190: one document, an image to one program and an index to another.
        ({"manifests": []}, "image manifest: manifests does not belong here"),
    ],
)
def test_a_bad_manifest_names_the_field(change: dict[str, Any], message: str) -> None:
    with pytest.raises(BadJSON) as error:
        parse_manifest(json.dumps(manifest(**change)).encode())
    assert error.value.message == message


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"architecture": None}, "image config: architecture is missing"),
        ({"rootfs": {"diff_ids": "x"}}, "image config: rootfs.diff_ids is not a list"),
        (
            {"rootfs": {"diff_ids": ["x"]}},
            "image config: rootfs.diff_ids holds what is not a sha256 digest: 'x'",
        ),
        ({"config": {"Env": [1]}}, "image config: config.Env is not a list of strings"),
        ({"config": {"Env": ["A=\0"]}}, "image config: config.Env holds a NUL character"),
        ({"config": {"User": 0}}, "image config: config.User is not a string"),
        ({"config": {"Labels": []}}, "image config: config.Labels is not an object"),
        ({"config": {"Volumes": [1]}}, "image config: config.Volumes is not an object"),
        (
            {"history": [{"empty_layer": 1}]},
            "image config: history[0].empty_layer is not true or false",
        ),
    ],
)
def test_a_bad_config_names_the_field(change: dict[str, Any], message: str) -> None:
    with pytest.raises(BadJSON) as error:
        parse_image_config(json.dumps(config(**change)).encode())
    assert error.value.message == message


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"null",
        b'{"a":',
        b"\xff\xfe{}",
        b'{"a": NaN}',
        b'{"a": ' + b"9" * 5000 + b"}",
        b'{"a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"a": "' + b"x" * (4 << 20) + b'"}',
    ],
)
def test_hostile_json_is_one_clear_error(data: bytes) -> None:
    with pytest.raises(BadJSON) as error:
        parse_manifest(data)
    assert "\n" not in error.value.message
    assert len(error.value.message) < 200
