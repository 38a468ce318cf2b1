"""`linux.seccomp` of a config.json: which system calls are answered how.

See: https://github.com/opencontainers/runtime-spec/blob/main/config-linux.md#seccomp
"""

from __future__ import annotations

from minidock.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from minidock.spec.config_fields import ConfigFields

ACTIONS = (
    "SCMP_ACT_KILL", "SCMP_ACT_KILL_PROCESS", "SCMP_ACT_KILL_THREAD", "SCMP_ACT_TRAP",
    "SCMP_ACT_ERRNO", "SCMP_ACT_TRACE", "SCMP_ACT_ALLOW", "SCMP_ACT_LOG", "SCMP_ACT_NOTIFY",
)  # fmt: skip
OPERATORS = (
    "SCMP_CMP_NE", "SCMP_CMP_LT", "SCMP_CMP_LE", "SCMP_CMP_EQ", "SCMP_CMP_GE", "SCMP_CMP_GT",
    "SCMP_CMP_MASKED_EQ",
)  # fmt: skip
MAX_ERRNO = 4095


class Argument(Record):
    """A comparison of one argument; for MASKED_EQ `value` is the mask, `value_two` the result."""

    index: int  # 0 to 5
    operator: str
    value: int
    value_two: int = 0


class Rule(Record):
    """What to do for these system calls when all of `arguments` hold."""

    names: tuple[str, ...]
    action: str
    errno: int | None = None
    arguments: tuple[Argument, ...] = ()


class Seccomp(Record):
    """The whole profile. `architectures` such as `SCMP_ARCH_X86_64`; none: the native one. `flags`
    is None where the profile does not speak of them, which is not the same as none."""

    default_action: str
    default_errno: int | None = None
    architectures: tuple[str, ...] = ()
    flags: tuple[str, ...] | None = None
    listener_path: str = ""
    listener_metadata: str = ""
    rules: tuple[Rule, ...] = ()


def parse_seccomp(fields: ConfigFields) -> Seccomp:
    """Decode `linux.seccomp`. Raises `BadJSON` that names the field."""
    action = fields.choice("defaultAction", ACTIONS)
    if not action:
        raise fields.error("defaultAction", "is missing")
    return Seccomp(
        default_action=action,
        default_errno=fields.maybe("defaultErrnoRet", 0, MAX_ERRNO),
        architectures=fields.texts("architectures"),
        flags=None if fields.document.get("flags") is None else fields.texts("flags"),
        listener_path=fields.text("listenerPath"),
        listener_metadata=fields.text("listenerMetadata"),
        rules=tuple(_rule(r) for r in fields.each("syscalls")),
    )


def _rule(fields: ConfigFields) -> Rule:
    names = fields.texts("names")
    if not names:
        raise fields.error("names", "is empty")
    action = fields.choice("action", ACTIONS)
    if not action:
        raise fields.error("action", "is missing")
    return Rule(
        names=names,
        action=action,
        errno=fields.maybe("errnoRet", 0, MAX_ERRNO),
        arguments=tuple(_argument(a) for a in fields.each("args")),
    )


def _argument(fields: ConfigFields) -> Argument:
    operator = fields.choice("op", OPERATORS)
    if not operator:
        raise fields.error("op", "is missing")
    return Argument(
        index=fields.number("index", None, 5),
        operator=operator,
        value=fields.number("value", None, 2**64 - 1),
        value_two=fields.number("valueTwo", 0, 2**64 - 1),
    )
