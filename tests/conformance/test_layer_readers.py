"""Layers that we write, unpacked by umoci: another program must see the same tree."""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import subprocess
from pathlib import Path

import pytest

from minidock.image.pack import write_layer
from minidock.image.store import ImageStore
from minidock.image.tar_sparse import HOLE
from minidock.spec.reference import parse_reference

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="device nodes and owners need root"),
    pytest.mark.skipif(not shutil.which("umoci"), reason="umoci is not installed"),
]


def seen(root: str) -> dict[str, tuple[object, ...]]:
    found: dict[str, tuple[object, ...]] = {}
    for directory, names, files in os.walk(root):
        for base in names + files:
            path = os.path.join(directory, base)
            status = os.lstat(path)
            content = ""
            if stat.S_ISREG(status.st_mode):
                with open(path, "rb") as file:
                    content = hashlib.file_digest(file, "sha256").hexdigest()
            elif stat.S_ISLNK(status.st_mode):
                content = os.readlink(path)
            found[os.path.relpath(path, root)] = (
                status.st_mode,
                status.st_uid,
                status.st_gid,
                status.st_rdev,
                status.st_mtime_ns,
                content,
                {
                    key: os.getxattr(path, key, follow_symlinks=False)
                    for key in os.listxattr(path, follow_symlinks=False)
                },
            )
    return found


def make(root: str) -> None:
    deep = f"{root}/{'d' * 200}/{'e' * 200}"
    os.makedirs(deep)
    names = [f"{deep}/long", os.fsdecode(os.fsencode(root) + b"/\xff\xfe"), f"{root}/ping"]
    for name in names:
        with open(name, "w") as file:
            file.write("content")
    os.setxattr(f"{root}/ping", "security.capability", b"\1\0\0\2" + b"\0\x20\0\0" + bytes(12))
    os.link(f"{deep}/long", f"{root}/linked")
    os.symlink("x" * 200, f"{root}/link")
    os.mkfifo(f"{root}/fifo")
    os.mknod(f"{root}/null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
    os.chown(f"{root}/ping", 3_000_000, 4_000_000_000)
    os.setxattr(f"{root}/ping", "security.capability", b"\1\0\0\2" + b"\0\x20\0\0" + bytes(12))
    os.chmod(f"{root}/linked", 0o4711)
    with open(f"{root}/sparse", "wb") as file:
        file.seek(8 << 20)
        file.write(b"data")
        file.truncate((8 << 20) + 5 * HOLE + 123)


@pytest.mark.parametrize("form", ["zeros", "map"])
def test_umoci(tmp_path: os.PathLike[str], monkeypatch: pytest.MonkeyPatch, form: str) -> None:
    if form == "map":  # as if its holes exceeded 1 GiB
        monkeypatch.setattr("minidock.image.pack.MAX_ZEROS", 1 << 20)
    before = os.path.join(tmp_path, "before")
    make(before)
    wanted = seen(before)
    layer = os.path.join(tmp_path, "layer.tar")
    with open(layer, "wb") as file:
        write_layer(before, file.write)
    assert (os.path.getsize(layer) < 1 << 20) == (form == "map")
    image = os.path.join(tmp_path, "layout")
    bundle = os.path.join(tmp_path, "bundle")
    for command in (
        ["init", "--layout", image],
        ["new", "--image", f"{image}:a"],
        ["raw", "add-layer", "--image", f"{image}:a", layer],
        ["unpack", "--image", f"{image}:a", bundle],
    ):
        subprocess.run(["umoci", *command], check=True, capture_output=True)
    found = seen(f"{bundle}/rootfs")
    assert found.keys() == wanted.keys()
    for name, entry in wanted.items():
        assert found[name] == entry, name
    assert os.path.samefile(
        f"{bundle}/rootfs/linked", f"{bundle}/rootfs/{'d' * 200}/{'e' * 200}/long"
    )


def test_umoci_sees_what_a_container_sees(tmp_path: Path) -> None:
    """Two layers of ours, the second with files gone and a directory replaced: stacked by overlayfs
    from our unpacked layers, and unpacked by umoci from our blobs."""
    base, upper, below = tmp_path / "base", tmp_path / "upper", tmp_path / "below.tar"
    make(str(base))
    for name in ("old/kept", "old/gone", "replaced/one", "replaced/two"):
        (base / name).parent.mkdir(exist_ok=True)
        (base / name).write_text(name)
    with below.open("wb") as file:
        write_layer(str(base), file.write)
    store = ImageStore(str(tmp_path / "root"))
    with below.open("rb") as file:
        parent = store.import_tarball(file, None)
    make(str(upper))
    for name in ("old", "replaced"):
        (upper / name).mkdir()
    os.mknod(upper / "old/gone", stat.S_IFCHR, 0)  # overlayfs's whiteout
    os.setxattr(upper / "replaced", "trusted.overlay.opaque", b"y")
    (upper / "replaced/three").write_text("three")
    os.chmod(upper / "replaced", 0o1750)
    image = store.add_layer(parent, str(upper), config={}, reference=parse_reference("a"))
    merged, bundle = tmp_path / "merged", tmp_path / "bundle"
    merged.mkdir()
    lower = ":".join(store.lowerdirs(image))
    subprocess.run(
        ["mount", "-t", "overlay", "-o", f"ro,lowerdir={lower}", "overlay", str(merged)], check=True
    )
    try:
        wanted = seen(str(merged))
    finally:
        subprocess.run(["umount", str(merged)], check=True)
    subprocess.run(
        ["umoci", "unpack", "--image", f"{tmp_path}/root/images:a:latest", str(bundle)],
        check=True, capture_output=True,
    )  # fmt: skip
    found = seen(f"{bundle}/rootfs")
    assert found.keys() == wanted.keys()
    assert {"old/kept", "replaced/three"} <= found.keys()
    assert not {"old/gone", "replaced/one", "replaced/two"} & found.keys()
    for name, entry in wanted.items():
        assert found[name] == entry, name
