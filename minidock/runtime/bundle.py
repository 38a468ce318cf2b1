"""A bundle as the OCI runtime takes it: read, completed, and made to fit this host.

See: https://github.com/opencontainers/runtime-spec/blob/main/bundle.md
"""

from __future__ import annotations

import os

from minidock.errors import NotFound
from minidock.linux.flags import Capability
from minidock.spec.fields import load_object
from minidock.spec.runtime import parse_spec

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from minidock.linux.host import HostFacts
    from minidock.runtime.state import ContainerState, StateDirectory
    from minidock.spec.runtime import Process, Spec

    Warn = Callable[[str], object]


def read_config(path: str) -> bytes:
    """The text of a config.json. Raises `NotFound`."""
    try:
        with open(path, "rb") as file:
            return file.read()
    except (FileNotFoundError, NotADirectoryError):
        name = os.path.basename(path)
        raise NotFound(f"JSON specification file {name} not found: {path}") from None


def read_spec(config: bytes, bundle: str, container_id: str) -> Spec:
    """Decode it; a container without a cgroup path gets one of its name. Raises `BadJSON`."""
    spec = parse_spec(load_object(config, "config.json"), bundle)
    return spec if spec.cgroups_path else spec.but(cgroups_path=container_id)


def stored_spec(home: StateDirectory, state: ContainerState) -> Spec:
    """The container's, as it was when it was created. Raises `MinidockError`."""
    spec = read_spec(read_config(home.config), state.bundle, home.id)
    return spec.but(cgroups_path=state.cgroups_path)


def write_pid_file(path: str, pid: int) -> None:
    """Atomically: engines read it as soon as it is there. Raises `OSError`."""
    directory, name = os.path.split(path)
    temporary = os.path.join(directory, f".{name}")
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o666)
    try:
        os.write(fd, b"%d" % pid)
    finally:
        os.close(fd)
    os.rename(temporary, path)


def granted_process(spec: Spec, process: Process, facts: HostFacts, warn: Warn) -> Process:
    """See `_granted`. In a user namespace of one's own there are all, over what belongs to it."""
    if spec.has_namespace("user"):
        facts = facts.but(capabilities=(2 << facts.last_capability) - 1)
    sets = process.capabilities
    asked = {name for field in sets._fields for name in getattr(sets, field)}
    missing = {name for name in asked if not _can_give(name, facts)}
    if not missing:
        return process
    warn(f"this host has not got these capabilities to give: {', '.join(sorted(missing))}")
    kept = {
        field: tuple(name for name in getattr(sets, field) if name not in missing)
        for field in sets._fields
    }
    return process.but(capabilities=sets.but(**kept))


def _can_give(name: str, facts: HostFacts) -> bool:
    try:
        return bool(facts.capabilities >> Capability[name] & 1)
    except KeyError:
        return False
