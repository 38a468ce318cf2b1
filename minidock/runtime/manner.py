"""What about a start is up to whoever asks for it, and stands in no bundle.

`minidock run` has a monitor that holds the container's streams and dies with it; an engine that
drives the OCI runtime has a shim of its own, wants the program to wait for `start`, and may hand
descriptors through. The same plan is made for both, from the same bundle; this is the difference.
"""

from __future__ import annotations

from minidock.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from minidock.step import Step


class Manner(Record):
    """How a container, or one more process in it, is started.

    Attributes:
        monitored: the process dies with its parent, the monitor.
        start_fifo: path of the fifo at which init waits for `start`; "" to go on at once.
        preserved: how many descriptors from 3 on the program inherits.
        new_keyring: begin with an empty session keyring (not `--no-new-keyring`).
        pivot: leave the old root with pivot_root(2) (not `--no-pivot`).
        hook_state: JSON for hooks and agents, an object without its "pid" and "status"; "" for no
            hooks.
        prepare, attach, inside: Steps that whoever starts it adds, for the networks that the
            container is on: on the host before all others, on the host when init waits, and by init
            in its own network namespace.
        shared_memory: path of the mount namespace whose /dev/shm the container shares; "" for one
            as the bundle says. (A bundle must not be able to name it: it may be a stranger's.)
    """

    monitored: bool = True
    start_fifo: str = ""
    preserved: int = 0
    new_keyring: bool = True
    pivot: bool = True
    hook_state: str = ""
    shared_memory: str = ""
    prepare: tuple[Step, ...] = ()
    attach: tuple[Step, ...] = ()
    inside: tuple[Step, ...] = ()


MONITORED = Manner()
