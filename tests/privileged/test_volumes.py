"""Volumes and binds as a container and the kernel see them."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest


def inside(minidock, script: str, *flags: str, image: str = "busybox") -> str:
    return str(minidock.ok("run", "--rm", *flags, image, "sh", "-c", script))


def volumes(minidock) -> set[str]:
    return set(minidock.ok("volume", "ls", "-q").split())


def mountpoint(minidock, name: str) -> Path:
    return Path(minidock.ok("volume", "inspect", "-f", "{{.Mountpoint}}", name).strip())


@pytest.fixture(scope="module")
def filled(minidock_home) -> Iterator[str]:
    """An image that has things of every kind in /srv/d, which is a VOLUME of it."""
    script = """
        mkdir -p /srv/d/sub/deep; chown 5:6 /srv/d; chmod 1751 /srv/d; chmod 700 /srv/d/sub
        echo hi > /srv/d/f; chown 33:50 /srv/d/f; chmod 4755 /srv/d/f; ln /srv/d/f /srv/d/sub/hard
        ln -s /etc/passwd /srv/d/link; ln -s nowhere /srv/d/dangling; chown -h 7:8 /srv/d/link
        mkfifo /srv/d/fifo; mknod /srv/d/null c 1 3
        dd if=/dev/zero of=/srv/d/sparse bs=1 count=1 seek=9999999 2>/dev/null
        touch -d '2001-02-03 04:05:06' /srv/d/f /srv/d/sub /srv/d; ln -s d /srv/other
    """
    minidock_home.ok("run", "--name", "maker", "busybox", "sh", "-c", script)
    minidock_home.ok("commit", "-c", "VOLUME /srv/d", "maker", "filled")
    minidock_home.ok("rm", "-v", "maker")
    yield "filled"
    minidock_home.remove_all()
    minidock_home.ok("rmi", "filled")


# ── what is kept, and for how long ──


def test_data_outlives_its_containers(minidock) -> None:
    inside(minidock, "echo kept > /data/file", "-v", "data:/data")
    assert inside(minidock, "cat /other/file", "-v", "data:/other:ro") == "kept\n"
    assert (mountpoint(minidock, "data") / "file").read_text() == "kept\n"
    done = minidock("run", "--rm", "-v", "data:/data:ro", "busybox", "touch", "/data/file")
    assert "Read-only file system" in done.stderr


def test_two_containers_see_the_same(minidock) -> None:
    script = "until [ -e /data/go ]; do sleep 0.05; done; cat /data/go; echo back > /data/answer"
    one = minidock.ok("run", "-d", "-v", "data:/data", "busybox", "sh", "-c", script).strip()
    inside(minidock, "echo there > /data/new; mv /data/new /data/go", "-v", "data:/data")
    minidock.ok("wait", one)
    assert minidock.ok("logs", one) == "there\n"
    assert inside(minidock, "cat /v/answer", "--volumes-from", one, "-v", "data:/v") == "back\n"


def test_anonymous_volumes_go_with_rm(minidock, filled: str) -> None:
    inside(minidock, "touch /srv/d/x /more/x", "-v", "/more", "-v", "named:/named", image=filled)
    assert volumes(minidock) == {"named"}


def test_anonymous_volumes_go_with_rm_v_and_not_without(minidock, filled: str) -> None:
    for name in ("one", "other"):
        minidock.ok("run", "--name", name, filled, "touch", f"/srv/d/{name}")
    assert len(volumes(minidock)) == 2
    minidock.ok("rm", "-v", "one")
    left = volumes(minidock)
    assert len(left) == 1
    minidock.ok("rm", "other")
    assert volumes(minidock) == left, "it may be wanted still"
    assert (mountpoint(minidock, left.pop()) / "other").exists()
    assert minidock.ok("volume", "prune", "-f").startswith("Deleted Volumes:\n")


def test_a_container_that_is_started_again_has_the_same(minidock) -> None:
    script = "cat /a/f; echo once more >> /a/f"
    minidock.ok("run", "--name", "cc", "-v", "/a", "busybox", "sh", "-c", script)
    assert minidock.ok("start", "-a", "cc") == "once more\n"


def test_one_in_use_is_not_removed(minidock) -> None:
    made = minidock.ok("create", "-v", "data:/data", "busybox", "true").strip()
    done = minidock("volume", "rm", "data")
    expected = f"Error response from daemon: remove data: volume is in use - [{made}]\n"
    assert (done.returncode, done.stdout, done.stderr) == (1, "", expected)
    assert minidock.ok("ps", "-aq", "--no-trunc", "--filter", "volume=data").strip() == made
    assert minidock.ok("ps", "-aq", "--no-trunc", "--filter", "volume=/data").strip() == made
    assert minidock.ok("ps", "-aq", "--filter", "volume=dat") == ""
    minidock.ok("rm", made)
    assert minidock.ok("volume", "rm", "data") == "data\n"


def test_what_the_host_has_mounted_in_one_is_not_emptied(minidock) -> None:
    minidock.ok("volume", "create", "data")
    top = mountpoint(minidock, "data")
    subprocess.run(["mount", "-t", "tmpfs", "t", top], check=True)
    try:
        (top / "precious").touch()
        assert inside(minidock, "ls /x", "-v", "data:/x") == "precious\n"
        done = minidock("volume", "rm", "data")
        assert done.returncode == 1 and f"something is mounted at {top}: unmount" in done.stderr
        assert "data" not in minidock.ok("volume", "prune", "-a", "-f")
        assert (top / "precious").exists()
    finally:
        subprocess.run(["umount", top], check=True)


def test_a_create_that_fails_leaves_no_anonymous_volume(minidock, filled: str) -> None:
    done = minidock("create", "-v", "/etc/passwd", "-v", "/more", filled)
    assert "cannot mount volume over existing file, file exists " in done.stderr
    assert volumes(minidock) == set()
    assert minidock.ok("ps", "-aq") == ""


# ── how one is filled ──


def test_an_empty_volume_is_filled_from_the_image(minidock, filled: str) -> None:
    inside(minidock, "true", "-v", "data:/srv/d", image=filled)
    top = mountpoint(minidock, "data")
    about = {path.name: path.lstat() for path in [top, *top.rglob("*")]}
    assert (about["_data"].st_uid, about["_data"].st_gid) == (5, 6)
    assert oct(about["_data"].st_mode) == oct(0o41751)
    assert oct(about["sub"].st_mode) == oct(0o40700)
    file = about["f"]
    assert (file.st_uid, file.st_gid, oct(file.st_mode)) == (33, 50, oct(0o104755))
    assert file.st_ino == about["hard"].st_ino
    assert {int(about[name].st_mtime) for name in ("f", "sub", "_data")} == {981173106}
    assert (about["link"].st_uid, os.readlink(top / "link")) == (7, "/etc/passwd")
    assert os.readlink(top / "dangling") == "nowhere"
    assert about["null"].st_rdev == os.makedev(1, 3)
    assert oct(about["fifo"].st_mode & 0o170000) == oct(0o010000)
    assert about["sparse"].st_size == 10_000_000 and about["sparse"].st_blocks < 100
    assert os.listdir(top.parent) != [] and not (top.parent / "filling").exists()


def test_capabilities_and_access_lists_come_along(minidock, tmp_path: Path) -> None:
    """They are extended attributes; setfattr is in few images, so a bind brings the file."""
    source = tmp_path / "root" / "srv"
    source.mkdir(parents=True)
    (source / "file").write_text("x")
    capability = bytes.fromhex("0100000200040000000000000000000000000000")  # v2, cap_net_bind
    os.setxattr(source / "file", "security.capability", capability)
    os.setxattr(source / "file", "user.note", b"mine")
    archive = subprocess.run(
        ["tar", "--xattrs", "--xattrs-include=*", "-C", tmp_path / "root", "-c", "."],
        capture_output=True, check=True,
    ).stdout  # fmt: skip
    minidock.ok("import", "-", "attributes", stdin=archive)
    minidock.ok("create", "-v", "data:/srv", "--name", "cc", "attributes", "x")
    file = mountpoint(minidock, "data") / "file"
    assert os.getxattr(file, "security.capability") == capability
    assert os.getxattr(file, "user.note") == b"mine"
    minidock.ok("rm", "cc")
    minidock.ok("rmi", "attributes")


def test_it_is_filled_once_and_only_when_empty(minidock, filled: str) -> None:
    inside(minidock, "rm -r /srv/d/*; touch /srv/d/mine", "-v", "data:/srv/d", image=filled)
    assert inside(minidock, "ls /srv/d", "-v", "data:/srv/d", image=filled) == "mine\n"
    assert inside(minidock, "ls /srv/d", "-v", "other:/srv/d:nocopy", image=filled) == ""
    mount = "type=volume,src=third,dst=/srv/d,volume-nocopy"
    assert inside(minidock, "ls /srv/d", "--mount", mount, image=filled) == ""
    assert "sparse" in inside(minidock, "ls /srv/d", "-v", "third:/srv/d", image=filled)


def test_a_bind_is_not_filled(minidock, filled: str, tmp_path: Path) -> None:
    assert inside(minidock, "ls /srv/d", "-v", f"{tmp_path}:/srv/d", image=filled) == ""


def test_system_prune_takes_anonymous_volumes_only(minidock) -> None:
    minidock.ok("create", "-v", "/a", "-v", "named:/b", "busybox", "true")
    minidock.ok("create", "--name", "stays", "-v", "/a", "busybox", "sleep", "100")
    minidock.ok("start", "stays")
    told = minidock.ok("system", "prune", "-f", "--volumes")
    assert "Deleted Volumes:\n" in told and "named" in volumes(minidock)
    assert len(volumes(minidock)) == 2


def test_what_lies_behind_a_link_in_the_image(minidock, filled: str) -> None:
    script = "ls /srv/other; grep -c ' /srv/d ' /proc/self/mountinfo"
    lines = inside(minidock, script, "-v", "data:/srv/other", image=filled).split()
    assert "sparse" in lines and lines[-1] == "2", "mounted where the link leads, in the container"


def test_filling_that_was_killed_is_gone_on_with(minidock, filled: str) -> None:
    """Before it was complete it counts for nothing, afterwards nothing is lost."""
    minidock.ok("volume", "create", "data")
    home = mountpoint(minidock, "data").parent
    (home / "filling.new" / "half").mkdir(parents=True)
    assert "half" not in inside(minidock, "ls /srv/d", "-v", "data:/srv/d", image=filled)
    top = mountpoint(minidock, "data")
    (home / "filling").mkdir()
    (top / "f").rename(home / "filling" / "f")
    assert "f\n" in inside(minidock, "ls /srv/d", "-v", "data:/srv/d", image=filled)
    assert sorted(os.listdir(home)) == ["_data", "volume.json"]


def test_two_at_once_fill_it_once(minidock, filled: str) -> None:
    flags = ("create", "-v", "data:/srv/d", filled, "true")
    running = [minidock.popen(*flags, stdout=subprocess.DEVNULL) for _ in range(4)]
    assert [process.wait(60) for process in running] == [0] * 4
    top = mountpoint(minidock, "data")
    assert sorted(os.listdir(top.parent)) == ["_data", "volume.json"]
    assert len(os.listdir(top)) == 7


# ── binds ──


def test_a_missing_directory_is_made_by_v_and_not_by_mount(minidock, tmp_path: Path) -> None:
    place = tmp_path / "a" / "b"
    made = minidock.ok("create", "-v", f"{place}:/x", "busybox", "touch", "/x/f").strip()
    assert not place.exists(), "only when it starts"
    minidock.ok("start", "-a", made)
    assert (place / "f").exists() and oct(place.stat().st_mode) == oct(0o40755)
    mount = f"type=bind,src={tmp_path}/none,dst=/x"
    done = minidock("run", "--rm", "--mount", mount, "busybox", "true")
    wrong = 'invalid mount config for type "bind": bind source path does not exist: '
    assert (done.returncode, wrong in done.stderr) == (125, True)


def test_a_file(minidock, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("of the host\n")
    flags = ("-v", f"{tmp_path}/file:/etc/passwd:ro", "-v", f"{tmp_path}/file:/new/file")
    assert inside(minidock, "cat /etc/passwd /new/file", *flags) == "of the host\n" * 2


def test_read_only_means_all_below(minidock, tmp_path: Path) -> None:
    (tmp_path / "below").mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "t", tmp_path / "below"], check=True)
    try:
        mount = f"type=bind,src={tmp_path},dst=/x,ro"
        for flags, writable in (
            (("-v", f"{tmp_path}:/x:ro"), False),
            (("--mount", mount), False),
            (("--mount", f"{mount},bind-recursive=writable"), True),
            (("--mount", f"{mount},bind-recursive=readonly,bind-propagation=rprivate"), False),
        ):
            done = minidock("run", "--rm", *flags, "busybox", "touch", "/x/below/f")
            assert (done.returncode == 0) == writable, flags
        alone = inside(minidock, "ls /x/below", "--mount", f"{mount},bind-recursive=disabled")
        assert alone == "", "without what is mounted below"
    finally:
        subprocess.run(["umount", tmp_path / "below"], check=True)


@pytest.fixture
def shared(tmp_path: Path) -> Iterator[Path]:
    """A directory of the host's whose mount is shared."""
    place = tmp_path / "shared"
    (place / "sub").mkdir(parents=True)
    subprocess.run(["mount", "--bind", place, place], check=True)
    subprocess.run(["mount", "--make-shared", place], check=True)
    yield place
    subprocess.run(["umount", "-R", place], check=True)


def wait_for(path: Path) -> None:
    for _ in range(200):
        if path.exists():
            return
        time.sleep(0.05)
    pytest.fail(f"{path} did not appear")


@pytest.mark.parametrize(("mode", "inward", "outward"),
    [("rprivate", 0, 0), ("rslave", 1, 0), ("rshared", 1, 1)])  # fmt: skip
def test_propagation(minidock, shared: Path, mode: str, inward: int, outward: int) -> None:
    script = """
        mkdir -p /x/mine; mount -t tmpfs t /x/mine; touch /x/mine/inside /x/ready
        until [ -e /x/done ]; do sleep 0.05; done; ls /x/sub
    """
    flags = ("--privileged", "-v", f"{shared}:/x:{mode}")
    made = minidock.ok("run", "-d", *flags, "busybox", "sh", "-c", script).strip()
    wait_for(shared / "ready")
    assert (shared / "mine" / "inside").exists() == bool(outward)
    subprocess.run(["mount", "-t", "tmpfs", "t", shared / "sub"], check=True)
    (shared / "sub" / "outside").touch()
    (shared / "done").touch()
    minidock.ok("wait", made)
    assert minidock.ok("logs", made) == "outside\n" * inward


def test_propagation_needs_a_mount_that_is_shared(minidock, tmp_path: Path) -> None:
    subprocess.run(["mount", "--bind", tmp_path, tmp_path], check=True)
    try:
        subprocess.run(["mount", "--make-private", tmp_path], check=True)
        for mode, kind in (("rshared", "shared"), ("rslave", "shared or slave")):
            done = minidock("run", "--rm", "-v", f"{tmp_path}:/x:{mode}", "busybox", "true")
            wrong = f"path {tmp_path} is mounted on {tmp_path} but it is not a {kind} mount"
            assert done.returncode == 125 and wrong in done.stderr
    finally:
        subprocess.run(["umount", tmp_path], check=True)


# ── tmpfs, parts, options ──


def test_a_tmpfs(minidock) -> None:
    mount = "type=tmpfs,dst=/t,tmpfs-size=1m,tmpfs-mode=1770"
    words = inside(minidock, "grep ' /t ' /proc/self/mountinfo", "--mount", mount)
    assert "size=1024k,mode=1770" in words and "nosuid,nodev,noexec" in words
    done = minidock("run", "--rm", "--mount", f"{mount},ro", "busybox", "touch", "/t/f")
    assert "Read-only file system" in done.stderr


def test_another_image(minidock, filled: str) -> None:
    """With one layer and with several; it stays for as long as a container wants it."""
    for image, place in (("busybox", "bin/busybox"), (filled, "srv/d/sparse")):
        mount = f"type=image,src={image},dst=/im"
        script = f"ls /im/{place}; touch /im/{place} 2>/dev/null || echo no"
        assert inside(minidock, script, "--mount", mount) == f"/im/{place}\nno\n"
    for image in ("busybox", filled):
        mount = f"type=image,src={image},dst=/im,image-subpath=etc"
        script = "cat /im/passwd | wc -l; touch /im/passwd 2>/dev/null || echo no"
        assert inside(minidock, script, "--mount", mount).split() == ["2", "no"]
    minidock.ok("tag", filled, "other")
    layer = minidock.ok("commit", minidock.ok("create", filled, "x").strip(), "third").strip()
    flags = ("--mount", "type=image,source=third,target=/im")
    made = minidock.ok("create", *flags, "busybox", "cat", "/im/srv/d/f").strip()
    assert f"container {made[:12]} is using its referenced image" in minidock("rmi", "third").stderr
    assert f"sha256:{layer}" not in minidock.ok("image", "prune", "-a", "-f")
    minidock.ok("rmi", "-f", "third")
    minidock.ok("image", "prune", "-f")
    assert minidock.ok("start", "-a", made) == "hi\n"
    minidock.ok("rmi", "other")


def test_another_image_that_is_not_here(minidock) -> None:
    done = minidock("run", "--rm", "--mount", "type=image,src=nope,dst=/x", "busybox", "true")
    assert done.returncode == 125 and "No such image: nope:latest\nIt can be had" in done.stderr


def test_a_part_of_a_volume(minidock) -> None:
    inside(minidock, "mkdir -p /v/a/b; echo here > /v/a/b/f; ln -s a/b /v/way", "-v", "data:/v")
    for part in ("a/b", "way"):
        mount = f"type=volume,src=data,dst=/x,volume-subpath={part}"
        assert inside(minidock, "cat /x/f", "--mount", mount) == "here\n"
    done = minidock("run", "--rm", "--mount", f"{mount}/none", "busybox", "true")
    assert done.returncode == 127 and "no such file or directory" in done.stderr


@pytest.mark.parametrize("way", ["/etc", "../../../../../../../../../etc", "/proc/self/root/etc"])
def test_a_part_that_is_a_link_to_the_host_s(minidock, way: str) -> None:
    inside(minidock, f"ln -s {way} /v/evil; mkdir /v/etc; touch /v/etc/ours", "-v", "data:/v")
    mount = "type=volume,src=data,dst=/x,volume-subpath=evil"
    done = minidock("run", "--rm", "--mount", mount, "busybox", "ls", "/x")
    assert done.stdout == "ours\n" if done.returncode == 0 else done.returncode in (125, 127)


def test_a_volume_that_is_a_bind(minidock, tmp_path: Path, filled: str) -> None:
    options = ("-o", "type=none", "-o", f"device={tmp_path}", "-o", "o=bind")
    minidock.ok("volume", "create", *options, "there")
    assert "sparse" in inside(minidock, "ls /srv/d", "-v", "there:/srv/d", image=filled)
    assert (tmp_path / "sub" / "hard").stat().st_uid == 33, "it was empty, so it was filled"
    inside(minidock, "touch /x/mine", "-v", "there:/x")
    assert (tmp_path / "mine").exists()
    minidock.ok("volume", "rm", "there")
    assert (tmp_path / "mine").exists(), "what it led to stays"


def test_a_volume_that_is_a_disk(minidock, tmp_path: Path, filled: str) -> None:
    image = tmp_path / "disk"
    with image.open("wb") as file:
        file.truncate(16 << 20)
    made = subprocess.run(["mkfs.ext4", "-q", "-F", image], check=False)
    loop = subprocess.run(["losetup", "-f", "--show", image], capture_output=True, check=False)
    if made.returncode or loop.returncode:
        pytest.skip("needs mkfs.ext4 and a loop device")
    device = loop.stdout.decode().strip()
    try:
        minidock.ok("volume", "create", "-o", "type=ext4", "-o", f"device={device}", "disk")
        script = "grep ' /x ' /proc/self/mountinfo; echo kept > /x/f; ls /x"
        told = inside(minidock, script, "-v", "disk:/x")
        assert f"ext4 {device} rw" in told and "lost+found" in told
        made = minidock.ok("run", "-d", "-v", "disk:/x", "busybox", "sleep", "100").strip()
        both = "cat /x/f; touch /x/f 2>/dev/null || echo no"
        assert inside(minidock, both, "-v", "disk:/x:ro") == "kept\nno\n"
        minidock.ok("exec", made, "touch", "/x/g")
        done = minidock("create", "-v", "disk:/x", "--userns", "auto", "busybox", "true")
        assert "a filesystem of its own: minidock cannot mount with --userns auto" in done.stderr
        minidock.ok("rm", "-f", made)
        shown = [line.split() for line in minidock.ok("system", "df", "-v").splitlines()]
        assert ["disk", "0", "N/A"] in shown
    finally:
        minidock.remove_volumes()
        subprocess.run(["losetup", "-d", device], check=True)


def test_a_volume_whose_source_is_gone(minidock, filled: str, tmp_path: Path) -> None:
    options = ("-o", "type=none", "-o", f"device={tmp_path}/none", "-o", "o=bind")
    minidock.ok("volume", "create", *options, "gone")
    done = minidock("create", "-v", "gone:/srv/d", filled)
    why = f'error mounting "{tmp_path}/none" to rootfs at "/_data": stat {tmp_path}/none: no such'
    assert f"cannot fill a volume from the image: {why}" in done.stderr
    done = minidock("run", "--rm", "-v", "gone:/srv/d:nocopy", filled, "true")
    assert done.returncode == 127 and "no such file or directory" in done.stderr


def test_own_users_own_a_volume_and_not_the_host_s(minidock, tmp_path: Path) -> None:
    flags = ("--userns", "auto", "-v", "data:/v", "-v", f"{tmp_path}:/host")
    inside(minidock, "touch /v/f; chown 5:6 /v/f", *flags)
    about = (mountpoint(minidock, "data") / "f").stat()
    assert (about.st_uid, about.st_gid) == (5, 6), "on the disk as without users of its own"
    done = minidock("run", "--rm", *flags, "busybox", "touch", "/host/f")
    assert "Permission denied" in done.stderr


# ── in the middle ──


@pytest.mark.skipif(not shutil.which("strace"), reason="needs strace, which kills at a call")
@pytest.mark.parametrize("call", ["rename:3", "rename:7", "rename:11", "mkdir:9", "flock:5"])
def test_killed_while_it_makes_a_container(minidock, filled: str, call: str) -> None:
    """Nothing of it stays when the next command has looked; and a named volume is whole."""
    name, _, number = call.partition(":")
    inject = ["-e", f"trace={name}", "-e", f"inject={name}:signal=KILL:when={number}"]
    flags = ["create", "-v", "/anonymous", "-v", "data:/srv/d", filled, "true"]
    argv = ["strace", "-f", "-qq", "-o", "/dev/null", *inject, *minidock.argv, *flags]
    killed = subprocess.run(argv, env=minidock.env, capture_output=True, check=False)
    assert killed.returncode, "nobody was killed"
    inside(minidock, "test -e /srv/d/sparse", "-v", "data:/srv/d", image=filled)
    minidock.remove_all()
    assert os.listdir(minidock.root / "volumes") == ["data"]


@pytest.mark.skipif(not shutil.which("strace"), reason="needs strace, which kills at a call")
@pytest.mark.parametrize("call", ["rename:1", "rename:2", "rename:3", "unlink:3"])
def test_killed_while_it_removes_a_container(minidock, call: str) -> None:
    """What `rm -v` has begun is finished, or not begun at all."""
    name, _, number = call.partition(":")
    made = minidock.ok("create", "-v", "/anonymous", "busybox", "true").strip()
    inject = ["-e", f"trace={name}", "-e", f"inject={name}:signal=KILL:when={number}"]
    argv = ["strace", "-f", "-qq", "-o", "/dev/null", *inject, *minidock.argv, "rm", "-v", made]
    subprocess.run(argv, env=minidock.env, capture_output=True, check=False)
    inside(minidock, "true", "-v", "/other")
    there = minidock.ok("ps", "-aq", "--no-trunc").split()
    assert there in ([made], []) and len(volumes(minidock)) == len(there)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_given_up_while_a_volume_is_filled(minidock, filled: str, number: int) -> None:
    """The child that fills it holds the volumes, too: it must not stay."""
    minidock.ok("volume", "create", "data")
    with (mountpoint(minidock, "data").parent / "volume.json").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # as if another command were at it
        flags = ("create", "-v", "data:/srv/d", "-v", "/anonymous", filled, "true")
        process = minidock.popen(*flags, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        for _ in range(200):
            if any(waits_for_a_lock(pid) for pid in children.read_text().split()):
                break
            time.sleep(0.02)
        process.send_signal(number)
        assert process.wait(20)
        inside(minidock, "true")
        assert volumes(minidock) == {"data"} and minidock.ok("ps", "-aq") == ""


def waits_for_a_lock(pid: str) -> bool:
    lines = Path("/proc/locks").read_text().splitlines()
    return any("->" in line and f" {pid} " in line for line in lines)


def test_removed_while_containers_are_made(minidock) -> None:
    """Whatever happens first, no container is left without its volume."""
    stop = threading.Event()

    def remove() -> None:
        while not stop.is_set():
            minidock("volume", "rm", "data")

    remover = threading.Thread(target=remove)
    remover.start()
    try:
        for _ in range(6):
            done = minidock("run", "--rm", "-v", "data:/x", "busybox", "touch", "/x/f")
            assert done.returncode == 0, done.stderr
    finally:
        stop.set()
        remover.join()


def test_a_monitor_that_was_killed(minidock) -> None:
    """`--rm` is done by the next command, with the anonymous volume."""
    minidock.ok("run", "-d", "--rm", "--name", "cc", "-v", "/a", "busybox", "sleep", "1000")
    directory = next((minidock.root / "containers").iterdir())
    started = json.loads((directory / "started.json").read_text())
    os.kill(started["MonitorPid"], signal.SIGKILL)
    for _ in range(100):
        if not os.path.exists(f"/proc/{started['Pid']}"):
            break
        time.sleep(0.05)
    minidock.ok("run", "--rm", "busybox", "true")
    assert volumes(minidock) == set() and minidock.ok("ps", "-aq") == ""


# ── the container as an attacker ──


def test_a_place_that_becomes_a_link_while_another_starts(minidock, tmp_path: Path) -> None:
    """CVE-2021-30465 and its like: a mount inside a volume that another container writes to."""
    canary = tmp_path / "canary"
    canary.mkdir()
    script = f"""
        cd /v; mkdir -p dir; ln -s {"../" * 12}{canary} evil; touch ready
        while :; do mv dir x; mv evil dir; mv dir evil; mv x dir; done
    """
    minidock.ok("run", "-d", "-v", "data:/v", "busybox", "sh", "-c", script)
    wait_for(mountpoint(minidock, "data") / "ready")
    (tmp_path / "source").mkdir()
    for _ in range(6):
        minidock(
            "run", "--rm", "-v", "data:/v", "-v", f"{tmp_path}/source:/v/dir/a",
            "--tmpfs", "/v/dir/b", "-v", "more:/v/dir/c", "busybox", "true",
        )  # fmt: skip
        assert os.listdir(canary) == []
    assert str(canary) not in Path("/proc/self/mountinfo").read_text()
