"""What the recipes of rootfs/ promise, as far as that shows without root and without a network."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tarfile
import time
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
RECIPES = REPOSITORY / "rootfs"


def run(*command: str | Path, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, env=os.environ | environ, capture_output=True, text=True, check=False
    )


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture(scope="module")
def busybox(tmp_path_factory: pytest.TempPathFactory) -> Path:
    status = run("dpkg-query", "-W", "-f", "${db:Status-Status}", "busybox-static")
    if status.stdout != "installed":
        pytest.skip("the package busybox-static is not installed, and a unit test fetches nothing")
    tarball = tmp_path_factory.mktemp("busybox") / "busybox.tar"
    started = time.monotonic()
    made = run(RECIPES / "busybox", tarball)
    assert made.returncode == 0, made.stderr
    assert time.monotonic() - started < 3
    return tarball


def test_busybox_is_the_same_bytes_at_another_time_and_place_under_another_umask(
    busybox: Path, tmp_path: Path
) -> None:
    again = tmp_path / "again.tar"
    elsewhere = tmp_path / "with a space"
    elsewhere.mkdir()
    time.sleep(1.1)  # the clock of a tarball counts seconds
    command = f"umask 077 && exec '{RECIPES}/busybox' '{again}'"
    made = run("sh", "-c", command, TMPDIR=str(elsewhere), LC_ALL="C", TZ="Asia/Tokyo")
    assert made.returncode == 0, made.stderr
    assert sha256(again) == sha256(busybox)
    assert list(elsewhere.iterdir()) == []


def test_busybox_says_what_it_made_and_its_digest(busybox: Path, tmp_path: Path) -> None:
    tarball = tmp_path / "b.tar"
    made = run(RECIPES / "busybox", tarball)
    assert f"sha256:{sha256(tarball)}" in made.stderr
    assert made.stdout == ""


def test_busybox_has_what_a_container_expects(busybox: Path) -> None:
    with tarfile.open(busybox) as archive:
        members = {member.name: member for member in archive}
        passwd = archive.extractfile("./etc/passwd")
        assert passwd and passwd.readline() == b"root:x:0:0:root:/root:/bin/sh\n"
    assert members["./tmp"].mode == 0o1777
    assert members["./root"].mode == 0o700
    assert members["./etc/shadow"].mode == 0o600
    assert all((m.uid, m.gid, m.uname) == (0, 0, "") for m in members.values())
    for program in ("bin/sh", "bin/ls", "bin/cat", "bin/true", "usr/bin/env", "bin/busybox"):
        assert members["./" + program].isfile() or members["./" + program].islnk(), program
    for provided in ("etc/hosts", "etc/hostname", "etc/resolv.conf", "dev/null"):
        assert "./" + provided not in members


def test_pack_knows_neither_the_clock_nor_the_order_of_creation(tmp_path: Path) -> None:
    digests: list[str] = []
    for order in (["a", "b", "c"], ["c", "a", "b"]):
        root = tmp_path / "".join(order)
        root.mkdir()
        for name in order:
            (root / name).write_text(name)
            os.utime(root / name, (time.time(), 2e9 + len(digests)))
        tarball = tmp_path / f"{root.name}.tar"
        assert run(RECIPES / "pack", root, tarball, "1000000000").returncode == 0
        digests.append(sha256(tarball))
    assert digests[0] == digests[1]


def test_pack_dates_back_what_is_younger_and_keeps_what_is_older(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    for name, date in (("old", 900_000_000), ("young", 1_100_000_000)):
        (root / name).touch()
        os.utime(root / name, (date, date))
    run(RECIPES / "pack", root, tmp_path / "t.tar", "1000000000")
    with tarfile.open(tmp_path / "t.tar") as archive:
        dates = {member.name: member.mtime for member in archive}
    assert dates == {"./old": 900_000_000, "./young": 1_000_000_000, ".": 1_000_000_000}


def test_a_recipe_that_fails_leaves_no_tarball(tmp_path: Path) -> None:
    failed = run(RECIPES / "pack", tmp_path / "no such directory", tmp_path / "t.tar", "1")
    assert failed.returncode != 0
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not os.path.exists("/usr/lib/apt/apt-helper"), reason="there is no apt here")
def test_ubuntu_says_in_one_line_that_the_archive_is_out_of_reach(tmp_path: Path) -> None:
    tarball = tmp_path / "ubuntu.tar"
    made = run(RECIPES / "ubuntu", tarball, MIRROR="http://127.0.0.1:9/ubuntu", http_proxy="")
    assert made.returncode == 3
    assert made.stderr.count("\n") == 1
    assert "archive http://127.0.0.1:9/ubuntu cannot be reached" in made.stderr
    assert not tarball.exists()


@pytest.mark.parametrize(
    ("uris", "expected"),
    [
        ("'http://mirror.example/debian/dists/{}/InRelease' x 0 ", "http://mirror.example/debian"),
        ("'http://m.example/debian//dists/{}/InRelease' x 0 ", "http://m.example/debian"),
        ("'http://m.example/other/dists/stable/InRelease' x 0 ", "http://default.example"),
        ("'mirror+file:/etc/apt/m.list/dists/{}/InRelease' x 0 ", "http://default.example"),
        ("", "http://default.example"),
    ],
)
def test_the_mirror_is_the_one_this_machines_apt_uses(
    tmp_path: Path, uris: str, expected: str
) -> None:
    release = run("sh", "-c", '. /etc/os-release; echo "$ID $VERSION_CODENAME"').stdout.split()
    if len(release) != 2:
        pytest.skip("this distribution has no code names")
    fake = tmp_path / "apt-get"
    fake.write_text(f'#!/bin/sh\necho "{uris.format(release[1])}"\n')
    fake.chmod(0o755)
    path = f"{tmp_path}:{os.environ['PATH']}"
    found = run(RECIPES / "mirror", release[0], "", "http://default.example", PATH=path)
    assert found.stdout == expected + "\n"
    foreign = run(RECIPES / "mirror", "plan9", "", "http://default.example", PATH=path)
    assert foreign.stdout == "http://default.example\n"


@pytest.mark.skipif(not shutil.which("shellcheck"), reason="shellcheck is not installed")
def test_shellcheck_finds_nothing() -> None:
    scripts = [
        path
        for folder in (RECIPES, REPOSITORY / ".ci")
        for path in folder.iterdir()
        if path.is_file() and path.open("rb").read(2) == b"#!"
    ]
    assert len(scripts) > 8
    checked = run("shellcheck", "-x", *scripts)
    assert checked.returncode == 0, checked.stdout
