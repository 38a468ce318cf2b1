"""What the tests share: a minidock with a state root of its own, an image in it, and an eye on what
a test leaves behind."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

import pytest

from minidock.engine.networks import Networks
from minidock.engine.paths import Paths
from minidock.linux.kernel import LinuxKernel
from minidock.linux.syscalls import LIBRARY_SIGNALS, default_action
from minidock.network.nft import elements

# Whoever started us may have two signals ignored that the C library keeps for itself and lets
# nobody look at. minidock gives every container all its signals; runc and Docker pass these on.
for _number in LIBRARY_SIGNALS:
    default_action(_number)

APPLETS = (
    "sh ls cat true false id env mount hostname ps echo sleep grep mkdir rm mv ln touch chmod chown"
    " head tail wc stat readlink mknod kill test printf seq dd tty stty stat date sync df top vi"
    " ifconfig nc yes tr sort find cut umask xargs md5sum trap uname pwd mkfifo rmdir cp awk whoami"
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

    homes: ClassVar[list[Path]] = []

    def __init__(self, home: Path) -> None:
        self.homes.append(home)
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
        """Remove every container, and every network that a test made."""
        directory = self.root / "containers"
        ids = (
            [p.name for p in directory.iterdir() if len(p.name) == 64] if directory.is_dir() else []
        )
        if ids:
            self("rm", "-f", "-v", *ids)
        names = self.root / "networks" / "names"
        networks = {path.name for path in names.iterdir()} if names.is_dir() else set()
        if networks - {"bridge", "host", "none"}:
            self("network", "rm", *sorted(networks - {"bridge", "host", "none"}))

    def remove_volumes(self) -> set[str]:
        """Remove every volume. Names of those that should not have been there any more: that nobody
        gave a name, and that were half-made or half-removed."""
        directory = self.root / "volumes"
        names = set(os.listdir(directory)) if directory.is_dir() else set()
        if names:
            self("volume", "prune", "-a", "-f")
        return {f"volume {name}" for name in names if len(name) == 64 or name.startswith(".")}


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
    for each in minidock.homes:
        take_down_networks(each)
    shutil.rmtree(home, ignore_errors=True)


@pytest.fixture
def minidock(minidock_home: Minidock) -> Iterator[Minidock]:
    """The session's minidock; afterwards no container is left, and nothing else on the host."""
    home = str(minidock_home.root.parent)
    before = traces_on_host(home)
    yield minidock_home
    minidock_home.remove_all()
    volumes = minidock_home.remove_volumes()
    assert not volumes, f"left on the disk: {sorted(volumes)}"
    left: set[str] = set()
    for _ in range(50):  # a monitor needs a moment to be gone
        left = traces_on_host(home) - before
        if not left:
            return
        time.sleep(0.1)
    pytest.fail(f"left on the host: {sorted(left)}")


CAPABILITIES = [
    f"CAP_{name}"
    for name in "CHOWN DAC_OVERRIDE FSETID FOWNER MKNOD NET_RAW SETGID SETUID SETFCAP SETPCAP"
    " NET_BIND_SERVICE SYS_CHROOT KILL AUDIT_WRITE".split()
]


def base_config(rootfs: str) -> dict[str, Any]:
    """A config.json that every OCI runtime runs; a test changes what it is about."""

    def mount(destination: str, kind: str, *options: str) -> dict[str, Any]:
        source = {"destination": destination, "type": kind, "source": kind}
        return {**source, "options": list(options)}

    return {
        "ociVersion": "1.0.2",
        "process": {
            "user": {"uid": 0, "gid": 0},
            "args": ["true"],
            "env": ["PATH=/usr/sbin:/usr/bin:/sbin:/bin"],
            "cwd": "/",
            "capabilities": {
                kind: list(CAPABILITIES) for kind in ("bounding", "effective", "permitted")
            },
            "noNewPrivileges": True,
        },
        "root": {"path": rootfs, "readonly": True},
        "hostname": "bundle",
        "mounts": [
            mount("/proc", "proc"),
            mount("/dev", "tmpfs", "nosuid", "strictatime", "mode=755", "size=65536k"),
            mount("/dev/pts", "devpts", "nosuid", "noexec", "newinstance", "ptmxmode=0666",
                  "mode=0620", "gid=5"),
            mount("/dev/shm", "tmpfs", "nosuid", "noexec", "nodev", "mode=1777", "size=65536k"),
            mount("/dev/mqueue", "mqueue", "nosuid", "noexec", "nodev"),
            mount("/sys", "sysfs", "nosuid", "noexec", "nodev", "ro"),
        ],
        "linux": {
            "resources": {"devices": [{"allow": False, "access": "rwm"}]},
            "namespaces": [{"type": kind} for kind in ("pid", "network", "ipc", "uts", "mount")],
            "maskedPaths": ["/proc/kcore", "/proc/keys", "/proc/timer_list", "/sys/firmware"],
            "readonlyPaths": ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys"],
        },
    }  # fmt: skip


class Oci:
    """An OCI runtime with a state root of its own. `words` start it: minidock's, or a foreign one
    to compare with."""

    def __init__(self, home: Path, rootfs: Path, words: Sequence[str] = ()) -> None:
        entry = "from minidock.cli.oci import entry; entry()"
        self.words = list(words) or [sys.executable, "-c", entry]
        self.root = home / "state"
        self.home = home
        self.rootfs = rootfs
        self._bundles = 0

    @property
    def argv(self) -> list[str]:
        return [*self.words, "--root", str(self.root)]

    def __call__(
        self, *args: str, stdin: bytes = b"", timeout: float = 60, **kwargs: Any
    ) -> subprocess.CompletedProcess[str]:
        """A command; exit code and output are the test's business. (Output goes to files: a
        container that stays holds it open.)"""
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            done = subprocess.run(
                [*self.argv, *args],
                input=stdin,
                stdout=out,
                stderr=err,
                timeout=timeout,
                check=False,
                **kwargs,
            )
            texts = []
            for file in (out, err):
                file.seek(0)
                texts.append(file.read().decode("utf-8", "surrogateescape"))
        return subprocess.CompletedProcess(done.args, done.returncode, *texts)

    def ok(self, *args: str, **kwargs: Any) -> str:
        """A command that must succeed; its standard output."""
        done = self(*args, **kwargs)
        assert done.returncode == 0, f"{args}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def bundle(self, *args: str, change: Callable[[dict[str, Any]], object] | None = None) -> str:
        """A bundle that runs `args`; `change` edits the document of its config.json."""
        self._bundles += 1
        directory = self.home / f"bundle{self._bundles}"
        directory.mkdir()
        config = base_config(str(self.rootfs))
        config["linux"]["cgroupsPath"] = f"/minidock/t{os.getpid()}-{self._bundles}"
        if args:
            config["process"]["args"] = list(args)
        if change:
            change(config)
        (directory / "config.json").write_text(json.dumps(config))
        return str(directory)

    def run(
        self,
        *args: str,
        change: Callable[[dict[str, Any]], object] | None = None,
        stdin: bytes = b"",
    ) -> subprocess.CompletedProcess[str]:
        """`run` of such a bundle, to its end."""
        bundle = self.bundle(*args, change=change)
        return self("run", "--bundle", bundle, f"run{self._bundles}", stdin=stdin)

    def states(self) -> list[str]:
        """The containers that there are."""
        return sorted(path.name for path in self.root.iterdir()) if self.root.is_dir() else []


@pytest.fixture(scope="session")
def rootfs(tmp_path_factory: pytest.TempPathFactory, root_tarball: bytes) -> Path:
    """The small root filesystem, unpacked; not to be written to."""
    directory = tmp_path_factory.mktemp("rootfs")
    directory.chmod(0o755)  # as "/" it must be open to all users
    with tarfile.open(fileobj=io.BytesIO(root_tarball)) as tar:
        tar.extractall(directory, filter="tar")
    return directory


@pytest.fixture
def oci(tmp_path: Path, rootfs: Path) -> Iterator[Oci]:
    """minidock as an OCI runtime; afterwards nothing of its containers is left on the host."""
    if os.geteuid() != 0:
        pytest.skip("needs root: it makes namespaces and mounts")
    runtime = Oci(tmp_path, rootfs)
    before = _cgroups()
    yield runtime
    for name in runtime.states():
        runtime("delete", "--force", name)
    left = {f"mount {line}" for line in _mounts() if str(tmp_path) in line}
    left |= {path for path in _cgroups() - before if f"t{os.getpid()}-" in path}
    assert not left, f"left on the host: {sorted(left)}"
    assert runtime.states() == []


def _mounts() -> list[str]:
    return Path("/proc/self/mountinfo").read_text().splitlines()


def _cgroups() -> set[str]:
    """Every cgroup directory below a `minidock` one."""
    found: set[str] = set()
    for line in _mounts():
        fields, _, filesystem = line.partition(" - ")
        if filesystem.startswith("cgroup"):
            parent = Path(fields.split()[4]) / "minidock"
            found |= {str(path) for path in parent.glob("*/")}
    return found


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
    found |= traces_of_networks(home)
    for process in Path("/proc").glob("[0-9]*"):
        if b"minidock.engine.spawn" in _read(process / "cmdline") and _holds(process, home):
            found.add(f"process {process.name}")
    return found


def _paths(home: str | Path) -> Paths:
    return Paths(f"{home}/root", f"{home}/run")


def take_down_networks(home: str | Path) -> None:
    """Remove what the kernel has of the networks of a state root: the bridges stay otherwise."""
    from minidock.engine.network_ground import take_down

    networks = Networks(_paths(home))
    if (Path(home) / "root/networks/names/bridge").exists():
        for network in networks.all():
            if network.driver == "bridge":
                take_down(_paths(home), networks, network)


def traces_of_networks(home: str) -> set[str]:
    """Cables, leases and published ports of the networks of a state root."""
    found = {f"lease {path}" for path in Path(home).glob("run/networks/*/[0-9a-f]*")}
    if not (Path(home) / "root/networks/names/bridge").exists():
        return found
    networks = [n for n in Networks(_paths(home)).all() if n.driver == "bridge"]
    for network in networks:
        for port in Path(f"/sys/class/net/{network.bridge}/brif").glob("*"):
            found.add(f"link {port.name}")
    subnets = [pool.subnet for network in networks for pool in network.pools]
    for name in ("ports4", "ports6", "at4", "at6"):
        for key, data in elements(LinuxKernel(), "minidock", name):
            length, family = (4, 4) if name.endswith("4") else (16, 6)
            address = int.from_bytes(data[:length], "big")
            if any(subnet.family == family and address in subnet for subnet in subnets):
                found.add(f"port {name} {key.hex()}")
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
