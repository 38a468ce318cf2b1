"""What mounts become: which Steps, at which of three moments, and what is refused beforehand."""

from __future__ import annotations

from typing import Any

import pytest

from minidock.errors import BadJSON
from minidock.isolation.devices import BindDevice, LinkDevices, MakeDevices, plan_devices
from minidock.isolation.idmapped import AttachFromHost, TakeFromHost
from minidock.isolation.mounts import BindMount, Mount, plan_mounts
from minidock.isolation.pivot import ChangeRoot, MoveRoot, PivotRoot, plan_become_root
from minidock.isolation.prepared import MountPrepared
from minidock.isolation.restrictions import RemountReadonly
from minidock.isolation.rootfs import (
    CloseParent,
    OpenRootfs,
    SetPropagation,
    SetRootPropagation,
    plan_rootfs,
)
from minidock.linux.cgroupfs import CgroupFacts, Hierarchy
from minidock.linux.flags import MountFlag
from minidock.linux.host import HostFacts
from minidock.runtime.plan import plan_container
from minidock.spec.runtime import Spec, parse_spec
from minidock.study.rehearse import STDIO, rehearse

V2 = CgroupFacts((), "/sys/fs/cgroup", ("memory", "pids", "cpu", "io"))
V1 = CgroupFacts(tuple(Hierarchy(f"/cg/{name}", (name,)) for name in ("devices", "freezer")), "")


def spec(*mounts: dict[str, Any], spaces: tuple[str, ...] = ("mount",), **linux: object) -> Spec:
    document = {
        "ociVersion": "1.2.0",
        "root": {"path": "rootfs"},
        "process": {"args": ["x"], "cwd": "/"},
        "mounts": [{"destination": "/x", "type": "tmpfs", **mount} for mount in mounts],
        "linux": {"cgroupsPath": "/a/b", "namespaces": [{"type": s} for s in spaces], **linux},
    }
    return parse_spec(document, "/bundle")


def kinds(steps: list[Any]) -> list[type]:
    return [type(step) for step in steps]


@pytest.mark.parametrize(
    ("options", "kind"),
    [
        (["nosuid", "size=1m"], Mount),
        (["private"], Mount),
        (["rslave"], Mount),
        (["shared"], MountPrepared),
        (["runbindable"], MountPrepared),
        (["rro"], MountPrepared),
        (["tmpcopyup"], MountPrepared),
        (["rbind"], BindMount),
    ],
)
def test_one_call_where_one_is_enough(options: list[str], kind: type) -> None:
    plan = plan_mounts(spec({"options": options, "source": "/s"}), V2)
    assert kinds(plan.mounts) == [kind]
    assert not plan.sources
    assert not plan.readonly


def test_a_read_only_tmpfs_is_written_to_first() -> None:
    plan = plan_mounts(spec({"options": ["ro", "nosuid"]}), V2)
    (mount,) = plan.mounts
    assert isinstance(mount, Mount)
    assert mount.flags == MountFlag.MS_NOSUID
    assert plan.readonly == [RemountReadonly("/x")]
    plan = plan_mounts(spec({"type": "sysfs", "options": ["ro"]}), V2)
    assert not plan.readonly


def test_relative_sources_are_the_bundles() -> None:
    (step,) = plan_mounts(spec({"source": "data", "options": ["bind"]}), V2).mounts
    assert isinstance(step, BindMount)
    assert step.source == "/bundle/data"


def test_the_order_is_the_specs() -> None:
    one = {"source": "/s", "options": ["bind"], "destination": "/x/y"}
    plan = plan_mounts(spec({}, one, {"options": ["rro"]}, spaces=("mount", "user")), V2)
    assert kinds(plan.sources) == [TakeFromHost]
    assert kinds(plan.mounts) == [Mount, AttachFromHost, MountPrepared]


def test_what_is_taken_from_the_host_is_cut_off_first() -> None:
    one = {"source": "/s", "options": ["rbind", "rshared"]}
    for linux, expected in (
        ({}, (MountFlag.MS_SLAVE | MountFlag.MS_REC, MountFlag.MS_SHARED | MountFlag.MS_REC)),
        ({"rootfsPropagation": "rshared"}, (MountFlag.MS_SHARED | MountFlag.MS_REC,)),
    ):
        (take,) = plan_mounts(spec(one, spaces=("mount", "user"), **linux), V2).sources
        assert isinstance(take, TakeFromHost)
        assert take.propagation == expected


@pytest.mark.parametrize(
    ("mount", "words"),
    [
        ({"source": "/s", "options": ["bind", "size=3"]}, r"mounts\[0\].options: bind mounts"),
        ({"type": "proc", "options": ["tmpcopyup"]}, r"mounts\[0\].options: tmpcopyup"),
        ({"source": "/s", "options": ["bind", "tmpcopyup"]}, r"mounts\[0\].options: tmpcopyup"),
        ({"options": ["idmap"]}, r"mounts\[0\]: id-mapped mounts are only"),
        ({"source": "/s", "options": ["bind", "ridmap"]}, r"mounts\[0\]: id-mapped mounts must"),
        ({"destination": "/proc"}, r"mounts\[0\]: \"/proc\" cannot be mounted"),
        ({"source": "", "options": ["bind"]}, r"mounts\[0\].source is missing"),
    ],
)
def test_what_cannot_be_meant_names_the_field(mount: dict[str, Any], words: str) -> None:
    with pytest.raises(BadJSON, match=words):
        plan_mounts(spec(mount), V2)


def test_the_label_is_in_the_options() -> None:
    label = "u:r:t:s0:c1,c2"
    plan = plan_mounts(
        spec(
            {"options": ["size=1m"]},
            {"options": ["shared"]},
            {"type": "proc", "destination": "/proc"},
            mountLabel=label,
        ),
        V2,
    )
    plain, prepared, proc = plan.mounts
    assert isinstance(plain, Mount)
    assert plain.data == f'size=1m,context="{label}"'
    assert isinstance(prepared, MountPrepared)
    assert prepared.words == (f"context={label}",)
    assert isinstance(proc, Mount)
    assert proc.data == ""


@pytest.mark.parametrize("readonly", [True, False])
def test_the_cgroup_mount(readonly: bool) -> None:
    mount = {"type": "cgroup", "destination": "/cg", "options": ["ro"] if readonly else []}
    flag = MountFlag.MS_RDONLY if readonly else 0
    plan = plan_mounts(spec(mount, spaces=("mount", "cgroup")), V2)
    (step,) = plan.mounts
    assert isinstance(step, Mount)
    assert (step.kind, step.destination) == ("cgroup2", "/cg")
    assert step.flags & MountFlag.MS_RDONLY == flag
    # v1, with and without a namespace of its own
    plan = plan_mounts(spec(mount, spaces=("mount", "cgroup")), V1)
    assert kinds(plan.mounts) == [Mount] * 3
    assert plan.readonly == ([RemountReadonly("/cg")] if readonly else [])
    plan = plan_mounts(spec(mount), V1)
    assert kinds(plan.mounts) == [Mount, BindMount, BindMount]
    assert [step.source for step in plan.mounts[1:]] == ["/cg/devices/a/b", "/cg/freezer/a/b"]
    # in a user namespace v2 may be mounted with a cgroup namespace only
    plan = plan_mounts(spec(mount, spaces=("mount", "user")), V2)
    assert kinds(plan.mounts) == [BindMount]


# ── the root ──


def test_propagation() -> None:
    def planned(word: str) -> tuple[list[type], int, list[type]]:
        one = spec(rootfsPropagation=word)
        before = plan_rootfs(one)
        assert isinstance(before[0], SetPropagation)
        return kinds(before[1:2]), int(before[0].flags), kinds(plan_become_root(one))

    rec = MountFlag.MS_REC
    usual = [PivotRoot]
    both = [PivotRoot, SetRootPropagation]
    for word in ("", "slave", "rslave"):
        assert planned(word)[1:] == (MountFlag.MS_SLAVE | rec, usual)
    assert planned("private")[1:] == (MountFlag.MS_PRIVATE | rec, usual)
    assert planned("shared") == ([CloseParent], MountFlag.MS_SHARED | rec, both)
    assert planned("unbindable")[1:] == (MountFlag.MS_PRIVATE | rec, both)


def test_without_pivot_root() -> None:
    assert kinds(plan_become_root(spec(), pivot=False)) == [MoveRoot]
    with pytest.raises(BadJSON, match="rootfsPropagation"):
        plan_become_root(spec(rootfsPropagation="private"), pivot=False)


def test_without_a_mount_namespace_of_its_own() -> None:
    joined = {"namespaces": [{"type": "mount", "path": "/proc/1/ns/mnt"}]}
    for one in (spec(spaces=()), spec(**joined)):
        assert kinds(plan_rootfs(one)) == [OpenRootfs]
        assert kinds(plan_become_root(one)) == [ChangeRoot]
        assert not plan_mounts(one, V2).mounts
    for linux in ({"maskedPaths": ["/a"]}, {"readonlyPaths": ["/a"]}):
        with pytest.raises(BadJSON, match="unable to restrict sys entries"):
            plan_mounts(spec(spaces=(), **linux), V2)
    with pytest.raises(BadJSON, match="mounts"):
        plan_mounts(spec({}, spaces=()), V2)


@pytest.mark.parametrize("terminal", [False, True])
def test_there_no_call_mounts_anything(terminal: bool) -> None:
    one = spec(spaces=("pid",))
    one = one.but(process=one.process.but(terminal=terminal))
    plan = plan_container("c", one, HostFacts((6, 1), (1 << 41) - 1, 40, V2), STDIO)
    events: list[list[Any]] = []
    rehearse(plan, one, None, events.append)
    names = {event[2] for event in events if event[1] == "call"}
    assert {"chroot", "execve"} <= names
    mounting = {"mount", "move_mount", "open_tree", "fsmount", "umount2", "pivot_root"}
    assert not names & {*mounting, "mount_setattr"}


# ── devices ──


def test_devices_are_the_default_ones_and_those_named() -> None:
    own = [{"path": "/dev/null", "type": "c", "major": 1, "minor": 3, "fileMode": 0o600},
           {"path": "/dev/fuse", "type": "c", "major": 10, "minor": 229}]  # fmt: skip
    make, links = plan_devices(spec(devices=own))
    assert isinstance(make, MakeDevices)
    assert isinstance(links, LinkDevices)
    names = [device.path.rpartition("/")[2] for device in make.devices]
    assert names == ["null", "fuse", "zero", "full", "random", "urandom", "tty"]
    assert make.devices[0].mode == 0o600


def test_in_a_user_namespace_devices_are_bound_and_fifos_made() -> None:
    steps = plan_devices(spec(spaces=("mount", "user"), devices=[{"path": "/p", "type": "p"}]))
    assert kinds(steps) == [BindDevice] * 6 + [MakeDevices, LinkDevices]


@pytest.mark.parametrize("destination", ["/dev", "/dev/", "//dev"])
def test_a_dev_from_elsewhere_is_left_alone(destination: str) -> None:
    mount = {"destination": destination, "source": "/dev", "options": ["rbind"]}
    assert plan_devices(spec(mount)) == []
