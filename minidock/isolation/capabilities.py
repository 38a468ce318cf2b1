"""Capabilities: root's power in pieces, of which a container keeps fourteen.

A process with user id 0 may do nearly everything, because the kernel gives it all capabilities. A
container's root keeps what ordinary server programs need (change owners, bind low ports, send
signals …) and loses what would reach the host: mounting, loading modules, setting the clock.

Five sets, and why each is touched:

- *bounding*: what can ever be gained again by executing a file. Dropped first.
- *permitted*, *effective*: what the process may use, and uses now.
- *inheritable*: empty, unless a spec says otherwise. Docker once left it full, and programs with
  inheritable file capabilities gained rights nobody meant to give (CVE-2022-24769).
- *ambient*: what survives execve(2) for users other than root. Empty: `-u 1000` means no power. A
  spec may ask for some. The kernel gives only those that are permitted and inheritable, too; others
  are passed over, as in runc, whose own `runc spec` asked for some for years.

See: capabilities(7), capset(2), prctl(2)
"""

from __future__ import annotations

from minidock.errors import StartFailed
from minidock.linux.flags import Ambient, Capability, Prctl
from minidock.step import Step

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import ClassVar

    from minidock.linux.kernel import Kernel
    from minidock.spec.runtime import Capabilities
    from minidock.step import Context


class LimitBoundingSet(Step):
    """Give up, for ever and for all children, what is not on the list."""

    keep: int
    last: int  # the highest capability this kernel knows
    see: ClassVar[tuple[str, ...]] = ("capabilities(7)", "prctl(2)")

    def describe(self) -> str:
        kept = self.keep.bit_count()
        return f"drop all but {kept} capabilities from the bounding set: no program regains them"

    def apply(self, kernel: Kernel, ctx: Context) -> None:
        for capability in range(self.last + 1):
            if not self.keep >> capability & 1:
                kernel.prctl(Prctl.PR_CAPBSET_DROP, capability)


class SetCapabilities(Step):
    """Set the calling process's own sets."""

    effective: int
    permitted: int
    inheritable: int
    see: ClassVar[tuple[str, ...]] = ("capset(2)", "capabilities(7)")

    def describe(self) -> str:
        inheritable = self.inheritable.bit_count() or "none"
        return f"keep {self.permitted.bit_count()} capabilities, and {inheritable} inheritable"

    def apply(self, kernel: Kernel, ctx: Context) -> None:
        kernel.capset(self.effective, self.permitted, self.inheritable)


class RaiseAmbient(Step):
    """Let one capability survive the execve of a user who is not root."""

    capability: Capability
    see: ClassVar[tuple[str, ...]] = ("capabilities(7)", "PR_CAP_AMBIENT(2const)")

    def describe(self) -> str:
        return f"let {self.capability.name} survive execve, whoever the user is"

    def apply(self, kernel: Kernel, ctx: Context) -> None:
        kernel.prctl(Prctl.PR_CAP_AMBIENT, Ambient.PR_CAP_AMBIENT_RAISE, self.capability)


def mask(names: tuple[str, ...], available: int, field: str) -> int:
    """The bits of `names`. Raises `StartFailed` for unknown ones and ones the host cannot give."""
    bits = 0
    field = f"process.capabilities.{field}"
    for name in names:
        try:
            bit = Capability[name]
        except KeyError:
            raise StartFailed(f"{field}: unknown capability {name!r}") from None
        if not available >> bit & 1:
            raise StartFailed(f"{field}: {name} is asked for, but this host has not got it to give")
        bits |= 1 << bit
    return bits


def plan_capabilities(
    caps: Capabilities, available: int, last: int
) -> tuple[Step, tuple[Step, ...]]:
    """The bounding set (dropped before the user changes) and the rest (set after)."""
    bounding = mask(caps.bounding, available, "bounding")
    own = SetCapabilities(
        mask(caps.effective, available, "effective"),
        mask(caps.permitted, available, "permitted"),
        mask(caps.inheritable, available, "inheritable"),
    )
    mask(caps.ambient, available, "ambient")
    for name in caps.effective:
        if name not in caps.permitted:
            raise StartFailed(f"process.capabilities.effective: {name} is not permitted")
    possible = set(caps.permitted) & set(caps.inheritable)
    ambient = (RaiseAmbient(Capability[name]) for name in caps.ambient if name in possible)
    return LimitBoundingSet(bounding, last), (own, *ambient)
