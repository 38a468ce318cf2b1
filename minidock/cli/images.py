"""import, tag, rmi, commit: the commands that change what is in the image store.

Names are read here before anything else is done, as Docker's client does it: a wrong one is the
client's error, without `Error response from daemon: `.
"""

from __future__ import annotations

import os

from minidock.cli.command import ClientError, Command, Flag, Unsupported
from minidock.errors import InvalidInput, NotFound

TYPE_CHECKING = False
if TYPE_CHECKING:
    from minidock.cli.app import App
    from minidock.cli.parse import Parsed
    from minidock.spec.reference import Reference

_MODULE = "minidock.cli.images:"
_CHANGE = Flag("change", "c", "list", help="Apply Dockerfile instruction to the created image")

IMPORT_UNSUPPORTED = (
    Unsupported("platform", "", "an imported image is for the machine it was imported on"),
)
IMPORT = Command(
    help="Import the contents from a tarball to create a filesystem image",
    run=_MODULE + "import_",
    args="file|URL|- [REPOSITORY[:TAG]]",
    least=1,
    flags=(_CHANGE, Flag("message", "m", help="Set commit message for imported image")),
    unsupported=_MODULE + "IMPORT_UNSUPPORTED",
    examples=(
        "minidock import rootfs.tar.gz ubuntu",
        "minidock import -c 'CMD [\"/bin/bash\"]' rootfs.tar ubuntu:24.04",
        "curl -L https://example.org/rootfs.tar.xz | minidock import - base",
    ),
)
TAG = Command(
    help="Create a tag TARGET_IMAGE that refers to SOURCE_IMAGE",
    run=_MODULE + "tag",
    args="SOURCE_IMAGE[:TAG] TARGET_IMAGE[:TAG]",
    least=2,
    most=2,
    examples=("minidock tag ubuntu ubuntu:24.04",),
)
RMI = Command(
    help="Remove one or more images",
    run=_MODULE + "rmi",
    args="IMAGE [IMAGE...]",
    least=1,
    flags=(
        Flag("force", "f", "bool", help="Force removal of the image"),
        Flag("no-prune", kind="bool", help="Do not delete untagged parents"),
    ),
    examples=("minidock rmi ubuntu-foo", "minidock rmi -f 48cff2e9be75"),
)
COMMIT = Command(
    help="Create a new image from a container's changes",
    run=_MODULE + "commit",
    args="CONTAINER [REPOSITORY[:TAG]]",
    least=1,
    most=2,
    flags=(
        Flag("author", "a", help='Author (e.g., "John Hannibal Smith <hannibal@a-team.com>")'),
        _CHANGE,
        Flag("message", "m", help="Commit message"),
        Flag("pause", "p", "bool", default=True, help="Pause container during commit"),
    ),
    examples=(
        "minidock commit 48cff2e9be75 ubuntu-foo",
        "minidock commit -m 'with curl' -c 'CMD [\"curl\"]' web web:2",
    ),
)


def _reference(text: str) -> Reference | None:
    """A name for a new image; None where there is none. Raises ClientError."""
    from minidock.spec.reference import parse_reference

    if not text:
        return None
    try:
        return parse_reference(text)
    except InvalidInput as error:
        raise ClientError(error.message) from None


# ── import ──


def import_(args: Parsed, app: App) -> int:
    """`minidock import`"""
    from minidock.engine.image_events import tell_new
    from minidock.image.store import ImageStore

    source, name = (*args.positionals, "")[:2]
    reference = _reference(name)
    fd = app.stdin if source == "-" else _open_tarball(source)
    try:
        image = ImageStore(app.root).import_tarball(
            fd, reference, changes=args.each("change"), message=args.text("message")
        )
    finally:
        if fd != app.stdin:
            os.close(fd)
    tell_new(app.run_root, "import", image, reference)
    app.out(f"{image.id}\n")
    return 0


def _open_tarball(path: str) -> int:
    import stat

    if path.startswith(("http://", "https://")):
        raise ClientError(
            "minidock import: URLs are not supported",
            hint=f"Fetch it yourself: curl -L {path} | minidock import -",
        )
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        words = (error.strerror or str(error)).lower()  # in Go the kernel speaks in lower case
        raise ClientError(f"open {path}: {words}") from None
    if stat.S_ISDIR(os.fstat(fd).st_mode):
        os.close(fd)
        raise ClientError(f"read {path}: is a directory")
    return fd


# ── tag ──


def tag(args: Parsed, app: App) -> int:
    """`minidock tag`"""
    from minidock.engine.image_events import tell_image
    from minidock.image.store import ImageStore

    source, target = args.positionals
    if not _is_id(source):
        _tag_reference(source)
    reference = _tag_reference(target)
    if reference.digest:
        raise ClientError("refusing to create a tag with a digest reference")
    store = ImageStore(app.root)
    image = store.resolve(source)
    store.tag(image, reference)
    tell_image(app.run_root, "tag", image, reference.familiar)
    return 0


def _is_id(text: str) -> bool:
    from minidock.spec.reference import is_identifier

    return is_identifier(text.removeprefix("sha256:"))


def _tag_reference(text: str) -> Reference:
    from minidock.spec.quoting import quote
    from minidock.spec.reference import parse_reference

    try:
        return parse_reference(text)
    except InvalidInput as error:
        raise ClientError(
            f"Error parsing reference: {quote(text)} is not a valid repository/tag: {error.message}"
        ) from None


# ── rmi ──


def rmi(args: Parsed, app: App) -> int:
    """`minidock rmi`"""
    from minidock.engine.containers import Containers
    from minidock.engine.image_removal import remove_image
    from minidock.engine.paths import Paths
    from minidock.errors import MinidockError
    from minidock.image.store import ImageStore

    paths, store = Paths(app.root, app.run_root), ImageStore(app.root)
    force, prune = args.on("force"), not args.on("no-prune")
    errors: list[MinidockError] = []
    for name in args.positionals:
        try:
            lines = remove_image(paths, Containers(paths), store, name, force=force, prune=prune)
        except MinidockError as error:
            errors.append(error)
        else:
            app.out("".join(line + "\n" for line in lines))
    for failure in errors:  # after all output, as Docker does it
        app.fail(failure)
    # What is not there need not be forced to go.
    return int(any(not (force and isinstance(failure, NotFound)) for failure in errors))


# ── commit ──


def commit(args: Parsed, app: App) -> int:
    """`minidock commit`"""
    from minidock.engine.commit import commit as commit_container
    from minidock.image.store import ImageStore

    name, target = (*args.positionals, "")[:2]
    if not name.strip():
        raise ClientError("invalid container name or ID: value is empty")
    reference = _reference(target)
    if reference and reference.digest:
        raise ClientError("refusing to create a tag with a digest reference")
    container = app.containers().find(name)
    image = commit_container(
        container,
        ImageStore(app.root),
        reference=reference,
        author=args.text("author"),
        comment=args.text("message"),
        changes=args.each("change"),
        pause=args.on("pause"),
    )
    app.out(f"{image.id}\n")
    return 0
