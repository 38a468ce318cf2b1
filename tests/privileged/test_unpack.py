"""Unpacking: what a layer says is what lies in the directory afterwards."""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import stat
import struct
import subprocess
import sys
import threading

import pytest

from minidock.errors import BadArchive, MinidockError
from minidock.image.pack import write_layer
from minidock.image.tar_write import END_OF_ARCHIVE, encode_header
from minidock.image.unpack import unpack_layer

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="unpacking needs root: chroot, mknod")

# cap_net_raw=ep, as setcap(8) stores it: VFS_CAP_REVISION_2
CAPABILITY = struct.pack("<IIIII", 0x02000001, 1 << 13, 0, 0, 0)
Tree = dict[bytes, tuple[object, ...]]


def tree(root: str | os.PathLike[str]) -> Tree:
    """All that can be said about every file below `root`."""
    found: Tree = {}
    inodes: dict[int, bytes] = {}
    top = os.fsencode(root)
    for directory, names, files in os.walk(top):
        names.sort()
        for base in sorted(names + files):
            path = os.path.join(directory, base)
            name = os.path.relpath(path, top)
            status = os.lstat(path)
            content: object = None
            if stat.S_ISREG(status.st_mode):
                with open(path, "rb") as file:
                    content = hashlib.sha256(file.read()).hexdigest()
            elif stat.S_ISLNK(status.st_mode):
                content = os.readlink(path)
            first = name
            if not stat.S_ISDIR(status.st_mode):
                first = inodes.setdefault(status.st_ino, name)
            xattrs = {
                key: os.getxattr(path, key, follow_symlinks=False)
                for key in os.listxattr(path, follow_symlinks=False)
            }
            found[name] = (
                oct(status.st_mode),
                status.st_uid,
                status.st_gid,
                status.st_rdev,
                status.st_mtime_ns,
                content,
                first,
                xattrs,
            )
    return found


def make_everything(root: str) -> None:
    """A tree with one of each thing a layer must keep."""

    def path(name: str | bytes) -> bytes:
        return os.path.join(os.fsencode(root), os.fsencode(name))

    def write(name: str | bytes, data: bytes, mode: int = 0o644) -> None:
        with open(path(name), "wb") as file:
            file.write(data)
        os.chmod(path(name), mode)

    os.makedirs(path("bin"))
    os.makedirs(path("empty/inner"))
    write("bin/su", b"#!", 0o4755)
    write("bin/crontab", b"#!", 0o2755)
    write("bin/ping", b"#!", 0o755)
    os.setxattr(path("bin/ping"), "security.capability", CAPABILITY)
    write("owned", b"x", 0o6750)
    os.chown(path("owned"), 1234, 4_000_000_000)
    os.chmod(path("owned"), 0o6750)
    write(b"not-utf8-\xff\xfe", b"bytes")
    write("unreadable", b"secret", 0o000)
    write("empty file", b"")
    deep = "deep/" + "d" * 200 + "/" + "e" * 200
    os.makedirs(path(deep))
    write(deep + "/" + "f" * 255, b"300 bytes and more")
    os.link(path(deep + "/" + "f" * 255), path("second name"))
    os.symlink(b"target\xff/" + b"t" * 300, path("link"))
    os.lchown(path("link"), 5, 6)
    os.link(path("link"), path("second link"), follow_symlinks=False)
    os.mkfifo(path("fifo"), 0o620)
    os.mknod(path("null"), stat.S_IFCHR | 0o666, os.makedev(1, 3))
    os.mknod(path("disk"), stat.S_IFBLK | 0o660, os.makedev(259, 70_000))
    os.chmod(path("null"), 0o666)
    os.mkdir(path("tmp"))
    os.chmod(path("tmp"), 0o1777)
    os.mkdir(path("mail"))
    os.chown(path("mail"), 8, 8)
    os.chmod(path("mail"), 0o2775)
    write("mail/box", b"belongs to root, not to mail's group")
    os.chown(path("mail/box"), 0, 0)
    os.setxattr(path("mail/box"), "trusted.x", b"")
    os.setxattr(path("mail"), "trusted.note", b"\0bytes\n=")
    write("old", b"from 1969")
    for moment, name in enumerate(sorted(tree(root), reverse=True)):
        when = 1_600_000_000_000_000_001 + moment * 1_000_000_007
        os.utime(path(name), ns=(when, when), follow_symlinks=False)
    os.utime(path("old"), ns=(0, -1_500_000_000))


def unpack(archive: bytes, target: os.PathLike[str] | str, **options: bool) -> str:
    os.makedirs(target, exist_ok=True)
    unpack_layer(io.BytesIO(archive), os.fspath(target), **options)
    return os.fspath(target)


def pack(root: str) -> bytes:
    pieces: list[bytes] = []
    write_layer(root, pieces.append)
    return b"".join(pieces)


def test_directory_to_layer_to_directory(tmp_path: os.PathLike[str]) -> None:
    before = os.path.join(tmp_path, "before")
    make_everything(before)
    archive = pack(before)
    after = unpack(archive, os.path.join(tmp_path, "after"))
    assert tree(after) == tree(before)
    assert pack(after) == archive, "the same tree gives the same bytes"


def test_gnu_tar_reads_what_we_write(tmp_path: os.PathLike[str]) -> None:
    if not shutil.which("tar"):
        pytest.skip("tar is not installed")
    before, after = os.path.join(tmp_path, "before"), os.path.join(tmp_path, "after")
    make_everything(before)
    os.mkdir(after)
    command = ["tar", "-xpf", "-", "-C", after, "--numeric-owner", "--xattrs-include=*"]
    subprocess.run(command, input=pack(before), check=True)
    assert tree(after) == tree(before)


@pytest.mark.parametrize("form", ["gnu", "posix"])
def test_we_read_what_gnu_tar_writes(tmp_path: os.PathLike[str], form: str) -> None:
    if not shutil.which("tar"):
        pytest.skip("tar is not installed")
    before = os.path.join(tmp_path, "before")
    make_everything(before)
    more = ["--xattrs", "--xattrs-include=*"] if form == "posix" else []
    command = ["tar", f"--format={form}", *more, "-C", before, "-cf", "-", "."]
    archive = subprocess.run(command, check=True, capture_output=True).stdout
    after = unpack(archive, os.path.join(tmp_path, "after"))
    wanted = tree(before)
    if form == "gnu":  # that format has no nanoseconds and no attributes
        wanted = {
            n: (*e[:4], int(str(e[4])) // 10**9 * 10**9, *e[5:7], {}) for n, e in wanted.items()
        }
    found = tree(after)
    assert found.keys() == wanted.keys()
    for name, entry in wanted.items():
        assert found[name] == entry, name


def test_a_descriptor_a_pipe_and_an_object_give_the_same(tmp_path: os.PathLike[str]) -> None:
    before = os.path.join(tmp_path, "before")
    make_everything(before)
    with open(os.path.join(before, "large"), "wb") as file:
        file.write(os.urandom(3_000_001))
    archive = pack(before)
    plain = os.path.join(tmp_path, "plain.tar")
    with open(plain, "wb") as file:
        file.write(archive)
    wanted = tree(before)

    by_file = os.path.join(tmp_path, "by-file")
    os.mkdir(by_file)
    with open(plain, "rb") as file:
        unpack_layer(file.fileno(), by_file)
    assert tree(by_file) == wanted

    # A reader that says what has been read, while the bytes come from the file.
    by_map = os.path.join(tmp_path, "by-map")
    os.mkdir(by_map)
    with open(plain, "rb") as file:
        blank = io.BytesIO(bytes(len(archive)))
        unpack_layer(blank, by_map, stored=file.fileno())
    assert tree(by_map) == wanted

    # A thread of this very process feeds the pipe: the child must not hold its other end.
    by_pipe = os.path.join(tmp_path, "by-pipe")
    os.mkdir(by_pipe)
    reading, writing = os.pipe()
    with open(writing, "wb") as sink:
        thread = threading.Thread(target=lambda: (sink.write(archive), sink.close()))
        thread.start()
        unpack_layer(reading, by_pipe)
        thread.join()
    os.close(reading)
    assert tree(by_pipe) == wanted


def test_it_opens_no_file_it_has_not_made(tmp_path: os.PathLike[str]) -> None:
    """Behind chroot no library, codec or locale may be loaded: they would be the image's."""
    if not shutil.which("strace"):
        pytest.skip("strace is not installed")
    before = os.path.join(tmp_path, "before")
    make_everything(before)
    with open(os.path.join(tmp_path, "layer.tar"), "wb") as file:
        write_layer(before, file.write)
        file.seek(-1024, os.SEEK_END)
        file.write(encode_header(b"\xff\x1b/../../up", b"0", mode=0))
    code = (
        "import os; from minidock.image.unpack import unpack_layer\n"
        "from minidock.errors import BadArchive\n"
        "try: unpack_layer(os.open('layer.tar', os.O_RDONLY), 'after')\n"
        "except BadArchive as error: print(error)"
    )
    os.mkdir(os.path.join(tmp_path, "after"))
    project = os.path.dirname(os.path.dirname(os.path.dirname(__file__)))
    environment = {**os.environ, "PYTHONPATH": project, "LC_ALL": "de_DE.UTF-8"}
    command = ["strace", "-f", "-o", "trace", "-e", "trace=open,openat,openat2,execve,chroot"]
    done = subprocess.run(
        [*command, sys.executable, "-c", code],
        cwd=tmp_path,
        env=environment,
        check=True,
        capture_output=True,
    )
    assert b"leads out" in done.stdout
    with open(os.path.join(tmp_path, "trace"), encoding="utf-8", errors="replace") as trace:
        lines = trace.read().splitlines()
    start = next(i for i, line in enumerate(lines) if "chroot(" in line)
    child = lines[start].split()[0]
    opened = [line for line in lines[start + 1 :] if line.startswith(child) and "open" in line]
    assert len(opened) > 5
    assert [line for line in opened if "O_EXCL" not in line and "O_DIRECTORY" not in line] == []
    assert [line for line in opened if "O_NOFOLLOW" not in line] == []


def test_access_control_lists(tmp_path: os.PathLike[str]) -> None:
    """They are attributes to us. A default one must not rub off on what is made below it."""
    before = os.path.join(tmp_path, "before")
    os.makedirs(os.path.join(before, "d"))
    entries = [(1, 6, -1), (2, 4, 1000), (4, 4, -1), (16, 4, -1), (32, 0, -1)]
    acl = struct.pack("<I", 2) + b"".join(struct.pack("<HHi", *entry) for entry in entries)
    with open(os.path.join(before, "d", "plain"), "w") as file:
        os.fchmod(file.fileno(), 0o666)
    try:
        os.setxattr(os.path.join(before, "d"), "system.posix_acl_default", acl)
    except OSError as error:
        pytest.skip(f"this filesystem has no ACLs: {error}")
    with open(os.path.join(before, "file"), "w") as file:
        os.setxattr(file.fileno(), "system.posix_acl_access", acl)
    after = unpack(pack(before), os.path.join(tmp_path, "after"))
    assert tree(after) == tree(before)
    assert "system.posix_acl_access" in os.listxattr(os.path.join(after, "file"))


# ── sparse files ─────────────────────────────────────────────────────────────────────────────


def make_sparse(path: str, size: int = 20 << 20) -> None:
    with open(path, "wb") as file:
        file.write(b"start")
        file.seek(size // 2)
        file.write(b"middle")
        file.truncate(size)


@pytest.mark.parametrize("version", ["gnu", "0.0", "0.1", "1.0"])
def test_sparse_entries_stay_sparse(tmp_path: os.PathLike[str], version: str) -> None:
    if not shutil.which("tar"):
        pytest.skip("tar is not installed")
    before = os.path.join(tmp_path, "before")
    os.mkdir(before)
    make_sparse(os.path.join(before, "sparse"))
    form = (
        ["--format=gnu"] if version == "gnu" else ["--format=posix", f"--sparse-version={version}"]
    )
    command = ["tar", "--sparse", *form, "-C", before, "-cf", "-", "sparse"]
    archive = subprocess.run(command, check=True, capture_output=True).stdout
    after = unpack(archive, os.path.join(tmp_path, "after"))
    status = os.stat(os.path.join(after, "sparse"))
    assert tree(after)[b"sparse"][5] == tree(before)[b"sparse"][5]
    assert status.st_blocks * 512 < 100_000


def test_holes_survive_a_layer_that_stores_zeros(tmp_path: os.PathLike[str]) -> None:
    before = os.path.join(tmp_path, "before")
    os.mkdir(before)
    make_sparse(os.path.join(before, "sparse"))
    with open(os.path.join(before, "holes"), "wb") as file:
        for block in range(100):  # every second block of 4096 a hole, at every alignment
            file.seek(block * 8192)
            file.write(b"x" * 4096)
        file.truncate(100 * 8192 + 77)
    archive = pack(before)
    assert len(archive) > 20 << 20, "Docker could not push a layer with GNU sparse entries"
    after = unpack(archive, os.path.join(tmp_path, "after"))
    assert tree(after) == tree(before)
    for name in ("sparse", "holes"):
        was, is_ = (os.stat(os.path.join(where, name)) for where in (before, after))
        assert is_.st_blocks == was.st_blocks, name
        assert is_.st_blocks * 512 < is_.st_size


def test_huge_holes_are_stored_as_a_map(tmp_path: os.PathLike[str]) -> None:
    before = os.path.join(tmp_path, "before")
    os.mkdir(before)
    lastlog = os.path.join(before, "lastlog")
    make_sparse(lastlog, 300 << 30)  # 300 GB, as of a user with a high id
    archive = pack(before)
    assert len(archive) < 100_000
    after = unpack(archive, os.path.join(tmp_path, "after"))
    copy = os.path.join(after, "lastlog")
    assert os.stat(copy).st_size == 300 << 30
    assert os.stat(copy).st_blocks == os.stat(lastlog).st_blocks
    with open(copy, "rb") as file:
        file.seek(150 << 30)
        assert file.read(6) == b"middle"
    if shutil.which("tar"):
        judge = os.path.join(tmp_path, "judge")
        os.mkdir(judge)
        subprocess.run(["tar", "-xf", "-", "-C", judge], input=archive, check=True)
        subprocess.run(["cmp", "-n", "100000", copy, os.path.join(judge, "lastlog")], check=True)
        assert os.stat(os.path.join(judge, "lastlog")).st_size == 300 << 30


# ── whiteouts ────────────────────────────────────────────────────────────────────────────────


def entries(*items: tuple[bytes, bytes] | tuple[bytes, bytes, bytes]) -> bytes:
    """An archive of (name, type) or (name, type, link target or content)."""
    parts = []
    for name, kind, *rest in items:
        text = rest[0] if rest else b""
        if kind == b"0":
            parts.append(encode_header(name, kind, mode=0o644, size=len(text)))
            parts.append(text + bytes(-len(text) % 512))
        else:
            parts.append(encode_header(name, kind, mode=0o755, linkname=text))
    return b"".join(parts) + END_OF_ARCHIVE


def is_mark(path: str) -> bool:
    status = os.lstat(path)
    return stat.S_ISCHR(status.st_mode) and status.st_rdev == 0


def opaque(path: str) -> bool:
    return "trusted.overlay.opaque" in os.listxattr(path)


def test_whiteouts_take_the_form_of_overlayfs(tmp_path: os.PathLike[str]) -> None:
    root = unpack(
        entries(
            (b"d", b"5"),
            (b"d/.wh.gone", b"0"),
            (b"d/sub", b"5"),
            (b"d/sub/.wh..wh..opq", b"0"),
            (b"implied/.wh.gone", b"0"),
            (b".wh..wh.aufs", b"0"),
            (b".wh..wh.plnk", b"5"),
            (b".wh..wh.plnk/1.2", b"0", b"content"),
        ),
        os.path.join(tmp_path, "x"),
    )
    assert sorted(tree(root)) == [b"d", b"d/gone", b"d/sub", b"implied", b"implied/gone"]
    assert is_mark(f"{root}/d/gone")
    assert is_mark(f"{root}/implied/gone")
    assert opaque(f"{root}/d/sub")
    assert not opaque(f"{root}/d")


def test_without_conversion_they_are_files(tmp_path: os.PathLike[str]) -> None:
    root = unpack(entries((b".wh.x", b"0")), os.path.join(tmp_path, "x"), overlay_whiteouts=False)
    assert list(tree(root)) == [b".wh.x"]


@pytest.mark.parametrize("order", [1, -1])
def test_a_whiteout_hides_nothing_of_its_own_layer(tmp_path: os.PathLike[str], order: int) -> None:
    items = [(b".wh.file", b"0"), (b"file", b"0", b"mine"), (b".wh.dir", b"0"), (b"dir", b"5")]
    items += [(b"dir/.wh..wh..opq", b"0")] if order < 0 else []
    root = unpack(entries(*items[::order]), os.path.join(tmp_path, "x"))
    with open(f"{root}/file", "rb") as file:
        assert file.read() == b"mine"
    assert opaque(f"{root}/dir"), "the deleted directory would shine through"


def test_the_mark_of_overlayfs_itself_is_kept(tmp_path: os.PathLike[str]) -> None:
    root = unpack(entries((b"gone", b"3")), os.path.join(tmp_path, "x"))
    assert is_mark(f"{root}/gone")


# ── odd but legal ────────────────────────────────────────────────────────────────────────────


def test_the_root_entry_is_left_alone(tmp_path: os.PathLike[str]) -> None:
    target = os.path.join(tmp_path, "x")
    os.mkdir(target, 0o755)
    archive = encode_header(b"./", b"5", mode=0o700, uid=7) + END_OF_ARCHIVE
    unpack(archive, target)
    assert (os.stat(target).st_mode & 0o777, os.stat(target).st_uid) == (0o755, 0)


def test_absolute_and_dotted_names_land_inside(tmp_path: os.PathLike[str]) -> None:
    items = [(b"/abs", b"0"), (b"./rel", b"0"), (b"a//b/../c", b"0"), (b"a/./d/", b"5")]
    root = unpack(entries(*items), os.path.join(tmp_path, "x"))
    assert sorted(tree(root)) == [b"a", b"a/c", b"a/d", b"abs", b"rel"]


def test_the_last_of_two_entries_wins(tmp_path: os.PathLike[str]) -> None:
    root = unpack(
        entries(
            (b"f", b"0", b"one"),
            (b"g", b"1", b"f"),
            (b"f", b"0", b"two"),
            (b"dir", b"5"),
            (b"dir/x/y", b"0"),
            (b"dir", b"0", b"now a file"),
            (b"file", b"0"),
            (b"file", b"5"),
            (b"file/inner", b"0"),
            (b"merged", b"5"),
            (b"merged/kept", b"0"),
            (b"merged", b"5"),
            (b"link", b"2", b"merged"),
            (b"link", b"5"),
            (b"link/own", b"0"),
        ),
        os.path.join(tmp_path, "x"),
    )
    names = [b"dir", b"f", b"file", b"file/inner", b"g", b"link", b"link/own", b"merged"]
    assert sorted(tree(root)) == [*names, b"merged/kept"]
    with open(f"{root}/f", "rb") as f, open(f"{root}/g", "rb") as g:
        assert (f.read(), g.read()) == (b"two", b"one"), "a second f is a new file"


def test_relative_links_inside_are_followed(tmp_path: os.PathLike[str]) -> None:
    # usrmerge: what tools that concatenate packages produce, and Docker unpacks.
    root = unpack(
        entries(
            (b"usr/lib", b"5"),
            (b"lib", b"2", b"usr/lib"),
            (b"lib/libc.so", b"0", b"elf"),
            (b"hard", b"1", b"lib/libc.so"),
            (b"usr/up", b"2", b"../lib/."),
            (b"usr/up/ld.so", b"0"),
        ),
        os.path.join(tmp_path, "x"),
    )
    assert {b"usr/lib/libc.so", b"usr/lib/ld.so", b"hard"} < set(tree(root))


def test_a_directory_of_another_group_passes_nothing_on(tmp_path: os.PathLike[str]) -> None:
    target = os.path.join(tmp_path, "x")
    os.mkdir(target)
    os.chown(target, 0, 50)
    os.chmod(target, 0o2755)
    unpack(entries((b"f", b"0"), (b"d/f", b"0")), target)
    assert {entry[2] for entry in tree(target).values()} == {0}


# ── the machine fails ────────────────────────────────────────────────────────────────────────


def test_a_target_that_is_not_empty_is_refused(tmp_path: os.PathLike[str]) -> None:
    os.mkdir(os.path.join(tmp_path, "something"))
    with pytest.raises(MinidockError, match="not empty"):
        unpack(entries(), tmp_path)


def test_a_full_disk_is_one_clear_error(tmp_path: os.PathLike[str]) -> None:
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "t", tmp_path], check=True)
    try:
        with pytest.raises(MinidockError, match="No space left on device") as caught:
            unpack(entries((b"large", b"0", os.urandom(2 << 20))), tmp_path)
        assert not isinstance(caught.value, BadArchive)
        assert "large" in caught.value.message
    finally:
        subprocess.run(["umount", tmp_path], check=True)


def test_a_stream_that_fails_leaves_no_child(tmp_path: os.PathLike[str]) -> None:
    class Broken(io.RawIOBase):
        def read(self, size: int = -1) -> bytes:
            raise BadArchive("not in gzip format")

    with pytest.raises(BadArchive, match="gzip"):
        unpack_layer(Broken(), os.fspath(tmp_path))  # type: ignore[arg-type]
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)


def test_a_child_that_is_killed_is_noticed(tmp_path: os.PathLike[str]) -> None:
    class Killer(io.RawIOBase):
        def read(self, size: int = -1) -> bytes:
            with open(f"/proc/self/task/{threading.get_native_id()}/children") as children:
                os.kill(int(children.read().split()[-1]), 9)
            return b""

    with pytest.raises(MinidockError, match="killed by signal 9"):
        unpack_layer(Killer(), os.fspath(tmp_path))  # type: ignore[arg-type]
