"""Volumes beside Docker's: the same commands, the same words, codes, documents and files.

Needs the `docker` client and `dockerd`. What an engine of another age says in other words is listed
with the version that changed it.
"""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., Any]
NONE = ("--network", "none")
_ID = re.compile(r"\b[0-9a-f]{64}\b")


@pytest.fixture(scope="module")
def both(start_docker: Any, minidock_home: Any, root_tarball: bytes) -> Iterator[tuple[Run, Run]]:
    """Each with the same images: `busybox`, and `filled`, with files below /srv/d."""
    script = """
        mkdir -p /srv/d/sub; echo hi > /srv/d/f; chown 33:50 /srv/d/f /srv/d; chmod 4755 /srv/d/f
        ln -s /etc/passwd /srv/d/link; ln /srv/d/f /srv/d/sub/hard; chmod 1751 /srv/d
        mkfifo /srv/d/fifo; touch -d '2001-02-03 04:05:06' /srv/d/f /srv/d/sub /srv/d
    """
    with start_docker() as docker:
        assert docker("import", "-", "busybox", stdin=root_tarball).returncode == 0
        for run in (docker, minidock_home):
            made = run("run", *NONE, "--name", "maker", "busybox", "sh", "-c", script)
            assert made.returncode == 0, made.stderr
            assert run("commit", "-c", "VOLUME /srv/d", "maker", "filled").returncode == 0
            run("rm", "maker")
        yield docker, minidock_home
    minidock_home.remove_all()
    minidock_home.remove_volumes()
    minidock_home("rmi", "filled")


def plain(text: str) -> str:
    """Without what differs by nature: who speaks, ids, places."""
    text = _ID.sub("ID", text.replace("minidock: ", "docker: ").replace("minidock ", "docker "))
    return re.sub(r"/\S*(?=/(volumes|overlay2|containers)/)", "ROOT", text)


def answers(run: Run, *command: str) -> tuple[int, str, str]:
    done = run(*command)
    return done.returncode, plain(done.stdout), plain(done.stderr)


def same(both: tuple[Run, Run], *command: str) -> tuple[int, str, str]:
    theirs, ours = (answers(run, *command) for run in both)
    assert ours == theirs, command
    return ours


REFUSED = (
    ("-v", "aa:/b:ro:d"), ("-v", ":/y"), ("-v", "/x:"), ("-v", "/x:/"), ("-v", "/x:ro"),
    ("-v", "/x:/y:zz"), ("-v", "/x:/y:ro,rw"), ("-v", "x1:/y:rshared"), ("-v", "/x:/y:nocopy"),
    ("-v", "a b:/y"), ("-v", "~/x:/y"), ("-v", "xx:y"), ("-v", ""),
    ("-v", "xx:/y", "-v", "yy:/y"), ("-v", "xx:/y", "--tmpfs", "/y"),
    ("-v", "xx:/y", "--mount", "type=tmpfs,dst=/y"), ("-v", "/:/y:rprivate"),
    ("--volumes-from", "nope"), ("--volumes-from", ""), ("--volumes-from", "nope:zz"),
    ("--mount", "type=bind,src=/nonexistent,dst=/y"), ("--mount", "type=bind,dst=/y"),
    ("--mount", "type=bind,src=tmp,dst=/y"), ("--mount", "type=foo,src=/tmp,dst=/y"),
    ("--mount", "src=/tmp,dst=/y"), ("--mount", "dst=/y,ro"),
    ("--mount", "type=tmpfs,src=x,dst=/y"), ("--mount", "type=tmpfs,dst=y"),
    ("--mount", "type=tmpfs,dst=/"), ("--mount", "dst=/y,foo=bar"),
    ("--mount", "type=bind,src=/tmp,dst=/y,bind-propagation=foo"),
    ("--mount", "src=vv,dst=/y,volume-opt=foo=bar"), ("--mount", 'dst="/y'),
)  # fmt: skip


@pytest.mark.parametrize("flags", REFUSED, ids=" ".join)
def test_what_is_refused(both: tuple[Run, Run], flags: tuple[str, ...]) -> None:
    theirs, ours = (answers(run, "create", *NONE, *flags, "busybox", "true") for run in both)
    if "daemon root" in theirs[2]:  # its own, each
        theirs, ours = ((*a[:2], re.sub('daemon root: "[^"]*"', "", a[2])) for a in (theirs, ours))
    assert ours == theirs
    assert ours[0] in (1, 125)


def test_starts_that_fail(both: tuple[Run, Run], tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for flags in (
        (f"{tmp_path}:/etc/passwd",), (f"{tmp_path}/file:/tmp",), (f"{tmp_path}:/x:rshared",),
        (f"{tmp_path}:/proc/x",),
    ):  # fmt: skip
        codes = [run("run", *NONE, "-v", *flags, "busybox", "true").returncode for run in both]
        assert codes == [125, 125], flags
    said = [answers(run, "run", *NONE, "-v", f"{tmp_path}:/x:rslave", "busybox", "true")[2]
            for run in both]  # fmt: skip
    hint = re.compile(r"\nSee mount_namespaces\(7\).*")
    assert hint.sub("", said[1]) == said[0]


def test_the_volume_commands(both: tuple[Run, Run]) -> None:
    both[0]("volume", "rm", "-f", "xx", "yy")  # what it refused above, it had begun
    same(both, "volume", "create", "data")
    same(both, "volume", "create", "data")
    same(both, "volume", "create", "--label", "a=b", "--label", "c", "labelled")
    for wrong in (("../x",), ("x",), ("-o", "foo=bar", "x1"), ("-o", "type=tmpfs", "x1")):
        assert same(both, "volume", "create", *wrong)[0] == 1
    same(both, "volume", "ls")
    for some in ("name=da", "label=a", "label=a=b", "label=a=c", "dangling=true", "driver=local"):
        same(both, "volume", "ls", "-f", some)
    same(both, "volume", "ls", "-q")
    form = '{{.Name}} {{.Driver}} {{.Scope}} {{.Labels}} {{.Links}} {{.Size}} {{.Label "a"}}'
    same(both, "volume", "ls", "--format", form)
    same(both, "volume", "ls", "--format", "table {{.Name}}\t{{.Mountpoint}}")
    same(both, "volume", "inspect", "-f", "{{.Name}} {{.Driver}} {{.Labels}} {{.Options}}", "data")
    assert same(both, "volume", "inspect", "nope")[1] == "[]\n"
    same(both, "inspect", "-f", "{{.Mountpoint}}", "data")
    same(both, "inspect", "--type", "volume", "nope")
    assert same(both, "volume", "rm", "nope")[0] == 1
    assert same(both, "volume", "rm", "-f", "nope") == (0, "nope\n", "")
    assert same(both, "volume", "rm", "data", "nope", "labelled")[:2] == (1, "data\nlabelled\n")
    for label in ("", "=x", "a b=x"):
        assert same(both, "volume", "create", "--label", label, "zz")[0] == 125
    same(both, "volume", "create", "--name", "zz", "yy")
    same(both, "volume", "rm", "")
    same(both, "volume", "inspect", "")
    same(both, "volume", "ls", "-q", "--format", "x")
    documents = []
    for run in both:
        name = run("volume", "create").stdout.strip()
        assert _ID.fullmatch(name)
        documents.append(json.loads(run("volume", "inspect", name).stdout)[0])
    assert list(documents[0]) == list(documents[1])


HOST_CONFIG = ("Binds", "Mounts", "Tmpfs", "VolumesFrom", "VolumeDriver")


def mounts_of(run: Run, name: str) -> str:
    document = json.loads(run("inspect", name).stdout)[0]
    mounts = {mount["Destination"]: mount for mount in document["Mounts"]}
    host = {key: document["HostConfig"].get(key) for key in HOST_CONFIG}
    host["Binds"] = sorted(host["Binds"] or ())  # Docker's client has them in any order
    for mount in host["Mounts"] or ():
        if "VolumeOptions" in mount:  # an empty object is what the newer client sends
            mount["VolumeOptions"].pop("DriverConfig", None)
    return plain(json.dumps([mounts, host, document["Config"]["Volumes"]], sort_keys=True))


def test_inspect(both: tuple[Run, Run], tmp_path: Path) -> None:
    one = [
        "-v", "named:/n", "-v", f"{tmp_path}:/b:ro", "-v", "/anon", "-v", "/:/root/host",
        "--mount", "type=volume,dst=/mv", "--mount", "type=volume,src=mm,dst=/mn,ro,volume-nocopy",
        "--mount", f"type=bind,src={tmp_path},dst=/mb,bind-propagation=rslave,bind-nonrecursive",
        "filled",
    ]  # fmt: skip
    two = ["--volumes-from", "one:ro", "-v", "named:/b", "busybox"]
    mount = "type=tmpfs,dst=/t,tmpfs-size=64m,tmpfs-mode=1770,ro"
    three = ["--tmpfs", "/tt:size=1m", "--mount", mount, "busybox"]
    for name, flags in (("one", one), ("two", two), ("three", three)):
        made = [run("create", *NONE, "--name", name, *flags, "true") for run in both]
        assert [done.returncode for done in made] == [0, 0], [done.stderr for done in made]
        theirs, ours = (mounts_of(run, name) for run in both)
        assert ours == theirs
    for form in ("{{.LocalVolumes}}", "{{.Names}}"):
        for what in ("named", "/b", str(tmp_path), "nope"):
            same(both, "ps", "-a", "--filter", f"volume={what}", "--format", form)
    for run in both:
        users = run("volume", "rm", "named").stderr.partition(" - [")[2]
        assert len(_ID.findall(users)) == 2
    for name in ("one", "two"):
        same(both, "rm", "-v", name)
    same(both, "volume", "ls", "-q", "-f", "name=^[a-z]*$")


def tree(top: Path) -> dict[str, Any]:
    def about(path: Path) -> Any:
        status = path.lstat()
        link = os.readlink(path) if path.is_symlink() else ""
        # Docker gives directories their times before it fills them, and so not at all.
        when = int(status.st_mtime) if path.is_file() and not path.is_symlink() else 0
        return oct(status.st_mode), status.st_uid, status.st_gid, when, link

    inodes = {path.name: path.lstat().st_ino for path in top.rglob("*")}
    assert inodes.get("f") == inodes.get("hard")
    return {str(path.relative_to(top)): about(path) for path in (top, *top.rglob("*"))}


def test_what_a_volume_is_filled_with(both: tuple[Run, Run]) -> None:
    trees = []
    for run in both:
        run("run", "--rm", *NONE, "-v", "fill:/srv/d", "-v", "etc:/etc", "filled", "true")
        for name in ("fill", "etc"):
            top = run("volume", "inspect", "-f", "{{.Mountpoint}}", name).stdout.strip()
            trees.append(tree(Path(top)))
    assert trees[2] == trees[0] and len(trees[0]) == 6
    assert set(trees[3]) == set(trees[1]), "also what every container has in /etc"


def test_questions_before_pruning(both: tuple[Run, Run]) -> None:
    words = [run("volume", "prune", "--filter", "label=nope").stdout for run in both]
    # Since 23.0 it spares those with a name, and says so.
    assert words[1] == words[0].replace("all local", "anonymous local")
    words = [run("system", "prune", "--volumes").stdout for run in both]
    assert words[1] == words[0]
    same(both, "system", "prune", "-f", "--volumes", "--filter", "until=1h")


def told(run: Run, since: float) -> set[str]:
    """What was told of volumes since then. (In which order Docker mounts several is a matter of
    chance; and an engine of before 23.0 tells that it made one that was there.)"""
    span = ("--since", f"{since:.9f}", "--until", f"{time.time():.9f}", "--format", "json")
    events = map(json.loads, run("events", *span, "--filter", "type=volume").stdout.splitlines())
    return {
        plain(f"{e['Action']} {e['Actor']['ID']} {sorted(e['Actor']['Attributes'].items())}")
        for e in events
    }


def test_events(both: tuple[Run, Run]) -> None:
    found = []
    for run in both:
        since = time.time()
        run("volume", "create", "told")
        flags = ("-v", "told:/x", "-v", "new:/y:ro", "-v", "/anonymous")
        assert run("run", "--rm", *NONE, *flags, "busybox", "true").returncode == 0
        run("volume", "rm", "told", "new")
        time.sleep(0.5)  # what was run with --rm goes a moment later
        found.append(told(run, since))
    assert found[1] == found[0] and len(found[0]) == 12
