"""The default profile, read as the kernel will: what it refuses and what programs need; and a
user's profile in Docker's format."""

from typing import Any

import pytest

from minidock.engine.posture import CAPABILITIES
from minidock.engine.seccomp_default import EVERYBODY, WITH_CAPABILITY
from minidock.engine.seccomp_profile import convert, default_profile, load_profile
from minidock.errors import InvalidInput
from minidock.isolation.seccomp.architectures import (
    AARCH64,
    OF_MACHINE,
    S390X,
    X32_BIT,
    X86,
    X86_64,
    Architecture,
    Numbers,
)
from minidock.isolation.seccomp.compiler import compile_profile
from minidock.isolation.seccomp.evaluate import evaluate
from minidock.isolation.seccomp.numbers import TABLE
from minidock.spec.config_fields import ConfigFields
from minidock.spec.seccomp import parse_seccomp

ALLOW, EPERM, ENOSYS, KILL = 0x7FFF0000, 0x50001, 0x50026, 0
NAMES = {row.split()[0] for row in TABLE.splitlines()[1:]}


class Container:
    """What the default profile answers in a container."""

    def __init__(self, *more: str, image: str = "amd64", machine: str = "x86_64") -> None:
        profile = default_profile([*CAPABILITIES, *more], image)
        seccomp = parse_seccomp(ConfigFields(profile, "profile"))
        self._program = compile_profile(seccomp, machine, (6, 1)).program
        self._native = OF_MACHINE[machine][0]

    def __call__(self, name: str, *arguments: int, on: Architecture | None = None) -> int:
        architecture = on or self._native
        number = Numbers(architecture, TABLE).find(name)
        assert number is not None, name
        return evaluate(self._program, number, architecture.audit, arguments)

    def number(self, number: int, architecture: Architecture = X86_64) -> int:
        return evaluate(self._program, number, architecture.audit)


@pytest.fixture(scope="module")
def container() -> Container:
    return Container()


REFUSED = (
    "io_uring_setup io_uring_enter io_uring_register keyctl add_key request_key bpf perf_event_open"
    " userfaultfd unshare setns mount umount2 pivot_root open_tree move_mount fsopen fsconfig"
    " fsmount fspick mount_setattr kexec_load kexec_file_load init_module finit_module"
    " delete_module swapon swapoff reboot settimeofday clock_settime iopl ioperm acct quotactl"
    " syslog sethostname"
    " setdomainname open_by_handle_at move_pages migrate_pages mbind set_mempolicy kcmp pidfd_getfd"
    " process_madvise vhangup lookup_dcookie nfsservctl uselib ustat sysfs _sysctl"
).split()


@pytest.mark.parametrize("name", REFUSED)
def test_refused(container: Container, name: str) -> None:
    assert container(name) == EPERM
    if Numbers(X86, TABLE).find(name) is not None:
        assert container(name, on=X86) == EPERM


def test_what_programs_need(container: Container) -> None:
    for name in (
        "read write openat mmap brk execve exit_group clone futex rt_sigreturn socket bind connect"
        " ptrace chroot mknodat setuid capset prctl seccomp getrandom statx epoll_wait arch_prctl"
        " fanotify_mark io_setup shmat semop"
    ).split():
        assert container(name) == ALLOW, name
        if name != "arch_prctl":
            assert container(name, on=X86 if Numbers(X86, TABLE).find(name) else None) == ALLOW


def test_clone_makes_no_namespace(container: Container) -> None:
    for flag in (0x20000, *(1 << bit for bit in range(25, 31))):
        assert container("clone", flag | 17) == EPERM
        assert container("clone", flag | 17, on=X86) == EPERM
    assert container("clone", 0x3D0F00) == ALLOW  # what pthread_create(3) says
    assert container("clone3") == ENOSYS


def test_clone_on_s390_has_its_flags_second() -> None:
    container = Container(image="s390x", machine="s390x")
    assert container("clone", 0x10000000, 17) == ALLOW
    assert container("clone", 0, 0x10000000) == EPERM
    assert container("read", on=S390X) == ALLOW


def test_other_machines() -> None:
    container = Container(image="arm64", machine="aarch64")
    assert container("openat", on=AARCH64) == ALLOW
    assert container("unshare") == container("bpf") == container("io_uring_setup") == EPERM


@pytest.mark.parametrize("family", [38, 40, 12, 37, 46, 0xFFFF, 2**32 + 40, 2**32 + 1, 2**63 + 2])
def test_sockets_that_are_refused(container: Container, family: int) -> None:
    """Of the argument's 64 bits the kernel looks at 32: 2**32 + 40 is AF_VSOCK, too."""
    assert container("socket", family) == EPERM


@pytest.mark.parametrize("family", [1, 2, 10, 16, 17, 29])
def test_sockets_that_are_not(container: Container, family: int) -> None:
    assert container("socket", family) == ALLOW
    assert container("socket", family, on=X86) == ALLOW


def test_socketcall_makes_no_socket_but_in_a_32_bit_image(container: Container) -> None:
    assert container("socketcall", 1, on=X86) == EPERM
    assert container("socketcall", 3, on=X86) == ALLOW
    assert Container(image="386")("socketcall", 1, on=X86) == ALLOW


def test_personality(container: Container) -> None:
    assert container("personality", 0) == container("personality", 0xFFFFFFFF) == ALLOW
    assert container("personality", 0x40000) == EPERM  # ADDR_NO_RANDOMIZE
    assert container("personality", 0x400000) == EPERM  # READ_IMPLIES_EXEC


def test_what_is_newer_and_what_is_x32(container: Container) -> None:
    assert container.number(999) == container.number(500) == ENOSYS
    assert container.number(999, X86) == ENOSYS
    assert container.number(X32_BIT | 0) == container.number(X32_BIT | 520) == ENOSYS
    assert evaluate(container._program, 0, AARCH64.audit) == KILL


@pytest.mark.parametrize(
    ("capability", "names"),
    [(group.capability, group.names.split()) for group in WITH_CAPABILITY],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_capability_brings_its_calls(
    container: Container, capability: str, names: list[str]
) -> None:
    present = [name for name in names if Numbers(X86_64, TABLE).find(name) is not None]
    more = Container(capability)
    assert {more(name) for name in present} == {ALLOW}
    if capability not in CAPABILITIES:
        refusing = {container(name) for name in present if name != "clone"}
        assert refusing <= {EPERM, ENOSYS}


def test_with_sys_admin_clone_is_free_and_clone3_is_there() -> None:
    container = Container("CAP_SYS_ADMIN")
    assert container("clone", 0x10000000) == container("clone3") == container("unshare") == ALLOW
    assert container("io_uring_setup") == container("keyctl") == EPERM
    assert container("socket", 40) == EPERM


def test_every_name_is_one() -> None:
    for group in (*EVERYBODY, *WITH_CAPABILITY):
        assert set(group.names.split()) <= NAMES
        assert group.reason


def test_nothing_is_named_twice() -> None:
    for groups in (EVERYBODY, WITH_CAPABILITY):
        for group in groups:
            if not group.conditions and not group.errno and not group.capability:
                others = [set(g.names.split()) for g in EVERYBODY if g is not group]
                assert not any(set(group.names.split()) & other for other in others)


# ── profiles of users ──


def user_profile(**fields: Any) -> dict[str, Any]:
    return {"defaultAction": "SCMP_ACT_ALLOW", **fields}


def rules(calls: list[dict[str, Any]], *capabilities: str) -> list[str]:
    made = convert(user_profile(syscalls=calls), capabilities, "amd64", (6, 1))
    assert made is not None
    return [name for rule in made["syscalls"] for name in rule["names"]]


def call(name: str, **fields: Any) -> dict[str, Any]:
    return {"names": [name], "action": "SCMP_ACT_ERRNO", **fields}


def test_unconfined_builtin_and_nothing() -> None:
    assert load_profile("unconfined", CAPABILITIES) is None
    assert load_profile("builtin", CAPABILITIES) == load_profile("", CAPABILITIES)
    assert load_profile("{}", CAPABILITIES) is None


def test_includes_and_excludes() -> None:
    calls = [
        call("read", includes={"caps": ["CAP_SYS_ADMIN"]}),
        call("write", excludes={"caps": ["CAP_SYS_ADMIN"]}),
        call("open", includes={"arches": ["amd64", "x32"]}),
        call("close", includes={"arches": ["s390"]}),
        call("stat", excludes={"arches": ["amd64"]}),
        call("lstat", includes={"minKernel": "4.8"}),
        call("poll", includes={"minKernel": "7.0"}),
        call("lseek", excludes={"minKernel": "4.8"}),
        call("mmap", includes={"caps": ["CAP_CHOWN", "CAP_SYS_ADMIN"]}),
        call("brk", includes={"caps": []}, excludes={}),
    ]
    assert rules(calls) == ["write", "open", "lstat", "brk"]
    assert rules(calls, "CAP_SYS_ADMIN") == ["read", "open", "lstat", "brk"]
    assert "mmap" in rules(calls, "CAP_SYS_ADMIN", "CAP_CHOWN")


def test_what_is_kept_of_a_rule() -> None:
    arguments = [{"index": 0, "value": 1, "op": "SCMP_CMP_EQ"}]
    rule = call("read", errnoRet=5, args=arguments, comment="why", includes={})
    made = convert(user_profile(syscalls=[rule]), (), "amd64", (6, 1))
    assert made is not None
    assert made["syscalls"] == [
        {"names": ["read"], "action": "SCMP_ACT_ERRNO", "errnoRet": 5, "args": arguments}
    ]
    single = {"name": "read", "action": "SCMP_ACT_ERRNO"}
    made = convert(user_profile(syscalls=[single]), (), "amd64", (6, 1))
    assert made is not None
    assert made["syscalls"] == [{"names": ["read"], "action": "SCMP_ACT_ERRNO"}]


def test_the_map_of_architectures() -> None:
    families = [
        {"architecture": "SCMP_ARCH_AARCH64", "subArchitectures": ["SCMP_ARCH_ARM"]},
        {"architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["SCMP_ARCH_X86"]},
    ]
    made = convert(user_profile(archMap=families), (), "amd64", (6, 1))
    assert made is not None
    assert made["architectures"] == ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"]
    alone = [{"architecture": "SCMP_ARCH_RISCV64", "subArchitectures": None}]
    made = convert(user_profile(archMap=alone), (), "riscv64", (6, 1))
    assert made is not None
    assert made["architectures"] == ["SCMP_ARCH_RISCV64"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[]", "it is not an object"),
        ("{", "Decoding seccomp profile failed"),
        ("[" * 100_000, "Decoding seccomp profile failed"),
        ('{"defaultAction":"SCMP_ACT_ALLOW","syscalls":7}', "syscalls is no list of objects"),
        (
            '{"defaultAction":"SCMP_ACT_ALLOW","architectures":["SCMP_ARCH_X86"],'
            '"archMap":[{"architecture":"SCMP_ARCH_X86"}]}',
            "both 'architectures' and 'archMap' are specified",
        ),
        (
            '{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"name":"a","names":["b"]}]}',
            "both 'name' and 'names' are specified",
        ),
        (
            '{"defaultAction":"SCMP_ACT_ALLOW","syscalls":'
            '[{"name":"a","includes":{"minKernel":"new"}}]}',
            "invalid kernel version: 'new'",
        ),
    ],
)
def test_a_bad_profile(text: str, words: str) -> None:
    with pytest.raises(InvalidInput, match=words):
        load_profile(text, CAPABILITIES)
