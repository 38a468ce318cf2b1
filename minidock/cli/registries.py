"""pull, push, login, logout: images that come from elsewhere and go there."""

from __future__ import annotations

import os

from minidock.cli.command import ClientError, Command, Flag, Unsupported
from minidock.errors import InvalidInput, MinidockError, NotFound
from minidock.image.platforms import parse_platform as parse_platform
from minidock.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from minidock.cli.app import App
    from minidock.cli.parse import Parsed
    from minidock.registry.credentials import Credentials
    from minidock.spec.image import Platform
    from minidock.spec.reference import Reference

_MODULE = "minidock.cli.registries:"
_QUIET = Flag("quiet", "q", "bool", help="Suppress verbose output")

TRUST_UNSUPPORTED = (Unsupported("disable-content-trust", "", "images are not signed"),)
PULL = Command(
    help="Download an image from a registry",
    run=_MODULE + "pull",
    args="NAME[:TAG|@DIGEST]",
    least=1,
    most=1,
    flags=(
        Flag("all-tags", "a", "bool", help="Download all tagged images in the repository"),
        Flag("platform", help="Set platform if server is multi-platform capable"),
        _QUIET,
    ),
    unsupported=_MODULE + "TRUST_UNSUPPORTED",
    examples=(
        "minidock pull debian",
        "minidock pull --platform linux/arm64 debian:12",
        "minidock pull localhost:5000/app@sha256:…",
    ),
)
PUSH_UNSUPPORTED = (
    *TRUST_UNSUPPORTED,
    Unsupported("platform", "", "images here are of one platform"),
)
PUSH = Command(
    help="Upload an image to a registry",
    run=_MODULE + "push",
    args="NAME[:TAG]",
    least=1,
    most=1,
    flags=(
        Flag("all-tags", "a", "bool", help="Push all tags of an image to the repository"),
        _QUIET,
    ),
    unsupported=_MODULE + "PUSH_UNSUPPORTED",
    examples=("minidock push localhost:5000/app",),
)
LOGIN = Command(
    help="Authenticate to a registry",
    description="Authenticate to a registry.\nDefaults to Docker Hub if no server is specified.",
    run=_MODULE + "login",
    args="[SERVER]",
    most=1,
    flags=(
        Flag("password", "p", help="Password or Personal Access Token (PAT)"),
        Flag(
            "password-stdin",
            kind="bool",
            help="Take the Password or Personal Access Token (PAT) from stdin",
        ),
        Flag("username", "u", help="Username"),
    ),
    needs_root=False,
    examples=("minidock login -u me registry.example.com",),
)
LOGOUT = Command(
    help="Log out from a registry",
    description="Log out from a registry.\nDefaults to Docker Hub if no server is specified.",
    run=_MODULE + "logout",
    args="[SERVER]",
    most=1,
    needs_root=False,
    examples=("minidock logout registry.example.com",),
)


def _named(text: str) -> Reference:
    """Raises ClientError for what is no name of an image."""
    from minidock.spec.reference import parse_reference

    try:
        return parse_reference(text)
    except InvalidInput as error:
        raise ClientError(error.message) from None


# ── pull ──


def pull(args: Parsed, app: App) -> int:
    """`minidock pull`"""
    from minidock.spec.reference import is_default_tag

    text, quiet = args.positionals[0], args.on("quiet")
    reference = _named(text)
    platform = parse_platform(args.text("platform"))
    if args.on("all-tags"):
        if not is_default_tag(text):
            raise ClientError("tag can't be used with --all-tags/-a")
        return _pull_all(app, reference, platform, quiet=quiet)
    if is_default_tag(text) and not quiet:
        app.out("Using default tag: latest\n")
    fetch(app, reference, platform, quiet=quiet)
    app.out(f"{reference.canonical}\n")
    return 0


def fetch(
    app: App, reference: Reference, platform: Platform, *, quiet: bool, aside: bool = False
) -> None:
    """Pull one image, and tell of it as Docker does; `aside`: on standard error."""
    from minidock.cli.progress import watch
    from minidock.engine.image_events import tell_travel
    from minidock.image.store import ImageStore
    from minidock.registry.pull import find
    from minidock.registry.pull import pull as pull_image
    from minidock.registry.settings import read_settings

    tell = None if quiet else _teller(app)
    known, settings = _known(reference), read_settings()
    out = app.stderr if aside else app.stdout
    say = app.err if aside else app.out
    avoid: list[str] = []
    pulled = None
    while not pulled:
        found = find(reference, platform, known, settings, tell, avoid)
        if not quiet and not avoid:
            which = reference.digest or reference.tag
            say(f"{which}: Pulling from {reference.path}\n")
        try:
            with watch(out, quiet=quiet) as watcher:
                pulled = pull_image(ImageStore(app.root), reference, platform, found, watcher)
        except MinidockError as error:
            mirror = found.registry.endpoint
            if not mirror.mirror:
                raise
            avoid.append(mirror.host)  # it has the name, and not all of what that stands for
            if tell:
                tell(f"mirror {mirror.host}: {error.message}; asking elsewhere")
    tell_travel(app.run_root, "pull", ImageStore(app.root), reference)
    if not quiet:
        state = "Downloaded newer image" if pulled.changed else "Image is up to date"
        say(f"Digest: {pulled.digest}\nStatus: {state} for {reference.familiar}\n")


def _teller(app: App) -> Callable[[str], object]:
    return lambda line: app.err(f"{line}\n")


def _known(reference: Reference) -> Credentials | None:
    from minidock.registry.credentials import CredentialFile

    return CredentialFile().find(reference.domain)


def _pull_all(app: App, reference: Reference, platform: Platform, *, quiet: bool) -> int:
    from minidock.registry.client import Registry
    from minidock.registry.settings import endpoint_of, read_settings

    endpoint = endpoint_of(reference.domain, read_settings())
    tags = Registry(endpoint, _known(reference)).tags(reference.path)
    if not tags:
        raise NotFound(f"repository {reference.familiar_repository} has no tags")
    for tag in tags:
        fetch(app, reference.but(tag=tag), platform, quiet=quiet)
    app.out(f"{reference.repository}\n")
    return 0


# ── push ──


def push(args: Parsed, app: App) -> int:
    """`minidock push`"""
    from minidock.image.store import ImageStore
    from minidock.spec.reference import is_default_tag, parse_reference

    text, quiet = args.positionals[0], args.on("quiet")
    reference = _named(text)
    if reference.digest:
        raise ClientError("cannot push a digest reference")
    if not args.on("all-tags"):
        if is_default_tag(text) and not quiet:
            app.out("Using default tag: latest\n")
        _send(app, reference, quiet=quiet)
        return 0
    if not is_default_tag(text):
        raise ClientError("tag can't be used with --all-tags/-a")
    names = (parse_reference(n) for i in ImageStore(app.root).images() for n in i.references)
    found = [name for name in names if name.repository == reference.repository]
    if not found:
        raise NotFound(f"An image does not exist locally with the tag: {text}")
    for name in found:
        _send(app, name, quiet=quiet)
    return 0


def _send(app: App, reference: Reference, *, quiet: bool) -> None:
    from minidock.cli.progress import watch
    from minidock.engine.image_events import tell_travel
    from minidock.image.store import ImageStore
    from minidock.registry.push import push as push_image
    from minidock.registry.settings import read_settings

    if not quiet:
        app.out(f"The push refers to repository [{reference.repository}]\n")
    with watch(app.stdout, quiet=quiet) as watcher:
        known, tell = _known(reference), None if quiet else _teller(app)
        store = ImageStore(app.root)
        pushed = push_image(store, reference, known, read_settings(), watcher, tell)
    tell_travel(app.run_root, "push", store, reference)
    if quiet:
        app.out(f"{reference.canonical}\n")
    else:
        app.out(f"{reference.tag}: digest: {pushed.digest} size: {pushed.size}\n")


# ── login, logout ──


class _Server(Record):
    """`domain` as references name it; `shown` as messages do."""

    domain: str
    shown: str


def _server(args: Parsed) -> _Server:
    from minidock.registry.credentials import HUB_KEY

    text = args.positionals[0] if args.positionals else ""
    host = text.partition("://")[2] if "://" in text else text
    host = host.partition("/")[0]
    if host in ("", "docker.io", "index.docker.io", "registry-1.docker.io"):
        return _Server("docker.io", HUB_KEY)
    return _Server(host, host)


def login(args: Parsed, app: App) -> int:
    """`minidock login`"""
    from minidock.registry.client import Registry
    from minidock.registry.credentials import CredentialFile
    from minidock.registry.settings import endpoint_of, read_settings

    if args.on("password-stdin"):
        if args.given("password"):
            raise ClientError(
                "conflicting options: cannot specify both --password and --password-stdin"
            )
        if not args.text("username"):
            raise ClientError("the --password-stdin option requires --username to be set")
    server, file = _server(args), CredentialFile()
    endpoint = endpoint_of(server.domain, read_settings())
    known = file.find(server.domain)
    if known and not args.given("username") and not args.given("password"):
        user = f" [Username: {known.username}]" if known.username else ""
        app.err(
            f"Authenticating with existing credentials...{user}\n\n"
            " Info -> To login with a different account, run 'minidock logout' followed by "
            "'minidock login'\n\n\n"
        )
        try:
            Registry(endpoint, known, _teller(app)).log_in()
            app.out("Login Succeeded\n")
            return 0
        except MinidockError as error:
            app.err(f"Login did not succeed, error: {error.message}\n")
    credentials = _credentials(args, app, known)
    identity = Registry(endpoint, credentials, _teller(app)).log_in()
    if identity:  # whoever reads the file then cannot read a password
        credentials = credentials.but(password="", identity_token=identity)
    helper = file.store(server.domain, credentials)
    if not helper and credentials != known:
        app.err(
            f"\nWARNING! Your credentials are stored unencrypted in '{file.path}'.\n"
            "Configure a credential helper to remove this warning. See\n"
            "https://docs.docker.com/go/credential-store/\n\n"
        )
    app.out("Login Succeeded\n")
    return 0


def _credentials(args: Parsed, app: App, known: Credentials | None) -> Credentials:
    """From the command line, standard input, or the person at the terminal."""
    from minidock.registry.credentials import Credentials

    username, password = args.text("username"), args.text("password")
    if args.on("password-stdin"):
        with open(app.stdin, "rb", closefd=False) as file:
            password = file.read(1 << 16).decode("utf-8", "surrogateescape").rstrip("\r\n")
    elif password:
        app.err("WARNING! Using --password via the CLI is insecure. Use --password-stdin.\n")
    if username and password:
        return Credentials(username, password)
    if not os.isatty(app.stdin):
        raise ClientError("Error: Cannot perform an interactive login from a non TTY device")
    import getpass

    if not username:
        before = known.username if known else ""
        app.out(f"Username ({before}): " if before else "Username: ")
        with open(app.stdin, encoding="utf-8", errors="replace", closefd=False) as terminal:
            username = terminal.readline().strip() or before
    if not username:
        raise ClientError("Error: Non-null Username Required")
    try:
        password = password or getpass.getpass("Password: ")
    except EOFError:
        password = ""
    except KeyboardInterrupt:
        app.out("\n")  # the echo is on again; the shell's prompt belongs on a line of its own
        raise
    if not password:
        raise ClientError("Error: Password Required")
    return Credentials(username, password)


def logout(args: Parsed, app: App) -> int:
    """`minidock logout`"""
    from minidock.registry.credentials import CredentialFile

    server = _server(args)
    app.out(f"Removing login credentials for {server.shown}\n")
    CredentialFile().erase(server.domain)
    return 0
