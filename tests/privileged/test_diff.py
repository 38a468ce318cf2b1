"""commit and diff, judged by a real overlayfs.

A layer is right when stacking it gives what the container saw. So each scenario is done on a
mounted overlay, its upper directory is packed and unpacked again, and a second overlay with the
result as its top layer must look the same, file for file. The list of changes must be what
comparing the two mounted trees gives (Docker's way to find it).
"""

from __future__ import annotations

import contextlib
import io
import os
import random
import shutil
import socket
import stat
import subprocess
import sys
import tarfile
from collections.abc import Callable, Iterator

import pytest

from minidock.errors import MinidockError
from minidock.image.diff import changes
from minidock.image.pack import write_layer
from minidock.image.unpack import unpack_layer

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="mounting an overlay needs root")

Facts = dict[str, tuple[object, ...]]


@contextlib.contextmanager
def overlay(place: str, lowers: list[str]) -> Iterator[tuple[str, str]]:
    """A mounted overlay with a fresh upper directory; gives (merged, upper)."""
    upper, work, merged = (os.path.join(place, name) for name in ("upper", "work", "merged"))
    for directory in (upper, work, merged):
        os.makedirs(directory)
    # The features that would make an upper directory unreadable without its lower ones stay off.
    options = f"lowerdir={':'.join(lowers)},upperdir={upper},workdir={work}"
    options += ",redirect_dir=off,metacopy=off,index=off"
    subprocess.run(["mount", "-t", "overlay", "overlay", "-o", options, merged], check=True)
    try:
        yield merged, upper
    finally:
        subprocess.run(["umount", merged], check=True)


def facts(root: str) -> Facts:
    """What a process in the container can see of every file, times of directories aside."""
    found: Facts = {}
    first: dict[int, str] = {}
    for directory, names, files in os.walk(root):
        for base in sorted(names + files):
            path = os.path.join(directory, base)
            name = "/" + os.path.relpath(path, root)
            status = os.lstat(path)
            content: object = None
            if stat.S_ISREG(status.st_mode):
                with open(path, "rb") as file:
                    content = file.read()
            elif stat.S_ISLNK(status.st_mode):
                content = os.readlink(path)
            xattrs = {
                key: os.getxattr(path, key, follow_symlinks=False)
                for key in os.listxattr(path, follow_symlinks=False)
            }
            found[name] = (
                status.st_mode,
                status.st_uid,
                status.st_gid,
                status.st_rdev,
                None if stat.S_ISDIR(status.st_mode) else status.st_size,
                None if stat.S_ISDIR(status.st_mode) else status.st_mtime_ns,
                xattrs.get("security.capability"),
                content,
                xattrs,
            )
            if not stat.S_ISDIR(status.st_mode) and status.st_nlink > 1:
                found[name] += (first.setdefault(status.st_ino, name),)
    return found


def naive(old: Facts, new: Facts) -> list[str]:
    """`docker diff` by comparing two whole trees, as moby does it."""
    kinds: dict[str, str] = {}
    for name, entry in new.items():
        if name not in old:
            kinds[name] = "A"
        elif old[name][:7] != entry[:7]:
            kinds[name] = "C"
    for name in old:
        parent = os.path.dirname(name)
        alive = parent == "/" or (parent in new and stat.S_ISDIR(int(str(new[parent][0]))))
        if name not in new and alive:
            kinds[name] = "D"
    for name in list(kinds):
        while (name := os.path.dirname(name)) != "/":
            kinds.setdefault(name, "C")
    return [f"{kinds[name]} {name}" for name in sorted(kinds, key=lambda name: name.split("/"))]


def pack(upper: str) -> bytes:
    pieces: list[bytes] = []
    write_layer(upper, pieces.append)
    return b"".join(pieces)


def write(path: str, text: str = "text") -> None:
    with open(path, "w") as file:
        file.write(text)


def fill_base(root: str) -> None:
    for directory in ("etc", "d/sub", "e", "keep", "deep/a/b", "emptied", "todir-parent"):
        os.makedirs(f"{root}/{directory}")
    for name in ("etc/motd", "d/f1", "d/sub/f2", "e/g", "keep/x", "deep/a/b/z", "emptied/i", "f"):
        write(f"{root}/{name}", name)
    os.link(f"{root}/keep/x", f"{root}/keep/y")
    os.symlink("etc", f"{root}/link")
    os.mkfifo(f"{root}/fifo")
    for name in facts(root):
        os.utime(root + name, ns=(10**18 + 1, 10**18 + 1), follow_symlinks=False)


@pytest.fixture
def base(tmp_path: os.PathLike[str]) -> list[str]:
    """Two layers, topmost first; the upper of them has whiteouts and an opaque directory."""
    lower = os.path.join(tmp_path, "base")
    os.mkdir(lower)
    fill_base(lower)
    with overlay(os.path.join(tmp_path, "one"), [lower]) as (merged, upper):
        os.unlink(f"{merged}/etc/motd")
        shutil.rmtree(f"{merged}/e")
        os.mkdir(f"{merged}/e")
        write(f"{merged}/e/second")
        write(f"{merged}/second")
    return [upper, lower]


def check(tmp_path: os.PathLike[str], lowers: list[str], act: Callable[[str], object]) -> list[str]:
    """Run `act` in a container's tree; layer and change list must say what it did."""
    number = str(len(os.listdir(tmp_path)))
    place = os.path.join(tmp_path, f"run{number}")
    with overlay(place, lowers) as (merged, upper):
        old = facts(merged)
        act(merged)
        new = facts(merged)
    found = [f"{change.kind} {change.path}" for change in changes(upper, lowers)]
    assert found == naive(old, new)
    archive = pack(upper)
    assert pack(upper) == archive
    layer = os.path.join(tmp_path, f"layer{number}")
    os.mkdir(layer)
    unpack_layer(io.BytesIO(archive), layer)
    with overlay(os.path.join(tmp_path, f"again{number}"), [layer, *lowers]) as (merged, _):
        assert facts(merged) == new
    assert pack(layer) == archive, "the unpacked layer is the upper directory"
    return found


def test_nothing(tmp_path: os.PathLike[str], base: list[str]) -> None:
    assert check(tmp_path, base, lambda root: None) == []


def test_a_file_in_an_old_directory(tmp_path: os.PathLike[str], base: list[str]) -> None:
    found = check(tmp_path, base, lambda root: write(f"{root}/deep/a/new"))
    assert found == ["C /deep", "C /deep/a", "A /deep/a/new"]


def test_deletions(tmp_path: os.PathLike[str], base: list[str]) -> None:
    def act(root: str) -> None:
        os.unlink(f"{root}/f")
        os.unlink(f"{root}/e/second")
        shutil.rmtree(f"{root}/deep")
        os.unlink(f"{root}/link")

    assert check(tmp_path, base, act) == ["D /deep", "C /e", "D /e/second", "D /f", "D /link"]


def test_a_directory_made_anew_is_opaque(tmp_path: os.PathLike[str], base: list[str]) -> None:
    def act(root: str) -> None:
        shutil.rmtree(f"{root}/d")
        os.mkdir(f"{root}/d")
        write(f"{root}/d/f1", "other")
        write(f"{root}/d/n")
        shutil.rmtree(f"{root}/emptied")
        os.mkdir(f"{root}/emptied")

    assert check(tmp_path, base, act) == [
        "C /d",
        "C /d/f1",
        "A /d/n",
        "D /d/sub",
        "C /emptied",
        "D /emptied/i",
    ]


def test_types_change(tmp_path: os.PathLike[str], base: list[str]) -> None:
    def act(root: str) -> None:
        shutil.rmtree(f"{root}/d")
        write(f"{root}/d", "a file now")
        os.unlink(f"{root}/f")
        os.mkdir(f"{root}/f")
        write(f"{root}/f/inner")
        os.unlink(f"{root}/link")
        os.mkdir(f"{root}/link")
        shutil.rmtree(f"{root}/deep/a")
        os.symlink("/etc", f"{root}/deep/a")

    found = check(tmp_path, base, act)
    assert found == ["C /d", "C /deep", "C /deep/a", "C /f", "A /f/inner", "C /link"]


def test_renames(tmp_path: os.PathLike[str], base: list[str]) -> None:
    def act(root: str) -> None:
        os.rename(f"{root}/f", f"{root}/etc/f")
        subprocess.run(["mv", f"{root}/deep", f"{root}/moved"], check=True)
        os.rename(f"{root}/second", f"{root}/keep/x")

    assert check(tmp_path, base, act) == [
        "D /deep",
        "C /etc",
        "A /etc/f",
        "D /f",
        "C /keep",
        "C /keep/x",
        "A /moved",
        "A /moved/a",
        "A /moved/a/b",
        "A /moved/a/b/z",
        "D /second",
    ]


def test_only_mode_owner_or_capability(tmp_path: os.PathLike[str], base: list[str]) -> None:
    def act(root: str) -> None:
        os.chmod(f"{root}/deep/a", 0o700)
        os.chown(f"{root}/keep/y", 7, 7)
        os.setxattr(f"{root}/f", "security.capability", b"\1\0\0\2" + b"\0\x20\0\0" + bytes(12))
        os.chmod(f"{root}/fifo", 0o600)

    found = check(tmp_path, base, act)
    assert found == ["C /deep", "C /deep/a", "C /f", "C /fifo", "C /keep", "C /keep/y"]


def test_an_attribute_is_kept_though_docker_does_not_list_it(
    tmp_path: os.PathLike[str], base: list[str]
) -> None:
    def act(root: str) -> None:
        os.setxattr(f"{root}/f", "trusted.note", b"x")

    assert check(tmp_path, base, act) == []


def test_a_file_opened_for_writing_but_not_changed(
    tmp_path: os.PathLike[str], base: list[str]
) -> None:
    def act(root: str) -> None:
        os.utime(f"{root}/f", ns=(10**18 + 1, 10**18 + 1))

    assert check(tmp_path, base, act) == []


def test_hard_links(tmp_path: os.PathLike[str], base: list[str]) -> None:
    def act(root: str) -> None:
        os.link(f"{root}/f", f"{root}/etc/f2")
        write(f"{root}/new1")
        os.link(f"{root}/new1", f"{root}/etc/new2")

    found = check(tmp_path, base, act)
    assert found == ["C /etc", "A /etc/f2", "A /etc/new2", "A /new1"]


def test_names_that_are_not_utf8(tmp_path: os.PathLike[str], base: list[str]) -> None:
    name = os.fsdecode(b"\xff\xfe")
    found = check(tmp_path, base, lambda root: write(f"{root}/{name}"))
    assert found == [f"A /{name}"]


def test_devices_fifos_and_sockets(tmp_path: os.PathLike[str], base: list[str]) -> None:
    def act(root: str) -> None:
        os.mknod(f"{root}/null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
        os.mkfifo(f"{root}/pipe")

    assert check(tmp_path, base, act) == ["A /null", "A /pipe"]
    with overlay(os.path.join(tmp_path, "socket"), base) as (merged, upper):
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(f"{merged}/s")
        assert [change.path for change in changes(upper, base)] == ["/s"]
        assert pack(upper) == bytes(1024), "a socket is nothing without its process"


@pytest.mark.parametrize("seed", range(8))
def test_anything(tmp_path: os.PathLike[str], base: list[str], seed: int) -> None:
    """Random changes on three layers, one after the other."""
    choose = random.Random(seed)

    def act(root: str) -> None:
        for step in range(40):
            names = [root + name for name in facts(root)]
            one, other = choose.choice(names), choose.choice(names)
            fresh = os.path.join(os.path.dirname(other), choose.choice("abcdef") * 3)
            action = choose.randrange(8)
            with contextlib.suppress(OSError):
                if action == 0:
                    shutil.rmtree(one) if os.path.isdir(one) else os.unlink(one)
                elif action == 1:
                    if os.path.isfile(fresh) or not os.path.lexists(fresh):
                        write(fresh, f"{seed} {step}")
                elif action in (2, 3):
                    os.mkdir(fresh)
                    write(f"{fresh}/inner")
                elif action == 4:
                    subprocess.run(["mv", "-T", one, fresh], check=False, capture_output=True)
                elif action == 5:
                    os.chmod(one, choose.choice([0o700, 0o755, 0o4711]))
                elif action == 6:
                    os.link(one, fresh, follow_symlinks=False)
                else:
                    os.symlink(os.path.basename(other), fresh)

    lowers = base
    for _ in range(3):
        check(tmp_path, lowers, act)
        newest = max(
            (entry for entry in os.scandir(tmp_path) if entry.name.startswith("layer")),
            key=lambda entry: int(entry.name[5:]),
        )
        lowers = [newest.path, *lowers]


def test_the_tarball_holds_what_docker_would_write(
    tmp_path: os.PathLike[str], base: list[str]
) -> None:
    with overlay(os.path.join(tmp_path, "x"), base) as (merged, upper):
        os.unlink(f"{merged}/f")
        shutil.rmtree(f"{merged}/d")
        os.mkdir(f"{merged}/d")
        write(f"{merged}/d/n")
        write(f"{merged}/deep/a/new")
    with tarfile.open(fileobj=io.BytesIO(pack(upper))) as tar:
        members = tar.getmembers()
    assert [member.name for member in members] == [
        "d",
        "d/.wh..wh..opq",
        "d/n",
        "deep",
        "deep/a",
        "deep/a/new",
        ".wh.f",
    ]
    assert not [m.name for m in members for key in m.pax_headers if "overlay" in key]


# ── a container that runs meanwhile ──────────────────────────────────────────────────────────


def test_what_vanishes_while_it_is_read_is_left_out(tmp_path: os.PathLike[str]) -> None:
    for name in "abc":
        os.mkdir(os.path.join(tmp_path, name))
        write(os.path.join(tmp_path, name, "large"), "x" * (1 << 20))
    pieces: list[bytes] = []

    def out(piece: bytes) -> None:
        if not pieces:
            shutil.rmtree(os.path.join(tmp_path, "b"))
        pieces.append(piece)

    write_layer(os.fspath(tmp_path), out)
    with tarfile.open(fileobj=io.BytesIO(b"".join(pieces))) as tar:
        assert tar.getnames() == ["a", "a/large", "c", "c/large"]


def test_no_link_leads_to_the_host(tmp_path: os.PathLike[str]) -> None:
    """A directory that becomes a link to the host's /etc while the layer is written."""
    upper = os.path.join(tmp_path, "upper")
    for name in "ab":
        os.makedirs(f"{upper}/{name}")
        write(f"{upper}/{name}/passwd", "x" * (1 << 20))
    pieces: list[bytes] = []

    def out(piece: bytes) -> None:
        if not pieces:
            os.rename(f"{upper}/b", os.path.join(tmp_path, "away"))
            os.symlink("/etc", f"{upper}/b")
        pieces.append(piece)

    with pytest.raises(MinidockError, match="changed while it was being read"):
        write_layer(upper, out)
    assert b"root:" not in b"".join(pieces)


def test_a_file_that_shrinks_is_an_error(tmp_path: os.PathLike[str]) -> None:
    path = os.path.join(tmp_path, "log")
    write(path, "x" * (3 << 20))
    with pytest.raises(MinidockError, match="became shorter"):
        write_layer(os.fspath(tmp_path), lambda piece: os.truncate(path, 10))


# ── what cannot be said in a layer ───────────────────────────────────────────────────────────


def test_names_of_marks_are_refused(tmp_path: os.PathLike[str]) -> None:
    write(os.path.join(tmp_path, ".wh.passwd"))
    with pytest.raises(MinidockError, match=r"\.wh\."):
        pack(os.fspath(tmp_path))


def test_redirected_directories_are_refused(tmp_path: os.PathLike[str]) -> None:
    os.mkdir(os.path.join(tmp_path, "d"))
    os.setxattr(os.path.join(tmp_path, "d"), "trusted.overlay.redirect", b"/other")
    with pytest.raises(MinidockError, match=r"trusted\.overlay\.redirect"):
        pack(os.fspath(tmp_path))


def test_trees_too_deep_for_a_layer(tmp_path: os.PathLike[str]) -> None:
    os.makedirs(os.path.join(tmp_path, "upper", *["d"] * 400))
    upper = os.path.join(tmp_path, "upper")
    for look in (pack, lambda root: changes(root, [])):
        with pytest.raises(MinidockError, match="directories deep"):
            look(upper)


def test_content_and_pieces(tmp_path: os.PathLike[str]) -> None:
    for number in range(50):
        write(os.path.join(tmp_path, f"small{number}"), "x" * number)
    write(os.path.join(tmp_path, "large"), "y" * 3_000_000)
    os.link(os.path.join(tmp_path, "large"), os.path.join(tmp_path, "linked"))
    pieces: list[bytes] = []
    content = write_layer(os.fspath(tmp_path), pieces.append)
    assert content == 3_000_000 + sum(range(50))
    assert max(map(len, pieces)) <= 1 << 20
    assert len(pieces) < 10
    assert len(b"".join(pieces)) % 512 == 0


def test_importing_it_is_cheap() -> None:
    code = (
        "import sys; before = set(sys.modules); import minidock.image.diff, minidock.image.unpack\n"
    )
    code += "print(*set(sys.modules) - before)"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    heavy = {"typing", "enum", "re", "dataclasses", "tarfile", "shutil", "signal", "pathlib"}
    assert heavy & set(done.stdout.split()) == set()
