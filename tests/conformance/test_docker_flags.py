"""run's flags, and update, pause, top and stats, beside Docker's own: the same words, the same
codes, the same HostConfig.

The engine here may be older than the client; where a newer one says something else, minidock says
that, and it is not compared.
"""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., subprocess.CompletedProcess[str]]

WRONG = """
-m x
-m 5m
-m -1
-m 10z
-m ''
--memory-swap 10m
-m 20m --memory-swap 10m
-m 20m --memory-swap -2
--memory-reservation 5m
-m 20m --memory-reservation 30m
--memory-swappiness 101
--memory-swappiness x
--cpus x
--cpus 1000
--cpus -1
--cpus 0.0000000001
--cpus 1/3
--cpus 1 --cpu-period 1000
--cpus 1 --cpu-quota 1000
--cpu-period 10
--cpu-quota 10
-c x
--cpuset-cpus x
--cpuset-cpus 0-9999
--cpuset-cpus 1-0
--cpuset-cpus 0,
--cpuset-mems y
--cpu-rt-period 1000 --cpu-rt-runtime 2000
--pids-limit x
--blkio-weight 70000
--blkio-weight x
--blkio-weight-device x
--blkio-weight-device /dev/null:5
--blkio-weight-device sda:100
--device-read-bps x
--device-read-bps /dev/vda:x
--device-read-bps vda:1m
--device-write-iops /dev/vda:1k
--device nosuch
--device /dev/nosuch
--device /etc/passwd
--device /dev/null:/dev/x:z
--device /dev/null:a:b:c
--device /dev/null:rr
--device ''
--device-cgroup-rule x
--oom-score-adj 2000
--oom-score-adj x
--ulimit x
--ulimit nofile=x
--ulimit nofile=1:2:3
--ulimit nofile=5:2
--ulimit nofile=-1:5
--ulimit NOFILE=5
--shm-size x
--shm-size -5
--sysctl x
--sysctl vm.swappiness=1
--cgroupns x
--cap-add x
--cap-drop x
--security-opt x
--security-opt x=y
--security-opt no-new-privileges=x
--security-opt seccomp=/nosuch
--security-opt seccomp=/etc/passwd
--security-opt seccomp=/tmp
--userns x
--pid x
--pid container:
--pid container:nosuch
--pid container:made
--ipc container:nosuch
--ipc container:made
--ipc container:alone
--uts x
--uts host --hostname x
--group-add nosuch
--group-add 5000000000
--group-add -1
--tmpfs x
--tmpfs /
--tmpfs /x:y
--stop-timeout x
--cpu-quota 500
--cpu-shares -1
""".strip().splitlines()

GOOD = """
-m 20m
-m 20m --memory-swap -1
--memory-reservation 10m
--memory-swappiness 0
--cpus 1.5
-c 999999
--cpu-quota -5
--cpu-period 1000 --cpu-quota 2000
--cpuset-cpus 0 --cpuset-mems 0
--pids-limit 5
--pids-limit -7
--device-read-bps /dev/vda:1m --device-read-bps /dev/vdb:2kb
--device-write-iops /dev/vda:10
--device /dev/null
--device /dev/null:/dev/foo:r
--device /dev/./null:rw
--device-cgroup-rule 'c 1:3 rwm' --device-cgroup-rule 'c *:* m'
--oom-score-adj 5
--oom-kill-disable -m 20m
--oom-kill-disable
--ulimit nofile=5:10 --ulimit core=0
--ulimit nofile=-1
--shm-size 0
--shm-size 1g
--sysctl net.ipv4.ip_forward=1
--cgroup-parent x
--cgroupns host
--cap-add net_admin --cap-drop CAP_net_raw --cap-add all
--privileged --read-only
--privileged --security-opt label=disable
--pid host
--ipc host
--pid container:alone
--security-opt no-new-privileges:true --security-opt seccomp=unconfined
--security-opt systempaths=unconfined --security-opt no-new-privileges
--userns host
--ipc none
--ipc shareable
--uts host
--group-add 5 --group-add audio --group-add 5
--tmpfs /x --tmpfs /y:size=1m
--isolation default
--domainname foo.bar
--stop-timeout 5
--init=false
--blkio-weight 50
""".strip().splitlines()

SESSION = """
update alone
update
update --foo alone
update -m 5m alone
update -m 20m alone
update -m 20m nosuch
update --memory-swap -1 -m 20m alone
update --memory-swap 20m alone
update --cpus 1 alone
update --cpu-quota 10000 alone
update --cpu-period 10000 alone
update --cpus 1000 alone
update --pids-limit 10 alone
inspect -f {{.HostConfig.PidsLimit}}{{.HostConfig.Memory}}{{.HostConfig.NanoCpus}} alone
update --pids-limit -1 alone
update --cpuset-cpus 9999 alone
update --cpuset-cpus 0 alone
update --restart on-failure:x alone
update --restart on-failure:3 alone made
update --restart no alone
update -c 5 alone made
update --blkio-weight 30 alone
inspect -f {{.HostConfig.CpuShares}}{{.HostConfig.RestartPolicy}}{{.HostConfig.PidsLimit}} alone
top
top nosuch
top made
top alone -o pid,cmd
top alone -o cmd
top alone
top alone aux
top alone -eo pid,comm
stats nosuch
stats --no-stream nosuch made
stats --no-stream made
stats --no-stream --format json made
stats --no-stream --format {{.Foo}} made
stats --no-stream --format {{.Foo made
stats --no-stream --format {{.Container}}|{{.Name}}|{{.NetIO}}|{{.PIDs}} alone made
stats --no-stream --no-trunc made
stats -x
pause
pause nosuch
pause made
pause alone
pause alone
ps --format {{.Names}}|{{.State}}
inspect -f {{.State.Status}}{{.State.Paused}}{{.State.Running}} alone
start alone
attach alone
top alone -o comm,pid
unpause nosuch
unpause made
unpause alone
unpause alone
pause alone
kill alone
ps -a --format {{.Names}}|{{.State}}
start alone
pause alone nosuch
stop -t 1 alone
start alone
pause alone
restart -t 1 alone
ps -a --format {{.Names}}|{{.State}}
pause alone
rm -f alone
""".strip().splitlines()


def words_of(line: str) -> list[str]:
    import shlex

    return shlex.split(line)


@pytest.fixture(scope="module")
def both(
    docker_engine: Run, minidock_home: Any, tmp_path_factory: pytest.TempPathFactory,
    root_tarball: bytes,
) -> Iterator[tuple[Run, Run]]:  # fmt: skip
    """`made` was never started; `alone` runs, and shares nothing."""
    minidock = type(minidock_home)(tmp_path_factory.mktemp("flags"))
    for run in (docker_engine, minidock):
        assert not run("import", "-", "tiny", stdin=root_tarball).returncode
        none = ("--network", "none")
        assert not run("create", *none, "--name", "made", "tiny", "true").returncode
        done = run("run", "-d", *none, "--name", "alone", "tiny", "sleep", "1000")
        assert not done.returncode, done.stderr
    yield docker_engine, minidock
    minidock.remove_all()
    docker_engine("rm", "-f", *docker_engine("ps", "-aq").stdout.split())
    docker_engine("rmi", "-f", "tiny")  # other tests compare whole lists


def normal(text: str) -> str:
    """Without ids, numbers of processes, times, and the name of the program."""
    text = text.replace("minidock", "docker")
    text = re.sub(r"\b[0-9a-f]{64}\b", "<id>", text)
    text = re.sub(r"\b[0-9a-f]{12}\b", "<short>", text)
    text = re.sub(r"^(\S+) +\d+ +\d+ .*", r"\1 <ps>", text, flags=re.M)
    text = re.sub(r"^(COMMAND +PID\n\S+) +\d+$", r"\1 <pid>", text)
    text = re.sub(r"^(USER +PID.*\n\S+) +\d+ .*", r"\1 <ps>", text)
    return re.sub(r"^\d+ +", "<pid> ", text, flags=re.M)


@pytest.mark.parametrize("flags", WRONG)
def test_the_same_is_refused_in_the_same_words(both: tuple[Run, Run], flags: str) -> None:
    theirs, ours = (
        run("run", "--rm", "--network", "none", *words_of(flags), "tiny", "true") for run in both
    )
    assert normal(ours.stderr) == normal(theirs.stderr)
    assert (ours.returncode, ours.stdout) == (theirs.returncode, theirs.stdout)
    assert theirs.returncode  # or it is not wrong


_NEWER = {
    "CgroupnsMode": "ours is private on v1, too",
    "MaskedPaths": "more of them every year",
    "Runtime": "our own",
}


def host_config(run: Run, flags: str) -> tuple[dict[str, Any], str]:
    none = ("--network", "none")
    done = run("create", *none, "--name", "shown", *words_of(flags), "tiny", "true")
    assert done.returncode == 0, done.stderr
    document = json.loads(run("inspect", "shown").stdout)[0]
    run("rm", "shown")
    config = {key: document["Config"].get(key) for key in ("Domainname", "StopTimeout")}
    return document["HostConfig"] | config, done.stderr


@pytest.mark.parametrize("flags", GOOD)
def test_inspect_shows_the_same_host_config(both: tuple[Run, Run], flags: str) -> None:
    (theirs, their_words), (ours, our_words) = (host_config(run, flags) for run in both)
    given = {"CgroupnsMode": "cgroupns" in flags, "MaskedPaths": not theirs["MaskedPaths"]}
    for key in _NEWER:
        if not given.get(key):
            del theirs[key], ours[key]
    if "container:" in theirs["PidMode"]:  # an id of one's own
        theirs["PidMode"], ours["PidMode"] = theirs["PidMode"][:10], ours["PidMode"][:10]
    different = {
        key: (theirs[key], ours[key]) for key in theirs.keys() & ours.keys()
        if theirs[key] != ours[key]
    }  # fmt: skip
    assert different == {}
    if "--privileged" not in flags:  # minidock says what it could not grant
        assert our_words == their_words


@pytest.fixture(scope="module")
def answers(both: tuple[Run, Run]) -> list[tuple[Any, Any]]:
    """What both said at each step of the session."""
    found = []
    for line in SESSION:
        theirs, ours = (run(*words_of(line)) for run in both)
        found.append(
            tuple((normal(d.stdout), normal(d.stderr), d.returncode) for d in (theirs, ours))
        )
    return found  # type: ignore[return-value]


@pytest.mark.parametrize("step", range(len(SESSION)), ids=SESSION)
def test_both_say_the_same(answers: list[tuple[Any, Any]], step: int) -> None:
    theirs, ours = answers[step]
    assert ours == theirs


HELP = ("run", "create", "update", "stats", "top", "pause", "unpause", "exec")


@pytest.mark.parametrize("command", HELP)
def test_help_has_dockers_words_for_the_flags_that_both_have(
    docker_engine: Run, minidock_home: Any, command: str
) -> None:
    def flags(run: Run) -> dict[str, str]:
        text = run(command, "--help").stdout
        text = text[text.find("Options:") :] if "Options:" in text else ""
        text = text.partition("\n\n")[0]
        joined = re.sub(r"\n {20,}", " ", text)
        found = re.findall(r"^ +(?:-\w, )?--([a-z0-9-]+)( \w+)? +(.*)$", joined, flags=re.M)
        return {name: f"{kind.strip()}: {' '.join(words.split())}" for name, kind, words in found}

    theirs, ours = flags(docker_engine), flags(minidock_home)
    different = {
        name: (theirs[name], ours[name])
        for name in theirs.keys() & ours.keys() - _OWN_WORDS
        if re.sub(r" \(default [^)]*\)+$", "", theirs[name])
        != re.sub(r" \(default [^)]*\)+$", "", ours[name])
    }
    assert different == {}


_OWN_WORDS = {  # where there is less, or more, to be had
    *("rm", "pull", "network", "userns", "cgroupns", "format", "memory-swap"),
    *("user", "cpu-rt-period", "cpu-rt-runtime"),  # run and exec, run and update differ
}


def test_the_image_root_is_not_touched_by_a_tmpfs(both: tuple[Run, Run], tmp_path: Path) -> None:
    """The same mount, seen from inside."""
    script = "grep ' /x ' /proc/mounts"
    lines = []
    for run in both:
        options = ("--rm", "--network", "none", "--tmpfs", "/x:size=1m,mode=700,exec")
        lines.append(run("run", *options, "tiny", "sh", "-c", script).stdout)
    theirs, ours = (set(line.split()[3].split(",")) for line in lines)
    assert ours - {"inode64"} == theirs - {"inode64"}
