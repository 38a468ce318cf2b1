"""The device policy as a program: how cgroup v2 is told which devices may be used.

v2 has no devices.allow. Instead the kernel runs a small program of ours, written in the instruction
set of BPF, each time a process of the cgroup makes or opens a device. The program is given

    struct bpf_cgroup_dev_ctx {
        __u32 access_type;      low half: 1 block, 2 character; high: 1 mknod | 2 read | 4 write
        __u32 major, minor;
    };

and returns 1 to allow or 0 to refuse. Without such a program everything is allowed. For the policy
"nothing, except c 1:3 rw" it reads

         ldxw  r2, [r1+0]
         mov   r3, r2               r2 = kind of device
         and   r2, 0xffff           r3 = what is asked
         rsh   r3, 16               r4 = major
         ldxw  r4, [r1+4]           r5 = minor
         ldxw  r5, [r1+8]
         jne   r2, 2, next          not a character device?
         mov   r1, r3
         and   r1, 1                is something left that is neither read nor write?
         jne   r1, 0, next
         jne   r4, 1, next
         jne   r5, 3, next
         mov   r0, 1                all of it fits: allowed
         exit
    next:
         mov   r0, 0                no exception fits: the default
         exit

with one block up to `next` for each exception. The kernel verifies before loading that a program
ends, jumps only forward (here) and reads only what it may; so it cannot harm.

A cgroup may have several programs (BPF_F_ALLOW_MULTI), and so may those above it: a device is
allowed when all of them agree. The program goes with the last reference to it: the cgroup itself.

See: bpf(2), https://docs.kernel.org/admin-guide/cgroup-v2.html#device-controller,
https://docs.kernel.org/bpf/standardization/instruction-set.html
"""

from __future__ import annotations

from minidock.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from minidock.isolation.cgroups.device_policy import DeviceException, DevicePolicy

# include/uapi/linux/bpf.h, BPF_DEVCG_…
_KINDS = {"b": 1, "c": 2}
_ACCESS = {"m": 1, "r": 2, "w": 4}
_EVERYTHING = 7

# Opcodes: operation | where the second operand is (8: register) | class (4 arithmetic on 32 bits,
# 6 jump that compares 32 bits, 5 exit, 1 load). With 32 bits a constant is never sign-extended.
_LDXW = 0x61
_MOV_REGISTER, _MOV = 0xBC, 0xB4
_AND, _RSH = 0x54, 0x74
_JNE, _JEQ = 0x56, 0x16
_EXIT = 0x95


class Instruction(Record):
    """One instruction of 8 bytes. `offset` counts instructions from the next one, or bytes."""

    opcode: int
    destination: int = 0
    source: int = 0
    offset: int = 0
    constant: int = 0

    def encode(self) -> bytes:
        """opcode:8, destination:4, source:4, offset:16, constant:32, in this CPU's byte order."""
        from sys import byteorder

        registers = self.destination | self.source << 4
        if byteorder == "big":
            registers = self.destination << 4 | self.source
        return (
            bytes((self.opcode, registers))
            + self.offset.to_bytes(2, byteorder, signed=True)
            + self.constant.to_bytes(4, byteorder)
        )


def assemble(policy: DevicePolicy) -> tuple[Instruction, ...]:
    """The program that decides as `policy.allows` does."""
    program = [
        Instruction(_LDXW, 2, 1, 0),
        Instruction(_MOV_REGISTER, 3, 2),
        Instruction(_AND, 2, constant=0xFFFF),
        Instruction(_RSH, 3, constant=16),
        Instruction(_LDXW, 4, 1, 4),
        Instruction(_LDXW, 5, 1, 8),
    ]
    for exception in policy.exceptions:
        program += _block(exception, policy.allow_by_default)
    return (*program, *_answer(policy.allow_by_default))


def encode(program: tuple[Instruction, ...]) -> bytes:
    """The bytes that bpf(2) loads."""
    return b"".join(instruction.encode() for instruction in program)


def _block(exception: DeviceException, allow_by_default: bool) -> list[Instruction]:
    """Answer if `exception` fits, else fall through to what follows the block."""
    tests = [Instruction(_JNE, 2, constant=_KINDS[exception.kind])]
    if exception.access != "rwm":
        tests += _access_test(exception.access, allow_by_default)
    if exception.major is not None:
        tests.append(Instruction(_JNE, 4, constant=exception.major))
    if exception.minor is not None:
        tests.append(Instruction(_JNE, 5, constant=exception.minor))
    block = tests + _answer(not allow_by_default)
    return [
        instruction.but(offset=len(block) - position - 1)
        if instruction.opcode in (_JNE, _JEQ)
        else instruction
        for position, instruction in enumerate(block)
    ]


def _access_test(access: str, allow_by_default: bool) -> list[Instruction]:
    """Where nothing is allowed, an exception must grant all that is asked: nothing may be left.
    Where everything is, it refuses as soon as it names one thing asked."""
    named = sum(_ACCESS[letter] for letter in access)
    mask, jump = (named, _JEQ) if allow_by_default else (_EVERYTHING & ~named, _JNE)
    return [
        Instruction(_MOV_REGISTER, 1, 3),
        Instruction(_AND, 1, constant=mask),
        Instruction(jump, 1, constant=0),
    ]


def _answer(allow: bool) -> list[Instruction]:
    return [Instruction(_MOV, 0, constant=int(allow)), Instruction(_EXIT)]
