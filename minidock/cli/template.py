"""What `--format` prints: `json`, `table TEMPLATE` or `TEMPLATE`, for lists and for documents.

Imported only when `--format` is on the command line: a list without one is made by `table.py`.

    # in a list command, where `form` is args.text("format")
    if form in ("", "table"):
        app.out(table(HEADER, rows))
    else:
        app.out(format_rows(form, fields, HEADERS))

See: https://docs.docker.com/go/formatting/, docker/cli cli/command/formatter/formatter.go.
"""

from __future__ import annotations

from minidock.cli.table import align
from minidock.cli.template_functions import HEADER_FUNCTIONS
from minidock.cli.template_run import Template
from minidock.cli.template_values import Fields as Fields
from minidock.cli.template_values import GoMap, NoValue, Shape, to_json
from minidock.spec.quoting import visible

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

WORDS = "template parsing error: "
_NOTHING = NoValue()
_EMPTY: dict[str, object] = {}  # struct{}

INSPECT = Shape(
    maps={
        "Annotations": "", "AuxiliaryAddresses": "", "Containers": _NOTHING, "Data": "",
        "DriverOpts": "", "ExposedPorts": _NOTHING, "Labels": "",
        "Networks": None, "Options": "", "PortBindings": _NOTHING, "Ports": _NOTHING,
        "StorageOpt": "", "Sysctls": "", "Tmpfs": "", "Volumes": _EMPTY,
    },
    lists=frozenset((
        "Args", "Binds", "CapAdd", "CapDrop", "Cmd", "DeviceCgroupRules", "Devices", "Dns",
        "DnsOptions", "DnsSearch", "Entrypoint", "Env", "ExecIDs", "ExtraHosts", "GroupAdd",
        "Layers", "Links", "Mounts", "OnBuild", "RepoDigests", "RepoTags", "SecurityOpt", "Shell",
        "VolumesFrom",
    )),
    optional={
        "Annotations": None, "ArgsEscaped": False, "ExposedPorts": None, "GraphDriver": None,
        "AuxiliaryAddresses": None, "Gateway": "", "Health": None, "Healthcheck": None,
        "IPRange": "", "Init": None, "MacAddress": "", "Mounts": None,
        "NetworkDisabled": False, "OsVersion": "", "Shell": None, "SizeRootFs": None,
        "SizeRw": None, "StopSignal": "", "StopTimeout": None, "StorageOpt": None,
        "Sysctls": None, "Tmpfs": None, "Variant": "",
    },
    go_names={
        "CPUCount": "CpuCount",
        "CPUPercent": "CpuPercent", "CPUPeriod": "CpuPeriod", "CPUQuota": "CpuQuota",
        "CPURealtimePeriod": "CpuRealtimePeriod", "CPURealtimeRuntime": "CpuRealtimeRuntime",
        "CPUShares": "CpuShares", "DNS": "Dns", "DNSOptions": "DnsOptions",
        "DNSSearch": "DnsSearch", "ID": "Id", "NanoCPUs": "NanoCpus",
    },
)  # fmt: skip
"""Docker's documents for containers, images, networks and volumes."""


def format_rows(
    form: str,
    rows: Iterable[Fields],
    headers: Mapping[str, str],
    *,
    parse_words: str = WORDS,
    run_words: str = WORDS,
) -> str:
    """The lines of a list in a format other than the default table.

    `headers` has the column title of every field. Raises TemplateError; its message begins with
    `parse_words` or `run_words` (`docker ps` has words of its own: "failed to parse template: "
    and "failed to execute template: ").
    """
    if form == "json":
        return "".join(to_json(row.plain()) + "\n" for row in rows)
    wants_table = form.startswith("table")
    source = form.removeprefix("table").strip(" ") if wants_table else form.strip(" ")
    source = source.replace("\\t", "\t").replace("\\n", "\n")
    template = Template(source, parse_words=parse_words, run_words=run_words)
    lines = [template.execute(row) for row in rows]
    if not wants_table:
        return "".join(line + "\n" for line in lines)
    titles = GoMap({**headers, "Label": _label_header})
    first = Template(source, HEADER_FUNCTIONS, run_words=run_words).execute(titles)
    return visible(align("\n".join((first, *lines)) + "\n"))


def _label_header(name: str) -> str:
    return name.rpartition(".")[2].replace("-", " ").replace("_", " ")


def format_documents(form: str, documents: Sequence[object], shape: Shape = INSPECT) -> str:
    """What `inspect -f` prints: a line per document; `json` prints one array.

    With no documents this only checks the template. Raises TemplateError.
    """
    if form == "json":
        return to_json(list(documents)) + "\n"
    template = Template(form, shape=shape, parse_words=WORDS, run_words=WORDS)
    return "".join(template.execute_document(item) + "\n" for item in documents)
