"""Which file a command is in, by every name it has. Nothing is imported to look one up.

One row per command: its names as on the `Aliases:` line of Docker's help (for the first one,
the name inside its group), and where its `Command` stands. A family adds its rows when it lands.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

TREE: tuple[tuple[str, str], ...] = (
    ("builder prune", "minidock.cli.builder:PRUNE"),
    ("image build, build, builder build", "minidock.cli.build:BUILD"),
    ("container run, run", "minidock.cli.container_run:RUN"),
    ("container create, create", "minidock.cli.container_run:CREATE"),
    ("container exec, exec", "minidock.cli.container_exec:EXEC"),
    ("container attach, attach", "minidock.cli.container_start:ATTACH"),
    ("container start, start", "minidock.cli.container_start:START"),
    ("container stop, stop", "minidock.cli.container_state:STOP"),
    ("container restart, restart", "minidock.cli.container_state:RESTART"),
    ("container kill, kill", "minidock.cli.container_state:KILL"),
    ("container pause, pause", "minidock.cli.container_pause:PAUSE"),
    ("container unpause, unpause", "minidock.cli.container_pause:UNPAUSE"),
    ("container update, update", "minidock.cli.container_update:UPDATE"),
    ("container stats, stats", "minidock.cli.container_stats:STATS"),
    ("container top, top", "minidock.cli.container_top:TOP"),
    ("container port, port", "minidock.cli.container_port:PORT"),
    ("container wait, wait", "minidock.cli.container_state:WAIT"),
    ("container rename, rename", "minidock.cli.container_state:RENAME"),
    ("container rm, container remove, rm", "minidock.cli.container_state:RM"),
    ("container ls, container list, container ps, ps", "minidock.cli.container_lists:PS"),
    ("container logs, logs", "minidock.cli.container_lists:LOGS"),
    ("container diff, diff", "minidock.cli.container_lists:DIFF"),
    ("container commit, commit", "minidock.cli.images:COMMIT"),
    ("container cp, cp", "minidock.cli.container_copy:CP"),
    ("container inspect", "minidock.cli.inspect:CONTAINER"),
    ("image inspect", "minidock.cli.inspect:IMAGE"),
    ("inspect", "minidock.cli.inspect:ANY"),
    ("image ls, image list, images", "minidock.cli.image_lists:IMAGES"),
    ("image history, history", "minidock.cli.image_lists:HISTORY"),
    ("image import, import", "minidock.cli.images:IMPORT"),
    ("image pull, pull", "minidock.cli.registries:PULL"),
    ("image push, push", "minidock.cli.registries:PUSH"),
    ("image save, save", "minidock.cli.archives:SAVE"),
    ("image load, load", "minidock.cli.archives:LOAD"),
    ("image prune", "minidock.cli.prune:IMAGES"),
    ("image tag, tag", "minidock.cli.images:TAG"),
    ("image rm, image remove, rmi", "minidock.cli.images:RMI"),
    ("container export, export", "minidock.cli.archives:EXPORT"),
    ("container prune", "minidock.cli.prune:CONTAINERS"),
    ("volume create", "minidock.cli.volumes:CREATE"),
    ("volume ls, volume list", "minidock.cli.volumes:LS"),
    ("volume inspect", "minidock.cli.volumes:INSPECT"),
    ("volume rm, volume remove", "minidock.cli.volumes:RM"),
    ("volume prune", "minidock.cli.volumes:PRUNE"),
    ("system check", "minidock.cli.system:CHECK"),
    ("system df", "minidock.cli.system:DF"),
    ("system events, events", "minidock.cli.events:EVENTS"),
    ("system prune", "minidock.cli.prune:SYSTEM"),
    ("network create", "minidock.cli.networks:CREATE"),
    ("network ls, network list", "minidock.cli.networks:LS"),
    ("network inspect", "minidock.cli.networks:INSPECT"),
    ("network rm, network remove", "minidock.cli.networks:RM"),
    ("network prune", "minidock.cli.networks:PRUNE"),
    ("network connect", "minidock.cli.networks:CONNECT"),
    ("network disconnect", "minidock.cli.networks:DISCONNECT"),
    ("login", "minidock.cli.registries:LOGIN"),
    ("logout", "minidock.cli.registries:LOGOUT"),
    ("explain", "minidock.cli.explain:EXPLAIN"),
    ("oci", "minidock.cli.oci:OCI"),
    ("completion", "minidock.cli.completion:COMPLETION"),
)

GROUPS = {
    "builder": "Manage builds",
    "container": "Manage containers",
    "image": "Manage images",
    "network": "Manage networks",
    "system": "Manage minidock",
    "volume": "Manage volumes",
}

NEED_MONITOR = frozenset(("run", "container run", "start", "container start"))
"""Commands that will need a monitor: it is spawned before they are even loaded."""

COMMON = ("run", "exec", "ps", "images")
"""What `minidock --help` lists first, in Docker's order."""

NAMES = {name: row for row in TREE for name in row[0].split(", ")}


def find(words: list[str]) -> tuple[str, str, list[str]] | None:
    """`["container", "ls", "-a"]` → ("container ls", "module:ATTR", ["-a"]); None if unknown."""
    taken = 2 if words[0] in GROUPS else 1
    path = " ".join(words[:taken])
    row = NAMES.get(path) if " " not in words[0] else None
    return (path, row[1], words[taken:]) if row else None


def load(target: str) -> Any:
    """Import "module:NAME" and return the object."""
    module, _, name = target.partition(":")
    __import__(module)
    from sys import modules

    return getattr(modules[module], name)
