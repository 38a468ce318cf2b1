"""`-v` and `--mount`, as Docker's client reads them before its engine does.

What comes out has the shape of Docker's API: `Binds` are kept as text, but for a path that begins
with a dot; `Mounts` are documents. A `-v` with nothing but a path is neither: it joins what the
image declares as VOLUME. Whether all that makes sense is for engine/mount_spec.py to say.

A `--mount` is one record of comma-separated values, so that a path with a comma can be quoted:
`--mount '"type=bind,src=/a,b",dst=/c'` is a field with commas in it.

See: docker/cli opts/mount.go, cli/compose/loader/volume.go, encoding/csv (Go)
"""

from __future__ import annotations

import os

from minidock.cli.command import ClientError
from minidock.cli.flag_values import size
from minidock.cli.parse import parse_bool

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Any

    Document = dict[str, Any]

_KEYS = ("Type", "Source", "Target", "ReadOnly", "Consistency")
_GROUPS = {  # as the first word of a key says, in the order in which Docker looks
    "volume": "VolumeOptions",
    "image": "ImageOptions",
    "bind": "BindOptions",
    "tmpfs": "TmpfsOptions",
}
_ORDER = (*_KEYS, "BindOptions", "VolumeOptions", "ImageOptions", "TmpfsOptions")
_TARGETS, _SOURCES = ("target", "dst", "destination"), ("source", "src")
_READONLY = ("readonly", "ro")
_RECURSIVE = {
    "enabled": "",
    "disabled": "NonRecursive",
    "writable": "ReadOnlyNonRecursive",
    "readonly": "ReadOnlyForceRecursive",
}


def mount(text: str) -> str:
    """The `check` of `--mount`. Raises ValueError in the words of Docker's client."""
    parse_mount(text)
    return text


# ── --mount ──


def parse_mount(text: str) -> Document:
    """One of `HostConfig.Mounts`. Raises ValueError."""
    found: Document = {"Type": "volume"}
    for field in csv_fields(text):
        key, equals, value = field.partition("=")
        if equals:
            _take(found, field, key.lower(), value)
        else:
            _take_word(found, field, key.lower())
    _check(found)
    return {key: found[key] for key in _ORDER if found.get(key) not in ("", None, False)}


def _take_word(found: Document, field: str, key: str) -> None:
    if key in _READONLY:
        found["ReadOnly"] = True
    elif key == "volume-nocopy":
        found.setdefault("VolumeOptions", {})["NoCopy"] = True
    elif key == "bind-nonrecursive":
        found.setdefault("BindOptions", {})["NonRecursive"] = True
    else:
        raise ValueError(f"invalid field '{field}' must be a key=value pair")


def _take(found: Document, field: str, key: str, value: str) -> None:
    if key == "type":
        found["Type"] = value.lower()
    elif key in _SOURCES:
        here = value == "." or value.startswith("./")
        found["Source"] = os.path.abspath(value) if here else value
    elif key in _TARGETS:
        found["Target"] = value
    elif key in _READONLY:
        found["ReadOnly"] = _flag(key, value)
    elif key == "consistency":
        found["Consistency"] = value.lower()
    else:
        group = _GROUPS.get(key.partition("-")[0], "")
        take = _TAKERS.get(key)
        if take is None:
            raise ValueError(f"unexpected key '{key}' in '{field}'")
        take(found.setdefault(group, {}), key, value)


def _flag(key: str, value: str) -> bool:
    try:
        return parse_bool(value)
    except ValueError:
        raise ValueError(f"invalid value for {key}: {value}") from None


def _set_flag(name: str) -> Any:
    def take(options: Document, key: str, value: str) -> None:
        options[name] = _flag(key, value)

    return take


def _set_text(name: str) -> Any:
    def take(options: Document, _: str, value: str) -> None:
        options[name] = value

    return take


def _recursive(options: Document, key: str, value: str) -> None:
    if value not in _RECURSIVE:
        words = '"enabled", "disabled", "writable", or "readonly"'
        raise ValueError(f"invalid value for {key}: {value} (must be {words})")
    if _RECURSIVE[value]:
        options[_RECURSIVE[value]] = True


def _propagation(options: Document, _: str, value: str) -> None:
    options["Propagation"] = value.lower()


def _label(options: Document, _: str, value: str) -> None:
    _add(options.setdefault("Labels", {}), value)


def _driver(options: Document, _: str, value: str) -> None:
    options.setdefault("DriverConfig", {})["Name"] = value


def _driver_option(options: Document, _: str, value: str) -> None:
    _add(options.setdefault("DriverConfig", {}).setdefault("Options", {}), value)


def _add(target: dict[str, str], value: str) -> None:
    name, _, content = value.partition("=")
    if name:
        target[name] = content


def _tmpfs_size(options: Document, key: str, value: str) -> None:
    try:
        options["SizeBytes"] = int(size(value))
    except ValueError:
        raise ValueError(f"invalid value for {key}: {value}") from None


def _tmpfs_mode(options: Document, key: str, value: str) -> None:
    if not value or set(value) - set("01234567") or int(value, 8) >= 1 << 32:
        raise ValueError(f"invalid value for {key}: {value}")
    options["Mode"] = int(value, 8)


_TAKERS: dict[str, Any] = {
    "bind-propagation": _propagation,
    "bind-nonrecursive": _set_flag("NonRecursive"),
    "bind-recursive": _recursive,
    "volume-subpath": _set_text("Subpath"),
    "volume-nocopy": _set_flag("NoCopy"),
    "volume-label": _label,
    "volume-driver": _driver,
    "volume-opt": _driver_option,
    "image-subpath": _set_text("Subpath"),
    "tmpfs-size": _tmpfs_size,
    "tmpfs-mode": _tmpfs_mode,
}


def _check(found: Document) -> None:
    kind = found["Type"]
    if not kind:
        raise ValueError("type is required")
    if not found.get("Target"):
        raise ValueError("target is required")
    for prefix, group in _GROUPS.items():
        if group in found and prefix != kind:
            raise ValueError(f"cannot mix '{prefix}-*' options with mount type '{kind}'")
    options = found.get("BindOptions", {})
    for word in ("writable", "readonly"):
        if options.get(_RECURSIVE[word]) and not found.get("ReadOnly"):
            raise ValueError(
                f"option 'bind-recursive={word}' requires 'readonly' to be specified in conjunction"
            )
    if options.get(_RECURSIVE["readonly"]) and options.get("Propagation") != "rprivate":
        raise ValueError(
            "option 'bind-recursive=readonly' requires 'bind-propagation=rprivate' to be specified "
            "in conjunction"
        )


def csv_fields(text: str) -> Iterator[str]:
    """The fields of one record. Raises ValueError in the words of Go's encoding/csv."""
    if not text:
        raise ValueError("EOF")
    at = 0
    while True:
        if text[at : at + 1] == '"':
            field, at = _quoted(text, at + 1)
        else:
            end = text.find(",", at)
            field = text[at:] if end < 0 else text[at:end]
            if '"' in field:
                raise _csv_error(text, at + field.index('"'), 'bare " in non-quoted-field')
            at += len(field)
        yield field
        if at >= len(text):
            return
        at += 1  # the comma


def _quoted(text: str, at: int) -> tuple[str, int]:
    """What stands between quotes, from `at` on, and where it ends. Two quotes mean one."""
    field = ""
    while True:
        end = text.find('"', at)
        if end < 0:
            raise _csv_error(text, len(text), 'extraneous or missing " in quoted-field')
        field += text[at:end]
        at = end + 1
        if text[at : at + 1] == '"':
            field += '"'
            at += 1
        elif text[at : at + 1] in ("", ","):
            return field, at
        else:
            raise _csv_error(text, end, 'extraneous or missing " in quoted-field')


def _csv_error(text: str, at: int, why: str) -> ValueError:
    column = len(text[:at].encode("utf-8", "surrogateescape")) + 1
    return ValueError(f"parse error on line 1, column {column}: {why}")


# ── -v ──


def sort_volumes(texts: Sequence[str]) -> tuple[list[str], list[str]]:
    """What was given with `-v`: binds as the engine takes them, and paths for anonymous volumes;
    each once. Raises `ClientError`."""
    binds, paths = [], []
    for text in dict.fromkeys(texts):
        source = _source_of(text)
        if not source:
            paths.append(text)
        elif text.startswith(".") and source[0] == ".":
            host, _, rest = text.partition(":")
            binds.append(f"{os.path.abspath(host)}:{rest}")
        else:
            binds.append(text)
    return binds, paths


def _source_of(text: str) -> str:
    """The part before the colon; "" for a path alone. (Docker takes a single letter for a disk of
    Windows and the whole for a path, so that `-v d:/data` does something that nobody wants. Here
    the engine will say that the name is too short.)"""
    if not text:
        raise ClientError("invalid empty volume spec")
    if len(text) <= 2:
        return ""
    parts = text.split(":")
    if "" in parts:
        raise ClientError(f"invalid spec: {text}: empty section between colons")
    if len(parts) > 3:
        raise ClientError(f"invalid spec: {text}: too many colons")
    return parts[0] if len(parts) > 1 else ""
