"""The same bundle run by runc and by minidock: the kernel tells the same of its mounts."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.conftest import Oci

pytestmark = pytest.mark.skipif(not shutil.which("runc"), reason="runc is not installed")


@pytest.fixture(scope="module")
def rootfs(root_tarball: bytes) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(dir="/var/tmp") as directory:
        os.chmod(directory, 0o755)
        with tarfile.open(fileobj=io.BytesIO(root_tarball)) as tar:
            tar.extractall(directory, filter="tar")
        (Path(directory) / "x").mkdir(mode=0o750)
        yield Path(directory)


@pytest.fixture
def both(oci: Oci, tmp_path: Path, rootfs: Path) -> Iterator[tuple[Oci, Oci]]:
    home = tmp_path / "runc"
    home.mkdir()
    runc = type(oci)(home, rootfs, ["runc"])
    yield oci, runc
    for name in runc.states():
        runc("delete", "--force", name)


@pytest.fixture
def volume(tmp_path: Path) -> Iterator[Path]:
    """A directory with a file, a link to it, and another mount below."""
    top = tmp_path / "volume"
    (top / "below").mkdir(parents=True)
    (top / "file").write_text("")
    (top / "link").symlink_to("file")
    subprocess.run(["mount", "-t", "tmpfs", "below", top / "below"], check=True)
    yield top
    subprocess.run(["umount", top / "below"], check=True)


def table(runtime: Oci, change: Any) -> list[tuple[object, ...]]:
    """Where what is mounted with which options; without numbers, and without masks, which both
    have, but of another size."""
    done = runtime.run("cat", "/proc/self/mountinfo", change=change)
    assert done.returncode == 0, done.stderr
    found = []
    for line in done.stdout.splitlines():
        left, _, right = line.partition(" - ")
        fields, (kind, source, words) = left.split(), right.split()
        # runc 1.1 gives a tmpfs its mode with a chmod, which is not told here
        filesystem = sorted(w for w in words.split(",") if not w.startswith("mode="))
        propagation = sorted(f.partition(":")[0] for f in fields[6:])
        if not (kind == "tmpfs" and fields[4].startswith(("/proc/", "/sys/"))):
            options = sorted(fields[5].split(","))
            found.append((fields[3], fields[4], options, propagation, kind, source, filesystem))
    return sorted(found, key=str)


TMPFS = [
    "", "ro", "nosuid,nodev,noexec", "noexec,exec", "size=64k,mode=700", "noatime", "nodiratime",
    "strictatime", "relatime", "shared", "rslave", "unbindable", "ro,size=1m,nosuid", "tmpcopyup",
    "sync", "dirsync", "lazytime",
]  # fmt: skip
# (Of "rro,rrw" the second counts here, and both in runc 1.1; which also has "rro" for binds only.)
BINDS = [
    "bind", "rbind", "rbind,ro", "bind,rro", "rbind,rro", "rbind,rprivate", "rbind,rshared",
    "rbind,slave", "bind,unbindable", "rbind,nosuid,nodev", "bind,noatime", "rbind,rnoexec,rnodev",
    "rbind,ro,rw", "bind,nosymfollow", "bind,nodiratime,ro", "bind,strictatime",
]  # fmt: skip


@pytest.mark.parametrize("words", TMPFS)
def test_a_filesystem(both: tuple[Oci, Oci], words: str) -> None:
    mount = {"destination": "/x", "type": "tmpfs", "source": "s"}
    mount["options"] = [w for w in words.split(",") if w]  # type: ignore[assignment]

    def change(config: dict[str, Any]) -> None:
        config["mounts"].append(mount)

    ours, theirs = (table(runtime, change) for runtime in both)
    assert ours == theirs


@pytest.mark.parametrize("words", BINDS)
def test_a_bind(both: tuple[Oci, Oci], volume: Path, words: str) -> None:
    mount = {"destination": "/x", "type": "bind", "source": str(volume)}
    mount["options"] = words.split(",")  # type: ignore[assignment]

    def change(config: dict[str, Any]) -> None:
        config["mounts"].append(mount)

    ours, theirs = (table(runtime, change) for runtime in both)
    assert ours == theirs


@pytest.mark.parametrize("name", ["file", "link"])
def test_a_bind_of_a_file(both: tuple[Oci, Oci], volume: Path, name: str) -> None:
    def change(config: dict[str, Any]) -> None:
        source = str(volume / name)
        config["mounts"].append(
            {"destination": "/x/at", "type": "bind", "source": source, "options": ["bind"]}
        )

    ours, theirs = (table(runtime, change) for runtime in both)
    assert ours == theirs


@pytest.mark.parametrize("readonly", [False, True])
@pytest.mark.parametrize("propagation", ["", "private", "rslave", "rprivate"])
def test_the_root(both: tuple[Oci, Oci], readonly: bool, propagation: str) -> None:
    def change(config: dict[str, Any]) -> None:
        config["root"]["readonly"] = readonly
        if propagation:
            config["linux"]["rootfsPropagation"] = propagation

    ours, theirs = (table(runtime, change) for runtime in both)
    assert ours == theirs


def test_dev(both: tuple[Oci, Oci]) -> None:
    """runc has a link to /proc/kcore, too, where the kernel has that."""

    def change(config: dict[str, Any]) -> None:
        config["linux"]["devices"] = [{"path": "/dev/own", "type": "c", "major": 1, "minor": 5}]

    script = "cd /dev; for f in $(ls); do stat -c '%N %F %t:%T %a %u:%g' $f; done"
    ours, theirs = (rt.run("sh", "-c", script, change=change).stdout for rt in both)
    assert ours.splitlines() == [x for x in theirs.splitlines() if "/proc/kcore" not in x]


@pytest.mark.parametrize(
    "mount",
    [
        {"type": "bind", "source": "/no/such", "options": ["rbind"]},
        {"type": "tmpfs", "source": "t", "options": ["no-such=option"]},
        {"type": "nosuchfs", "source": "t"},
        {"destination": "/bin/busybox", "type": "bind", "source": "/tmp", "options": ["bind"]},
        {"destination": "/tmp", "type": "bind", "source": "/etc/passwd", "options": ["bind"]},
    ],
)
def test_what_cannot_be_mounted(both: tuple[Oci, Oci], mount: dict[str, Any]) -> None:
    def change(config: dict[str, Any]) -> None:
        config["mounts"].append({"destination": "/x", **mount})

    said = []
    for runtime in both:
        done = runtime.run("true", change=change)
        assert done.returncode == 1
        said.append(done.stderr.replace('\\"', '"').strip().rstrip('"'))
    ours, theirs = (text.rpartition(": ")[2] for text in said)
    assert ours == theirs
    start = f'error mounting "{mount["source"]}" to rootfs at '
    assert all(start in text for text in said)
