"""The table of system call numbers says what the C library's headers and libseccomp say."""

import ctypes
import ctypes.util
import re
from pathlib import Path

import pytest

from minidock.isolation.seccomp import architectures
from minidock.isolation.seccomp.architectures import Architecture, Numbers
from minidock.isolation.seccomp.numbers import TABLE

ALL = [a for family in architectures.OF_MACHINE.values() for a in family]
HEADERS = Path("/usr/include/x86_64-linux-gnu/asm")


@pytest.mark.parametrize(
    ("header", "architecture"),
    [
        ("unistd_64.h", architectures.X86_64),
        ("unistd_32.h", architectures.X86),
        ("unistd_x32.h", architectures.X32),
    ],
)
def test_headers(header: str, architecture: Architecture) -> None:
    if not (HEADERS / header).exists():
        pytest.skip(f"needs {HEADERS}/{header} (Debian package linux-libc-dev)")
    text = (HEADERS / header).read_text()
    lines = re.findall(r"^#define __NR_(\w+) \(?(?:__X32_SYSCALL_BIT \+ )?(\d+)\)?$", text, re.M)
    theirs = {name: int(number) + architecture.base for name, number in lines}
    assert len(theirs) > 300
    ours = Numbers(architecture, TABLE)
    assert {name: ours.find(name) for name in theirs} == theirs


@pytest.mark.parametrize("architecture", ALL, ids=lambda a: a.name)
def test_libseccomp(architecture: Architecture) -> None:
    name = ctypes.util.find_library("seccomp")
    if not name:
        pytest.skip("needs libseccomp (Debian package libseccomp2)")
    library = ctypes.CDLL(name)
    library.seccomp_syscall_resolve_name_arch.argtypes = [ctypes.c_uint32, ctypes.c_char_p]
    token = library.seccomp_arch_resolve_name(architecture.column.encode())
    names = [row.split()[0] for row in TABLE.splitlines()[1:]]
    ours = Numbers(architecture, TABLE)
    compared = 0
    for call in names:
        theirs = library.seccomp_syscall_resolve_name_arch(token, call.encode())
        number = ours.find(call)
        if theirs >= 0:
            assert number == theirs, call
            compared += 1
        elif theirs == -1:
            assert number is None or number - architecture.base > 257, call  # newer than it
        elif number is not None:  # what it passes through socketcall and ipc; and an alias
            assert ours.find_multiplexed(call) or call == "sync_file_range2", call
        multiplexed = ours.find_multiplexed(call)
        if multiplexed and theirs < -1:  # libseccomp's own numbers for them: -1xx and -2xx
            assert multiplexed == ((102, -100 - theirs) if theirs > -200 else (117, -200 - theirs))
    assert compared > 250


def test_no_number_twice() -> None:
    for architecture in ALL:
        numbers = list(Numbers(architecture, TABLE).names().values())
        assert len(numbers) == len(set(numbers)) or architecture.name == "ARM"  # the alias


def test_columns_are_whole() -> None:
    header, *rows = TABLE.splitlines()
    assert {len(row.split()) for row in rows} == {len(header.split())}
    assert {a.column for a in ALL} == set(header.split()) - {"name"}
