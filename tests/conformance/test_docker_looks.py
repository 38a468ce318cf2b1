"""ps, logs, diff and inspect beside Docker's own: the same containers, the same words.

Needs the `docker` client and `dockerd`; the test starts an engine of its own, so that nothing of
this machine's is seen or touched. Engines differ by age: what an engine here has and a newer one
has not, or the other way round, is listed with the version that changed it.
"""

from __future__ import annotations

import io
import json
import re
import shutil
import subprocess
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

ONLY_DOCKER = {
    # gone from the engine since: 1.44 (25.0), 1.45 (26.0), 24.0
    "VirtualSize": "25.0 removed it",
    "Container": "26.0 removed it",
    "ContainerConfig": "26.0 removed it",
    "HostConfig.KernelMemory": "24.0 removed it",
    "HostConfig.KernelMemoryTCP": "28.0 removed it",
    # in an image's Config, where they never meant anything: 28.2 removed them
    **dict.fromkeys(
        (
            "Config.Hostname", "Config.Domainname", "Config.AttachStdin", "Config.AttachStdout",
            "Config.AttachStderr", "Config.Tty", "Config.OpenStdin", "Config.StdinOnce",
            "Config.Image",
        ),
        "28.2 removed it from images",
    ),
    # only containers are mounted here, so an image has neither
    "GraphDriver.Data.MergedDir": "images are not mounted",
    "GraphDriver.Data.WorkDir": "images are not mounted",
    "GraphDriver.Data.ID": "28.0 names its layer directories; ours have no other name",
}  # fmt: skip
ONLY_MINIDOCK = {
    "NetworkSettings.Networks.none.GwPriority": "28.0 added it",
    "NetworkSettings.Networks.none.DNSNames": "25.0 added it",
}
IMAGE_ONLY = ("GraphDriver.Data.MergedDir", "GraphDriver.Data.WorkDir", "Config.")

OTHER_VALUES = {
    # names, times and places of one's own
    *("Id", "Created", "Image", "ResolvConfPath", "HostnamePath", "HostsPath", "LogPath"),
    *("State.StartedAt", "State.FinishedAt", "Config.Hostname", "Metadata.LastTagTime"),
    *("GraphDriver.Data.LowerDir", "GraphDriver.Data.UpperDir"),
    *("GraphDriver.Data.MergedDir", "GraphDriver.Data.WorkDir"),
    *("NetworkSettings.SandboxID", "NetworkSettings.SandboxKey"),
    *("NetworkSettings.Networks.none.NetworkID", "NetworkSettings.Networks.none.EndpointID"),
    "HostConfig.Runtime",
    "HostConfig.CgroupnsMode",  # the engine's default is host on cgroup v1
    "HostConfig.MaskedPaths",  # more of them every year
    "HostConfig.OomKillDisable",  # null on cgroup v2
    "Size",  # of an image: Docker's has the lengths of symbolic links in it
    "DockerVersion",
    "AppArmorProfile",  # where the host has AppArmor
    "Config.Env",  # newer engines: [], older ones: null
}

Run = Callable[..., subprocess.CompletedProcess[str]]


def small_tarball() -> bytes:
    """busybox and a few of its names."""
    program = Path("/bin/busybox")
    if not program.exists():
        pytest.skip("needs /bin/busybox (Debian package busybox-static)")
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name in ("bin", "dev", "etc", "proc", "root", "sys", "tmp"):
            entry = tarfile.TarInfo(name)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o755
            tar.addfile(entry)
        entry = tarfile.TarInfo("bin/busybox")
        entry.mode, entry.size = 0o755, program.stat().st_size
        tar.addfile(entry, io.BytesIO(program.read_bytes()))
        for name in ("sh", "true", "sleep", "rm", "ln", "mkdir", "chmod"):
            entry = tarfile.TarInfo(f"bin/{name}")
            entry.type, entry.linkname = tarfile.SYMTYPE, "busybox"
            tar.addfile(entry)
    return buffer.getvalue()


@pytest.fixture(scope="module")
def docker(start_docker: Any) -> Iterator[Run]:
    """Docker's client, talking to an engine of this test's own."""
    with start_docker() as run:
        yield run


@pytest.fixture(scope="module")
def both(docker: Run, minidock_home: Any) -> Iterator[tuple[Run, Run]]:
    """The same containers with both: `ended` (exit code 3), `made`, and `talk`, whose log is the
    same file, so that even its times are equal."""
    tarball = small_tarball()
    for run in (docker, minidock_home):
        options = ("--network", "none")
        steps: list[tuple[str, ...]] = [
            ("import", "-c", 'CMD ["sh"]', "-", "tiny"),
            ("run", *options, "--name", "ended", "-l", "a=b", "-l", "c", "-e", "A=1", "tiny",
             "sh", "-c", "echo 1 > /new; mkdir /d; ln -s x /d/l; rm /bin/ln; chmod 700 /root;"
             " exit 3"),
            ("create", *options, "--name", "made", "-it", "-u", "1:2", "-w", "/tmp", "-h", "host",
             "--init", "--read-only", "--stop-signal", "INT", "--entrypoint", "sh", "tiny", "-c",
             "é \x1b[31m \"quoted\" <&>"),
            ("run", *options, "--name", "talk", "tiny:latest", "sh", "-c",
             "for i in 1 2 3; do echo $i; echo e$i >&2; sleep 0.1; done"),
        ]  # fmt: skip
        for step in steps:
            done = run(*step, stdin=tarball if step[0] == "import" else b"")
            assert done.returncode in (0, 3), (step, done.stderr)
    documents = [json.loads(run("inspect", "talk").stdout)[0] for run in (docker, minidock_home)]
    paths = [document["LogPath"] for document in documents]
    shutil.copyfile(*paths)
    yield docker, minidock_home
    minidock_home("rm", "-f", "ended", "made", "talk")
    minidock_home("rmi", "tiny")


def leaves(document: Any, path: str = "") -> dict[str, Any]:
    """`{"State.Pid": 0, …}`: every value, by its path. Lists and empty objects are values."""
    whole = ("ContainerConfig", "Config.Labels", "HostConfig.LogConfig")
    if not isinstance(document, dict) or not document or path in whole:
        return {path: document}
    found: dict[str, Any] = {}
    for key, value in document.items():
        found |= leaves(value, f"{path}.{key}" if path else key)
    return found


def documents(both: tuple[Run, Run], name: str) -> tuple[dict[str, Any], dict[str, Any]]:
    theirs, ours = (json.loads(run("inspect", name).stdout)[0] for run in both)
    return theirs, ours


@pytest.mark.parametrize("name", ["ended", "made", "tiny"])
def test_inspect_has_dockers_keys_in_dockers_order(both: tuple[Run, Run], name: str) -> None:
    theirs, ours = documents(both, name)
    keys = [
        {key: None for key in leaves(document) if key not in allowed}
        for document, allowed in (
            (theirs, {k for k in ONLY_DOCKER if name == "tiny" or not k.startswith(IMAGE_ONLY)}),
            (ours, ONLY_MINIDOCK),
        )
    ]
    # An object that holds nothing is a value of its own on one side only.
    missing, more = sorted(set(keys[0]) - set(keys[1])), sorted(set(keys[1]) - set(keys[0]))
    assert (missing, more) == ([], [])
    order = [
        [key for key in document if key in theirs and key in ours] for document in (theirs, ours)
    ]
    assert order[0] == order[1]


@pytest.mark.parametrize("name", ["ended", "made", "tiny"])
def test_inspect_says_the_same(both: tuple[Run, Run], name: str) -> None:
    theirs, ours = map(leaves, documents(both, name))
    different = {
        key: (theirs[key], ours[key])
        for key in theirs.keys() & ours.keys()
        if key not in OTHER_VALUES and theirs[key] != ours[key]
    }
    assert different == {}


def test_inspect_prints_the_same_characters(both: tuple[Run, Run]) -> None:
    """One piece of the document that is equal: layout, escapes, and what is not escaped."""

    def piece(text: str) -> str:
        return text[text.index('"Path"') : text.index('"State"')]

    theirs, ours = (run("inspect", "made").stdout for run in both)
    assert piece(ours) == piece(theirs)


def normal(text: str) -> str:
    """Without ids, ages and names of the program; as newer engines write (28 lower-cased some)."""
    text = re.sub(r"\b[0-9a-f]{12}(?:[0-9a-f]{52})?\b", "<id>", text)
    text = re.sub(r"(Less than a|About a|\d+) (second|minute)s?( ago)? *", "<age> ", text)
    text = re.sub(r"(CREATED|STATUS) +", r"\1 ", text)
    text = re.sub(r"Created +", "Created ", text)
    text = re.sub(r"no such image: \S+: No such image", "No such image", text)
    return text.replace("minidock", "docker").lower().replace("unrecognised", "unrecognized")


@pytest.mark.parametrize(
    "command",
    [
        "ps", "ps -a", "ps -as", "ps -a --no-trunc", "ps -q", "ps -aq", "ps -l", "ps -n 2",
        "ps -a -f name=^ma", "ps -a -f status=exited", "ps -f exited=3", "ps -aq -f exited=3",
        "ps -aq -f label=a=b -f label=c", "ps -aq -f before=made", "ps -aq -f since=ended",
        "ps -a -f ancestor=tiny", "ps -a -f network=none", "ps -aq -f network=host",
        "ps -aq -f health=none", "ps -aq -f volume=x", "ps -f x=1", "ps -f x", "ps -f exited=x",
        "ps -f status=x", "ps -f health=x", "ps -f is-task=x", "ps -f before=x", "ps x",
        "ps -q --format x", "ps -f publish=9x", "ps -f expose=1:2",
        "logs talk", "logs -t talk", "logs -n 2 talk", "logs --tail 0 talk", "logs --tail x talk",
        "logs --tail -1 talk", "logs -f -n 1 talk", "logs --details -n 1 talk",
        "logs --since 1h talk", "logs --until 1h talk", "logs --since x talk",
        "logs --since 2020-13-01 talk", "logs --since 2020-01-01 --until 2020-01-02 talk",
        "logs --since 1600000000.5 talk", "logs made", "logs nosuch", "logs", "logs a b",
        "diff ended", "diff made", "diff nosuch", "diff",
        "inspect nosuch", "inspect nosuch nosuch2", "inspect --type container nosuch",
        "inspect --type image nosuch", "inspect --type x nosuch", "inspect",
        "container inspect nosuch", "image inspect nosuch", "container inspect tiny",
        "image inspect made",
    ],
)  # fmt: skip
def test_the_same_words(both: tuple[Run, Run], command: str) -> None:
    theirs, ours = (run(*command.split()) for run in both)
    assert ours.returncode == theirs.returncode
    if command == "diff ended":  # Docker lists the directories of its upper layer as they lie there
        assert sorted(ours.stdout.splitlines()) == sorted(theirs.stdout.splitlines())
        return
    assert normal(ours.stdout) == normal(theirs.stdout)
    assert normal(ours.stderr) == normal(theirs.stderr)


@pytest.mark.parametrize(
    "form",
    [
        "{{.Names}} {{.Image}} {{.Command}} {{.State}} {{.Size}} {{.Networks}} {{.LocalVolumes}}"
        "|{{.Ports}}|{{.Mounts}}|{{.Labels}}|{{.Label \"a\"}}|{{.Platform}}",
        "table {{.Names}}\\t{{.Labels}}\\t{{.Networks}}\\t{{.LocalVolumes}}\\t{{.State}}",
        "table {{.Label \"a.b-c_d\"}}|{{.Names}}",
        "{{json .Names}} {{upper .Names}} {{.Foo}}",
        "{{.Foo",
        "json",
        "{{json .}}",
    ],
)  # fmt: skip
def test_the_same_format(both: tuple[Run, Run], form: str) -> None:
    def shown(run: Run) -> tuple[int, str, str]:
        done = run("ps", "-a", "--format", form)
        out = re.sub(r'"(CreatedAt|RunningFor|Status|ID)":"[^"]*"', r'"\1":""', done.stdout)
        return done.returncode, normal(out), normal(done.stderr)

    theirs, ours = map(shown, both)
    assert ours == theirs


@pytest.mark.parametrize(
    "args",
    [
        "{{.Name}} {{.State.ExitCode}} {{.Config.Cmd}}|ended made nosuch",
        "{{json .Config.Labels}} {{json .Args}} {{.HostConfig.Init}}|ended made",
        "{{.Foo}}|ended",
        "{{.Foo|ended",
        "{{index .Config.Labels \"a\"}}{{range .Args}}<{{.}}>{{end}}|ended",
        "{{.SizeRw}}|ended",
        "{{.Os}} {{json .RepoTags}}|tiny nosuch",
        "json|nosuch",
        "x|nosuch",
    ],
)  # fmt: skip
def test_the_same_inspect_format(both: tuple[Run, Run], args: str) -> None:
    form, _, names = args.rpartition("|")
    theirs, ours = (run("inspect", "-f", form, *names.split()) for run in both)
    assert (ours.returncode, normal(ours.stdout), normal(ours.stderr)) == (
        theirs.returncode, normal(theirs.stdout), normal(theirs.stderr),
    )  # fmt: skip
