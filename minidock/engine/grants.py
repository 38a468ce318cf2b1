"""What a container may do: its capabilities, and the security options.

Names of capabilities are taken with and without CAP_, in any case, and ALL means all that this host
has to give: a minidock that itself lacks one (in a container, in a locked-down machine) cannot hand
it on. `--privileged` asks for all, and says which it could not have; asking for one by name that is
not there is an error, since somebody counts on it.

See: capabilities(7), moby's daemon/pkg/oci/caps and daemon/daemon_unix.go (parseSecurityOpt)
"""

from __future__ import annotations

from minidock.errors import InvalidInput

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    Config = dict[str, Any]

ALL = "ALL"
_TRUE = ("1", "t", "T", "TRUE", "true", "True")
_FALSE = ("0", "f", "F", "FALSE", "false", "False")


def host_capabilities() -> tuple[list[str], list[str]]:
    """Names of what this host has to give, and of what its kernel knows besides."""
    from minidock.linux.flags import Capability
    from minidock.linux.host import read_facts

    facts = read_facts()
    known = [c for c in Capability if c <= facts.last_capability]
    held = [c.name for c in known if facts.capabilities >> c & 1]
    return held, [c.name for c in known if c.name not in held]


def capability_names(wanted: Sequence[str], field: str) -> list[str]:
    """As `inspect` shows them: `CAP_…` or `ALL`, sorted, each once.

    Raises `InvalidInput` for what is no capability, or one that this host has not got.
    """
    held, lacking = host_capabilities()
    found = set()
    for text in wanted:
        name = text.upper()
        if name != ALL and not name.startswith("CAP_"):
            name = f"CAP_{name}"
        if name in lacking and field == "CapAdd":  # to drop it is easy
            why = "not supported by your kernel or not available in the current environment"
            raise InvalidInput(f'invalid {field}: capability {why}: "{name}"')
        if name not in (ALL, *held, *lacking):
            raise InvalidInput(f'invalid {field}: unknown capability: "{name}"')
        found.add(name)
    return sorted(found)


def capabilities(config: Config, basics: list[str]) -> list[str]:
    """What a container with this `HostConfig` keeps; `basics` is what one keeps by default."""
    added, dropped = config.get("CapAdd") or [], config.get("CapDrop") or []
    if config.get("Privileged"):
        return host_capabilities()[0]
    if not added and not dropped:
        return basics
    if ALL in added:
        return [name for name in host_capabilities()[0] if name not in dropped]
    if ALL in dropped:
        return list(added)
    kept = [name for name in basics if name not in dropped]
    return kept + [name for name in added if name not in kept]


class SecurityOptions:
    """`--security-opt`, understood. `seccomp` is "", "unconfined", "builtin" or the JSON of a
    profile."""

    def __init__(self, options: Sequence[str]) -> None:
        """Raises `InvalidInput` in Docker's words."""
        self.no_new_privileges = False
        self.writable_cgroups = False
        self.seccomp = ""
        self.apparmor = ""
        for option in options:
            self._take(option)

    def _take(self, option: str) -> None:
        name, separator, value = option.partition("=" if "=" in option else ":")
        if option == "no-new-privileges":
            self.no_new_privileges = True
        elif not separator:
            raise InvalidInput(f"invalid --security-opt 1: {_quoted(option)}")
        elif name == "no-new-privileges":
            self.no_new_privileges = self._flag(option, value)
        elif name == "writable-cgroups":
            self.writable_cgroups = self._flag(option, value)
        elif name == "seccomp":
            self.seccomp = value
        elif name == "apparmor":
            self.apparmor = value
        elif name == "label":
            if value != "disable":
                raise InvalidInput(
                    f"label={value}: minidock gives containers no SELinux label",
                    hint="Leave the option out, or say label=disable.",
                )
        else:
            raise InvalidInput(f"invalid --security-opt 2: {_quoted(option)}")

    @staticmethod
    def _flag(option: str, value: str) -> bool:
        if value not in _TRUE and value not in _FALSE:
            raise InvalidInput(f"invalid --security-opt 2: {_quoted(option)}")
        return value in _TRUE


def _quoted(text: str) -> str:
    from minidock.spec.lean_json import dumps

    return dumps(text)
