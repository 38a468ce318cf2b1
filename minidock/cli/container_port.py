"""port: which ports of the host lead to a container."""

from __future__ import annotations

from minidock.cli.command import ClientError, Command

TYPE_CHECKING = False
if TYPE_CHECKING:
    from minidock.cli.app import App
    from minidock.cli.parse import Parsed

PORT = Command(
    help="List port mappings or a specific mapping for the container",
    run="minidock.cli.container_port:port",
    args="CONTAINER [PRIVATE_PORT[/PROTO]]",
    least=1,
    most=2,
    examples=("minidock port web", "minidock port web 80/tcp"),
)


def port(args: Parsed, app: App) -> int:
    """`minidock port`"""
    from minidock.engine.port_list import ports_of

    name, *wanted = args.positionals
    container = app.containers().find(name)
    ports = ports_of(container, container.state())
    if wanted:
        number, _, protocol = wanted[0].partition("/")
        key = f"{number}/{protocol or 'tcp'}"
        digits = number.isascii() and number.isdigit()
        if not digits or int(number) > 65535:
            problem = "value out of range" if digits else "invalid syntax"
            why = f'strconv.ParseUint: parsing "{number}": {problem}'
            raise ClientError(f"Error: invalid port ({number}): {why}")
        if not ports.get(key):
            raise ClientError(f"Error: No public port '{wanted[0]}' published for {name}")
        app.out("".join(f"{place}\n" for place in _places(ports[key])))
        return 0
    lines = []
    for key in sorted(ports, key=lambda key: (int(key.partition("/")[0]), key)):
        lines += [f"{key} -> {place}\n" for place in _places(ports[key])]
    app.out("".join(lines))
    return 0


def _places(bindings: list[dict[str, str]] | None) -> list[str]:
    found = []
    for binding in bindings or ():
        host_ip = binding["HostIp"]
        found.append(f"{f'[{host_ip}]' if ':' in host_ip else host_ip}:{binding['HostPort']}")
    return found
