"""cp with a kernel: containers that run, that do not, and that would like us to miss."""

from __future__ import annotations

import ctypes
import errno
import io
import os
import signal
import socket
import stat
import tarfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from minidock.engine.containers import Containers
from minidock.engine.copy_view import View
from minidock.engine.paths import Paths

_AT_FDCWD, _RENAME_EXCHANGE = -100, 2


def names(tar: bytes) -> list[str]:
    with tarfile.open(fileobj=io.BytesIO(tar)) as archive:
        return archive.getnames()


def tar_of(minidock: Any, source: str) -> list[str]:
    return names(minidock.ok("cp", source, "-").encode("utf-8", "surrogateescape"))


@pytest.fixture
def live(minidock: Any, tmp_path: Path) -> str:
    """A container that runs, with a volume at /data and memory at /memory."""
    (tmp_path / "volume").mkdir()
    options = ("--tmpfs", "/memory", "-v", f"{tmp_path}/volume:/data")
    minidock.ok("run", "-d", "--name", "live", *options, "busybox", "sleep", "1000")
    return "live"


def test_through_volumes_and_memory(minidock: Any, live: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("words")
    for place in ("/data", "/memory", "/tmp"):
        minidock.ok("cp", f"{tmp_path}/file", f"live:{place}/")
        assert minidock.ok("exec", live, "cat", f"{place}/file") == "words"
        minidock.ok("cp", f"live:{place}/file", f"{tmp_path}/back{place.replace('/', '-')}")
    assert (tmp_path / "volume/file").read_text() == "words"
    assert (tmp_path / "back-memory").read_text() == "words"


def test_the_kernels_own_files_are_not_there(minidock: Any, live: str) -> None:
    assert tar_of(minidock, "live:/proc") == ["proc"]
    assert tar_of(minidock, "live:/sys") == ["sys"]
    found = tar_of(minidock, "live:/")
    assert "/bin/busybox" in found
    assert not [name for name in found if name.startswith(("/proc/", "/sys/", "/dev/"))]


def test_a_paused_container(minidock: Any, live: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("words")
    minidock.ok("pause", live)
    minidock.ok("cp", f"{tmp_path}/file", "live:/tmp/file")
    minidock.ok("cp", "live:/tmp/file", f"{tmp_path}/back")
    minidock.ok("unpause", live)
    assert (tmp_path / "back").read_text() == "words"


@pytest.mark.parametrize("options", [(), ("--rm",), ("--userns", "auto")])
def test_before_the_first_start(minidock: Any, tmp_path: Path, options: tuple[str, ...]) -> None:
    (tmp_path / "script").write_text("#!/bin/sh\nstat -c '%u %a' /script\n")
    (tmp_path / "script").chmod(0o750)
    (tmp_path / "volume").mkdir()
    options += ("-v", f"{tmp_path}/volume:/deep/volume")
    minidock.ok("create", "--name", "box", *options, "busybox", "/script")
    minidock.ok("cp", f"{tmp_path}/script", "box:/script")
    assert minidock.ok("diff", "box").splitlines()[-1] == "A /script"
    assert tar_of(minidock, "box:/script") == ["script"]
    assert tar_of(minidock, "box:/deep") == ["deep", "deep/volume"]
    assert minidock.ok("start", "-a", "box") == "0 750\n"


def test_mounts_of_one_that_has_never_run(minidock: Any, tmp_path: Path) -> None:
    """A directory that `-v` names is made, part of a volume is what it is, and names of hosts that
    another container had are not missed."""
    (tmp_path / "file").write_text("words")
    minidock.ok("run", "--rm", "-v", "copied:/v", "busybox", "mkdir", "-p", "/v/part")
    minidock.ok("run", "-d", "--name", "gone", "busybox", "sleep", "100")
    options = ["-v", f"{tmp_path}/made:/made", "--network", "container:gone"]
    options += ["--mount", "type=volume,src=copied,dst=/part,volume-subpath=part"]
    minidock.ok("volume", "create", "-o", "type=tmpfs", "-o", "device=tmpfs", "memory")
    options += ["-v", "memory:/own:ro"]
    minidock.ok("create", "--name", "box", *options, "busybox", "true")
    minidock.ok("rm", "-f", "gone")
    try:
        for place in ("/made", "/part"):
            minidock.ok("cp", f"{tmp_path}/file", f"box:{place}/")
        assert (tmp_path / "made/file").read_text() == "words"
        assert tar_of(minidock, "box:/own") == ["own"]
        found = minidock.ok("run", "--rm", "-v", "copied:/v", "busybox", "cat", "/v/part/file")
        assert found == "words"
    finally:
        minidock.ok("rm", "box")
        minidock.ok("volume", "rm", "copied", "memory")


def test_owners(minidock: Any, tmp_path: Path) -> None:
    """As they are on the way in, and the caller's on the way out; -a the other way round."""
    (tmp_path / "file").write_text("words")
    os.chown(tmp_path / "file", 1000, 1001)
    minidock.ok("create", "--name", "box", "--user", "www-data", "busybox", "true")
    minidock.ok("cp", f"{tmp_path}/file", "box:/plain")
    minidock.ok("cp", "-a", f"{tmp_path}/file", "box:/archive")
    owners = {}
    for name in ("plain", "archive"):
        for flags in ((), ("-a",)):
            minidock.ok("cp", *flags, f"box:/{name}", f"{tmp_path}/back")
            status = (tmp_path / "back").stat()
            owners[(name, *flags)] = (status.st_uid, status.st_gid)
    assert owners == {
        ("plain",): (0, 0),
        ("plain", "-a"): (1000, 1001),
        ("archive",): (0, 0),
        ("archive", "-a"): (33, 33),
    }


def test_all_kinds_of_files_and_their_attributes(minidock: Any, tmp_path: Path) -> None:
    source = tmp_path / "source"
    (source / "empty").mkdir(parents=True)
    (source / "file").write_text("words")
    os.link(source / "file", source / "same")
    os.mkfifo(source / "fifo", 0o640)
    os.mknod(source / "null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
    (source / "out").symlink_to("../../../elsewhere")
    (source / "absolute").symlink_to("/etc/passwd")
    (source / "n\udce4me\n").write_text("")
    with open(source / "sparse", "wb") as file:
        file.truncate(50 << 20)
    os.setxattr(source / "file", "user.note", b"kept")
    os.utime(source / "file", ns=(1, 1_500_000_000_123_456_789))
    minidock.ok("create", "--name", "box", "busybox", "true")
    minidock.ok("cp", str(source), "box:/there")
    minidock.ok("cp", "-a", "box:/there/.", f"{tmp_path}/back")
    back = tmp_path / "back"
    assert sorted(os.listdir(back)) == sorted(os.listdir(source))
    for name in os.listdir(source):
        one, two = ((top / name).lstat() for top in (source, back))
        assert (two.st_mode, two.st_rdev, two.st_size) == (one.st_mode, one.st_rdev, one.st_size)
        assert two.st_mtime_ns == one.st_mtime_ns or stat.S_ISDIR(one.st_mode)
    assert (back / "file").samefile(back / "same")
    assert os.getxattr(back / "file", "user.note") == b"kept"
    assert os.readlink(back / "out") == "../../../elsewhere"
    assert (back / "sparse").stat().st_blocks < 100


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"no tar", "the archive is truncated"),
        (b"x" * 2048, "invalid tar archive: "),
        (b"\x1f\x8b\x08 no gzip", "gzip"),
    ],
)
def test_what_is_no_tar(minidock: Any, data: bytes, words: str) -> None:
    minidock.ok("create", "--name", "box", "busybox", "true")
    done = minidock("cp", "-", "box:/tmp", stdin=data)
    assert done.returncode == 1
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_sockets_are_refused(minidock: Any, live: str, tmp_path: Path) -> None:
    """They are nothing without the process behind them, and no tar has them."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f"{tmp_path}/volume/socket")
    for case in ((f"{tmp_path}/volume/socket", "live:/tmp"), ("live:/data/socket", str(tmp_path))):
        done = minidock("cp", *case)
        assert done.returncode == 1
        assert "it is a socket" in done.stderr
    assert "data/socket" not in tar_of(minidock, "live:/data")


def test_links_on_the_host_are_not_written_through(minidock: Any, tmp_path: Path) -> None:
    (tmp_path / "victim").mkdir()
    (tmp_path / "here/dir").mkdir(parents=True)
    (tmp_path / "here/dir/file").write_text("words")
    minidock.ok("create", "--name", "box", "busybox", "true")
    minidock.ok("cp", f"{tmp_path}/here/dir", "box:/dir")
    (tmp_path / "out").mkdir()
    (tmp_path / "out/dir").symlink_to(tmp_path / "victim")
    done = minidock("cp", "box:/dir", f"{tmp_path}/out")
    assert done.returncode == 1
    assert "cannot overwrite non-directory" in done.stderr
    assert os.listdir(tmp_path / "victim") == []


# ── containers that do not mean well ──


@contextmanager
def swapping(one: str, two: str) -> Iterator[list[int]]:
    """Exchange two names as fast as can be; how often, in a list of one number."""
    libc, stop, count = ctypes.CDLL(None), threading.Event(), [0]
    names = (os.fsencode(one), os.fsencode(two))

    def swap() -> None:
        while not stop.is_set():
            if libc.renameat2(_AT_FDCWD, names[0], _AT_FDCWD, names[1], _RENAME_EXCHANGE) == 0:
                count[0] += 1

    thread = threading.Thread(target=swap)
    thread.start()
    try:
        yield count
    finally:
        stop.set()
        thread.join()


def test_directories_that_become_links_meanwhile(minidock: Any, live: str, tmp_path: Path) -> None:
    """A container exchanges a directory and a link to a directory that only the host has, thousands
    of times a second. Nothing of the host's may come out, nor anything of ours land there."""
    secret = tmp_path / "secret"
    (secret / "sub").mkdir(parents=True)
    (secret / "sub/file").write_text("of the host")
    minidock.ok("exec", live, "mkdir", "-p", "/swap/dir/sub", "/swap/kept")
    minidock.ok("exec", live, "ln", "-s", str(secret), "/swap/link")
    minidock.ok("exec", live, "sh", "-c", "echo of the container > /swap/dir/sub/file")
    (tmp_path / "new/sub").mkdir(parents=True)
    (tmp_path / "new/sub/file").write_text("of ours")
    pid = minidock.ok("inspect", "-f", "{{.State.Pid}}", live).strip()
    inside = f"/proc/{pid}/root/swap"
    came = 0
    with swapping(f"{inside}/dir", f"{inside}/link") as count:
        for number in range(4):
            before = count[0]
            out = tmp_path / f"out{number}"
            for case in (
                ("live:/swap/dir/.", f"{out}"),
                ("-L", "live:/swap/link", f"{out}-followed"),
                ("live:/swap", f"{out}-all"),
                (f"{tmp_path}/new/.", "live:/swap/dir"),
                (f"{tmp_path}/new/sub/file", "live:/swap/dir/sub/"),
            ):
                came += minidock("cp", *case).returncode == 0
            assert count[0] > before  # it was at it
    for top in tmp_path.glob("out*"):
        if not top.is_symlink():  # it may be the link itself that was copied
            for directory, _, names in os.walk(top):
                for path in (Path(directory, name) for name in names):
                    assert path.read_text() in ("of the container\n", "of ours"), path
    assert came  # some did arrive
    assert [str(p.relative_to(secret)) for p in secret.rglob("*")] == ["sub", "sub/file"]
    assert (secret / "sub/file").read_text() == "of the host"


def test_the_kernels_links_lead_nowhere(minidock: Any, tmp_path: Path) -> None:
    """Of a container with the host's processes: /proc/1/root is the host's "/"."""
    (tmp_path / "file").write_text("words")
    (tmp_path / "victim").mkdir()
    minidock.ok(
        "run", "-d", "--name", "box", "--pid", "host", "--privileged", "-v", "/proc:/host/proc",
        "busybox", "sh", "-c", f"ln -s /host/proc/1/root{tmp_path} /evil; sleep 1000",
    )  # fmt: skip
    for case in (
        ("box:/evil/file", f"{tmp_path}/out"),
        ("-L", "box:/evil", f"{tmp_path}/out"),
        (f"{tmp_path}/file", "box:/evil/victim/file"),
        (f"{tmp_path}/file", "box:/evil/victim/"),
    ):
        assert minidock("cp", *case).returncode == 1, case
    assert os.listdir(tmp_path / "victim") == []
    assert not (tmp_path / "out").exists()


def test_what_can_be_opened_inside(minidock: Any, live: str) -> None:
    """No device, which may act just by being opened, and which a container with CAP_MKNOD can put
    in a file's place at any time; and nothing of /proc, whose links lead to other roots."""
    minidock.ok("exec", live, "mknod", "/node", "c", "1", "3")
    container = Containers(Paths(str(minidock.root), str(minidock.run_root))).find(live)
    read, write = os.pipe()
    with View(container, writable=False) as view:
        pid = os.fork()
        if pid == 0:
            try:
                view.enter()
                for path in ("/node", "/dev/null", "/proc/self", "/etc/passwd"):
                    try:
                        os.open(path, os.O_RDONLY)
                        os.write(write, b"opened ")
                    except OSError as error:
                        os.write(write, f"{errno.errorcode[error.errno or 0]} ".encode())
            finally:
                os._exit(0)
        os.waitpid(pid, 0)
    os.close(write)
    with open(read, encoding="ascii") as told:
        assert told.read().split() == ["EACCES", "ENOENT", "ENOENT", "opened"]


# ── in the middle of it ──


def test_killed_in_the_middle(minidock: Any, tmp_path: Path) -> None:
    """No mount, no lock, no process is left, and the container can be started."""
    minidock.ok("create", "--name", "box", "busybox", "ls", "/tmp")
    reader, writer = os.pipe()
    copying = minidock.popen("cp", "-", "box:/tmp", stdin=reader)
    try:
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w") as tar:
            entry = tarfile.TarInfo("half")
            entry.size = 1 << 20
            tar.addfile(entry, io.BytesIO(bytes(1 << 20)))
        os.write(writer, buffer.getvalue()[:4096])
        time.sleep(0.5)
        copying.send_signal(signal.SIGKILL)
        copying.wait(10)
    finally:
        os.close(reader)
        os.close(writer)
    assert minidock.ok("start", "-a", "box") == "half\n"


def test_a_start_waits_for_a_copy(minidock: Any) -> None:
    minidock.ok("create", "--name", "box", "busybox", "ls", "/tmp")
    reader, writer = os.pipe()
    copying = minidock.popen("cp", "-", "box:/tmp", stdin=reader)
    time.sleep(0.5)
    starting = minidock.popen("start", "box")
    time.sleep(0.5)
    assert starting.poll() is None
    os.close(writer)
    os.close(reader)
    assert copying.wait(10) == 0
    assert starting.wait(10) == 0
