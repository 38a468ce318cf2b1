"""Small foreign images with whiteouts and overwritten files, stacked by a real overlayfs.

The images are fixtures outside the project: `MINIDOCK_FIXTURES`, or ../shared/fixtures.
"""

from __future__ import annotations

import gzip
import io
import json
import os
import subprocess
import tarfile

import pytest

from minidock.image.unpack import unpack_layer

_PROJECT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
_FIXTURES = os.environ.get("MINIDOCK_FIXTURES", os.path.join(_PROJECT, "../shared/fixtures"))
IMAGES = os.path.join(_FIXTURES, "tars/testdata")

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="mounting an overlay needs root"),
    pytest.mark.skipif(not os.path.isdir(IMAGES), reason=f"no fixtures in {IMAGES}"),
]


@pytest.mark.parametrize(
    ("image", "wanted"),
    [
        ("source_image.tar", ["bar", "foo"]),
        ("whiteout_image.tar", ["bar.txt"]),
        ("overwritten_file.tar", ["bar.txt", "foo.txt -> bar.txt"]),
        ("whiteout_dir.tar", ["a", "a/baz", "b", "b/bar"]),
    ],
)
def test_images(tmp_path: os.PathLike[str], image: str, wanted: list[str]) -> None:
    lowers = [os.path.join(tmp_path, "empty")]
    os.mkdir(lowers[0])
    with tarfile.open(os.path.join(IMAGES, image)) as archive:
        manifest = json.load(archive.extractfile("manifest.json"))  # type: ignore[arg-type]
        for number, name in enumerate(manifest[0]["Layers"]):
            member = archive.extractfile(name)
            assert member is not None
            data = member.read()
            layer = os.path.join(tmp_path, str(number))
            os.mkdir(layer)
            unpack_layer(io.BytesIO(gzip.decompress(data) if name.endswith("gz") else data), layer)
            lowers.insert(0, layer)
    merged = os.path.join(tmp_path, "merged")
    os.mkdir(merged)
    options = "lowerdir=" + ":".join(lowers)
    subprocess.run(["mount", "-t", "overlay", "overlay", "-o", options, merged], check=True)
    try:
        found = []
        for directory, names, files in os.walk(merged):
            for base in names + files:
                path = os.path.join(directory, base)
                target = f" -> {os.readlink(path)}" if os.path.islink(path) else ""
                found.append(os.path.relpath(path, merged) + target)
    finally:
        subprocess.run(["umount", merged], check=True)
    assert sorted(found) == wanted
