"""What a config.json may not ask for, found before anything is done.

spec/runtime.py has decoded it, so each field by itself is sound. What is left are combinations: a
host name without a UTS namespace would rename the host, a masked path without a mount namespace
hide it from everybody. Those are refused here, in words that name the field. What depends on the
host beyond `HostFacts` is refused by the Step that finds out.

See: https://github.com/opencontainers/runtime-spec/blob/main/config-linux.md
"""

from __future__ import annotations

from minidock.errors import StartFailed
from minidock.isolation.idmap import MAX_LINES, PAGE, to_host
from minidock.linux.flags import Capability

TYPE_CHECKING = False
if TYPE_CHECKING:
    from minidock.linux.host import HostFacts
    from minidock.spec.runtime import IDMapping, Process, Spec


def check_spec(spec: Spec, facts: HostFacts) -> None:
    """Raises `StartFailed` for a container that cannot be meant, or not be made here."""
    if not facts.rights >> Capability.CAP_SYS_ADMIN & 1:
        raise StartFailed("minidock needs root's rights (CAP_SYS_ADMIN): rootless is not supported")
    if spec.mount_label and not facts.selinux:
        raise StartFailed("linux.mountLabel is set, but this machine has no SELinux")
    _check_namespaces(spec)
    _check_user_namespace(spec)
    check_process(spec, spec.process)


def _check_namespaces(spec: Spec) -> None:
    for field, value in (("hostname", spec.hostname), ("domainname", spec.domainname)):
        if value and not spec.has_namespace("uts"):
            raise StartFailed(f"{field} is set, but there is no uts namespace for it")
        if len(value.encode()) > 64:
            raise StartFailed(f"{field} is longer than 64 bytes: {value!r}")
    paths = {"maskedPaths": spec.masked_paths, "readonlyPaths": spec.readonly_paths}
    for field, names in paths.items():
        if names and not spec.has_namespace("mount"):
            raise StartFailed(f"linux.{field} is set, but there is no mount namespace for it")
        for name in names:
            if not name.startswith("/"):
                raise StartFailed(f"linux.{field}: {name!r} is not absolute")
    if spec.time_offsets and not spec.makes_namespace("time"):
        raise StartFailed("linux.timeOffsets is set, but no new time namespace is made")


def _check_user_namespace(spec: Spec) -> None:
    tables = {"uidMappings": spec.uid_mappings, "gidMappings": spec.gid_mappings}
    new = spec.makes_namespace("user")
    for field, table in tables.items():
        if table and not spec.has_namespace("user"):
            raise StartFailed(f"linux.{field} is set, but there is no user namespace for it")
        if new and not table:
            raise StartFailed(f"linux.{field} is empty, but a user namespace is to be made")
        if new and to_host(table, 0) is None:
            raise StartFailed(f"linux.{field} maps no id to 0: the container has no root")
        _check_table(field, table)


def _check_table(field: str, table: tuple[IDMapping, ...]) -> None:
    """What the kernel says EINVAL to, in words."""
    if len(table) > MAX_LINES:
        raise StartFailed(f"linux.{field} has more than {MAX_LINES} lines")
    text = "".join(f"{m.container_id} {m.host_id} {m.size}\n" for m in table)
    if len(text) >= PAGE:
        raise StartFailed(f"linux.{field} is longer than a page of {PAGE} bytes")
    for number, mapping in enumerate(table):
        last = max(mapping.container_id, mapping.host_id) + mapping.size - 1
        if not mapping.size or last >= 2**32 - 1:
            raise StartFailed(f"linux.{field}[{number}] is out of range: {mapping.size} ids")
        for other in table[:number]:
            for side in ("container_id", "host_id"):
                first, second = getattr(mapping, side), getattr(other, side)
                if first < second + other.size and second < first + mapping.size:
                    raise StartFailed(f"linux.{field}[{number}] overlaps with one before it")


def check_process(spec: Spec, process: Process) -> None:
    """The same for one process, init or one more. Raises `StartFailed`."""
    user = process.user
    if spec.uid_mappings and to_host(spec.uid_mappings, user.uid) is None:
        raise StartFailed(f"process.user.uid: {user.uid} is not in linux.uidMappings")
    groups = {"gid": (user.gid,), "additionalGids": user.additional_gids}
    for field, ids in groups.items():
        for number in ids:
            if spec.gid_mappings and to_host(spec.gid_mappings, number) is None:
                raise StartFailed(f"process.user.{field}: {number} is not in linux.gidMappings")
