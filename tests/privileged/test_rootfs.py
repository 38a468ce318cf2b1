"""The root filesystem that rootfs/debian makes: what is in it, and that it comes out the same."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
DEBIAN = REPOSITORY / "rootfs" / "debian.tar"

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
    pytest.mark.skipif(not DEBIAN.exists(), reason="there is no rootfs/debian.tar: make it first"),
]


def read(tarball: Path, name: str) -> bytes:
    with tarfile.open(tarball) as archive:
        member = archive.extractfile(name)
        assert member is not None
        return member.read()


def make(tarball: Path) -> str:
    """Make a Debian; its sha256. What the machine lacks is a skip, what the recipe lacks is not."""
    if not shutil.which("mmdebstrap"):
        pytest.skip("mmdebstrap is not installed")
    subprocess.run([REPOSITORY / "rootfs" / "debian", tarball], check=True, capture_output=True)
    return hashlib.sha256(tarball.read_bytes()).hexdigest()


def test_debian_has_a_shell_and_apt_and_nothing_of_this_machine() -> None:
    with tarfile.open(DEBIAN) as archive:
        members = {member.name: member for member in archive}
    for program in ("usr/bin/bash", "usr/bin/ls", "usr/bin/apt-get", "usr/bin/dpkg"):
        assert members["./" + program].mode & 0o111, program
    assert members["./tmp"].mode == 0o1777
    assert members["./usr/bin/su"].mode & 0o4000
    assert members["./etc/shadow"].gid == 42  # owners are kept by number
    of_this_machine = {
        name
        for name, member in members.items()
        if member.isdev()
        or name in ("./etc/hosts", "./etc/hostname", "./etc/resolv.conf")
        or (name.startswith(("./var/log/", "./var/cache/", "./var/lib/apt/lists/")) and member.size)
    }
    assert of_this_machine == set()
    assert b"ID=debian\n" in read(DEBIAN, "./usr/lib/os-release")


@pytest.mark.slow
def test_the_same_packages_make_the_same_tarball(tmp_path: Path) -> None:
    digest = make(tmp_path / "debian.tar")
    first = DEBIAN
    if read(first, "./var/lib/dpkg/status") != read(
        tmp_path / "debian.tar", "./var/lib/dpkg/status"
    ):
        first = tmp_path / "again.tar"  # the archive has moved on since rootfs/debian.tar was made
        make(first)
    assert digest == hashlib.sha256(first.read_bytes()).hexdigest()
