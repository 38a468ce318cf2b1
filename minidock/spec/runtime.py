"""A container's process, described: the OCI runtime specification's `config.json`.

The engine writes this document and the runtime reads it; nothing else passes between them. Here it
becomes typed, frozen data once; every later line of code may trust it. What is malformed is a
`BadJSON` that names the field.

See: https://github.com/opencontainers/runtime-spec/blob/main/config.md
"""

from __future__ import annotations

from minidock.record import Record
from minidock.spec.fields import Fields

MAX_CONFIG_BYTES = 4 << 20  # a config.json is a few KiB; one of gigabytes is an attack


class Namespace(Record):
    """One kind of namespace; `path` joins an existing one instead of making a new one."""

    kind: str  # pid network mount ipc uts user cgroup time
    path: str = ""


class User(Record):
    """Who the process is, by number. `username` ("www-data", "1000:staff") overrides the numbers:
    it is looked up in the container's own /etc/passwd once its root is in place. (The
    specification has that field for Windows; on Linux it is an addition of ours.)"""

    uid: int = 0
    gid: int = 0
    umask: int = 0o022
    additional_gids: tuple[int, ...] = ()
    username: str = ""


class Capabilities(Record):
    """Five sets of names such as `CAP_CHOWN`. capabilities(7)"""

    bounding: tuple[str, ...] = ()
    effective: tuple[str, ...] = ()
    permitted: tuple[str, ...] = ()
    inheritable: tuple[str, ...] = ()
    ambient: tuple[str, ...] = ()


class Process(Record):
    """What runs, as whom, where. `console_size` is (rows, columns), (0, 0) when not given."""

    args: tuple[str, ...]
    env: tuple[str, ...] = ()
    cwd: str = "/"
    terminal: bool = False
    console_size: tuple[int, int] = (0, 0)
    user: User = User()
    capabilities: Capabilities = Capabilities()


class Mount(Record):
    """One entry of `mounts`. The entry whose destination is "/" is the root filesystem itself."""

    destination: str
    kind: str = ""
    source: str = ""
    options: tuple[str, ...] = ()


class Device(Record):
    """A device node to make: `kind` is c, b, u or p; `mode` has permission bits only."""

    path: str
    kind: str
    major: int = 0
    minor: int = 0
    mode: int = 0o666
    uid: int = 0
    gid: int = 0


class DeviceRule(Record):
    """A line of the cgroup's device list; `None` as a number means every number."""

    allow: bool
    kind: str = "a"  # a c b
    major: int | None = None
    minor: int | None = None
    access: str = "rwm"


class Spec(Record):
    """The whole document. `root_path` is absolute."""

    root_path: str
    process: Process
    root_readonly: bool = False
    hostname: str = ""
    mounts: tuple[Mount, ...] = ()
    namespaces: tuple[Namespace, ...] = ()
    devices: tuple[Device, ...] = ()
    device_rules: tuple[DeviceRule, ...] = ()
    cgroups_path: str = ""
    sysctl: tuple[tuple[str, str], ...] = ()
    masked_paths: tuple[str, ...] = ()
    readonly_paths: tuple[str, ...] = ()
    annotations: tuple[tuple[str, str], ...] = ()

    def has_namespace(self, kind: str) -> bool:
        return any(ns.kind == kind for ns in self.namespaces)


class _Config(Fields):
    """What fields of a config.json hold, beyond what all JSON documents do."""

    def number(self, key: str, default: int | None = 0, most: int = 2**32 - 1) -> int:
        value = int(self._take(key, int, default))
        if not 0 <= value <= most:
            raise self.error(key, f"is out of range: {value}")
        return value

    def maybe_number(self, key: str) -> int | None:
        value = self.document.get(key)
        return None if value is None or value == -1 else self.number(key)

    def strings(self, key: str) -> tuple[str, ...]:
        """For execve(2): what the kernel would cut at a NUL byte is refused."""
        values = self.texts(key)
        if any("\0" in value for value in values):
            raise self.error(key, "holds a NUL byte")
        return values

    def ids(self, key: str) -> tuple[int, ...]:
        values = self._take(key, list, [])
        if not all(type(v) is int and 0 <= v < 2**32 for v in values):
            raise self.error(key, "is not a list of ids")
        return tuple(values)


def parse_spec(document: object, bundle: str) -> Spec:
    """Decode a `config.json`; relative paths are taken from `bundle`. Raises `BadJSON`."""
    top = _Config(document, "config.json")
    top.text("ociVersion", None)
    root = top.inner("root")
    path = root.text("path", None)
    linux = top.inner("linux")
    return Spec(
        root_path=path if path.startswith("/") else f"{bundle}/{path}",
        process=_process(top.inner("process")),
        root_readonly=root.flag("readonly"),
        hostname=top.text("hostname"),
        mounts=tuple(_mount(m) for m in top.each("mounts")),
        namespaces=tuple(_namespace(n) for n in linux.each("namespaces")),
        devices=tuple(_device(d) for d in linux.each("devices")),
        device_rules=tuple(_rule(r) for r in linux.inner("resources").each("devices")),
        cgroups_path=linux.text("cgroupsPath"),
        sysctl=tuple(linux.pairs("sysctl").items()),
        masked_paths=linux.texts("maskedPaths"),
        readonly_paths=linux.texts("readonlyPaths"),
        annotations=tuple(top.pairs("annotations").items()),
    )


def parse_process(document: object) -> Process:
    """Decode a `process` object on its own, as `exec` is given it. Raises `BadJSON`."""
    return _process(_Config(document, "config.json", "process"))


def _process(fields: _Config) -> Process:
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
        ),
        capabilities=Capabilities(
            bounding=caps.texts("bounding"),
            effective=caps.texts("effective"),
            permitted=caps.texts("permitted"),
            inheritable=caps.texts("inheritable"),
            ambient=caps.texts("ambient"),
        ),
    )


def _mount(fields: _Config) -> Mount:
    destination = fields.text("destination", None)
    if not destination.startswith("/"):
        raise fields.error("destination", f"is not absolute: {destination!r}")
    return Mount(destination, fields.text("type"), fields.text("source"), fields.texts("options"))


def _namespace(fields: _Config) -> Namespace:
    kind = fields.text("type", None)
    if kind not in ("pid", "network", "mount", "ipc", "uts", "user", "cgroup", "time"):
        raise fields.error("type", f"is unknown: {kind!r}")
    return Namespace(kind, fields.text("path"))


def _device(fields: _Config) -> Device:
    kind = fields.text("type", None)
    if kind not in ("c", "b", "u", "p"):
        raise fields.error("type", f"is unknown: {kind!r}")
    return Device(
        path=fields.text("path", None),
        kind=kind,
        major=fields.number("major"),
        minor=fields.number("minor"),
        mode=fields.number("fileMode", 0o666) & 0o7777,
        uid=fields.number("uid"),
        gid=fields.number("gid"),
    )


def _rule(fields: _Config) -> DeviceRule:
    return DeviceRule(
        allow=fields.flag("allow"),
        kind=fields.text("type", "a"),
        major=fields.maybe_number("major"),
        minor=fields.maybe_number("minor"),
        access=fields.text("access", "rwm"),
    )
