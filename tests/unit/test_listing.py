"""Which containers are listed, under which name of their image, and how large they are."""

from __future__ import annotations

import json
import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from minidock.engine.containers import Containers
from minidock.engine.listing import MAX_DEPTH, list_containers, tree_size
from minidock.engine.paths import Paths
from minidock.errors import InvalidInput, NotFound, StoreError
from minidock.linux.host import boot_id, start_time

BASE, CHILD, OTHER = (f"sha256:{letter * 64}" for letter in "bc0")


class Images:
    """Three images: base, child (committed from base), and other."""

    def __init__(self) -> None:
        self.names = {"base": BASE, "child": CHILD, "other": OTHER}
        self.asked: list[str] = []

    def resolve(self, name: str) -> SimpleNamespace:
        self.asked.append(name)
        if name == "damaged":
            raise StoreError("a blob is missing")
        if name == "A B":
            raise InvalidInput("invalid reference format")
        image = self.names.get(name)
        if image is None:
            raise NotFound(f"No such image: {name}")
        return SimpleNamespace(id=image)

    def images(self) -> list[SimpleNamespace]:
        return [
            SimpleNamespace(id=BASE, parent=""),
            SimpleNamespace(id=CHILD, parent=BASE),
            SimpleNamespace(id=OTHER, parent=""),
        ]


class Fleet:
    """Five containers, the oldest first: running, exited (3), created, exited (0), and running in
    the host's network."""

    def __init__(self, home: Path) -> None:
        self.paths = Paths(str(home / "root"), str(home / "run"))
        self.paths.make()
        self.images = Images()
        when = {"StartedAt": "2026-11-23T10:20:00Z"}
        pid = os.getpid()
        alive = {"Pid": pid, "StartTime": start_time(pid), "BootId": boot_id(), **when}
        dead = {"Pid": 1, "StartTime": 1, "BootId": "another boot", **when}
        end = {"FinishedAt": "2026-11-23T10:30:00Z"}
        self.add("first", "a0", started=alive, labels={"x": "1", "empty": ""})
        self.add("second", "a1", "child", CHILD, started=dead, exited={"ExitCode": 3, **end})
        every: dict[str, object] = {"PublishAllPorts": True}
        exposed: dict[str, object] = {"80/tcp": {}, "53/udp": {}}
        self.add("third", "b2", labels={"x": "2"}, exposed=exposed, ports=every)
        bound: dict[str, object] = {
            "PortBindings": {"8000/tcp": [{"HostPort": "80"}], "9000/udp": []}
        }
        ended: dict[str, object] = {"ExitCode": 0, **end}
        self.add("fourth", "b3", "other", OTHER, started=dead, exited=ended, ports=bound)
        self.add("fifth", "b4", started=alive, network="host")

    def add(
        self,
        name: str,
        digits: str,
        image: str = "base",
        image_id: str = BASE,
        *,
        started: dict[str, object] | None = None,
        exited: dict[str, object] | None = None,
        labels: dict[str, str] | None = None,
        exposed: dict[str, object] | None = None,
        network: str = "none",
        ports: dict[str, object] | None = None,
    ) -> None:
        container_id = digits + "0" * 62
        directory = Path(self.paths.container(container_id))
        directory.mkdir()
        Containers(self.paths).reserve_name(name, container_id)
        document = {
            "Id": container_id,
            "Name": name,
            "Created": f"2026-11-23T10:00:0{len(os.listdir(self.paths.containers))}Z",
            "Image": image_id,
            "ImageName": image,
            "Config": {"Labels": labels, "ExposedPorts": exposed},
            "HostConfig": {"NetworkMode": network, **(ports or {})},
        }
        (directory / "container.json").write_text(json.dumps(document))
        for file, content in (("started", started), ("exited", exited)):
            if content:
                (directory / f"{file}.json").write_text(json.dumps(content))

    def listed(self, *filters: str, **options: object) -> list[str]:
        pairs: dict[str, list[str]] = {}
        for text in filters:
            name, _, value = text.partition("=")
            pairs.setdefault(name, []).append(value)
        found = list_containers(
            Containers(self.paths),
            self.images,  # type: ignore[arg-type]
            filters=pairs,
            **options,  # type: ignore[arg-type]
        )
        return [row.container.name for row in found]


@pytest.fixture
def fleet(tmp_path: Path) -> Fleet:
    return Fleet(tmp_path)


def test_running_all_and_the_newest(fleet: Fleet) -> None:
    everyone = ["fifth", "fourth", "third", "second", "first"]
    assert fleet.listed() == ["fifth", "first"]
    assert fleet.listed(everything=True) == everyone
    assert fleet.listed(last=2) == ["fifth", "fourth"]
    assert fleet.listed(last=0) == fleet.listed(last=-5) == ["fifth", "first"]
    assert fleet.listed(last=100) == everyone


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        (["id=a1"], "second"),
        (["id=b"], ""),  # three begin so
        (["id=1"], ""),
        (["id="], ""),
        (["id=" + "b2" + "0" * 62, "id=b3"], "fourth third"),
        (["name=f"], "fifth fourth first"),
        (["name=^fif"], "fifth"),
        (["name=/third"], "third"),
        (["name=t.*d$", "name=fourth"], "fourth third"),
        (["name=["], ""),
        (["name=f", "id=b3"], "fourth"),
        (["label=x"], "third first"),
        (["label=x=1"], "first"),
        (["label=x=1", "label=empty"], "first"),
        (["label=empty="], "first"),
        (["label=x=1", "label=x=2"], ""),
        (["label=y"], ""),
        (["status=exited"], "fourth second"),
        (["status=created", "status=running"], "fifth third first"),
        (["status=paused"], ""),
        (["exited=3"], "second"),
        (["exited=0"], "fourth"),  # not those that run, nor those that never did
        (["exited=0", "exited=3"], "fourth second"),
        (["exited=-1"], ""),
        (["ancestor=base"], "fifth third second first"),  # child was made from it
        (["ancestor=child"], "second"),
        (["ancestor=other", "ancestor=child"], "fourth second"),
        (["ancestor=nosuch"], ""),
        (["ancestor=A B"], ""),
        (["before=third"], "second first"),
        (["since=third"], "fifth fourth"),
        (["since=a1", "before=fifth"], "fourth third"),
        (["network=host"], "fifth"),
        (["network=none", "network=host"], "fifth fourth third second first"),
        (["network=bridge"], ""),
        (["health=none"], "fifth fourth third second first"),
        (["health=healthy"], ""),
        (["is-task=false"], "fifth fourth third second first"),
        (["is-task=true"], ""),
        (["isolation=default"], "fifth fourth third second first"),
        (["volume=/data"], ""),
        (["publish=80"], "third"),  # with all that it has
        (["publish=8000"], "fourth"),  # the container's port, not the host's
        (["publish=8000/udp"], ""),
        (["publish=7999-9001/udp"], "fourth"),
        (["publish=53/udp", "publish=8000"], "fourth third"),
        (["expose=80"], "third"),
        (["expose=80/udp"], ""),
        (["expose=50-60/udp"], "third"),
    ],
)
def test_filters(fleet: Fleet, filters: list[str], expected: str) -> None:
    assert fleet.listed(*filters, everything=True) == expected.split()


def test_filters_without_all(fleet: Fleet) -> None:
    assert fleet.listed("name=f") == ["fifth", "first"]
    assert fleet.listed("status=exited") == ["fourth", "second"]  # a status says that it is meant
    assert fleet.listed("exited=3") == []
    assert fleet.listed("exited=3", last=1) == ["second"]  # the newest of those that match


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ("nosuch=1", "invalid filter 'nosuch'"),
        ("status=asleep", "invalid filter 'status=asleep'"),
        ("exited=x", 'strconv.Atoi: parsing "x": invalid syntax'),
        ("exited=", 'strconv.Atoi: parsing "": invalid syntax'),
        ("exited=²", 'strconv.Atoi: parsing "²": invalid syntax'),
        ("exited=" + "9" * 40, f'strconv.Atoi: parsing "{"9" * 40}": value out of range'),
        ("health=fine", "unrecognized filter value for health: fine"),
        ("is-task=x", "invalid filter 'is-task=[x]'"),
        ("before=nosuch", "no such container nosuch"),
        ("since=", "no such container"),
        ("publish=1:2", "filter for 'publish' should not contain ':': 1:2"),
        ("expose=x", 'error while looking up for expose x: strconv.ParseUint: parsing "x": '
         "invalid syntax"),
        ("expose=70000", "error while looking up for expose 70000: strconv.ParseUint: parsing "
         '"70000": value out of range'),
        ("publish=9-7", "error while looking up for publish 9-7: invalid range specified for "
         "port: 9-7"),
    ],
)  # fmt: skip
def test_filters_that_cannot_be(fleet: Fleet, wrong: str, words: str) -> None:
    with pytest.raises((InvalidInput, NotFound)) as caught:
        fleet.listed(wrong)
    assert caught.value.message == words


def test_the_name_of_an_image_is_shown_while_it_is_its_name(fleet: Fleet) -> None:
    fleet.add("gone", "c0", "nosuch", BASE)
    fleet.add("moved", "c1", "other", CHILD)
    fleet.add("by_id", "c2", "b" * 12, BASE)
    fleet.add("damaged", "c3", "damaged", BASE)
    found = list_containers(Containers(fleet.paths), fleet.images, everything=True)  # type: ignore[arg-type]
    shown = {row.container.name: row.image for row in found}
    assert shown["first"] == "base"
    assert shown["second"] == "child"
    assert shown["gone"] == shown["by_id"] == shown["damaged"] == BASE
    assert shown["moved"] == CHILD
    assert sorted(fleet.images.asked) == ["base", "child", "damaged", "nosuch", "other"]


def test_no_containers_at_all(tmp_path: Path) -> None:
    paths = Paths(str(tmp_path / "nothing"), str(tmp_path / "run"))
    assert list_containers(Containers(paths), Images()) == []  # type: ignore[arg-type]


def test_tree_size(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "large").write_bytes(b"x" * 100_000)
    upper = tmp_path / "upper"
    (upper / "a" / "b").mkdir(parents=True)
    (upper / "a" / "b" / "file").write_bytes(b"x" * 1000)
    os.link(upper / "a" / "b" / "file", upper / "again")  # counted once
    (upper / "link").symlink_to(outside)  # 1 for each letter of the target, nothing behind it
    os.mkfifo(upper / "fifo")
    with (upper / "sparse").open("wb") as file:
        file.truncate(5000)
    assert tree_size(str(upper)) == 1000 + len(str(outside)) + 5000


def test_tree_size_of_what_is_too_deep_for_a_path(tmp_path: Path) -> None:
    upper = tmp_path / "upper"
    upper.mkdir()
    (upper / "file").write_bytes(b"12345")
    name = "d" * 200
    fd = os.open(upper, os.O_RDONLY)
    try:
        for _ in range(MAX_DEPTH + 10):
            os.mkdir(name, dir_fd=fd)
            inner = os.open(name, os.O_RDONLY, dir_fd=fd)
            os.close(fd)
            fd = inner
    finally:
        os.close(fd)
    assert tree_size(str(upper)) == 5
