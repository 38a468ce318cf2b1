"""Where a container's cgroup lies, and which controllers it is for.

`linux.cgroupsPath` names a cgroup by one path. On v2 that is one directory. On v1 it is a directory
of the same name in each hierarchy, and a process stands in every hierarchy somewhere: if not in the
container's directory, then where its parent stood, uncounted.

    v1        /sys/fs/cgroup/memory/minidock/<id>    /sys/fs/cgroup/pids/minidock/<id>    …
    v2        /sys/fs/cgroup/minidock/<id>
    hybrid    as v1; and /sys/fs/cgroup/unified/minidock/<id> for what only v2 has there

Joining costs: 0.2 ms for each hierarchy of v1 (mkdir, write, rmdir), and on v2 for each controller
that must be handed down. So `CONTROLLERS` says which ones a container always joins, since somebody
will want to stop it, count it, or see it share fairly, and which only when `linux.resources` asks.
A hybrid machine's unified hierarchy is joined only when it is the only one to have something.

See: cgroups(7), https://docs.kernel.org/admin-guide/cgroup-v1/cgroups.html,
https://github.com/opencontainers/runtime-spec/blob/main/config-linux.md#cgroups-path
"""

from __future__ import annotations

from minidock.errors import BadJSON, StartFailed
from minidock.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from minidock.linux.cgroupfs import CgroupFacts

PARENT = "/minidock"

_ALWAYS, _ASKED = True, False
# What a container's cgroup is for: the controller's name on v1, on v2 ("": every cgroup of v2 can
# do it, None: none can), and whether a container always joins it.
CONTROLLERS: tuple[tuple[str, str | None, bool], ...] = (
    ("devices", "", _ALWAYS),  # which ones it may use: security, so never without
    ("freezer", "", _ALWAYS),  # `pause`, `commit`, and a `kill` that no fork outruns
    ("memory", "memory", _ALWAYS),  # `stats`; and whether it was killed for want of memory
    ("pids", "pids", _ALWAYS),  # `stats`
    ("cpu", "cpu", _ALWAYS),  # its share beside other containers, however many processes it has
    ("cpuacct", "", _ALWAYS),  # `stats`
    ("blkio", "io", _ALWAYS),  # `stats`
    ("cpuset", "cpuset", _ASKED),
    ("hugetlb", "hugetlb", _ASKED),
    ("rdma", "rdma", _ASKED),
    ("net_cls", None, _ASKED),
    ("net_prio", None, _ASKED),
)
_NEVER_WITHOUT = ("devices", "freezer")
V2_NAMES = {v1: v2 for v1, v2, _ in CONTROLLERS}
_STANDARD = tuple(v1 for v1, _, always in CONTROLLERS if always)


class Cgroup(Record):
    """Where one container's cgroup lies in the filesystem, or may lie.

    `v1` has (controller, directory) pairs; one directory may serve several controllers. `unified`
    is the directory of v2, "" where it is not used, and `unified_for` are the controllers (by
    their names on v1) that are asked of it. `unit` is systemd's name for it, if it has one.
    """

    v1: tuple[tuple[str, str], ...] = ()
    unified: str = ""
    unified_for: tuple[str, ...] = ()
    unit: str = ""

    @property
    def directories(self) -> tuple[str, ...]:
        """Each directory once."""
        directories = [directory for _, directory in self.v1]
        return tuple(dict.fromkeys(directories + ([self.unified] if self.unified else [])))

    def v1_directory(self, controller: str) -> str:
        """Where v1 has this controller; "" where v2 is asked instead."""
        return dict(self.v1).get(controller, "")

    def v2_directory(self, controller: str) -> str:
        """Where v2 has this controller (its name on v1); "" where nobody does, or v1."""
        return self.unified if controller in self.unified_for else ""

    def has(self, controller: str) -> bool:
        return bool(self.v1_directory(controller) or self.v2_directory(controller))

    @property
    def handed_down(self) -> tuple[str, ...]:
        """The controllers of v2 that `unified` must be given by its parent."""
        return tuple(filter(None, (V2_NAMES[controller] for controller in self.unified_for)))


def find_cgroup(cgroups_path: str, facts: CgroupFacts) -> Cgroup:
    """Everywhere that the cgroup of this `linux.cgroupsPath` may lie on this host, made or not.

    The form `slice:prefix:name` is systemd's, see systemd.py. Raises `BadJSON` for a path that
    cannot be meant, `StartFailed` where no hierarchy is mounted that could hold it.
    """
    path = absolute_path(cgroups_path)
    v1 = []
    unified_for = []
    for controller, v2_name, _ in CONTROLLERS:
        hierarchy = facts.hierarchy_of(controller)
        if hierarchy:
            v1.append((controller, hierarchy.mount_point + path))
        elif facts.unified and (v2_name == "" or v2_name in facts.unified_controllers):
            unified_for.append(controller)
    missing = [c for c in _NEVER_WITHOUT if c not in dict(v1) and c not in unified_for]
    if missing:
        raise StartFailed(
            f"no cgroup hierarchy is mounted that controls {', '.join(missing)}",
            hint="mount -t cgroup2 cgroup2 /sys/fs/cgroup",
        )
    unit = path.rpartition("/")[2] if ":" in cgroups_path else ""
    return Cgroup(tuple(v1), facts.unified + path if unified_for else "", tuple(unified_for), unit)


def joined_part(cgroup: Cgroup, asked: Iterable[str]) -> Cgroup:
    """Of all places, those that a container joins which asks for the controllers `asked`."""
    wanted = {*_STANDARD, *asked}
    unified_for = tuple(c for c in cgroup.unified_for if c in wanted)
    return Cgroup(
        tuple(pair for pair in cgroup.v1 if pair[0] in wanted),
        cgroup.unified if unified_for else "",
        unified_for,
        cgroup.unit,
    )


def absolute_path(cgroups_path: str) -> str:
    """From a hierarchy's mount point on; a relative path is below ours. Raises `BadJSON`."""
    if ":" in cgroups_path:
        from minidock.isolation.cgroups.systemd import parse_unit

        return parse_unit(cgroups_path).path
    where = "config.json: linux.cgroupsPath"
    parts = [part for part in cgroups_path.split("/") if part not in ("", ".")]
    if not parts:
        raise BadJSON(f"{where} is missing")
    if ".." in parts:
        raise BadJSON(f"{where} leads out of the hierarchy: {cgroups_path!r}")
    prefix = "" if cgroups_path.startswith("/") else PARENT
    return f"{prefix}/{'/'.join(parts)}"
