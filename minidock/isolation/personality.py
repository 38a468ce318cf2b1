"""The execution domain: which machine the kernel pretends to be.

A 32-bit system on a 64-bit kernel asks `uname -m` what to build for, and should hear i686.

See: personality(2)
"""

from __future__ import annotations

from minidock.linux.flags import Personality
from minidock.step import Step

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import ClassVar

    from minidock.linux.kernel import Kernel
    from minidock.spec.runtime import Spec
    from minidock.step import Context


class SetPersonality(Step):
    """Set the domain; it is kept across fork and execve."""

    domain: str  # LINUX or LINUX32
    see: ClassVar[tuple[str, ...]] = ("personality(2)",)

    def describe(self) -> str:
        what = "a 32-bit machine" if self.domain == "LINUX32" else "the machine it is"
        return f"let the kernel show itself as {what}"

    def apply(self, kernel: Kernel, ctx: Context) -> None:
        kernel.personality(Personality[f"PER_{self.domain}"])


def plan_personality(spec: Spec) -> tuple[Step, ...]:
    """Nothing where the spec says nothing."""
    return (SetPersonality(spec.personality),) if spec.personality else ()
