"""A container's process, described: the OCI runtime specification's `config.json`.

The engine writes this document and the runtime reads it; nothing else passes between them. Here it
becomes typed, frozen data once; every later line of code may trust it. What is malformed is a
`BadJSON` that names the field.

See: https://github.com/opencontainers/runtime-spec/blob/main/config.md
"""

from __future__ import annotations

from minidock.record import Record
from minidock.spec.config_fields import ConfigFields
from minidock.spec.lean_json import dumps
from minidock.spec.resources import Resources, parse_resources

MAX_CONFIG_BYTES = 4 << 20  # a config.json is a few KiB; one of gigabytes is an attack


class Namespace(Record):
    """One kind of namespace; `path` joins an existing one instead of making a new one."""

    kind: str  # pid network mount ipc uts user cgroup time
    path: str = ""


class User(Record):
    """Who the process is, by number. `username` ("www-data", "1000:staff") overrides the numbers:
    it is looked up in the container's own /etc/passwd once its root is in place. (The
    specification has that field for Windows; on Linux it is an addition of ours.) Just so
    `groupnames`, for groups besides: names or numbers."""

    uid: int = 0
    gid: int = 0
    umask: int = 0o022
    additional_gids: tuple[int, ...] = ()
    username: str = ""
    groupnames: tuple[str, ...] = ()


class Capabilities(Record):
    """Five sets of names such as `CAP_CHOWN`. capabilities(7)"""

    bounding: tuple[str, ...] = ()
    effective: tuple[str, ...] = ()
    permitted: tuple[str, ...] = ()
    inheritable: tuple[str, ...] = ()
    ambient: tuple[str, ...] = ()


class Rlimit(Record):
    """A resource limit: `kind` such as `RLIMIT_NOFILE`. setrlimit(2)"""

    kind: str
    soft: int  # 2**64 - 1 is RLIM_INFINITY
    hard: int


class Scheduler(Record):
    """sched_setattr(2): `policy` such as `SCHED_BATCH`; runtime, deadline, period in ns."""

    policy: str
    nice: int = 0
    priority: int = 0
    flags: tuple[str, ...] = ()
    runtime: int = 0
    deadline: int = 0
    period: int = 0


class IOPriority(Record):
    """ioprio_set(2): `kind` is IOPRIO_CLASS_RT, _BE or _IDLE, `priority` 0 (first) to 7."""

    kind: str
    priority: int = 0


class Process(Record):
    """What runs, as whom, where. `console_size` is (rows, columns), (0, 0) when not given."""

    args: tuple[str, ...]
    env: tuple[str, ...] = ()
    cwd: str = "/"
    terminal: bool = False
    console_size: tuple[int, int] = (0, 0)
    user: User = User()
    capabilities: Capabilities = Capabilities()
    no_new_privileges: bool = False
    oom_score_adj: int | None = None  # -1000 (never) to 1000 (first); None: as the runtime's own
    rlimits: tuple[Rlimit, ...] = ()
    apparmor_profile: str = ""
    selinux_label: str = ""
    scheduler: Scheduler | None = None
    io_priority: IOPriority | None = None


class IDMapping(Record):
    """`size` ids from `container_id` on are the host's from `host_id` on. user_namespaces(7)"""

    container_id: int
    host_id: int
    size: int


class Mount(Record):
    """One entry of `mounts`. The entry whose destination is "/" is the root filesystem itself.
    `subpath`, of a bind, says which part of the source is shown; it is looked up inside of it, so
    that no link in there leads out. `from_host`: it is made with the host's rights and network, as
    a disk or a server's directory has to be. (The specification has none of these two.)"""

    destination: str
    kind: str = ""
    source: str = ""
    options: tuple[str, ...] = ()
    uid_mappings: tuple[IDMapping, ...] = ()
    gid_mappings: tuple[IDMapping, ...] = ()
    subpath: str = ""
    from_host: bool = False


class Device(Record):
    """A device node to make: `kind` is c, b, u or p; `mode` has permission bits only."""

    path: str
    kind: str
    major: int = 0
    minor: int = 0
    mode: int = 0o666
    uid: int = 0
    gid: int = 0


class Hook(Record):
    """A program the host's administrator wants to be run at a point of a container's life.
    `timeout` in seconds, 0 for none."""

    path: str
    args: tuple[str, ...] = ()
    env: tuple[str, ...] = ()
    timeout: int = 0


class Hooks(Record):
    """The six points, in the order in which they come."""

    prestart: tuple[Hook, ...] = ()
    create_runtime: tuple[Hook, ...] = ()
    create_container: tuple[Hook, ...] = ()
    start_container: tuple[Hook, ...] = ()
    poststart: tuple[Hook, ...] = ()
    poststop: tuple[Hook, ...] = ()


class TimeOffset(Record):
    """How far a clock ("monotonic" or "boottime") is set off. time_namespaces(7)"""

    clock: str
    seconds: int = 0
    nanoseconds: int = 0


class Spec(Record):
    """The whole document. `root_path` is absolute."""

    root_path: str
    process: Process
    root_readonly: bool = False
    hostname: str = ""
    domainname: str = ""
    mounts: tuple[Mount, ...] = ()
    namespaces: tuple[Namespace, ...] = ()
    uid_mappings: tuple[IDMapping, ...] = ()
    gid_mappings: tuple[IDMapping, ...] = ()
    time_offsets: tuple[TimeOffset, ...] = ()
    devices: tuple[Device, ...] = ()
    resources: Resources = Resources()
    cgroups_path: str = ""
    rootfs_propagation: str = ""  # shared, slave, private, unbindable; with "r" for recursive
    sysctl: tuple[tuple[str, str], ...] = ()
    seccomp: str = ""  # JSON, decoded only when it is compiled: isolation/seccomp/cache.py
    masked_paths: tuple[str, ...] = ()
    readonly_paths: tuple[str, ...] = ()
    mount_label: str = ""
    personality: str = ""  # LINUX or LINUX32; "" leaves it as it is
    hooks: Hooks = Hooks()
    annotations: tuple[tuple[str, str], ...] = ()

    def has_namespace(self, kind: str) -> bool:
        """Whether the container has one of its own or of another container, not the host's."""
        return any(ns.kind == kind for ns in self.namespaces)

    def makes_namespace(self, kind: str) -> bool:
        """Whether a new one is made for it."""
        return any(ns.kind == kind and not ns.path for ns in self.namespaces)


def parse_spec(document: object, bundle: str) -> Spec:
    """Decode a `config.json`; relative paths are taken from `bundle`. Raises `BadJSON`."""
    top = ConfigFields(document, "config.json")
    _check_version(top)
    root = top.inner("root")
    path = root.text("path", None)
    linux = top.inner("linux")
    if linux.document.get("intelRdt"):
        raise linux.error("intelRdt", "is not supported: minidock does not partition caches")
    namespaces = tuple(_namespace(n) for n in linux.each("namespaces"))
    kinds = [namespace.kind for namespace in namespaces]
    if len(kinds) != len(set(kinds)):
        raise linux.error("namespaces", "has two of a kind")
    return Spec(
        root_path=path if path.startswith("/") else f"{bundle}/{path}",
        process=_process(top.inner("process")),
        root_readonly=root.flag("readonly"),
        hostname=top.text("hostname"),
        domainname=top.text("domainname"),
        mounts=tuple(_mount(m, bundle) for m in top.each("mounts")),
        namespaces=namespaces,
        uid_mappings=_mappings(linux, "uidMappings"),
        gid_mappings=_mappings(linux, "gidMappings"),
        time_offsets=_time_offsets(linux.inner("timeOffsets")),
        devices=tuple(_device(d) for d in linux.each("devices")),
        resources=parse_resources(linux.inner("resources")),
        cgroups_path=linux.text("cgroupsPath"),
        rootfs_propagation=linux.choice("rootfsPropagation", _PROPAGATIONS),
        sysctl=tuple(linux.pairs("sysctl").items()),
        seccomp=_seccomp(linux),
        masked_paths=linux.texts("maskedPaths"),
        readonly_paths=linux.texts("readonlyPaths"),
        mount_label=linux.text("mountLabel"),
        personality=_personality(linux),
        hooks=_hooks(top.inner("hooks")),
        annotations=tuple(top.pairs("annotations").items()),
    )


_PROPAGATIONS = (
    "shared", "slave", "private", "unbindable", "rshared", "rslave", "rprivate", "runbindable",
)  # fmt: skip


def _check_version(top: ConfigFields) -> None:
    """The specification is at 1.x: any 1.x document can be read, since only fields were added."""
    version = top.text("ociVersion", None)
    major = version.partition(".")[0]
    if major != "1":
        raise top.error("ociVersion", f"is not 1.x: {version!r}")


def _seccomp(linux: ConfigFields) -> str:
    profile = linux.inner("seccomp").document
    return dumps(profile) if profile else ""


def _personality(linux: ConfigFields) -> str:
    fields = linux.inner("personality")
    if fields.texts("flags"):
        raise fields.error("flags", "is not empty: the specification defines none")
    return fields.choice("domain", ("LINUX", "LINUX32"))


def _mappings(fields: ConfigFields, key: str) -> tuple[IDMapping, ...]:
    return tuple(
        IDMapping(m.number("containerID", None), m.number("hostID", None), m.number("size", None))
        for m in fields.each(key)
    )


def _time_offsets(fields: ConfigFields) -> tuple[TimeOffset, ...]:
    for clock in fields.document:
        if clock not in ("monotonic", "boottime"):
            raise fields.error(clock, "is not a clock that can be set off")
    return tuple(
        TimeOffset(
            clock,
            fields.inner(clock).signed("secs"),
            fields.inner(clock).number("nanosecs", most=999_999_999),
        )
        for clock in fields.document
    )


def _hooks(fields: ConfigFields) -> Hooks:
    if not fields.document:
        return Hooks()
    return Hooks(
        prestart=_hook_list(fields, "prestart"),
        create_runtime=_hook_list(fields, "createRuntime"),
        create_container=_hook_list(fields, "createContainer"),
        start_container=_hook_list(fields, "startContainer"),
        poststart=_hook_list(fields, "poststart"),
        poststop=_hook_list(fields, "poststop"),
    )


def _hook_list(fields: ConfigFields, key: str) -> tuple[Hook, ...]:
    hooks = []
    for hook in fields.each(key):
        path = hook.text("path", None)
        if not path.startswith("/"):
            raise hook.error("path", f"is not absolute: {path!r}")
        timeout = hook.number("timeout")
        if hook.document.get("timeout") is not None and timeout == 0:
            raise hook.error("timeout", "is not greater than zero")
        hooks.append(Hook(path, hook.strings("args"), hook.strings("env"), timeout))
    return tuple(hooks)


def parse_process(document: object) -> Process:
    """Decode a `process` object on its own, as `exec` is given it. Raises `BadJSON`."""
    return _process(ConfigFields(document, "config.json", "process"))


def _process(fields: ConfigFields) -> Process:
    args = fields.strings("args")
    if not args:
        raise fields.error("args", "is empty")
    cwd = fields.text("cwd", None)
    if not cwd.startswith("/"):
        raise fields.error("cwd", f"is not absolute: {cwd!r}")
    user, caps = fields.inner("user"), fields.inner("capabilities")
    size = fields.inner("consoleSize")
    return Process(
        args=args,
        env=fields.strings("env"),
        cwd=cwd,
        terminal=fields.flag("terminal"),
        console_size=(size.number("height", 0, 65535), size.number("width", 0, 65535)),
        user=User(
            uid=user.number("uid", most=2**31 - 1),
            gid=user.number("gid", most=2**31 - 1),
            umask=user.number("umask", 0o022, 0o777),
            additional_gids=user.ids("additionalGids"),
            username=user.text("username"),
            groupnames=user.texts("groupnames"),
        ),
        capabilities=Capabilities(
            bounding=caps.texts("bounding"),
            effective=caps.texts("effective"),
            permitted=caps.texts("permitted"),
            inheritable=caps.texts("inheritable"),
            ambient=caps.texts("ambient"),
        ),
        no_new_privileges=fields.flag("noNewPrivileges"),
        oom_score_adj=_oom_score_adj(fields),
        rlimits=tuple(_rlimit(r) for r in fields.each("rlimits")),
        apparmor_profile=fields.text("apparmorProfile"),
        selinux_label=fields.text("selinuxLabel"),
        scheduler=_scheduler(fields),
        io_priority=_io_priority(fields),
    )


def _oom_score_adj(fields: ConfigFields) -> int | None:
    if fields.document.get("oomScoreAdj") is None:
        return None
    return fields.signed("oomScoreAdj", least=-1000, most=1000)


def _rlimit(fields: ConfigFields) -> Rlimit:
    infinity = 2**64 - 1
    soft = fields.number("soft", None, infinity)
    hard = fields.number("hard", None, infinity)
    if soft > hard:
        raise fields.error("soft", f"is above hard: {soft} > {hard}")
    return Rlimit(fields.text("type", None), soft, hard)


def _scheduler(fields: ConfigFields) -> Scheduler | None:
    if not fields.document.get("scheduler"):
        return None
    given = fields.inner("scheduler")
    return Scheduler(
        policy=given.text("policy", None),
        nice=given.signed("nice", least=-20, most=19),
        priority=given.signed("priority", least=0, most=99),
        flags=given.texts("flags"),
        runtime=given.number("runtime", most=2**63 - 1),
        deadline=given.number("deadline", most=2**63 - 1),
        period=given.number("period", most=2**63 - 1),
    )


def _io_priority(fields: ConfigFields) -> IOPriority | None:
    if not fields.document.get("ioPriority"):
        return None
    given = fields.inner("ioPriority")
    kinds = ("IOPRIO_CLASS_RT", "IOPRIO_CLASS_BE", "IOPRIO_CLASS_IDLE")
    kind = given.choice("class", kinds)
    if not kind:
        raise given.error("class", "is missing")
    return IOPriority(kind, given.signed("priority", least=0, most=7))


_BINDS = frozenset(("bind", "rbind"))


def _mount(fields: ConfigFields, bundle: str) -> Mount:
    destination, source = fields.text("destination", None), fields.text("source")
    kind, options = fields.text("type"), fields.texts("options")
    if (kind == "bind" or not _BINDS.isdisjoint(options)) and not source.startswith("/"):
        if not source:
            raise fields.error("source", "is missing")
        source = f"{bundle}/{source}"
    return Mount(
        # Relative ones are taken from "/": specification 1.0 allowed them, and users have them.
        destination=destination if destination.startswith("/") else f"/{destination}",
        kind=kind,
        source=source,
        options=options,
        uid_mappings=_mappings(fields, "uidMappings"),
        gid_mappings=_mappings(fields, "gidMappings"),
        subpath=fields.text("subpath"),
        from_host=fields.flag("fromHost"),
    )


def _namespace(fields: ConfigFields) -> Namespace:
    kind = fields.text("type", None)
    if kind not in ("pid", "network", "mount", "ipc", "uts", "user", "cgroup", "time"):
        raise fields.error("type", f"is unknown: {kind!r}")
    path = fields.text("path")
    if path and not path.startswith("/"):
        raise fields.error("path", f"is not absolute: {path!r}")
    return Namespace(kind, path)


def _device(fields: ConfigFields) -> Device:
    kind = fields.text("type", None)
    if kind not in ("c", "b", "u", "p"):
        raise fields.error("type", f"is unknown: {kind!r}")
    path = fields.text("path", None)
    if not path.startswith("/"):
        raise fields.error("path", f"is not absolute: {path!r}")
    return Device(
        path=path,
        kind=kind,
        major=fields.number("major"),
        minor=fields.number("minor"),
        mode=fields.number("fileMode", 0o666) & 0o7777,
        uid=fields.number("uid"),
        gid=fields.number("gid"),
    )
