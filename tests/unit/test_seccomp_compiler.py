"""What a compiled profile answers, asked in the kernel's own way: by running the program."""

import ctypes
import ctypes.util
import random
import tempfile
from typing import Any

import pytest

from minidock.errors import StartFailed
from minidock.isolation.seccomp.architectures import OF_MACHINE, X32_BIT, Numbers
from minidock.isolation.seccomp.assembler import JEQ, JGE, JGT, JSET, Assembler
from minidock.isolation.seccomp.compiler import compile_profile
from minidock.isolation.seccomp.evaluate import check, evaluate, run
from minidock.isolation.seccomp.numbers import TABLE
from minidock.spec.config_fields import ConfigFields
from minidock.spec.seccomp import Argument, Rule, Seccomp, parse_seccomp

X86_64, I386 = 0xC000003E, 0x40000003
ALLOW, KILL = 0x7FFF0000, 0
EPERM, EACCES, ENOSYS = 0x50001, 0x5000D, 0x50026
WORDS = {
    ALLOW: ("SCMP_ACT_ALLOW", None),
    EACCES: ("SCMP_ACT_ERRNO", 13),
    KILL: ("SCMP_ACT_KILL", None),
}


def allow(*names: str, arguments: tuple[Argument, ...] = ()) -> Rule:
    return Rule(names, "SCMP_ACT_ALLOW", None, arguments)


def compiled(*rules: Rule, architectures: tuple[str, ...] = (), **fields: Any) -> bytes:
    names = tuple(f"SCMP_ARCH_{name}" for name in architectures)
    profile = Seccomp(fields.pop("default", "SCMP_ACT_ERRNO"), architectures=names, rules=rules)
    return compile_profile(profile.but(**fields), "x86_64", (6, 1)).program


def ask(program: bytes, number: int, *arguments: int, arch: int = X86_64) -> int:
    return evaluate(program, number, arch, arguments)


def test_a_rule_and_the_default() -> None:
    program = compiled(allow("read", "write"), allow("close"))
    assert [ask(program, number) for number in (0, 1, 2, 3)] == [ALLOW, ALLOW, EPERM, ALLOW]


def test_the_default_has_its_errno() -> None:
    assert ask(compiled(allow("close"), default_errno=13), 2) == EACCES


def test_what_is_newer_than_the_profile_does_not_exist() -> None:
    program = compiled(allow("read", "mseal"))
    assert [ask(program, n) for n in (461, 462, 463, 999, 2**30 - 1)] == [
        EPERM, ALLOW, ENOSYS, ENOSYS, ENOSYS,
    ]  # fmt: skip


@pytest.mark.parametrize("default", ["SCMP_ACT_ALLOW", "SCMP_ACT_LOG", "SCMP_ACT_TRACE"])
def test_a_default_that_permits_permits_the_new_too(default: str) -> None:
    program = compiled(Rule(("close",), "SCMP_ACT_ERRNO", 13), default=default)
    assert ask(program, 3) == EACCES
    assert ask(program, 999) == ask(program, 2) != ENOSYS
    assert ask(program, -1) == ask(program, 2)  # a call that a tracer has taken out


def test_other_architectures_are_killed_unless_listed() -> None:
    program = compiled(allow("read"), architectures=("X86_64",))
    assert ask(program, 3, arch=I386) == KILL
    assert ask(program, 0, arch=0xC00000B7) == KILL
    program = compiled(allow("read"), architectures=("X86_64", "X86"))
    assert [ask(program, n, arch=I386) for n in (0, 3, 4, 4000)] == [EPERM, ALLOW, ENOSYS, ENOSYS]


def test_x32_calls() -> None:
    refusing = compiled(allow("read", "close"), architectures=("X86_64",))
    assert [ask(refusing, X32_BIT | n) for n in (0, 3, 999)] == [ENOSYS] * 3
    permitting = compiled(architectures=("X86_64",), default="SCMP_ACT_ALLOW")
    assert [ask(permitting, X32_BIT | n) for n in (0, 3, 999)] == [KILL] * 3
    listed = compiled(allow("read", "close", "ioctl"), architectures=("X86_64", "X32"))
    assert [ask(listed, X32_BIT | n) for n in (0, 1, 3, 514, 515)] == [
        ALLOW, EPERM, ALLOW, ALLOW, ENOSYS,
    ]  # fmt: skip


def test_architectures_of_other_machines_are_skipped_and_nonsense_is_not() -> None:
    assert compiled(allow("read"), architectures=("AARCH64", "S390X")) == compiled(allow("read"))
    with pytest.raises(StartFailed, match="unknown architecture 'SCMP_ARCH_Z80'"):
        compiled(allow("read"), architectures=("Z80",))


def test_unknown_names_are_skipped() -> None:
    assert compiled(allow("read", "no_such_call")) == compiled(allow("read"))


def test_a_rule_without_conditions_wins() -> None:
    some = Rule(("read",), "SCMP_ACT_ERRNO", 13, (Argument(0, "SCMP_CMP_EQ", 5),))
    for rules in ((some, allow("read")), (allow("read"), some)):
        assert ask(compiled(*rules), 0, 5) == ALLOW
    assert ask(compiled(allow("read"), Rule(("read",), "SCMP_ACT_KILL")), 0) == ALLOW


def test_of_two_that_fit_the_stricter_counts() -> None:
    small = Rule(("read",), "SCMP_ACT_ALLOW", None, (Argument(0, "SCMP_CMP_LT", 10),))
    five = Rule(("read",), "SCMP_ACT_ERRNO", 13, (Argument(0, "SCMP_CMP_EQ", 5),))
    for rules in ((small, five), (five, small)):
        assert [ask(compiled(*rules), 0, n) for n in (4, 5, 10)] == [ALLOW, EACCES, EPERM]


def test_conditions_of_one_argument_are_alternatives_and_of_several_are_not() -> None:
    one = allow("read", arguments=(Argument(0, "SCMP_CMP_EQ", 1), Argument(0, "SCMP_CMP_EQ", 7)))
    assert [ask(compiled(one), 0, n) for n in (0, 1, 7)] == [EPERM, ALLOW, ALLOW]
    two = allow("read", arguments=(Argument(0, "SCMP_CMP_EQ", 1), Argument(2, "SCMP_CMP_EQ", 7)))
    assert [ask(compiled(two), 0, a, 0, b) for a, b in ((1, 7), (1, 8), (2, 7))] == [
        ALLOW, EPERM, EPERM,
    ]  # fmt: skip


def test_calls_that_are_many_in_one() -> None:
    """Nobody sees the arguments of a socketcall: what is allowed for some only, is not."""
    local = allow("socket", arguments=(Argument(0, "SCMP_CMP_EQ", 1),))
    program = compiled(local, allow("bind", "shmat"), architectures=("X86_64", "X86"))
    assert [ask(program, 359, n, arch=I386) for n in (1, 2)] == [ALLOW, EPERM]
    assert [ask(program, 102, n, arch=I386) for n in (1, 2, 3)] == [EPERM, ALLOW, EPERM]
    assert [ask(program, 117, n, arch=I386) for n in (21, 22)] == [ALLOW, EPERM]
    no_vsock = Rule(("socket",), "SCMP_ACT_ERRNO", 13, (Argument(0, "SCMP_CMP_EQ", 40),))
    program = compiled(no_vsock, architectures=("X86_64", "X86"), default="SCMP_ACT_ALLOW")
    assert [ask(program, 359, n, arch=I386) for n in (1, 40)] == [ALLOW, EACCES]
    assert [ask(program, 102, n, arch=I386) for n in (1, 2)] == [EACCES, ALLOW]


EDGES = (0, 1, 2, 5, 2**31, 2**32 - 1, 2**32, 2**32 + 5, 2**33, 2**63, 2**64 - 1)


@pytest.mark.parametrize("operator", ["NE", "LT", "LE", "EQ", "GE", "GT"])
def test_comparisons_of_64_bits(operator: str) -> None:
    for value in EDGES:
        condition = Argument(3, f"SCMP_CMP_{operator}", value)
        program = compiled(allow("read", arguments=(condition,)))
        for given in EDGES:
            right = compare(condition, given, wide=True)
            assert (ask(program, 0, 0, 0, 0, given) == ALLOW) is right, (given, value)


@pytest.mark.parametrize("mask", [0, 1, 0x7E020000, 0xFFFFFFFF, 2**32, 2**64 - 1, 0xFFFF0000FFFF])
def test_masked_comparisons(mask: int) -> None:
    for value in EDGES:
        condition = Argument(0, "SCMP_CMP_MASKED_EQ", mask, value)
        program = compiled(allow("read", arguments=(condition,)))
        for given in (*EDGES, mask, ~mask & 2**64 - 1, value & mask):
            assert (ask(program, 0, given) == ALLOW) is compare(condition, given, wide=True)


def test_flags() -> None:
    def flags(*names: str, action: str = "SCMP_ACT_ALLOW") -> int:
        rule = Rule(("getcwd",), action)
        return compile_profile(
            Seccomp("SCMP_ACT_ERRNO", flags=names, rules=(rule,)), "x86_64", (6, 1)
        ).flags

    name = "SECCOMP_FILTER_FLAG_"
    assert flags() == 0
    assert flags(name + "LOG", name + "SPEC_ALLOW") == 6
    assert flags(name + "TSYNC", action="SCMP_ACT_NOTIFY") == 1 | 8 | 16
    assert flags(name + "WAIT_KILLABLE_RECV", action="SCMP_ACT_NOTIFY") == 32 | 8
    assert flags(name + "WAIT_KILLABLE_RECV") == 0
    with pytest.raises(StartFailed, match="unknown flag 'LOUD'"):
        flags("LOUD")
    unsaid = Seccomp("SCMP_ACT_ERRNO")
    assert compile_profile(unsaid, "x86_64", (6, 1)).flags == 4
    old = unsaid.but(flags=(name + "WAIT_KILLABLE_RECV",))
    with pytest.raises(StartFailed, match=r"needs Linux 5\.19"):
        compile_profile(old, "x86_64", (5, 12))


def test_a_profile_too_long_for_the_kernel_is_refused() -> None:
    rules = tuple(
        allow("read", arguments=(Argument(0, "SCMP_CMP_EQ", n * 2**33 + n),)) for n in range(1500)
    )
    with pytest.raises(StartFailed, match="the kernel takes 4096"):
        compiled(*rules)


def test_errno_where_there_is_none_to_give() -> None:
    with pytest.raises(StartFailed, match="SCMP_ACT_KILL has no errnoRet"):
        compiled(Rule(("read",), "SCMP_ACT_KILL", 1))


@pytest.mark.parametrize("machine", sorted(OF_MACHINE))
def test_every_machine(machine: str) -> None:
    names = tuple(row.split()[0] for row in TABLE.splitlines()[1:])
    architectures = OF_MACHINE[machine]
    profile = Seccomp(
        "SCMP_ACT_ERRNO",
        architectures=tuple(f"SCMP_ARCH_{a.name}" for a in architectures),
        rules=(allow(*names[::3]),),
    )
    program = compile_profile(profile, machine, (6, 1)).program
    for architecture in architectures:
        numbers = Numbers(architecture, TABLE)
        for name in names:
            number = numbers.find(name)
            wanted = ALLOW if name in names[::3] or name == "sync_file_range2" else EPERM
            if architecture.setup and number == 0:
                wanted = ENOSYS
            if number is not None and "sync_file_range" not in name:
                known = [n for n in map(numbers.find, names[::3]) if n is not None]
                private = 0xF0000  # ARM's own, which make nothing else old
                newest = max(n for n in known if n - architecture.base < private)
                answer = evaluate(program, number, architecture.audit)
                assert answer == (wanted if number <= newest or wanted == ALLOW else ENOSYS), name
        assert evaluate(program, architecture.base + 5000, architecture.audit) == ENOSYS


# ── random profiles, beside a plain reading of them ──


def compare(condition: Argument, given: int, *, wide: bool) -> bool:
    value, other = condition.value, condition.value_two
    if not wide:
        given, value, other = (n & 0xFFFFFFFF for n in (given, value, other))
    return {
        "NE": given != value,
        "LT": given < value,
        "LE": given <= value,
        "EQ": given == value,
        "GE": given >= value,
        "GT": given > value,
        "MASKED_EQ": given & value == other & value,
    }[condition.operator.removeprefix("SCMP_CMP_")]


def answer_of(rules: list[tuple[str, int, tuple[Argument, ...]]], default: int, name: str,
              arguments: list[int], *, wide: bool) -> int:  # fmt: skip
    """What the profile says, read slowly."""
    mine = [rule for rule in rules if rule[0] == name and rule[1] != default]
    for _, answer, conditions in mine:
        if not conditions:
            return answer
    hits = []
    for _, answer, conditions in mine:
        indexes = [c.index for c in conditions]
        verdicts = [compare(c, arguments[c.index], wide=wide) for c in conditions]
        if any(verdicts) if len(set(indexes)) < len(indexes) else all(verdicts):
            hits.append(answer)
    return min(hits, default=default)  # of those used here, the lower is the stricter


VALUES = (0, 1, 2, 3, 0xFF, 2**31, 2**32 - 1, 2**32, 2**32 + 1, 2**40, 2**64 - 1)
OPERATORS = ("NE", "LT", "LE", "EQ", "GE", "GT", "MASKED_EQ")


def random_rules(dice: random.Random, names: list[str]) -> list[tuple[str, int, Any]]:
    rules = []
    for name in dice.choices(names, k=dice.randint(1, 60)):
        conditions = tuple(
            Argument(
                dice.randrange(3),
                f"SCMP_CMP_{dice.choice(OPERATORS)}",
                dice.choice(VALUES),
                dice.choice(VALUES),
            )
            for _ in range(dice.choice((0, 0, 1, 1, 2, 3)))
        )
        rules.append((name, dice.choice(list(WORDS)), conditions))
    return rules


@pytest.mark.parametrize("seed", range(20))
def test_random_profiles(seed: int) -> None:
    dice = random.Random(seed)
    numbers = {a.name: Numbers(a, TABLE) for a in OF_MACHINE["x86_64"]}
    plain = [n for n in numbers["X86_64"].names() if not numbers["X86"].find_multiplexed(n)]
    rules = random_rules(dice, dice.sample(plain, dice.choice((3, 20, 200))))
    program = compiled(
        *(Rule((name,), *WORDS[answer], conditions) for name, answer, conditions in rules),
        architectures=("X86_64", "X86", "X32"),
    )
    check(program)
    for name in {rule[0] for rule in rules} | set(dice.sample(plain, 20)):
        for architecture in OF_MACHINE["x86_64"]:
            number = numbers[architecture.name].find(name)
            known = [numbers[architecture.name].find(rule[0]) for rule in rules]
            newest = max((n for n in known if n is not None), default=0)
            if number is None or newest == architecture.base:
                continue
            for _ in range(6):
                arguments = [dice.choice(VALUES) for _ in range(6)]
                wanted = answer_of(rules, EPERM, name, arguments, wide=architecture.wide)
                given = evaluate(program, number, architecture.audit, arguments)
                assert given == (wanted if number <= newest else ENOSYS), (name, arguments)


def test_long_jumps_reach() -> None:
    """Many targets, each more than 255 instructions away."""
    assembler = Assembler()
    answers = [assembler.answer(0x50000 | n) for n in range(600)]
    places = answers[:]
    while len(places) > 1:
        places = [
            assembler.test((JEQ, JGE, JGT, JSET)[n % 4], n, places[n], places[-1 - n])
            for n in range(len(places) // 2)
        ]
    check(assembler.program(assembler.load(0, places[0])))
    assembler = Assembler()
    place = assembler.answer(1)
    for number in range(1200):
        place = assembler.test(JEQ, number, assembler.answer(number % 7 << 8), place)
    program = assembler.program(assembler.load(0, place))
    for number in range(1200):
        assert evaluate(program, number, 0) == number % 7 << 8
    assert evaluate(program, 1200, 0) == 1


def test_halving_is_short(profile: Seccomp) -> None:
    """No call costs many instructions, wherever its number lies."""
    instructions = check(compile_profile(profile, "x86_64", (6, 1)).program)
    steps = [run(instructions, number, X86_64)[1] for number in range(512)]
    assert max(steps) < 20 or sorted(steps)[-4] < 20  # but for those whose arguments are compared


# ── beside libseccomp ──


@pytest.fixture
def profile() -> Seccomp:
    """Something of the size of a real one."""
    dice = random.Random(7)
    names = [row.split()[0] for row in TABLE.splitlines()[1:]]
    document = {
        "defaultAction": "SCMP_ACT_ERRNO",
        "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"],
        "syscalls": [
            {"names": [n for n in dice.sample(names, 350) if n not in ("personality", "socket")],
             "action": "SCMP_ACT_ALLOW"},
            {"names": ["personality"], "action": "SCMP_ACT_ALLOW",
             "args": [{"index": 0, "value": 8, "op": "SCMP_CMP_EQ"}]},
            {"names": ["personality"], "action": "SCMP_ACT_ALLOW",
             "args": [{"index": 0, "value": 0xFFFFFFFF, "op": "SCMP_CMP_EQ"}]},
            {"names": ["unshare"], "action": "SCMP_ACT_ERRNO", "errnoRet": 13,
             "args": [{"index": 0, "value": 0x7E020000, "valueTwo": 0,
                       "op": "SCMP_CMP_MASKED_EQ"}]},
        ],
    }  # fmt: skip
    return parse_seccomp(ConfigFields(document, "test"))


class Comparison(ctypes.Structure):
    _fields_ = [
        ("arg", ctypes.c_uint),
        ("op", ctypes.c_int),
        ("value", ctypes.c_uint64),
        ("value_two", ctypes.c_uint64),
    ]


def libseccomp(profile: Seccomp) -> bytes:
    """The profile compiled by libseccomp, as runc drives it, without runc's part about ENOSYS."""
    name = ctypes.util.find_library("seccomp")
    if not name:
        pytest.skip("needs libseccomp (Debian package libseccomp2)")
    library = ctypes.CDLL(name)
    library.seccomp_init.restype = ctypes.c_void_p
    context = ctypes.c_void_p(library.seccomp_init(ctypes.c_uint32(EPERM)))
    for architecture in profile.architectures:
        token = library.seccomp_arch_resolve_name(
            architecture.removeprefix("SCMP_ARCH_").lower().encode()
        )
        library.seccomp_arch_add(context, token)
    for rule in profile.rules:
        word = {words: answer for answer, words in WORDS.items()}[rule.action, rule.errno]
        for call in rule.names:
            number = library.seccomp_syscall_resolve_name(call.encode())
            if number == -1:
                continue
            comparisons = (Comparison * len(rule.arguments))(
                *(
                    Comparison(
                        a.index,
                        1 + OPERATORS.index(a.operator.removeprefix("SCMP_CMP_")),
                        a.value,
                        a.value_two,
                    )
                    for a in rule.arguments
                )
            )
            done = library.seccomp_rule_add_array(
                context, ctypes.c_uint32(word), number, len(rule.arguments), comparisons
            )
            assert done == 0, (call, done)
    with tempfile.TemporaryFile() as file:
        assert library.seccomp_export_bpf(context, file.fileno()) == 0
        file.seek(0)
        program = file.read()
    library.seccomp_release(context)
    return program


def same_answers(profile: Seccomp) -> int:
    """Compare for every number on every architecture; how many are not ENOSYS."""
    ours = check(compile_profile(profile, "x86_64", (6, 1)).program)
    theirs = check(libseccomp(profile))
    compared = 0
    for arch, first in ((X86_64, 0), (I386, 0), (X86_64, X32_BIT)):
        for number in range(first, first + 470):
            for argument in VALUES:
                mine = run(ours, number, arch, [argument] * 6)[0]
                if mine == ENOSYS:
                    break
                if arch == I386 and number in (102, 117):
                    break  # stricter, see test_calls_that_are_many_in_one
                assert mine == run(theirs, number, arch, [argument] * 6)[0], (arch, number)
                compared += 1
    assert run(ours, 0, 0x28)[0] == run(theirs, 0, 0x28)[0] == KILL
    return compared


def test_libseccomp_says_the_same(profile: Seccomp) -> None:
    known = {row.split()[0] for row in TABLE.splitlines() if row.split()[1].isdigit()}
    library = ctypes.util.find_library("seccomp")
    if library:  # names that this libseccomp does not know have no rule there
        resolve = ctypes.CDLL(library).seccomp_syscall_resolve_name
        known = {name for name in known if resolve(name.encode()) != -1}
    rules = tuple(
        rule.but(names=tuple(n for n in rule.names if n in known)) for rule in profile.rules
    )
    assert same_answers(profile.but(rules=rules)) > 5000


@pytest.mark.parametrize("operator", OPERATORS)
def test_libseccomp_compares_the_same(operator: str) -> None:
    for value in VALUES:
        rule = allow("read", arguments=(Argument(1, f"SCMP_CMP_{operator}", value, 2**32 + 1),))
        profile = Seccomp(
            "SCMP_ACT_ERRNO",
            architectures=("SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"),
            rules=(rule, allow("mseal", "clone3")),
        )
        for arch, number in ((X86_64, 0), (I386, 3), (X86_64, X32_BIT)):
            ours = check(compile_profile(profile, "x86_64", (6, 1)).program)
            theirs = check(libseccomp(profile.but(rules=profile.rules[:1])))
            for given in VALUES:
                arguments = [0, given & 0xFFFFFFFF if arch == I386 else given]
                assert (
                    run(ours, number, arch, arguments)[0] == run(theirs, number, arch, arguments)[0]
                ), (arch, value, given)
