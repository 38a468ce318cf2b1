"""Classic BPF: the instruction set in which a seccomp filter is written.

It is the machine of tcpdump, from 1992: one accumulator, 32 bits; jumps forward only, so that every
program ends. The kernel lets it read the 64 bytes that describe a system call,

    struct seccomp_data {
        int   nr;                       0   the number
        __u32 arch;                     4   whose number: AUDIT_ARCH_…
        __u64 instruction_pointer;      8
        __u64 args[6];                 16   each read as two halves
    };

and takes what it returns as the decision. Six instructions are enough here:

    ld  [k]             A = the 32 bits at offset k
    jeq #k, yes, no     A == k      (jge: A >= k;  jgt: A > k)
    jset #k, yes, no    A & k
    and #k              A &= k
    ja  k               go on k instructions further
    ret #k              the answer

A conditional jump counts the instructions to skip in 8 bits, one number for each outcome. That is
not far enough for a list of hundreds of calls, and where a jump lands is known only when what is
between has been written. Both problems go away when the program is written *from its end*: all
jumps lead forward, so every target is there already, and when it is too far off, a `ja` (or a copy
of the `ret`) put in right here leads on. Equal pieces with equal ends are found again instead of
repeated.

See: seccomp(2), https://docs.kernel.org/networking/filter.html, include/uapi/linux/filter.h
"""

from __future__ import annotations

from struct import pack

LD_W_ABS, AND_K, RET_K = 0x20, 0x54, 0x06
JA, JEQ, JGT, JGE, JSET = 0x05, 0x15, 0x25, 0x35, 0x45

NUMBER, ARCH, ARGUMENTS = 0, 4, 16  # offsets in struct seccomp_data
MOST_INSTRUCTIONS = 4096  # BPF_MAXINSNS
_FARTHEST = 255


class Assembler:
    """Writes a program from its end. A *place* is what a method returns and others go on to: how
    many instructions there are from it to the end."""

    def __init__(self) -> None:
        self._backwards: list[tuple[int, int, int, int]] = []  # code, jt, jf, k
        self._known: dict[tuple[int, int, int, int], int] = {}  # code, k, yes, no → place

    def answer(self, value: int) -> int:
        """ret #value"""
        place = self._known.get((RET_K, value, 0, 0))
        return place or self._write_answer(value)

    def load(self, offset: int, then: int) -> int:
        """ld [offset], and go on at `then`"""
        return self._straight(LD_W_ABS, offset, then)

    def mask(self, bits: int, then: int) -> int:
        """and #bits, and go on at `then`"""
        return self._straight(AND_K, bits, then)

    def test(self, jump: int, constant: int, yes: int, no: int) -> int:
        """Go on at `yes` or `no`; `jump` is one of JEQ, JGT, JGE, JSET."""
        if yes == no:
            return yes
        key = (jump, constant, yes, no)
        if key in self._known:
            return self._known[key]
        # Twice: what is put in for the one target takes the other one farther away.
        for _ in range(2):
            yes, no = self._within_reach(yes), self._within_reach(no)
        here = len(self._backwards)
        place = self._write(jump, here - yes, here - no, constant)
        self._known[key] = place
        return place

    def program(self, start: int) -> bytes:
        """The bytes of `struct sock_filter[]`, in this CPU's byte order; it begins at `start`."""
        last = self._backwards[:start]
        return b"".join(pack("HBBI", *instruction) for instruction in reversed(last))

    def _straight(self, code: int, constant: int, then: int) -> int:
        key = (code, constant, then, 0)
        if key not in self._known:
            if then != len(self._backwards):
                self._lead_on(then)
            self._known[key] = self._write(code, 0, 0, constant)
        return self._known[key]

    def _within_reach(self, place: int) -> int:
        """`place`, or one nearer that leads there."""
        return place if len(self._backwards) - place <= _FARTHEST else self._lead_on(place)

    def _lead_on(self, place: int) -> int:
        code, _, _, constant = self._backwards[place - 1]
        if code == RET_K:
            return self._write_answer(constant)
        return self._write(JA, 0, 0, len(self._backwards) - place)

    def _write_answer(self, value: int) -> int:
        place = self._write(RET_K, 0, 0, value)
        self._known[RET_K, value, 0, 0] = place  # the nearest is the best
        return place

    def _write(self, code: int, yes: int, no: int, constant: int) -> int:
        self._backwards.append((code, yes, no, constant))
        return len(self._backwards)
