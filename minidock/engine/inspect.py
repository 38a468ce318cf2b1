"""Everything about one container or image, as one document.

The document is Docker's, key by key and in Docker's order, because programs read it: editors, CI,
Compose. A container's own files say only what its user asked for; what every container has in
common is filled in here.

What there is nothing to say about yet (ports, limits) has Docker's value for "none".

See: https://docs.docker.com/reference/api/engine/version/v1.50/ (ContainerInspect, ImageInspect)
"""

from __future__ import annotations

import os

from minidock.engine.health import health_of
from minidock.engine.holding import is_held
from minidock.engine.mount_point import mount_points
from minidock.engine.network_settings import network_settings
from minidock.spec.timestamp import ZERO

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from minidock.engine.containers import Container, State
    from minidock.image.store import ImageStore, StoredImage

    Document = dict[str, Any]


def inspect_container(container: Container) -> Document:
    """The document of a container. Raises `StoreError`."""
    state = container.state()
    document, config = container.document, container.config
    directory = container.directory
    return {
        "Id": container.id,
        "Created": document["Created"],
        "Path": document["Path"],
        "Args": document["Args"],
        "State": _state(container, state),
        "Image": document["Image"],
        "ResolvConfPath": f"{directory}/resolv.conf",
        "HostnamePath": f"{directory}/hostname",
        "HostsPath": f"{directory}/hosts",
        "LogPath": container.log_path,
        "Name": f"/{container.name}",
        "RestartCount": state.restarts,
        "Driver": "overlay2",
        "Platform": "linux",
        "MountLabel": "",
        "ProcessLabel": "",
        "AppArmorProfile": _apparmor(container),
        "ExecIDs": _exec_ids(container) if state.running else None,
        "HostConfig": _in_order(_host_config_defaults(), container.host_config),
        "GraphDriver": {"Data": _overlay(container), "Name": "overlay2"},
        "Mounts": [point.shown() for point in mount_points(document)],
        "Config": _in_order(_CONFIG, {**config, "Env": config["Env"] or None}),
        "NetworkSettings": network_settings(container, state),
    }


def _apparmor(container: Container) -> str:
    options = container.host_config.get("SecurityOpt") or ()
    return next((o[9:] for o in reversed(options) if o.startswith("apparmor")), "")


def with_sizes(document: Document, written: int, whole: int) -> Document:
    """The same document with what `--size` adds, at its place."""
    out: Document = {}
    for key, value in document.items():
        out[key] = value
        if key == "GraphDriver":
            out["SizeRw"] = written
            out["SizeRootFs"] = whole
    return out


def _state(container: Container, state: State) -> Document:
    health = health_of(container, state)
    return {
        "Status": state.status,
        "Running": state.active,
        "Paused": state.status == "paused",
        "Restarting": state.status == "restarting",
        "OOMKilled": state.oom_killed,
        "Dead": False,
        "Pid": state.pid,
        "ExitCode": state.exit_code,
        "Error": state.error,
        "StartedAt": state.started_at,
        "FinishedAt": state.finished_at,
        **({"Health": health} if health else {}),
    }


def _exec_ids(container: Container) -> list[str] | None:
    """The processes that `exec` put in: a request lies here, and is held for as long as its process
    lives."""
    try:
        names = sorted(os.listdir(container.run_dir))
    except FileNotFoundError:
        return None
    return [
        name.removeprefix("exec-").removesuffix(".json")
        for name in names
        if name.startswith("exec-") and is_held(f"{container.run_dir}/{name}")
    ] or None


def _overlay(container: Container) -> Document:
    from minidock.engine.listing import lowerdirs

    return {
        "LowerDir": ":".join(lowerdirs(container)),
        "MergedDir": f"{container.directory}/rootfs",
        "UpperDir": container.upper,
        "WorkDir": f"{container.directory}/work",
    }


_ABSENT = object()
"""A key that is only there when it has a value."""

_CONFIG: Document = {
    "Hostname": "",
    "Domainname": "",
    "User": "",
    "AttachStdin": False,
    "AttachStdout": False,
    "AttachStderr": False,
    "ExposedPorts": _ABSENT,
    "Tty": False,
    "OpenStdin": False,
    "StdinOnce": False,
    "Env": None,
    "Cmd": None,
    "Healthcheck": _ABSENT,
    "ArgsEscaped": _ABSENT,
    "Image": "",
    "Volumes": None,
    "WorkingDir": "",
    "Entrypoint": None,
    "NetworkDisabled": _ABSENT,
    "OnBuild": None,
    "Labels": {},
    "StopSignal": _ABSENT,
    "StopTimeout": _ABSENT,
    "Shell": _ABSENT,
}


def _host_config_defaults() -> Document:
    return {
        "Binds": None,
        "ContainerIDFile": "",
        "LogConfig": {"Type": "json-file", "Config": {}},
        "NetworkMode": "bridge",
        "PortBindings": {},
        "RestartPolicy": {"Name": "no", "MaximumRetryCount": 0},
        "AutoRemove": False,
        "VolumeDriver": "",
        "VolumesFrom": None,
        "ConsoleSize": [0, 0],
        "Annotations": _ABSENT,
        "CapAdd": None,
        "CapDrop": None,
        "CgroupnsMode": "private",
        "Dns": [],
        "DnsOptions": [],
        "DnsSearch": [],
        "ExtraHosts": None,
        "GroupAdd": None,
        "IpcMode": "private",
        "Cgroup": "",
        "Links": None,
        "OomScoreAdj": 0,
        "PidMode": "",
        "Privileged": False,
        "PublishAllPorts": False,
        "ReadonlyRootfs": False,
        "SecurityOpt": None,
        "StorageOpt": _ABSENT,
        "Tmpfs": _ABSENT,
        "UTSMode": "",
        "UsernsMode": "",
        "ShmSize": 67108864,
        "Sysctls": _ABSENT,
        "Runtime": "minidock",
        "Isolation": "",
        "CpuShares": 0,
        "Memory": 0,
        "NanoCpus": 0,
        "CgroupParent": "",
        "BlkioWeight": 0,
        "BlkioWeightDevice": [],
        "BlkioDeviceReadBps": [],
        "BlkioDeviceWriteBps": [],
        "BlkioDeviceReadIOps": [],
        "BlkioDeviceWriteIOps": [],
        "CpuPeriod": 0,
        "CpuQuota": 0,
        "CpuRealtimePeriod": 0,
        "CpuRealtimeRuntime": 0,
        "CpusetCpus": "",
        "CpusetMems": "",
        "Devices": [],
        "DeviceCgroupRules": None,
        "DeviceRequests": None,
        "MemoryReservation": 0,
        "MemorySwap": 0,
        "MemorySwappiness": None,
        "OomKillDisable": False,
        "PidsLimit": None,
        "Ulimits": [],
        "CpuCount": 0,
        "CpuPercent": 0,
        "IOMaximumIOps": 0,
        "IOMaximumBandwidth": 0,
        "Mounts": _ABSENT,
        "MaskedPaths": [],
        "ReadonlyPaths": [],
        "Init": _ABSENT,
    }


def _in_order(defaults: Document, given: Document) -> Document:
    """`given` in the order of `defaults`, with those where it says nothing; what Docker does not
    know comes last."""
    out = {}
    for key, default in defaults.items():
        value = given.get(key, default)
        if default is _ABSENT and (value is _ABSENT or value is None):
            continue
        out[key] = value
    return {**out, **{key: value for key, value in given.items() if key not in defaults}}


# ── images ──

# Version 28 writes these even when they are empty, and no other key then.
_IMAGE_CONFIG = ("Cmd", "Entrypoint", "Env", "Labels", "OnBuild", "User", "Volumes", "WorkingDir")


def inspect_image(images: ImageStore, image: StoredImage, root: str) -> Document:
    """The document of an image in the store below `root`. Raises `StoreError`."""
    config = image.config
    history = config.history
    return {
        "Id": str(image.id),
        "RepoTags": list(image.references),
        "RepoDigests": list(image.repo_digests),
        "Parent": image.parent,
        "Comment": history[-1].comment if history else "",
        "Created": config.created or ZERO,
        "DockerVersion": "",
        "Author": config.author,
        "Config": _image_config(dict(config.config)),
        "Architecture": config.architecture,
        **({"Variant": config.variant} if config.variant else {}),
        "Os": config.os,
        "Size": images.size(image),
        "GraphDriver": {"Data": _layers(image, root), "Name": "overlay2"},
        "RootFS": {"Type": "layers", "Layers": [str(diff_id) for diff_id in image.diff_ids]},
        "Metadata": {"LastTagTime": ZERO},  # nobody writes that down
    }


def _image_config(config: Document) -> Document:
    empty = {key: "" if key in ("User", "WorkingDir") else None for key in _IMAGE_CONFIG}
    given = {key: value for key, value in config.items() if value is not None}
    return dict(sorted({**empty, **given}.items()))


def _layers(image: StoredImage, root: str) -> Document:
    """Where the image's layers lie unpacked, or will when it is used. There is no MergedDir and no
    WorkDir as Docker has for each layer: only containers are mounted, each in its own place."""
    from minidock.spec.digest import chain_ids

    paths = [f"{root}/layers/{chain.hex}" for chain in chain_ids(image.diff_ids)]
    if not paths:
        return {}
    lower = {"LowerDir": ":".join(reversed(paths[:-1]))} if len(paths) > 1 else {}
    return {**lower, "UpperDir": paths[-1]}
