"""The same Dockerfile built here and by others: the same files, config and history.

dockerfiles/*.Dockerfile are built in one context, which `_make_context` describes. What stands in
a comment at the end of one:

    # flags: --build-arg X=1     for both builders
    # ignore: *.txt              a line of .dockerignore
    # judge: classic             who else builds it (otherwise BuildKit)
    # steps: not compared (why)  its history may differ

NAME.twin.Dockerfile says the same as NAME.Dockerfile in words that the judge knows: here-documents
and some flags are younger than Debian's dockerd. Then only the results are compared, not the steps.

Judges are BuildKit, Docker's classic builder and buildah. Modification times are not compared:
each has a rule of its own.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import shlex
import shutil
import subprocess
import tarfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from conformance.judges import (
    CAPABILITY,
    TIMEOUT,
    Buildah,
    Case,
    Image,
    buildkit,
    classic,
    differences,
    read_images,
)

FILES = Path(__file__).with_name("dockerfiles")
NAMES = sorted(
    path.name.removesuffix(".Dockerfile")
    for path in FILES.glob("*.Dockerfile")
    if not path.name.endswith(".twin.Dockerfile")
)
TOGETHER = 2  # builds at the same time


def read_case(name: str) -> Case:
    text = (FILES / f"{name}.Dockerfile").read_bytes()
    twin = FILES / f"{name}.twin.Dockerfile"
    said: dict[str, list[str]] = {"flags": [], "ignore": [], "judge": [], "steps": []}
    for line in text.decode().splitlines():
        key, _, value = line.removeprefix("# ").partition(": ")
        if line.startswith("# ") and key in said:
            said[key].append(value)
    flags = [word for value in said["flags"] for word in shlex.split(value)]
    judge = os.environ.get("MINIDOCK_JUDGE") or (said["judge"] or ["buildkit"])[-1]
    twin_text = twin.read_bytes() if twin.exists() else None
    steps = judge == "buildkit" and twin_text is None and not said["steps"]
    return Case(name, text, twin_text, flags, said["ignore"], judge, steps)


# ── the context ──────────────────────────────────────────────────────────────────────────────────


def _make_context(top: Path) -> None:
    """Files of all kinds, modes and names, and archives of them."""
    for name in ("a.txt", "b.txt", "with space.txt", "c.md", "fake.tar"):
        (top / name).write_text(f"{name}\n")
    (top / "plain.gz").write_bytes(gzip.compress(b"no archive", mtime=0))
    for name in ("x.c", "s.md", "sub/y.c", "sub/s.h", "sub/deep/z.c"):
        (top / "tree" / name).parent.mkdir(parents=True, exist_ok=True)
        (top / "tree" / name).write_text(f"{name}\n")
    (top / "links").mkdir()
    links = {"to-file": "../a.txt", "to-dir": "../tree", "dangling": "nowhere", "abs": "/etc/group"}
    for name, target in links.items():
        (top / "links" / name).symlink_to(target)
    (top / "odd").mkdir()
    for name in ("ünï", "-dash", "[x]", ".hidden", "back\\slash"):
        (top / "odd" / name).write_text(name)
    (top / "empty").mkdir()
    modes = {"setuid": 0o4755, "secret": 0o600, "exe": 0o755, "none": 0, "write": 0o666}
    (top / "modes").mkdir()
    for name, mode in modes.items():
        (top / "modes" / name).write_text(name)
        (top / "modes" / name).chmod(mode)
    for name, mode in {"sticky": 0o1777, "setgid": 0o2770, "private": 0o700}.items():
        (top / "modes" / name).mkdir()
        (top / "modes" / name).chmod(mode)
    (top / "hard").mkdir()
    (top / "hard/one").write_text("hard")
    os.link(top / "hard/one", top / "hard/two")
    (top / "capable").write_text("may")
    os.setxattr(top / "capable", "security.capability", CAPABILITY)
    users = "root:x:0:0:root:/root:/bin/sh\nalice:x:1000:1000::/home/alice:/bin/sh\n"
    (top / "passwd").write_text(users)
    (top / "group").write_text("root:x:0:\nalice:x:1000:\nwheel:x:10:root,alice\n")
    data = _archive()
    (top / "archive.tar").write_bytes(data)
    (top / "archive.tar.gz").write_bytes(gzip.compress(data, mtime=0))
    (top / "archive.tar.bz2").write_bytes(bz2.compress(data))
    (top / "archive.tar.xz").write_bytes(lzma.compress(data))


def _archive() -> bytes:
    buffer = io.BytesIO()
    tar = tarfile.open(fileobj=buffer, mode="w")  # noqa: SIM115 - closed below

    def add(name: str, kind: bytes, mode: int, ids: tuple[int, int], more: str = "") -> None:
        entry = tarfile.TarInfo(name)
        entry.type, entry.mode, (entry.uid, entry.gid) = kind, mode, ids
        if kind == tarfile.REGTYPE:
            entry.size = len(more)
        else:
            entry.linkname = more
        tar.addfile(entry, io.BytesIO(more.encode()))

    add("dir", tarfile.DIRTYPE, 0o750, (7, 8))
    add("dir/file", tarfile.REGTYPE, 0o4755, (5, 6), "content")
    add("file", tarfile.REGTYPE, 0o600, (0, 0), "new")
    add("link", tarfile.SYMTYPE, 0o777, (1, 1), "dir/file")
    add("hard", tarfile.LNKTYPE, 0o4755, (5, 6), "dir/file")
    add("deep/down/here", tarfile.REGTYPE, 0o644, (9, 9), "x")
    tar.close()
    return buffer.getvalue()


class Context:
    """A directory for one builder at a time; `tarball` is the same for BuildKit."""

    def __init__(self, path: Path) -> None:
        path.mkdir()
        path.chmod(0o755)
        _make_context(path)
        self.path = path

    def put(self, text: bytes, case: Case) -> None:
        (self.path / "Dockerfile").write_bytes(text)
        ignore = self.path / ".dockerignore"
        ignore.unlink(missing_ok=True)
        if case.ignore:
            ignore.write_text("".join(f"{line}\n" for line in case.ignore))


# ── all at once, then one by one ─────────────────────────────────────────────────────────────────


class Built(NamedTuple):
    """`failures` by name: what a builder said. `images` of the others."""

    failures: dict[str, str]
    images: dict[str, Image]


def _build_all(
    cases: list[Case], contexts: list[Context], build: Callable[[Context, Case], None]
) -> dict[str, str]:
    """A few at a time, each in a context of its own; what failed, by name."""
    failures = {}

    def one(case: Case) -> None:
        context = contexts.pop()
        try:
            build(context, case)
        except (AssertionError, subprocess.TimeoutExpired, OSError) as error:
            failures[case.name] = str(error)
        finally:
            contexts.append(context)

    with ThreadPoolExecutor(TOGETHER) as pool:
        list(pool.map(one, cases))
    return failures


@pytest.fixture(scope="module")
def cases(request: pytest.FixtureRequest) -> list[Case]:
    """Those that are to be tested: with `pytest -k` no others are built."""
    items = (item for item in request.session.items if isinstance(item, pytest.Function))
    calls = [item.callspec for item in items if item.originalname == "test_the_same_comes_out"]
    return [read_case(call.params["name"]) for call in calls]


@pytest.fixture(scope="module")
def contexts(tmp_path_factory: pytest.TempPathFactory) -> list[Context]:
    top = tmp_path_factory.mktemp("contexts")
    return [Context(top / str(number)) for number in range(TOGETHER)]


@pytest.fixture(scope="module")
def ours(
    minidock_home: Any, cases: list[Case], contexts: list[Context], tmp_path_factory: Any
) -> Iterator[Built]:
    def build(context: Context, case: Case) -> None:
        context.put(case.text, case)
        flags = ["--network", "none", "-t", f"corpus/{case.name}", *case.flags]
        minidock_home.ok("build", *flags, str(context.path), timeout=TIMEOUT)

    failures = _build_all(cases, contexts, build)
    names = [f"corpus/{case.name}" for case in cases if case.name not in failures]
    archive = tmp_path_factory.mktemp("ours") / "images.tar"
    if names:
        minidock_home.ok("save", "-o", str(archive), *names)
    yield Built(failures, _by_case(read_images(archive)) if names else {})
    if names:
        minidock_home.ok("rmi", "-f", *names)


@pytest.fixture(scope="module")
def base(minidock_home: Any, tmp_path_factory: Any) -> Path:
    """The image that all begin with, for the others to load."""
    path = tmp_path_factory.mktemp("base") / "busybox.tar"
    minidock_home.ok("save", "-o", str(path), "busybox")
    return Path(path)


@pytest.fixture(scope="module")
def dockers(
    engine_in_memory: Any,
    cases: list[Case],
    contexts: list[Context],
    base: Path,
    tmp_path_factory: Any,
) -> Built:
    """BuildKit's and the classic builder's."""
    engine_in_memory("load", "-i", str(base))
    mine = [case for case in cases if case.judge != "buildah"]

    def build(context: Context, case: Case) -> None:
        context.put(case.twin or case.text, case)
        judge = classic if case.judge == "classic" else buildkit
        judge(engine_in_memory, context.path, case, f"corpus/{case.name}")

    failures = _build_all(mine, contexts, build)
    names = [f"corpus/{case.name}" for case in mine if case.name not in failures]
    archive = tmp_path_factory.mktemp("theirs") / "images.tar"
    if names:
        done = engine_in_memory("save", "-o", str(archive), *names)
        assert done.returncode == 0, done.stderr
        engine_in_memory("rmi", "-f", *names)
    return Built(failures, _by_case(read_images(archive)) if names else {})


@pytest.fixture(scope="module")
def buildahs(
    cases: list[Case], contexts: list[Context], base: Path, tmp_path_factory: Any
) -> Built:
    if not shutil.which("buildah"):
        pytest.skip("needs buildah")
    buildah = Buildah(tmp_path_factory.mktemp("buildah"), base)
    images: dict[str, Image] = {}

    def build(context: Context, case: Case) -> None:
        context.put(case.twin or case.text, case)
        images.update(read_images(buildah.build(context.path, case)))

    failures = _build_all([c for c in cases if c.judge == "buildah"], contexts, build)
    return Built(failures, images)


def _by_case(images: dict[str, Image]) -> dict[str, Image]:
    return {name.removeprefix("corpus/"): image for name, image in images.items()}


@pytest.mark.parametrize("name", NAMES)
def test_the_same_comes_out(name: str, ours: Built, request: pytest.FixtureRequest) -> None:
    case = read_case(name)
    assert name not in ours.failures, ours.failures[name]
    judge = "buildahs" if case.judge == "buildah" else "dockers"
    theirs: Built = request.getfixturevalue(judge)
    assert name not in theirs.failures, f"the judge: {theirs.failures[name]}"
    found = differences(ours.images[name], theirs.images[name], case)
    assert not found, f"{case.judge} has it otherwise:\n" + "\n".join(found)


REFUSED = {
    "nothing there": "COPY nope /x",
    "a directory over a file": "RUN touch /d\nCOPY tree /d",
    "below a file": "RUN touch /d\nCOPY a.txt /d/x",
    "a directory where a file is": "RUN touch /d\nWORKDIR /d",
    "out of the context": "COPY ../../etc/passwd /x",
    "a link out of the context": "COPY links/abs /x",
    "a link to nothing": "COPY links/dangling /x",
    "from itself": "FROM busybox AS me\nCOPY --from=me /bin/sh /x",
    "no such user": "USER nosuch\nRUN true",
    "nothing to run": "FROM scratch\nRUN true",
    "no such program": 'RUN ["nosuchprogram"]',
    "it fails": "RUN exit 3",
    "mounted over everything": "RUN --mount=target=/ true",
    "a URL": "COPY http://127.0.0.1/x /x",
    "no port": "EXPOSE 99999",
    "no signal": "STOPSIGNAL NOPE",
    "no list": "SHELL sh",
    "no stage": "FROM BusyBox",
}


@pytest.mark.parametrize("what", REFUSED)
def test_both_refuse(
    what: str, minidock: Any, engine_in_memory: Any, contexts: list[Context], base: Path
) -> None:
    engine_in_memory("load", "-i", str(base))
    case = Case(what, f"FROM busybox\n{REFUSED[what]}\n".encode(), None, [], [], "buildkit", False)
    context = contexts[0]
    context.put(case.text, case)
    done = minidock("build", "--network", "none", str(context.path))
    assert done.returncode == 1
    assert "ERROR: failed to solve: " in done.stderr.splitlines()[-1]
    with pytest.raises(AssertionError, match="BuildKit: "):
        buildkit(engine_in_memory, context.path, case, "refused")


def test_enough_of_them() -> None:
    assert len(NAMES) >= 60
