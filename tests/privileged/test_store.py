"""The image store on disk: what goes in comes out, and damage is noticed."""

from __future__ import annotations

import io
import json
import os
import tarfile
from collections.abc import Sequence
from pathlib import Path

import pytest

from minidock.errors import BadArchive, InvalidInput, NotFound, StoreError
from minidock.image.locks import alone
from minidock.image.removal import ImageUse
from minidock.image.store import ImageStore, StoredImage
from minidock.spec.digest import Digest
from minidock.spec.image import REF_NAME
from minidock.spec.reference import parse_reference

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="unpacking needs root: chroot, mknod")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "root"


@pytest.fixture
def store(root: Path) -> ImageStore:
    return ImageStore(str(root))


def tarball(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


BASE = tarball({"etc/motd": b"hello", "bin/sh": b"#!" * 100})


def add_base(store: ImageStore, name: str = "ubuntu", data: bytes = BASE) -> StoredImage:
    return store.import_tarball(io.BytesIO(data), parse_reference(name))


def upper(tmp_path: Path, **files: str) -> str:
    directory = tmp_path / "upper"
    directory.mkdir(exist_ok=True)
    for name, text in files.items():
        (directory / name).write_text(text)
    return str(directory)


def commit(store: ImageStore, parent: StoredImage, directory: str, name: str = "") -> StoredImage:
    reference = parse_reference(name) if name else None
    return store.add_layer(
        parent,
        directory,
        config={"Cmd": ["sh"]},
        author="me",
        comment="why",
        created_by="/bin/sh",
        reference=reference,
    )


def nobody() -> Sequence[ImageUse]:
    return ()


def files_below(directory: Path) -> set[str]:
    return {str(p.relative_to(directory)) for p in directory.rglob("*") if p.is_file()}


# ── finding ──────────────────────────────────────────────────────────────────────────────────────


def test_reading_an_empty_store_creates_nothing(store: ImageStore, root: Path) -> None:
    assert store.images() == []
    with pytest.raises(NotFound, match=r"^No such image: ubuntu:latest$"):
        store.resolve("ubuntu")
    assert not root.exists()


def test_an_image_is_found_by_every_name_it_has(store: ImageStore) -> None:
    image = add_base(store)
    add_base(store, "other")
    for name in (
        "ubuntu",
        "ubuntu:latest",
        "docker.io/library/ubuntu",
        image.id,
        image.id.hex,
        image.id.short,
        image.id[:20],
        f"ubuntu@{image.manifest}",
    ):
        assert store.resolve(name).id == image.id, name
    assert store.resolve("ubuntu") == image


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nosuch", "No such image: nosuch:latest"),
        ("nosuch:1", "No such image: nosuch:1"),
        ("sha256:0000", "No such image: sha256:0000"),
        ("f" * 12, f"No such image: {'f' * 12}:latest"),
        ("f" * 64, f"No such image: sha256:{'f' * 64}"),
        (f"sha256:{'f' * 64}", f"No such image: sha256:{'f' * 64}"),
        (f"ubuntu@sha256:{'f' * 64}", f"No such image: ubuntu@sha256:{'f' * 64}"),
    ],
)
def test_what_is_not_there_is_said_in_dockers_words(
    store: ImageStore, name: str, message: str
) -> None:
    add_base(store)
    with pytest.raises(NotFound) as error:
        store.resolve(name)
    assert error.value.message == message


def test_an_ambiguous_prefix_finds_nothing(store: ImageStore) -> None:
    # 17 images: two of them begin with the same digit.
    first: dict[str, int] = {}
    for number in range(17):
        image = add_base(store, f"image{number}")
        first[image.id.hex[0]] = first.get(image.id.hex[0], 0) + 1
    digit = next(d for d, count in first.items() if count > 1)
    with pytest.raises(NotFound, match=f"^No such image: {digit}:latest$"):
        store.resolve(digit)


def test_a_reference_goes_before_an_id(store: ImageStore) -> None:
    one = add_base(store, "one")
    two = add_base(store, one.id.short)
    assert store.resolve(one.id.short).id == two.id


# ── import ───────────────────────────────────────────────────────────────────────────────────────


def test_an_import_is_an_image_that_can_be_mounted(store: ImageStore, root: Path) -> None:
    image = store.import_tarball(
        io.BytesIO(BASE), parse_reference("ubuntu"), changes=["CMD sh"], message="why"
    )
    (lower,) = store.lowerdirs(image)
    assert Path(lower, "etc/motd").read_text() == "hello"
    assert os.stat(lower).st_mode & 0o7777 == 0o755
    assert image.config.config == {"Cmd": ["/bin/sh", "-c", "sh"]}
    assert (image.config.os, image.config.history[0].comment) == ("linux", "why")
    assert image.config.created == image.config.history[0].created
    assert store.size(image) == 205
    assert lower == f"{root}/layers/l/0"


def test_nothing_is_left_of_an_import_that_fails(store: ImageStore, root: Path) -> None:
    add_base(store)
    before = files_below(root)
    hostile = tarball({"ok": b"x", "../../evil": b"x"})
    with pytest.raises(BadArchive):
        add_base(store, "bad", hostile)
    with pytest.raises(BadArchive):
        add_base(store, "bad", BASE[:1000])
    with pytest.raises(InvalidInput, match="foo is not a valid change command"):
        store.import_tarball(io.BytesIO(BASE), None, changes=["FOO bar"])
    with pytest.raises(InvalidInput, match="cannot import digest reference"):
        add_base(store, f"bad@sha256:{'a' * 64}")
    with pytest.raises(InvalidInput, match="ambiguous tag"):
        add_base(store, "sha256:abc")
    assert files_below(root) == before
    assert not (root.parent / "evil").exists()


def test_a_name_that_moves_leaves_a_dangling_image(store: ImageStore) -> None:
    old = add_base(store)
    new = add_base(store)
    assert store.resolve("ubuntu").id == new.id
    assert [(i.id, i.references) for i in store.images()] == [
        (new.id, ("ubuntu:latest",)),
        (old.id, ()),
    ]


# ── commit ───────────────────────────────────────────────────────────────────────────────────────


def test_a_commit_is_its_parent_and_one_layer(store: ImageStore, tmp_path: Path) -> None:
    parent = add_base(store)
    image = commit(store, parent, upper(tmp_path, foo="really important"), "ubuntu-foo")
    assert image.diff_ids[:-1] == parent.diff_ids
    assert image.parent == parent.id
    top, bottom = store.lowerdirs(image)
    assert Path(top, "foo").read_text() == "really important"
    assert (bottom,) == store.lowerdirs(parent)
    assert store.size(image) == store.size(parent) + 16
    assert store.resolve("ubuntu-foo") == image
    assert image.config.author == "me"
    step = image.config.history[-1]
    assert (step.author, step.comment, step.created_by) == ("me", "why", "/bin/sh")


def test_the_layer_of_a_commit_does_not_share_files_with_upper(
    store: ImageStore, tmp_path: Path
) -> None:
    directory = upper(tmp_path, foo="before")
    image = commit(store, add_base(store), directory)
    top = store.lowerdirs(image)[0]
    with open(f"{directory}/foo", "w") as file:  # the container goes on writing
        file.write("after")
    assert Path(top, "foo").read_text() == "before"


def test_two_commits_of_the_same_upper_give_the_same_layer(
    store: ImageStore, tmp_path: Path
) -> None:
    parent = add_base(store)
    directory = upper(tmp_path, foo="x", bar="y")
    one, two = (commit(store, parent, directory, name) for name in ("one", "two"))
    assert one.layers == two.layers
    assert one.id != two.id  # made at another moment


def test_a_commit_without_changes_adds_no_layer(store: ImageStore, tmp_path: Path) -> None:
    parent = add_base(store)
    image = commit(store, parent, upper(tmp_path), "same")
    assert image.diff_ids == parent.diff_ids
    assert image.config.history[-1].empty_layer
    assert store.size(image) == store.size(parent)
    assert [row.size for row in store.history(image)] == [0, 205]


def test_history_names_the_images_that_are_here(store: ImageStore, tmp_path: Path) -> None:
    parent = add_base(store)
    child = commit(store, parent, upper(tmp_path, foo="x"))
    grandchild = commit(store, child, upper(tmp_path, bar="yy"), "last")
    rows = store.history(grandchild)
    assert [row.id for row in rows] == [grandchild.id, child.id, parent.id]
    assert [row.size for row in rows] == [3, 1, 205]
    assert [row.comment for row in rows] == ["why", "why", "Imported from -"]
    assert rows[2].references == ("ubuntu:latest",)


def test_a_parent_that_was_removed_cannot_be_committed_to(
    store: ImageStore, tmp_path: Path
) -> None:
    parent = add_base(store)
    store.remove("ubuntu", used_by=nobody)
    with pytest.raises(NotFound, match=r"^No such image: sha256:"):
        commit(store, parent, upper(tmp_path, foo="x"))
    assert store.images() == []


# ── tag and remove ───────────────────────────────────────────────────────────────────────────────


def test_a_tag_is_one_more_name(store: ImageStore) -> None:
    image = add_base(store)
    store.tag(image, parse_reference("other.io:5000/a/b"))
    assert store.resolve("ubuntu").references == ("other.io:5000/a/b:latest", "ubuntu:latest")
    with pytest.raises(InvalidInput, match="refusing to create a tag with a digest reference"):
        store.tag(image, parse_reference(f"x@sha256:{'a' * 64}"))


def test_a_tag_can_be_taken_from_another_image(store: ImageStore) -> None:
    one, two = add_base(store, "one"), add_base(store, "two")
    store.tag(one, parse_reference("two"))
    assert store.resolve("two").id == one.id
    assert store.resolve(two.id).references == ()
    store.tag(two, parse_reference("three"))
    assert store.resolve(two.id).references == ("three:latest",)
    assert len(store.images()) == 2


def test_removing_sweeps_what_nobody_needs(store: ImageStore, root: Path, tmp_path: Path) -> None:
    base = add_base(store)
    empty_of_child = files_below(root)
    child = commit(store, base, upper(tmp_path, foo="x"), "child")
    store.lowerdirs(child)
    lines = store.remove("child", used_by=nobody)
    assert lines[:2] == ["Untagged: child:latest", f"Deleted: {child.id}"]
    assert files_below(root) == empty_of_child
    assert os.listdir(root / "layers/l") == ["0"]
    store.remove("ubuntu", used_by=nobody)
    assert os.listdir(root / "images/blobs/sha256") == []
    assert sorted(os.listdir(root / "layers")) == ["l", "lock", "new"]
    assert os.listdir(root / "layers/l") == os.listdir(root / "layers/new") == []


def test_layers_of_a_container_stay_when_its_image_goes(store: ImageStore, root: Path) -> None:
    image = add_base(store)
    uses = [ImageUse("c" * 64, image.id, False, store.lowerdirs(image))]
    lines = store.remove("ubuntu", force=True, used_by=lambda: uses)
    assert lines == ["Untagged: ubuntu:latest", f"Deleted: {image.id}"]
    assert Path(uses[0].lowerdirs[0], "etc/motd").exists()
    assert os.listdir(root / "images/blobs/sha256") == []
    uses.clear()
    assert store.sweep(lambda: uses)
    assert os.listdir(root / "layers/l") == []


def test_nothing_is_swept_while_somebody_writes(store: ImageStore, root: Path) -> None:
    image = add_base(store)
    with store.hold():
        lower = store.lowerdirs(image)[0]
        store.remove("ubuntu", used_by=nobody)
        assert Path(lower, "etc/motd").exists()
    with pytest.raises(NotFound):
        store.resolve("ubuntu")
    assert store.sweep(nobody)
    assert not Path(lower).exists()


def test_links_are_used_again(store: ImageStore) -> None:
    """They must stay short: 127 of them share a page."""
    bases = [add_base(store, f"i{n}", tarball({"n": bytes([n])})) for n in range(40)]
    links = [os.path.basename(store.lowerdirs(image)[0]) for image in bases]
    assert (links[0], links[35], links[36]) == ("0", "z", "00")
    assert len(set(links)) == 40
    store.remove("i7", used_by=nobody)
    again = add_base(store, "again", tarball({"again": b""}))
    assert os.path.basename(store.lowerdirs(again)[0]) == links[7]


# ── damage ───────────────────────────────────────────────────────────────────────────────────────


def blob(root: Path, digest: Digest) -> Path:
    return root / "images/blobs/sha256" / digest.hex


def test_a_missing_blob_is_one_clear_error(store: ImageStore, root: Path) -> None:
    image = add_base(store)
    blob(root, image.id).unlink()
    for read in (store.images, lambda: store.resolve("ubuntu")):
        with pytest.raises(StoreError) as error:
            read()
        message = f"image ubuntu:latest: blob {image.id} is missing from the store"
        assert error.value.message == message
    add_base(store, "other")
    assert store.remove("ubuntu", used_by=nobody) == ["Untagged: ubuntu:latest"]
    assert [i.references for i in store.images()] == [("other:latest",)]


def test_a_spoiled_document_is_one_clear_error(store: ImageStore, root: Path) -> None:
    image = add_base(store)
    path = blob(root, image.id)
    size = path.stat().st_size
    path.write_bytes(b"{" * size)
    with pytest.raises(StoreError, match=r"^image ubuntu:latest: config: not valid JSON"):
        store.resolve("ubuntu")
    path.write_bytes(b"")  # as after a power cut
    with pytest.raises(StoreError, match="is damaged: its size is not"):
        store.resolve("ubuntu")
    (root / "images/index.json").write_bytes(b'{"manifests": 1}')
    with pytest.raises(StoreError, match=r"index\.json: manifests is not a list$"):
        store.images()


def test_a_spoiled_layer_is_not_unpacked(store: ImageStore, root: Path, tmp_path: Path) -> None:
    image = commit(store, add_base(store), upper(tmp_path, foo="x" * 600), "foo")
    path = blob(root, image.layers[1].digest)
    data = path.read_bytes()
    path.write_bytes(data.replace(b"x" * 600, b"y" * 600))
    with pytest.raises(StoreError, match="is damaged, its DiffID is another"):
        store.lowerdirs(image)
    path.write_bytes(data[:700])
    with pytest.raises(StoreError, match=r"^layer .* of image "):
        store.lowerdirs(image)
    path.write_bytes(data)
    assert Path(store.lowerdirs(image)[0], "foo").read_text() == "x" * 600
    assert os.listdir(root / "layers/new") == []


@pytest.mark.parametrize("lost", ["content", "directory", "json", "half of json"])
def test_a_layer_that_a_power_cut_spoiled_is_unpacked_again(
    store: ImageStore, root: Path, lost: str
) -> None:
    image = add_base(store)
    layer = root / "layers" / image.diff_ids[0].hex
    note = layer.with_suffix(".json")
    document = json.loads(note.read_text())
    note.write_text(json.dumps({**document, "Boot": "another"}))
    if lost == "content":
        (layer / "etc/motd").write_bytes(b"")
    elif lost == "directory":
        layer.rename(root / "gone")
    elif lost == "json":
        note.unlink()
    else:
        note.write_text(note.read_text()[:30])
    (lower,) = store.lowerdirs(image)
    assert Path(lower, "etc/motd").read_text() == "hello"
    assert store.size(image) == 205


def test_a_layer_that_survived_a_boot_is_looked_through_once(store: ImageStore, root: Path) -> None:
    image = add_base(store)
    layer = root / "layers" / image.diff_ids[0].hex
    note = layer.with_suffix(".json")
    note.write_text(json.dumps({**json.loads(note.read_text()), "Boot": "another"}))
    inode = (layer / "etc/motd").stat().st_ino
    store.lowerdirs(image)
    assert (layer / "etc/motd").stat().st_ino == inode
    assert "Boot" not in json.loads(note.read_text())


def test_one_image_with_the_names_of_several_manifests(store: ImageStore, root: Path) -> None:
    """Two programs packed the same image differently: one id, so one image."""
    image = add_base(store)
    index = root / "images/index.json"
    document = json.loads(index.read_text())
    manifest = json.loads(blob(root, image.manifest).read_text())
    data = json.dumps(manifest, indent=2).encode()
    digest = Digest.from_hex(__import__("hashlib").sha256(data).hexdigest())
    blob(root, digest).write_bytes(data)
    entry = {**document["manifests"][0], "digest": digest, "size": len(data)}
    entry["annotations"] = {REF_NAME: "docker.io/library/same:latest"}
    document["manifests"].append(entry)
    index.write_text(json.dumps(document))
    (only,) = store.images()
    assert only.references == ("same:latest", "ubuntu:latest")
    assert store.remove("same", used_by=nobody) == ["Untagged: same:latest"]
    assert store.remove("ubuntu", used_by=nobody)[1] == f"Deleted: {image.id}"


def test_what_is_no_image_is_left_alone(store: ImageStore, root: Path) -> None:
    add_base(store)
    index = root / "images/index.json"
    document = json.loads(index.read_text())
    strange = {
        "mediaType": "application/x-strange",
        "digest": "sha256:" + "5" * 64,
        "size": 5,
        "annotations": {REF_NAME: "Not A Name"},
        "unknown": {"kept": True},
    }
    document["manifests"].append(strange)
    document["annotations"] = {"kept": "too"}
    index.write_text(json.dumps(document))
    assert [i.references for i in store.images()] == [("ubuntu:latest",)]
    add_base(store, "other")
    after = json.loads(index.read_text())
    assert strange in after["manifests"]
    assert after["annotations"] == {"kept": "too"}


def test_who_sweeps_asks_for_containers_under_the_lock(store: ImageStore, tmp_path: Path) -> None:
    """One that is made between the question and the sweep would lose its layers."""
    store.import_tarball(io.BytesIO(b"\0" * 10240), None)
    held = []

    def uses() -> tuple[ImageUse, ...]:
        with alone(str(tmp_path / "root/images/lock")) as lock:
            held.append(not lock.held)
        return ()

    assert store.sweep(uses)
    assert held == [True]
