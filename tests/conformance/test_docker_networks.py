"""Networks in Docker's words: what its engine and ours say to the same commands."""

from __future__ import annotations

import re
import shlex
import subprocess

import pytest

COMMANDS = """
network create red
network create red
network create --subnet 10.213.99.0/24 --gateway 10.213.99.1 blue
network create host
network create -d host other
network create --gateway 10.1.1.1 other
network create --subnet 10.213.97.0/24 --ip-range 10.213.96.0/24 other
network create --subnet 10.213.97.0/24 --subnet 10.213.97.0/25 other
network ls --filter type=foo
network ls --filter driver=host --format "{{.Name}} {{.Driver}} {{.Scope}} {{.Internal}} {{.IPv6}}"
network inspect nosuch
network inspect blue -f "{{.Name}} {{json .IPAM}} {{.Internal}} {{json .Options}}"
network inspect blue -f {{.Nosuch}}
create --name c1 --network blue --ip 10.213.99.9 busybox sleep 100
run --network nosuch busybox true
create --network bridge --network-alias x busybox true
create --network red --network bridge busybox true
run --network host --ip 10.1.1.1 busybox true
network connect red c1
network connect red nosuch
network connect host c1
network connect none c1
network disconnect red c1
network disconnect red c1
network disconnect -f red nosuch
start c1
network connect red c1
network connect red c1
network connect host c1
network disconnect red c1
network disconnect red c1
inspect c1 -f "{{with .NetworkSettings.Networks.blue}}{{.IPAddress}} {{json .IPAMConfig}}{{end}}"
create --name c2 --network none busybox sleep 100
network connect red c2
ps -a --filter network=none --format "{{.Names}} {{.Networks}}"
create --network container:c1 --hostname x busybox true
create --network container:c1 --dns 1.1.1.1 busybox true
create --network container:c1 --link c1 busybox true
create --network container:c1 -p 80 busybox true
create --network container:c1 --expose 80 busybox true
create --network host --link c1 busybox true
create --dns foo busybox true
create --add-host foo busybox true
create --link a:b:c busybox true
create --mac-address foo busybox true
create --network name=red,foo busybox true
rm -f c1 c2
network rm red blue
network rm -f red
"""


def said(done: subprocess.CompletedProcess[str]) -> tuple[int, str, str]:
    """Without ids and names of programs; only the first line of an error, which help follows."""
    out, err = (re.sub(r"[0-9a-f]{64}", "<id>", text) for text in (done.stdout, done.stderr))
    return done.returncode, out, err.partition("\n")[0].replace("minidock", "docker")


def test_the_same_commands_are_answered_alike(docker_engine, minidock, root_tarball) -> None:
    docker_engine("import", "-", "busybox", stdin=root_tarball)
    answers = {
        command: (said(docker_engine(*words)), said(minidock(*words)))
        for command in COMMANDS.strip().splitlines()
        for words in [shlex.split(command)]
    }
    different = {command: both for command, both in answers.items() if both[0] != both[1]}
    assert not different


@pytest.mark.parametrize("command", ["create", "connect", "disconnect", "ls", "rm", "inspect"])
def test_wrong_numbers_of_arguments(docker_engine, minidock, command: str) -> None:
    words = ("network", command, *(["a", "b", "c"] if command in ("create", "connect") else []))
    if command == "ls":
        words = (*words, "x")
    theirs, ours = docker_engine(*words), minidock(*words)
    assert said(ours)[0] == said(theirs)[0] != 0
    assert said(ours)[2] == said(theirs)[2]
