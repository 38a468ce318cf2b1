"""Other programs read the store as it is, and the store reads what they wrote into it."""

from __future__ import annotations

import gzip
import io
import json
import lzma
import os
import shutil
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from minidock.image.store import ImageStore, StoredImage
from minidock.spec.reference import parse_reference

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="unpacking needs root: chroot, mknod")

NAMES = ("ubuntu:latest", "other.io:5000/a/b:1.0_x")


def run(*argv: str) -> str:
    if not shutil.which(argv[0]):
        pytest.skip(f"{argv[0]} is not installed")
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, f"{argv}\n{done.stderr}"
    return done.stdout


def base_tarball() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name in ("bin", "etc"):
            entry = tarfile.TarInfo(name)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o755
            tar.addfile(entry)
        for name, content in (("etc/motd", b"hello\n"), ("bin/sh", b"#!" * 5000)):
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode, entry.mtime = len(content), 0o4755, 1_700_000_000.5
            tar.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


@pytest.fixture(params=["plain", "gzip", "xz"])
def images(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, StoredImage]:
    """A store with one image of two layers and two names."""
    pack: Callable[[bytes], bytes] = {
        "plain": bytes,
        "gzip": gzip.compress,
        "xz": lzma.compress,
    }[request.param]
    root = tmp_path / "root"
    store = ImageStore(str(root))
    base = store.import_tarball(io.BytesIO(pack(base_tarball())), None)
    upper = tmp_path / "upper"
    (upper / "etc").mkdir(parents=True)
    (upper / "etc/motd").write_text("changed\n")
    os.mknod(upper / "etc/gone", 0o020000, 0)  # overlayfs's whiteout
    image = store.add_layer(
        base,
        str(upper),
        config={"Env": ["A=1"], "Cmd": ["sh"], "WorkingDir": "/"},
        author="me",
        reference=parse_reference(NAMES[0]),
    )
    store.tag(image, parse_reference(NAMES[1]))
    return root / "images", image


def test_skopeo_reads_it(images: tuple[Path, StoredImage], tmp_path: Path) -> None:
    directory, image = images
    for number, name in enumerate(NAMES):
        facts = json.loads(run("skopeo", "inspect", "--config", f"oci:{directory}:{name}"))
        assert facts["config"]["Env"] == ["A=1"]
        assert facts["rootfs"]["diff_ids"] == list(image.diff_ids)
        archive = tmp_path / f"{number}.tar"
        run("skopeo", "copy", f"oci:{directory}:{name}", f"docker-archive:{archive}:x/y:z")
        with tarfile.open(archive) as tar:
            manifest = json.load(tar.extractfile("manifest.json"))  # type: ignore[arg-type]
        assert manifest[0]["Config"] == f"{image.id.hex}.json"


def test_umoci_reads_it(images: tuple[Path, StoredImage], tmp_path: Path) -> None:
    directory, image = images
    listed = run("umoci", "list", "--layout", str(directory)).split()
    assert sorted(listed) == sorted(NAMES)
    bundle = tmp_path / "bundle"
    run("umoci", "unpack", "--image", f"{directory}:{NAMES[0]}", str(bundle))
    assert (bundle / "rootfs/etc/motd").read_text() == "changed\n"
    status = (bundle / "rootfs/bin/sh").stat()
    assert (status.st_mode & 0o7777, status.st_mtime) == (0o4755, 1_700_000_000.5)
    stat = run("umoci", "stat", "--json", "--image", f"{directory}:{NAMES[1]}")
    steps = json.loads(stat)["history"]
    assert [step["layer"]["digest"] for step in steps] == [x.digest for x in image.layers]


def test_umocis_collector_removes_nothing_that_is_needed(
    images: tuple[Path, StoredImage],
) -> None:
    directory, image = images
    run("umoci", "gc", "--layout", str(directory))
    store = ImageStore(str(directory.parent))
    assert store.resolve(NAMES[0]).id == image.id
    for layer in image.layers:
        assert (directory / "blobs/sha256" / layer.digest.hex).exists()


def test_what_skopeo_copied_in_can_be_used(
    images: tuple[Path, StoredImage], tmp_path: Path
) -> None:
    directory, image = images
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    run("skopeo", "copy", f"oci:{directory}:{NAMES[0]}", f"oci:{foreign}/images:some/name:1")
    store = ImageStore(str(foreign))
    copy = store.resolve("some/name:1")
    assert copy.id == image.id
    assert store.size(copy) == 10_014
    assert len(store.lowerdirs(copy)) == 2
    assert (Path(store.lowerdirs(copy)[1]) / "etc/motd").read_text() == "hello\n"


@pytest.mark.parametrize("compress", [(), ("--dest-compress-format", "zstd")])
def test_what_skopeo_copied_in_can_be_run(minidock, tmp_path: Path, compress) -> None:
    """Out of one store and into another that runs containers, packed on the way."""
    other = tmp_path / "images"
    minidock.ok("run", "--name", "maker", "busybox", "sh", "-c", "echo from afar > /hello")
    minidock.ok("commit", "-c", "CMD cat /hello", "maker", "origin")
    ours = f"oci:{minidock.root}/images"
    flags = ("--dest-compress", *compress)
    run("skopeo", "copy", *flags, f"{ours}:origin:latest", f"oci:{other}:travelled:1")
    minidock.ok("rm", "maker")
    minidock.ok("rmi", "origin")
    run("skopeo", "copy", f"oci:{other}:travelled:1", f"{ours}:travelled:1")
    try:
        assert minidock.ok("run", "--rm", "travelled:1") == "from afar\n"
        assert minidock("system", "check").returncode == 0
    finally:
        minidock("rmi", "-f", "travelled:1")


def test_what_umoci_made_can_be_used(images: tuple[Path, StoredImage], tmp_path: Path) -> None:
    directory, image = images
    name = f"{directory}:{NAMES[0]}"
    run("umoci", "unpack", "--image", name, str(tmp_path / "bundle"))
    (tmp_path / "bundle/rootfs/new").write_text("by umoci")
    run("umoci", "repack", "--image", f"{directory}:repacked", str(tmp_path / "bundle"))
    run("umoci", "config", "--image", f"{directory}:repacked", "--config.env", "B=2")
    store = ImageStore(str(directory.parent))
    repacked = store.resolve("repacked")
    assert repacked.config.config["Env"] == ["A=1", "B=2"]
    assert repacked.diff_ids[:2] == image.diff_ids
    assert (Path(store.lowerdirs(repacked)[0]) / "new").read_text() == "by umoci"
    # A new manifest for an old name, and blobs that nobody points to any more: all swept.
    assert store.remove("repacked", used_by=lambda: ())[0] == "Untagged: repacked:latest"
    assert store.resolve(NAMES[0]).references == tuple(sorted(NAMES))
