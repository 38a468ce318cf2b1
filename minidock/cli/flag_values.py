"""What the values of run's flags look like: sizes, processors, limits, rules.

Each function gets the text of one value and returns the text to keep, numbers in plain decimal; its
ValueError says what is wrong in the words of the Go library that Docker uses for it. `parse.py`
puts `invalid argument "x" for "-m, --memory" flag: ` before them. They are named in the tables as
"module:NAME", so that nothing of this is imported until such a flag is typed.

See: docker/go-units size.go and ulimit.go; docker/cli opts/{opts,throttledevice,weightdevice}.go
"""

from __future__ import annotations

_UNITS = "bkmgtp"
_ULIMITS = (
    "core", "cpu", "data", "fsize", "locks", "memlock", "msgqueue", "nice", "nofile", "nproc",
    "rss", "rtprio", "rttime", "sigpending", "stack",
)  # fmt: skip
_SYSCTLS = (
    "kernel.msgmax", "kernel.msgmnb", "kernel.msgmni", "kernel.sem", "kernel.shmall",
    "kernel.shmmax", "kernel.shmmni", "kernel.shm_rmid_forced",
)  # fmt: skip
_NANO = 10**9
_MOST = 2**63 - 1
_BPS_FORM = (
    "The correct format is <device-path>:<number>[<unit>]. Number must be a positive integer. "
    "Unit is optional and can be kb, mb, or gb"
)
_IOPS_FORM = "The correct format is <device-path>:<number>. Number must be a positive integer"


def size(text: str) -> str:
    """`64m`, `1.5g`, `10 MiB`: bytes; units are of 1024 whatever they are called."""
    ends = max(text.rfind(char) for char in "0123456789. ")
    if ends < 0:
        raise ValueError(f"invalid size: '{text}'")
    number = _float(text[:ends] if text[ends] == " " else text[: ends + 1])
    if number < 0:
        raise ValueError(f"invalid size: '{text}'")
    suffix = text[ends + 1 :].lower()
    if not suffix:
        power = 0
    elif suffix[0] not in _UNITS or suffix[1:] not in ("", "b", "ib") or suffix in ("bb", "bib"):
        shown = suffix if len(suffix) <= 3 else text[ends + 1 :]
        raise ValueError(f"invalid suffix: '{shown}'")
    else:
        power = _UNITS.index(suffix[0])
    value = int(number * 1024**power)
    if value > _MOST:
        raise ValueError(f"invalid size: '{text}'")
    return str(value)


def size_or_unlimited(text: str) -> str:
    """As `size`, and -1 for no limit."""
    return text if text == "-1" else size(text)


def _float(text: str) -> float:
    """strconv.ParseFloat, which knows no spaces, and underscores only where nobody writes them."""
    try:
        if not text.isascii() or "_" in text or text != text.strip() or "n" in text.lower():
            raise ValueError
        return float(text)
    except ValueError:
        from minidock.spec.quoting import quote

        raise ValueError(f"strconv.ParseFloat: parsing {quote(text)}: invalid syntax") from None


def cpus(text: str) -> str:
    """`1.5`, `1/2`, `2e0`: a number of processors, in billionths."""
    try:
        above, below = _ratio(text)
    except ValueError:
        raise ValueError(f"failed to parse {text} as a rational number") from None
    nano, rest = divmod(above * _NANO, below)
    if rest or abs(nano) > _MOST:
        raise ValueError("value is too precise")
    return str(nano)


def _ratio(text: str) -> tuple[int, int]:
    """big.Rat.SetString, for numbers of a size that a computer has processors."""
    if not text.isascii() or "_" in text or text != text.strip() or len(text) > 40:
        raise ValueError
    number, slash, divisor = text.partition("/")
    if slash:
        if not divisor.isdigit() or not int(divisor):
            raise ValueError
        return int(number), int(divisor)
    mantissa, has_exponent, exponent = number.lower().partition("e")
    whole, _, fraction = mantissa.partition(".")
    if fraction and not fraction.isdigit():
        raise ValueError
    sign = -1 if whole.startswith("-") else 1
    digits = whole.lstrip("+-") if whole[:1] in ("+", "-") else whole
    if not (digits + fraction).isdigit():
        raise ValueError
    power = (int(exponent) if has_exponent else 0) - len(fraction)
    if abs(power) > 40:
        raise ValueError
    value = sign * int(digits + fraction)
    return (value * 10**power, 1) if power >= 0 else (value, 10**-power)


def uint16(text: str) -> str:
    """strconv.ParseUint(text, 0, 16)."""
    from minidock.cli.parse import parse_int
    from minidock.spec.quoting import quote

    try:
        if text[:1] in ("+", "-"):
            raise ValueError(": invalid syntax")
        value = parse_int(text)
        if value >= 1 << 16:
            raise ValueError(": value out of range")
    except ValueError as error:
        why = str(error).rpartition(": ")[2]
        raise ValueError(f"strconv.ParseUint: parsing {quote(text)}: {why}") from None
    return str(value)


def ulimit(text: str) -> str:
    """`nofile=1024:2048`: a name, then soft and hard limit; -1 or `infinity` for none."""
    name, equals, values = text.partition("=")
    if not equals:
        raise ValueError(f"invalid ulimit argument: {text}")
    if name not in _ULIMITS:
        raise ValueError(f"invalid ulimit type: {name}")
    limits = values.split(":")
    if len(limits) > 2:
        raise ValueError(
            f"too many limit value arguments - {values}, can only have up to two, `soft[:hard]`"
        )
    hard = _limit(limits[-1])
    soft = _limit(limits[0])
    wrong = "ulimit soft limit must be less than or equal to hard limit"
    if hard != -1 and soft == -1:
        raise ValueError(f"{wrong}: soft: -1 (unlimited), hard: {hard}")
    if hard != -1 and soft > hard:
        raise ValueError(f"{wrong}: {soft} > {hard}")
    return f"{name}={soft}:{hard}"


def _limit(text: str) -> int:
    return -1 if text == "infinity" else _decimal(text)


def _decimal(text: str) -> int:
    """strconv.ParseInt(text, 10, 64)."""
    from minidock.spec.quoting import quote

    digits = text[1:] if text[:1] in ("+", "-") else text
    if not (digits.isascii() and digits.isdigit()):
        raise ValueError(f"strconv.ParseInt: parsing {quote(text)}: invalid syntax")
    value = int(text) if len(text) < 30 else _MOST + 2
    if not -_MOST - 1 <= value <= _MOST:
        raise ValueError(f"strconv.ParseInt: parsing {quote(text)}: value out of range")
    return value


def sysctl(text: str) -> str:
    """Only what belongs to a namespace: net.*, fs.mqueue.* and a few of kernel.*"""
    name, equals, _ = text.partition("=")
    if equals and (name in _SYSCTLS or name.startswith(("net.", "fs.mqueue."))):
        return text
    raise ValueError(f"sysctl '{text}' is not allowed")


def label(text: str) -> str:
    """`key=value`, or a key alone."""
    key = text.partition("=")[0].lstrip(" \t")
    if not key:
        raise ValueError(f"invalid label '{text}': empty name")
    if " " in key or "\t" in key:
        raise ValueError(f"label '{key}' contains whitespaces")
    return text


def device_rule(text: str) -> str:
    """`c 1:3 rwm`: type, numbers or `*`, what may be done."""
    words = text.split(" ")
    if len(words) == 3 and words[0] in ("a", "b", "c"):
        numbers, access = words[1].split(":"), words[2]
        good = all(n == "*" or (n.isascii() and n.isdigit()) for n in numbers)
        if good and len(numbers) == 2 and 1 <= len(access) <= 3 and set(access) <= set("rwm"):
            return text
    raise ValueError(f"invalid device cgroup format '{text}'")


def device_bps(text: str) -> str:
    """`/dev/sda:1mb`: bytes a second."""
    path, rate = _device(text)
    try:
        return f"{path}:{size(rate)}"
    except ValueError:
        raise ValueError(f"invalid rate for device: {text}. {_BPS_FORM}") from None


def device_iops(text: str) -> str:
    """`/dev/sda:100`: operations a second."""
    path, rate = _device(text)
    if not (rate.isascii() and rate.isdigit() and int(rate) < 1 << 64):
        raise ValueError(f"invalid rate for device: {text}. {_IOPS_FORM}")
    return f"{path}:{int(rate)}"


def device_weight(text: str) -> str:
    """`/dev/sda:500`: 10 to 1000, 0 for none."""
    path, weight = _device(text)
    good = weight.isascii() and weight.isdigit() and len(weight) < 6
    if not good or (int(weight) > 0 and not 10 <= int(weight) <= 1000):
        raise ValueError(f"invalid weight for device: {text}")
    return f"{path}:{int(weight)}"


def _device(text: str) -> tuple[str, str]:
    path, colon, rest = text.partition(":")
    if not colon or not path:
        raise ValueError(f"bad format: {text}")
    if not path.startswith("/dev/"):
        raise ValueError(f"bad format for device path: {text}")
    return path, rest
