"""Volumes on disk: made and removed whole, held while somebody makes a container, never lost."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from minidock.engine.containers import Containers
from minidock.engine.paths import Paths
from minidock.engine.prune import Wanted
from minidock.engine.removal import ANONYMOUS_VOLUMES, DOOMED_VOLUMES, remove_container_files
from minidock.engine.volume_list import list_volumes
from minidock.engine.volume_removal import prune_volumes, remove_volume
from minidock.engine.volumes import Volumes
from minidock.errors import Conflict, InvalidInput, NotFound

ONE, OTHER = "1" * 63 + "a", "2" * 63 + "b"


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    paths = Paths(str(tmp_path / "root"), str(tmp_path / "run"))
    paths.make()
    return paths


def use(paths: Paths, container: str, *names: str) -> str:
    """A container that says it uses these volumes; its directory."""
    directory = paths.container(container)
    os.makedirs(directory, exist_ok=True)
    points = [{"Type": "volume", "Name": name} for name in names]
    document = {"Config": {}, "HostConfig": {}, "Name": container[:12], "MountPoints": points}
    Path(directory, "container.json").write_text(json.dumps(document))
    return directory


def names(paths: Paths) -> list[str]:
    return [volume.name for volume in Volumes(paths).all()]


def test_made_once(paths: Paths) -> None:
    volumes = Volumes(paths)
    first, made = volumes.create("data", {"a": "b"})
    assert made and first.labels == {"a": "b"} and first.options is None
    assert os.stat(first.data).st_mode & 0o777 == 0o755
    assert volumes.create("data", {"other": ""}) == (first, False)
    assert volumes.create()[0].name != volumes.create()[0].name
    assert [volume.anonymous for volume in volumes.all()].count(True) == 2
    with pytest.raises(NotFound, match=r"^get nope: no such volume$"):
        volumes.find("nope")
    with pytest.raises(NotFound):
        volumes.find("../names")


def test_names_and_options_that_cannot_be(paths: Paths) -> None:
    volumes = Volumes(paths)
    for name in ("x", "../x", ".x", "a b", "-x", "é" * 2, "x" * 256, "x\n"):
        with pytest.raises(InvalidInput, match=r"^create "):
            volumes.create(name)
    for options, words in (
        ({"foo": "bar"}, 'invalid option: "foo"'),
        ({"type": "tmpfs"}, 'missing required option: "device"'),
        ({"o": "bind", "type": "none"}, 'missing required option: "device"'),
        ({"size": "1m"}, "quota size requested but no quota support"),
    ):
        with pytest.raises(InvalidInput) as caught:
            volumes.create("data", None, options)
        assert caught.value.message == f"create data: {words}"
    assert volumes.all() == []


def test_one_in_use_stays(paths: Paths) -> None:
    volumes, containers = Volumes(paths), Containers(paths)
    volumes.create("data")
    use(paths, ONE, "data", "other")
    use(paths, OTHER, "data")
    with pytest.raises(Conflict) as caught:
        remove_volume(paths, containers, "data")
    ids = {f"[{ONE}, {OTHER}]", f"[{OTHER}, {ONE}]"}
    assert caught.value.message.removeprefix("remove data: volume is in use - ") in ids
    for container in (ONE, OTHER):
        remove_container_files(paths.container(container), paths.run_root)
    remove_volume(paths, containers, "data")
    assert names(paths) == [] and os.listdir(paths.volumes) == []


def test_removing_waits_for_who_makes_a_container(paths: Paths) -> None:
    volumes = Volumes(paths)
    volumes.create("data")
    held = volumes.hold("data")
    child = os.fork()
    if child == 0:
        os.close(held)
        try:
            remove_volume(paths, Containers(paths), "data")
            os._exit(1)
        except Conflict:
            os._exit(0)
    assert os.waitpid(child, os.WNOHANG) == (0, 0)
    use(paths, ONE, "data")  # now it can be asked
    os.close(held)
    assert os.waitpid(child, 0)[1] == 0, "it was in use by then"
    assert names(paths) == ["data"]


def test_who_waited_for_a_volume_that_went_gets_none(paths: Paths) -> None:
    volumes = Volumes(paths)
    volumes.create("data")
    lock = volumes.lock("data", wait=True)
    child = os.fork()
    if child == 0:
        os.close(lock)
        try:
            volumes.hold("data")
        except NotFound:
            os._exit(0)
        os._exit(1)
    volumes.discard("data")
    os.close(lock)
    assert os.waitpid(child, 0)[1] == 0


def test_what_a_killed_command_left_is_swept(paths: Paths) -> None:
    volumes = Volumes(paths)
    volumes.create("data")
    for name in (".1.new", ".2.old", ".3.old.removing"):
        os.makedirs(f"{paths.volumes}/{name}/_data/deep")
    assert names(paths) == ["data"]
    volumes.sweep()
    assert os.listdir(paths.volumes) == ["data"]


def anonymous_of(paths: Paths, container: str) -> str:
    """A container with an anonymous volume; the volume's name."""
    volume = Volumes(paths).create()[0].name
    directory = use(paths, container, volume)
    Path(directory, ANONYMOUS_VOLUMES).write_text(f"{volume}\n")
    return volume


def test_an_anonymous_volume_stays_unless_told(paths: Paths) -> None:
    kept, gone = anonymous_of(paths, ONE), anonymous_of(paths, OTHER)
    remove_container_files(paths.container(ONE), paths.run_root)
    remove_container_files(paths.container(OTHER), paths.run_root, volumes=True)
    assert kept in names(paths) and gone not in names(paths)


def test_one_that_another_container_uses_stays(paths: Paths) -> None:
    volume = anonymous_of(paths, ONE)
    use(paths, OTHER, volume)
    remove_container_files(paths.container(ONE), paths.run_root, volumes=True)
    assert names(paths) == [volume]


@pytest.mark.parametrize("unborn", [True, False])
def test_with_rm_and_with_a_container_that_never_was(paths: Paths, unborn: bool) -> None:
    anonymous_of(paths, ONE)
    directory = paths.container(ONE)
    if unborn:
        os.unlink(f"{directory}/container.json")
    else:
        Path(directory, "auto-remove").touch()
    remove_container_files(directory, paths.run_root)
    assert names(paths) == []


def test_a_removal_that_is_gone_on_with_does_not_guess(paths: Paths) -> None:
    """Killed in the middle: container.json is gone, the list is not."""
    kept = anonymous_of(paths, ONE)
    directory = paths.container(ONE)
    os.rename(directory, f"{directory}.removing")
    os.unlink(f"{directory}.removing/container.json")
    remove_container_files(directory, paths.run_root)
    assert names(paths) == [kept]
    gone = anonymous_of(paths, OTHER)
    directory = paths.container(OTHER)
    os.rename(f"{directory}/{ANONYMOUS_VOLUMES}", f"{directory}/{DOOMED_VOLUMES}")
    os.rename(directory, f"{directory}.removing")
    remove_container_files(directory, paths.run_root)
    assert gone not in names(paths)


def test_rm_v_that_was_killed_and_then_taken_back(paths: Paths) -> None:
    volume = anonymous_of(paths, ONE)
    directory = paths.container(ONE)
    os.rename(f"{directory}/{ANONYMOUS_VOLUMES}", f"{directory}/{DOOMED_VOLUMES}")
    remove_container_files(directory, paths.run_root)  # `rm` without -v
    assert names(paths) == [volume]


def test_prune(paths: Paths) -> None:
    volumes, containers = Volumes(paths), Containers(paths)
    for name, labels in (("one", {"k": "v"}), ("two", None)):
        volumes.create(name, labels)
        Path(paths.volumes, name, "_data", "file").write_bytes(bytes(1000))
    loose = volumes.create()[0]
    used = anonymous_of(paths, ONE)
    pruned = prune_volumes(paths, containers, Wanted(), everything=False)
    assert pruned.lines == (loose.name,)
    pruned = prune_volumes(paths, containers, Wanted(labels=("k=v",)), everything=True)
    assert (pruned.lines, pruned.reclaimed) == (("one",), 1000)
    held = volumes.hold("two")
    assert prune_volumes(paths, containers, Wanted(), everything=True).lines == ()
    os.close(held)
    assert prune_volumes(paths, containers, Wanted(), everything=True).lines == ("two",)
    assert names(paths) == [used]


def test_lists(paths: Paths) -> None:
    volumes, containers = Volumes(paths), Containers(paths)
    volumes.create("data1", {"a": "b", "c": ""})
    volumes.create("data2")
    use(paths, ONE, "data2")

    def listed(**filters: str) -> list[str]:
        some = {name: [value] for name, value in filters.items()}
        return [volume.name for volume in list_volumes(paths, containers, some)]

    assert listed() == listed(driver="local") == listed(name="data") == ["data1", "data2"]
    assert listed(dangling="true") == listed(label="a=b") == listed(label="c") == ["data1"]
    assert listed(dangling="0") == listed(name="2$") == ["data2"]
    assert listed(driver="nfs") == listed(label="a=c") == listed(name="nope") == []
    for name in ("data10", "1data", "Data"):
        volumes.create(name)
    assert listed() == ["1data", "Data", "data1", "data2", "data10"]
    for wrong in ({"dangling": "maybe"}, {"colour": "red"}):
        with pytest.raises(InvalidInput, match=r"^invalid filter '"):
            listed(**wrong)
