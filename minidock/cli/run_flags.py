"""The flags of run and create; those that limit a container are update's, too.

They are many, so they are kept apart from the commands. What the values look like is checked by
functions of `flag_values.py`, named here and imported when a flag that needs one is typed.

See: docker/cli cli/command/container/{opts,update}.go
"""

from __future__ import annotations

from minidock.cli.attached import ENV, ENV_FILE, INTERACTIVE, TTY, USER, WORKDIR
from minidock.cli.command import Flag
from minidock.cli.lifecycle_flags import LIFECYCLE_FLAGS

_VALUES = "minidock.cli.flag_values:"
_SIZE, _SWAP = _VALUES + "size", _VALUES + "size_or_unlimited"
_BPS, _IOPS = _VALUES + "device_bps", _VALUES + "device_iops"
_BLKIO = "Block IO (relative weight), between 10 and 1000, or 0 to disable (default 0)"

LIMIT_FLAGS = (
    Flag("blkio-weight", value="uint16", check=_VALUES + "uint16", help=_BLKIO),
    Flag("cpu-period", kind="int", help="Limit CPU CFS (Completely Fair Scheduler) period"),
    Flag("cpu-quota", kind="int", help="Limit CPU CFS (Completely Fair Scheduler) quota"),
    Flag("cpu-rt-period", kind="int", help="Limit CPU real-time period in microseconds"),
    Flag("cpu-rt-runtime", kind="int", help="Limit CPU real-time runtime in microseconds"),
    Flag("cpu-shares", "c", "int", help="CPU shares (relative weight)"),
    Flag("cpus", value="decimal", check=_VALUES + "cpus", help="Number of CPUs"),
    Flag("cpuset-cpus", help="CPUs in which to allow execution (0-3, 0,1)"),
    Flag("cpuset-mems", help="MEMs in which to allow execution (0-3, 0,1)"),
    Flag("memory", "m", value="bytes", check=_SIZE, help="Memory limit"),
    Flag("memory-reservation", value="bytes", check=_SIZE, help="Memory soft limit"),
    Flag(
        "memory-swap",
        value="bytes",
        check=_SWAP,
        help="Swap limit equal to memory plus swap: '-1' to enable unlimited swap",
    ),
    Flag("pids-limit", kind="int", help="Tune container pids limit (set -1 for unlimited)"),
)
"""What `update` can change in a container that runs."""

_MORE_LIMITS = (
    Flag(
        "blkio-weight-device",
        kind="list",
        check=_VALUES + "device_weight",
        help="Block IO weight (relative device weight)",
    ),
    Flag("cgroup-parent", help="Optional parent cgroup for the container"),
    Flag("device", kind="list", help="Add a host device to the container"),
    Flag(
        "device-cgroup-rule",
        kind="list",
        check=_VALUES + "device_rule",
        help="Add a rule to the cgroup allowed devices list",
    ),
    Flag(
        "device-read-bps",
        kind="list",
        check=_BPS,
        help="Limit read rate (bytes per second) from a device",
    ),
    Flag(
        "device-read-iops",
        kind="list",
        check=_IOPS,
        help="Limit read rate (IO per second) from a device",
    ),
    Flag(
        "device-write-bps",
        kind="list",
        check=_BPS,
        help="Limit write rate (bytes per second) to a device",
    ),
    Flag(
        "device-write-iops",
        kind="list",
        check=_IOPS,
        help="Limit write rate (IO per second) to a device",
    ),
    Flag(
        "memory-swappiness",
        kind="int",
        default=-1,
        help="Tune container memory swappiness (0 to 100)",
    ),
    Flag("oom-kill-disable", kind="bool", help="Disable OOM Killer"),
    Flag("oom-score-adj", kind="int", help="Tune host's OOM preferences (-1000 to 1000)"),
    Flag("shm-size", value="bytes", check=_SIZE, help="Size of /dev/shm"),
    Flag("sysctl", kind="list", value="map", check=_VALUES + "sysctl", help="Sysctl options"),
    Flag("ulimit", kind="list", value="ulimit", check=_VALUES + "ulimit", help="Ulimit options"),
)

_MOUNTS = (
    Flag(
        "mount",
        kind="list",
        value="mount",
        check="minidock.cli.mount_flags:mount",
        help="Attach a filesystem mount to the container",
    ),
    Flag("tmpfs", kind="list", help="Mount a tmpfs directory"),
    Flag("volume", "v", "list", help="Bind mount a volume"),
    Flag("volume-driver", help="Optional volume driver for the container"),
    Flag("volumes-from", kind="list", help="Mount volumes from the specified container(s)"),
)

_SECURITY = (
    Flag("cap-add", kind="list", help="Add Linux capabilities"),
    Flag("cap-drop", kind="list", help="Drop Linux capabilities"),
    Flag("cgroupns", help="Cgroup namespace to use (host|private)"),
    Flag("group-add", kind="list", help="Add additional groups to join"),
    Flag("ipc", help="IPC mode to use"),
    Flag("pid", help="PID namespace to use"),
    Flag("privileged", kind="bool", help="Give extended privileges to this container"),
    Flag("security-opt", kind="list", help="Security Options"),
    Flag("userns", help="User namespace to use (host|auto)"),
    Flag("uts", help="UTS namespace to use"),
)

_NETS = "minidock.cli.network_values:"

NAME_FLAGS = (
    Flag(
        "add-host",
        kind="list",
        check=_NETS + "extra_host",
        help="Add a custom host-to-IP mapping (host:ip)",
    ),
    Flag("dns", kind="list", check=_NETS + "ip_address", help="Set custom DNS servers"),
    Flag("dns-opt", kind="list", help="Set DNS options", hidden=True),
    Flag("dns-option", kind="list", help="Set DNS options"),
    Flag(
        "dns-search",
        kind="list",
        check=_NETS + "search_domain",
        help="Set custom DNS search domains",
    ),
)

PORT_FLAGS = (
    Flag("expose", kind="list", help="Expose a port or a range of ports"),
    Flag("publish", "p", "list", help="Publish a container's port(s) to the host"),
    Flag("publish-all", "P", "bool", help="Publish all exposed ports to random ports"),
)
"""Which ports of the host lead to it, see port_values.py."""

NETWORK_FLAGS = (
    Flag("ip", help="IPv4 address (e.g., 172.30.100.104)"),
    Flag("ip6", help="IPv6 address (e.g., 2001:db8::33)"),
    Flag("link", kind="list", check=_NETS + "link", help="Add link to another container"),
    Flag("link-local-ip", kind="list", help="Container IPv4/IPv6 link-local addresses"),
    Flag("mac-address", help="Container MAC address (e.g., 92:d0:c6:0a:29:33)"),
    Flag("net", kind="list", value="network", check=_NETS + "network", hidden=True,
         help="Connect a container to a network"),
    Flag("net-alias", kind="list", hidden=True, help="Add network-scoped alias for the container"),
    Flag("network", kind="list", value="network", check=_NETS + "network",
         help="Connect a container to a network"),
    Flag("network-alias", kind="list", help="Add network-scoped alias for the container"),
)  # fmt: skip
"""How a container is on its networks, see network_values.py."""

HOST_FLAGS = (
    *LIMIT_FLAGS,
    *_MORE_LIMITS,
    *_SECURITY,
    *_MOUNTS,
    *NAME_FLAGS,
    *PORT_FLAGS,
    Flag(
        "annotation",
        kind="list",
        value="map",
        help="Add an annotation to the container (passed through to the OCI runtime)",
    ),
    Flag("isolation", help="Container isolation technology"),
    Flag("runtime", help="Runtime to use for this container"),
)
"""What becomes a `HostConfig`, see host_config.py."""

CREATE_FLAGS = (
    Flag("cidfile", help="Write the container ID to the file"),
    Flag("domainname", help="Container NIS domain name"),
    Flag("entrypoint", help="Overwrite the default ENTRYPOINT of the image"),
    ENV,
    ENV_FILE,
    Flag("hostname", "h", help="Container host name"),
    Flag(
        "init",
        kind="bool",
        help="Run an init inside the container that forwards signals and reaps processes",
    ),
    INTERACTIVE,
    Flag("label", "l", "list", help="Set meta data on a container"),
    Flag("name", help="Assign a name to the container"),
    *NETWORK_FLAGS,
    Flag("platform", help="Set platform if server is multi-platform capable"),
    Flag(
        "pull", default="missing", help='Pull image before running ("always", "missing", "never")'
    ),
    Flag("quiet", "q", "bool", help="Suppress the pull output"),
    *LIFECYCLE_FLAGS,
    Flag("read-only", kind="bool", help="Mount the container's root filesystem as read only"),
    Flag("rm", kind="bool", help="Automatically remove the container when it exits"),
    Flag("stop-signal", help="Signal to stop the container"),
    Flag("stop-timeout", kind="int", help="Timeout (in seconds) to stop a container"),
    TTY,
    USER,
    WORKDIR,
    *HOST_FLAGS,
)
