"""What the tests share: a minidock with a state root of its own, an image in it, and an eye on what
a test leaves behind."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

APPLETS = (
    "sh ls cat true false id env mount hostname ps echo sleep grep mkdir rm mv ln touch chmod chown"
    " head tail wc stat readlink mknod kill test printf seq dd tty stty stat date sync df top vi"
    " ifconfig nc yes tr sort find cut umask xargs md5sum trap uname pwd mkfifo rmdir cp"
).split()
PASSWD = "root:x:0:0:root:/root:/bin/sh\nwww-data:x:33:33:www-data:/var/www:/bin/sh\n"
GROUP = "root:x:0:\ntty:x:5:\nwww-data:x:33:\nstaff:x:50:www-data\n"


def busybox_tarball() -> bytes:
    """A small root filesystem: Debian's static busybox, with a name for each applet."""
    program = Path("/bin/busybox")
    if not program.exists():
        pytest.skip("needs /bin/busybox (Debian package busybox-static)")
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:

        def add(name: str, kind: bytes, mode: int, content: bytes = b"", link: str = "") -> None:
            entry = tarfile.TarInfo(name)
            entry.type, entry.mode, entry.linkname, entry.size = kind, mode, link, len(content)
            tar.addfile(entry, io.BytesIO(content))

        for directory in ("bin", "dev", "etc", "proc", "root", "sys", "var", "var/www", "usr"):
            add(directory, tarfile.DIRTYPE, 0o755)
        add("tmp", tarfile.DIRTYPE, 0o1777)
        add("bin/busybox", tarfile.REGTYPE, 0o755, program.read_bytes())
        for applet in dict.fromkeys(APPLETS):
            add(f"bin/{applet}", tarfile.SYMTYPE, 0o777, link="busybox")
        add("etc/passwd", tarfile.REGTYPE, 0o644, PASSWD.encode())
        add("etc/group", tarfile.REGTYPE, 0o644, GROUP.encode())
    return buffer.getvalue()


class Minidock:
    """The command, with a state root of its own. Every call is bounded in time."""

    def __init__(self, home: Path) -> None:
        self.root = home / "root"
        self.run_root = home / "run"
        self.env = {
            **os.environ,
            "MINIDOCK_ROOT": str(self.root),
            "MINIDOCK_RUN_ROOT": str(self.run_root),
        }
        self.argv = [sys.executable, "-m", "minidock"]

    def __call__(
        self, *args: str, stdin: bytes = b"", timeout: float = 60
    ) -> subprocess.CompletedProcess[str]:
        """Run and return; exit code and output are the test's business."""
        done = subprocess.run(
            [*self.argv, *args],
            input=stdin,
            capture_output=True,
            env=self.env,
            timeout=timeout,
            check=False,
        )
        out, err = (s.decode("utf-8", "surrogateescape") for s in (done.stdout, done.stderr))
        return subprocess.CompletedProcess(done.args, done.returncode, out, err)

    def ok(self, *args: str, stdin: bytes = b"", timeout: float = 60) -> str:
        """Run something that must succeed; its standard output."""
        done = self(*args, stdin=stdin, timeout=timeout)
        assert done.returncode == 0, f"{args}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def popen(self, *args: str, **kwargs: object) -> subprocess.Popen[bytes]:
        """Start and do not wait."""
        return subprocess.Popen([*self.argv, *args], env=self.env, **kwargs)  # type: ignore[call-overload, no-any-return]

    def directory(self, container_id: str) -> Path:
        return self.root / "containers" / container_id.strip()

    def remove_all(self) -> None:
        """Remove every container."""
        directory = self.root / "containers"
        ids = (
            [p.name for p in directory.iterdir() if len(p.name) == 64] if directory.is_dir() else []
        )
        if ids:
            self("rm", "-f", *ids)


@pytest.fixture(scope="session")
def root_tarball() -> bytes:
    """`busybox_tarball`, for tests that import it elsewhere too."""
    return busybox_tarball()


@pytest.fixture(scope="session")
def minidock_home(
    tmp_path_factory: pytest.TempPathFactory, root_tarball: bytes
) -> Iterator[Minidock]:
    """One state root for the session, with the image `busybox` imported."""
    if os.geteuid() != 0:
        pytest.skip("needs root: it makes namespaces and mounts")
    home = tmp_path_factory.mktemp("minidock")
    minidock = Minidock(home)
    minidock.ok("import", "-", "busybox", stdin=root_tarball)
    yield minidock
    minidock.remove_all()
    shutil.rmtree(home, ignore_errors=True)


@pytest.fixture
def minidock(minidock_home: Minidock) -> Iterator[Minidock]:
    """The session's minidock; afterwards no container is left, and nothing else on the host."""
    home = str(minidock_home.root.parent)
    before = traces_on_host(home)
    yield minidock_home
    minidock_home.remove_all()
    left: set[str] = set()
    for _ in range(50):  # a monitor needs a moment to be gone
        left = traces_on_host(home) - before
        if not left:
            return
        time.sleep(0.1)
    pytest.fail(f"left on the host: {sorted(left)}")


def traces_on_host(home: str) -> set[str]:
    """What is left of containers whose state lies below `home`: mounts, cgroups, processes.

    Other containers may run on this machine meanwhile, so a cgroup counts when a process of ours
    is in it, or none at all.
    """
    mounts = Path("/proc/self/mountinfo").read_text().splitlines()
    found = {f"mount {line}" for line in mounts if home in line}
    for line in mounts:
        fields, _, filesystem = line.partition(" - ")
        if filesystem.startswith("cgroup"):
            parent = Path(fields.split()[4]) / "minidock"
            for directory in parent.iterdir() if parent.is_dir() else ():
                if directory.is_dir() and _is_ours(directory, home):
                    found.add(f"cgroup {directory}")
    for process in Path("/proc").glob("[0-9]*"):
        if b"minidock.engine.spawn" in _read(process / "cmdline") and _holds(process, home):
            found.add(f"process {process.name}")
    return found


def _is_ours(cgroup: Path, home: str) -> bool:
    pids = _read(cgroup / "cgroup.procs").split() if cgroup.is_dir() else [b"0"]
    return not pids or any(home.encode() in _read(Path(f"/proc/{int(p)}/mountinfo")) for p in pids)


def _holds(process: Path, home: str) -> bool:
    try:
        return any(os.readlink(fd).startswith(home) for fd in (process / "fd").iterdir())
    except OSError:
        return False


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""
