"""`minidock oci` pause, resume, update, events: a running container's cgroup."""

from __future__ import annotations

import sys

from minidock.cli.command import Command, Flag
from minidock.errors import Conflict, InvalidInput

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from minidock.cli.oci import Oci
    from minidock.cli.parse import Parsed
    from minidock.isolation.cgroups.common import Cgroup

PAUSE = Command(
    help="Stop all processes of a container where they are",
    run="minidock.cli.oci_change:pause",
    args="ID",
    least=1,
    most=1,
    examples=("minidock oci pause web",),
)
RESUME = Command(
    help="Let the processes of a paused container go on",
    run="minidock.cli.oci_change:resume",
    args="ID",
    least=1,
    most=1,
    examples=("minidock oci resume web",),
)
_LIMITS = {  # option: where it stands in `linux.resources`
    "blkio-weight": ("blockIO", "weight"),
    "cpu-period": ("cpu", "period"),
    "cpu-quota": ("cpu", "quota"),
    "cpu-burst": ("cpu", "burst"),
    "cpu-share": ("cpu", "shares"),
    "cpu-idle": ("cpu", "idle"),
    "cpu-rt-period": ("cpu", "realtimePeriod"),
    "cpu-rt-runtime": ("cpu", "realtimeRuntime"),
    "cpuset-cpus": ("cpu", "cpus"),
    "cpuset-mems": ("cpu", "mems"),
    "memory": ("memory", "limit"),
    "memory-reservation": ("memory", "reservation"),
    "memory-swap": ("memory", "swap"),
    "pids-limit": ("pids", "limit"),
}
UPDATE = Command(
    help="Change the limits of a running container",
    run="minidock.cli.oci_change:update",
    args="ID",
    least=1,
    most=1,
    flags=(
        Flag("resources", "r", help="Read `linux.resources` from this file, or - ", value="file"),
        Flag("blkio-weight", kind="int", help="Share of the disks, 10 to 1000"),
        Flag("cpu-period", kind="int", help="Microseconds that a quota is for"),
        Flag("cpu-quota", kind="int", help="Microseconds of processor time in each period"),
        Flag("cpu-burst", kind="int", help="Microseconds that may be saved up"),
        Flag("cpu-share", kind="int", help="Share of the processors, 2 to 262144"),
        Flag("cpu-idle", kind="int", help="1: runs only when nothing else wants to"),
        Flag("cpu-rt-period", kind="int", help="Microseconds that a realtime budget is for"),
        Flag("cpu-rt-runtime", kind="int", help="Microseconds of realtime in each period"),
        Flag("cpuset-cpus", help="Which processors, as in 0-3,7", value="list"),
        Flag("cpuset-mems", help="Which memory nodes", value="list"),
        Flag("memory", help="Memory limit in bytes, -1 for none", value="bytes"),
        Flag("memory-reservation", help="Memory that is left to it", value="bytes"),
        Flag("memory-swap", help="Memory and swap together, -1 for no limit", value="bytes"),
        Flag("pids-limit", kind="int", help="How many processes there may be"),
        Flag("l3-cache-schema", help="Not supported", hidden=True),
        Flag("mem-bw-schema", help="Not supported", hidden=True),
    ),
    examples=(
        "minidock oci update --memory 268435456 --pids-limit 100 web",
        'echo \'{"cpu": {"shares": 512}}\' | minidock oci update -r - web',
    ),
)
EVENTS = Command(
    help="Print what a container uses, and when it runs out of memory",
    run="minidock.cli.oci_change:events",
    args="ID",
    least=1,
    most=1,
    flags=(
        Flag("stats", kind="bool", help="Print what it uses now, once"),
        Flag("interval", help="How often, as in 5s or 500ms", value="time", default="5s"),
    ),
    examples=("minidock oci events --stats web", "minidock oci events --interval 1s web"),
)


def _running(oci: Oci, container_id: str) -> Cgroup:
    from minidock.runtime.lifecycle import running_cgroup

    return running_cgroup(oci.root, container_id)


def pause(args: Parsed, oci: Oci) -> int:
    """`minidock oci pause`"""
    from minidock.isolation.cgroups.common import freeze

    freeze(_running(oci, args.positionals[0]))
    return 0


def resume(args: Parsed, oci: Oci) -> int:
    """`minidock oci resume`"""
    from minidock.isolation.cgroups.common import is_frozen, thaw

    cgroup = _running(oci, args.positionals[0])
    if not is_frozen(cgroup):
        raise Conflict("container not paused")
    thaw(cgroup)
    return 0


def update(args: Parsed, oci: Oci) -> int:
    """`minidock oci update`"""
    from minidock.isolation.cgroups.limits import update as change
    from minidock.spec.config_fields import ConfigFields
    from minidock.spec.resources import parse_resources

    for flag in ("l3-cache-schema", "mem-bw-schema"):
        if args.given(flag):
            raise InvalidInput(f"--{flag} is not supported: minidock does not partition caches")
    document = _read(args.text("resources")) if args.text("resources") else _given(args)
    resources = parse_resources(ConfigFields(document, "resources"))
    change(_running(oci, args.positionals[0]), resources)
    return 0


def _read(path: str) -> object:
    from minidock.spec.fields import load_object

    if path == "-":
        return load_object(sys.stdin.buffer.read(), "resources")
    with open(path, "rb") as file:
        return load_object(file.read(), path)


def _given(args: Parsed) -> dict[str, dict[str, Any]]:
    from minidock.cli.parse import parse_int

    document: dict[str, dict[str, Any]] = {}
    for flag, (group, field) in _LIMITS.items():
        if not args.given(flag):
            continue
        kind = next(f.kind for f in args.command.flags if f.long == flag)
        value: object = args.number(flag) if kind == "int" else args.text(flag)
        if flag.startswith("memory"):
            try:
                value = parse_int(args.text(flag))
            except ValueError as error:
                raise InvalidInput(f"invalid value for {flag}: {error}") from None
        document.setdefault(group, {})[field] = value
    return document


def events(args: Parsed, oci: Oci) -> int:
    """`minidock oci events`"""
    import select

    from minidock.isolation.cgroups.oom import OOMNotifier
    from minidock.runtime.state import StateDirectory

    name = args.positionals[0]
    cgroup = _running(oci, name)
    if args.on("stats"):
        _event(oci, "stats", name, cgroup)
        return 0
    interval = _milliseconds(args.text("interval"))
    state = StateDirectory(oci.root, name).load()
    with OOMNotifier(cgroup) as notifier:
        poll = select.poll()
        poll.register(notifier.fileno(), select.POLLIN | select.POLLPRI)
        while state.alive():
            if poll.poll(interval):
                if notifier.acknowledge():
                    _event(oci, "oom", name)
            elif state.alive():
                _event(oci, "stats", name, cgroup)
    return 0


def _event(oci: Oci, kind: str, name: str, cgroup: Cgroup | None = None) -> None:
    from minidock.spec.lean_json import dumps

    event: dict[str, Any] = {"type": kind, "id": name}
    if cgroup:
        from minidock.runtime.stats import stats_document

        event["data"] = stats_document(cgroup)
    oci.out(dumps(event) + "\n")


def _milliseconds(text: str) -> int:
    for suffix, factor in (("ms", 1), ("s", 1000), ("m", 60_000)):
        number = text.removesuffix(suffix)
        if number != text and number.isascii() and number.isdigit() and int(number):
            return int(number) * factor
    raise InvalidInput(f"invalid duration {text!r}: as in 5s or 500ms")
