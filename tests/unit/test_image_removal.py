"""rmi: which names and images go. Every case was tried with a Docker engine."""

from __future__ import annotations

import pytest

from minidock.errors import Conflict
from minidock.image.catalog import StoredImage
from minidock.image.removal import ImageUse, Removal, plan_removal
from minidock.spec.digest import ChainID, DiffID, Digest, chain_ids
from minidock.spec.image import ImageConfig

CONTAINER = "9f97e6171bf8" + "0" * 52


def image(letter: str, *references: str, layers: str = "a", parent: str = "") -> StoredImage:
    diff_ids = tuple(DiffID.from_hex(layer * 64) for layer in layers)
    config = ImageConfig("amd64", "linux", diff_ids)
    identity = Digest.from_hex(letter * 64)
    return StoredImage(identity, identity, config, references, (), diff_ids, parent)


def use(used: StoredImage, *, running: bool) -> ImageUse:
    return ImageUse(CONTAINER, used.id, running)


def remove(
    images: list[StoredImage],
    target: StoredImage,
    reference: str = "",
    *,
    uses: tuple[ImageUse, ...] = (),
    chains: tuple[ChainID, ...] = (),
    force: bool = False,
    prune: bool = True,
) -> Removal:
    return plan_removal(
        images,
        uses,
        frozenset(chains),
        target,
        name=reference,
        reference=reference,
        force=force,
        prune=prune,
    )


def test_the_last_name_takes_the_image_and_its_layers_along() -> None:
    one = image("1", "ubuntu:latest", layers="ab")
    first, second = chain_ids(one.diff_ids)
    plan = remove([one], one, "ubuntu:latest")
    assert plan.lines == (
        "Untagged: ubuntu:latest",
        f"Deleted: {one.id}",
        f"Deleted: {second}",
        f"Deleted: {first}",
    )
    assert plan.delete == {one.id}


def test_one_name_of_several_is_only_a_name() -> None:
    one = image("1", "u2:x", "ubuntu:latest")
    plan = remove([one], one, "u2:x", uses=(use(one, running=True),))
    assert plan.lines == ("Untagged: u2:x",)
    assert not plan.delete


def test_an_id_with_several_names_needs_force() -> None:
    one = image("1", "u2:x", "ubuntu:latest")
    with pytest.raises(Conflict) as error:
        remove([one], one)
    assert error.value.message == (
        "conflict: unable to delete 111111111111 (must be forced) - image is referenced in "
        "multiple repositories"
    )
    plan = remove([one], one, force=True)
    assert plan.lines[:3] == (
        "Untagged: u2:x",
        "Untagged: ubuntu:latest",
        f"Deleted: {one.id}",
    )


def test_an_id_with_one_name_takes_it_along() -> None:
    one = image("1", "ubuntu:latest")
    assert remove([one], one).lines[:2] == ("Untagged: ubuntu:latest", f"Deleted: {one.id}")


def test_layers_that_others_need_stay() -> None:
    one, other = image("1", "one:latest", layers="ab"), image("2", "other:latest", layers="a")
    plan = remove([one, other], one, "one:latest")
    assert plan.lines[1:] == (f"Deleted: {one.id}", f"Deleted: {chain_ids(one.diff_ids)[1]}")
    held = chain_ids(one.diff_ids)
    assert remove([one], one, "one:latest", chains=held).lines[1:] == (f"Deleted: {one.id}",)


def test_a_stopped_container_protects_the_last_name_until_forced() -> None:
    one = image("1", "deb:1")
    uses = (use(one, running=False),)
    with pytest.raises(Conflict) as error:
        remove([one], one, "deb:1", uses=uses)
    assert error.value.message == (
        'conflict: unable to remove repository reference "deb:1" (must force) - container '
        "9f97e6171bf8 is using its referenced image 111111111111"
    )
    with pytest.raises(Conflict) as error:
        remove([one], one, uses=uses)
    assert error.value.message == (
        "conflict: unable to delete 111111111111 (must be forced) - image is being used by "
        "stopped container 9f97e6171bf8"
    )
    plan = remove([one], one, "deb:1", uses=uses, force=True)
    assert plan.lines[:2] == ("Untagged: deb:1", f"Deleted: {one.id}")


def test_a_running_container_protects_the_image_even_then() -> None:
    one = image("1", "deb:1")
    uses = (use(one, running=True),)
    assert remove([one], one, "deb:1", uses=uses, force=True).lines == ("Untagged: deb:1",)
    with pytest.raises(Conflict) as error:
        remove([one], one, uses=uses, force=True)
    assert error.value.message == (
        "conflict: unable to delete 111111111111 (cannot be forced) - image is being used by "
        "running container 9f97e6171bf8"
    )


def test_a_parent_stays_for_its_children_and_goes_with_the_last() -> None:
    parent = image("1", "ubuntu:latest")
    child = image("2", "ub2:latest", layers="ab", parent=parent.id)
    assert remove([parent, child], parent, "ubuntu:latest").lines == ("Untagged: ubuntu:latest",)
    with pytest.raises(Conflict) as error:
        remove([parent, child], parent, force=True)
    assert error.value.message == (
        "conflict: unable to delete 111111111111 (cannot be forced) - image has dependent child "
        "images"
    )
    nameless = parent.but(references=())
    assert remove([nameless, child], child, "ub2:latest").lines == (
        "Untagged: ub2:latest",
        f"Deleted: {child.id}",
        f"Deleted: {chain_ids(child.diff_ids)[1]}",
        f"Deleted: {parent.id}",
        f"Deleted: {chain_ids(child.diff_ids)[0]}",
    )
    kept = remove([nameless, child], child, "ub2:latest", prune=False)
    assert kept.delete == {child.id}
    assert remove([parent, child], child, "ub2:latest").delete == {child.id}


def test_a_parent_that_a_container_uses_stays() -> None:
    parent = image("1")
    child = image("2", "ub2:latest", layers="ab", parent=parent.id)
    plan = remove([parent, child], child, "ub2:latest", uses=(use(parent, running=False),))
    assert plan.delete == {child.id}
