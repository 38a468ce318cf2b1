r"""Which devices a container may use: from the rules of `config.json` to one policy.

A device node is only a name for a pair of numbers: whoever may mknod(2) can make `b 8:0` in any
directory and has the host's first disk. CAP_MKNOD is one of the capabilities every container gets
(tar and package managers want it), so what it can reach is decided elsewhere: the kernel asks the
*device cgroup* whenever a node is made (m), opened for reading (r) or for writing (w).

`linux.resources.devices` is a list of rules that are applied in order, as writes to v1's
devices.allow and devices.deny would be. What they leave behind is a default and exceptions to it:

    deny  a                 the default is now: nothing (and all exceptions are forgotten)
    allow c *:*   m         except making any character device …
    allow c 1:3   rwm       … and using /dev/null
                  \──── several rules for the same numbers are one exception with all their letters

Both kernels are then given that policy: v1 as text (v1.py), v2 as a program (device_filter.py).
Since neither can look into a wildcard, a rule that would take one device out of a wildcard's
exception is refused instead of being silently without effect, as runc does.

See: https://docs.kernel.org/admin-guide/cgroup-v1/devices.html, mknod(2),
https://github.com/opencontainers/runtime-spec/blob/main/config-linux.md#allowed-device-list
"""

from __future__ import annotations

from minidock.errors import BadJSON
from minidock.record import Record
from minidock.spec.resources import DeviceRule

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    Key = tuple[str, int | None, int | None]

# What every container may use, beside what its rules say: the specification's default devices.
# Making a node that cannot be opened harms nobody.
DEFAULT_RULES = (
    DeviceRule(True, "c", None, None, "m"),
    DeviceRule(True, "b", None, None, "m"),
    DeviceRule(True, "c", 1, 3),  # null
    DeviceRule(True, "c", 1, 5),  # zero
    DeviceRule(True, "c", 1, 7),  # full
    DeviceRule(True, "c", 1, 8),  # random
    DeviceRule(True, "c", 1, 9),  # urandom
    DeviceRule(True, "c", 5, 0),  # tty
    DeviceRule(True, "c", 5, 1),  # console
    DeviceRule(True, "c", 5, 2),  # ptmx
    DeviceRule(True, "c", 136, None),  # pts/*
)


class DeviceException(Record):
    """What is otherwise than the default; `None` as a number means every number."""

    kind: str  # c b
    major: int | None
    minor: int | None
    access: str  # letters of "rwm", in that order

    def __str__(self) -> str:
        """As v1's files have it: `c 136:* rwm`"""
        major = "*" if self.major is None else self.major
        minor = "*" if self.minor is None else self.minor
        return f"{self.kind} {major}:{minor} {self.access}"

    def matches(self, kind: str, major: int, minor: int) -> bool:
        return self.kind == kind and self.major in (None, major) and self.minor in (None, minor)


class DevicePolicy(Record):
    """A default and its exceptions."""

    allow_by_default: bool
    exceptions: tuple[DeviceException, ...] = ()

    def allows(self, kind: str, major: int, minor: int, access: str) -> bool:
        """Whether a process may do all of `access` to a device, as both kernels decide it.

        An exception from "nothing" must grant everything asked for at once; an exception from
        "everything" forbids as soon as it names one thing asked for. security/device_cgroup.c
        """
        matching = [e for e in self.exceptions if e.matches(kind, major, minor)]
        if self.allow_by_default:
            return not any(set(access) & set(e.access) for e in matching)
        return any(set(access) <= set(e.access) for e in matching)


def container_policy(rules: Iterable[DeviceRule]) -> DevicePolicy:
    """`rules`, and where they begin from "nothing", the default devices. Raises `BadJSON`."""
    rules = tuple(rules)
    policy = device_policy(rules)
    return policy if policy.allow_by_default else device_policy((*rules, *DEFAULT_RULES))


def device_policy(rules: Iterable[DeviceRule]) -> DevicePolicy:
    """Apply `rules` in order to a policy that allows nothing. Raises `BadJSON`."""
    allow_by_default = False
    exceptions: dict[Key, set[str]] = {}
    for rule in rules:
        _check(rule)
        key = (rule.kind, rule.major, rule.minor)
        if rule.kind == "a":
            allow_by_default = rule.allow
            exceptions.clear()
        elif rule.allow != allow_by_default:
            exceptions.setdefault(key, set()).update(rule.access)
        else:
            _take_out(exceptions, key, set(rule.access))
    return DevicePolicy(
        allow_by_default,
        tuple(
            DeviceException(kind, major, minor, "".join(x for x in "rwm" if x in access))
            for (kind, major, minor), access in exceptions.items()
            if access
        ),
    )


def _check(rule: DeviceRule) -> None:
    where = "config.json: linux.resources.devices"
    if rule.kind not in ("a", "b", "c"):
        raise BadJSON(f"{where}: unknown type {rule.kind!r}")
    if not rule.access or not set(rule.access) <= set("rwm"):
        raise BadJSON(f"{where}: access is not made of r, w and m: {rule.access!r}")
    whole = (None, None, {"r", "w", "m"})
    if rule.kind == "a" and (rule.major, rule.minor, set(rule.access)) != whole:
        raise BadJSON(f"{where}: a rule of type a is for all devices and all access")


def _take_out(exceptions: dict[Key, set[str]], key: Key, access: set[str]) -> None:
    """Back to the default for these numbers."""
    for other, granted in exceptions.items():
        if _covers(key, other):
            granted -= access
        elif _overlap(key, other) and access & granted:
            kind, major, minor = other
            wider = DeviceException(kind, major, minor, "rwm")
            raise BadJSON(
                "config.json: linux.resources.devices: no kernel can make an exception from"
                f" the wildcard in {str(wider)!r}"
            )


def _overlap(one: Key, other: Key) -> bool:
    """Whether some device is meant by both."""
    return one[0] == other[0] and all(
        a is None or b is None or a == b for a, b in zip(one[1:], other[1:], strict=True)
    )


def _covers(wide: Key, narrow: Key) -> bool:
    """Whether every device meant by `narrow` is meant by `wide`."""
    return wide[0] == narrow[0] and all(
        a is None or a == b for a, b in zip(wide[1:], narrow[1:], strict=True)
    )
