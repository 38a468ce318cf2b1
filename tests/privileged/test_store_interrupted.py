"""Many commands at once, and commands that are killed: the store stays one that can be trusted.

The workers are processes of their own, because locks and SIGKILL are a matter between those.
"""

from __future__ import annotations

import hashlib
import io
import os
import random
import signal
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import pytest

from minidock.errors import NotFound
from minidock.image.catalog import load_all
from minidock.image.layout import Layout
from minidock.image.store import ImageStore
from minidock.spec.digest import chain_ids
from minidock.spec.reference import parse_reference

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="unpacking needs root: chroot, mknod")

WORKER = """
import os, sys
from minidock.errors import Conflict, NotFound
from minidock.image.store import ImageStore
from minidock.spec.reference import parse_reference

root, upper, number, rounds = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
store = ImageStore(root)
for turn in range(rounds):
    name = f"w{number}-{turn}"
    try:
        with open(f"{upper}/../base.tar", "rb") as file:
            base = store.import_tarball(file.fileno(), parse_reference(name))
        child = store.add_layer(base, upper, config={}, reference=parse_reference("shared"))
        with store.hold():
            tops = store.lowerdirs(child)
            assert os.path.exists(f"{tops[0]}/file0"), tops
            assert os.path.exists(f"{tops[1]}/data0"), tops
        store.tag(child, parse_reference(f"{name}-child"))
        store.remove(name, force=True, used_by=lambda: ())
        if turn % 2:
            store.remove(f"{name}-child", force=True, used_by=lambda: ())
    except NotFound as error:  # `shared` went to another one, and its image with it
        print(error.message)
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "root"


def make_input(tmp_path: Path, *, files: int, size: int) -> Path:
    """base.tar, and a directory to commit."""
    generator = random.Random(5)
    with tarfile.open(tmp_path / "base.tar", "w") as tar:
        for number in range(files):
            entry = tarfile.TarInfo(f"data{number}")
            entry.size = size
            tar.addfile(entry, io.BytesIO(generator.randbytes(size)))
    upper = tmp_path / "upper"
    upper.mkdir()
    for number in range(files):
        (upper / f"file{number}").write_bytes(generator.randbytes(size))
    return upper


def start(root: Path, upper: Path, number: int, rounds: int) -> subprocess.Popen[str]:
    argv = [sys.executable, "-c", WORKER, str(root), str(upper), str(number), str(rounds)]
    return subprocess.Popen(argv, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def check_store(root: Path) -> None:
    """Recompute every claim: blobs are what their names say, layers what their images say."""
    layout = Layout(str(root / "images"))
    for path in (root / "images/blobs/sha256").iterdir():
        assert hashlib.sha256(path.read_bytes()).hexdigest() == path.name
    store = ImageStore(str(root))
    for image in load_all(layout.blobs, layout.entries()):
        for layer in image.layers:
            assert os.stat(layout.blobs.path(layer.digest)).st_size == layer.size
        tops = store.lowerdirs(image)
        assert len(tops) == len(image.diff_ids)
        for top, chain in zip(reversed(tops), chain_ids(image.diff_ids), strict=True):
            assert os.path.realpath(top) == str(root / "layers" / chain.hex)
            assert len(os.listdir(top)) in (8, 200)


def test_eight_at_once_keep_the_store_whole(root: Path, tmp_path: Path) -> None:
    upper = make_input(tmp_path, files=8, size=1000)
    workers = [start(root, upper, number, 6) for number in range(8)]
    for worker in workers:
        out, err = worker.communicate(timeout=120)
        assert worker.returncode == 0, err
        assert all(line.startswith("No such image: sha256:") for line in out.splitlines()), out
    check_store(root)
    store = ImageStore(str(root))
    for image in store.images():
        for name in image.references:
            store.remove(name, force=True, used_by=lambda: ())
    # Removed while others were writing, so swept by whoever comes first when it is quiet.
    for image in store.images():
        try:
            store.remove(image.id, force=True, used_by=lambda: ())
        except NotFound:
            continue  # went with its last child
    assert store.sweep(lambda: ())
    assert os.listdir(root / "images/blobs/sha256") == []
    assert sorted(os.listdir(root / "layers")) == ["l", "lock", "new"]
    assert os.listdir(root / "layers/new") == os.listdir(root / "images/ingest") == []


def test_eight_that_need_one_layer_unpack_it_once(root: Path, tmp_path: Path) -> None:
    upper = make_input(tmp_path, files=200, size=20_000)
    store = ImageStore(str(root))
    with open(tmp_path / "base.tar", "rb") as file:
        base = store.import_tarball(file, parse_reference("base"))
    child = store.add_layer(base, str(upper), config={}, reference=parse_reference("child"))
    code = (
        "import os, sys; from minidock.image.store import ImageStore; s = ImageStore(sys.argv[1]);"
        "t = s.lowerdirs(s.resolve('child')); print(os.stat(t[0] + '/file0').st_ino)"
    )
    argv = [sys.executable, "-c", code, str(root)]
    workers = [subprocess.Popen(argv, text=True, stdout=subprocess.PIPE) for _ in range(8)]
    inodes = {worker.communicate(timeout=60)[0] for worker in workers}
    assert len(inodes) == 1
    assert all(worker.returncode == 0 for worker in workers)
    assert len(os.listdir(root / "layers/l")) == len(store.lowerdirs(child)) == 2
    assert os.listdir(root / "layers/new") == []


def test_sigkill_at_any_moment_leaves_a_store_that_works(root: Path, tmp_path: Path) -> None:
    upper = make_input(tmp_path, files=200, size=20_000)
    store = ImageStore(str(root))
    generator = random.Random(os.urandom(8))
    killed = 0
    for number in range(25):
        worker = start(root, upper, number, 50)
        time.sleep(0.05 + generator.random() * 0.4)
        worker.send_signal(signal.SIGKILL)
        worker.communicate(timeout=20)
        killed += worker.returncode == -signal.SIGKILL
        # The very next command works, and everything the store claims is true.
        with open(tmp_path / "base.tar", "rb") as file:
            image = store.import_tarball(file, parse_reference("after"))
        assert len(os.listdir(store.lowerdirs(image)[0])) == 200
        check_store(root)
    assert killed > 20
    time.sleep(0.2)  # the child that was unpacking sees the end of its pipe
    while images := store.images():
        store.remove(images[0].id, force=True, used_by=lambda: ())
    store.sweep(lambda: ())
    assert os.listdir(root / "images/blobs/sha256") == []
    assert os.listdir(root / "layers/new") == os.listdir(root / "images/ingest") == []
    assert sorted(os.listdir(root / "layers")) == ["l", "lock", "new"]


def test_an_import_that_is_killed_while_it_waits_leaves_only_garbage(
    root: Path, tmp_path: Path
) -> None:
    make_input(tmp_path, files=200, size=20_000)
    data = (tmp_path / "base.tar").read_bytes()
    code = (
        "import sys; from minidock.image.store import ImageStore;"
        "ImageStore(sys.argv[1]).import_tarball(0, None)"
    )
    worker = subprocess.Popen([sys.executable, "-c", code, str(root)], stdin=subprocess.PIPE)
    assert worker.stdin
    worker.stdin.write(data[: len(data) // 2])
    worker.stdin.flush()
    deadline = time.monotonic() + 10
    while not list(root.glob("layers/new/*/data90")) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert len(os.listdir(root / "images/ingest")) == 1
    worker.kill()
    worker.wait(10)
    time.sleep(0.2)
    store = ImageStore(str(root))
    assert store.images() == []
    with store.hold():  # any writer
        assert os.listdir(root / "layers/new") == os.listdir(root / "images/ingest") == []
