"""run, exec and the life of a container beside Docker: the same lines, the same answers.

The same small root filesystem is imported into an engine of the test's own and into minidock. Each
line below is typed to both; exit code, standard output and standard error must agree, after what
`normal` takes away. Where an older engine merely speaks or acts differently from Docker 28, that is
listed here with the version that changed it, and nothing else is forgiven.
"""

from __future__ import annotations

import difflib
import re
import shlex
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., subprocess.CompletedProcess[str]]
IMAGE = "like-docker"
RUN = f"run --rm --network none {IMAGE} "

# What an engine says, and what Docker 28's says in its place.
WORDS_OF_28 = (
    # 24.0 names the task
    (r"(?<!container: )failed to create shim", "failed to create task for container: \\g<0>"),
    # runc 1.2 says when it went wrong; 1.1.6 looks whether the program is a directory
    (r"(create failed: unable to start container process: )(exec:)",
     r"\1error during container init: \2"),
    (r'exec: "(/etc|/|/bin/)": permission denied', r'exec: "\1": is a directory'),
    # 25.0 says why and what to do; it names the container as the user did, 20.10 by its id
    (r"You cannot remove a running container \S+ Stop the container before attempting removal or"
     r" force remove",
     'cannot remove container "*": container is running: stop the container before removing or'
     " force remove"),
    (r'cannot remove container "[^"]*"', 'cannot remove container "*"'),
    # 28.0 begins errors with a small letter
    (r"Cannot kill container: ", "cannot kill container: "),
    (r"\bContainer ([0-9a-f]{64} is not running)", r"container \1"),
    # 25.0 writes addresses as Go's netip does
    (r"(fe|ff)00::0\t", r"\g<1>00::\t"),
)  # fmt: skip

# Not the same, and why that is right. What minidock answers instead: exit code and some words.
DIFFERENT: dict[str, tuple[int, str]] = {
    # Docker guesses that somebody mounted something, and exits with 125. It was not found.
    f"{RUN}/etc/passwd/x": (127, "stat /etc/passwd/x: not a directory: unknown\n"),
    # Docker's guess again, when a working directory is none.
    "exec -w /etc/passwd c1 pwd":
        (126, "chdir to cwd (\"/etc/passwd\") set in config.json failed: not a directory: unknown"),
    # Docker's message has a path of its own store in it.
    f"run --rm --network none -w /etc/passwd/x {IMAGE} pwd":
        (125, "Cannot mkdir: /etc/passwd/x is not a directory\n"),
    # Docker finds out when it stops the container; there is no such signal anywhere.
    f"run --rm --network none --stop-signal 65 {IMAGE} true": (125, "Invalid signal: 65\n"),
    # tini is PID 1 before it tries the program, so with Docker the start has succeeded.
    f"run --rm --network none --init {IMAGE} nosuch": (127, "executable file not found in $PATH"),
    f"run --rm --network none --init {IMAGE} /etc/passwd": (126, "permission denied"),
}  # fmt: skip


def normal(text: str) -> str:
    """Without ids, times and the name of the program, as Docker 28 says it."""
    for pattern, words in WORDS_OF_28:
        text = re.sub(pattern, words, text)
    text = re.sub(r"\b[0-9a-f]{64}\b", "<id>", text)
    text = re.sub(r"\b[0-9a-f]{12}\b", "<short id>", text)
    text = re.sub(r"(pipe|socket):\[\d+\]", r"\1:[<inode>]", text)
    text = re.sub(r"\b[A-Z][a-z][a-z] [ \d]\d \d\d:\d\d\b", "<date>", text)  # of `ls -l`
    return re.sub(r"\b(minidock|runc)\b", "docker", text)


Answer = tuple[int, str, str]
ABSENT = "executable file not found|no such file or directory"


def ask(run: Run, line: str, stdin: bytes = b"") -> Answer:
    done = run(*shlex.split(line), stdin=stdin)
    code, out = done.returncode, normal(done.stdout)
    if code == 126 and out.startswith("OCI runtime exec failed") and re.search(ABSENT, out):
        code = 127  # 20.10 knows 127 of `run` only
    return code, out, normal(done.stderr)


@pytest.fixture(scope="module")
def both(docker_engine: Run, minidock_home: Any, root_tarball: bytes) -> Iterator[tuple[Run, Run]]:
    """Docker and minidock, with the same image."""
    runs: tuple[Run, Run] = (docker_engine, minidock_home)
    for run in runs:
        assert run("import", "-", IMAGE, stdin=root_tarball).returncode == 0
    yield runs
    minidock_home("rmi", IMAGE)


@pytest.fixture
def clean(both: tuple[Run, Run]) -> Iterator[tuple[Run, Run]]:
    """The same, and no container is left of either."""
    yield both
    for run in both:
        ids = run("ps", "-aq").stdout.split()
        if ids:
            run("rm", "-f", *ids)


def compare(both: tuple[Run, Run], line: str, stdin: bytes = b"") -> Answer:
    """Type it to both. What they answer must be equal; it is returned."""
    theirs, ours = (ask(run, line, stdin) for run in both)
    assert ours == theirs, "\n".join([line, *differences(theirs, ours)])
    return ours


def agree(both: tuple[Run, Run], line: str) -> None:
    """Compare, or where the two differ for a reason, see that they do as the reason says."""
    if line not in DIFFERENT:
        compare(both, line, stdin=b"one\ntwo\n")
        return
    code, words = DIFFERENT[line]
    theirs, ours = (ask(run, line) for run in both)
    assert (ours[0], words in ours[1] + ours[2]) == (code, True), ours
    assert ours != theirs, "this is the same by now: it needs no exception"


def differences(theirs: Answer, ours: Answer) -> list[str]:
    """Lines of Docker's that we lack (-), and ours that it has not (+)."""
    first, second = (f"exit {code}\n{out}\n{err}".split("\n") for code, out, err in (theirs, ours))
    return [repr(line) for line in difflib.ndiff(first, second) if not line.startswith(" ")]


SINGLE = [
    # programs that cannot be started
    *(RUN + c for c in (
        "nosuch", "/nosuch", "./nosuch", "bin/nosuch", "/etc", "/", "/etc/passwd", "''", "/bin/",
        "/etc/passwd/x", "'a b'", "'a\nb\t\"'", "é", "etc/passwd", ".", "..", "bin/sh -c 'exit 3'",
    )),
    f"run --rm --network none {IMAGE}",
    *(f"run --rm --network none -u '{u}' {IMAGE} sh -c 'id -u; id -g; id -G; echo $HOME'" for u in (
        "", "0", "root", "33", "www-data", "www-data:staff", "33:50", ":33", "root:", ":", "1000",
        "1000:1000", "33:33:33", "nosuch", "root:nosuch", "4294967296", "2147483648",
        "1000:4294967296", "-1", " ", "0x1", "007", "nosuch:nosuch", "1:-1",
    )),
    *(f"run --rm --network none -w '{w}' {IMAGE} pwd" for w in (
        "", "/", "/tmp", "/new/one", "rel", "../x", "/tmp/../etc", "/etc/passwd", "//tmp/", ".",
        "/tmp/./x/",
    )),
    f"run --rm --network none -w /etc/passwd/x {IMAGE} pwd",
    f"run --rm --network none -u 33 -w /root {IMAGE} pwd",
    f"run --rm --network none -u 33 -w /root/made {IMAGE} sh -c 'pwd; stat -c %u:%g:%a .'",
    *(f"run --rm --network none --name '{n}' {IMAGE} true" for n in (
        "a b", "a", "/a", "-x", "_x", ".x", "é", "a/b", "/ok", "",
    )),
    *(f"run --rm --network none -h '{h}' {IMAGE} sh -c 'hostname; cat /etc/hostname /etc/hosts'"
      for h in ("box", "box.example.org", "", "under_score", "a b", "-box", "x" * 64, "é")),
    f"run --rm --network none --stop-signal FOO {IMAGE} true",
    f"run --rm --network none --stop-signal 0 {IMAGE} true",
    f"run --rm --network none --stop-signal 65 {IMAGE} true",
    f"run --rm --network none --stop-signal '' {IMAGE} true",
    "run --rm --network none --pull never nosuch true",
    "run --rm --network none --pull never nosuch:tag true",
    "run --rm --network none --pull never Foo true",
    "run --rm --network none --pull never a:b:c true",
    "run --rm --network none --pull never '' true",
    "run --rm --network none --pull never sha256:0123 true",
    f"run --rm --network none --pull never {'0' * 64} true",
    f"run --rm --network none --pull foo {IMAGE} true",
    # environment
    f"run --rm --network none -h b -e A=1 -e B= -e C=a=b -e A=2 {IMAGE} sh -c 'env | sort'",
    f"run --rm --net none -h b -e NOSUCH -e GIVEN -e PATH=/bin -e HOME=/x {IMAGE} sh -c 'env|sort'",
    f"run --rm --network none -h b -e PATH {IMAGE} true",
    f"run --rm --network none -h b -e HOSTNAME=x -e TERM=y {IMAGE} env",
    f"run --rm --network none -h b -e =x {IMAGE} env",
    f"run --rm --network none -h b -e '' {IMAGE} env",
    f"run --rm --network none -h b -e 'a b=c d' -e é=ü {IMAGE} sh -c 'env | sort'",
    f"run --rm --network none -h b -u www-data {IMAGE} env",
    f"run --rm --network none -h b -u 1000 {IMAGE} env",
    f"run --rm --network none -h b -u 1000 -e HOME= {IMAGE} env",
    f"run --rm --network none -h b -t {IMAGE} env",
    f"run --rm --network none -h b -t -e TERM=vt100 {IMAGE} env",
    f"run --rm --network none -h b -e HOSTNAME {IMAGE} env",
    f"run --rm --network none --env-file /nosuch {IMAGE} env",
    # entry points
    f"run --rm --network none --entrypoint echo {IMAGE} a b",
    f"run --rm --network none --entrypoint '' {IMAGE} echo a b",
    f"run --rm --network none --entrypoint '' {IMAGE}",
    f"run --rm --network none --entrypoint true {IMAGE}",
    f"run --rm --network none --entrypoint 'echo a' {IMAGE} b",
    f"run --rm --network none --entrypoint nosuch {IMAGE} b",
    # how it ends
    *(RUN + f"sh -c '{c}'" for c in (
        "exit 0", "exit 255", "exit 256", "exit 125", "exit 126", "exit 127", "kill -9 $$",
        "echo out; echo err >&2; exit 42", "printf nonewline", "sleep 0.1; kill -TERM $PPID",
    )),
    f"run --rm --network none --read-only {IMAGE} touch /x",
    f"run --rm --network none --read-only {IMAGE} sh -c 'touch /dev/shm/x /dev/x /tmp/x; echo $?'",
    f"run --rm --network none --init {IMAGE} sh -c 'echo $PPID; exit 5'",
    f"run --rm --network none --init {IMAGE} sh -c 'kill -9 $$'",
    f"run --rm --network none --init {IMAGE} sh -c 'kill -TERM $$'",
    f"run --rm --network none --init {IMAGE} nosuch",
    f"run --rm --network none --init {IMAGE} /etc/passwd",
    f"run --rm --network none -t {IMAGE} sh -c 'echo a; echo b >&2; printf c; tty; stty -a'",
    f"run --rm --network none -it {IMAGE} true",
    f"run --rm --network none -d -it --rm {IMAGE} true",
    f"run --rm --network none -d {IMAGE} true",
    f"run --rm --network none -d {IMAGE} nosuch",
    f"run --rm --network none {IMAGE} cat",
    f"run --rm --network none -i {IMAGE} cat",
    f"run --rm --network none -i {IMAGE} head -c 3",
    f"run --rm --network none -i {IMAGE} true",
    # what the process sees
    *(RUN + c for c in (
        "umask", "ls -la /proc/self/fd/", "ls -la /dev /dev/pts /dev/shm /dev/mqueue",
        "stat -c '%n %F %a %u:%g %t:%T' /dev/null /dev/zero /dev/full /dev/tty /dev/random"
        " /dev/urandom /dev/ptmx /dev/pts /dev/shm /dev/mqueue /dev/fd /dev/stdin",
        "cat /etc/hosts", "cat /etc/resolv.conf", "cat /proc/self/limits",
        "grep -E '^(Uid|Gid|Groups|Cap|NoNewPrivs|Sig[A-Z][a-z]+|Shd|Umask|NSpid|NSsid|NSpgid)'"
        " /proc/self/status",
        "cat /proc/sys/net/ipv4/ip_unprivileged_port_start /proc/sys/net/ipv4/ping_group_range",
        "cat /proc/self/oom_score_adj /proc/self/coredump_filter /proc/self/personality",
        "cat /proc/self/sessionid /proc/self/loginuid",
        "ls -A / /etc", "readlink /etc/mtab", "stat -c '%a %F' /.dockerenv",
        "stat -c '%a %u:%g' / /etc /etc/hosts /etc/hostname"
        " /etc/resolv.conf /proc /sys /dev /dev/pts /dev/shm /dev/mqueue /tmp /root",
        "sh -c 'ls /sys/firmware /proc/scsi /proc/acpi /proc/asound; cat /proc/keys /proc/kcore'",
        "cat /proc/1/cmdline", "tty",
        "sh -c 'cat /proc/sys/kernel/hostname /proc/sys/kernel/domainname | tail -n 1'",
        "ifconfig -s", "cat /proc/net/route", "sh -c 'ls -la /proc/self/ns | wc -l'",
        "cat /proc/self/timerslack_ns",
    )),
    f"run --rm --network none -u 33 {IMAGE} grep -E '^(Uid|Gid|Groups|Cap|NoNewPrivs)' "
    "/proc/self/status",
    f"run --rm --network none -t {IMAGE} ls -la /dev /proc/self/fd/ /dev/pts",
    f"run --rm --network none -i {IMAGE} ls -la /proc/self/fd/",
    f"run --rm --network none -t {IMAGE} stat -c '%n %F %a %u:%g %t:%T' /dev/console /dev/pts/0",
    f"run --rm --network none -t -u 33 {IMAGE} stat -c '%n %F %a %u:%g %t:%T' /dev/console "
    "/dev/pts/0",
]  # fmt: skip


@pytest.mark.parametrize("line", SINGLE)
def test_one_line(clean: tuple[Run, Run], line: str) -> None:
    agree(clean, line)


# ── the life of a container ──

STATE = (
    "inspect -f '{{.State.Status}} {{.State.Running}} {{.State.ExitCode}} [{{.State.Error}}]"
    " {{.State.OOMKilled}} {{.State.Dead}} {{.RestartCount}}' c1"
)
LOOPS = "sh -c 'trap \"exit 7\" TERM; while :; do sleep 0.05; done'"
BEGINNINGS = {
    "running": f"run -d --name c1 --network none {IMAGE} {LOOPS}",
    "ended": f"run --name c1 --network none {IMAGE} sh -c 'exit 3'",
    "created": f"create --name c1 --network none {IMAGE} {LOOPS}",
    "broken": f"run --name c1 --network none {IMAGE} nosuch",
    "removed": f"run --rm --name c1 --network none {IMAGE} true",
}
SETTLE = "a moment"  # for a shell to set its trap, for a `kill` to be noticed
LIFE = [
    SETTLE, STATE,
    "kill -s FOO c1", "kill -s 0 c1", "kill -s '' nosuch", "kill -s CONT c1",
    "exec c1 true", "exec c1 sh -c 'exit 9'", "exec c1 sh -c 'echo out; echo err >&2'",
    "exec c1 nosuch", "exec c1 'a\nb\t\"'", "exec c1 /nosuch", "exec c1 /etc/passwd", "exec c1 ''",
    "exec -d c1 true",
    "exec -d c1 nosuch", "exec -u nosuch c1 id", "exec -u 33:nosuch c1 id",
    "exec -u 4294967296 c1 id",
    "exec -u 33 -e A=1 -e NOSUCH c1 env", "exec -u www-data c1 id", "exec -e =x c1 env",
    "exec -w rel c1 pwd", "exec -w /nosuch c1 pwd", "exec -w /etc/passwd c1 pwd",
    "exec -w /tmp c1 pwd",
    "exec -it c1 true", "exec -t c1 sh -c 'tty; env; ls -la /proc/self/fd/'", "exec -i c1 cat",
    "exec c1 cat", "exec c1 ls -la /proc/self/fd/", "exec c1 sh -c 'umask; kill -9 $$'",
    "exec c1 grep -E '^(Uid|Gid|Groups|Cap|NoNewPrivs|Sig[A-Z][a-z]+|Umask)' /proc/self/status",
    "exec -u 33 c1 grep -E '^(Uid|Gid|Groups|Cap|NoNewPrivs)' /proc/self/status",
    "start c1", SETTLE, STATE,
    "rename c1 c1", "rename c1 a", "rename c1 'a b'", "rename c1 ''", "rename c1 new",
    "rename new c1",
    "rename c1 /new", "rename /new c1",
    "kill c1", SETTLE, STATE, "wait c1", "kill c1", "kill c1 nosuch", "stop c1", "attach c1",
    "exec c1 true", "start c1", SETTLE, "stop c1", "wait c1", STATE,
    "restart c1", SETTLE, STATE, "stop -t 0 c1", "stop nosuch c1", "start nosuch c1",
    "start -a c1 x",
    SETTLE, "restart nosuch", "wait nosuch", "stop -s FOO nosuch", "stop -t x nosuch",
    "stop -t 1.5 nosuch", "rm -f nosuch c1", "rm c1", "rm nosuch", "rm -f nosuch", "start nosuch",
    "start -a nosuch", "attach nosuch", "logs nosuch", "rename nosuch x", "exec nosuch true",
    "exec -it nosuch true", "kill nosuch", STATE,
]  # fmt: skip


@pytest.mark.parametrize("beginning", BEGINNINGS)
def test_a_life(clean: tuple[Run, Run], beginning: str) -> None:
    """Every command, in the same order, to a container that began like this."""
    for line in (BEGINNINGS[beginning], *LIFE):
        if line == SETTLE:
            time.sleep(0.3)
        elif beginning == "running":
            agree(clean, line)
        else:  # nothing runs, so nothing is different
            compare(clean, line, stdin=b"one\ntwo\n")


def test_a_running_container_is_not_removed(clean: tuple[Run, Run]) -> None:
    compare(clean, BEGINNINGS["running"])
    compare(clean, "rm c1")
    compare(clean, "rm -f c1")


@pytest.mark.parametrize("command", ["rename c2 c1", "create --name c1 --network none IMAGE true"])
def test_a_name_is_taken(clean: tuple[Run, Run], command: str) -> None:
    compare(clean, BEGINNINGS["ended"])
    compare(clean, f"create --name c2 --network none {IMAGE} true")
    compare(clean, command.replace("IMAGE", IMAGE))


@pytest.mark.parametrize(
    ("script", "how"),
    [
        ("exit 0", "run"), ("exit 3", "run"), ("kill -9 $$", "run --init"),
        ("kill -SEGV $$", "run --init"), ("exit 0", "run -d"), ("exit 4", "run -d -t"),
    ],
)  # fmt: skip
def test_how_it_ended(clean: tuple[Run, Run], script: str, how: str) -> None:
    compare(clean, f"{how} --name c1 --network none {IMAGE} sh -c '{script}'")
    compare(clean, "wait c1")
    compare(clean, STATE)
    compare(clean, "start -a c1")
    compare(clean, STATE)


def test_the_log_has_the_same_lines(clean: tuple[Run, Run]) -> None:
    """json-file, which other programs read. Times differ; keys, order and escapes do not."""
    script = r"""echo "a\"b\\ <&> é"; printf "\033[1m\001\t\r\n"; sleep 0.1; echo e >&2; sleep 0.1
    printf "\377\376\n"; sleep 0.1; head -c 40000 /dev/zero | tr "\0" x; echo; printf end"""
    found = []
    for run in clean:
        done = run("run", "--name", "c1", "--network", "none", IMAGE, "sh", "-c", script)
        assert done.returncode == 0
        path = run("inspect", "-f", "{{.LogPath}}", "c1").stdout.strip()
        text = Path(path).read_text()
        found.append(re.sub(r'"time":"[-\d]{10}T[:\d]{8}\.\d{1,9}Z"', '"time":""', text))
    assert found[1] == found[0]


def test_a_cidfile(clean: tuple[Run, Run], tmp_path: Path) -> None:
    for run in clean:
        path = tmp_path / "cid"
        done = run("run", "-d", "--rm", "--network", "none", "--cidfile", str(path), IMAGE, "true")
        assert path.read_text() == done.stdout.strip()
        path.unlink()
    there = tmp_path / "there"
    there.write_text("x")
    compare(clean, f"run --rm --network none --cidfile {there} {IMAGE} true")
    compare(clean, f"create --network none --cidfile {there} {IMAGE} true")
    # Docker's client takes its own "no such file or directory" for a missing program's: 127.
    line = f"run --rm --network none --cidfile {tmp_path}/no/such {IMAGE} true"
    theirs, ours = (ask(run, line) for run in clean)
    assert ours == (125, *theirs[1:])
    compare(clean, f"run --rm --network none --cidfile {tmp_path} {IMAGE} true")
    for run in clean:
        code = ask(run, f"run --rm --network none --cidfile {tmp_path}/new {IMAGE} nosuch")[0]
        assert (code, len((tmp_path / "new").read_text())) == (127, 64)  # there was a container
        (tmp_path / "new").unlink()


def test_environment_files(clean: tuple[Run, Run], tmp_path: Path) -> None:
    file = tmp_path / "env"
    for content in (
        "A=1\n# no\n\n  B=2\nC\nD= x y \nA=3\nHOME=/h\n", "E=\r\nF=é\n", "=x\n", "a b=c\n", "\tG=1",
    ):  # fmt: skip
        file.write_bytes(content.encode())
        compare(clean, f"run --rm --network none -h b --env-file {file} -e A=4 {IMAGE} env")
    file.write_bytes(b"\xff\xfe=1\n")
    compare(clean, f"run --rm --network none -h b --env-file {file} {IMAGE} env")


# ── what the kernel says ──


def mounts(run: Run, *flags: str) -> dict[str, tuple[str, str, str]]:
    """Of each mount point: its filesystem, its own options, the filesystem's."""
    text = run("run", "--rm", "--network", "none", *flags, IMAGE, "cat", "/proc/self/mountinfo")
    found = {}
    for line in text.stdout.splitlines():
        fields, _, filesystem = line.partition(" - ")
        path, options, *propagation = fields.split()[4:]
        kind, _, of_filesystem = filesystem.split()
        of_filesystem = of_filesystem.removesuffix(",size=4k,nr_inodes=1")  # of masks: runc 1.2.7
        if kind == "overlay":  # layers, and how they are stacked, are each engine's own
            of_filesystem = of_filesystem.partition(",")[0]
        if path in ("/etc/hosts", "/etc/hostname", "/etc/resolv.conf"):
            kind = of_filesystem = "the host's"
        # Docker's tree is a slave of the host's, ours is private: nothing goes out of either.
        assert not any(word.startswith("shared:") for word in propagation), line
        found[path] = (kind, options, of_filesystem)
    return found


# A newer engine masks more.
MASKED_SINCE = {"/proc/interrupts", "/sys/devices/virtual/powercap", "/proc/latency_stats"}


@pytest.mark.parametrize("flags", [(), ("-t",), ("--read-only",), ("--init",), ("-u", "33")])
def test_mounts(clean: tuple[Run, Run], flags: tuple[str, ...]) -> None:
    theirs, ours = (mounts(run, *flags) for run in clean)
    assert ours.pop("/sys/fs/cgroup")[1].startswith("ro,")  # so says the bundle of both; runc
    theirs.pop("/sys/fs/cgroup")  # leaves the directory of a private cgroup v1 writable
    for path in set(theirs) | set(ours):
        if path in MASKED_SINCE or path.startswith("/sys/fs/cgroup/"):
            continue
        if path == "/sbin/docker-init":  # ours is not a file in the container
            continue
        assert ours.get(path) == theirs.get(path), path
    for path, mount in ours.items():
        if path.startswith("/sys/fs/cgroup/"):
            assert mount[1] == theirs[path][1], path


def test_its_cgroup_is_its_own(clean: tuple[Run, Run]) -> None:
    """No process of the host's, or of another container's, is in any cgroup it is limited by."""
    for run in clean:
        name = run("run", "-d", "--network", "none", IMAGE, "sleep", "100").stdout.strip()
        pid = run("inspect", "-f", "{{.State.Pid}}", name).stdout.strip()
        lines = Path(f"/proc/{pid}/cgroup").read_text().splitlines()
        own = [line for line in lines if name in line]
        assert any(":devices:" in line or line.startswith("0::") for line in own), lines


def test_kernel_settings_are_what_docker_sets(clean: tuple[Run, Run]) -> None:
    """All of those that belong to a namespace, hence differ between containers and the host."""
    places = "net/ipv4/ip_* net/ipv4/ping_* net/ipv4/conf/lo/* net/core/somaxconn kernel/shm*"
    places += " kernel/msg* kernel/sem fs/mqueue/*"
    script = f"cd /proc/sys; for f in {places}; do echo $f $(cat $f 2>&1); done"
    compare(clean, f"run --rm --network none {IMAGE} sh -c '{script}'")
