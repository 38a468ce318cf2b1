"""What a filter answers: the kernel's side of seccomp, in Python.

The kernel checks a program before it takes it (seccomp_check_filter) and runs it for each system
call (bpf_prog_run); this does both, so that a program can be tried without a process to lose.

See: net/core/filter.c bpf_check_classic(), kernel/seccomp.c
"""

from __future__ import annotations

from struct import iter_unpack, pack, unpack_from

from minidock.isolation.seccomp.assembler import (
    AND_K,
    JA,
    JEQ,
    JGE,
    JGT,
    JSET,
    LD_W_ABS,
    MOST_INSTRUCTIONS,
    RET_K,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

_DATA_SIZE = 64
_JUMPS = (JEQ, JGT, JGE, JSET)


def evaluate(program: bytes, number: int, arch: int, arguments: Sequence[int] = ()) -> int:
    """The 32 bits that the kernel would be given for this call. Raises `ValueError` for a program
    that it would refuse to load."""
    return run(check(program), number, arch, arguments)[0]


def run(
    instructions: Sequence[tuple[int, int, int, int]],
    number: int,
    arch: int,
    arguments: Sequence[int] = (),
) -> tuple[int, int]:
    """The answer, and how many instructions it took."""
    values = [value & 2**64 - 1 for value in arguments] + [0] * (6 - len(arguments))
    data = pack("=IIQ6Q", number & 2**32 - 1, arch, 0, *values)
    accumulator = at = count = 0
    while True:
        code, yes, no, constant = instructions[at]
        at += 1
        count += 1
        if code == RET_K:
            return constant, count
        if code == LD_W_ABS:
            (accumulator,) = unpack_from("=I", data, constant)
        elif code == AND_K:
            accumulator &= constant
        elif code == JA:
            at += constant
        else:
            at += yes if _holds(code, accumulator, constant) else no


def _holds(jump: int, accumulator: int, constant: int) -> bool:
    if jump == JEQ:
        return accumulator == constant
    if jump == JGT:
        return accumulator > constant
    if jump == JGE:
        return accumulator >= constant
    return accumulator & constant != 0


def check(program: bytes) -> list[tuple[int, int, int, int]]:
    """The instructions (code, jt, jf, k) of a program that the kernel would load."""
    if len(program) % 8:
        raise ValueError("not a whole number of instructions")
    instructions = list(iter_unpack("HBBI", program))
    length = len(instructions)
    if not 0 < length <= MOST_INSTRUCTIONS:
        raise ValueError(f"{length} instructions")
    for at, (code, yes, no, constant) in enumerate(instructions):
        if code == LD_W_ABS:
            good = constant % 4 == 0 and constant < _DATA_SIZE
        elif code == JA:
            good = at + 1 + constant < length
        elif code in _JUMPS:
            good = at + 1 + max(yes, no) < length
        else:
            good = code in (RET_K, AND_K)
        if not good:
            raise ValueError(f"instruction {at} is not allowed: {code:#x} {yes} {no} {constant:#x}")
    if instructions[-1][0] != RET_K:
        raise ValueError("the last instruction does not return")
    return instructions
