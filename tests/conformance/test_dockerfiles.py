"""The same Dockerfile built here and by others: the same files, config and history.

dockerfiles/*.Dockerfile are built in one context, which `_make_context` describes. What stands in
a comment at the end of one:

    # flags: --build-arg X=1     for both builders
    # ignore: *.txt              a line of .dockerignore
    # judge: classic             who else builds it (otherwise BuildKit)
    # steps: not compared (why)  its history may differ

NAME.twin.Dockerfile says the same as NAME.Dockerfile in words that the judge knows: here-documents
and some flags are younger than Debian's dockerd. Then only the results are compared, not the steps.

Judges: BuildKit inside dockerd, asked over its socket (the client would want a plug-in), Docker's
classic builder, and buildah. Modification times are not compared: each has a rule of its own.
"""

from __future__ import annotations

import bz2
import gzip
import hashlib
import http.client
import io
import json
import lzma
import os
import shlex
import shutil
import socket
import subprocess
import tarfile
import threading
import urllib.parse
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import pytest

FILES = Path(__file__).with_name("dockerfiles")
NAMES = sorted(
    path.name.removesuffix(".Dockerfile")
    for path in FILES.glob("*.Dockerfile")
    if not path.name.endswith(".twin.Dockerfile")
)
TOGETHER = 2  # builds at the same time
TIMEOUT = 60
CAPABILITY = bytes.fromhex("0100000200040000000000000000000000000000")  # net_bind_service+ep
DEFAULT_PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class Case(NamedTuple):
    """A Dockerfile and how it is to be built. `twin` is what the judge gets instead."""

    name: str
    text: bytes
    twin: bytes | None
    flags: list[str]
    ignore: list[str]
    judge: str
    steps: bool


class Image(NamedTuple):
    tree: dict[str, dict[str, Any]]
    config: dict[str, Any]
    history: list[str]


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

    def tarball(self) -> bytes:
        def plain(entry: tarfile.TarInfo) -> tarfile.TarInfo:
            entry.mtime = int(entry.mtime)  # else there is an extended header, and BuildKit
            if entry.name == "capable":  # takes an archive that begins with one for a Dockerfile
                entry.pax_headers["SCHILY.xattr.security.capability"] = CAPABILITY.decode()
            return entry

        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
            for name in sorted(os.listdir(self.path)):
                tar.add(self.path / name, name, filter=plain)
        return buffer.getvalue()


# ── the builders ─────────────────────────────────────────────────────────────────────────────────


class Unix(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=TIMEOUT)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(TIMEOUT)
        self.sock.connect(self._path)


def buildkit(docker: Any, context: Context, case: Case, tag: str) -> None:
    """POST /build, version=2: what `docker build` did before it wanted buildx. The context goes
    over a connection of its own."""
    arguments = [case.flags[i + 1] for i, f in enumerate(case.flags) if f == "--build-arg"]
    target = [case.flags[i + 1] for i, f in enumerate(case.flags) if f == "--target"]
    upload = os.urandom(8).hex()
    query = {
        "version": "2", "remote": "upload-request", "t": tag, "networkmode": "none",
        "buildargs": json.dumps(dict(argument.split("=", 1) for argument in arguments)),
        "target": "".join(target),
    }  # fmt: skip

    def post(buildid: str, body: bytes) -> bytes:
        connection = Unix(f"{docker.home}/s")
        url = "/v1.41/build?" + urllib.parse.urlencode({**query, "buildid": buildid})
        connection.request("POST", url, body, {"Content-Type": "application/x-tar"})
        return connection.getresponse().read()

    body = context.tarball()
    sender = threading.Thread(target=post, args=(f"upload-request:{upload}", body))
    sender.start()
    said = post(upload, b"")
    sender.join()
    lines = [json.loads(line) for line in said.splitlines()]
    errors = [line["error"] for line in lines if "error" in line]
    assert not errors, f"BuildKit: {errors}"


def classic(docker: Any, context: Context, case: Case, tag: str) -> None:
    argv = ["docker", "-H", f"unix://{docker.home}/s", "build", "--network=none", "-t", tag]
    env = {**os.environ, "DOCKER_BUILDKIT": "0", "DOCKER_CONFIG": f"{docker.home}/config"}
    argv += [*case.flags, str(context.path)]
    done = subprocess.run(argv, env=env, capture_output=True, timeout=TIMEOUT, check=False)
    assert done.returncode == 0, (done.stdout + done.stderr).decode()


class Buildah:
    """With a store of its own."""

    def __init__(self, home: Path, base: Path) -> None:
        self._argv = ["buildah", "--storage-driver", "vfs", "--root", str(home / "root")]
        self._argv += ["--runroot", str(home / "run")]
        self.home = home
        self._run("pull", "-q", f"docker-archive:{base}")

    def _run(self, *args: str) -> None:
        argv = [*self._argv, *args]
        done = subprocess.run(argv, capture_output=True, timeout=TIMEOUT, check=False)
        assert done.returncode == 0, (done.stdout + done.stderr).decode()

    def build(self, context: Context, case: Case) -> Path:
        name = f"localhost/{case.name}:latest"
        flags = ["--isolation", "chroot", "--format", "docker", "--pull-never", "-q", "-t", name]
        self._run("bud", *flags, *case.flags, str(context.path))
        path = self.home / f"{case.name}.tar"
        self._run("push", "-q", name, f"docker-archive:{path}:{case.name}:latest")
        return path


# ── what came out ────────────────────────────────────────────────────────────────────────────────


def read_images(archive: Path) -> dict[str, Image]:
    """By name, from what `save` wrote."""
    images = {}
    layers: dict[str, list[tuple[str, dict[str, Any]]]] = {}
    with tarfile.open(archive) as tar:

        def member(name: str) -> Any:
            file = tar.extractfile(name)
            assert file
            return file

        for row in json.load(member("manifest.json")):
            document = json.load(member(row["Config"]))
            tree: dict[str, dict[str, Any]] = {}
            for path, diff_id in zip(row["Layers"], document["rootfs"]["diff_ids"], strict=True):
                if diff_id not in layers:
                    layers[diff_id] = _layer(member(path))
                _apply(tree, layers[diff_id])
            history = [step.get("created_by", "") for step in document.get("history") or ()]
            image = Image(_with_link_groups(tree), document.get("config") or {}, history)
            for tag in row["RepoTags"] or ():
                images[tag.removesuffix(":latest").removeprefix("localhost/")] = image
    return images


def _layer(stream: Any) -> list[tuple[str, dict[str, Any]]]:
    found = []
    with tarfile.open(fileobj=stream) as tar:
        for entry in tar:
            path = os.path.normpath(f"/{entry.name}").lstrip("/")
            values: dict[str, Any] = {
                "kind": {b"0": "file", b"\0": "file", b"5": "directory"}.get(
                    entry.type, f"kind {entry.type.decode()}"
                ),
                "mode": f"{entry.mode & 0o7777:04o}",
                "owner": f"{entry.uid}:{entry.gid}",
            }
            if entry.isfile():
                content = tar.extractfile(entry)
                assert content
                values["content"] = hashlib.sha256(content.read()).hexdigest()[:16]
            if entry.issym() or entry.islnk():
                values["target"] = entry.linkname
            if entry.ischr() or entry.isblk():
                values["device"] = (entry.devmajor, entry.devminor)
            for key, value in entry.pax_headers.items():
                if key.startswith("SCHILY.xattr."):
                    values[key] = value
            found.append((path, values))
    return found


def _apply(tree: dict[str, dict[str, Any]], layer: list[tuple[str, dict[str, Any]]]) -> None:
    for path, _ in layer:
        directory, _, name = path.rpartition("/")
        if name == ".wh..wh..opq":
            _remove(tree, directory, itself=False)
        elif name.startswith(".wh."):
            _remove(tree, f"{directory}/{name[4:]}".lstrip("/"))
    for path, values in layer:
        if path.rpartition("/")[2].startswith(".wh."):
            continue
        if values["kind"] == "kind 1":  # a hard link: another name for what is there
            tree[path] = tree[os.path.normpath(f"/{values['target']}").lstrip("/")]
            continue
        if not (values["kind"] == "directory" and tree.get(path, {}).get("kind") == "directory"):
            _remove(tree, path)
        tree[path] = dict(values)


def _remove(tree: dict[str, dict[str, Any]], path: str, *, itself: bool = True) -> None:
    for known in list(tree):
        if known.startswith(f"{path}/" if path else "") or (itself and known == path):
            del tree[known]


def _with_link_groups(tree: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The names of a file with several stand at each of them; the root itself is left out."""
    names: dict[int, list[str]] = {}
    for path, values in tree.items():
        names.setdefault(id(values), []).append(path)
    return {
        path: {
            **values,
            **({"links": sorted(names[id(values)])} if len(names[id(values)]) > 1 else {}),
        }
        for path, values in tree.items()
        if path not in ("", ".")
    }


def differences(ours: Image, theirs: Image, case: Case) -> list[str]:
    """Nothing, if they are the same."""
    found = []
    for path in sorted(ours.tree.keys() | theirs.tree.keys()):
        here, there = ours.tree.get(path), theirs.tree.get(path)
        if here != there:
            keys = (here or {}).keys() | (there or {}).keys()
            some = {k for k in keys if (here or {}).get(k) != (there or {}).get(k)}
            found.append(f"/{path}: {_only(here, some)} here, {_only(there, some)} there")
    mine, other = _config(ours.config, case.judge), _config(theirs.config, case.judge)
    for key in sorted(mine.keys() | other.keys()):
        if mine.get(key) != other.get(key):
            found.append(f"{key}: {mine.get(key)} here, {other.get(key)} there")
    if case.steps:
        lines = [_line(line) for line in theirs.history]
        if ours.history != lines:
            found.append(f"history:\n    {ours.history} here,\n    {lines} there")
    return found


def _only(values: dict[str, Any] | None, keys: set[str]) -> Any:
    return values and {key: value for key, value in values.items() if key in keys}


def _config(config: dict[str, Any], judge: str) -> dict[str, Any]:
    """Without what says nothing, and what only one builder writes into a config: the classic one
    all of its last container's, BuildKit PATH and / where the image has none, buildah a label."""
    of_a_container = {
        "Hostname", "Domainname", "AttachStdin", "AttachStdout", "AttachStderr", "Tty", "OpenStdin",
        "StdinOnce", "Image", "ArgsEscaped",
    }  # fmt: skip
    found = {k: v for k, v in config.items() if k not in of_a_container}
    if judge != "buildkit":
        found["Env"] = [entry for entry in found.get("Env") or () if entry != DEFAULT_PATH]
        found["WorkingDir"] = (found.get("WorkingDir") or "").removesuffix("/")
        labels = found.get("Labels") or {}
        found["Labels"] = {k: v for k, v in labels.items() if k != "io.buildah.version"}
    return {key: value for key, value in found.items() if value not in (None, {}, [], "")}


def _line(line: str) -> str:
    return line.removesuffix(" # buildkit")


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
    docker_engine: Any,
    cases: list[Case],
    contexts: list[Context],
    base: Path,
    tmp_path_factory: Any,
) -> Built:
    """BuildKit's and the classic builder's."""
    docker_engine("load", "-i", str(base))
    mine = [case for case in cases if case.judge != "buildah"]

    def build(context: Context, case: Case) -> None:
        context.put(case.twin or case.text, case)
        judge = classic if case.judge == "classic" else buildkit
        judge(docker_engine, context, case, f"corpus/{case.name}")

    failures = _build_all(mine, contexts, build)
    names = [f"corpus/{case.name}" for case in mine if case.name not in failures]
    archive = tmp_path_factory.mktemp("theirs") / "images.tar"
    if names:
        done = docker_engine("save", "-o", str(archive), *names)
        assert done.returncode == 0, done.stderr
        docker_engine("rmi", "-f", *names)
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
        images.update(read_images(buildah.build(context, case)))

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


def test_enough_of_them() -> None:
    assert len(NAMES) >= 60
