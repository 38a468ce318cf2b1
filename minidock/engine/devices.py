"""Which devices a container gets: nodes in its /dev, and lines in its cgroup's device list.

Two locks on one door. A node is a name for a driver's number; without it a program has nothing to
open. The device list says which numbers may be opened, made or not: a container may make nodes of
its own (it keeps CAP_MKNOD), and a node alone opens nothing.

`--device` gives one of the host's devices, or a directory full of them, by path. What number a path
stands for is looked up when the container starts, not when it is made: a disk may have another one
by then. `--privileged` gives all that are in the host's /dev at that moment, and takes the list
away.

See: mknod(2), null(4), https://docs.kernel.org/admin-guide/cgroup-v1/devices.html
"""

from __future__ import annotations

import os
import stat

from minidock.errors import InvalidInput

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    Config = dict[str, Any]

_EVERY = {"allow": True, "access": "rwm"}
# Directories of /dev that are filesystems of their own, and are so in a container too.
_NOT_WALKED = ("pts", "shm", "fd", "mqueue", ".lxc", ".lxd-mounts", ".udev")
_OUR_OWN = ("/dev/console", "/dev/ptmx")  # made for each container, see isolation/devices.py
_MOST = 4096  # a /dev has some hundred entries; `--device /` has the whole machine


class NoSuchDevice(InvalidInput):
    """What was given is not there, or is no device."""

    exit_code = 127  # as a program that is not there: Docker makes no difference


def given_nodes(config: Config) -> list[Config]:
    """`linux.devices` for what the user gave, as it is on the host now. Raises `InvalidInput`."""
    return [_node(path, target) for target, path in _given(config).items()]


def given_binds(config: Config) -> list[Config]:
    """The same as `mounts`, for a container with users of its own: these may not make nodes, so
    they are shown the host's."""
    return [
        {"destination": target, "type": "bind", "source": path, "options": ["bind", "rprivate"]}
        for target, path in _given(config).items()
    ]


def _given(config: Config) -> dict[str, str]:
    """Which device of the host is to be where in the container."""
    found: dict[str, str] = {}
    if config.get("Privileged"):
        found = {path: path for path in _walk("/dev")}
    for device in config.get("Devices") or ():
        source, inside = device["PathOnHost"], device["PathInContainer"]
        for path in _devices_at(source):
            found[inside + path[len(source) :]] = path
    return {target: path for target, path in found.items() if target not in _OUR_OWN}


def given_rules(config: Config) -> list[Config]:
    """The lines of the device list that come after everybody's. Raises `InvalidInput`."""
    if config.get("Privileged"):
        return [_EVERY]
    found = []
    for device in config.get("Devices") or ():
        for path in _devices_at(device["PathOnHost"]):
            node = _node(path, path)
            numbers = {key: node[key] for key in ("type", "major", "minor")}
            found.append({"allow": True, **numbers, "access": device["CgroupPermissions"]})
    return found + [_rule(text) for text in config.get("DeviceCgroupRules") or ()]


def _rule(text: str) -> Config:
    """`c 1:* rwm`"""
    kind, numbers, access = text.split(" ")
    major, minor = numbers.split(":")
    rule: Config = {"allow": True, "type": kind}
    if major != "*":
        rule["major"] = int(major)
    if minor != "*":
        rule["minor"] = int(minor)
    return {**rule, "access": access}


def _devices_at(path: str) -> list[str]:
    """The path itself, or all devices below it."""
    wrong = f'error gathering device information while adding custom device "{path}": '
    try:
        mode = os.stat(path).st_mode
    except OSError as error:
        raise NoSuchDevice(wrong + str(error.strerror).lower()) from None
    if stat.S_ISDIR(mode):
        return list(_walk(path))
    if not stat.S_ISCHR(mode) and not stat.S_ISBLK(mode):
        raise InvalidInput(f"{wrong}not a device node")
    return [path]


def _walk(directory: str) -> Iterator[str]:
    """Every device below a directory, sorted. Links are left alone: what they lead to is here too,
    or is none of /dev's business."""
    count = 0
    waiting = [directory]
    while waiting:
        here = waiting.pop()
        try:
            entries = sorted(os.scandir(here), key=lambda entry: entry.name)
        except OSError:
            continue  # gone since
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                if entry.name not in _NOT_WALKED:
                    waiting.append(entry.path)
                continue
            count += 1
            if count > _MOST:
                raise InvalidInput(f"too many files below {directory} to look for devices among")
            try:
                mode = entry.stat(follow_symlinks=False).st_mode
            except OSError:
                continue
            if stat.S_ISCHR(mode) or stat.S_ISBLK(mode):
                yield entry.path


def _node(path: str, target: str) -> Config:
    about = os.stat(path)
    return {
        "path": target,
        "type": "b" if stat.S_ISBLK(about.st_mode) else "c",
        "major": os.major(about.st_rdev),
        "minor": os.minor(about.st_rdev),
        "fileMode": about.st_mode & 0o777,
        "uid": about.st_uid,
        "gid": about.st_gid,
    }
