"""`linux.resources` of a config.json: what a container's cgroup is told.

The values are the specification's, which follow the files of cgroup v1; isolation/cgroups turns
them into what this host's hierarchies understand. `None` means "not said", which is not zero.

See: https://github.com/opencontainers/runtime-spec/blob/main/config-linux.md#control-groups
"""

from __future__ import annotations

from minidock.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from minidock.spec.config_fields import ConfigFields


class DeviceRule(Record):
    """A line of the cgroup's device list; `None` as a number means every number."""

    allow: bool
    kind: str = "a"  # a c b
    major: int | None = None
    minor: int | None = None
    access: str = "rwm"


class Memory(Record):
    """In bytes; -1 is no limit. `swap` is memory and swap together, as v1 has it."""

    limit: int | None = None
    reservation: int | None = None
    swap: int | None = None
    kernel: int | None = None
    kernel_tcp: int | None = None
    swappiness: int | None = None  # 0 to 100
    disable_oom_killer: bool | None = None
    use_hierarchy: bool | None = None
    check_before_update: bool | None = None


class CPU(Record):
    """Times in microseconds; `cpus` and `mems` are lists such as "0-3,7"."""

    shares: int | None = None
    quota: int | None = None  # -1: no limit
    burst: int | None = None
    period: int | None = None
    realtime_runtime: int | None = None
    realtime_period: int | None = None
    cpus: str = ""
    mems: str = ""
    idle: int | None = None


class DeviceWeight(Record):
    """The share of one block device, 10 to 1000."""

    major: int
    minor: int
    weight: int | None = None
    leaf_weight: int | None = None


class Throttle(Record):
    """At most `rate` bytes, or operations, a second on one block device."""

    major: int
    minor: int
    rate: int


class BlockIO(Record):
    """`weight` is 10 to 1000."""

    weight: int | None = None
    leaf_weight: int | None = None
    device_weights: tuple[DeviceWeight, ...] = ()
    read_bps: tuple[Throttle, ...] = ()
    write_bps: tuple[Throttle, ...] = ()
    read_iops: tuple[Throttle, ...] = ()
    write_iops: tuple[Throttle, ...] = ()


class HugepageLimit(Record):
    """At most `limit` bytes in pages of one size, such as "2MB"."""

    page_size: str
    limit: int


class Network(Record):
    """v1 only: `class_id` of net_cls, `priorities` (interface, number) of net_prio."""

    class_id: int | None = None
    priorities: tuple[tuple[str, int], ...] = ()


class RdmaLimit(Record):
    """What a container may open of one RDMA device."""

    device: str
    handles: int | None = None
    objects: int | None = None


class Resources(Record):
    """All of it. `unified` holds (file, content) pairs for v2, written last and as they are."""

    devices: tuple[DeviceRule, ...] = ()
    memory: Memory = Memory()
    cpu: CPU = CPU()
    pids_limit: int | None = None  # 0 and below: no limit
    block_io: BlockIO = BlockIO()
    hugepages: tuple[HugepageLimit, ...] = ()
    network: Network = Network()
    rdma: tuple[RdmaLimit, ...] = ()
    unified: tuple[tuple[str, str], ...] = ()


def parse_resources(fields: ConfigFields) -> Resources:
    """Decode `linux.resources`. Raises `BadJSON` that names the field."""
    rules = tuple(_rule(r) for r in fields.each("devices"))
    if fields.document.keys() <= {"devices"}:
        return Resources(rules)  # the usual case: nothing is limited
    return Resources(
        devices=rules,
        memory=_memory(fields.inner("memory")),
        cpu=_cpu(fields.inner("cpu")),
        pids_limit=fields.inner("pids").maybe("limit", most=2**63 - 1),
        block_io=_block_io(fields.inner("blockIO")),
        hugepages=tuple(_hugepages(h) for h in fields.each("hugepageLimits")),
        network=_network(fields.inner("network")),
        rdma=_rdma(fields.inner("rdma")),
        unified=tuple(fields.pairs("unified").items()),
    )


def _rule(fields: ConfigFields) -> DeviceRule:
    kind = fields.choice("type", ("a", "b", "c", "u", "p")) or "a"
    access = fields.text("access") or "rwm"
    if set(access) - set("rwm"):
        raise fields.error("access", f"is not of r, w and m: {access!r}")
    return DeviceRule(
        allow=fields.flag("allow"),
        kind=kind,
        major=_device_number(fields, "major"),
        minor=_device_number(fields, "minor"),
        access=access,
    )


def _device_number(fields: ConfigFields, key: str) -> int | None:
    value = fields.maybe(key, least=-1, most=2**32 - 1)
    return None if value == -1 else value


def _memory(fields: ConfigFields) -> Memory:
    return Memory(
        limit=fields.maybe("limit", -1),
        reservation=fields.maybe("reservation", -1),
        swap=fields.maybe("swap", -1),
        kernel=fields.maybe("kernel", -1),
        kernel_tcp=fields.maybe("kernelTCP", -1),
        swappiness=fields.maybe("swappiness", -1),
        disable_oom_killer=fields.maybe_flag("disableOOMKiller"),
        use_hierarchy=fields.maybe_flag("useHierarchy"),
        check_before_update=fields.maybe_flag("checkBeforeUpdate"),
    )


def _cpu(fields: ConfigFields) -> CPU:
    return CPU(
        shares=fields.maybe("shares", 0),
        quota=fields.maybe("quota"),
        burst=fields.maybe("burst", 0),
        period=fields.maybe("period", 0),
        realtime_runtime=fields.maybe("realtimeRuntime"),
        realtime_period=fields.maybe("realtimePeriod", 0),
        cpus=fields.text("cpus"),
        mems=fields.text("mems"),
        idle=fields.maybe("idle"),
    )


def _block_io(fields: ConfigFields) -> BlockIO:
    return BlockIO(
        weight=fields.maybe("weight", 0, 1000),
        leaf_weight=fields.maybe("leafWeight", 0, 1000),
        device_weights=tuple(
            DeviceWeight(
                major=d.number("major", None),
                minor=d.number("minor", None),
                weight=d.maybe("weight", 0, 1000),
                leaf_weight=d.maybe("leafWeight", 0, 1000),
            )
            for d in fields.each("weightDevice")
        ),
        read_bps=_throttles(fields, "throttleReadBpsDevice"),
        write_bps=_throttles(fields, "throttleWriteBpsDevice"),
        read_iops=_throttles(fields, "throttleReadIOPSDevice"),
        write_iops=_throttles(fields, "throttleWriteIOPSDevice"),
    )


def _throttles(fields: ConfigFields, key: str) -> tuple[Throttle, ...]:
    return tuple(
        Throttle(
            t.number("major", None), t.number("minor", None), t.number("rate", None, 2**64 - 1)
        )
        for t in fields.each(key)
    )


def _hugepages(fields: ConfigFields) -> HugepageLimit:
    return HugepageLimit(fields.text("pageSize", None), fields.number("limit", None, 2**64 - 1))


def _network(fields: ConfigFields) -> Network:
    return Network(
        class_id=fields.maybe("classID", 0, 2**32 - 1),
        priorities=tuple(
            (p.text("name", None), p.number("priority", None)) for p in fields.each("priorities")
        ),
    )


def _rdma(fields: ConfigFields) -> tuple[RdmaLimit, ...]:
    limits = []
    for device in fields.document:
        inner = fields.inner(device)
        limits.append(
            RdmaLimit(
                device,
                inner.maybe("hcaHandles", 0, 2**32 - 1),
                inner.maybe("hcaObjects", 0, 2**32 - 1),
            )
        )
    return tuple(limits)
