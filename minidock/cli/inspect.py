"""inspect: everything there is to know, as JSON or through a template.

Three commands: `container inspect` and `image inspect` know where to look; plain `inspect` takes
whatever has the name, containers first. Names that are nothing do not hide those that are
something: the documents go to stdout, then the errors to stderr.

See: docker/cli cli/command/inspect/inspector.go, cli/command/system/inspect.go
"""

from __future__ import annotations

from minidock.cli.command import ClientError, Command, Flag, Unsupported, UsageError
from minidock.errors import InvalidInput, MinidockError, NotFound

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from minidock.cli.app import App
    from minidock.cli.parse import Parsed

    Document = dict[str, Any]

_MODULE = "minidock.cli.inspect:"
_FORMAT = Flag(
    "format",
    "f",
    help="""Format output using a custom template:
'json':             Print in JSON format
'TEMPLATE':         Print output using the given Go template.
Refer to https://docs.docker.com/go/formatting/ for more information about formatting output with \
templates""",
)

ANY = Command(
    help="Return low-level information on containers and images",
    run=_MODULE + "inspect_any",
    args="NAME|ID [NAME|ID...]",
    least=1,
    flags=(
        _FORMAT,
        Flag(
            "size",
            "s",
            "bool",
            help="Display total file sizes if the type is container",
        ),
        Flag("type", help="Only inspect objects of the given type"),
    ),
    examples=("minidock inspect web", "minidock inspect -f '{{.State.Pid}}' web"),
)
CONTAINER = Command(
    help="Display detailed information on one or more containers",
    run=_MODULE + "inspect_containers",
    args="CONTAINER [CONTAINER...]",
    least=1,
    flags=(_FORMAT, Flag("size", "s", "bool", help="Display total file sizes")),
    examples=("minidock container inspect -s web",),
)
IMAGE_UNSUPPORTED = (Unsupported("platform", "", "images here are for this machine"),)
IMAGE = Command(
    help="Display detailed information on one or more images",
    run=_MODULE + "inspect_images",
    args="IMAGE [IMAGE...]",
    least=1,
    flags=(_FORMAT,),
    unsupported=_MODULE + "IMAGE_UNSUPPORTED",
    examples=("minidock image inspect -f '{{.Config.Cmd}}' ubuntu",),
)

_ALL_TYPES = (
    "config", "container", "image", "network", "node", "plugin", "secret", "service", "task",
    "volume",
)  # fmt: skip
_BAD_TEMPLATE = 64


def inspect_any(args: Parsed, app: App) -> int:
    """`minidock inspect`"""
    kind, with_size = args.text("type"), args.on("size")
    if args.given("type") and kind not in _FINDERS:
        raise ClientError(_wrong_type(kind))

    def find(name: str) -> Document:
        for what in (kind,) if kind else _FINDERS:
            try:
                document = _FINDERS[what](app, name, with_size)
            except (NotFound, InvalidInput) as error:
                if kind or (what == "container" and isinstance(error, InvalidInput)):
                    raise
                continue
            if with_size and what != "container":
                app.err(f"WARNING: --size ignored for {what}\n")
            return document
        raise ClientError(f"Error: No such object: {name}")

    return print_documents(args, app, find)


def inspect_containers(args: Parsed, app: App) -> int:
    """`minidock container inspect`"""
    with_size = args.on("size")
    return print_documents(args, app, lambda name: _container(app, name, with_size=with_size))


def inspect_images(args: Parsed, app: App) -> int:
    """`minidock image inspect`"""
    return print_documents(args, app, lambda name: _image(app, name))


def _wrong_type(kind: str) -> str:
    from minidock.spec.quoting import quote

    if kind in _ALL_TYPES:
        return f'type "{kind}" is not supported: there are only {", ".join(_FINDERS)} here'
    types = ", ".join(quote(name) for name in _ALL_TYPES)
    problem = f"unknown type: {quote(kind)}" if kind else "type is empty"
    return f"{problem}: must be one of {types}"


# ── finding ──


def _container(app: App, name: str, *, with_size: bool) -> Document:
    """Raises `NotFound` and others in Docker's words."""
    from minidock.engine.inspect import inspect_container, with_sizes

    if not name:
        raise ClientError("invalid container name or ID: value is empty")
    container = app.containers().find(name)
    document = inspect_container(container)
    if with_size:
        from minidock.engine.listing import Sizes
        from minidock.image.store import ImageStore

        document = with_sizes(document, *Sizes(ImageStore(app.root)).of(container))
    return document


def _image(app: App, name: str) -> Document:
    from minidock.engine.inspect import inspect_image
    from minidock.image.store import ImageStore

    if not name:
        raise ClientError("Error: No such image: ")
    images = ImageStore(app.root)
    return inspect_image(images, images.resolve(name), app.root)


def _network(app: App, name: str) -> Document:
    from minidock.engine.network_use import inspect_network
    from minidock.engine.paths import Paths

    return inspect_network(Paths(app.root, app.run_root), name)


def _volume(app: App, name: str) -> Document:
    from minidock.engine.paths import Paths
    from minidock.engine.volumes import Volumes, volume_document

    return volume_document(Volumes(Paths(app.root, app.run_root)).find(name))


_FINDERS: Mapping[str, Callable[[App, str, bool], Document]] = {
    "container": lambda app, name, with_size: _container(app, name, with_size=with_size),
    "image": lambda app, name, _: _image(app, name),
    "network": lambda app, name, _: _network(app, name),
    "volume": lambda app, name, _: _volume(app, name),
}
"""What a name may be, in the order in which it is looked for."""


# ── printing ──


def print_documents(args: Parsed, app: App, find: Callable[[str], Document]) -> int:
    """Look everything up, print what was found, then what was not."""
    form = args.text("format")
    if form:
        _check_template(form)
    documents: list[Document] = []
    errors: list[MinidockError] = []
    lines = ""
    for name in args.positionals:
        try:
            document = find(name)
            documents.append(document)
            lines += _line(form, document)
        except MinidockError as error:
            errors.append(error)
    if not form:
        app.out(to_indented_json(documents) + "\n")
    elif form == "json":
        from minidock.cli.template import format_documents

        app.out(format_documents(form, documents))
    else:
        app.out(lines or "\n")
    for problem in errors:
        app.fail(problem)
    return 1 if errors else 0


def _line(form: str, document: Document) -> str:
    """What a template makes of one document. Raises `TemplateError`."""
    if form in ("", "json"):
        return ""
    from minidock.cli.template import format_documents

    return format_documents(form, [document])


def _check_template(form: str) -> None:
    """A template that cannot be read is refused before anything is looked up."""
    from minidock.cli.template import format_documents
    from minidock.cli.template_tokens import TemplateError

    try:
        format_documents(form, [])
    except TemplateError as error:
        raise UsageError(f"{error.message}\n", _BAD_TEMPLATE) from None


def to_indented_json(value: object, indent: str = "\n") -> str:
    """JSON with four spaces a level, as Docker prints it; only what JSON requires is escaped, and
    what a terminal would act on.

    By hand, because importing `json` costs more than reading a container. `indent` is what begins
    a line on this level.
    """
    if isinstance(value, dict) and value:
        deeper = indent + "    "
        items = [
            f"{_string(str(key))}: {to_indented_json(item, deeper)}" for key, item in value.items()
        ]
        return "{" + deeper + ("," + deeper).join(items) + indent + "}"
    if isinstance(value, (list, tuple)) and value:
        deeper = indent + "    "
        texts = [to_indented_json(item, deeper) for item in value]
        return "[" + deeper + ("," + deeper).join(texts) + indent + "]"
    if isinstance(value, str):
        return _string(value)
    from minidock.spec.lean_json import dumps

    return dumps(value)


def _string(text: str) -> str:
    from _json import encode_basestring

    quoted: str = encode_basestring(text)
    if quoted.isascii() and "\x7f" not in quoted:
        return quoted
    return "".join(map(_escape, quoted))


def _escape(char: str) -> str:
    """Bytes that were no UTF-8 become U+FFFD, as everywhere in Go's JSON. The C1 controls, which
    terminals obey and Go prints, are escaped."""
    code = ord(char)
    if 0xD800 <= code < 0xE000:
        return "�"
    if 0x7F <= code < 0xA0 or code in (0x2028, 0x2029):
        return f"\\u{code:04x}"
    return char
