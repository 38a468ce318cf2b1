"""events: what happens, as it happens."""

from __future__ import annotations

from minidock.cli.command import ClientError, Command, Flag, UsageError
from minidock.cli.filters import collect_filters, filter_pair
from minidock.cli.template_run import Template
from minidock.cli.template_values import Fields, GoMap, to_json
from minidock.errors import InvalidInput

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

    from minidock.cli.app import App
    from minidock.cli.parse import Parsed

    Event = dict[str, Any]

EVENTS = Command(
    help="Get real time events from the server",
    run="minidock.cli.events:events",
    most=0,
    flags=(
        Flag(
            "filter",
            "f",
            "list",
            value="filter",
            check=filter_pair,
            help="Filter output based on conditions provided",
        ),
        Flag(
            "format",
            help="""Format output using a custom template:
'json':             Print in JSON format
'TEMPLATE':         Print output using the given Go template.
Refer to https://docs.docker.com/go/formatting/ for more information about formatting output with \
templates""",
        ),
        Flag("since", help="Show all events created since timestamp"),
        Flag("until", help="Stream events until this timestamp"),
    ),
    examples=(
        "minidock events",
        "minidock events --since 10m --until 0s",
        "minidock events -f container=web -f event=die --format '{{.Actor.Attributes.exitCode}}'",
    ),
)

_BAD_FORMAT = 64  # the exit code, as Docker's


def events(args: Parsed, app: App) -> int:
    """`minidock events`"""
    from time import time_ns

    from minidock.engine.event_filters import event_test
    from minidock.engine.event_log import EventLog

    line = _formatter(args.text("format"))
    now = time_ns()
    since, until = (_moment(args.text(name), now) for name in ("since", "until"))
    if since and until and until < since:
        first, last = _as_docker(args.text("since"), since), _as_docker(args.text("until"), until)
        raise InvalidInput(f"`since` time ({first}) cannot be after `until` time ({last})")
    passes = event_test(collect_filters(args.each("filter")))

    def show(found: Iterable[Event]) -> None:
        app.out("".join(line(event) for event in found if passes(event)))

    with EventLog(app.run_root) as log:
        past = log.read()
        if since or until:
            # Without either of them nothing of the past is wanted.
            show(e for e in past if e["timeNano"] >= since and not 0 < until < e["timeNano"])
        if until and until < now:
            return 0
        for batch in log.follow(until):
            show(event for event in batch if not 0 < until < event["timeNano"])
    return 0


def _moment(text: str, now: int) -> int:
    """In nanoseconds since 1970; 0 where none is given."""
    from minidock.cli.moments import parse_moment

    if not text:
        return 0
    try:
        return parse_moment(text, now)
    except (ValueError, OverflowError) as error:
        raise ClientError(str(error)) from None


def _as_docker(text: str, moment: int) -> str:
    """A moment as Docker's client sends it: seconds, with a fraction where a date was given."""
    seconds, fraction = divmod(moment, 10**9)
    return f"{seconds}.{fraction:09d}" if "-" in text[1:] or fraction else str(seconds)


def _formatter(form: str) -> Callable[[Event], str]:
    """What makes a line of an event. Raises `UsageError` for a format that cannot be."""
    from minidock.cli.template_parse import TemplateError

    if not form:
        return _plain_line
    if form == "json":
        return lambda event: to_json(_document(event)) + "\n"
    try:
        template = Template(form)
        template.execute(_Message("*events.Message", _fields(_NOTHING)))
    except TemplateError as error:
        text = f"Error parsing format: template: :{error.message.removeprefix('template: :')}\n"
        raise UsageError(text, _BAD_FORMAT) from None
    return lambda event: template.execute(_Message("*events.Message", _fields(event))) + "\n"


def _plain_line(event: Event) -> str:
    from minidock.spec.quoting import visible

    actor = event["Actor"]
    attributes = sorted(actor["Attributes"].items())
    about = f" ({', '.join(f'{key}={value}' for key, value in attributes)})" if attributes else ""
    when = _local_time(event["timeNano"])
    return visible(f"{when} {event['Type']} {event['Action']} {actor['ID']}{about}") + "\n"


def _local_time(nanoseconds: int) -> str:
    """`2026-11-23T10:35:22.100000000+01:00`: always with nine digits."""
    from time import localtime, strftime

    seconds, fraction = divmod(nanoseconds, 10**9)
    local = localtime(seconds)
    minutes = abs(local.tm_gmtoff) // 60
    sign = "-" if local.tm_gmtoff < 0 else "+"
    zone = f"{sign}{minutes // 60:02d}:{minutes % 60:02d}" if minutes else "Z"
    return f"{strftime('%Y-%m-%dT%H:%M:%S', local)}.{fraction:09d}{zone}"


# ── Docker's type, events.Message ──

_NOTHING: Event = {
    "Type": "", "Action": "", "Actor": {"ID": "", "Attributes": {}}, "scope": "", "time": 0,
    "timeNano": 0,
}  # fmt: skip


def _document(event: Event) -> Event:
    """As JSON, with three fields before it that Docker keeps for those who know no others."""
    old = {}
    if event["Type"] in ("container", "image"):
        old = {"status": event["Action"], "id": event["Actor"]["ID"]}
    if event["Type"] == "container":
        old["from"] = event["Actor"]["Attributes"].get("image", "")
    actor = {**event["Actor"], "Attributes": GoMap(event["Actor"]["Attributes"])}
    return {key: value for key, value in {**old, **event, "Actor": actor}.items() if value != ""}


def _fields(event: Event) -> dict[str, object]:
    """By the names that templates know."""
    document = _document(event)
    named = {"Status": "status", "ID": "id", "From": "from"}
    old = {name: document.get(key, "") for name, key in named.items()}
    attributes = GoMap(event["Actor"]["Attributes"])
    attributes.zero = ""
    return {
        **old,
        "Type": event["Type"],
        "Action": event["Action"],
        "Actor": {"ID": event["Actor"]["ID"], "Attributes": attributes},
        "Scope": event["scope"],
        "Time": event["time"],
        "TimeNano": event["timeNano"],
        "_document": lambda _: document,
    }


class _Message(Fields):
    """One event for a template; `json` writes it by other names."""

    def plain(self) -> Event:
        document: Any = self.values["_document"]
        result: Event = document(None)
        return result
