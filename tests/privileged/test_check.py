"""system check: each claim of the store is spoiled in turn, found, and repaired where it can be."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest


@pytest.fixture
def sound(minidock) -> Iterator[None]:
    """Before and after the test nothing is wrong."""
    minidock("system", "check", "--repair")
    done = minidock("system", "check")
    assert (done.returncode, done.stdout) == (0, "0 problems found\n")
    yield
    minidock("rm", "-f", "victim")
    minidock("rmi", "-f", "spoiled")
    minidock("system", "check", "--repair")
    done = minidock("system", "check")
    assert (done.returncode, done.stdout) == (0, "0 problems found\n")


def _half_made_blob(root: Path) -> None:
    (root / "images/ingest/4194999-x").write_text("half")


def _orphan_blob(root: Path) -> None:
    (root / "images/blobs/sha256" / ("0" * 64)).write_text("nobody's")


def _half_made_layer(root: Path) -> None:
    (root / "layers/new/4194999-x").mkdir()
    (root / "layers/new/4194999-x/file").write_text("half")


def _layer_of_nobody(root: Path) -> None:
    (root / "layers" / ("1" * 64)).mkdir()


def _link_to_nothing(root: Path) -> None:
    (root / "layers/l/zz").symlink_to("../" + "2" * 64)


def _half_made_container(root: Path) -> None:
    (root / "containers" / ("3" * 64)).mkdir(parents=True)


def _name_of_nobody(root: Path) -> None:
    (root / "names").mkdir(exist_ok=True)
    (root / "names/nobody").symlink_to("../containers/" + "4" * 64)


def _no_layout_file(root: Path) -> None:
    (root / "images/oci-layout").unlink()


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (_half_made_blob, "is half-made"),
        (_orphan_blob, "belongs to no image"),
        (_half_made_layer, "is half-made"),
        (_layer_of_nobody, "belongs to no image and no container"),
        (_link_to_nothing, "leads to no layer"),
        (_half_made_container, "is no container"),
        (_name_of_nobody, "belongs to no container"),
        (_no_layout_file, "does not say that this is an OCI layout"),
    ],
)
def test_garbage_is_found_and_removed(
    minidock, sound: None, spoil: Callable[[Path], None], words: str
) -> None:
    spoil(minidock.root)
    found = minidock("system", "check")
    assert found.returncode == 1
    assert words in found.stdout
    assert found.stdout.endswith("1 problem found\n")
    repaired = minidock("system", "check", "--repair")
    assert repaired.returncode == 0
    assert repaired.stdout.endswith("1 problem repaired\n")


def _layer_directory(minidock, name: str) -> Path:
    upper = minidock.ok("image", "inspect", "-f", "{{.GraphDriver.Data.UpperDir}}", name).strip()
    return Path(os.path.realpath(upper))


def test_a_changed_layer_is_unpacked_anew(minidock, sound: None) -> None:
    minidock.ok("run", "--name", "victim", "busybox", "sh", "-c", "echo good > /good")
    minidock.ok("commit", "victim", "spoiled")
    minidock.ok("rm", "victim")
    assert minidock.ok("run", "--rm", "spoiled", "cat", "/good") == "good\n"
    (_layer_directory(minidock, "spoiled") / "good").write_text("spoiled by somebody")
    found = minidock("system", "check")
    assert "has not the size it had" in found.stdout
    minidock.ok("system", "check", "--repair")
    assert minidock.ok("run", "--rm", "spoiled", "cat", "/good") == "good\n"


def test_what_only_we_have_is_not_thrown_away(minidock, sound: None) -> None:
    minidock.ok("run", "--name", "victim", "busybox", "sh", "-c", "echo good > /good")
    minidock.ok("commit", "victim", "spoiled")
    minidock.ok("rm", "victim")
    index = json.loads((minidock.root / "images/index.json").read_text())
    blobs = minidock.root / "images/blobs/sha256"
    entry = next(m for m in index["manifests"] if "spoiled" in str(m.get("annotations")))
    manifest = json.loads((blobs / entry["digest"][7:]).read_text())
    layer = blobs / manifest["layers"][-1]["digest"][7:]
    whole = layer.read_bytes()
    layer.write_bytes(whole.replace(b"good", b"evil"))
    found = minidock("system", "check")
    assert f"blob sha256:{layer.name} is damaged" in found.stdout
    assert "nothing has it but you" in found.stdout
    assert minidock("system", "check", "--repair").returncode == 1
    assert layer.exists()


def test_a_running_container_keeps_what_it_stands_on(minidock, sound: None) -> None:
    minidock.ok("run", "-d", "--name", "victim", "busybox", "sleep", "100")
    layer = _layer_directory(minidock, "busybox")
    extra = layer / "extra"
    extra.write_text("more")
    try:
        assert minidock("system", "check", "--repair").returncode == 1
        assert layer.is_dir()
        assert minidock.ok("exec", "victim", "echo", "alive") == "alive\n"
    finally:
        extra.unlink()


def test_a_container_without_its_layers_is_told_of(minidock, sound: None) -> None:
    minidock.ok("create", "--name", "victim", "busybox", "true")
    directory = minidock.directory(minidock.ok("inspect", "-f", "{{.Id}}", "victim"))
    shutil.rmtree(directory / "work")
    found = minidock("system", "check")
    assert "has no work" in found.stdout
