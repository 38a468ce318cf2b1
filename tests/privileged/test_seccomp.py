"""Filters of system calls, asked by making the calls: a program of a few bytes, assembled here for
the purpose, makes them one after another in a container and writes down what each returned."""

from __future__ import annotations

import array
import fcntl
import io
import json
import os
import platform
import random
import shutil
import signal
import socket
import struct
import subprocess
import tarfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from minidock.engine.posture import CAPABILITIES
from minidock.engine.seccomp_profile import default_profile
from minidock.isolation.seccomp.architectures import X32_BIT, X86, X86_64, Numbers
from minidock.isolation.seccomp.numbers import TABLE

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.conftest import Oci

pytestmark = pytest.mark.skipif(
    platform.machine() != "x86_64", reason="the probing program is made of x86-64 instructions"
)

NATIVE, I386 = Numbers(X86_64, TABLE), Numbers(X86, TABLE)
BASE, CODE, DATA = 0x400000, 0x1000, 0x200000
EPERM, ENOSYS, EINVAL = -1, -38, -22


class Call(NamedTuple):
    """A system call; with `compat` made with `int 0x80`, as 32-bit programs do."""

    number: int
    arguments: tuple[int, ...] = ()
    compat: bool = False


def call(name: str, *arguments: int) -> Call:
    number = NATIVE.find(name)
    assert number is not None, name
    return Call(number, arguments)


def compat(name: str, *arguments: int) -> Call:
    number = I386.find(name)
    assert number is not None, name
    return Call(number, arguments, compat=True)


def program(calls: list[Call], words: tuple[int, ...] = (), *, as_text: bool = False) -> bytes:
    """A static ELF program that makes `calls` and writes their results, 8 bytes each, to standard
    output. `words`, 32 bits each, lie at BASE + DATA for calls that want a pointer. `as_text`
    writes one byte each, the errno, which is a character then."""
    results = BASE + DATA + 4096
    code = b""

    def make(this: Call) -> bytes:
        if this.compat:  # rax rbx rcx rdx rsi rdi
            registers, enter = (b"\x48\xb8", b"\x48\xbb", b"\x48\xb9", b"\x48\xba", b"\x48\xbe",
                                b"\x48\xbf"), b"\xcd\x80"  # fmt: skip
        else:  # rax rdi rsi rdx r10 r8 r9
            registers, enter = (b"\x48\xb8", b"\x48\xbf", b"\x48\xbe", b"\x48\xba", b"\x49\xba",
                                b"\x49\xb8", b"\x49\xb9"), b"\x0f\x05"  # fmt: skip
        values = (this.number, *this.arguments, 0, 0, 0, 0, 0, 0)
        loads = [
            register + struct.pack("<Q", value & 2**64 - 1)
            for register, value in zip(registers, values, strict=False)
        ]
        return b"".join(loads) + enter

    for position, this in enumerate(calls):
        if as_text:  # neg eax; mov [results + position], al
            code += make(this) + b"\xf7\xd8\xa2" + struct.pack("<Q", results + position)
        else:  # mov [results + 8 * position], rax
            code += make(this) + b"\x48\xa3" + struct.pack("<Q", results + 8 * position)
    size = len(calls) * (1 if as_text else 8)
    code += make(Call(1, (1, results, size))) + make(Call(231, (0,)))
    assert len(code) < DATA - CODE
    header = b"\x7fELF\x02\x01\x01" + bytes(9)
    header += struct.pack("<HHIQQQIHHHHHH", 2, 62, 1, BASE + CODE, 64, 0, 0, 64, 56, 1, 0, 0, 0)
    size = DATA + 4 * len(words)
    header += struct.pack("<IIQQQQQQ", 1, 7, 0, BASE, BASE, size, DATA + 65536, 4096)
    text = header + bytes(CODE - len(header)) + code
    return text + bytes(DATA - len(text)) + struct.pack(f"<{len(words)}I", *words)


def results(output: bytes) -> list[int]:
    return [value for (value,) in struct.iter_unpack("<q", output)]


def signed32(values: list[int]) -> list[int]:
    """`int 0x80` gives 32 bits back."""
    return [struct.unpack("<i", struct.pack("<I", value & 2**32 - 1))[0] for value in values]


class Probe:
    """Makes calls in a container of an OCI runtime, with a profile."""

    def __init__(self, runtime: Oci, directory: Path) -> None:
        self.runtime = runtime
        self.directory = directory

    def bundle(
        self, calls: list[Call], profile: dict[str, Any] | None, words: tuple[int, ...] = (),
        change: Callable[[dict[str, Any]], object] = lambda config: None,
    ) -> str:  # fmt: skip
        path = self.directory / f"probe{len(list(self.directory.iterdir()))}"
        path.write_bytes(program(calls, words))
        path.chmod(0o755)

        def edit(config: dict[str, Any]) -> None:
            config["process"]["terminal"] = False
            if profile is not None:
                config["linux"]["seccomp"] = profile
            else:
                config["linux"].pop("seccomp", None)
            config["mounts"].append(
                {"destination": "/tmp", "source": str(self.directory), "type": "bind",
                 "options": ["bind"]}
            )  # fmt: skip
            change(config)

        return self.runtime.bundle(f"/tmp/{path.name}", change=edit)

    def __call__(self, calls: list[Call], profile: dict[str, Any] | None, **more: Any) -> list[int]:
        bundle = self.bundle(calls, profile, **more)
        name = f"p{os.path.basename(bundle)}"
        done = subprocess.run(
            [*self.runtime.argv, "run", "--bundle", bundle, name],
            capture_output=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, (done.returncode, done.stderr)
        return results(done.stdout)


@pytest.fixture
def probe(oci: Oci, tmp_path: Path) -> Probe:
    directory = tmp_path / "probes"
    directory.mkdir()
    return Probe(oci, directory)


DEFAULT = default_profile(CAPABILITIES, "amd64")


# ── the holes that others had ──


REFUSED = {
    "io_uring": call("io_uring_setup", 1, BASE + DATA),
    "keyctl": call("keyctl", 0, -3 & 2**64 - 1, 0),
    "add_key": call("add_key", 0, 0, 0, 0, -3 & 2**64 - 1),
    "bpf": call("bpf", 0, BASE + DATA, 64),
    "userfaultfd": call("userfaultfd", 0),
    "perf_event_open": call("perf_event_open", BASE + DATA, 0, -1 & 2**64 - 1, -1 & 2**64 - 1, 0),
    "a user namespace by unshare": call("unshare", 0x10000000),
    "a mount namespace by unshare": call("unshare", 0x20000),
    "a user namespace by clone": call("clone", 0x10000000 | 17),
    "a network namespace by clone": call("clone", 0x40000000 | 17),
    "AF_VSOCK": call("socket", 40, 1, 0),
    "AF_VSOCK, in the lower half only": call("socket", 2**32 + 40, 1, 0),
    "AF_ALG": call("socket", 38, 5, 0),
    "a personality without random addresses": call("personality", 0x40000),
    "mount": call("mount", BASE + DATA, BASE + DATA, BASE + DATA, 0, 0),
    "pivot_root": call("pivot_root", BASE + DATA, BASE + DATA),
    "open_by_handle_at": call("open_by_handle_at", 3, BASE + DATA, 0),
    "clock_settime": call("clock_settime", 0, BASE + DATA),
    "init_module": call("init_module", BASE + DATA, 0, BASE + DATA),
    "int 0x80: unshare": compat("unshare", 0x10000000),
    "int 0x80: keyctl": compat("keyctl", 0, 0, 0),
    "int 0x80: bpf": compat("bpf", 0, BASE + DATA, 64),
    "int 0x80: io_uring": compat("io_uring_setup", 1, BASE + DATA),
    "int 0x80: clone": compat("clone", 0x10000000 | 17),
    "int 0x80: AF_VSOCK": compat("socket", 40, 1, 0),
    "int 0x80: AF_ALG by socketcall": compat("socketcall", 1, BASE + DATA),
    "int 0x80: mount": compat("mount", BASE + DATA, BASE + DATA, BASE + DATA, 0, 0),
}
NOT_THERE = {
    "clone3": call("clone3", BASE + DATA, 88),
    "a call from the future": Call(999),
    "int 0x80: a call from the future": Call(999, (), True),
    "x32: getpid": Call(X32_BIT | 39),
    "x32: unshare": Call(X32_BIT | 272, (0x10000000,)),
    "x32: io_uring": Call(X32_BIT | 425, (1, BASE + DATA)),
}
ALLOWED = {
    "getpid": (call("getpid"), 1),
    "a network socket": (call("socket", 2, 1, 0), 3),
    "int 0x80: getpid": (compat("getpid"), 1),
    "int 0x80: a network socket": (compat("socket", 2, 1, 0), 4),
}
WORDS = (38, 5, 0)  # what socketcall finds: AF_ALG, SOCK_SEQPACKET


def test_the_default_profile(probe: Probe) -> None:
    asked = {**REFUSED, **NOT_THERE, **{name: made for name, (made, _) in ALLOWED.items()}}
    found = dict(zip(asked, signed32(probe(list(asked.values()), DEFAULT, words=WORDS)),
                     strict=True))  # fmt: skip
    wanted = dict.fromkeys(REFUSED, EPERM) | dict.fromkeys(NOT_THERE, ENOSYS)
    wanted |= {name: value for name, (_, value) in ALLOWED.items()}
    assert found == wanted


def test_those_calls_are_answered_by_the_filter_and_by_nothing_else(probe: Probe) -> None:
    """Without one, most of them are tried; so the test above does see the filter."""
    safe = {
        name: made
        for name, made in REFUSED.items()
        if "clone" not in name and "unshare" not in name and "module" not in name
    }
    free = dict(zip(safe, signed32(probe(list(safe.values()), None, words=WORDS)), strict=True))
    root_only = {"mount", "pivot_root", "open_by_handle_at", "clock_settime", "int 0x80: mount"}
    still_eperm = {name for name, result in free.items() if result == EPERM}
    assert still_eperm <= root_only | {"perf_event_open", "bpf", "int 0x80: bpf", "userfaultfd"}
    assert len(still_eperm) < len(free) / 2


def test_with_sys_admin(probe: Probe) -> None:
    def admin(config: dict[str, Any]) -> None:
        for names in config["process"]["capabilities"].values():
            names.append("CAP_SYS_ADMIN")

    profile = default_profile([*CAPABILITIES, "CAP_SYS_ADMIN"], "amd64")
    calls = [call("unshare", 0x20000), call("clone3", 0, 0), REFUSED["io_uring"], REFUSED["AF_ALG"]]
    assert probe(calls, profile, change=admin) == [0, EINVAL, EPERM, EPERM]


# ── through minidock run ──


@pytest.fixture(scope="module")
def image(minidock_home: Any) -> str:
    """An image with nothing but a program that makes five calls."""
    asked = [
        REFUSED["io_uring"], NOT_THERE["clone3"], REFUSED["AF_VSOCK"],
        REFUSED["a mount namespace by unshare"], call("getpid"),
    ]  # fmt: skip
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        entry = tarfile.TarInfo("probe")
        content = program(asked)
        entry.size, entry.mode = len(content), 0o755
        tar.addfile(entry, io.BytesIO(content))
    minidock_home.ok("import", "-c", 'CMD ["/probe"]', "-", "probe", stdin=buffer.getvalue())
    return "probe"


def run_probe(minidock: Any, *options: str, command: str = "run") -> list[int]:
    done = subprocess.run(
        [*minidock.argv, command, *options],
        capture_output=True,
        env=minidock.env,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return results(done.stdout)


FILTERED = [EPERM, ENOSYS, EPERM, EPERM, 1]


@pytest.mark.parametrize(
    "options", [[], ["--security-opt", "no-new-privileges"], ["-u", "1000"],
                ["--security-opt", "seccomp=builtin"], ["--init"]], ids=" ".join,
)  # fmt: skip
def test_run_has_the_default_profile(minidock: Any, image: str, options: list[str]) -> None:
    found = run_probe(minidock, "--rm", *options, image)
    assert found[:4] == FILTERED[:4]


def test_exec_has_it_too(minidock: Any, image: str) -> None:
    name = minidock.ok("run", "-d", "busybox", "sleep", "60").strip()
    status = minidock.ok("exec", name, "cat", "/proc/self/status")
    assert "Seccomp:\t2\n" in status
    assert "Seccomp_filters:\t1\n" in status
    status = minidock.ok("exec", name, "cat", "/proc/1/status")
    assert "Seccomp_filters:\t1\n" in status


@pytest.mark.parametrize("options", [["--privileged"], ["--security-opt", "seccomp=unconfined"]],
                         ids=" ".join)  # fmt: skip
def test_no_filter(minidock: Any, image: str, options: list[str]) -> None:
    found = run_probe(minidock, "--rm", *options, image)
    assert found[0] != EPERM
    assert found[1] == EINVAL  # clone3 with no arguments
    assert found[2] >= 0 or found[2] == -97  # EAFNOSUPPORT, where the kernel has no vsock


def test_a_profile_in_a_file(minidock: Any, image: str, tmp_path: Path) -> None:
    path = tmp_path / "profile.json"
    path.write_text(json.dumps({
        "defaultAction": "SCMP_ACT_ALLOW",
        "archMap": [{"architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["SCMP_ARCH_X86"]}],
        "syscalls": [
            {"names": ["getpid"], "action": "SCMP_ACT_ERRNO", "errnoRet": 42},
            {"names": ["unshare"], "action": "SCMP_ACT_ERRNO", "errnoRet": 43,
             "excludes": {"caps": ["CAP_SYS_ADMIN"]}},
            {"names": ["socket"], "action": "SCMP_ACT_ERRNO", "errnoRet": 44,
             "includes": {"caps": ["CAP_SYS_ADMIN"]}},
        ],
    }))  # fmt: skip
    found = run_probe(minidock, "--rm", "--security-opt", f"seccomp={path}", image)
    assert found[3:] == [-43, -42]
    assert found[2] != -44
    name = minidock.ok("create", "--security-opt", f"seccomp={path}", image).strip()
    (option,) = json.loads(minidock.ok("inspect", name))[0]["HostConfig"]["SecurityOpt"]
    assert json.loads(option.removeprefix("seccomp=")) == json.loads(path.read_text())


@pytest.mark.parametrize(
    ("profile", "words"),
    [
        ({"defaultAction": "SCMP_ACT_MAYBE", "syscalls": [{"name": "read"}]}, "SCMP_ACT_MAYBE"),
        (
            {"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_Z80"]},
            "unknown architecture 'SCMP_ARCH_Z80'",
        ),
        ({"defaultAction": "SCMP_ACT_NOTIFY"}, "SCMP_ACT_NOTIFY cannot be used as default action"),
    ],
)
def test_a_profile_that_cannot_be_used(
    minidock: Any, image: str, tmp_path: Path, profile: dict[str, Any], words: str
) -> None:
    path = tmp_path / "profile.json"
    path.write_text(json.dumps(profile))
    done = minidock("run", "--rm", "--security-opt", f"seccomp={path}", image)
    assert done.returncode != 0
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_a_killed_call_kills(minidock: Any, image: str, tmp_path: Path) -> None:
    path = tmp_path / "profile.json"
    rules = [{"name": "getpid", "action": "SCMP_ACT_KILL_PROCESS"}]
    path.write_text(json.dumps({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": rules}))
    done = minidock("run", "--rm", "--security-opt", f"seccomp={path}", image)
    assert done.returncode == 128 + signal.SIGSYS


def test_a_profile_for_one_program_only(probe: Probe) -> None:
    """With no_new_privs nothing but what the program itself calls need be allowed."""
    profile = {
        "defaultAction": "SCMP_ACT_KILL_PROCESS",
        "syscalls": [{"names": ["execve", "write", "exit_group", "getuid"],
                      "action": "SCMP_ACT_ALLOW"}],
    }  # fmt: skip

    def no_new_privileges(config: dict[str, Any]) -> None:
        config["process"]["noNewPrivileges"] = True

    assert probe([call("getuid")], profile, change=no_new_privileges) == [0]


# ── beside runc, which asks libseccomp ──


@pytest.mark.skipif(not shutil.which("runc"), reason="needs runc")
@pytest.mark.parametrize("seed", range(6))
def test_runc_answers_the_same(probe: Probe, tmp_path: Path, seed: int) -> None:
    """A profile that refuses everything but what a start needs, each call in its own way; and
    every call made, with arguments on both sides of the conditions."""
    dice = random.Random(seed)
    needed = (
        "execve write exit_group read close openat mmap munmap brk futex rt_sigreturn rt_sigaction"
        " rt_sigprocmask setresuid setresgid setgroups setuid setgid capset capget prctl fcntl"
        " close_range chdir getcwd newfstatat fstat stat setpgid setsid ioctl madvise mprotect"
        " epoll_ctl epoll_pwait nanosleep sched_yield tgkill sigaltstack gettid getpid getppid"
        " clone sendmsg recvmsg sendto recvfrom umask dup3 readlinkat faccessat faccessat2 access"
        " unlinkat lseek getdents64 pread64 set_robust_list rseq clock_nanosleep exit getrandom"
        " keyctl fchown fchownat getuid geteuid getgid getegid prlimit64 setrlimit getrlimit"
        " statfs fstatfs execveat poll ppoll wait4 waitid timerfd_settime timer_settime setitimer"
        " timer_create timer_delete pipe2 eventfd2 epoll_create1 rt_sigtimedwait pidfd_open"
        " pidfd_send_signal unshare personality socket connect restart_syscall rt_sigpending"
    ).split()
    needed.append("uretprobe")  # the kernel lets it past every filter, and it kills its caller
    names = [n for n in NATIVE.names() if n not in needed and not I386.find_multiplexed(n)]
    chosen = dice.sample([n for n in names if NATIVE.names()[n] < 440], 120)
    rules: list[dict[str, Any]] = [{"names": needed, "action": "SCMP_ACT_ALLOW"}]
    for number, name in enumerate(chosen):
        rule: dict[str, Any] = {"names": [name], "action": "SCMP_ACT_ERRNO",
                                "errnoRet": 200 + number}  # fmt: skip
        if number % 3:
            rule["args"] = [
                {
                    "index": index,
                    "value": dice.choice((0, 7, 2**31, 2**32 + 7)),
                    "valueTwo": dice.choice((0, 7)),
                    "op": f"SCMP_CMP_{dice.choice('EQ NE LT LE GT GE MASKED_EQ'.split())}",
                }
                for index in dice.sample(range(4), number % 3)
            ]
        rules.append(rule)
    profile = {
        "defaultAction": "SCMP_ACT_ERRNO",
        "defaultErrnoRet": 13,
        "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"],
        "syscalls": rules,
    }
    values = (0, 7, 8, 2**31, 2**32 + 7, 2**63)
    calls = [
        Call(NATIVE.names()[name], tuple(dice.choice(values) for _ in range(4)))
        for name in names
        for _ in range(4)
    ]
    allowed = {I386.find(name) for name in needed}
    socket_calls = {102, 117}
    calls += [
        Call(number, tuple(dice.choice(values[:4]) for _ in range(4)), compat=True)
        for name, number in I386.names().items()
        if number not in allowed | socket_calls and name in names
    ]
    calls += [Call(number) for number in (470, 500, 999, 12345)]
    known = _known_to_libseccomp(calls)
    ours = probe(known, profile)
    runc = type(probe.runtime)(tmp_path / "runc", probe.runtime.rootfs, ["runc"])
    runc.home.mkdir()
    theirs = Probe(runc, probe.directory)(known, profile)
    pairs = zip(known, signed32(ours), signed32(theirs), strict=True)
    assert [pair for pair in pairs if pair[1] != pair[2]] == []
    assert len(set(ours)) > 60


def _known_to_libseccomp(calls: list[Call]) -> list[Call]:
    """Without those whose names the installed libseccomp may not know; how it answers for them
    depends on what it does know."""
    return [made for made in calls if made.number < 440 or made.number >= 470]


# ── calls that somebody else decides on ──

RECEIVE, SEND = 0xC0502100, 0xC0182101  # SECCOMP_IOCTL_NOTIF_RECV, _SEND


class Agent:
    """Serves a socket as an agent does: takes a listener, answers what it is asked with errno 42
    for mkdir, and with "go on" for all else."""

    def __init__(self, path: Path) -> None:
        self.states: list[dict[str, Any]] = []
        self.asked: list[tuple[int, int]] = []  # number, first argument
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.bind(str(path))
        self._socket.listen()
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            connection, _ = self._socket.accept()
            rights = array.array("i")
            text, ancillary, _, _ = connection.recvmsg(65536, socket.CMSG_SPACE(4))
            for _, _, data in ancillary:
                rights.frombytes(data)
            self.states.append(json.loads(text))
            threading.Thread(target=self._answer, args=(rights[0],), daemon=True).start()

    def _answer(self, listener: int) -> None:
        try:
            while True:
                buffer = bytearray(80)
                fcntl.ioctl(listener, RECEIVE, buffer)
                number = struct.unpack_from("<Q", buffer)[0]
                call, first = struct.unpack_from("<i", buffer, 16)[0], struct.unpack_from(
                    "<Q", buffer, 32)[0]  # fmt: skip
                self.asked.append((call, first))
                error, flags = (-42, 0) if call == NATIVE.find("mkdir") else (0, 1)
                fcntl.ioctl(listener, SEND, struct.pack("<QqiI", number, 0, error, flags))
        except OSError:  # the container is gone
            os.close(listener)


def notify(path: Path, *names: str) -> dict[str, Any]:
    return {
        "defaultAction": "SCMP_ACT_ALLOW",
        "architectures": ["SCMP_ARCH_X86_64"],
        "listenerPath": str(path),
        "listenerMetadata": "for the agent",
        "syscalls": [{"names": list(names), "action": "SCMP_ACT_NOTIFY"}],
    }


@pytest.mark.parametrize("no_new_privileges", [False, True])
def test_an_agent_decides(probe: Probe, tmp_path: Path, no_new_privileges: bool) -> None:
    agent = Agent(tmp_path / "agent")

    def edit(config: dict[str, Any]) -> None:
        config["process"]["noNewPrivileges"] = no_new_privileges
        config["annotations"] = {"what": "for"}

    # That the start itself makes some of these calls, and waits for the agent, is part of it.
    profile = notify(tmp_path / "agent", "mkdir", "getppid", "setresuid", "close", "capset")
    asked = [call("mkdir", BASE + DATA, 0), call("getppid"), call("getpid")]
    assert probe(asked, profile, change=edit) == [-42, 0, 1]
    assert (NATIVE.find("mkdir"), BASE + DATA) in agent.asked
    assert (NATIVE.find("setresuid") in {n for n, _ in agent.asked}) is not no_new_privileges
    (state,) = agent.states
    pid = state["state"].pop("pid")
    assert state.pop("pid") == pid > 1
    bundle = state["state"].pop("bundle")
    assert state == {
        "ociVersion": "1.2.0",
        "fds": ["seccompFd"],
        "metadata": "for the agent",
        "state": {
            "ociVersion": "1.2.0",
            "id": f"p{os.path.basename(bundle)}",
            "status": "creating",
            "annotations": {"what": "for"},
        },
    }


def test_exec_tells_the_agent_of_itself(oci: Oci, tmp_path: Path) -> None:
    agent = Agent(tmp_path / "agent")

    def edit(config: dict[str, Any]) -> None:
        config["linux"]["seccomp"] = notify(tmp_path / "agent", "mkdir")

    bundle = oci.bundle("sleep", "60", change=edit)
    oci.ok("create", "--bundle", bundle, "c1")
    oci.ok("start", "c1")
    init = json.loads(oci.ok("state", "c1"))["pid"]
    done = oci("exec", "c1", "mkdir", "/tmp/x")
    assert done.returncode == 1
    assert os.strerror(42).lower() in done.stderr.lower() or "42" in done.stderr
    assert [state["state"]["status"] for state in agent.states] == ["creating", "running"]
    assert agent.states[0]["pid"] == init != agent.states[1]["pid"]
    oci.ok("delete", "--force", "c1")


def test_without_an_agent_nothing_starts(probe: Probe, tmp_path: Path) -> None:
    for profile, words in (
        (notify(tmp_path / "nobody", "mkdir"), "nobody"),
        ({**notify(tmp_path / "nobody", "mkdir"), "listenerPath": ""}, "listenerPath is not"),
        (notify(tmp_path / "nobody", "sendmsg"), "cannot be used for the sendmsg syscall"),
    ):
        bundle = probe.bundle([call("getpid")], profile)
        done = probe.runtime("run", "--bundle", bundle, "c1")
        assert done.returncode != 0
        assert words in done.stderr
        assert "Traceback" not in done.stderr
