"""The holes that other runtimes had in what a process inherits or is asked to become, each tried by
doing the attack. (Mounts and devices: test_attacks_mounts.py.)"""

from __future__ import annotations

import fcntl
import hashlib
import io
import json
import os
import pty
import shutil
import signal
import struct
import subprocess
import sys
import tarfile
import termios
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

Program = Callable[[str, str], Path]


@pytest.fixture(scope="session")
def c_program(tmp_path_factory: pytest.TempPathFactory) -> Program:
    """Compiles a program that needs no library: the small image has none."""
    if not shutil.which("gcc"):
        pytest.skip("needs gcc: the attack is a program of its own")
    directory = tmp_path_factory.mktemp("programs")

    def compile_program(name: str, source: str) -> Path:
        path = directory / name
        command = ["gcc", "-static", "-O1", "-x", "c", "-o", str(path), "-"]
        done = subprocess.run(command, input=source.encode(), capture_output=True, check=False)
        if done.returncode:
            pytest.skip(f"gcc cannot link statically here: {done.stderr.decode()[:200]}")
        return path

    return compile_program


@pytest.fixture
def own_rootfs(oci: Any, rootfs: Path, tmp_path: Path) -> Path:
    """A root filesystem that this test may write to."""
    own = tmp_path / "own"
    shutil.copytree(rootfs, own, symlinks=True)
    own.chmod(0o755)
    oci.rootfs = own
    return own


@pytest.fixture
def image(minidock: Any, root_tarball: bytes) -> Iterator[Callable[..., None]]:
    """Imports the small image with other files over it (text is a link, None a fifo)."""
    made = []

    def make(name: str, files: dict[str, bytes | str | None], **changes: str) -> None:
        given = [word for key, value in changes.items() for word in ("-c", f"{key} {value}")]
        tarball = _over(root_tarball, _tarball(files))
        minidock.ok("import", *given, "-", name, stdin=tarball)
        made.append(name)

    yield make
    minidock.remove_all()
    for name in made:
        minidock.ok("rmi", "-f", name)


def _tarball(files: dict[str, bytes | str | None]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for path, content in files.items():
            entry = tarfile.TarInfo(path)
            entry.mode = 0o755
            if content is None:
                entry.type = tarfile.FIFOTYPE
            elif isinstance(content, str):
                entry.type, entry.linkname = tarfile.SYMTYPE, content
            else:
                entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content) if isinstance(content, bytes) else None)
    return buffer.getvalue()


def _over(base_tarball: bytes, extra: bytes) -> bytes:
    """The small root filesystem's tarball without what `extra` has, then `extra`."""
    out = io.BytesIO()
    with (
        tarfile.open(fileobj=io.BytesIO(base_tarball)) as base,
        tarfile.open(fileobj=io.BytesIO(extra)) as more,
        tarfile.open(fileobj=out, mode="w") as tar,
    ):
        over = set(more.getnames())
        for archive in (base, more):
            for entry in archive:
                if archive is more or entry.name not in over:
                    tar.addfile(entry, archive.extractfile(entry) if entry.isreg() else None)
    return out.getvalue()


# ── numbers that are none ──

NO_USERS = ("4294967296", "4294967295", "2147483648", "-1", "18446744073709551616", "9" * 5000)


@pytest.mark.parametrize("number", NO_USERS, ids=lambda n: n[:24])
def test_a_user_id_out_of_range_is_never_root(minidock: Any, number: str) -> None:
    for user in (number, f"0:{number}"):
        done = minidock("run", "--rm", f"--user={user}", "busybox", "id")
        assert (done.returncode, done.stdout) == (125, "")
        assert "must be in range" in done.stderr
    name = minidock.ok("run", "-d", "busybox", "sleep", "100").strip()
    done = minidock("exec", f"--user={number}", name, "id")
    assert done.returncode != 0
    assert "uid=" not in done.stdout
    assert "must be in range" in done.stdout + done.stderr


def test_an_image_with_a_user_id_out_of_range(minidock: Any, image: Any) -> None:
    image("overflow", {}, USER="4294967296")
    done = minidock("run", "--rm", "overflow", "id")
    assert (done.returncode, done.stdout) == (125, "")


def test_a_passwd_with_a_user_id_out_of_range(minidock: Any, image: Any) -> None:
    passwd = b"evil:x:4294967296:4294967296::/:/bin/sh\nminus:x:-1:0::/:/bin/sh\n"
    image("overflow", {"etc/passwd": passwd})
    for user in ("evil", "minus"):
        done = minidock("run", "--rm", "-u", user, "overflow", "id")
        assert (done.returncode, done.stdout) == (125, "")
        assert "unable to find user" in done.stderr


# ── /etc/passwd as a trap ──


@pytest.mark.parametrize(
    "passwd",
    [None, "/dev/zero", "/dev/full", "/proc/self/mem", "/dev/stdin", "passwd", "/proc/kmsg"],
    ids=str,
)
@pytest.mark.parametrize("user", ["www-data", "33", ""])
def test_a_passwd_that_never_ends(minidock: Any, image: Any, passwd: str | None, user: str) -> None:
    """A fifo, an endless device, a link in a circle: an error, or passed over, but no waiting."""
    image("trap", {"etc/passwd": passwd})
    flags = ["-u", user] if user else []
    done = minidock("run", "--rm", *flags, "trap", "echo", "ran", timeout=20)
    if user == "www-data":
        assert done.returncode in (125, 128), done.stdout
        assert done.stdout == ""
    assert len(done.stderr) < 2000


def test_a_passwd_of_gigabytes(minidock: Any) -> None:
    """It is a file with a hole, so it costs the image nothing; nobody reads it whole."""
    name = minidock.ok("run", "-d", "busybox", "sleep", "100").strip()
    minidock.ok("exec", name, "dd", "if=/dev/zero", "of=/etc/passwd", "bs=1", "count=1",
                "seek=8589934592")  # fmt: skip
    done = minidock("exec", "-u", "www-data", name, "id", timeout=20)
    assert done.returncode != 0
    assert "/etc/passwd in the container is larger than" in done.stdout + done.stderr


def test_a_passwd_that_becomes_a_fifo_while_it_runs(minidock: Any) -> None:
    name = minidock.ok("run", "-d", "busybox", "sleep", "100").strip()
    minidock.ok("exec", name, "sh", "-c", "rm /etc/passwd /etc/group && mkfifo /etc/passwd "
                "&& ln -s /dev/zero /etc/group")  # fmt: skip
    done = minidock("exec", "-u", "www-data", name, "id", timeout=20)
    assert done.returncode != 0
    assert "not a regular file" in done.stdout + done.stderr


NSS = """
#include <fcntl.h>
__attribute__((constructor)) static void loaded(void) { open("/owned", O_CREAT | O_RDWR, 0666); }
"""


def test_name_services_of_the_image_are_not_loaded(
    minidock: Any, image: Any, tmp_path: Path
) -> None:
    """getpwnam(3) loads what /etc/nsswitch.conf names, from the file system it is in by then."""
    if not shutil.which("gcc"):
        pytest.skip("needs gcc: the attack is a library")
    library = tmp_path / "libnss_evil.so.2"
    command = ["gcc", "-shared", "-fPIC", "-o", str(library), "-x", "c", "-"]
    subprocess.run(command, input=NSS.encode(), check=True)
    content = library.read_bytes()
    names = ("evil", "files", "compat", "systemd")
    places = ("lib", "usr/lib", "lib64", f"lib/{os.uname().machine}-linux-gnu")
    files: dict[str, bytes | str | None] = {
        f"{place}/libnss_{name}.so.2": content for place in places for name in names
    }
    line = b"passwd: evil files\ngroup: evil files\ninitgroups: evil\n"
    image("nss", {**files, "etc/nsswitch.conf": line})
    name = minidock.ok("run", "-d", "-u", "www-data:staff", "nss", "sleep", "100").strip()
    minidock.ok("exec", "-u", "www-data", name, "true")
    assert minidock("exec", name, "ls", "/owned").returncode == 1


# ── what is inherited ──


@pytest.fixture
def leaks(tmp_path: Path) -> Iterator[list[int]]:
    """Descriptors of the host's directories, as a careless caller leaves them open."""
    fds = []
    for path in ("/", "/etc", str(tmp_path)):
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        os.set_inheritable(fd, True)
        fds.append(fd)
    yield fds
    for fd in fds:
        os.close(fd)


def test_descriptors_of_the_caller_do_not_leak(minidock: Any, leaks: list[int]) -> None:
    name = "leaks"
    argv = [*minidock.argv, "run", "--name", name, "busybox", "ls", "/proc/self/fd"]
    done = subprocess.run(
        argv, env=minidock.env, pass_fds=leaks, capture_output=True, text=True, check=False
    )
    assert done.stdout.split() == ["0", "1", "2", "3"], done.stderr
    minidock.ok("rm", "-f", name)
    minidock.ok("run", "-d", "--name", name, "busybox", "sleep", "100")
    argv = [*minidock.argv, "exec", name, "ls", "/proc/self/fd"]
    done = subprocess.run(
        argv, env=minidock.env, pass_fds=leaks, capture_output=True, text=True, check=False
    )
    assert done.stdout.split() == ["0", "1", "2", "3"], done.stderr


def test_descriptors_of_an_engine_do_not_leak(oci: Any, leaks: list[int]) -> None:
    done = oci("run", "--bundle", oci.bundle("ls", "/proc/self/fd"), "fds", pass_fds=leaks)
    assert done.stdout.split() == ["0", "1", "2", "3"]
    oci.ok("run", "--detach", "--bundle", oci.bundle("sleep", "100"), "more")
    done = oci("exec", "more", "ls", "/proc/self/fd", pass_fds=leaks)
    assert done.stdout.split() == ["0", "1", "2", "3"]


@pytest.mark.parametrize("directory", ["/proc/self/fd/{}", "/proc/1/fd/{}", "/dev/fd/{}/../.."])
def test_a_working_directory_of_the_host(oci: Any, leaks: list[int], directory: str) -> None:
    """CVE-2024-21626: a descriptor of a host directory that is still open, as working directory."""
    oci.ok("run", "--detach", "--bundle", oci.bundle("sleep", "100"), "here")
    for fd in (*range(3, 9), *leaks):
        path = directory.format(fd)
        bundle = oci.bundle("pwd", change=lambda c, path=path: c["process"].update(cwd=path))
        done = oci("run", "--bundle", bundle, f"cwd{fd}", pass_fds=leaks)
        assert (done.returncode == 0, done.stdout) == (False, ""), path
        done = oci("exec", "--cwd", path, "here", "pwd", pass_fds=leaks)
        assert (done.returncode == 0, done.stdout) == (False, ""), path


def ignore_everything() -> None:
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())


IGNORED = ("grep", "-E", "^Sig(Blk|Ign|Cgt)", "/proc/self/status")
NONE_IGNORED = "".join(f"Sig{kind}:\t{'0' * 16}\n" for kind in ("Blk", "Ign", "Cgt"))


def test_signals_that_the_caller_ignores(minidock: Any) -> None:
    def run(*args: str) -> str:
        done = subprocess.run(
            [*minidock.argv, *args],
            env=minidock.env,
            preexec_fn=ignore_everything,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert run("run", "--rm", "busybox", *IGNORED) == NONE_IGNORED
    name = run("run", "-d", "busybox", "sleep", "100").strip()
    assert run("exec", name, *IGNORED) == NONE_IGNORED


def test_signals_that_an_engine_ignores(oci: Any) -> None:
    done = oci("run", "--bundle", oci.bundle(*IGNORED), "s", preexec_fn=ignore_everything)
    assert done.stdout == NONE_IGNORED, done.stderr


def test_exec_has_nothing_inheritable(minidock: Any) -> None:
    """CVE-2022-24769. Nor has it more than the container, whatever its user."""
    name = minidock.ok("run", "-d", "busybox", "sleep", "100").strip()
    for user, has in (("0", "00000000a80425fb"), ("33", "0" * 16)):
        out = minidock.ok("exec", "-u", user, name, "grep", "^Cap", "/proc/self/status")
        sets = dict(line.split(":\t") for line in out.splitlines())
        assert (sets["CapInh"], sets["CapAmb"]) == ("0" * 16, "0" * 16)
        assert (sets["CapEff"], sets["CapPrm"]) == (has, has)
        assert sets["CapBnd"] == "00000000a80425fb"


# ── the runtime's own program ──

# In the place of the dynamic loader, which the kernel starts when an image's program is
# "#!/proc/self/exe" and so the runtime's interpreter is executed again, inside. No C library begins
# in such a place: calls are made by hand, and nothing has an address yet.
LOADER = r"""
static long call(long n, long a, long b, long c) {
    long result;
    __asm__ volatile("syscall" : "=a"(result) : "a"(n), "D"(a), "S"(b), "d"(c)
                     : "rcx", "r11", "memory");
    return result;
}
void _start(void) {
    char file[] = "/proc/self/exe", again[] = "/again", where[] = "fd=?", said[] = "inside\n";
    char *argv[3];
    call(1, 1, (long)said, 7);
    where[3] = '0' + call(2, (long)file, 0, 0);
    argv[0] = again; argv[1] = where; argv[2] = 0;
    call(59, (long)again, (long)argv, (long)&argv[2]);
    call(60, 1, 0, 0);
}
"""
# The second time: nobody runs that interpreter any more, so it is not busy.
AGAIN = r"""
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
int main(int argc, char **argv) {
    char path[64];
    snprintf(path, sizeof path, "/proc/self/fd/%s", argv[1] + 3);
    for (int i = 0; i < 50; i++) {
        if (open(path, O_WRONLY | O_TRUNC) >= 0) { puts("OWNED"); return 0; }
        if (errno != ETXTBSY) break;
        usleep(20000);
    }
    printf("refused: %s\n", strerror(errno));
    return 0;
}
"""


def interpreter_digest() -> str:
    return hashlib.sha256(Path(sys.executable).read_bytes()).hexdigest()


@pytest.fixture
def loader(c_program: Program, own_rootfs: Path) -> Path:
    if os.uname().machine != "x86_64":
        pytest.skip("the attack is written for x86-64")
    (own_rootfs / "lib64").mkdir()
    flags = ["-nostdlib", "-static-pie", "-fPIE", "-O1", "-fno-stack-protector", "-x", "c", "-"]
    program = own_rootfs / "lib64/ld-linux-x86-64.so.2"
    subprocess.run(["gcc", "-o", str(program), *flags], input=LOADER.encode(), check=True)
    shutil.copy(c_program("again", AGAIN), own_rootfs / "again")
    entry = own_rootfs / "entry"
    entry.write_text("#!/proc/self/exe\n")
    entry.chmod(0o755)
    return own_rootfs


def test_the_runtimes_program_cannot_be_written_from_run(oci: Any, loader: Path) -> None:
    """CVE-2019-5736, done."""
    before = interpreter_digest()
    done = oci.run("/entry")
    assert "inside" in done.stdout, (done.stdout, done.stderr)  # the attack got that far
    assert "refused: Read-only file system" in done.stdout
    assert interpreter_digest() == before


def test_the_runtimes_program_cannot_be_written_from_exec(oci: Any, loader: Path) -> None:
    before = interpreter_digest()
    oci.ok("run", "--detach", "--bundle", oci.bundle("sleep", "100"), "victim")
    done = oci("exec", "victim", "/entry")
    assert "inside" in done.stdout, (done.stdout, done.stderr)
    assert "refused: Read-only file system" in done.stdout
    assert interpreter_digest() == before


# Root of the container looks at every process that comes by, as fast as it can.
SPY = r"""
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
int main(void) {
    struct stat ours, about;
    char path[64], name[256];
    stat("/proc/self/exe", &ours);
    fclose(fopen("/ready", "w"));
    for (;;) {
        DIR *proc = opendir("/proc");
        struct dirent *entry;
        while ((entry = readdir(proc))) {
            int pid = atoi(entry->d_name);
            if (pid <= 1 || pid == getpid()) continue;
            snprintf(path, sizeof path, "/proc/%d/exe", pid);
            memset(name, 0, sizeof name);
            if (readlink(path, name, sizeof name - 1) > 0 && !strstr(name, "busybox"))
                printf("exe %s\n", name);
            snprintf(path, sizeof path, "/proc/%d/cwd", pid);
            memset(name, 0, sizeof name);
            if (readlink(path, name, sizeof name - 1) > 0 && strcmp(name, "/"))
                printf("cwd %s\n", name);
            snprintf(name, sizeof name, "/proc/%d/comm", pid);
            int comm = open(name, O_RDONLY);
            memset(name, 0, sizeof name);
            if (comm >= 0) { read(comm, name, sizeof name - 1); close(comm); }
            if (strstr(name, "true")) continue;  /* the program itself, which is ours to see */
            if (*name) printf("saw %s", name);
            if (ptrace(PTRACE_SEIZE, pid, 0, 0) == 0) {
                ptrace(PTRACE_INTERRUPT, pid, 0, 0);
                int status;
                waitpid(pid, &status, __WALL);
                if (!WIFSTOPPED(status)) continue;
                memset(name, 0, sizeof name);
                snprintf(path, sizeof path, "/proc/%d/exe", pid);
                readlink(path, name, sizeof name - 1);
                /* By now it may have become the program. */
                if (!strstr(name, "busybox")) printf("traced %s\n", name);
                ptrace(PTRACE_DETACH, pid, 0, 0);
            }
        }
        closedir(proc);
        fflush(stdout);
    }
}
"""


def test_who_enters_cannot_be_looked_into_or_traced(
    oci: Any, c_program: Program, own_rootfs: Path, tmp_path: Path
) -> None:
    """What `exec` sends in is the host's interpreter until the very last moment."""
    shutil.copy(c_program("spy", SPY), own_rootfs / "spy")

    bundle = oci.bundle("/spy", change=lambda config: config["root"].update(readonly=False))
    report = tmp_path / "report"
    with report.open("wb") as out:
        spy = subprocess.Popen(
            [*oci.argv, "run", "--bundle", bundle, "spy"], stdout=out, stderr=subprocess.DEVNULL
        )
    deadline = time.monotonic() + 20
    while not (own_rootfs / "ready").exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    for _ in range(10):
        assert oci("exec", "spy", "true").returncode in (0, 137)
    oci("kill", "spy", "KILL")
    spy.wait(20)
    lines = set(report.read_text().splitlines())
    assert any(line.startswith("saw ") for line in lines), "the spy saw nobody come in"
    assert not {line for line in lines if not line.startswith("saw ")}


# ── the terminal of who started it ──

TYPE = r"""
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
int main(void) {
    int typed = 0;
    for (int fd = 0; fd < 3; fd++)
        for (const char *c = "evil\n"; *c; c++)
            if (ioctl(fd, TIOCSTI, c) == 0) typed++;
    printf("typed %d, %s\n", typed, strerror(errno));
    return 0;
}
"""


def test_nothing_can_be_typed_into_the_callers_terminal(
    oci: Any, c_program: Program, own_rootfs: Path
) -> None:
    """TIOCSTI puts characters into the input of a terminal: of the shell that started us, when the
    container is given its terminal, as standard input for example, and is in its session."""
    shutil.copy(c_program("type", TYPE), own_rootfs / "type")
    bundle = oci.bundle("/type")
    master, slave = pty.openpty()

    def take_terminal() -> None:
        os.setsid()
        fcntl.ioctl(slave, termios.TIOCSCTTY, 0)

    process = subprocess.Popen(
        [*oci.argv, "run", "--bundle", bundle, "typist"],
        stdin=slave, stdout=slave, stderr=slave, pass_fds=(slave,), preexec_fn=take_terminal,
    )  # fmt: skip
    assert process.wait(30) == 0
    text = os.read(master, 65536).decode()
    assert "typed 0, Operation not permitted" in text or "typed 0, Input/output error" in text
    waiting = fcntl.ioctl(slave, termios.FIONREAD, bytes(4))
    assert struct.unpack("i", waiting) == (0,)
    os.close(master)
    os.close(slave)


def test_a_container_has_no_controlling_terminal_of_the_hosts(oci: Any) -> None:
    master, slave = pty.openpty()

    def take_terminal() -> None:
        os.setsid()
        fcntl.ioctl(slave, termios.TIOCSCTTY, 0)

    script = "cut -d' ' -f7 /proc/self/stat; (: < /dev/tty) 2>&1"
    done = oci(
        "run", "--bundle", oci.bundle("sh", "-c", script), "tty",
        preexec_fn=take_terminal, pass_fds=(slave,),
    )  # fmt: skip
    lines = done.stdout.splitlines()
    assert lines[0] == "0"
    assert "/dev/tty" in lines[1]
    os.close(master)
    os.close(slave)


# ── writes meant for procfs ──


def test_a_sysctl_is_not_written_to_the_images_files(oci: Any, own_rootfs: Path) -> None:
    """CVE-2019-16884 and CVE-2025-52881: /proc of the image is not procfs, or leads elsewhere."""

    def change(config: dict[str, Any]) -> None:
        config["mounts"] = [m for m in config["mounts"] if m["destination"] != "/proc"]
        config["linux"]["maskedPaths"] = config["linux"]["readonlyPaths"] = []
        config["linux"]["sysctl"] = {"net.ipv4.ip_forward": "1"}

    shutil.rmtree(own_rootfs / "proc")
    victim = own_rootfs / "proc/sys/net/ipv4/ip_forward"
    victim.parent.mkdir(parents=True)
    victim.write_text("mine")
    done = oci.run("true", change=change)
    assert done.returncode != 0
    assert "/proc in the container is not a procfs" in done.stderr
    assert victim.read_text() == "mine"


def test_a_sysctl_is_not_led_elsewhere(oci: Any, tmp_path: Path) -> None:
    """Another file is mounted over the very file that is to be written."""
    victim = tmp_path / "victim"
    victim.write_text("mine")

    def change(config: dict[str, Any]) -> None:
        target = "/proc/sys/net/ipv4/ip_forward"
        bind = {"destination": target, "type": "bind", "source": str(victim), "options": ["bind"]}
        config["mounts"].append(bind)
        config["linux"]["sysctl"] = {"net.ipv4.ip_forward": "1"}

    assert oci.run("true", change=change).returncode != 0
    assert victim.read_text() == "mine"


LABEL = """
import os, sys
from minidock.errors import StartFailed
from minidock.isolation.lsm import LabelProgram
from minidock.linux.kernel import LinuxKernel
from minidock.linux.flags import MountFlag
from minidock.step import Context
source, target = sys.argv[1:]
LinuxKernel().mount(source, target.format(os.getpid()), None, MountFlag.MS_BIND, None)
try:
    LabelProgram("process.selinuxLabel", "exec", "evil").apply(LinuxKernel(), Context())
except StartFailed as error:
    print(error)
"""


@pytest.mark.parametrize(
    ("source", "target", "words"),
    [
        ("victim", "/proc/{}/attr/exec", "cross-device link"),
        ("directory", "/proc/{}/attr", "cross-device link"),
        ("fake", "/proc", "is not a procfs"),
    ],
)
def test_a_label_is_not_led_elsewhere(tmp_path: Path, source: str, target: str, words: str) -> None:
    """What says which label the program gets: another file mounted over it, another directory, and
    a /proc that is none. A start that believed in it would run the program without its label."""
    if os.geteuid() != 0:
        pytest.skip("needs root: it makes mounts")
    victims = [tmp_path / "victim", tmp_path / "directory/exec", tmp_path / "fake/self/attr/exec"]
    for victim in victims:
        victim.parent.mkdir(parents=True, exist_ok=True)
        victim.write_text("mine")
    done = subprocess.run(
        ["unshare", "-m", sys.executable, "-c", LABEL, str(tmp_path / source), target],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert words in done.stdout, done.stderr
    assert [victim.read_text() for victim in victims] == ["mine"] * 3


def test_state_says_nothing_that_was_not_so(oci: Any) -> None:
    """After all these failures the state of a container that runs is what it is."""
    oci.ok("run", "--detach", "--bundle", oci.bundle("sleep", "100"), "fine")
    assert json.loads(oci.ok("state", "fine"))["status"] == "running"
