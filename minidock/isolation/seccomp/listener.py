"""SCMP_ACT_NOTIFY: system calls that another process decides on.

The filter answers such a call with "ask": the program waits, and whoever holds the *listener*, a
descriptor that seccomp(2) returns when the filter is loaded, reads what it wants to do and replies
with an errno, a result, or "go on". So a manager can mknod or mount for a container that may not.

Only the process that loads the filter gets that descriptor. It belongs to the agent that serves the
socket at `listenerPath`, a path on the host: so the connection is made before the host's files are
left behind, and the descriptor sent through it with a description of the container, right after
loading. (The call with which it is sent, sendmsg(2), therefore cannot be one that is asked about.)
What the start does after that, may have to wait for the agent already.

See: seccomp_unotify(2), cmsg(3),
https://github.com/opencontainers/runtime-spec/blob/main/config-linux.md#containerprocessstate
"""

from __future__ import annotations

import os

from minidock.errors import StartFailed
from minidock.spec.lean_json import dumps, loads
from minidock.step import Step

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import ClassVar

    from minidock.linux.kernel import Kernel
    from minidock.spec.runtime import Spec
    from minidock.step import Context

OCI_VERSION = "1.2.0"
_AF_UNIX, _SOCK_STREAM = 1, 1


class ConnectListener(Step):
    """Connect to the agent while its socket's path can be reached."""

    path: str
    see: ClassVar[tuple[str, ...]] = ("seccomp_unotify(2)", "unix(7)")

    def describe(self) -> str:
        return f"connect to {self.path}, where the agent is that will decide on system calls"

    def apply(self, kernel: Kernel, ctx: Context) -> None:
        ctx.agent = kernel.socket(_AF_UNIX, _SOCK_STREAM | os.O_CLOEXEC)
        kernel.connect(ctx.agent, self.path)


class HandOverListener(Step):
    """Send the listener to the agent. `state` is JSON of the container's state without its pid."""

    state: str
    metadata: str
    see: ClassVar[tuple[str, ...]] = ("seccomp_unotify(2)", "cmsg(3)")

    def describe(self) -> str:
        return "send the agent the descriptor through which it will be asked, and who asks"

    def apply(self, kernel: Kernel, ctx: Context) -> None:
        message = {
            "ociVersion": OCI_VERSION,
            "fds": ["seccompFd"],
            "pid": int(ctx.init),
            "metadata": self.metadata,
            "state": {**loads(self.state), "pid": int(ctx.init)},
        }
        kernel.sendmsg(ctx.agent, dumps(message).encode(), (ctx.listener,))
        kernel.close(ctx.agent)
        kernel.close(ctx.listener)


def plan_listener(spec: Spec, state: str, status: str) -> tuple[Step, Step]:
    """What connects, and what sends after loading. `state` is JSON as hooks read it, "" where
    nobody has told. Raises `StartFailed`."""
    profile = loads(spec.seccomp)
    path = profile.get("listenerPath")
    if not path:
        raise StartFailed("seccomp: SCMP_ACT_NOTIFY is used, and linux.seccomp.listenerPath is not")
    if not state:
        bundle = os.path.dirname(spec.root_path)
        about = {"ociVersion": OCI_VERSION, "id": os.path.basename(bundle), "bundle": bundle}
        state = dumps({**about, "annotations": dict(spec.annotations)})
    state = dumps({**loads(state), "status": status})
    return ConnectListener(path), HandOverListener(state, profile.get("listenerMetadata") or "")
