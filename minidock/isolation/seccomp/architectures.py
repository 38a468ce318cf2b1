"""One kernel, several sets of system calls: a filter has to know them all.

An x86-64 kernel answers programs of three kinds. 64-bit ones use the `syscall` instruction; 32-bit
ones `int 0x80`, with the numbers of i386; x32 ones `syscall` with bit 30 set in the number. Nothing
ties a *program* to one of them: any 64-bit process may execute `int 0x80`. A filter that compares
numbers only would take number 26, `msync` on x86-64, and not see that it is `ptrace` on i386. So it
looks at `arch` before anything else, and a kind of call that nobody listed is never let through.

On 32-bit architectures an argument has 32 bits, and its comparison too. And the older of them have
calls that are many in one: `socketcall(1, args)` is `socket`, `ipc(21, …)` is `shmat`. Their
arguments lie in memory, where a filter cannot look; see `Architecture.find`.

See: syscall(2), seccomp(2) on arch, include/uapi/linux/audit.h
"""

from __future__ import annotations

from minidock.record import Record

X32_BIT = 0x40000000

# What `socketcall` and `ipc` are told in their first argument. linux/net.h, linux/ipc.h
_SOCKETCALL, _IPC = 102, 117
_MULTIPLEXED = {
    "socket": (_SOCKETCALL, 1),
    "bind": (_SOCKETCALL, 2),
    "connect": (_SOCKETCALL, 3),
    "listen": (_SOCKETCALL, 4),
    "accept": (_SOCKETCALL, 5),
    "getsockname": (_SOCKETCALL, 6),
    "getpeername": (_SOCKETCALL, 7),
    "socketpair": (_SOCKETCALL, 8),
    "send": (_SOCKETCALL, 9),
    "recv": (_SOCKETCALL, 10),
    "sendto": (_SOCKETCALL, 11),
    "recvfrom": (_SOCKETCALL, 12),
    "shutdown": (_SOCKETCALL, 13),
    "setsockopt": (_SOCKETCALL, 14),
    "getsockopt": (_SOCKETCALL, 15),
    "sendmsg": (_SOCKETCALL, 16),
    "recvmsg": (_SOCKETCALL, 17),
    "accept4": (_SOCKETCALL, 18),
    "recvmmsg": (_SOCKETCALL, 19),
    "sendmmsg": (_SOCKETCALL, 20),
    "semop": (_IPC, 1),
    "semget": (_IPC, 2),
    "semctl": (_IPC, 3),
    "semtimedop": (_IPC, 4),
    "msgsnd": (_IPC, 11),
    "msgrcv": (_IPC, 12),
    "msgget": (_IPC, 13),
    "msgctl": (_IPC, 14),
    "shmat": (_IPC, 21),
    "shmdt": (_IPC, 22),
    "shmget": (_IPC, 23),
    "shmctl": (_IPC, 24),
}


class Architecture(Record):
    """One set of system calls.

    Attributes:
        name: as in a profile, without `SCMP_ARCH_`.
        column: its name in numbers.TABLE.
        audit: what the kernel puts into `seccomp_data.arch`, AUDIT_ARCH_…; x32 shares x86-64's.
        base: what is added to the numbers of the table.
        wide: whether arguments have 64 bits.
        multiplexed: whether it has `socketcall` and `ipc`.
        setup: whether a call that the kernel does not know arrives as number 0. (s390 has two
            ways to pass a number, and this is what is left of one of them.)
    """

    name: str
    column: str
    audit: int
    base: int = 0
    wide: bool = True
    multiplexed: bool = False
    setup: bool = False


X86_64 = Architecture("X86_64", "x86_64", 0xC000003E)
X86 = Architecture("X86", "x86", 0x40000003, wide=False, multiplexed=True)
X32 = Architecture("X32", "x32", 0xC000003E, base=X32_BIT, wide=False)
AARCH64 = Architecture("AARCH64", "aarch64", 0xC00000B7)
ARM = Architecture("ARM", "arm", 0x40000028, wide=False)
RISCV64 = Architecture("RISCV64", "riscv64", 0xC00000F3)
PPC64LE = Architecture("PPC64LE", "ppc64le", 0xC0000015, multiplexed=True)
S390X = Architecture("S390X", "s390x", 0x80000016, multiplexed=True, setup=True)
S390 = Architecture("S390", "s390", 0x00000016, wide=False, multiplexed=True, setup=True)

OF_MACHINE = {
    "x86_64": (X86_64, X86, X32),
    "aarch64": (AARCH64, ARM),
    "riscv64": (RISCV64,),
    "ppc64le": (PPC64LE,),
    "s390x": (S390X, S390),
}
"""What a kernel can be asked, by uname(2)'s `machine`; its own programs' kind first."""

NAMES = frozenset(
    """X86 X86_64 X32 ARM AARCH64 MIPS MIPS64 MIPS64N32 MIPSEL MIPSEL64 MIPSEL64N32 PPC PPC64
    PPC64LE S390 S390X PARISC PARISC64 RISCV64 LOONGARCH64 M68K SH SHEB""".split()
)
"""Every architecture that a profile may name; those of other machines change nothing here."""


class Numbers:
    """Name to number on one architecture."""

    def __init__(self, architecture: Architecture, table: str) -> None:
        rows = table.splitlines()
        column = rows[0].split().index(architecture.column)
        self._architecture = architecture
        self._numbers: dict[str, int] = {}
        for row in rows[1:]:
            fields = row.split()
            if fields[column] != "-":
                self._numbers[fields[0]] = int(fields[column]) + architecture.base

    def find(self, name: str) -> int | None:
        """The number of a call, None where there is no such call."""
        return self._numbers.get(name)

    def find_multiplexed(self, name: str) -> tuple[int, int] | None:
        """The number of `socketcall` or `ipc`, and what its first argument is for `name`."""
        return _MULTIPLEXED.get(name) if self._architecture.multiplexed else None

    def names(self) -> dict[str, int]:
        """All of them."""
        return self._numbers
