"""run, its first half: from an image and the user's wishes to a container.

`create` makes a directory that holds everything about the container; `start` (start.py) gives a
monitor the order to bring it to life. `run` is both, with a terminal or pipes attached in between.
"""

from __future__ import annotations

import os

from minidock.engine import bundle, host_config
from minidock.engine.containers import Container, new_id
from minidock.engine.events import tell
from minidock.engine.host_config import has_own_networks
from minidock.engine.statefile import sync_directory, write_file, write_json
from minidock.engine.sweep import MARKER, creating, maker_mark, sweep
from minidock.errors import InvalidInput, NotFound
from minidock.network.names import host_file, hosts_file
from minidock.record import Record
from minidock.spec.timestamp import now

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from minidock.engine.containers import Containers
    from minidock.engine.host_config import Find, Warn
    from minidock.engine.mount_point import MountPoint
    from minidock.engine.paths import Paths
    from minidock.image.store import ImageStore, StoredImage

_NAME_TRIES = 6


class RunOptions(Record):
    """What `run` and `create` were told. `None` means: not said, so the image decides."""

    image: str
    command: tuple[str, ...] = ()
    name: str = ""
    terminal: bool = False
    interactive: bool = False
    attach: bool = True  # not `-d`: somebody is there to read
    auto_remove: bool = False
    ephemeral: bool = False  # with auto_remove: its maker starts it at once, or it goes
    env: tuple[str, ...] = ()
    labels: tuple[tuple[str, str], ...] = ()
    user: str | None = None
    working_dir: str | None = None
    hostname: str | None = None
    entrypoint: str | None = None
    read_only: bool = False
    network: str = "bridge"
    exposed: tuple[str, ...] = ()  # ports it has: "80/tcp"
    endpoints: Mapping[str, Any] = {}  # how it is on its networks: Docker's EndpointSettings
    init: bool | None = None
    stop_signal: str | None = None
    restart: tuple[str, int] = ("no", 0)
    health_check: dict[str, Any] | None = None
    console_size: tuple[int, int] = (0, 0)
    domainname: str = ""
    stop_timeout: int | None = None
    host_config: Mapping[str, Any] = {}  # what of Docker's HostConfig was asked for
    volumes: Mapping[str, Any] = {}  # paths that shall lie outside of the container's own files


def create(
    paths: Paths,
    containers: Containers,
    images: ImageStore,
    options: RunOptions,
    warn: Warn,
) -> Container:
    """Make a container that could be started; `warn` hears what of the wishes is not granted.

    Raises `MinidockError`; nothing stays then.
    """
    if not os.path.isdir(paths.containers):
        images.resolve(options.image)  # on a new machine: no image, no directories either
    paths.make()
    sweep(paths, containers)
    at_it = creating(paths)
    try:
        # Until container.json says so, nobody knows that the layers are needed.
        with images.hold():
            container = _create(paths, containers, images, options, warn)
    finally:
        os.close(at_it)
    tell(container, "create")
    return container


def _create(
    paths: Paths,
    containers: Containers,
    images: ImageStore,
    options: RunOptions,
    warn: Warn,
) -> Container:
    image = images.resolve(options.image)
    container_id = new_id()
    document, args = describe(options, image, container_id, containers.find, warn, paths.root)
    directory = paths.container(container_id)
    os.mkdir(directory, 0o700)  # before the name: one whose directory is missing is free for all
    try:
        name = _take_name(containers, options.name, container_id)
        document["Name"] = name
        if document["HostConfig"]["UsernsMode"] == "auto":
            from minidock.engine.id_ranges import mappings, take_range

            first = take_range(paths.root, container_id)
            document["HostConfig"]["IDMappings"] = mappings(first)
        held: list[int] = []
        if "MountPoints" in document:
            from minidock.engine.mount_plan import make_volumes

            held = make_volumes(paths, directory, document, images)
        try:
            _make_directory(paths, directory, images, image, document, args, options)
        finally:
            for fd in held:
                os.close(fd)
    except BaseException:
        from minidock.engine.removal import remove_container_files

        remove_container_files(directory, paths.run_root)
        raise
    return Container(container_id, name, directory, paths.run_dir(container_id), document)


def describe(
    options: RunOptions,
    image: StoredImage,
    container_id: str,
    find: Find,
    warn: Warn,
    root: str,
) -> tuple[dict[str, Any], list[str]]:
    """What container.json will say of a new container, still without a name, and the program with
    its arguments. Does nothing; `find` looks for another container by name.

    Raises `InvalidInput` where there is no program or a wish that cannot be meant, `NotFound`.
    """
    networks: dict[str, Any] = {}
    plain = options.network in ("none", "host", "bridge") and not options.endpoints
    if not plain or (options.network == "host" and options.host_config.get("Links")):
        from minidock.engine.network_wishes import check_networks

        options, networks = check_networks(options, root, find)
    config = _config(options, image, container_id)
    args = [*(config["Entrypoint"] or []), *(config["Cmd"] or [])]
    if not args:
        raise InvalidInput("No command specified")
    host_config = _host_config(options, find, warn)
    document = _document(container_id, "", options, image, config, host_config, args)
    if networks:
        document["Networks"] = networks
    if config["Volumes"] or any(map(host_config.get, ("Binds", "Mounts", "VolumesFrom"))):
        from minidock.engine.mount_plan import plan_mount_points

        points = plan_mount_points(config, host_config, root, find)
        document["MountPoints"] = [point.document() for point in points]
    return document, args


def _host_config(options: RunOptions, find: Find, warn: Warn) -> dict[str, Any]:
    asked = dict(options.host_config)
    if asked:
        if asked.get("UTSMode") == "host" and options.hostname:
            raise InvalidInput("conflicting options: hostname and the UTS mode")
        asked = host_config.checked(asked, find, warn)
        if options.network == "host" and (
            asked.get("PortBindings") or asked.get("PublishAllPorts")
        ):
            warn("Published ports are discarded when using host network mode")
        if asked.get("UsernsMode") == "auto":
            host_config.check_own_users(asked, options.network)
    return {
        **host_config.defaults(),
        "NetworkMode": options.network,
        "AutoRemove": options.auto_remove,
        "ReadonlyRootfs": options.read_only,
        "Init": options.init,
        "ConsoleSize": list(options.console_size),
        "RestartPolicy": _restart_policy(*options.restart),
        **asked,
    }


def _restart_policy(name: str, most: int) -> dict[str, object]:
    if (name, most) == ("no", 0):
        return {"Name": name, "MaximumRetryCount": most}
    from minidock.engine.restart import checked_policy

    return checked_policy(name, most)


def _take_name(containers: Containers, wanted: str, container_id: str) -> str:
    if wanted:
        containers.reserve_name(wanted, container_id)
        return wanted.removeprefix("/")
    from minidock.engine.namegen import generate_name
    from minidock.errors import Conflict

    for attempt in range(_NAME_TRIES):
        name = generate_name(attempt)
        try:
            containers.reserve_name(name, container_id)
        except Conflict:
            continue
        return name
    containers.reserve_name(container_id[:12], container_id)
    return container_id[:12]


def _config(options: RunOptions, image: StoredImage, container_id: str) -> dict[str, Any]:
    """Docker's `Config`: the image's, with the user's words over it."""
    base = image.config.config
    entrypoint, command = base.get("Entrypoint"), base.get("Cmd")
    if options.entrypoint is not None:
        # An entrypoint of one's own makes the image's command meaningless. "" means: none.
        entrypoint = [options.entrypoint] if options.entrypoint else None
        command = None
    if options.command:
        command = list(options.command)
    hosts_own = "host" in (options.network, options.host_config.get("UTSMode"))
    host_name = os.uname().nodename if hosts_own else container_id[:12]
    labels = {**(base.get("Labels") or {}), **dict(options.labels)}
    working_dir = options.working_dir if options.working_dir is not None else base.get("WorkingDir")
    config = {
        "Hostname": options.hostname or host_name,
        "Domainname": options.domainname,
        "User": options.user if options.user is not None else base.get("User") or "",
        "AttachStdin": options.attach and options.interactive,
        "AttachStdout": options.attach,
        "AttachStderr": options.attach,
        "Tty": options.terminal,
        "OpenStdin": options.interactive,
        "StdinOnce": options.attach and options.interactive,
        "Env": bundle.merge_environment(base.get("Env") or [], options.env, keep=True),
        "Cmd": command,
        "Image": options.image,
        "Volumes": {**(base.get("Volumes") or {}), **options.volumes} or None,
        "WorkingDir": working_dir or "",
        "Entrypoint": entrypoint,
        "OnBuild": None,
        "Labels": labels,
    }
    stop_signal = options.stop_signal or base.get("StopSignal")
    if stop_signal:
        config["StopSignal"] = stop_signal
    if options.stop_timeout is not None:
        config["StopTimeout"] = options.stop_timeout
    if options.health_check or base.get("Healthcheck"):
        from minidock.engine.health import merge_check

        config["Healthcheck"] = merge_check(options.health_check, base.get("Healthcheck"))
    if base.get("Shell"):
        config["Shell"] = base["Shell"]
    published = options.host_config.get("PortBindings") or ()
    ports = [*(base.get("ExposedPorts") or ()), *options.exposed, *published]
    if ports:
        config["ExposedPorts"] = {port: {} for port in ports}
    return config


def _document(
    container_id: str,
    name: str,
    options: RunOptions,
    image: StoredImage,
    config: dict[str, Any],
    host_config: dict[str, Any],
    args: Sequence[str],
) -> dict[str, Any]:
    shown = options.image
    if image.id.hex.startswith(shown.removeprefix("sha256:")):
        shown = image.id.hex[:12]  # by id: Docker's IMAGE column shows 12 digits
    return {
        "Id": container_id,
        "Name": name,
        "Created": now(),
        "Image": str(image.id),
        "ImageName": shown,
        "Path": args[0],
        "Args": list(args[1:]),
        "Config": config,
        "HostConfig": host_config,
    }


def _make_directory(
    paths: Paths,
    directory: str,
    images: ImageStore,
    image: StoredImage,
    document: dict[str, Any],
    args: Sequence[str],
    options: RunOptions,
) -> None:
    from minidock.engine.mountpoints import mountpoint_layer
    from minidock.spec.digest import chain_ids

    lowerdirs = images.lowerdirs(image)
    if not lowerdirs:
        raise NotFound(f"image {options.image} has no layers: there is no program in it")
    chain = chain_ids(image.diff_ids)[-1].hex
    lowerdirs = (*mountpoint_layer(paths.root, chain, lowerdirs), *lowerdirs)
    for name in ("/upper", "/work", "/rootfs"):
        os.mkdir(directory + name, 0o700)
    # The container's "/" is upper's own inode: it takes the mode and owner the image gave it.
    top = os.stat(lowerdirs[0])
    os.chmod(f"{directory}/upper", top.st_mode & 0o7777)
    os.chown(f"{directory}/upper", top.st_uid, top.st_gid)
    config, host_config = document["Config"], document["HostConfig"]
    _write_network_files(directory, config["Hostname"], options.network)
    if any(map(host_config.get, ("Dns", "DnsOptions", "DnsSearch", "ExtraHosts"))):
        from minidock.engine.naming import name_without_network

        if not has_own_networks(host_config):  # else at each start
            name_without_network(directory, document)
    about = (document["Id"], directory, lowerdirs, config, host_config, args)
    points: Sequence[MountPoint] = ()
    if "MountPoints" in document:
        from minidock.engine.volume_fill import fill_volumes

        points = fill_volumes(directory, lowerdirs, document)
    spec = bundle.make_spec(*about, image.config.architecture, points)
    durable = not options.auto_remove
    if options.auto_remove:
        maker = maker_mark() if options.ephemeral else b""
        write_file(f"{directory}/{MARKER}", maker, durable=False)
    write_json(f"{directory}/config.json", spec, durable=False)
    if durable:
        sync_directory(directory)
    # Last: a directory without container.json is no container, whatever interrupts us before.
    write_json(f"{directory}/container.json", document, durable=durable)


def _write_network_files(directory: str, hostname: str, network: str) -> None:
    """The three files that are mounted over the image's, so that they can differ per container."""
    hosts = host_file("/etc/hosts") if network == "host" else hosts_file()
    files = {
        "hosts": hosts,
        "hostname": f"{hostname}\n".encode(),
        "resolv.conf": host_file("/etc/resolv.conf"),
    }
    for name, content in files.items():
        path = f"{directory}/{name}"
        write_file(path, content, durable=False)
        os.chmod(path, 0o644)  # everybody in the container may read it
