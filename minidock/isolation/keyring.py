"""The session keyring: secrets the kernel holds for a login session.

Keyrings are not namespaced. A process inherits its session keyring from whoever started it, so
without a new one a container could read the Kerberos tickets or disk keys of the administrator who
typed `run`.

See: keyrings(7), session-keyring(7), keyctl(2)
"""

from __future__ import annotations

import errno

from minidock.linux.flags import Keyctl
from minidock.step import Step

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import ClassVar

    from minidock.linux.kernel import Kernel
    from minidock.step import Context


class NewSessionKeyring(Step):
    """Join a new, empty session keyring."""

    name: str
    see: ClassVar[tuple[str, ...]] = ("session-keyring(7)", "keyctl(2)")

    def describe(self) -> str:
        return "begin with an empty session keyring instead of the caller's"

    def apply(self, kernel: Kernel, ctx: Context) -> None:
        try:
            kernel.keyctl(Keyctl.KEYCTL_JOIN_SESSION_KEYRING, self.name)
        except OSError as error:
            if error.errno != errno.ENOSYS:  # a kernel without keys has none to leak
                raise
