"""build: an image from a Dockerfile and a directory."""

from __future__ import annotations

import os

from minidock.cli.build_flags import FLAGS, UNSUPPORTED
from minidock.cli.command import ClientError, Command
from minidock.errors import MinidockError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from minidock.build.context import Context
    from minidock.build.instructions import Dockerfile
    from minidock.build.options import BuildOptions, StepFailed
    from minidock.cli.app import App
    from minidock.cli.build_output import Output
    from minidock.cli.build_progress import Progress
    from minidock.cli.parse import Parsed
    from minidock.engine.paths import Paths
    from minidock.image.store import ImageStore
    from minidock.spec.image import Platform
    from minidock.spec.reference import Reference

BUILD = Command(
    help="Build an image from a Dockerfile",
    run="minidock.cli.build:build",
    args="PATH | -",
    least=1,
    most=1,
    flags=FLAGS,
    unsupported="minidock.cli.build_flags:UNSUPPORTED",
    examples=(
        "minidock build -t my-app .",
        "minidock build --target tests --build-arg VERSION=2 --explain-cache .",
        "tar -c Dockerfile src | minidock build -t my-app -",
        "minidock build -o type=local,dest=out .",
    ),
)
__all__ = ["BUILD", "UNSUPPORTED"]


def build(args: Parsed, app: App) -> int:
    """`minidock build`"""
    if args.on("no-cache") or not os.path.isdir(f"{app.root}/build/last"):
        # Nothing can be in the cache, so a monitor will be needed: it gets ready meanwhile.
        from minidock.engine.spawn import spawn_monitor

        app.monitor = spawn_monitor()
    from minidock.build.context import open_context
    from minidock.cli.build_output import outputs
    from minidock.cli.build_progress import watch
    from minidock.engine.paths import Paths
    from minidock.image.store import ImageStore

    _end_in_order()
    if args.text("iidfile"):
        _remove(args.text("iidfile"))  # an old one must not be taken for this build's
    out = outputs(args.each("output"), app)
    progress = watch(app, args.text("progress"), quiet=args.on("quiet"))
    options = _options(args, app, progress)
    images, paths = ImageStore(app.root), Paths(app.root, app.run_root)
    with images.hold():
        paths.make()
        where, dockerfile = args.positionals[0], args.text("file")
        try:
            context = open_context(where, dockerfile, app.stdin, images.workshop())
        except MinidockError as error:
            return _wrong(app, error)
        try:
            image_id = _build_from(context, args, app, options, progress, out)
        finally:
            if context.temporary:
                images.workshop().discard(context.temporary)
    if image_id is None:
        return 1
    _tidy(app, paths, images)
    if image_id and args.text("iidfile"):
        with open(args.text("iidfile"), "w") as file:
            file.write(image_id)
    if image_id and args.on("quiet"):
        app.out(f"{image_id}\n")
    return 0


def _build_from(
    context: Context,
    args: Parsed,
    app: App,
    options: BuildOptions,
    progress: Progress,
    out: list[Output],
) -> str | None:
    """The image's id, "" if it went elsewhere; None after saying what went wrong."""
    from minidock.build.dockerfile import parse_dockerfile
    from minidock.build.instructions import DockerfileError
    from minidock.build.options import Cancelled, StepFailed

    dockerfile: Dockerfile | None = None
    try:
        with progress:
            dockerfile = parse_dockerfile(context.dockerfile, context.dockerfile_name)
            image_id = _do(context, dockerfile, args, app, options, progress, out)
        progress.lint(dockerfile)
        return image_id
    except DockerfileError as error:
        app.err(f"{error.excerpt}\n" if error.excerpt else "")
        _unsolved(app, error)
    except StepFailed as error:
        assert dockerfile
        _failed(app, dockerfile, error, progress)
    except Cancelled:
        app.err("ERROR: the build was given up\n")
    except MinidockError as error:
        _unsolved(app, error)
    return None


def _do(
    context: Context,
    dockerfile: Dockerfile,
    args: Parsed,
    app: App,
    options: BuildOptions,
    progress: Progress,
    out: list[Output],
) -> str:
    from minidock.build.builder import Build
    from minidock.engine.image_events import tell_image
    from minidock.engine.paths import Paths
    from minidock.image.store import ImageStore
    from minidock.spec.reference import parse_reference

    paths = Paths(app.root, app.run_root)
    build = Build(paths, ImageStore(app.root), context, dockerfile, options, progress)
    if app.monitor:
        build.monitors.add(app.monitor)
        app.monitor = None
    state = build.build()
    for output in out:
        output.write(build, state)
    if out:
        return ""
    tags = [parse_reference(text) for text in args.each("tag")]
    image = build.finish(state, tags)
    for tag in tags:
        tell_image(app.run_root, "tag", image, tag.familiar)
    progress.named(str(image.id), [tag.familiar for tag in tags])
    return str(image.id)


def _remove(path: str) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass


def _tidy(app: App, paths: Paths, images: ImageStore) -> None:
    from minidock.build.daily import prune_daily

    try:
        prune_daily(paths, app.containers(), images)
    except (MinidockError, OSError) as error:
        app.trace(error)  # the build is done; `builder prune` will say what is wrong


def _end_in_order() -> None:
    """`kill` and a closed terminal end a build as Ctrl-C does: through every clean-up."""
    from minidock.linux import signals as signal

    def interrupt(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) != signal.SIG_IGN:  # as nohup leaves it
            signal.signal(number, interrupt)


def _options(args: Parsed, app: App, progress: Progress) -> BuildOptions:
    from minidock.build.options import BuildOptions
    from minidock.cli.build_values import (
        arguments,
        epoch,
        host_config,
        secrets,
        ssh_sockets,
    )
    from minidock.image.platforms import parse_platform

    given = arguments(args.each("build-arg"))
    platform: Platform | None = None
    if args.text("platform"):
        if "," in args.text("platform"):
            raise ClientError("minidock build: one platform at a time")
        platform = parse_platform(args.text("platform"))
    network = args.text("network") or "default"
    labels = (label.partition("=") for label in args.each("label"))

    def fetch(reference: Reference, platform: Platform) -> None:
        from minidock.cli.registries import fetch as pull

        progress.pause()
        try:
            pull(app, reference, platform, quiet=args.on("quiet"), aside=True)
        finally:
            progress.resume()

    return BuildOptions(
        arguments=given,
        target=args.text("target"),
        no_cache=args.on("no-cache"),
        no_cache_stages=tuple(s for text in args.each("no-cache-filter") for s in text.split(",")),
        pull=args.on("pull"),
        labels=tuple((name, value) for name, _, value in labels),
        network=network,
        add_hosts=args.each("add-host"),
        secrets=secrets(args.each("secret")),
        ssh=ssh_sockets(args.each("ssh")),
        cache_from=args.each("cache-from"),
        platform=platform,
        squash=args.on("squash"),
        keep_failed=args.on("keep-failed"),
        explain=args.on("explain-cache"),
        epoch=epoch(given),
        inline_cache=given.get("BUILDKIT_INLINE_CACHE") in ("1", "true"),
        host_config=host_config(args),
        fetch=fetch,
    )


def _wrong(app: App, error: Exception, prefix: str = "") -> int:
    """Docker's last line, and what might help; the exit code."""
    from minidock.cli.app import describe
    from minidock.spec.quoting import visible

    message = describe(error) if isinstance(error, OSError) else getattr(error, "message", "")
    app.err(f"ERROR: {prefix}{visible(message)}\n")
    hint = getattr(error, "hint", "")
    app.err(f"{hint}\n" if hint else "")
    app.trace(error)
    return 1


def _unsolved(app: App, error: Exception) -> int:
    return _wrong(app, error, "failed to solve: ")


def _failed(app: App, dockerfile: Dockerfile, error: StepFailed, progress: Progress) -> int:
    """The output of what failed, its place, and why."""
    from minidock.build.errors import excerpt
    from minidock.build.instructions import DockerfileError
    from minidock.build.options import RunFailed

    cause = error.cause
    shown = progress.output_of(error.number)
    if shown or isinstance(cause, RunFailed):
        app.err(f"------\n > {error.title}:\n")
        app.err(shown)
        app.err("------\n")
    place = getattr(cause, "excerpt", "") if isinstance(cause, DockerfileError) else ""
    place = place or excerpt(dockerfile.path, dockerfile.lines, error.where)
    app.err(f"{place}\n" if place else "")
    code = _unsolved(app, cause)
    if isinstance(cause, RunFailed) and cause.kept:
        app.err(
            f"The container is kept: minidock start -ai {cause.kept} is a shell in it, "
            f"minidock rm {cause.kept} removes it\n"
        )
    return code
