"""Which seccomp profile a container gets: the default one, the user's, or none.

A user's profile is in Docker's format, which is that of config.json and a little more: a rule may
say for whom it is (`includes`, `excludes`: capabilities, architectures, the least kernel), and
`archMap` stands for the list of architectures. Here these questions are answered; what comes out is
`linux.seccomp` of the OCI specification.

See: https://docs.docker.com/engine/security/seccomp/, moby's seccomp/seccomp_linux.go
"""

from __future__ import annotations

from minidock.errors import InvalidInput

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from typing import Any

    from minidock.engine.seccomp_default import Group

UNCONFINED, BUILTIN = "unconfined", "builtin"

_MACHINES = {"x86_64": "amd64", "aarch64": "arm64"}  # uname(2)'s names, where images have others
_NATIVE = {
    "amd64": "SCMP_ARCH_X86_64",
    "386": "SCMP_ARCH_X86_64",
    "arm64": "SCMP_ARCH_AARCH64",
    "arm": "SCMP_ARCH_AARCH64",
    "riscv64": "SCMP_ARCH_RISCV64",
    "ppc64le": "SCMP_ARCH_PPC64LE",
    "s390x": "SCMP_ARCH_S390X",
}
_COMMON = ("defaultErrnoRet", "flags", "listenerPath", "listenerMetadata")
_RULE = ("names", "action", "errnoRet", "args")


def load_profile(
    profile: str,
    capabilities: Collection[str],
    architecture: str = "",
    kernel: tuple[int, int] | None = None,
) -> dict[str, Any] | None:
    """`linux.seccomp` for a container, None for no filter.

    `profile` is "" or "builtin", "unconfined", or JSON in Docker's format; `capabilities` is the
    container's bounding set; `architecture` the image's ("amd64"; by default this machine's);
    `kernel` the version, by default this one's. Raises `InvalidInput` in Docker's words.
    """
    if profile == UNCONFINED:
        return None
    if not architecture:
        architecture = native_architecture()
    if profile in ("", BUILTIN):
        return default_profile(capabilities, architecture)
    from minidock.spec.lean_json import loads

    try:
        document = loads(profile)
    except (ValueError, RecursionError) as error:
        raise InvalidInput(f"Decoding seccomp profile failed: {error}") from None
    if not isinstance(document, dict):
        raise InvalidInput("Decoding seccomp profile failed: it is not an object")
    return convert(document, capabilities, architecture, kernel or _kernel())


def native_architecture() -> str:
    """This machine's, as images name it."""
    from os import uname

    machine = uname().machine
    return _MACHINES.get(machine, machine)


def _kernel() -> tuple[int, int]:
    from minidock.linux.host import kernel_version

    return kernel_version()


def default_profile(capabilities: Collection[str], architecture: str) -> dict[str, Any]:
    """The one of seccomp_default.py, for a container with these capabilities."""
    from minidock.engine.seccomp_default import ARCHITECTURES, EVERYBODY, WITH_CAPABILITY

    names: dict[str, None] = {}  # as a set, but in order: equal containers get equal profiles
    rules: list[dict[str, Any]] = []
    for group in (*EVERYBODY, *WITH_CAPABILITY):
        if not _applies(group, capabilities, architecture):
            continue
        if group.conditions or group.errno:
            rules += _rules(group)
        else:
            names.update(dict.fromkeys(group.names.split()))
    return {
        "defaultAction": "SCMP_ACT_ERRNO",
        "defaultErrnoRet": 1,
        "architectures": list(ARCHITECTURES.get(architecture, ())),
        "syscalls": [{"names": list(names), "action": "SCMP_ACT_ALLOW"}, *rules],
    }


def _applies(group: Group, capabilities: Collection[str], architecture: str) -> bool:
    return (
        (not group.capability or group.capability in capabilities)
        and group.unless not in capabilities
        and (not group.only or architecture in group.only)
    )


def _rules(group: Group) -> list[dict[str, Any]]:
    names = group.names.split()
    if group.errno:
        return [{"names": names, "action": "SCMP_ACT_ERRNO", "errnoRet": group.errno}]
    return [
        {
            "names": names,
            "action": "SCMP_ACT_ALLOW",
            "args": [{"index": c.index, "value": c.value, "op": f"SCMP_CMP_{c.operator}"}],
        }
        for c in group.conditions
    ]


def convert(
    document: dict[str, Any],
    capabilities: Collection[str],
    architecture: str,
    kernel: tuple[int, int],
) -> dict[str, Any] | None:
    """From Docker's format to that of config.json, for one container. What the rules themselves say
    is checked when they are compiled. Raises `InvalidInput`."""
    calls = _list(document, "syscalls")
    if not document.get("defaultAction") and not calls:
        return None  # that is how one said "no filter" once
    architectures, families = _list(document, "architectures"), _list(document, "archMap")
    if architectures and families:
        raise _error("both 'architectures' and 'archMap' are specified in the seccomp profile, "
                     "use either 'architectures' or 'archMap'")  # fmt: skip
    for family in families:
        if family.get("architecture") == _NATIVE.get(architecture):
            architectures = [family["architecture"], *_list(family, "subArchitectures")]
            break
    rules = []
    for call in calls:
        if call.get("name"):
            if call.get("names"):
                raise _error("both 'name' and 'names' are specified in the seccomp profile, "
                             "use either 'name' or 'names'")  # fmt: skip
            call = {**call, "names": [call["name"]]}
        if _is_for(call, capabilities, architecture, kernel):
            rules.append({key: call[key] for key in _RULE if call.get(key) is not None})
    common = {key: document[key] for key in _COMMON if document.get(key) is not None}
    return {
        "defaultAction": document.get("defaultAction"),
        **common,
        "architectures": architectures,
        "syscalls": rules,
    }


def _is_for(
    call: Mapping[str, Any],
    capabilities: Collection[str],
    architecture: str,
    kernel: tuple[int, int],
) -> bool:
    """Whether a rule's `includes` and `excludes` let it be one of this container's."""
    name = "x86" if architecture == "386" else architecture  # libseccomp's word
    wanted, unwanted = call.get("includes") or {}, call.get("excludes") or {}
    return not (
        name in _list(unwanted, "arches")
        or any(c in capabilities for c in _list(unwanted, "caps"))
        or (unwanted.get("minKernel") and kernel >= _version(unwanted["minKernel"]))
        or (_list(wanted, "arches") and name not in _list(wanted, "arches"))
        or any(c not in capabilities for c in _list(wanted, "caps"))
        or (wanted.get("minKernel") and kernel < _version(wanted["minKernel"]))
    )


def _version(text: object) -> tuple[int, int]:
    major, dot, minor = str(text).partition(".")
    if not (dot and major.isdecimal() and minor.isdecimal()):
        raise _error(f"invalid kernel version: {text!r}")
    return int(major), int(minor)


def _list(fields: Mapping[str, Any], key: str) -> list[Any]:
    """A list of the profile, [] where it is null or missing."""
    value = fields.get(key) or []
    kind = dict if key in ("syscalls", "archMap") else str
    if not isinstance(value, list) or not all(isinstance(v, kind) for v in value):
        raise _error(f"{key} is no list of {'objects' if kind is dict else 'names'}")
    return value


def _error(why: str) -> InvalidInput:
    return InvalidInput(f"Decoding seccomp profile failed: {why}")
