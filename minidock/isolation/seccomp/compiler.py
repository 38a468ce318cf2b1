"""From a profile, rules with names, to the program that the kernel runs before each system call.

A profile says "allow `read`; allow `socket` if its first argument is below 12; answer EPERM to all
else". The kernel wants an answer to one question, asked in numbers: what about call `nr` of
architecture `arch` with these six arguments? The program that gives it has three layers:

1. Which architecture? One that the profile does not list kills the thread: its numbers mean
   something else (architectures.py).
2. Which call? The numbers are cut into ranges with the same answer, about a hundred of them, and
   found by halving: seven comparisons, not three hundred. Every system call of the container waits
   for this. (For calls that are always allowed the kernel does not even run it: it finds out, when
   it loads the program, that the arguments do not matter. So nothing but `nr` and `arch` may be
   read on the way there.)
3. Which arguments? Where a rule has conditions, they are compared, 64 bits as two halves.

What it means to have several rules, and rules that do not fit, is as in libseccomp and runc:

- Several rules for one call are alternatives. One without conditions makes the others pointless,
  and of two of those the first counts. Where the conditions of two hold at once, the stricter
  answer counts, as it does in the kernel between two filters. (libseccomp then answers by the shape
  of its tree; 2.5.4 gets some of these wrong.)
- All conditions of a rule must hold; but where two are about the same argument, each is an
  alternative. That is an accident of runc which profiles have come to depend on.
- A rule whose answer is the default one is no rule.
- A name that no kernel here knows is skipped: profiles are written for many machines.
- A call newer than all that the profile names is answered with ENOSYS where the default refuses.
  Programs try new calls and fall back when they are missing; EPERM they take for a failure. "Newer"
  is told by the number. The same answer is given to x32 calls, where they are not listed: a kernel
  without x32 says so, too. (runc kills; programs that ask whether there is x32 die of that.)
- A call through `socketcall` or `ipc` shows its arguments to nobody. A rule that lets through under
  conditions does not apply to it, and one that refuses under conditions refuses in any case.

See: seccomp(2), https://github.com/opencontainers/runtime-spec/blob/main/config-linux.md#seccomp,
runc's libcontainer/seccomp/patchbpf on ENOSYS
"""

from __future__ import annotations

import errno

from minidock.errors import StartFailed
from minidock.isolation.seccomp.architectures import (
    NAMES,
    OF_MACHINE,
    X32_BIT,
    Numbers,
)
from minidock.isolation.seccomp.assembler import (
    ARCH,
    ARGUMENTS,
    JEQ,
    JGE,
    JGT,
    MOST_INSTRUCTIONS,
    NUMBER,
    Assembler,
)
from minidock.isolation.seccomp.filter import Filter
from minidock.isolation.seccomp.numbers import TABLE
from minidock.linux.flags import SeccompAction, SeccompFilterFlag
from minidock.spec.seccomp import Argument

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from minidock.isolation.seccomp.architectures import Architecture
    from minidock.spec.seccomp import Seccomp

    Conditions = tuple[Argument, ...]
    Ranges = list[tuple[int, int]]  # (first number, place of what answers), ascending

_ENOSYS = SeccompAction.SECCOMP_RET_ERRNO | errno.ENOSYS
_KILL = SeccompAction.SECCOMP_RET_KILL_THREAD
_ACTION_BITS = 0xFFFF0000
_NO_CALL = 0xFFFFFFFF  # what a tracer writes as the number of a call that is not to be made
_PERMISSIVE = (
    SeccompAction.SECCOMP_RET_ALLOW,
    SeccompAction.SECCOMP_RET_LOG,
    SeccompAction.SECCOMP_RET_TRACE,  # a tracer that emulates calls knows about ENOSYS
)
_ACTIONS = {
    "SCMP_ACT_KILL": SeccompAction.SECCOMP_RET_KILL_THREAD,
    "SCMP_ACT_KILL_THREAD": SeccompAction.SECCOMP_RET_KILL_THREAD,
    "SCMP_ACT_KILL_PROCESS": SeccompAction.SECCOMP_RET_KILL_PROCESS,
    "SCMP_ACT_TRAP": SeccompAction.SECCOMP_RET_TRAP,
    "SCMP_ACT_ERRNO": SeccompAction.SECCOMP_RET_ERRNO,
    "SCMP_ACT_TRACE": SeccompAction.SECCOMP_RET_TRACE,
    "SCMP_ACT_ALLOW": SeccompAction.SECCOMP_RET_ALLOW,
    "SCMP_ACT_LOG": SeccompAction.SECCOMP_RET_LOG,
    "SCMP_ACT_NOTIFY": SeccompAction.SECCOMP_RET_USER_NOTIF,
}
_WITH_DATA = ("SCMP_ACT_ERRNO", "SCMP_ACT_TRACE")
_KILLABLE_SINCE = (5, 19)
_PRIVATE = 0xF0000  # 32-bit ARM has a few calls of its own up there


def compile_profile(profile: Seccomp, machine: str, kernel: tuple[int, int]) -> Filter:
    """The filter for programs on `machine` (as uname(2) has it). Raises `StartFailed`."""
    _check_notify(profile)
    sets = [_CallSet(profile, arch) for arch in _listed(profile, machine)]
    assembler = Assembler()
    sections = {}
    for audit in dict.fromkeys(s.architecture.audit for s in reversed(sets)):
        ranges: Ranges = []
        for calls in sorted(sets, key=lambda s: s.architecture.base):
            if calls.architecture.audit == audit:
                ranges += calls.ranges(assembler)
        ranges.sort(key=lambda r: r[0])
        sections[audit] = assembler.load(NUMBER, _search(assembler, _merged(ranges)))
    place = assembler.answer(_KILL)
    for audit, section in sections.items():
        place = assembler.test(JEQ, audit, section, place)
    start = assembler.load(ARCH, place)
    if start > MOST_INSTRUCTIONS:
        raise StartFailed(
            f"seccomp: the profile needs {start} instructions, the kernel takes {MOST_INSTRUCTIONS}"
        )
    return Filter(assembler.program(start), _flags(profile, kernel), _summary(profile, sets))


def _listed(profile: Seccomp, machine: str) -> list[Architecture]:
    """The native one, always; and those of this machine that the profile lists, in our order."""
    for name in profile.architectures:
        if name.removeprefix("SCMP_ARCH_") not in NAMES:
            raise StartFailed(f"seccomp: unknown architecture {name!r}")
    if machine not in OF_MACHINE:
        raise StartFailed(f"seccomp: the system calls of {machine} are not known to minidock")
    native, *others = OF_MACHINE[machine]
    return [native, *(a for a in others if f"SCMP_ARCH_{a.name}" in profile.architectures)]


def _check_notify(profile: Seccomp) -> None:
    """Refuse what would have the start wait for an agent that has not been told of it yet."""
    if profile.default_action == "SCMP_ACT_NOTIFY":
        raise StartFailed("seccomp: SCMP_ACT_NOTIFY cannot be used as default action")
    for rule in profile.rules:
        if rule.action == "SCMP_ACT_NOTIFY" and "sendmsg" in rule.names:
            raise StartFailed("seccomp: SCMP_ACT_NOTIFY cannot be used for the sendmsg syscall")


def _flags(profile: Seccomp, kernel: tuple[int, int]) -> int:
    """What the profile says; as runc does it, the guard against speculation stays off where the
    profile does not speak of flags at all (it is the kernel's default since 5.16)."""
    names = ("SECCOMP_FILTER_FLAG_SPEC_ALLOW",) if profile.flags is None else profile.flags
    flags = 0
    for name in names:
        try:
            flags |= SeccompFilterFlag[name]
        except KeyError:
            raise StartFailed(f"seccomp: unknown flag {name!r}") from None
    killable = SeccompFilterFlag.SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV
    if flags & killable and kernel < _KILLABLE_SINCE:
        raise StartFailed(f"seccomp: {killable.name} needs Linux 5.19")
    if any(rule.action == "SCMP_ACT_NOTIFY" for rule in profile.rules):
        flags |= SeccompFilterFlag.SECCOMP_FILTER_FLAG_NEW_LISTENER
        if flags & SeccompFilterFlag.SECCOMP_FILTER_FLAG_TSYNC:  # else their results would collide
            flags |= SeccompFilterFlag.SECCOMP_FILTER_FLAG_TSYNC_ESRCH
    else:
        flags &= ~killable  # the kernel wants it with a listener only
    return int(flags)


def _answer(action: str, number: int | None) -> int:
    """The kernel's word for an action: what to do in the upper half, a number in the lower."""
    if action in _WITH_DATA:
        return _ACTIONS[action] | (errno.EPERM if number is None else number)
    if number is not None:
        raise StartFailed(f"seccomp: {action} has no errnoRet")
    return _ACTIONS[action]


def _is_permissive(answer: int) -> bool:
    return answer & _ACTION_BITS in _PERMISSIVE


def _severity(answer: int) -> int:
    """Ascending: the strictest first. The kernel compares them so, as signed numbers."""
    action = answer & _ACTION_BITS
    return action - 2**32 if action >> 31 else action


class _Rules:
    """What a profile says of one system call."""

    def __init__(self) -> None:
        self.always: int | None = None
        self.alternatives: list[tuple[Conditions, int]] = []

    def add(self, conditions: Conditions, answer: int) -> None:
        if conditions:
            self.alternatives.append((conditions, answer))
        elif self.always is None:
            self.always = answer


class _CallSet:
    """What a profile says of the calls of one architecture."""

    def __init__(self, profile: Seccomp, architecture: Architecture) -> None:
        self.architecture = architecture
        self.default = _answer(profile.default_action, profile.default_errno)
        self.calls: dict[int, _Rules] = {}
        self._numbers = Numbers(architecture, TABLE)
        self._newest = architecture.base
        for rule in profile.rules:
            answer = _answer(rule.action, rule.errno)
            for name in rule.names:
                self._add(name, rule.arguments, answer)
        # Without a single call that is known here, "newer" has no meaning.
        self._refuses_new = not _is_permissive(self.default) and self._newest > architecture.base
        if architecture.setup and self._refuses_new:
            self.calls[architecture.base] = _Rules()
            self.calls[architecture.base].add((), _ENOSYS)

    def _add(self, name: str, conditions: Conditions, answer: int) -> None:
        number = self._numbers.find(name)
        if number is not None and number - self.architecture.base < _PRIVATE:
            self._newest = max(self._newest, number)
        if answer == self.default:
            return
        if number is not None:
            rules = self.calls.setdefault(number, _Rules())
            for alternative in _alternatives(conditions):
                rules.add(alternative, answer)
        multiplexed = self._numbers.find_multiplexed(name)
        if multiplexed and not (conditions and _is_permissive(answer)):
            call, first = multiplexed
            self.calls.setdefault(call, _Rules()).add((Argument(0, "SCMP_CMP_EQ", first),), answer)

    def ranges(self, assembler: Assembler) -> Ranges:
        """All numbers from `base` on, and the place of the answer to each."""
        default, always = assembler.answer(self.default), dict[int, int]()
        beyond = assembler.answer(_ENOSYS) if self._refuses_new else default
        found = [(self.architecture.base, default)]
        for number, rules in sorted(self.calls.items()):
            if rules.always is None:
                place = self._decide(assembler, rules.alternatives)
            else:  # one place for all calls with this answer, so that they make one range
                place = always.setdefault(rules.always, assembler.answer(rules.always))
            found += (number, place), (number + 1, beyond if number >= self._newest else default)
        found.append((self._newest + 1, beyond))
        if not self._refuses_new and self.architecture.column == "x86_64":
            found.append((X32_BIT, assembler.answer(_KILL)))
            found.append((_NO_CALL, default))
        return found

    def _decide(self, assembler: Assembler, alternatives: Sequence[tuple[Conditions, int]]) -> int:
        place = assembler.answer(self.default)
        strictest_first = sorted(alternatives, key=lambda a: _severity(a[1]))
        for conditions, answer in reversed(strictest_first):
            yes = assembler.answer(answer)
            no = place
            place = yes
            for condition in reversed(conditions):
                place = _compare(assembler, condition, self.architecture.wide, place, no)
        return place

    def counts(self) -> tuple[int, int]:
        """How many calls are let through, and how many under conditions."""
        always = some = 0
        for rules in self.calls.values():
            if rules.always is not None:
                always += _is_permissive(rules.always)
            else:
                some += any(_is_permissive(answer) for _, answer in rules.alternatives)
        return always, some


def _alternatives(conditions: Conditions) -> list[Conditions]:
    indexes = [condition.index for condition in conditions]
    if len(set(indexes)) < len(indexes):
        return [(condition,) for condition in conditions]
    return [conditions]


def _merged(ranges: Ranges) -> Ranges:
    """Neighbours with the same answer as one; of two that begin at one number, the later."""
    found: Ranges = []
    for first, place in ranges:
        if found and found[-1][0] == first:
            found.pop()
        if not found or found[-1][1] != place:
            found.append((first, place))
    return found


def _search(assembler: Assembler, ranges: Sequence[tuple[int, int]]) -> int:
    """Find the range of the number in the accumulator, by halving."""
    if len(ranges) == 1:
        return ranges[0][1]
    middle = len(ranges) // 2
    upper = _search(assembler, ranges[middle:])
    lower = _search(assembler, ranges[:middle])
    return assembler.test(JGE, ranges[middle][0], upper, lower)


def _compare(assembler: Assembler, condition: Argument, wide: bool, yes: int, no: int) -> int:
    """Compare one argument, the upper half first; it decides where the halves differ there."""
    from sys import byteorder

    upper = ARGUMENTS + 8 * condition.index + (4 if byteorder == "little" else 0)
    lower = ARGUMENTS + 8 * condition.index + (0 if byteorder == "little" else 4)
    value, mask = condition.value, 2**64 - 1
    operator = condition.operator.removeprefix("SCMP_CMP_")
    if operator == "MASKED_EQ":
        mask = condition.value
        value = condition.value_two & mask
    if operator in ("NE", "LT", "LE"):  # the opposite of EQ, GE and GT
        yes, no = no, yes
    jump = {"LT": JGE, "GE": JGE, "LE": JGT, "GT": JGT}.get(operator, JEQ)

    def half(offset: int, jump: int, shift: int, yes: int, no: int) -> int:
        bits = mask >> shift & 0xFFFFFFFF
        if not bits:
            return yes
        place = assembler.test(jump, value >> shift & 0xFFFFFFFF, yes, no)
        if bits != 0xFFFFFFFF:
            place = assembler.mask(bits, place)
        return assembler.load(offset, place)

    place = half(lower, jump, 0, yes, no)
    if not wide:
        return place
    if jump != JEQ:
        # Equal: the lower half decides. Greater: yes. Neither: no.
        equal = assembler.test(JEQ, value >> 32, place, no)
        place = assembler.test(JGT, value >> 32, yes, equal)
        return assembler.load(upper, place)
    return half(upper, JEQ, 32, place, no)


def _summary(profile: Seccomp, sets: Sequence[_CallSet]) -> str:
    native, *others = sets
    default = _told(native.default)
    if _is_permissive(native.default):
        answers = [rules.always for rules in native.calls.values()]
        refused = sum(1 for answer in answers if answer is None or not _is_permissive(answer))
        text = f"{default} all system calls but {refused}"
    else:
        always, some = native.counts()
        text = f"allow {always} system calls"
        if some:
            text += f", and {some} more with certain arguments"
        text += f"; {default} for the others, ENOSYS for those newer than the profile"
    if others:
        text += "; likewise for the calls of " + " and ".join(s.architecture.column for s in others)
    return text


def _told(answer: int) -> str:
    action, data = answer & _ACTION_BITS, answer & ~_ACTION_BITS
    if action == SeccompAction.SECCOMP_RET_ERRNO:
        return errno.errorcode.get(data, str(data))
    for name, word in _ACTIONS.items():
        if word == action:
            return name.removeprefix("SCMP_ACT_").lower()
    return hex(answer)
