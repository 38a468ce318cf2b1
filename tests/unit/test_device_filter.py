"""The BPF program decides as the policy does: it is run here, instruction by instruction."""

import itertools
import struct

import pytest

from minidock.isolation.cgroups.device_filter import Instruction, assemble, encode
from minidock.isolation.cgroups.device_policy import DEFAULT_RULES, DevicePolicy, device_policy
from minidock.spec.resources import DeviceRule

KINDS = {"b": 1, "c": 2}
LETTERS = {"m": 1, "r": 2, "w": 4}
ACCESSES = ["m", "r", "w", "rw", "rm", "wm", "rwm"]


def run(code: bytes, context: bytes) -> int:
    """What the kernel's interpreter would do with the few instructions that are used."""
    registers = [0] * 11
    position, steps = 0, 0
    while True:
        opcode, pair, offset, constant = struct.unpack_from("<BBhI", code, 8 * position)
        to, source = pair & 15, pair >> 4
        position += 1
        steps += 1
        assert steps < 1000, "the program does not end"
        match opcode:
            case 0x61:  # ldxw
                assert source == 1, "only the context may be read"
                registers[to] = struct.unpack_from("<I", context, offset)[0]
            case 0xB4:  # mov32 constant
                registers[to] = constant
            case 0xBC:  # mov32 register
                registers[to] = registers[source]
            case 0x54:  # and32
                registers[to] &= constant
            case 0x74:  # rsh32
                registers[to] >>= constant
            case 0x56:  # jne32
                position += offset if registers[to] != constant else 0
            case 0x16:  # jeq32
                position += offset if registers[to] == constant else 0
            case 0x95:
                return registers[0]
            case _:
                raise AssertionError(f"unknown instruction {opcode:#x}")


def ask(policy: DevicePolicy, kind: str, major: int, minor: int, access: str) -> bool:
    bits = sum(LETTERS[letter] for letter in access)
    context = struct.pack("<III", bits << 16 | KINDS[kind], major, minor)
    return bool(run(encode(assemble(policy)), context))


POLICIES = {
    "nothing": [],
    "default": DEFAULT_RULES,
    "everything": [DeviceRule(True)],
    "everything but": [
        DeviceRule(True),
        DeviceRule(False, "b", 8, None, "w"),
        DeviceRule(False, "c", 1, 3, "rwm"),
        DeviceRule(False, "c", None, 7, "m"),
    ],
    "overlapping": [
        DeviceRule(True, "c", 1, None, "r"),
        DeviceRule(True, "c", None, 3, "w"),
        DeviceRule(True, "c", 1, 3, "m"),
        DeviceRule(True, "b", None, None, "rw"),
    ],
    "largest": [DeviceRule(True, "c", 0xFFFFFFFF, 0x80000000, "rw")],
}


@pytest.mark.parametrize("rules", POLICIES.values(), ids=POLICIES)
def test_the_program_and_the_policy_agree(rules: list[DeviceRule]) -> None:
    policy = device_policy(rules)
    majors = [0, 1, 5, 8, 136, 0xFFFFFFFF]
    minors = [0, 1, 3, 7, 0x80000000]
    for kind, major, minor, access in itertools.product("bc", majors, minors, ACCESSES):
        asked = (kind, major, minor, access)
        assert ask(policy, *asked) == policy.allows(*asked), asked


def test_the_context_of_another_kind_of_device_is_not_confused() -> None:
    assert ask(device_policy(DEFAULT_RULES), "c", 1, 3, "rw")
    assert not ask(device_policy(DEFAULT_RULES), "b", 1, 3, "rw")


def test_an_instruction_is_eight_bytes() -> None:
    code = Instruction(0x56, 4, offset=3, constant=0xFFFFFFFF).encode()
    assert code == bytes([0x56, 4, 3, 0, 0xFF, 0xFF, 0xFF, 0xFF])
    assert Instruction(0xBC, 3, 2).encode() == bytes([0xBC, 0x23, 0, 0, 0, 0, 0, 0])


def test_every_jump_lands_inside_the_program() -> None:
    for rules in POLICIES.values():
        program = assemble(device_policy(rules))
        for position, instruction in enumerate(program):
            if instruction.opcode in (0x56, 0x16):
                assert 0 < instruction.offset < len(program) - position - 1
