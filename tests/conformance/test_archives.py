"""save and load: what we write others read, and the other way round."""

from __future__ import annotations

import gzip
import io
import json
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def goods(minidock) -> Iterator[str]:
    """An image of two layers with everything that a layer can hold."""
    script = (
        "echo goods > /goods; ln -s goods /link; ln /goods /hard; mkfifo /fifo; "
        "chmod 4755 /hard; chown 1000:1000 /link -h; rm /etc/group; mkdir /new; touch /new/x"
    )
    minidock.ok("run", "--name", "maker", "busybox", "sh", "-c", script)
    minidock.ok("commit", "-c", "CMD cat /goods", "-c", "ENV A=b", "maker", "goods:1")
    minidock.ok("rm", "maker")
    yield "goods:1"
    minidock("rmi", "-f", "goods:1")


@pytest.fixture
def saved(minidock, goods: str, tmp_path: Path) -> Path:
    path = tmp_path / "goods.tar"
    minidock.ok("save", "-o", str(path), goods)
    return path


def _id(minidock, name: str) -> str:
    return minidock.ok("inspect", "-f", "{{.Id}}", name).strip()


def test_there_and_back(minidock, goods: str, saved: Path) -> None:
    before = _id(minidock, goods)
    minidock.ok("rmi", goods)
    assert minidock.ok("load", "-i", str(saved)) == "Loaded image: goods:1\n"
    assert _id(minidock, goods) == before
    assert minidock.ok("run", "--rm", goods) == "goods\n"
    assert minidock("run", "--rm", goods, "cat", "/etc/group").returncode == 1


def test_the_same_image_gives_the_same_archive(minidock, goods: str, saved: Path) -> None:
    done = subprocess.run(
        [*minidock.argv, "save", goods], capture_output=True, env=minidock.env, check=True
    )
    assert done.stdout == saved.read_bytes()


@pytest.mark.parametrize("how", ["gzip", "pipe"])
def test_packed_and_through_a_pipe(minidock, goods: str, saved: Path, how: str) -> None:
    data = saved.read_bytes()
    minidock.ok("rmi", goods)
    given = gzip.compress(data, 1) if how == "gzip" else data
    assert minidock.ok("load", stdin=given) == "Loaded image: goods:1\n"
    assert minidock.ok("run", "--rm", goods) == "goods\n"


def test_several_images_share_their_layers(minidock, goods: str, tmp_path: Path) -> None:
    path = tmp_path / "both.tar"
    minidock.ok("tag", goods, "other")
    minidock.ok("save", "-o", str(path), "goods", "other", "busybox")
    with tarfile.open(path) as tar:
        names = tar.getnames()
        rows = json.load(tar.extractfile("manifest.json"))
    assert len(names) == len(set(names))
    assert sorted(tuple(row["RepoTags"]) for row in rows) == [
        ("busybox:latest",), ("goods:1", "other:latest"),
    ]  # fmt: skip
    minidock.ok("rmi", goods, "other")
    said = minidock.ok("load", "-i", str(path)).splitlines()
    assert sorted(said) == [
        "Loaded image: busybox:latest", "Loaded image: goods:1", "Loaded image: other:latest",
    ]  # fmt: skip
    minidock.ok("rmi", "other")


def test_docker_loads_what_we_save(minidock, docker_engine, saved: Path, goods: str) -> None:
    done = docker_engine("load", "-i", str(saved))
    assert (done.returncode, done.stdout) == (0, "Loaded image: goods:1\n"), done.stderr
    try:
        assert docker_engine("run", "--rm", "--net=none", "goods:1").stdout == "goods\n"
        theirs = json.loads(docker_engine("inspect", "goods:1").stdout)[0]
        ours = json.loads(minidock.ok("inspect", goods))[0]
        assert theirs["Id"] == ours["Id"]
        assert theirs["RootFS"]["Layers"] == ours["RootFS"]["Layers"]
        assert theirs["Config"]["Env"] == ours["Config"]["Env"] == ["A=b"]
    finally:
        docker_engine("rmi", "-f", "goods:1")


def test_we_load_what_docker_saves(minidock, docker_engine, saved: Path, tmp_path: Path) -> None:
    docker_engine("load", "-i", str(saved))
    before = _id(minidock, "goods:1")
    try:
        theirs = tmp_path / "theirs.tar"
        assert docker_engine("save", "-o", str(theirs), "goods:1").returncode == 0
    finally:
        docker_engine("rmi", "-f", "goods:1")
    minidock.ok("rmi", "goods:1")
    assert minidock.ok("load", "-i", str(theirs)) == "Loaded image: goods:1\n"
    assert _id(minidock, "goods:1") == before
    listing = "stat -c '%n %a %u %F %h' /goods /link /fifo /hard /new/x; cat /goods"
    shown = minidock.ok("run", "--rm", "goods:1", "sh", "-c", listing)
    assert shown.endswith("goods\n")
    assert "/hard 4755 0 regular file 2" in shown
    assert "/fifo" in shown


@pytest.mark.parametrize("form", ["docker-archive", "oci-archive"])
def test_podman_saves_and_loads(minidock, saved: Path, tmp_path: Path, form: str) -> None:
    if not shutil.which("podman"):
        pytest.skip("needs podman")
    home = tempfile.mkdtemp(prefix="podman-", dir="/tmp")  # it takes no long paths
    podman = ["podman", "--root", f"{home}/p", "--runroot", f"{home}/r"]
    podman += ["--storage-driver", "vfs", "--cgroup-manager", "cgroupfs"]

    def run(*args: str) -> str:
        done = subprocess.run(
            [*podman, *args], capture_output=True, text=True, timeout=120, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    theirs = tmp_path / "theirs.tar"
    try:
        run("load", "-i", str(saved))
        assert "goods" in run("images", "--format", "{{.Repository}}")
        run("save", "--format", form, "-o", str(theirs), "docker.io/library/goods:1")
    finally:
        shutil.rmtree(home)
    minidock.ok("rmi", "goods:1")
    assert "goods:1" in minidock.ok("load", "-i", str(theirs))
    assert minidock.ok("run", "--rm", "goods:1") == "goods\n"


@pytest.mark.parametrize("form", ["docker-archive", "oci-archive"])
def test_skopeo_reads_both_forms(saved: Path, tmp_path: Path, form: str) -> None:
    if not shutil.which("skopeo"):
        pytest.skip("needs skopeo")
    done = subprocess.run(
        ["skopeo", "copy", f"{form}:{saved}", f"dir:{tmp_path}/copy"],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def test_what_cannot_be_saved(minidock) -> None:
    done = minidock("save", "nosuch")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("Error response from daemon: ")
    done = minidock("save", "-o", "/nosuch/x.tar", "busybox")
    assert done.returncode == 1
    assert "directory" in done.stderr


# ── archives that lie ──


def _archive(files: dict[str, bytes], links: dict[str, str] | None = None) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
        for name, target in (links or {}).items():
            info = tarfile.TarInfo(name)
            info.type, info.linkname = tarfile.SYMTYPE, target
            tar.addfile(info)
    return buffer.getvalue()


CONFIG = json.dumps(
    {
        "architecture": "amd64",
        "os": "linux",
        "rootfs": {"type": "layers", "diff_ids": ["sha256:" + "0" * 64]},
    }
).encode()
ROW = [{"Config": "c.json", "RepoTags": ["lie:1"], "Layers": ["l.tar"]}]
LAYER = _archive({"x": b"y"})


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "empty"),
        (b"no tar at all" * 100, "invalid tar"),
        (_archive({"x": b""}), "no image"),
        (_archive({"manifest.json": b"{"}), "manifest.json"),
        (_archive({"manifest.json": b"{}"}), "not a list"),
        (_archive({"manifest.json": b"[1]"}), "not an object"),
        (_archive({"manifest.json": json.dumps(ROW).encode()}), "c.json is missing"),
        (_archive({"manifest.json": json.dumps(ROW).encode(), "c.json": b"[]"}), "not an object"),
        (
            _archive({"manifest.json": json.dumps(ROW).encode(), "c.json": CONFIG, "l.tar": LAYER}),
            "is not sha256:" + "0" * 64,
        ),
        (
            _archive(
                {"manifest.json": json.dumps(ROW).encode(), "c.json": CONFIG},
                {"l.tar": "../../../../etc/passwd"},
            ),
            "etc/passwd is missing from the archive",
        ),
        (
            _archive(
                {"manifest.json": json.dumps(ROW).encode(), "c.json": CONFIG}, {"l.tar": "l.tar"}
            ),
            "link to itself",
        ),
        (_archive({"blobs/sha256/" + "1" * 64: b"x"}), "another digest"),
        (_archive({"manifest.json": b"[" * 100_000}), "manifest.json"),
        (
            _archive({"index.json": json.dumps({"manifests": [{"mediaType": "x"}]}).encode()}),
            "digest",
        ),
    ],
)
def test_a_bad_archive_is_one_line_and_leaves_nothing(minidock, data: bytes, words: str) -> None:
    before = minidock.ok("images", "-aq")
    done = minidock("load", stdin=data)
    assert done.returncode == 1
    assert done.stdout == ""
    assert words in done.stderr
    assert done.stderr.count("\n") == 1
    assert minidock.ok("images", "-aq") == before
    assert list((minidock.root / "layers" / "new").iterdir()) == []
