"""`cp` beside Docker's: what arrives where, under which name, with which mode and owner, and what
is said where nothing can arrive. Every case has its own directory, in the container and outside.

In two things minidock is not as Docker, and the cases keep away from them; they are tested in
tests/privileged/test_cp.py. A link that leads out of what is copied (`../x`) is a link like others,
where Docker's client refuses to make it. And `-a` keeps owners on the way out of a container, as
its help says; Docker forgets them.
"""

from __future__ import annotations

import io
import os
import re
import shlex
import stat
import tarfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., Any]
IMAGE = "copying"
WHEN = 1_500_000_000

# What lies in every case's directory, in the container (below /N) and on the host.
TREE = {
    "file": (0o640, 1000, 1001, b"some text"),
    "empty": (0o4755, 0, 0, b""),
    "dir": (0o750, 1000, 1000, None),
    "dir/a": (0o600, 33, 33, b"aa"),
    "dir/run": (0o755, 0, 0, b"#!/bin/sh\n"),
    "dir/sub": (0o1777, 0, 0, None),
    "dir/sub/b": (0o644, 0, 0, b"bbb"),
    "dir/link": (0o777, 0, 0, "a"),
    "bare": (0o700, 0, 0, None),
    "lfile": (0o777, 0, 0, "file"),
    "ldir": (0o777, 0, 0, "dir"),
    "lnone": (0o777, 0, 0, "nowhere"),
    "there": (0o700, 0, 0, None),
    "there/file": (0o600, 7, 7, b"old"),
    "there/dir": (0o700, 7, 7, None),
    "there/dir/old": (0o600, 7, 7, b"old"),
    "thatfile": (0o600, 7, 7, b"old content"),
    "lthere": (0o777, 0, 0, "there"),
    "lthatfile": (0o777, 0, 0, "thatfile"),
    "clash": (0o700, 0, 0, None),
    "clash/file": (0o700, 0, 0, None),
    "clash/dir": (0o600, 0, 0, b"a file"),
}

# {c} is the container's directory of the case ("/7"), {h} the host's.
FROM = """
    box:{c}/file {h}/new                   box:{c}/file {h}/new/
    box:{c}/file {h}                       box:{c}/file {h}/.
    box:{c}/file {h}/thatfile              box:{c}/file {h}/thatfile/
    box:{c}/file {h}/lthere                box:{c}/file {h}/lthatfile
    box:{c}/file {h}/lnone                 box:{c}/file {h}/none/new
    box:{c}/file/ {h}/new                  box:{c}/file/. {h}/new
    box:{c}/file {h}/clash                 box:{c}/empty {h}/new
    box:{c}/dir {h}/new                    box:{c}/dir {h}/new/
    box:{c}/dir {h}/there/                 box:{c}/dir/ {h}/there
    box:{c}/dir/. {h}/there                box:{c}/dir/. {h}/new
    box:{c}/dir {h}/thatfile               box:{c}/dir {h}/clash
    box:{c}/bare {h}/new                   box:{c}/lfile {h}/new
    box:{c}/lfile {h}/thatfile             box:{c}/ldir {h}/there
    box:{c}/ldir/ {h}/new                  box:{c}/ldir/. {h}/there
    box:{c}/ldir/ {h}/there                box:{c}/ldir/a {h}/new
    box:{c}/lnone {h}/new                  -L box:{c}/lfile {h}/new
    -L box:{c}/lfile {h}/there             -L box:{c}/ldir {h}/there
    -L box:{c}/ldir/. {h}/there            -L box:{c}/lnone {h}/new
    box:{c}/none/new {h}/new               box:{c}/../..{c}/file {h}/new
    box:{c}/dir/sub/.. {h}/new             none:{c}/file {h}/new
    box: {h}/new
"""
TO = """
    {h}/file box:{c}/new                   {h}/file box:{c}/new/
    {h}/file box:{c}                       {h}/file box:{c}/.
    {h}/file box:{c}/thatfile              {h}/file box:{c}/thatfile/
    {h}/file box:{c}/lthere                {h}/file box:{c}/lthatfile
    {h}/file box:{c}/lnone                 {h}/file box:{c}/none/new
    {h}/file/ box:{c}/new                  {h}/file/. box:{c}/new
    {h}/file box:{c}/clash                 {h}/empty box:{c}/new
    {h}/dir box:{c}/new                    {h}/dir box:{c}/new/
    {h}/dir box:{c}/there/                 {h}/dir/ box:{c}/there
    {h}/dir/. box:{c}/there                {h}/dir/. box:{c}/new
    {h}/dir box:{c}/thatfile               {h}/dir box:{c}/clash
    {h}/bare box:{c}/new                   {h}/lfile box:{c}/new
    {h}/lfile box:{c}/thatfile             {h}/ldir box:{c}/there
    {h}/ldir/ box:{c}/new                  {h}/ldir/. box:{c}/there
    {h}/ldir/ box:{c}/there                {h}/ldir/a box:{c}/new
    {h}/lnone box:{c}/new                  -L {h}/lfile box:{c}/new
    -L {h}/lfile box:{c}/there             -L {h}/ldir box:{c}/there
    -L {h}/ldir/. box:{c}/there            -L {h}/lnone box:{c}/new
    -aq {h}/dir box:{c}/new                {h}/none/new box:{c}/new
    {h}/file none:{c}/new                  {h}/file box:
    {h}/file box:none                      {h}/file {h}/new
    box:{c}/file box:{c}/new               "" box:{c}/new
    {h}/file ""                            {h}/file box:{c}/../..{c}/new
    {h}/file
"""
STREAMED = """
    box:{c}/file -          box:{c}/dir -           box:{c}/dir/ -        box:{c}/dir/. -
    box:{c}/lfile -         box:{c}/ldir -          box:{c}/ldir/ -       -L box:{c}/lfile -
    -L box:{c}/ldir -       box:{c}/none -          box:{c}/lnone -       -a box:{c}/dir -
    box:{c}/dir/sub/.. -
"""


def cases(text: str) -> list[str]:
    return [
        case for line in text.splitlines() for case in re.split(r"\s{2,}", line.strip()) if case
    ]


def entry(name: str, about: tuple[int, int, int, Any]) -> tuple[tarfile.TarInfo, bytes]:
    mode, uid, gid, content = about
    found = tarfile.TarInfo(name)
    found.mode, found.uid, found.gid, found.mtime = mode, uid, gid, WHEN
    if content is None:
        found.type = tarfile.DIRTYPE
    elif isinstance(content, str):
        found.type, found.linkname = tarfile.SYMTYPE, content
    data = content if isinstance(content, bytes) else b""
    found.size = len(data)
    return found, data


def image_tarball(count: int) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for number in range(count):
            tar.addfile(entry(str(number), (0o755, 0, 0, None))[0])
            for name, about in TREE.items():
                found, data = entry(f"{number}/{name}", about)
                tar.addfile(found, io.BytesIO(data))
    return buffer.getvalue()


def make_tree(top: Path) -> None:
    top.mkdir(mode=0o755)
    for name, (mode, uid, gid, content) in TREE.items():
        path = top / name
        if content is None:
            path.mkdir()
        elif isinstance(content, str):
            path.symlink_to(content)
        else:
            path.write_bytes(content)
        os.chown(path, uid, gid, follow_symlinks=False)
        if not isinstance(content, str):
            path.chmod(mode)
        os.utime(path, (WHEN, WHEN), follow_symlinks=False)


def tree_on_disk(top: Path) -> dict[str, object]:
    """What lies there. Times of directories depend on who made what in them when."""
    found: dict[str, object] = {}
    for path in sorted(top.rglob("*")):
        status = path.lstat()
        mode = stat.S_IMODE(status.st_mode)
        about = (mode, status.st_uid, status.st_gid)
        name = str(path.relative_to(top))
        if path.is_symlink():
            found[name] = (*about, os.readlink(path), int(status.st_mtime))
        elif path.is_dir():
            found[name] = (*about, "directory")
        else:
            found[name] = (*about, path.read_bytes(), int(status.st_mtime))
    return found


def tree_in_tar(data: bytes, *, strip: bool = True) -> dict[str, dict[str, object]]:
    """By case, what an exported archive has; or with its names as they are."""
    found: dict[str, dict[str, object]] = {}
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        for member in tar:
            case, _, name = member.name.partition("/") if strip else ("", "", member.name)
            about: tuple[object, ...] = (stat.S_IMODE(member.mode), member.uid, member.gid)
            if member.issym():
                about += (member.linkname, int(member.mtime))
            elif member.isdir():
                about += ("directory",)
            else:
                content = tar.extractfile(member)
                about += (content.read() if content else member.linkname, int(member.mtime))
            found.setdefault(case, {})[name] = about
    return found


def told(text: str) -> str:
    """What an engine of another age and another place says differently."""
    text = re.sub(r"[0-9a-f]{64}", "<id>", text).replace("docker", "minidock")
    text = re.sub(r"time=.*? level=error msg=.*?\n", "", text)
    text = re.sub(r"\S+/overlay2/<id>/merged", "", text)
    text = text.replace("Error processing tar file(exit status 1): ", "")
    return text.replace("pathcannot", "path cannot")


class Side:
    """One of the two, with a container `box` that has the tree once for every case."""

    def __init__(self, run: Run, home: Path, count: int, *options: str) -> None:
        self.run = run
        self.home = home
        home.mkdir()
        done = run("import", "-", IMAGE, stdin=image_tarball(count))
        assert done.returncode == 0, done.stderr
        argv = ("create", "--network", "none", "--name", "box", *options, IMAGE, "true")
        done = run(*argv)
        assert done.returncode == 0, done.stderr

    def copy(self, number: int, case: str, stdin: bytes = b"") -> tuple[int, str, str]:
        here = self.home / str(number)
        if not here.exists():
            make_tree(here)
        line = case.format(c=f"/{number}", h=here)
        done = self.run("cp", *shlex.split(line), stdin=stdin)
        return done.returncode, done.stdout, told(done.stderr.replace(str(self.home), "HOME"))

    def exported(self) -> dict[str, dict[str, object]]:
        path = self.home / "exported.tar"
        assert self.run("export", "-o", str(path), "box").returncode == 0
        return tree_in_tar(path.read_bytes())

    def close(self) -> None:
        self.run("rm", "-f", "box")
        self.run("rmi", IMAGE)


@pytest.fixture
def sides(docker_engine: Run, minidock: Any, tmp_path: Path) -> Iterator[Callable[..., list[Side]]]:
    """Docker's and ours."""
    made: list[Side] = []
    before = os.umask(0o022)

    def make(count: int, *options: str) -> list[Side]:
        for run, name in ((docker_engine, "docker"), (minidock, "minidock")):
            made.append(Side(run, tmp_path / name, count, *options))
        return made

    yield make
    for side in made:
        side.close()
    os.umask(before)


@pytest.mark.parametrize("text", [FROM, TO], ids=["from", "to"])
def test_the_table(sides: Callable[..., list[Side]], text: str) -> None:
    table = cases(text)
    both = sides(len(table))
    with ThreadPoolExecutor(2) as pool:  # both at the same time
        said = list(pool.map(lambda side: list(map(side.copy, range(len(table)), table)), both))
    inside = [side.exported() for side in both]
    for number, case in enumerate(table):
        about = f"case {number}: cp {case}"
        assert said[1][number] == said[0][number], about
        outside = [tree_on_disk(side.home / str(number)) for side in both]
        assert outside[1] == outside[0], about
        assert inside[1][str(number)] == inside[0][str(number)], about


def test_a_tar_on_standard_output(sides: Callable[..., list[Side]]) -> None:
    table = cases(STREAMED)
    both = sides(len(table))
    for number, case in enumerate(table):
        theirs, ours = (side.copy(number, case) for side in both)
        assert ours[::2] == theirs[::2], case
        trees = [
            tree_in_tar(out.encode(), strip=False) if out else {} for out in (theirs[1], ours[1])
        ]
        assert trees[1] == trees[0], case


def packed(form: str, *names: str) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=f"w:{form}") as tar:
        for name in names:
            about = (0o755, 5, 6, None) if name.endswith("/") else (0o640, 5, 6, name.encode())
            found, data = entry(name, about)
            tar.addfile(found, io.BytesIO(data))
    return buffer.getvalue()


INCOMING = [
    ("- box:{c}/there", packed("", "file", "new/deep/file", "dir/old")),
    ("- box:{c}/there/", packed("gz", "new/", "new/file")),
    ("- box:{c}", packed("xz", "./file", "/there/file")),
    ("- box:{c}/lthere", packed("bz2", "ldir/file", "file")),
    ("- box:{c}", packed("", "ldir/file", "lthere/dir/old")),  # through links that are there
    ("- box:{c}/new", packed("", "file")),
    ("- box:{c}/file", packed("", "file")),
    ("- box:{c}/clash", packed("", "file")),
    ("- box:{c}/clash", packed("", "dir/")),
    ("- box:{c}/there", b""),
    ("-a - box:{c}/there", packed("", "file")),
]


def test_a_tar_on_standard_input(sides: Callable[..., list[Side]]) -> None:
    both = sides(len(INCOMING))
    for number, (case, data) in enumerate(INCOMING):
        theirs, ours = (side.copy(number, case, stdin=data) for side in both)
        assert ours == theirs, case
    inside = [side.exported() for side in both]
    for number, (case, _) in enumerate(INCOMING):
        assert inside[1][str(number)] == inside[0][str(number)], case


@pytest.mark.parametrize(
    ("options", "case"),
    [
        (("--user", "nobody-here"), "-a {h}/file box:{c}/new"),
        (("--user", "nobody-here"), "{h}/file box:{c}/new"),
        (("--read-only",), "{h}/file box:{c}/new"),
        (("--read-only",), "box:{c}/file {h}/new"),
        (("--read-only", "-v", "{h}:/data"), "{h}/dir box:/data/there"),
        (("-v", "{h}:/data:ro"), "{h}/dir box:/data/there"),
        (("-v", "{h}:/data:ro"), "box:/data/dir {h}/there"),
        (("-v", "{h}/dir:/data/deep"), "{h}/file box:/data/deep/new"),
    ],
)
def test_with_options(
    docker_engine: Run, minidock: Any, tmp_path: Path, options: tuple[str, ...], case: str
) -> None:
    results = []
    for run, name in ((docker_engine, "docker"), (minidock, "minidock")):
        home = tmp_path / name
        home.mkdir()
        here = home / "0"
        make_tree(here)
        given = [option.format(h=here) for option in options]
        side = Side(run, home / "side", 1, *given)
        try:
            line = case.format(c="/0", h=here)
            done = run("cp", *shlex.split(line))
            words = told(done.stderr.replace(str(home), "HOME"))
            words = words.replace("getent unable to find entry", "unable to find user")
            results.append((done.returncode, words, tree_on_disk(here), side.exported().get("0")))
        finally:
            side.close()
    if "nobody-here" in options and results[0][0]:
        assert results[1][0] == results[0][0]
        assert "unable to find user" in results[1][1]
    else:
        assert results[1] == results[0]
