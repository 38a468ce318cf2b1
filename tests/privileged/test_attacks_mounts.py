"""Attacks on a container's mounts: each is done, and what came of it is asserted.

The attacker made the image, or shares a volume with the container that is being started, and wants
the runtime, which still is the host's root, to mount or write where it should not.
"""

from __future__ import annotations

import contextlib
import ctypes
import io
import os
import pty
import stat
import subprocess
import tarfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.conftest import Oci

ROUNDS = 6  # of a race; each is a whole start. (test_attacks_between_calls.py leaves no luck)
AT_FDCWD, RENAME_EXCHANGE = -100, 2


@pytest.fixture
def rootfs(tmp_path: Path, root_tarball: bytes) -> Path:
    """A root filesystem for one test, to be made hostile."""
    directory = tmp_path / "rootfs"
    with tarfile.open(fileobj=io.BytesIO(root_tarball)) as tar:
        tar.extractall(directory, filter="tar")
    return directory


@pytest.fixture
def canary(tmp_path: Path) -> Iterator[Path]:
    """A directory of the host's that nothing may appear in."""
    directory = tmp_path / "canary"
    directory.mkdir()
    yield directory
    assert os.listdir(directory) == []


def adding(*added: dict[str, Any]) -> Any:
    return lambda config: config["mounts"].extend(added)


def bind(source: Path, at: str, *options: str) -> dict[str, Any]:
    words = ["rbind", *options]
    return {"destination": at, "type": "bind", "source": str(source), "options": words}


def said(done: subprocess.CompletedProcess[str]) -> str:
    return done.stderr.replace('\\"', '"')


def become_link(path: Path, target: str) -> None:
    if path.is_dir() and not path.is_symlink():
        path.rmdir()
    path.unlink(missing_ok=True)
    path.symlink_to(target)


UP = "../" * 12


def ways_to(path: Path) -> list[str]:
    """Links that would lead to a path of the host's if they were followed by name."""
    return [str(path), UP.rstrip("/") + str(path), "/proc/self/root" + str(path)]


# ── links in the image ──


@pytest.mark.parametrize("way", range(3))
@pytest.mark.parametrize("name", ["etc/resolv.conf", "etc/hosts", "data"])
def test_a_target_that_is_a_link(
    oci: Oci, canary: Path, tmp_path: Path, name: str, way: int
) -> None:
    become_link(oci.rootfs / name, f"{ways_to(canary)[way]}/made")
    source = tmp_path / "source"
    source.write_text("of the volume\n")
    done = oci.run("cat", f"/{name}", change=adding(bind(source, f"/{name}")))
    if done.returncode:
        assert 'error mounting "' in said(done)  # a link of procfs's is not followed at all
    else:
        assert done.stdout == "of the volume\n"


@pytest.mark.parametrize("way", range(2))
def test_a_parent_that_is_a_link(oci: Oci, canary: Path, tmp_path: Path, way: int) -> None:
    become_link(oci.rootfs / "data", ways_to(canary)[way])
    source = tmp_path / "source"
    source.mkdir()
    done = oci.run("ls", "-d", "/data/a/b", change=adding(bind(source, "/data/a/b")))
    assert done.stdout == "/data/a/b\n"
    assert (Path(str(oci.rootfs) + str(canary)) / "a" / "b").is_dir(), "made in the image instead"


@pytest.mark.parametrize("name", ["proc", "sys"])
@pytest.mark.parametrize("target", ["/tmp", "/nowhere", UP + "tmp"])
def test_proc_and_sys_as_links(oci: Oci, name: str, target: str) -> None:
    """CVE-2019-19921, CVE-2023-27561: masks and labels would go to files of the image's."""
    become_link(oci.rootfs / name, target)
    done = oci.run("true")
    assert done.returncode == 1
    kind = {"proc": "proc", "sys": "sysfs"}[name]
    assert f'filesystem "{kind}" must be mounted on ordinary directory' in said(done)


def test_dev_as_a_link(oci: Oci, canary: Path) -> None:
    become_link(oci.rootfs / "dev", UP + str(canary))
    done = oci.run("sh", "-c", "stat -c %t:%T /dev/null; ls /dev/pts | head -1")
    assert done.stdout == "1:3\nptmx\n", "in the container, wherever the link leads there"


def test_a_device_below_a_link(oci: Oci, canary: Path) -> None:
    become_link(oci.rootfs / "opt", str(canary))

    def change(config: dict[str, Any]) -> None:
        node = {"path": "/opt/disk", "type": "b", "major": 7, "minor": 0}
        config["linux"]["devices"] = [node]

    assert oci.run("stat", "-c", "%t:%T", "/opt/disk", change=change).stdout == "7:0\n"


def test_a_device_that_is_a_link(oci: Oci, canary: Path) -> None:
    become_link(oci.rootfs / "node", f"{canary}/node")

    def change(config: dict[str, Any]) -> None:
        config["linux"]["devices"] = [{"path": "/node", "type": "c", "major": 1, "minor": 3}]

    done = oci.run("true", change=change)
    assert "/node is there already and is not the device 1:3" in said(done)


def test_what_is_copied_up_is_not_followed(oci: Oci, canary: Path) -> None:
    top = oci.rootfs / "filled"
    top.mkdir()
    (top / "out").symlink_to("/etc")
    (top / "up").symlink_to(UP + str(canary))
    mount = {"destination": "/filled", "type": "tmpfs", "source": "t", "options": ["tmpcopyup"]}
    done = oci.run("find", "/filled", "!", "-type", "d", change=adding(mount))
    assert sorted(done.stdout.split()) == ["/filled/out", "/filled/up"]


# ── /proc ──


@pytest.mark.parametrize(
    ("mount", "words"),
    [
        ({"destination": "/proc", "type": "tmpfs"}, "not of type proc"),
        ({"destination": "/proc", "source": "/tmp", "options": ["rbind"]}, "not of type proc"),
        ({"destination": "/x/../proc/.", "type": "tmpfs"}, "not of type proc"),
        ({"destination": "/proc/self/attr", "type": "tmpfs"}, "inside /proc"),
        ({"destination": "/proc/sys/kernel", "type": "tmpfs"}, "inside /proc"),
        ({"destination": "/link/sys/kernel", "type": "tmpfs"}, "inside /proc"),
        ({"destination": "/link", "type": "tmpfs"}, "inside /proc"),
        ({"destination": "/link/fs", "source": "/tmp", "options": ["bind"]}, "inside /proc"),
        ({"destination": "/self/attr", "type": "tmpfs"}, "inside /proc"),
        ({"destination": "/dev/fd", "type": "tmpfs"}, ""),
    ],
)
def test_nothing_covers_proc(oci: Oci, mount: dict[str, Any], words: str) -> None:
    """CVE-2019-16884: what is written there, labels and settings, would go elsewhere."""
    (oci.rootfs / "link").symlink_to("/proc")
    (oci.rootfs / "self").symlink_to("link/self")
    done = oci.run("true", change=adding({"source": "x", **mount}))
    if words:
        assert done.returncode == 1
        assert f"cannot be mounted because it is {words}" in said(done)
    else:
        assert done.returncode == 0, done.stderr


def test_a_few_files_of_proc_may_be_covered(oci: Oci, tmp_path: Path) -> None:
    (tmp_path / "uptime").write_text("1 1\n")
    done = oci.run("cat", "/proc/uptime", change=adding(bind(tmp_path / "uptime", "/proc/uptime")))
    assert done.stdout == "1 1\n"


def test_a_true_procfs_may_be_bound(oci: Oci) -> None:
    def change(config: dict[str, Any]) -> None:
        config["mounts"] = [m for m in config["mounts"] if m["destination"] != "/proc"]
        config["mounts"].append(bind(Path("/proc"), "/proc"))
        spaces = config["linux"]["namespaces"]
        config["linux"]["namespaces"] = [n for n in spaces if n["type"] != "pid"]

    done = oci.run(
        "sh", "-c", "stat -f -c %T /proc; echo x > /proc/sys/kernel/hostname", change=change
    )
    assert done.stdout == "proc\n"
    assert "Read-only file system" in done.stderr


# ── masks ──


def dev_of(directory: Path) -> Any:
    """A /dev that the attacker can change: bound from a directory of a volume's."""
    for name, number in (("null", 3), ("zero", 5), ("full", 7), ("random", 8), ("urandom", 9)):
        os.mknod(directory / name, stat.S_IFCHR | 0o666, os.makedev(1, number))
    os.mknod(directory / "tty", stat.S_IFCHR | 0o666, os.makedev(5, 0))
    for name in ("pts", "shm", "mqueue"):
        (directory / name).mkdir()

    def change(config: dict[str, Any]) -> None:
        for number, mount in enumerate(config["mounts"]):
            if mount["destination"] == "/dev":
                config["mounts"][number] = bind(directory, "/dev")

    return change


@pytest.fixture
def evil_dev(tmp_path: Path) -> Path:
    directory = tmp_path / "dev"
    directory.mkdir()
    return directory


SECRET = "/proc/sys/kernel/core_pattern"


@pytest.mark.parametrize("what", ["link", "file", "zero", "nothing"])
def test_a_null_device_that_is_none(oci: Oci, evil_dev: Path, what: str) -> None:
    """CVE-2025-31133: what /dev/null leads to would lie, writable, where a mask should be."""
    change = dev_of(evil_dev)
    null = evil_dev / "null"
    null.unlink()
    if what == "link":
        null.symlink_to(SECRET)
    elif what == "file":
        null.write_text("")
    elif what == "zero":
        os.mknod(null, stat.S_IFCHR | 0o666, os.makedev(1, 5))
    done = oci.run("true", change=change)
    assert done.returncode == 1
    if what != "nothing":
        assert "/dev/null is not the null device: refusing to mask with it" in said(done)


class Swapper:
    """Exchanges two names again and again, while it is used in `with`. renameat2(2)"""

    def __init__(self, one: Path, other: Path) -> None:
        self._names = str(one), str(other)
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._swap)
        self.swapped = 0

    def _swap(self) -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        one, other = map(os.fsencode, self._names)
        while not self._end.wait(0.0002):
            assert libc.renameat2(AT_FDCWD, one, AT_FDCWD, other, RENAME_EXCHANGE) == 0
            self.swapped += 1

    def __enter__(self) -> Swapper:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()


def test_a_null_device_that_comes_and_goes(oci: Oci, evil_dev: Path) -> None:
    change = dev_of(evil_dev)
    (evil_dev / "evil").symlink_to(SECRET)
    script = (
        "stat -L -c %t:%T /proc/keys /proc/timer_list; grep -c core_pattern /proc/self/mountinfo"
    )
    with Swapper(evil_dev / "null", evil_dev / "evil") as race:
        results = [oci.run("sh", "-c", script, change=change) for _ in range(ROUNDS)]
    assert race.swapped > 100
    for done in results:
        assert not done.stdout or done.stdout.split() == ["1:3", "1:3", "0"]
        assert done.returncode != 0 or done.stdout  # grep -c finds none: 1


# ── the console ──


def on_terminal(oci: Oci, change: Callable[[dict[str, Any]], object], *args: str) -> str:
    """What a container with a terminal prints there."""

    def with_terminal(config: dict[str, Any]) -> None:
        change(config)
        config["process"]["terminal"] = True

    bundle = oci.bundle(*args, change=with_terminal)
    master, slave = pty.openpty()
    process = subprocess.Popen(
        [*oci.argv, "run", "-b", bundle, f"t{os.path.basename(bundle)}"],
        stdin=slave, stdout=slave, stderr=slave,
    )  # fmt: skip
    os.close(slave)
    shown = b""
    with contextlib.suppress(OSError):  # EIO: nobody holds the other side any more
        while block := os.read(master, 4096):
            shown += block
    os.close(master)
    process.wait(20)
    return shown.decode().replace("\r", "")


def test_a_console_that_is_a_link(oci: Oci, evil_dev: Path) -> None:
    change = dev_of(evil_dev)
    (evil_dev / "console").symlink_to(SECRET)
    shown = on_terminal(oci, change, "echo", "started")
    assert "symbolic link: refusing to mount a device on it" in shown
    assert "started\n" not in shown.splitlines()


def test_a_console_that_comes_and_goes(oci: Oci, evil_dev: Path) -> None:
    """CVE-2025-52565: the terminal would be mounted on, and so give access to, another file."""
    change = dev_of(evil_dev)
    (evil_dev / "console").write_text("")
    (evil_dev / "evil").symlink_to(SECRET)
    script = "cat /proc/self/mountinfo"
    started = 0
    with Swapper(evil_dev / "console", evil_dev / "evil"):
        for _ in range(ROUNDS):
            lines = on_terminal(oci, change, "sh", "-c", script).splitlines()
            points = [line.split()[4] for line in lines if " - devpts " in line]
            started += bool(points)
            assert not [line for line in lines if " - " in line and "core_pattern" in line]
            assert set(points) <= {"/dev/pts", "/dev/console", "/dev/evil"}
    assert started


# ── a volume that changes while it is mounted in ──


def test_a_directory_that_becomes_a_link(oci: Oci, canary: Path, tmp_path: Path) -> None:
    """CVE-2021-30465: two containers share a volume; one exchanges a directory in it for a link
    while the other, being started, mounts there."""
    volume, source = tmp_path / "volume", tmp_path / "source"
    (volume / "dir").mkdir(parents=True)
    source.mkdir()
    (volume / "evil").symlink_to(UP + str(canary))
    change = adding(bind(volume, "/vol"), bind(source, "/vol/dir/inner"))
    script = "cat /proc/self/mountinfo"
    with Swapper(volume / "dir", volume / "evil"):
        for _ in range(ROUNDS):
            done = oci.run("sh", "-c", script, change=change)
            assert os.listdir(canary) == []
            inner = [x.split()[4] for x in done.stdout.splitlines() if f"{source} " in x]
            assert all(p.startswith(("/vol/", str(canary))) for p in inner), inner
            assert str(canary) not in Path("/proc/self/mountinfo").read_text()


def test_a_file_to_mount_on_that_is_a_fifo(oci: Oci, tmp_path: Path) -> None:
    """Nothing of the image is opened to be read: that could wait for ever."""
    (oci.rootfs / "etc" / "hosts").unlink(missing_ok=True)
    os.mkfifo(oci.rootfs / "etc" / "hosts")
    source = tmp_path / "hosts"
    source.write_text("localhost\n")
    done = oci.run("cat", "/etc/hosts", change=adding(bind(source, "/etc/hosts")))
    assert done.stdout == "localhost\n"


# ── the same from an image, by `minidock run` ──


def hostile_image(tarball: bytes, links: dict[str, str]) -> bytes:
    """The small root filesystem, with links in place of what it has at these names."""
    buffer = io.BytesIO()
    with (
        tarfile.open(fileobj=io.BytesIO(tarball)) as old,
        tarfile.open(fileobj=buffer, mode="w") as new,
    ):
        for member in old:
            if member.name not in links:
                new.addfile(member, old.extractfile(member) if member.isreg() else None)
        for name, target in links.items():
            entry = tarfile.TarInfo(name)
            entry.type, entry.linkname = tarfile.SYMTYPE, target
            new.addfile(entry)
    return buffer.getvalue()


@pytest.fixture
def run_image(minidock: Any, root_tarball: bytes) -> Iterator[Callable[..., Any]]:
    """Import an image with such links and run something in it."""

    def run(links: dict[str, str], *args: str) -> Any:
        minidock.ok("import", "-", "hostile", stdin=hostile_image(root_tarball, links))
        return minidock("run", "--rm", *args)

    yield run
    minidock("rmi", "-f", "hostile")


@pytest.mark.parametrize("way", range(3))
def test_an_image_whose_files_lead_to_the_host(run_image: Any, canary: Path, way: int) -> None:
    lead = ways_to(canary)[way]
    links = {f"etc/{name}": f"{lead}/{name}" for name in ("hosts", "hostname", "resolv.conf")}
    links |= {".dockerenv": f"{lead}/env", "etc/mtab": f"{lead}/mtab", "work": f"{lead}/work"}
    run_image(links, "-w", "/work/dir", "--tmpfs", "/work/tmp", "hostile", "true")


@pytest.mark.parametrize("name", ["proc", "sys"])
def test_an_image_whose_proc_or_sys_is_a_link(run_image: Any, name: str) -> None:
    done = run_image({name: "/tmp"}, "hostile", "true")
    assert done.returncode == 125
    assert "must be mounted on ordinary directory" in done.stderr


def test_an_image_whose_dev_leads_to_the_host(run_image: Any, canary: Path) -> None:
    done = run_image(
        {"dev": UP + str(canary)}, "hostile", "sh", "-c", "echo x > /dev/null; ls /dev"
    )
    assert "null" in done.stdout.split()
    assert done.returncode == 0


def test_an_image_with_a_bin_that_leads_to_the_host(run_image: Any) -> None:
    done = run_image({"host": "/proc/1/root", "up": UP}, "hostile", "ls", "-d", "/up/bin", "/host/")
    assert done.stdout.split() == ["/host/", "/up/bin"]
