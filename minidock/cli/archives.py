"""save, load, export: images and containers in a file, or through a pipe."""

from __future__ import annotations

import os

from minidock.cli.command import ClientError, Command, Flag, Unsupported
from minidock.engine.output import OutputClosed
from minidock.linux.files import remove_file

TYPE_CHECKING = False
if TYPE_CHECKING:
    from minidock.cli.app import App
    from minidock.cli.parse import Parsed

_MODULE = "minidock.cli.archives:"

SAVE_UNSUPPORTED = (Unsupported("platform", "", "images here are of one platform"),)
SAVE = Command(
    help="Save one or more images to a tar archive (streamed to STDOUT by default)",
    run=_MODULE + "save",
    args="IMAGE [IMAGE...]",
    least=1,
    flags=(Flag("output", "o", help="Write to a file, instead of STDOUT"),),
    unsupported=_MODULE + "SAVE_UNSUPPORTED",
    examples=(
        "minidock save -o images.tar debian busybox",
        "minidock save debian | ssh other minidock load",
    ),
)
LOAD = Command(
    help="Load an image from a tar archive or STDIN",
    run=_MODULE + "load",
    most=0,
    flags=(
        Flag("input", "i", help="Read from tar archive file, instead of STDIN"),
        Flag("platform", help="Load only the given platform variant"),
        Flag("quiet", "q", "bool", help="Suppress the load output"),
    ),
    examples=("minidock load -i images.tar", "minidock load -q -i images.tar.gz"),
)

EXPORT = Command(
    help="Export a container's filesystem as a tar archive",
    run=_MODULE + "export",
    args="CONTAINER",
    least=1,
    most=1,
    flags=(Flag("output", "o", help="Write to a file, instead of STDOUT"),),
    examples=("minidock export -o rootfs.tar web",),
)


def save(args: Parsed, app: App) -> int:
    """`minidock save`"""
    from minidock.engine.image_events import tell_saved
    from minidock.image.store import ImageStore

    store, path = ImageStore(app.root), args.text("output")
    if not path:
        if os.isatty(app.stdout):
            raise ClientError(
                "cowardly refusing to save to a terminal. Use the -o flag or redirect"
            )
        try:
            store.save(args.positionals, app.stdout)
        except BrokenPipeError as error:
            raise OutputClosed from error
    else:
        with OutputFile(path) as out:
            store.save(args.positionals, out.fd)
            out.keep()
    tell_saved(app.run_root, store, args.positionals)
    return 0


class OutputFile:
    """A file that is there when all of it was written, and not before. For `with`."""

    def __init__(self, path: str) -> None:
        self.fd = -1
        self._path = path
        self._temporary = f"{path}.{os.getpid()}.tmp"
        self._kept = False

    def __enter__(self) -> OutputFile:
        if os.path.exists(self._path) and not os.path.isfile(self._path):
            # A fifo or device is written to as it is.
            if os.path.isdir(self._path):
                raise ClientError(f'invalid output path: "{self._path}" must be a file')
            self._temporary, self._kept = self._path, True
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
        try:
            self.fd = os.open(self._temporary, flags, 0o600)
        except FileNotFoundError:
            directory = os.path.dirname(self._path)
            raise ClientError(
                f'invalid output path: directory "{directory}" does not exist'
            ) from None
        return self

    def keep(self) -> None:
        """All of it is there: give it its name."""
        if not self._kept:
            os.rename(self._temporary, self._path)
            self._kept = True

    def __exit__(self, *_: object) -> None:
        os.close(self.fd)
        if not self._kept:
            remove_file(self._temporary)


def export(args: Parsed, app: App) -> int:
    """`minidock export`"""
    from minidock.engine.export import export as export_container

    path = args.text("output")
    container = app.containers().find(args.positionals[0])
    if not path:
        if os.isatty(app.stdout):
            raise ClientError(
                "cowardly refusing to save to a terminal. Use the -o flag or redirect"
            )
        export_container(container, app.stdout)
        return 0
    with OutputFile(path) as out:
        export_container(container, out.fd)
        out.keep()
    return 0


def load(args: Parsed, app: App) -> int:
    """`minidock load`"""
    from minidock.cli.registries import parse_platform
    from minidock.engine.image_events import tell_image
    from minidock.image.store import ImageStore

    path = args.text("input")
    if not path and os.isatty(app.stdin):
        raise ClientError("requested load from stdin, but stdin is empty")
    store, wanted = ImageStore(app.root), parse_platform(args.text("platform"))
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC) if path else app.stdin
    except OSError as error:
        raise ClientError(f"open {path}: {(error.strerror or '').lower()}") from None
    try:
        loaded = store.load(fd, lambda platform: platform.fits(wanted))
    finally:
        if path:
            os.close(fd)
    for image in loaded:
        tell_image(app.run_root, "load", store.resolve(str(image.id)))
    if args.on("quiet"):
        return 0
    for image in loaded:
        for name in image.names:
            app.out(f"Loaded image: {name}\n")
        if not image.names:
            app.out(f"Loaded image ID: {image.id}\n")
    return 0
