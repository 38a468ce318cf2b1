"""export: what a container sees of its root, as one tar."""

from __future__ import annotations

import io
import subprocess
import tarfile
from pathlib import Path

import pytest

SCRIPT = (
    "echo new > /new; rm /etc/group; mkdir /dir; ln -s /new /dir/link; ln /new /hard; "
    "rm -r /bin/vi; chmod 4711 /new; echo up; sleep 100"
)


def _export(minidock, name: str) -> tarfile.TarFile:
    done = subprocess.run(
        [*minidock.argv, "export", name], capture_output=True, env=minidock.env, check=False
    )
    assert done.returncode == 0, done.stderr
    return tarfile.open(fileobj=io.BytesIO(done.stdout))


@pytest.mark.parametrize("running", [True, False])
def test_the_merged_tree(minidock, running: bool) -> None:
    name = minidock.ok("run", "-d", "busybox", "sh", "-c", SCRIPT).strip()
    while minidock.ok("logs", name) != "up\n":
        pass
    if not running:
        minidock.ok("kill", name)
        minidock.ok("wait", name)
    tar = _export(minidock, name)
    names = set(tar.getnames())
    assert {"bin/busybox", "new", "hard", "dir/link", "etc/passwd", "proc", "sys", "dev"} <= names
    assert not {"etc/group", "bin/vi"} & names
    assert not [n for n in names if ".wh." in n or n.startswith(("proc/", "sys/"))]
    first, second = sorted((tar.getmember("new"), tar.getmember("hard")), key=lambda m: m.type)
    assert (first.mode, first.size, second.type) == (0o4711, 4, tarfile.LNKTYPE)
    assert tar.getmember("dir/link").linkname == "/new"


def test_there_and_back(minidock, tmp_path: Path) -> None:
    minidock.ok("run", "--name", "maker", "busybox", "sh", "-c", "echo goods > /goods")
    path = tmp_path / "flat.tar"
    minidock.ok("export", "-o", str(path), "maker")
    assert list(tmp_path.iterdir()) == [path]
    minidock.ok("import", str(path), "flat")
    assert minidock.ok("run", "--rm", "flat", "cat", "/goods") == "goods\n"
    minidock.ok("rmi", "flat")


def test_what_goes_wrong(minidock, tmp_path: Path) -> None:
    assert minidock("export", "nosuch").stderr == (
        "Error response from daemon: No such container: nosuch\n"
    )
    minidock.ok("create", "--name", "made", "busybox", "true")
    assert minidock("export", "-o", str(tmp_path / "no" / "x"), "made").returncode == 1
    reader = subprocess.run(
        ["sh", "-c", f"{' '.join(minidock.argv)} export made | head -c 10 | wc -c"],
        capture_output=True, env=minidock.env, check=False,
    )  # fmt: skip
    assert (reader.stdout.strip(), reader.stderr) == (b"10", b"")
