"""From what was asked for to mount points, and from those to config.json; in Docker's words."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from minidock.engine import bundle, host_config
from minidock.engine.containers import Container
from minidock.engine.mount_plan import plan_mount_points
from minidock.engine.mount_point import MountPoint, mount_points
from minidock.engine.mount_spec import parse_bind, parse_volumes_from
from minidock.errors import InvalidInput, MinidockError, NotFound

ROOT = "/var/lib/minidock"


def planned(
    *binds: str,
    mounts: tuple[dict[str, Any], ...] = (),
    volumes: tuple[str, ...] = (),
    others: dict[str, list[MountPoint]] | None = None,
    **more: Any,
) -> dict[str, MountPoint]:
    """By destination."""

    def find(name: str) -> Container:
        if name not in (others or {}):
            raise NotFound(f"No such container: {name}")
        points = [point.document() for point in (others or {})[name]]
        return Container(name, name, "", "", {"MountPoints": points})

    host = {"Binds": list(binds), "Mounts": list(mounts), **more}
    config = {"Volumes": {path: {} for path in volumes}}
    return {p.destination: p for p in plan_mount_points(config, host, ROOT, find)}


def test_a_bind() -> None:
    point = planned("/usr//share/:/a/../b/:ro")["/b"]
    assert (point.kind, point.source, point.writable) == ("bind", "/usr/share", False)
    assert (point.mode, point.propagation, point.make_source) == ("ro", "rprivate", True)


def test_a_volume() -> None:
    point = planned("data:/b")["/b"]
    assert point.shown() == {
        "Type": "volume", "Name": "data", "Source": f"{ROOT}/volumes/data/_data",
        "Destination": "/b", "Driver": "local", "Mode": "z", "RW": True, "Propagation": "",
    }  # fmt: skip
    assert point.copy and not point.anonymous
    assert not planned("data:/b:nocopy")["/b"].copy
    assert planned("data:/b:ro,nocopy")["/b"].mode == "ro,nocopy"


def test_what_the_image_wants() -> None:
    found = planned("data:/b", volumes=("/b/", "/c", "d"), Tmpfs={"/c": ""})
    assert list(found) == ["/b", "/d"]
    assert found["/b"].name == "data"
    assert found["/d"].anonymous and len(found["/d"].name) == 64 and not found["/d"].mode


def test_what_another_container_has() -> None:
    one = planned("data:/b", "/usr:/c:ro", volumes=("/d",))
    other = {"web": list(one.values())}
    found = planned("more:/c", VolumesFrom=["web:ro"], others=other, volumes=("/d",))
    assert {path: (p.name, p.writable) for path, p in found.items()} == {
        "/b": ("data", False), "/c": ("more", True), "/d": (one["/d"].name, False),
    }  # fmt: skip
    assert not found["/d"].copy, "it is not filled twice"


def test_every_field_survives_container_json() -> None:
    image = {"Type": "image", "Source": "web", "Target": "/i"}
    mount = {
        "Type": "volume", "Source": "vv", "Target": "/v",
        "VolumeOptions": {
            "Subpath": "a/b", "Labels": {"k": "v"},
            "DriverConfig": {"Options": {"type": "nfs", "device": ":/x"}},
        },
    }  # fmt: skip
    tmpfs = {"Type": "tmpfs", "Target": "/t", "TmpfsOptions": {"SizeBytes": 1 << 20, "Mode": 448}}
    points = list(planned("/usr:/c:rslave", mounts=(mount, tmpfs, image), volumes=("/d",)).values())
    assert mount_points({"MountPoints": [point.document() for point in points]}) == points
    assert [point.tmpfs for point in points] == ["", "", "mode=700,size=1m", "", ""]


def test_a_directory_that_holds_our_state() -> None:
    assert planned("/:/host")["/host"].propagation == "rslave"
    assert planned(f"{ROOT}/containers:/c")["/c"].propagation == "rslave"
    assert planned("/var/lib:/c:rshared")["/c"].propagation == "rshared"
    with pytest.raises(InvalidInput, match=r"^invalid mount config: must use either propagation"):
        planned("/var:/c:rprivate")


# Seen from Docker's engine.
WRONG = {
    "a:b:c:d": "invalid volume specification: 'a:b:c:d'",
    "/x:ro": "invalid volume specification: '/x:ro'",
    "/x:/": "invalid volume specification: '/x:/': invalid mount config for type \"bind\": "
        "invalid specification: destination can't be '/'",
    "/x:/y:zz": "invalid mode: zz",
    "/x:/y:ro,rw": "invalid mode: ro,rw",
    "/x:/y:z": "invalid mode: z",
    "x::y": "invalid mode: y",
    "x1:/y:rshared": "invalid volume specification: 'x1:/y:rshared': invalid mount config for type "
        '"volume": field BindOptions must not be specified',
    "/x:/y:nocopy": "invalid volume specification: '/x:/y:nocopy': invalid mount config for type "
        '"bind": field VolumeOptions must not be specified',
    "xx:y": "invalid volume specification: 'xx:y': invalid mount config for type \"volume\": "
        "invalid mount path: 'y' mount path must be absolute",
    "~/x:/y": 'create ~/x: "~/x" includes invalid characters for a local volume name, only '
        '"[a-zA-Z0-9][a-zA-Z0-9_.-]" are allowed. If you intended to pass a host directory, use '
        "absolute path",
    "x:/y": "create x: volume name is too short, names should be at least two alphanumeric "
        "characters",
}  # fmt: skip


@pytest.mark.parametrize("text", WRONG)
def test_a_bind_that_cannot_be_meant(text: str) -> None:
    with pytest.raises(MinidockError) as caught:
        planned(text)
    assert caught.value.message == WRONG[text]


WRONG_MOUNTS: dict[str, dict[str, Any]] = {
    "field Source must not be empty": {"Type": "bind"},
    "bind source path does not exist: /none/such": {"Type": "bind", "Source": "/none/such"},
    "invalid mount path: 'tmp' mount path must be absolute": {"Type": "bind", "Source": "tmp"},
    "mount type unknown": {"Type": "foo"},
    "must not set ReadOnly mode when using anonymous volumes": {"Type": "volume", "ReadOnly": True},
    "field Source must not be specified": {"Type": "tmpfs", "Source": "x"},
    "invalid specification: destination can't be '/'": {"Type": "tmpfs", "Target": "//"},
    "invalid propagation mode: foo": {
        "Type": "bind", "Source": "/", "BindOptions": {"Propagation": "foo"},
    },
    "subpath must be a relative path within the volume": {
        "Type": "volume", "Source": "vv", "VolumeOptions": {"Subpath": "a/../../x"},
    },
    "must not set Subpath when using anonymous volumes": {
        "Type": "volume", "VolumeOptions": {"Subpath": "a"},
    },
}  # fmt: skip


@pytest.mark.parametrize("words", WRONG_MOUNTS)
def test_a_mount_that_cannot_be_meant(words: str) -> None:
    mount = {"Target": "/y", **WRONG_MOUNTS[words]}
    with pytest.raises(InvalidInput) as caught:
        planned(mounts=(mount,))
    assert caught.value.message == f'invalid mount config for type "{mount["Type"]}": {words}'


def test_two_for_one_place() -> None:
    tmpfs = {"Type": "tmpfs", "Target": "/y"}
    for wrong in (
        {"binds": ("aa:/y", "bb:/y/")}, {"binds": ("aa:/y",), "Tmpfs": {"/y": ""}},
        {"binds": ("aa:/y",), "mounts": (tmpfs,)},
    ):  # fmt: skip
        with pytest.raises(InvalidInput, match=r"^Duplicate mount point: /y$"):
            planned(*wrong.pop("binds"), **wrong)


def test_a_driver_that_is_not_here() -> None:
    for wrong in ("aa:/y", "/y"):
        binds, volumes = ((wrong,), ()) if ":" in wrong else ((), (wrong,))
        with pytest.raises(NotFound, match="error looking up volume plugin nope: plugin"):
            planned(*binds, volumes=volumes, VolumeDriver="nope")


def test_volumes_from() -> None:
    assert parse_volumes_from("web") == ("web", True)
    assert parse_volumes_from("web:ro") == ("web", False)
    for mode in ("nocopy", "rshared", "zz", "z"):
        with pytest.raises(InvalidInput, match=f"^invalid mode: {mode}$"):
            parse_volumes_from(f"web:{mode}")
    with pytest.raises(InvalidInput, match="cannot be an empty string"):
        parse_volumes_from("")


def test_a_label_for_selinux_is_refused_with_the_reason() -> None:
    with pytest.raises(InvalidInput) as caught:
        parse_bind("/x:/y:ro,Z")
    assert caught.value.message == "invalid mode: ro,Z"
    assert caught.value.hint.startswith("Z relabels files for SELinux")


# ── config.json ──


def mounts(*binds: str, own_users: bool = False, **more: Any) -> dict[str, dict[str, Any]]:
    config = {**host_config.defaults(), "UsernsMode": "auto" if own_users else ""}
    config["Tmpfs"] = more.get("Tmpfs", {})
    found = bundle.mounts("/c/1", ["/l/1"], config, list(planned(*binds, **more).values()))
    return {mount["destination"]: mount for mount in found}


def test_outer_places_come_first() -> None:
    found = list(mounts("aa:/etc/deep/er", "bb:/etc", "cc:/dev/shm/x", Tmpfs={"/etc/deep": ""}))
    assert found.index("/etc") < found.index("/etc/hosts") < found.index("/etc/deep/er")
    assert found.index("/etc") < found.index("/etc/deep") < found.index("/etc/deep/er")
    assert found.index("/dev/shm") < found.index("/dev/shm/x")


def test_in_place_of_ours() -> None:
    assert mounts("/usr:/sys")["/sys"]["source"] == "/usr"
    assert mounts("/usr:/etc/hosts")["/etc/hosts"]["source"] == "/usr"
    for top in ("/dev", "/sys"):
        assert not [path for path in mounts(f"/usr:{top}") if path.startswith(f"{top}/")]
    assert "/sys/fs/cgroup" in mounts("/usr:/sys/kernel")


def test_the_options() -> None:
    found = mounts("data:/a", "data:/b:ro", "/usr:/c:rslave,ro")
    assert found["/a"]["options"] == ["rbind", "rprivate"]
    assert found["/b"]["options"] == ["rbind", "rprivate", "rro"]
    assert found["/c"]["options"] == ["rbind", "rslave", "rro"]
    bind = {"Type": "bind", "Source": "/usr", "ReadOnly": True}
    for key, words in (("NonRecursive", ["bind", "rprivate", "rro"]),
                       ("ReadOnlyNonRecursive", ["rbind", "rprivate", "ro"])):  # fmt: skip
        found = mounts(mounts=({**bind, "Target": "/d", "BindOptions": {key: True}},))
        assert found["/d"]["options"] == words


def test_volumes_belong_to_the_container_s_own_users_and_binds_do_not() -> None:
    found = mounts("data:/a", "/usr:/b", own_users=True)
    assert "idmap" in found["/a"]["options"] and "idmap" not in found["/b"]["options"]


def options_of(**options: str) -> dict[str, Any]:
    point = MountPoint("volume", "/v", name="v1", source="/x/_data", options=options)
    config = host_config.defaults()
    found = bundle.mounts("/c/1", ["/l/1"], config, [point])
    return next(mount for mount in found if mount["destination"] == "/v")


def test_a_volume_that_is_a_filesystem_of_its_own() -> None:
    found = options_of(type="nfs", device=":/export", o="addr=10.0.0.1,rw")
    assert (found["type"], found["source"]) == ("nfs", ":/export")
    assert found["options"] == ["addr=10.0.0.1", "rw"]
    found = options_of(type="none", device="/srv", o="bind,noexec")
    assert (found["type"], found["source"]) == ("bind", "/srv")
    assert found["options"] == ["rbind", "rprivate", "noexec"]


def test_an_image() -> None:
    one = MountPoint("image", "/v", name="web", layers=("/l/1",), writable=False)

    def entry(*layers: str) -> dict[str, Any]:
        points = [one.but(layers=layers)]
        found = bundle.mounts("/c/1", ["/l/1"], host_config.defaults(), points)
        return next(mount for mount in found if mount["destination"] == "/v")

    found = entry("/l/1")
    assert (found["type"], found["source"]) == ("bind", "/l/1") and "rro" in found["options"]
    found = entry("/l/2", "/l/a:b")
    assert (found["type"], found["options"]) == ("overlay", ["lowerdir=/l/2:/l/a\\:b"])
    with pytest.raises(InvalidInput, match="more layers than one mount can have"):
        entry(*(f"/var/lib/minidock/layers/l/{number}" for number in range(200)))
    image = {"Type": "image", "Source": "web", "Target": "/v", "ImageOptions": {"Subpath": "../x"}}
    with pytest.raises(InvalidInput, match="subpath must be a relative path within the volume"):
        planned(mounts=(image,))


def test_what_is_known_only_at_the_start(tmp_path: Path) -> None:
    def late(*binds: str) -> bool:
        points = [point.document() for point in planned(*binds).values()]
        return bundle.known_late(host_config.defaults(), points)

    assert not late("data:/a")
    assert late(f"{tmp_path}/none:/a") and late("/usr:/a:rshared")
    assert not os.path.exists(tmp_path / "none")
