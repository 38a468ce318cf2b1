"""`minidock oci` state, list, ps: what containers there are, and what runs in them."""

from __future__ import annotations

from minidock.cli.command import Command, Flag
from minidock.errors import Conflict, InvalidInput

TYPE_CHECKING = False
if TYPE_CHECKING:
    from minidock.cli.oci import Oci
    from minidock.cli.parse import Parsed

STATE = Command(
    help="Print the state of a container as JSON",
    run="minidock.cli.oci_look:state",
    args="ID",
    least=1,
    most=1,
    examples=("minidock oci state web",),
)
LIST = Command(
    help="List containers",
    run="minidock.cli.oci_look:list_containers",
    most=0,
    flags=(
        Flag("format", "f", help="Which form", value="table|json", default="table"),
        Flag("quiet", "q", "bool", help="Print ids only"),
    ),
    examples=("minidock oci list", "minidock oci list -f json"),
)
PS = Command(
    help="List the processes of a container",
    run="minidock.cli.oci_look:processes",
    args="ID [PS-OPTIONS]",
    least=1,
    interspersed=False,
    flags=(Flag("format", "f", help="Which form", value="table|json", default="table"),),
    examples=("minidock oci ps web", "minidock oci ps web -o pid,args"),
)


def to_json(document: object) -> str:
    """Indented by two spaces, as runc prints."""
    import json

    return json.dumps(document, indent=2, ensure_ascii=False)


def state(args: Parsed, oci: Oci) -> int:
    """`minidock oci state`"""
    from minidock.runtime.report import describe_one

    oci.out(to_json(describe_one(oci.root, args.positionals[0])) + "\n")
    return 0


def list_containers(args: Parsed, oci: Oci) -> int:
    """`minidock oci list`"""
    from minidock.cli.table import table
    from minidock.runtime.report import describe_all
    from minidock.spec.lean_json import dumps

    found = describe_all(oci.root)
    if args.on("quiet"):
        oci.out("".join(f"{c['id']}\n" for c in found))
    elif _format(args) == "json":
        oci.out((dumps(found) if found else "null") + "\n")
    else:
        columns = ("id", "pid", "status", "bundle", "created", "owner")
        rows = [[str(c[name]) for name in columns] for c in found]
        oci.out(table([name.upper() for name in columns], rows))
    return 0


def _format(args: Parsed) -> str:
    form = args.text("format")
    if form not in ("table", "json"):
        raise InvalidInput("invalid format option")
    return form


def processes(args: Parsed, oci: Oci) -> int:
    """`minidock oci ps`: ps(1) prints all processes, and these lines of it are shown."""
    from minidock.isolation.cgroups import common as cgroups
    from minidock.runtime.lifecycle import find_cgroup
    from minidock.runtime.state import StateDirectory
    from minidock.spec.lean_json import dumps

    cgroup = find_cgroup(StateDirectory(oci.root, args.positionals[0]).load())
    pids = cgroups.processes(cgroup) if cgroup else ()
    if _format(args) == "json":
        oci.out(dumps(list(pids)) + "\n")
        return 0
    import subprocess

    words = args.positionals[1:] or ["-ef"]
    listing = subprocess.run(
        ["ps", *words], check=False, capture_output=True, text=True, errors="surrogateescape"
    )
    if listing.returncode and not listing.stdout:
        raise Conflict(f"ps: {listing.stderr.strip()}")
    lines = listing.stdout.splitlines()
    titles = lines[0].split()
    if "PID" not in titles:
        raise InvalidInput("couldn't find PID field in ps output")
    column, wanted = titles.index("PID"), set(map(str, pids))
    shown = [line for line in lines[1:] if line.split()[column] in wanted]
    oci.out("".join(f"{line}\n" for line in (lines[0], *shown)))
    return 0
