"""network: create, ls, inspect, rm, prune, connect, disconnect.

See: docker/cli cli/command/network, formatter in cli/command/network/formatter.go
"""

from __future__ import annotations

from minidock.cli.command import ClientError, Command, Flag
from minidock.cli.filters import collect_filters, filter_pair
from minidock.cli.list_flags import FORMAT, NO_TRUNC

TYPE_CHECKING = False
if TYPE_CHECKING:
    from minidock.cli.app import App
    from minidock.cli.parse import Parsed
    from minidock.cli.template import Fields
    from minidock.engine.networks import Network
    from minidock.engine.paths import Paths
    from minidock.engine.prune import Wanted

_MODULE = "minidock.cli.networks:"
_FILTER = 'Provide filter values (e.g. "driver=bridge")'
_PRIORITY = (
    "Highest gw-priority provides the default gateway. Accepts positive and negative values."
)
_UNTIL = 'Provide filter values (e.g. "until=<timestamp>")'

CREATE = Command(
    help="Create a network",
    run=_MODULE + "create",
    args="NETWORK",
    least=1,
    most=1,
    unsupported="minidock.cli.unsupported:NETWORK_CREATE",
    flags=(
        Flag("attachable", kind="bool", help="Enable manual container attachment"),
        Flag(
            "aux-address",
            kind="list",
            value="map",
            help="Auxiliary IPv4 or IPv6 addresses used by Network driver",
        ),
        Flag("driver", "d", default="bridge", help="Driver to manage the Network"),
        Flag("gateway", kind="list", help="IPv4 or IPv6 Gateway for the master subnet"),
        Flag("internal", kind="bool", help="Restrict external access to the network"),
        Flag("ip-range", kind="list", help="Allocate container ip from a sub-range"),
        Flag("ipam-driver", default="default", help="IP Address Management Driver"),
        Flag("ipam-opt", kind="list", value="map", help="Set IPAM driver specific options"),
        Flag(
            "ipv4",
            kind="bool",
            default=True,
            help="Enable or disable IPv4 address assignment",
        ),
        Flag("ipv6", kind="bool", help="Enable or disable IPv6 address assignment"),
        Flag("label", kind="list", help="Set metadata on a network"),
        Flag("opt", "o", "list", value="map", help="Set driver specific options"),
        Flag("scope", help="Control the network's scope"),
        Flag(
            "subnet",
            kind="list",
            help="Subnet in CIDR format that represents a network segment",
        ),
    ),
    examples=(
        "minidock network create shop",
        "minidock network create --internal --ipv6 backend",
        "minidock network create --subnet 10.9.0.0/24 --gateway 10.9.0.254 lab",
    ),
)
LS = Command(
    help="List networks",
    run=_MODULE + "ls",
    most=0,
    flags=(
        Flag("filter", "f", "list", value="filter", check=filter_pair, help=_FILTER),
        FORMAT,
        NO_TRUNC,
        Flag("quiet", "q", "bool", help="Only display network IDs"),
    ),
    examples=("minidock network ls", "minidock network ls -q -f type=custom"),
)
INSPECT = Command(
    help="Display detailed information on one or more networks",
    run=_MODULE + "inspect",
    args="NETWORK [NETWORK...]",
    least=1,
    flags=(
        Flag("format", "f", help="Format output using 'json' or a custom Go template"),
        Flag("verbose", "v", "bool", help="Verbose output for diagnostics"),
    ),
    examples=("minidock network inspect -f '{{json .IPAM.Config}}' shop",),
)
RM = Command(
    help="Remove one or more networks",
    run=_MODULE + "rm",
    args="NETWORK [NETWORK...]",
    least=1,
    flags=(Flag("force", "f", "bool", help="Do not error if the network does not exist"),),
    examples=("minidock network rm shop",),
)
PRUNE = Command(
    help="Remove all unused networks",
    run=_MODULE + "prune",
    most=0,
    flags=(
        Flag("filter", kind="list", value="filter", check=filter_pair, help=_UNTIL),
        Flag("force", "f", "bool", help="Do not prompt for confirmation"),
    ),
    examples=("minidock network prune -f", "minidock network prune -f --filter until=24h"),
)
CONNECT = Command(
    help="Connect a container to a network",
    run=_MODULE + "connect",
    args="NETWORK CONTAINER",
    least=2,
    most=2,
    flags=(
        Flag("alias", kind="list", help="Add network-scoped alias for the container"),
        Flag("driver-opt", kind="list", help="driver options for the network"),
        Flag("gw-priority", kind="int", help=_PRIORITY),
        Flag("ip", help='IPv4 address (e.g., "172.30.100.104")'),
        Flag("ip6", help='IPv6 address (e.g., "2001:db8::33")'),
        Flag("link", kind="list", check="minidock.cli.network_values:link",
             help="Add link to another container"),
        Flag("link-local-ip", kind="list", help="Add a link-local address for the container"),
    ),
    examples=("minidock network connect --alias db shop postgres",),
)  # fmt: skip
DISCONNECT = Command(
    help="Disconnect a container from a network",
    run=_MODULE + "disconnect",
    args="NETWORK CONTAINER",
    least=2,
    most=2,
    flags=(Flag("force", "f", "bool", help="Force the container to disconnect from a network"),),
    examples=("minidock network disconnect shop postgres",),
)

_HEADERS = {
    "ID": "NETWORK ID",
    "Name": "NAME",
    "Driver": "DRIVER",
    "Scope": "SCOPE",
    "IPv4": "IPV4",
    "IPv6": "IPV6",
    "Internal": "INTERNAL",
    "Labels": "LABELS",
    "CreatedAt": "CREATED AT",
}
_PRUNE_WARNING = (
    "WARNING! This will remove all custom networks not used by at least one container.\n"
    "Are you sure you want to continue? [y/N] "
)


def _paths(app: App) -> Paths:
    from minidock.engine.paths import Paths

    return Paths(app.root, app.run_root)


# ── create, rm, prune ──


def create(args: Parsed, app: App) -> int:
    """`minidock network create`"""
    from minidock.cli.run_options import label
    from minidock.engine.network_create import Mismatch, NetworkOptions, create_network

    if args.text("ipam-driver") != "default":
        raise ClientError("there is one IPAM driver, default")
    if args.text("scope") not in ("", "local"):
        raise ClientError(f"a network of scope {args.text('scope')} needs a swarm")
    wanted = NetworkOptions(
        args.positionals[0],
        driver=args.text("driver"),
        subnets=_split(args, "subnet"),
        ranges=_split(args, "ip-range"),
        gateways=_split(args, "gateway"),
        aux=_pairs(args, "aux-address"),
        internal=args.on("internal"),
        attachable=args.on("attachable"),
        ipv4=args.on("ipv4"),
        ipv6=args.on("ipv6"),
        options=_pairs(args, "opt"),
        labels=tuple(label(text) for text in args.each("label")),
        ipam_options=_pairs(args, "ipam-opt"),
    )
    try:
        app.out(create_network(_paths(app), wanted).id + "\n")
    except Mismatch as error:
        raise ClientError(error.message) from error  # Docker's client sees that by itself
    return 0


def _split(args: Parsed, flag: str) -> tuple[str, ...]:
    """pflag's string slice: also several with commas in between."""
    return tuple(part for text in args.each(flag) for part in text.split(",") if part)


def _pairs(args: Parsed, flag: str) -> tuple[tuple[str, str], ...]:
    pairs = (text.partition("=") for text in args.each(flag))
    return tuple((key, value) for key, _, value in pairs)


def rm(args: Parsed, app: App) -> int:
    """`minidock network rm`"""
    from minidock.engine.network_use import remove_network
    from minidock.errors import NotFound

    paths = _paths(app)

    def remove(name: str) -> str | None:
        try:
            remove_network(paths, name)
        except NotFound:
            if args.on("force"):
                return None
            raise
        return name

    return app.each(args.positionals, remove)


def prune(args: Parsed, app: App) -> int:
    """`minidock network prune`"""
    from minidock.cli.prune import ask, wanted_of

    which = wanted_of(args, "container")
    ask(args, app, _PRUNE_WARNING)
    tell_pruned(app, which)
    return 0


def tell_pruned(app: App, which: Wanted) -> None:
    """Remove the networks that nobody is on, and say which."""
    from minidock.engine import image_events
    from minidock.engine.network_use import prune_networks

    names = prune_networks(_paths(app), which)
    image_events.tell_pruned(app.run_root, "network", 0)
    if names:
        app.out("\n".join(("Deleted Networks:", *names)) + "\n\n")


# ── ls, inspect ──


def ls(args: Parsed, app: App) -> int:
    """`minidock network ls`"""
    from minidock.cli.table import table
    from minidock.engine.network_use import list_networks

    found = list_networks(_paths(app), collect_filters(args.each("filter")))
    form, cut = args.text("format"), not args.on("no-trunc")
    if args.on("quiet"):
        app.out("".join(f"{_id(network, cut)}\n" for network in found))
    elif form in ("", "table"):
        rows = [(_id(n, cut), n.name, n.driver, "local") for n in found]
        app.out(table(("NETWORK ID", "NAME", "DRIVER", "SCOPE"), rows))
    else:
        from minidock.cli.template import format_rows

        app.out(format_rows(form, [_fields(n, cut) for n in found], _HEADERS))
    return 0


def _id(network: Network, cut: bool) -> str:
    return network.id[:12] if cut else network.id


def _fields(network: Network, cut: bool) -> Fields:
    from minidock.cli.template import Fields
    from minidock.cli.units import go_time
    from minidock.spec.timestamp import parse_time

    document = network.document
    labels = document["Labels"] or {}
    return Fields(
        "*network.networkContext",
        {
            "ID": _id(network, cut),
            "Name": network.name,
            "Driver": network.driver,
            "Scope": document["Scope"],
            "IPv4": str(document["EnableIPv4"]).lower(),
            "IPv6": str(document["EnableIPv6"]).lower(),
            "Internal": str(document["Internal"]).lower(),
            "Labels": ",".join(f"{key}={value}" for key, value in labels.items()),
            "CreatedAt": go_time(parse_time(document["Created"])),
            "Label": lambda name: labels.get(name, ""),
        },
    )


def inspect(args: Parsed, app: App) -> int:
    """`minidock network inspect`"""
    from minidock.cli.inspect import print_documents
    from minidock.engine.network_use import inspect_network

    paths = _paths(app)
    return print_documents(args, app, lambda name: inspect_network(paths, name))


# ── connect, disconnect ──


def connect(args: Parsed, app: App) -> int:
    """`minidock network connect`"""
    from minidock.cli.network_values import endpoint
    from minidock.engine.network_connect import connect as connect_container

    wanted = endpoint(
        aliases=_split(args, "alias"),
        links=args.each("link"),
        ipv4=args.text("ip"),
        ipv6=args.text("ip6"),
        link_local=_split(args, "link-local-ip"),
        options=_split(args, "driver-opt"),
        priority=args.number("gw-priority"),
    )
    network, container = args.positionals
    connect_container(_paths(app), network, container, wanted)
    return 0


def disconnect(args: Parsed, app: App) -> int:
    """`minidock network disconnect`"""
    from minidock.engine.network_connect import disconnect as disconnect_container
    from minidock.errors import NotFound

    network, container = args.positionals
    try:
        disconnect_container(_paths(app), network, container)
    except NotFound as error:
        if args.on("force") and error.message == f"No such container: {container}":
            error.message = f"endpoint {container} not found"
        raise
    return 0
