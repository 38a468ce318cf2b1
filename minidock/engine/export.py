"""export: a container's whole filesystem as one flat tar, without layers and history.

It is what a process in the container would see of its root, and no mount in it: the layers stacked,
the container's own changes on top. They are stacked once more for this, read-only, in a mount
namespace of a child, so that it does not matter whether the container runs. Whatever happens to the
child, the kernel unmounts it.

See: https://docs.kernel.org/filesystems/overlayfs.html (a lower-only mount), unshare(2)
"""

from __future__ import annotations

import os

from minidock.engine.events import tell
from minidock.engine.image_removal import lowerdirs
from minidock.engine.output import OutputClosed, write_all
from minidock.errors import MinidockError, StoreError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from minidock.engine.containers import Container

_MESSAGE_BYTES = 4096


def export(container: Container, out: int) -> None:
    """Write the tar to the descriptor `out`. Raises `MinidockError`."""
    layers = (container.upper, *lowerdirs(container))
    report, child_report = os.pipe()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            os.close(report)
            _write(layers, f"{container.directory}/rootfs", out)
            code = 0
        except OutputClosed:
            os.write(child_report, b"P")
        except (MinidockError, OSError) as error:
            message = error.message if isinstance(error, MinidockError) else str(error)
            os.write(child_report, b"E" + message.encode("utf-8", "replace")[:_MESSAGE_BYTES])
        finally:
            os._exit(code)
    os.close(child_report)
    with open(report, "rb") as pipe:
        said = pipe.read(_MESSAGE_BYTES + 1)
    if os.waitpid(child, 0)[1] == 0:
        tell(container, "export")
        return
    if said[:1] == b"P":
        raise OutputClosed
    words = said[1:].decode("utf-8", "replace") or "the process that reads it died"
    raise StoreError(f"cannot export container {container.id[:12]}: {words}")


def _write(layers: tuple[str, ...], mount_point: str, out: int) -> None:
    """In the child: mount, and pack what is there."""
    from minidock.image.pack import write_layer
    from minidock.isolation.overlay import plan_overlay
    from minidock.isolation.rootfs import SetPropagation
    from minidock.linux.flags import CloneFlag, MountFlag
    from minidock.linux.kernel import LinuxKernel
    from minidock.step import Context, execute

    kernel = LinuxKernel()
    kernel.unshare(CloneFlag.CLONE_NEWNS)
    overlay = plan_overlay(mount_point, layers, "", "", MountFlag.MS_RDONLY)
    execute([SetPropagation(), overlay], kernel, Context())
    write_layer(mount_point, lambda data: write_all(out, data))
