"""What `-v` and `--mount` mean, in the shapes in which Docker's API takes them.

`-v` is text, `data:/var/lib/data:ro`, because it is short to type: source, path, mode. A source
that begins with a slash is the host's, any other a volume's name. `--mount` says the same and more,
with a name for each thing; the command line makes a document of it (cli/mount_flags.py), which is
what comes here, and what `inspect` shows.

They differ in one point on purpose: `-v` makes a directory of the host's that is not there, and
`--mount` refuses, since a path that was mistyped is worse than an error.

See: moby's volume/mounts/linux_parser.go, https://docs.docker.com/engine/storage/bind-mounts/
"""

from __future__ import annotations

import os

from minidock.engine.mount_point import MountPoint
from minidock.engine.volumes import check_driver
from minidock.errors import InvalidInput

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    Document = Mapping[str, Any]

PROPAGATIONS = ("private", "rprivate", "shared", "rshared", "slave", "rslave")
_ACCESS, _LABELS, _COPY = ("rw", "ro"), ("z", "Z"), ("nocopy",)
_CONSISTENCY = ("consistent", "cached", "delegated")  # for Docker Desktop; here it always is
_KINDS = (_ACCESS, _LABELS, PROPAGATIONS, _COPY, _CONSISTENCY)
_NOT_ROOT = "invalid specification: destination can't be '/'"
_OPTIONS = {
    "bind": "BindOptions",
    "volume": "VolumeOptions",
    "tmpfs": "TmpfsOptions",
    "image": "ImageOptions",
}


def parse_bind(text: str, driver: str = "") -> MountPoint:
    """`SOURCE:PATH[:MODE]`, or a path alone. Raises `InvalidInput` and `NotFound`."""
    source, target, mode = _parts(text)
    words = _mode_words(mode)
    mount: dict[str, Any] = {
        "Type": "bind" if source.startswith("/") else "volume",
        "Source": source,
        "Target": target,
        "ReadOnly": "ro" in words,
    }
    propagation = next((word for word in words if word in PROPAGATIONS), "")
    if propagation:
        mount["BindOptions"] = {"Propagation": propagation}
    if "nocopy" in words:
        mount["VolumeOptions"] = {"NoCopy": True}
    try:
        if mount["Type"] == "volume":
            check_driver(source, driver)
        point = parse_mount(mount, must_exist=False)
    except InvalidInput as error:
        error.message = f"invalid volume specification: '{text}': {error.message}"
        raise
    return point.but(mode=mode or point.mode, make_source=point.kind == "bind")


def _parts(text: str) -> tuple[str, str, str]:
    parts = text.split(":", 3)
    if not parts[0] or len(parts) > 3 or (len(parts) == 2 and _is_mode(parts[1])):
        raise InvalidInput(f"invalid volume specification: '{text}'")
    if len(parts) == 1:
        return "", parts[0], ""
    return parts[0], parts[1], parts[2] if len(parts) == 3 else ""


def _is_mode(text: str) -> bool:
    words = text.split(",")
    known = all(any(word in kind for kind in _KINDS) for word in words)
    return known and all(sum(word in kind for word in words) < 2 for kind in _KINDS)


def _mode_words(mode: str) -> list[str]:
    """Raises `InvalidInput` for words that are unknown, contradict each other, or cannot be meant
    here."""
    if not mode:
        return []
    if not _is_mode(mode):
        raise InvalidInput(f"invalid mode: {mode}")
    words = mode.split(",")
    for word in words:
        if word in _LABELS:
            raise InvalidInput(
                f"invalid mode: {mode}",
                hint=f"{word} relabels files for SELinux, and minidock gives containers no SELinux "
                "label: leave it out.",
            )
    return words


def parse_volumes_from(text: str) -> tuple[str, bool]:
    """`NAME[:ro|rw]` → the container, and whether it may be written to. Raises `InvalidInput`."""
    if not text:
        raise InvalidInput("volumes-from specification cannot be an empty string")
    name, _, mode = text.partition(":")
    words = _mode_words(mode)
    if any(word in PROPAGATIONS + _COPY for word in words):
        raise InvalidInput(f"invalid mode: {mode}")
    return name, "ro" not in words


def parse_mount(mount: Document, *, must_exist: bool = True) -> MountPoint:
    """One of `HostConfig.Mounts`. `must_exist`: a bind's source is not made. Which image a name
    means, and where that lies, is found out when the container is made.

    Raises `InvalidInput`, `NotFound` in Docker's words.
    """
    kind = mount["Type"]
    try:
        _check(mount, kind, must_exist)
    except InvalidInput as error:
        error.message = f'invalid mount config for type "{kind}": {error.message}'
        raise
    readonly, source = mount.get("ReadOnly", False), mount.get("Source", "")
    point = MountPoint(kind, os.path.normpath(mount["Target"]), writable=not readonly)
    if point.destination.startswith("//"):
        point = point.but(destination=point.destination[1:])
    if kind == "bind":
        options = mount.get("BindOptions") or {}
        return point.but(
            source=os.path.normpath(source),
            propagation=options.get("Propagation", ""),
            recursion=_recursion(options),
            make_source=bool(options.get("CreateMountpoint")),
        )
    if kind == "image":
        subpath = (mount.get("ImageOptions") or {}).get("Subpath", "")
        return point.but(name=source, writable=False, subpath=subpath)
    if kind == "tmpfs":
        return point.but(tmpfs=_tmpfs(mount.get("TmpfsOptions") or {}, readonly))
    options = mount.get("VolumeOptions") or {}
    driver = options.get("DriverConfig") or {}
    check_driver(source, driver.get("Name", ""))
    return point.but(
        name=source,
        mode="z",  # so Docker's `inspect` says of every volume that was named by a flag
        anonymous=not source,
        copy=not options.get("NoCopy"),
        subpath=options.get("Subpath", ""),
        labels=options.get("Labels"),
        options=driver.get("Options"),
    )


def _check(mount: Document, kind: str, must_exist: bool) -> None:
    target, source = mount.get("Target", ""), mount.get("Source", "")
    if not target:
        raise InvalidInput("field Target must not be empty")
    if os.path.normpath(target).strip("/") == "" and target.startswith("/"):
        raise InvalidInput(_NOT_ROOT)
    _check_absolute(target)
    if kind not in _OPTIONS:
        raise InvalidInput("mount type unknown")
    for other, field in _OPTIONS.items():
        if other != kind and mount.get(field) is not None:
            raise InvalidInput(f"field {field} must not be specified")
    if kind == "bind":
        _check_bind(source, mount.get("BindOptions") or {}, must_exist)
    elif kind == "volume":
        _check_volume(source, mount.get("VolumeOptions") or {}, mount.get("ReadOnly", False))
    elif kind == "image":
        _check_image(source, mount.get("ImageOptions") or {})
    elif source:
        raise InvalidInput("field Source must not be specified")


def _check_absolute(path: str) -> None:
    if not path.startswith("/"):
        raise InvalidInput(f"invalid mount path: '{path}' mount path must be absolute")


def _check_bind(source: str, options: Document, must_exist: bool) -> None:
    if not source:
        raise InvalidInput("field Source must not be empty")
    propagation = options.get("Propagation", "")
    if propagation and propagation not in PROPAGATIONS:
        raise InvalidInput(f"invalid propagation mode: {propagation}")
    _check_absolute(source)
    if must_exist and not options.get("CreateMountpoint") and not os.path.exists(source):
        raise InvalidInput(f"bind source path does not exist: {source}")


def _check_image(source: str, options: Document) -> None:
    if not source:
        raise InvalidInput("field Source must not be empty")
    _check_subpath(options.get("Subpath", ""))


def _check_subpath(subpath: str) -> None:
    if subpath and (subpath.startswith("/") or os.path.normpath(subpath).split("/")[0] == ".."):
        raise InvalidInput("subpath must be a relative path within the volume")


def _check_volume(source: str, options: Document, readonly: bool) -> None:
    subpath = options.get("Subpath", "")
    if subpath and not source:
        raise InvalidInput("must not set Subpath when using anonymous volumes")
    _check_subpath(subpath)
    if readonly and not source:
        raise InvalidInput("must not set ReadOnly mode when using anonymous volumes")


def _recursion(options: Document) -> str:
    if options.get("NonRecursive"):
        return "disabled"
    return "writable" if options.get("ReadOnlyNonRecursive") else ""


def _tmpfs(options: Document, readonly: bool) -> str:
    """As `--tmpfs` takes it. moby's ConvertTmpfsOptions"""
    words = ["ro"] if readonly else []
    if options.get("Mode"):
        words.append(f"mode={options['Mode']:o}")
    size = options.get("SizeBytes", 0)
    if size:
        powers = (("g", 1 << 30), ("m", 1 << 20), ("k", 1 << 10))
        suffix, unit = next((p for p in powers if size % p[1] == 0), ("", 1))
        words.append(f"size={size // unit}{suffix}")
    return ",".join(words)
