"""Every mount option of a config.json, as the kernel tells it afterwards.

A base configuration, one thing changed, and a probe inside that prints what is there.
"""

from __future__ import annotations

import contextlib
import io
import os
import pty
import stat
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.conftest import Oci


class Line:
    """One line of mountinfo. proc_pid_mountinfo(5)"""

    def __init__(self, text: str) -> None:
        left, _, right = text.partition(" - ")
        fields = left.split()
        self.root, self.point, self.options = fields[3], fields[4], set(fields[5].split(","))
        self.propagation = {field.partition(":")[0] for field in fields[6:]}
        self.kind, self.source, words = right.split()
        self.filesystem = set(words.split(","))


def mounts(oci: Oci, change: Any) -> dict[str, Line]:
    """What is mounted where in such a container, the topmost of each place."""
    done = oci.run("cat", "/proc/self/mountinfo", change=change)
    assert done.returncode == 0, done.stderr
    lines = (Line(text) for text in done.stdout.splitlines() if " - " in text)
    return {line.point: line for line in lines}


def ours(oci: Oci, path: str = "/proc/self/mountinfo") -> list[str]:
    """The mounts in a namespace that have to do with our containers; others are at work, too."""
    words = (str(oci.rootfs), str(oci.home), "/dev/console")
    return [x for x in Path(path).read_text().splitlines() if any(word in x for word in words)]


def adding(*added: dict[str, Any]) -> Any:
    return lambda config: config["mounts"].extend(added)


def tmpfs(*options: str) -> dict[str, Any]:
    return {"destination": "/x", "type": "tmpfs", "source": "here", "options": list(options)}


def bind(source: Path, *options: str, at: str = "/x") -> dict[str, Any]:
    words = options if {"bind", "rbind"} & set(options) else ("rbind", *options)
    return {"destination": at, "type": "bind", "source": str(source), "options": list(words)}


def said(done: subprocess.CompletedProcess[str]) -> str:
    """The error; quotes in it are escaped."""
    return done.stderr.replace('\\"', '"')


@pytest.fixture(scope="module")
def rootfs(root_tarball: bytes) -> Iterator[Path]:
    """One of this file's own: places to mount upon are made in it. The root of a user namespace
    can reach it, too."""
    with tempfile.TemporaryDirectory(dir="/var/tmp") as directory:
        os.chmod(directory, 0o755)
        with tarfile.open(fileobj=io.BytesIO(root_tarball)) as tar:
            tar.extractall(directory, filter="tar")
        (Path(directory) / "x").mkdir()  # not even its root can make it, in a user namespace
        yield Path(directory)


@pytest.fixture
def tree(tmp_path: Path) -> Iterator[Path]:
    """A directory with two mounts below: plain, and one with every restriction."""
    top = tmp_path / "tree"
    for name in ("plain", "hard"):
        (top / name).mkdir(parents=True)
    (top / "file").write_text("of the host\n")
    subprocess.run(["mount", "-t", "tmpfs", "plain", top / "plain"], check=True)
    words = "ro,nosuid,nodev,noexec,noatime"
    subprocess.run(["mount", "-t", "tmpfs", "-o", words, "hard", top / "hard"], check=True)
    yield top
    subprocess.run(["umount", top / "plain", top / "hard"], check=True)


# ── a new filesystem ──


@pytest.mark.parametrize(
    ("words", "options"),
    [
        ("", {"rw", "relatime"}),
        ("ro", {"ro", "relatime"}),
        ("nosuid,nodev,noexec", {"rw", "relatime", "nosuid", "nodev", "noexec"}),
        ("nosuid,suid,nodev,dev,noexec,exec,ro,rw", {"rw", "relatime"}),
        ("suid,nosuid,rw,ro", {"ro", "relatime", "nosuid"}),
        ("noatime", {"rw", "noatime"}),
        ("noatime,atime", {"rw", "relatime"}),
        ("noatime,strictatime", {"rw"}),
        ("strictatime,relatime", {"rw", "relatime"}),
        ("strictatime,nostrictatime", {"rw", "relatime"}),
        ("nodiratime", {"rw", "relatime", "nodiratime"}),
        ("nodiratime,diratime", {"rw", "relatime"}),
        ("nosymfollow", {"rw", "relatime", "nosymfollow"}),
        ("nosymfollow,symfollow", {"rw", "relatime"}),
        ("defaults,loud,silent,norelatime,nomand,noiversion,nolazytime", {"rw", "relatime"}),
        ("rro,rnosuid,rnodev,rnoexec", {"ro", "relatime", "nosuid", "nodev", "noexec"}),
        ("rro,rrw", {"rw", "relatime"}),
        ("ro,rrw", {"ro", "relatime"}),
        ("rnoatime,rnodiratime,rnosymfollow", {"rw", "noatime", "nodiratime", "nosymfollow"}),
    ],
)
def test_options_of_a_filesystem(oci: Oci, words: str, options: set[str]) -> None:
    line = mounts(oci, adding(tmpfs(*filter(None, words.split(",")))))["/x"]
    assert (line.kind, line.source, line.options) == ("tmpfs", "here", options)


@pytest.mark.parametrize("others", [(), ("shared",)], ids=["mount", "fsmount"])
def test_options_that_are_the_filesystems_own(oci: Oci, others: tuple[str, ...]) -> None:
    words = ("size=64k", "mode=710", "uid=7", "sync", "dirsync", "lazytime", "noswap")
    line = mounts(oci, adding(tmpfs(*words, *others)))["/x"]
    expected = {"rw", "size=64k", "mode=710", "uid=7", "sync", "dirsync", "lazytime", "noswap"}
    assert expected <= line.filesystem


def test_async_takes_sync_away(oci: Oci) -> None:
    assert "sync" not in mounts(oci, adding(tmpfs("sync", "async")))["/x"].filesystem


def test_a_filesystem_refuses_what_it_does_not_know(oci: Oci) -> None:
    done = oci.run("true", change=adding(tmpfs("foo=bar")))
    assert done.returncode == 1
    assert 'error mounting "here" to rootfs at "/x": invalid argument' in said(done)


@pytest.mark.parametrize(
    ("word", "shown"),
    [
        ("private", set()),
        ("rslave", set()),
        ("shared", {"shared"}),
        ("rshared", {"shared"}),
        ("unbindable", {"unbindable"}),
    ],
)
def test_propagation_of_a_filesystem(oci: Oci, word: str, shown: set[str]) -> None:
    assert mounts(oci, adding(tmpfs(word)))["/x"].propagation == shown


def test_a_tmpfs_has_the_mode_of_what_it_covers(oci: Oci) -> None:
    (oci.rootfs / "sticky").mkdir(exist_ok=True)
    (oci.rootfs / "sticky").chmod(0o1733)
    mount = {"destination": "/sticky", "type": "tmpfs", "source": "t", "options": ["nodev"]}
    missing = {"destination": "/not/yet", "type": "tmpfs", "source": "t"}
    done = oci.run("stat", "-c", "%a", "/sticky", "/not/yet", change=adding(mount, missing))
    assert done.stdout.split() == ["1733", "1777"]
    mount["options"] = ["mode=700"]
    assert oci.run("stat", "-c", "%a", "/sticky", change=adding(mount)).stdout.strip() == "700"


def test_a_read_only_tmpfs_takes_what_is_mounted_on_it_first(oci: Oci, tree: Path) -> None:
    inner = bind(tree / "file", "bind", at="/x/dir/file")
    done = oci.run(
        "sh", "-c", "cat /x/dir/file; touch /x/y", change=adding(tmpfs("ro", "nosuid"), inner)
    )
    assert done.stdout == "of the host\n"
    assert "Read-only file system" in done.stderr


def test_a_read_only_dev(oci: Oci) -> None:
    def change(config: dict[str, Any]) -> None:
        dev = next(m for m in config["mounts"] if m["destination"] == "/dev")
        dev["options"].append("ro")

    done = oci.run("sh", "-c", "echo x > /dev/null && touch /dev/y", change=change)
    assert "/dev/y: Read-only file system" in done.stderr


def test_tmpcopyup_begins_with_what_it_covers(oci: Oci) -> None:
    top = oci.rootfs / "filled"
    (top / "sub").mkdir(parents=True)
    (top / "sub" / "file").write_text("content")
    (top / "sub" / "file").chmod(0o4755)
    os.chown(top / "sub", 5, 6)
    (top / "link").symlink_to("/etc/passwd")
    os.mkfifo(top / "fifo")
    (top / "fifo").chmod(0o622)
    mount = {"destination": "/filled", "type": "tmpfs", "source": "t", "options": ["tmpcopyup"]}
    script = (
        "cd /filled; cat sub/file; stat -c %a:%u:%F sub/file sub fifo; readlink link; "
        "echo changed > sub/file; grep -c ' /filled ' /proc/self/mountinfo"
    )
    done = oci.run("sh", "-c", script, change=adding(mount))
    assert done.stdout == (
        "content4755:0:regular file\n755:5:directory\n622:0:fifo\n/etc/passwd\n1\n"
    )
    assert (top / "sub" / "file").read_text() == "content"


# ── something of the host ──


def test_a_bind_keeps_the_options_of_its_source(oci: Oci, tree: Path) -> None:
    line = mounts(oci, adding(bind(tree / "hard", "bind")))["/x"]
    assert line.options == {"ro", "nosuid", "nodev", "noexec", "noatime"}


def test_a_bind_adds_and_takes_what_it_names(oci: Oci, tree: Path) -> None:
    line = mounts(oci, adding(bind(tree / "hard", "bind", "rw", "exec", "relatime")))["/x"]
    assert line.options == {"rw", "nosuid", "nodev", "relatime"}
    line = mounts(oci, adding(bind(tree / "plain", "bind", "ro", "nosuid", "nosymfollow")))["/x"]
    assert line.options == {"ro", "nosuid", "nosymfollow", "relatime"}


def test_ro_is_for_one_mount_and_rro_for_all_below(oci: Oci, tree: Path) -> None:
    table = mounts(oci, adding(bind(tree, "ro")))
    assert "ro" in table["/x"].options
    assert "rw" in table["/x/plain"].options
    table = mounts(oci, adding(bind(tree, "rro", "rnoexec")))
    for point in ("/x", "/x/plain", "/x/hard"):
        assert {"ro", "noexec"} <= table[point].options
    table = mounts(oci, adding(bind(tree, "rrw", "rsuid", "rdev", "rexec", "rrelatime")))
    assert table["/x/hard"].options == {"rw", "relatime"}


def test_bind_is_one_mount_and_rbind_all_below(oci: Oci, tree: Path) -> None:
    assert "/x/plain" not in mounts(oci, adding(bind(tree, "bind")))
    assert "/x/plain" in mounts(oci, adding(bind(tree, "rbind")))


@pytest.mark.parametrize(
    ("word", "top", "below"),
    [
        ("rshared", {"shared"}, {"shared"}),
        ("shared", {"shared"}, set()),
        ("rprivate", set(), set()),
        ("runbindable", {"unbindable"}, {"unbindable"}),
    ],
)
def test_propagation_of_a_bind(
    oci: Oci, tree: Path, word: str, top: set[str], below: set[str]
) -> None:
    table = mounts(oci, adding(bind(tree, word)))
    assert (table["/x"].propagation, table["/x/plain"].propagation) == (top, below)


def test_a_file_a_link_and_a_relative_source(oci: Oci, tree: Path) -> None:
    (tree / "link").symlink_to("file")
    link = bind(tree / "link", "bind", at="/x/link")
    relative = {"destination": "/x/own", "source": "config.json", "options": ["bind"]}
    script = "cat /x/link; grep -c ociVersion /x/own"
    done = oci.run("sh", "-c", script, change=adding(link, relative))
    assert done.stdout == "of the host\n1\n"


def test_a_missing_source(oci: Oci) -> None:
    done = oci.run("true", change=adding(bind(Path("/no/such"))))
    assert done.returncode == 1
    words = 'error mounting "/no/such" to rootfs at "/x": stat /no/such: no such file or directory'
    assert words in said(done)


def test_a_file_is_not_mounted_on_a_directory(oci: Oci, tree: Path) -> None:
    for source, at in ((tree / "file", "/tmp"), (tree, "/etc/passwd")):
        done = oci.run("true", change=adding(bind(source, at=at)))
        assert done.returncode == 1
        assert f'to rootfs at "{at}": not a directory' in said(done)


def test_a_bind_takes_no_options_of_a_filesystem(oci: Oci, tree: Path) -> None:
    done = oci.run("true", change=adding(bind(tree, "size=3")))
    assert done.returncode == 1
    assert "bind mounts cannot have any filesystem-specific options: size=3" in done.stderr


# ── who owns what ──


def mapping(at: int, host: int, size: int) -> list[dict[str, int]]:
    return [{"containerID": at, "hostID": host, "size": size}]


def test_an_id_mapped_mount(oci: Oci, tree: Path) -> None:
    os.chown(tree / "file", 3, 4)
    mount = {
        **bind(tree, "bind", "idmap"),
        "uidMappings": mapping(0, 1000, 10),
        "gidMappings": mapping(0, 2000, 10),
    }
    script = "stat -c %u:%g /x/file /x; touch /x/new; stat -c %u /x/new"
    done = oci.run("sh", "-c", script, change=adding(mount))
    assert done.stdout.split()[:2] == ["1003:2004", "1000:2000"], done.stderr
    assert "Value too large" in done.stderr, "root is nobody there"
    assert (os.stat(tree / "file").st_uid, (tree / "new").exists()) == (3, False)


def test_ridmap_is_for_what_is_mounted_below_too(oci: Oci, tree: Path) -> None:
    maps = {"uidMappings": mapping(0, 1000, 10), "gidMappings": mapping(0, 2000, 10)}
    for word, owners in (("idmap", ["1000", "0"]), ("ridmap", ["1000", "1000"])):
        change = adding({**bind(tree, word), **maps})
        assert oci.run("stat", "-c", "%u", "/x", "/x/plain", change=change).stdout.split() == owners


@pytest.mark.parametrize(
    "mount",
    [
        {"options": ["bind", "idmap"]},
        {"options": ["bind"], "uidMappings": mapping(0, 0, 1)},
        {"type": "tmpfs", "uidMappings": mapping(0, 0, 1), "gidMappings": mapping(0, 0, 1)},
    ],
)
def test_a_mapping_that_is_not_complete(oci: Oci, tree: Path, mount: dict[str, Any]) -> None:
    done = oci.run("true", change=adding({"destination": "/x", "source": str(tree), **mount}))
    assert done.returncode == 1
    assert "id-mapped mounts" in done.stderr
    assert "mounts[" in done.stderr


def test_a_filesystem_that_knows_no_mapping(oci: Oci) -> None:
    maps = {"uidMappings": mapping(0, 1000, 10), "gidMappings": mapping(0, 2000, 10)}
    done = oci.run("true", change=adding({**bind(Path("/sys/kernel"), "bind"), **maps}))
    assert done.returncode == 1
    assert "cannot shift who owns what in /sys/kernel: its filesystem" in said(done)


def test_idmap_with_a_user_namespace_that_is_joined(oci: Oci, tree: Path) -> None:
    other = subprocess.Popen(["unshare", "--user", "sleep", "100"])
    try:
        ours = os.stat("/proc/self/ns/user").st_ino
        while os.stat(f"/proc/{other.pid}/ns/user").st_ino == ours:
            assert other.poll() is None
        for name in ("uid_map", "gid_map"):
            Path(f"/proc/{other.pid}/{name}").write_text("0 300000 1000")

        def change(config: dict[str, Any]) -> None:
            path = f"/proc/{other.pid}/ns/user"
            config["linux"]["namespaces"].append({"type": "user", "path": path})
            config["mounts"].append(bind(tree, "bind", "idmap"))

        os.chown(tree / "file", 3, 4)
        done = oci.run("sh", "-c", "stat -c %u:%g /x/file; touch /x/made", change=change)
        assert done.stdout == "3:4\n", done.stderr
        assert (tree / "made").stat().st_uid == 0
    finally:
        other.kill()
        other.wait()


# ── the root ──


def test_what_is_mounted_on_the_root_is_the_root(oci: Oci) -> None:
    def change(config: dict[str, Any]) -> None:
        config["root"]["readonly"] = False
        config["mounts"][:0] = [
            {"destination": "/", "type": "tmpfs", "source": "top", "options": ["mode=755"]},
            bind(Path("/bin/busybox"), at="/busybox"),
        ]

    done = oci.run("/busybox", "ls", "/", change=change)
    assert done.stdout.split() == ["busybox", "dev", "proc", "sys"], done.stderr
    script = "echo > /new; /busybox cat /proc/self/mountinfo"
    done = oci.run("/busybox", "sh", "-c", script, change=change)
    assert " / / rw,relatime - tmpfs top " in done.stdout
    assert not (oci.rootfs / "new").exists()


def test_root_readonly(oci: Oci) -> None:
    def change(config: dict[str, Any]) -> None:
        config["root"]["readonly"] = True

    done = oci.run("sh", "-c", "touch /y; touch /dev/shm/y && echo there", change=change)
    assert "/y: Read-only file system" in done.stderr
    assert done.stdout == "there\n"


@pytest.mark.parametrize(
    ("word", "shown"),
    [("", set()), ("private", set()), ("rprivate", set()), ("shared", {"shared"}),
     ("rshared", {"shared"}), ("unbindable", {"unbindable"})],
)  # fmt: skip
def test_rootfs_propagation(oci: Oci, word: str, shown: set[str]) -> None:
    def change(config: dict[str, Any]) -> None:
        config["linux"]["rootfsPropagation"] = word

    before = ours(oci)
    table = mounts(oci, change)
    assert table["/"].propagation - {"master"} == shown
    assert ours(oci) == before


def test_a_shared_volume_shows_the_host_what_is_mounted_in_it(oci: Oci, tmp_path: Path) -> None:
    volume = tmp_path / "volume"
    (volume / "in").mkdir(parents=True)
    subprocess.run(["mount", "--bind", volume, volume], check=True)
    subprocess.run(["mount", "--make-shared", volume], check=True)

    def change(config: dict[str, Any]) -> None:
        config["linux"]["rootfsPropagation"] = "rshared"
        config["mounts"].append(bind(volume, "rshared"))
        caps = config["process"]["capabilities"]
        for kind in ("bounding", "effective", "permitted"):
            caps[kind] = [*caps.get(kind, []), "CAP_SYS_ADMIN"]

    try:
        done = oci.run("mount", "-t", "tmpfs", "inside", "/x/in", change=change)
        assert done.returncode == 0, done.stderr
        assert f" {volume}/in " in Path("/proc/self/mountinfo").read_text()
        subprocess.run(["umount", f"{volume}/in"], check=True)
        change_to_slave = adding(bind(volume, "rslave"))
        assert mounts(oci, change_to_slave)["/x"].propagation == {"master"}
    finally:
        subprocess.run(["umount", volume], check=True)


def without_pivot(oci: Oci, *args: str, change: Any = None) -> subprocess.CompletedProcess[str]:
    return oci("run", "--no-pivot", "-b", oci.bundle(*args, change=change), "moved")


def test_no_pivot_moves_the_root(oci: Oci) -> None:
    done = without_pivot(oci, "sh", "-c", "ls /; cat /proc/self/mountinfo")
    assert done.returncode == 0, done.stderr
    assert "bin\n" in done.stdout
    assert not [line for line in done.stdout.splitlines() if line.endswith("/home")]


# ── no mount namespace of its own ──


def without_mounts(config: dict[str, Any]) -> None:
    config["mounts"] = []
    config["linux"]["maskedPaths"] = config["linux"]["readonlyPaths"] = []


def test_without_a_mount_namespace_it_is_chrooted(oci: Oci) -> None:
    def change(config: dict[str, Any]) -> None:
        without_mounts(config)
        config["root"]["readonly"] = False
        spaces = config["linux"]["namespaces"]
        config["linux"]["namespaces"] = [n for n in spaces if n["type"] != "mount"]

    before = ours(oci)
    done = oci.run("ls", "/", change=change)
    assert done.returncode == 0, done.stderr
    assert "bin" in done.stdout.split()
    assert "boot" not in done.stdout.split()
    assert ours(oci) == before


@pytest.mark.parametrize(
    ("field", "words"),
    [("mounts", "mount"), ("masked", "mount namespace"), ("readonly", "mount namespace")],
)
def test_without_a_mount_namespace_nothing_is_mounted(oci: Oci, field: str, words: str) -> None:
    def change(config: dict[str, Any]) -> None:
        mounted = config["mounts"]
        without_mounts(config)
        config["root"]["readonly"] = field == "readonly"
        if field == "mounts":
            config["mounts"] = mounted
        if field == "masked":
            config["linux"]["maskedPaths"] = ["/proc/kcore"]
        spaces = config["linux"]["namespaces"]
        config["linux"]["namespaces"] = [n for n in spaces if n["type"] != "mount"]

    before = ours(oci)
    done = oci.run("true", change=change)
    assert done.returncode == 1
    assert words in done.stderr
    assert ours(oci) == before


def test_another_mount_namespace_is_joined_and_left_as_it_is(oci: Oci) -> None:
    host = subprocess.Popen(["unshare", "-m", "sh", "-c", "mount -t tmpfs mark /mnt; sleep 100"])
    try:
        path = f"/proc/{host.pid}/mountinfo"
        while " mark " not in Path(path).read_text():
            assert host.poll() is None
        before, terminals = ours(oci, path), os.lstat("/dev/ptmx")

        def change(config: dict[str, Any]) -> None:
            without_mounts(config)
            config["root"].update(path="/", readonly=False)
            for space in config["linux"]["namespaces"]:
                if space["type"] == "mount":
                    space["path"] = f"/proc/{host.pid}/ns/mnt"

        done = oci.run("sh", "-c", "grep -c ' mark ' /proc/self/mountinfo", change=change)
        assert done.stdout.strip() == "1", done.stderr
        assert ours(oci, path) == before
        assert os.lstat("/dev/ptmx").st_ino == terminals.st_ino
    finally:
        host.kill()
        host.wait()


# ── devices ──

DEFAULT = {
    "null": "1:3", "zero": "1:5", "full": "1:7", "random": "1:8", "urandom": "1:9", "tty": "5:0",
}  # fmt: skip


def test_default_devices_are_there_without_being_asked_for(oci: Oci) -> None:
    def change(config: dict[str, Any]) -> None:
        config["linux"].pop("devices", None)

    script = "cd /dev; for d in null zero full random urandom tty; do stat -c %n:%t:%T:%a $d; done"
    out = oci.run("sh", "-c", script, change=change).stdout.split()
    assert out == [f"{name}:{number}:666" for name, number in DEFAULT.items()]
    script = "cd /dev; for l in ptmx fd stdin; do readlink $l; done"
    links = oci.run("sh", "-c", script, change=change).stdout.split()
    assert links == ["pts/ptmx", "/proc/self/fd", "/proc/self/fd/0"]


def test_devices_that_are_asked_for(oci: Oci) -> None:
    def change(config: dict[str, Any]) -> None:
        config["linux"]["devices"] = [
            {"path": "/dev/null", "type": "c", "major": 1, "minor": 3, "fileMode": 0o640, "gid": 5},
            {"path": "/opt/own/disk", "type": "b", "major": 7, "minor": 9, "fileMode": 0o600},
            {"path": "/dev/pipe", "type": "p", "fileMode": 0o622, "uid": 8},
            {"path": "/dev/raw", "type": "u", "major": 1, "minor": 5},
        ]

    script = "stat -c %F:%t:%T:%a:%u:%g /dev/null /opt/own/disk /dev/pipe /dev/raw"
    assert oci.run("sh", "-c", script, change=change).stdout.splitlines() == [
        "character special file:1:3:640:0:5",
        "block special file:7:9:600:0:0",
        "fifo:0:0:622:8:0",
        "character special file:1:5:666:0:0",
    ]


def test_a_device_that_is_there_must_be_the_one(oci: Oci) -> None:
    def change(config: dict[str, Any]) -> None:
        config["linux"]["devices"] = [
            {"path": "/node", "type": "c", "major": 1, "minor": 3, "fileMode": 0o666}
        ]

    os.mknod(oci.rootfs / "node", stat.S_IFCHR | 0o600, os.makedev(1, 3))
    try:
        assert oci.run("stat", "-c", "%a", "/node", change=change).stdout == "600\n"
        (oci.rootfs / "node").unlink()
        os.mknod(oci.rootfs / "node", stat.S_IFCHR | 0o600, os.makedev(1, 5))
        done = oci.run("true", change=change)
        assert done.returncode == 1
        assert "/node is there already and is not the device 1:3" in done.stderr
    finally:
        (oci.rootfs / "node").unlink()


def test_a_dev_of_the_hosts_is_taken_as_it_is(oci: Oci) -> None:
    def change(config: dict[str, Any]) -> None:
        config["mounts"] = [
            m for m in config["mounts"] if not m["destination"].startswith("/dev")
        ] + [bind(Path("/dev"), "rbind", at="/dev")]

    assert oci.run("ls", "/dev", change=change).stdout.split() == sorted(os.listdir("/dev"))


# ── in a user namespace ──


def in_user_namespace(config: dict[str, Any]) -> None:
    config["linux"]["namespaces"].append({"type": "user"})
    config["linux"]["uidMappings"] = mapping(0, 100000, 65536)
    config["linux"]["gidMappings"] = mapping(0, 100000, 65536)


def test_devices_in_a_user_namespace_are_the_hosts(oci: Oci) -> None:
    script = "cd /dev; for d in null zero full random urandom tty; do stat -c %n:%t:%T $d; done"
    done = oci.run("sh", "-c", f"{script}; echo x > /dev/null", change=in_user_namespace)
    assert done.stdout.split() == [f"{name}:{number}" for name, number in DEFAULT.items()]
    assert (done.returncode, done.stderr) == (0, "")


def test_what_only_the_hosts_root_may_reach(oci: Oci, tmp_path: Path) -> None:
    secret = tmp_path / "closed" / "open"
    secret.mkdir(parents=True)
    secret.parent.chmod(0o700)
    (secret / "file").write_text("seen\n")

    def change(config: dict[str, Any]) -> None:
        in_user_namespace(config)
        config["mounts"].append(bind(secret, "ro"))

    done = oci.run("cat", "/x/file", change=change)
    assert done.stdout == "seen\n", done.stderr


def test_idmap_without_a_mapping_is_the_containers_own(oci: Oci, tree: Path) -> None:
    def change(config: dict[str, Any]) -> None:
        in_user_namespace(config)
        config["mounts"].append(bind(tree, "bind", "idmap"))

    done = oci.run("sh", "-c", "stat -c %u /x/file; echo new > /x/new", change=change)
    assert done.stdout == "0\n", done.stderr
    assert (tree / "new").stat().st_uid == 0


def test_a_locked_nosuid_stays_when_a_bind_is_made_read_only(oci: Oci, tree: Path) -> None:
    def change(config: dict[str, Any]) -> None:
        in_user_namespace(config)
        config["mounts"].append(bind(tree / "hard", "bind", "ro"))

    assert {"ro", "nosuid", "nodev", "noexec"} <= mounts(oci, change)["/x"].options


# ── labels ──


def test_a_mount_label_needs_selinux(oci: Oci) -> None:
    if Path("/sys/fs/selinux/enforce").exists():
        pytest.skip("this machine has SELinux")

    def change(config: dict[str, Any]) -> None:
        config["linux"]["mountLabel"] = "system_u:object_r:container_file_t:s0:c1,c2"

    done = oci.run("true", change=change)
    assert done.returncode == 1
    assert "linux.mountLabel is set, but this machine has no SELinux" in said(done)


def test_a_terminal_without_a_mount_namespace_is_no_console(oci: Oci) -> None:
    """Its /dev is others', too; and so would a mount in it be."""

    def change(config: dict[str, Any]) -> None:
        config["mounts"] = []
        config["linux"]["maskedPaths"] = config["linux"]["readonlyPaths"] = []
        config["root"].update(path="/", readonly=False)
        spaces = config["linux"]["namespaces"]
        config["linux"]["namespaces"] = [n for n in spaces if n["type"] != "mount"]
        config["process"]["terminal"] = True

    before = ours(oci)
    bundle = oci.bundle("sh", "-c", "tty; echo done", change=change)
    master, slave = pty.openpty()
    argv = [*oci.argv, "run", "-b", bundle, "console"]
    process = subprocess.Popen(argv, stdin=slave, stdout=slave, stderr=slave)
    os.close(slave)
    shown = b""
    with contextlib.suppress(OSError):
        while block := os.read(master, 4096):
            shown += block
    os.close(master)
    assert process.wait(20) == 0, shown
    assert b"/dev/pts/" in shown
    assert ours(oci) == before
