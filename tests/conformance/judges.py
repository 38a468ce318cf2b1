"""Other builders, and what came out of them: for tests that compare.

BuildKit inside dockerd is asked over its socket (the client would want a plug-in), Docker's classic
builder and buildah by their commands. What they made is read from the archives that `save` writes.
"""

from __future__ import annotations

import hashlib
import http.client
import io
import json
import os
import socket
import subprocess
import tarfile
import threading
import urllib.parse
from pathlib import Path
from typing import Any, NamedTuple

TIMEOUT = 120
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


def tarball(context: Path) -> bytes:
    """A directory as BuildKit takes it."""

    def plain(entry: tarfile.TarInfo) -> tarfile.TarInfo:
        entry.mtime = int(entry.mtime)  # else there is an extended header, and BuildKit
        if entry.name == "capable":  # takes an archive that begins with one for a Dockerfile
            entry.pax_headers["SCHILY.xattr.security.capability"] = CAPABILITY.decode()
        return entry

    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name in sorted(os.listdir(context)):
            tar.add(context / name, name, filter=plain)
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


def buildkit(docker: Any, context: Path, case: Case, tag: str, network: str = "none") -> None:
    """POST /build, version=2: what `docker build` did before it wanted buildx. The context goes
    over a connection of its own."""
    arguments = [case.flags[i + 1] for i, f in enumerate(case.flags) if f == "--build-arg"]
    target = [case.flags[i + 1] for i, f in enumerate(case.flags) if f == "--target"]
    upload = os.urandom(8).hex()
    query = {
        "version": "2", "remote": "upload-request", "t": tag, "networkmode": network,
        "buildargs": json.dumps(dict(argument.split("=", 1) for argument in arguments)),
        "target": "".join(target),
    }  # fmt: skip

    def post(buildid: str, body: bytes) -> bytes:
        connection = Unix(f"{docker.home}/s")
        url = "/build?" + urllib.parse.urlencode({**query, "buildid": buildid})
        connection.request("POST", url, body, {"Content-Type": "application/x-tar"})
        return connection.getresponse().read()

    body = tarball(context)
    sender = threading.Thread(target=post, args=(f"upload-request:{upload}", body))
    sender.start()
    said = post(upload, b"")
    sender.join()
    lines = [json.loads(line) for line in said.splitlines()]
    errors = [line["error"] for line in lines if "error" in line]
    assert not errors, f"BuildKit: {errors}"


def classic(docker: Any, context: Path, case: Case, tag: str) -> None:
    argv = ["docker", "-H", f"unix://{docker.home}/s", "build", "--network=none", "-t", tag]
    env = {**os.environ, "DOCKER_BUILDKIT": "0", "DOCKER_CONFIG": f"{docker.home}/config"}
    argv += [*case.flags, str(context)]
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

    def build(self, context: Path, case: Case) -> Path:
        name = f"localhost/{case.name}:latest"
        flags = ["--isolation", "chroot", "--format", "docker", "--pull-never", "-q", "-t", name]
        self._run("bud", *flags, *case.flags, str(context))
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
